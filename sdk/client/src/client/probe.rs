use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// Waits until the machine at `address` says that nothing listens there, which QUIC by itself would only learn by not
/// being answered. Pends for ever if it says nothing of the kind.
///
/// One byte is sent that no QUIC packet begins with; a QUIC server ignores it.
pub(super) async fn refused(address: SocketAddr) {
    if watch(address)
        .await
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        return;
    }
    std::future::pending::<()>().await;
}

async fn watch(address: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    socket.send(&[0]).await?;
    socket.recv(&mut [0; 1]).await?;
    Ok(())
}
