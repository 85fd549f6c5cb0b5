//! QUIC and TLS as this client speaks them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use rustls::crypto::aws_lc_rs;
use socket2::{Domain, Protocol, Socket, Type};
use weir_protocol::{ALPN, tuning};

use crate::Error;
use crate::trust::Trust;

/// TLS 1.3 with these roots and nothing of the operating system's, and the transport numbers that both ends share.
///
/// The broker hears from this client at least every `silence`, so that it can be seen to answer.
pub(crate) fn client_config(trust: &Trust, silence: Duration) -> Result<ClientConfig, Error> {
    let unusable = |reason: String| Error::InvalidCa {
        origin: trust.origin.clone(),
        reason,
    };
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(trust.roots.clone())
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let quic = QuicClientConfig::try_from(tls).map_err(|error| unusable(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(quic));
    config.transport_config(Arc::new(transport_config(silence)));
    Ok(config)
}

/// A socket of its own for connections to `peer`, with room for bursts.
pub(crate) fn endpoint(peer: SocketAddr) -> io::Result<Endpoint> {
    let any: SocketAddr = if peer.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP))?;
    // What the system does not grant is not worth an error: it only means more losses in bursts.
    let _ = socket.set_recv_buffer_size(tuning::SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(tuning::SOCKET_BUFFER_BYTES);
    socket.bind(&any.into())?;
    let mut config = EndpointConfig::default();
    config
        .max_udp_payload_size(tuning::MTU_UPPER_BOUND)
        .map_err(io::Error::other)?;
    Endpoint::new(config, None, socket.into(), Arc::new(TokioRuntime))
}

fn transport_config(silence: Duration) -> TransportConfig {
    let keep_alive = Duration::from_millis(u64::from(tuning::KEEP_ALIVE_INTERVAL_MS)).min(silence);
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(tuning::ACK_ELICITING_THRESHOLD))
        .max_ack_delay(Some(Duration::from_millis(u64::from(tuning::MAX_ACK_DELAY_MS))));
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(tuning::MTU_UPPER_BOUND);
    transport
        .mtu_discovery_config(Some(mtu))
        .stream_receive_window(VarInt::from_u32(tuning::STREAM_RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(tuning::CONNECTION_RECEIVE_WINDOW))
        .send_window(tuning::SEND_WINDOW)
        .ack_frequency_config(Some(acks))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(tuning::IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(keep_alive))
        // The broker opens no streams, and there are no datagrams.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    transport
}
