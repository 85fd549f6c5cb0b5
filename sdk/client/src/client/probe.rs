use std::io;
use std::net::SocketAddr;
use std::time::Duration;

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

/// Whether nothing listens at any of the addresses of `host`, as far as that is known within `time`.
pub(super) async fn nothing_listens(host: &str, port: u16, time: Duration) -> bool {
    let looked = tokio::time::timeout(time, async {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        for address in &addresses {
            refused(*address).await;
        }
        io::Result::Ok(!addresses.is_empty())
    });
    matches!(looked.await, Ok(Ok(true)))
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
