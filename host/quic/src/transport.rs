//! QUIC as this listener speaks it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn::{
    AckFrequencyConfig, ConfigError, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use weir_protocol::tuning;

use crate::ListenerLimits;

/// The transport numbers that both ends share, and this listener's bounds.
pub(crate) fn transport_config(limits: &ListenerLimits) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(tuning::ACK_ELICITING_THRESHOLD))
        .max_ack_delay(Some(Duration::from_millis(u64::from(tuning::MAX_ACK_DELAY_MS))));
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(tuning::MTU_UPPER_BOUND);
    transport
        .mtu_discovery_config(Some(mtu))
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.connection_streams_max))
        // There are neither unidirectional streams nor datagrams in this protocol.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(tuning::STREAM_RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(tuning::CONNECTION_RECEIVE_WINDOW))
        .send_window(tuning::SEND_WINDOW)
        .ack_frequency_config(Some(acks))
        .max_idle_timeout(IdleTimeout::try_from(limits.idle_timeout).ok());
    transport
}

/// Takes packets of every size that peers may try. With a key, connection ids and reset tokens of an earlier endpoint with
/// the same key are known as such (RFC 9000, section 10.3): packets of its connections are answered with a stateless reset.
pub(crate) fn endpoint_config(reset_key: Option<[u8; 64]>) -> Result<EndpointConfig, ConfigError> {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(tuning::MTU_UPPER_BOUND)?;
    if let Some(reset_key) = reset_key {
        let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &reset_key);
        let id_key = hmac::sign(&reset_key, b"connection ids of the weir listener");
        let id_key = id_key
            .as_ref()
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        config
            .reset_key(Arc::new(reset_key))
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    }
    Ok(config)
}

/// A UDP socket with room for bursts.
pub(crate) fn bind(addr: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // "Everywhere" includes IPv4; where the system does not do that, IPv6 alone has to do.
        let _ = socket.set_only_v6(false);
    }
    // What the system does not grant is not worth an error: it only means more losses in bursts.
    let _ = socket.set_recv_buffer_size(buffer_bytes);
    let _ = socket.set_send_buffer_size(buffer_bytes);
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
