//! Numbers that both ends of a connection should share. They are plain so that this crate needs no QUIC
//! implementation; times are in milliseconds, sizes in bytes.

/// Receive window of one stream.
pub const STREAM_RECEIVE_WINDOW: u32 = 16 * 1024 * 1024;

/// Receive window of a whole connection.
pub const CONNECTION_RECEIVE_WINDOW: u32 = 64 * 1024 * 1024;

/// Most bytes that are handed to the transport and not yet acknowledged by the peer.
pub const SEND_WINDOW: u64 = 16 * 1024 * 1024;

/// Largest UDP payload that path MTU discovery tries (RFC 8899). Ten such packets are what one system call can send; paths of
/// ordinary Ethernet end up at 1452 all the same, jumbo frames and the loopback interface get by with a quarter of the packets.
pub const MTU_UPPER_BOUND: u16 = 6500;

/// Ack-eliciting packets that the peer may receive before it must acknowledge (QUIC ack frequency extension). Of the largest
/// packets, so many fit into the socket buffer of a system that grants no more than its default.
pub const ACK_ELICITING_THRESHOLD: u32 = 10;

/// How long the peer may hold an acknowledgement back: while the window is still small, it is this that a sender waits for.
pub const MAX_ACK_DELAY_MS: u32 = 2;

/// A connection without any packet for this long is dead.
pub const IDLE_TIMEOUT_MS: u32 = 30_000;

/// A client sends a packet at least this often, so that an idle connection stays alive.
pub const KEEP_ALIVE_INTERVAL_MS: u32 = 10_000;

/// Streams that a client may have open at the same time on one connection.
pub const CONCURRENT_STREAMS_MAX: u32 = 1024;

/// `Produce` frames of one stream that may wait for their ack.
pub const PRODUCE_WINDOW_FRAMES: u32 = 1024;

/// Bytes of batches of one produce stream that may wait for their ack.
pub const PRODUCE_WINDOW_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes of batches in one `Records` frame, unless the client asks for another size.
/// A frame is decoded when all of it is there: small enough that sending, checking and using records overlap.
pub const RECORDS_FRAME_BYTES: u32 = 256 * 1024;

/// Buffers of a UDP socket, each way. Operating systems cap it silently.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
