//! QUIC alone: quinn to quinn over loopback, both ends in this process, with the transport settings that Weir has.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use rustls::pki_types::pem::PemObject as _;
use socket2::{Domain, Protocol, Socket, Type};
use weir_protocol::tuning;

use super::report::Row;
use crate::TlsMaterial;
use crate::cli::Failure;
use crate::stats::{Times, median};

const CHUNK_BYTES: usize = 64 * 1024;
const PING_BYTES: usize = 64;

/// The first byte of a stream says what it is for.
const SINK: u8 = 0;
const ECHO: u8 = 1;

/// The size of packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Packets {
    /// As quinn has it: what fits into an ordinary Ethernet frame.
    Ethernet,
    /// As Weir has it: as large as the path allows, which loopback does.
    Large,
}

/// MB/s of raw QUIC in both sizes of packets, round by round. The first is what other figures are compared with.
pub(super) struct Throughputs {
    ethernet: (RawQuic, Vec<f64>),
    large: (RawQuic, Vec<f64>),
}

impl Throughputs {
    pub(super) async fn new() -> Result<Self, Failure> {
        Ok(Self {
            ethernet: (RawQuic::connect(Packets::Ethernet).await?, Vec::new()),
            large: (RawQuic::connect(Packets::Large).await?, Vec::new()),
        })
    }

    /// Measures both, one after the other.
    pub(super) async fn measure(&mut self, time: Duration) -> Result<(), Failure> {
        for (quic, measured) in [&mut self.ethernet, &mut self.large] {
            measured.push(quic.throughput(time).await?);
        }
        Ok(())
    }

    /// The medians: of packets of Ethernet's size, and of large ones.
    pub(super) async fn close(self) -> (f64, f64) {
        self.ethernet.0.close().await;
        self.large.0.close().await;
        (median(self.ethernet.1), median(self.large.1))
    }
}

/// What raw QUIC does with packets as large as Weir's.
pub(super) fn large_row(mb_per_s: f64) -> Row {
    Row::new("raw QUIC with large packets", mb_per_s, "MB/s")
}

/// What is said where a figure is a share of raw QUIC.
pub(super) fn note() -> String {
    format!(
        "raw QUIC: quinn to quinn in one process, with packets of at most 1452 bytes, as quinn has them; large packets: up to \
         {} bytes, as Weir has them where the path allows",
        tuning::MTU_UPPER_BOUND
    )
}

/// Two endpoints and a connection between them.
pub(super) struct RawQuic {
    connection: Connection,
    client: Endpoint,
    server: Endpoint,
}

impl RawQuic {
    pub(super) async fn connect(packets: Packets) -> Result<Self, Failure> {
        Self::try_connect(packets).await.map_err(failure)
    }

    async fn try_connect(packets: Packets) -> Result<Self, Box<dyn std::error::Error>> {
        let tls = TlsMaterial::in_memory(&[])?;
        let transport = Arc::new(transport(packets));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());

        let server_tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(tls.chain().to_vec(), tls.key().clone_key())?;
        let mut server_config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server_tls)?));
        server_config.transport_config(Arc::clone(&transport));
        let server = endpoint(Some(server_config), packets)?;
        tokio::spawn(serve(server.clone()));

        let mut roots = rustls::RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(
            tls.ca_pem().as_bytes(),
        )?)?;
        let client_tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client_config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client_tls)?));
        client_config.transport_config(transport);
        let mut client = endpoint(None, packets)?;
        client.set_default_client_config(client_config);
        let connection = client.connect(server.local_addr()?, "localhost")?.await?;
        Ok(Self {
            connection,
            client,
            server,
        })
    }

    /// MB/s of one stream, written in chunks of 64 KiB for `time`, until the other end has all of it.
    pub(super) async fn throughput(&self, time: Duration) -> Result<f64, Failure> {
        self.try_throughput(time).await.map_err(failure)
    }

    async fn try_throughput(&self, time: Duration) -> Result<f64, Box<dyn std::error::Error>> {
        let chunk = crate::flights::lines()
            .map_err(|failure| failure.to_string())?
            .slice(..CHUNK_BYTES);
        let (mut send, mut receive) = self.connection.open_bi().await?;
        send.write_all(&[SINK]).await?;
        let begun = Instant::now();
        let mut sent = 1;
        while begun.elapsed() < time {
            for _ in 0..16 {
                send.write_chunk(chunk.clone()).await?;
                sent += chunk.len() as u64;
            }
        }
        send.finish()?;
        let mut count = [0; 8];
        receive.read_exact(&mut count).await?;
        let elapsed = begun.elapsed();
        if u64::from_be_bytes(count) != sent {
            return Err("not everything that was sent arrived".into());
        }
        Ok(sent as f64 / 1e6 / elapsed.as_secs_f64())
    }

    /// Round trips of 64 bytes on an open stream.
    pub(super) async fn round_trips(&self, count: usize) -> Result<Times, Failure> {
        self.try_round_trips(count).await.map_err(failure)
    }

    async fn try_round_trips(&self, count: usize) -> Result<Times, Box<dyn std::error::Error>> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        send.write_all(&[ECHO]).await?;
        let mut times = Times::new();
        let mut buffer = [7; PING_BYTES];
        for round in 0..count + count / 10 {
            let begun = Instant::now();
            send.write_all(&buffer).await?;
            receive.read_exact(&mut buffer).await?;
            if round >= count / 10 {
                times.record(begun.elapsed());
            }
        }
        send.finish()?;
        Ok(times)
    }

    pub(super) async fn close(self) {
        self.connection.close(VarInt::from_u32(0), b"");
        self.client.wait_idle().await;
        self.server.close(VarInt::from_u32(0), b"");
    }
}

/// With the socket buffers that Weir asks for on both sides.
fn endpoint(server: Option<ServerConfig>, packets: Packets) -> std::io::Result<Endpoint> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // What the system does not grant, Weir does not get either.
    let _ = socket.set_recv_buffer_size(tuning::SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(tuning::SOCKET_BUFFER_BYTES);
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let mut config = EndpointConfig::default();
    if packets == Packets::Large {
        config
            .max_udp_payload_size(tuning::MTU_UPPER_BOUND)
            .map_err(std::io::Error::other)?;
    }
    Endpoint::new(config, server, socket.into(), Arc::new(TokioRuntime))
}

fn transport(packets: Packets) -> TransportConfig {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(tuning::ACK_ELICITING_THRESHOLD))
        .max_ack_delay(Some(Duration::from_millis(u64::from(tuning::MAX_ACK_DELAY_MS))));
    let mut mtu = MtuDiscoveryConfig::default();
    if packets == Packets::Large {
        mtu.upper_bound(tuning::MTU_UPPER_BOUND);
    }
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(tuning::STREAM_RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(tuning::CONNECTION_RECEIVE_WINDOW))
        .send_window(tuning::SEND_WINDOW)
        .mtu_discovery_config(Some(mtu))
        .ack_frequency_config(Some(acks));
    transport
}

async fn serve(server: Endpoint) {
    // One client, and it is ours.
    let Some(incoming) = server.accept().await else {
        return;
    };
    let Ok(connection) = incoming.await else { return };
    while let Ok((send, receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            // An end that closes in the middle is seen by the measuring side.
            let _ = answer(send, receive).await;
        });
    }
}

async fn answer(
    mut send: quinn::SendStream,
    mut receive: quinn::RecvStream,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut kind = [0];
    receive.read_exact(&mut kind).await?;
    if kind == [ECHO] {
        let mut buffer = [0; PING_BYTES];
        while receive.read_exact(&mut buffer).await.is_ok() {
            send.write_all(&buffer).await?;
        }
    } else {
        let mut received = 1;
        let mut chunks: [Bytes; 32] = std::array::from_fn(|_| Bytes::new());
        while let Some(n) = receive.read_chunks(&mut chunks).await? {
            received += chunks[..n].iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        }
        send.write_all(&u64::to_be_bytes(received)).await?;
    }
    send.finish()?;
    Ok(())
}

fn failure(error: Box<dyn std::error::Error>) -> Failure {
    Failure::new(
        format!("raw QUIC over loopback failed: {error}"),
        "check that UDP on 127.0.0.1 is allowed",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_measurements_give_figures() {
        for packets in [Packets::Ethernet, Packets::Large] {
            let quic = RawQuic::connect(packets).await.unwrap();
            assert!(quic.throughput(Duration::from_millis(20)).await.unwrap() > 0.0);
            assert_eq!(quic.round_trips(20).await.unwrap().len(), 20);
            quic.close().await;
        }
    }
}
