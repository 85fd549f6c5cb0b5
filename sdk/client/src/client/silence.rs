use std::time::Duration;

use quinn::{Connection, ConnectionStats, VarInt};
use tokio::task::AbortHandle;
use weir_protocol::CloseCode;

/// Looks at a connection that must all be silent before it counts as lost.
const LOOKS: u32 = 5;

/// Finds out that a peer is gone which cannot say so: its machine lost power, or its process was killed.
///
/// A connection counts as lost when nothing arrives for a while although something was sent again and again that the
/// peer has to acknowledge. Time in which this process did not run (it was suspended, the machine was overloaded) is not
/// held against the peer: what counts is how often it was looked at and found silent.
#[derive(Debug, Default)]
struct Silence {
    received: u64,
    sent: u64,
    /// Looks since something arrived.
    looks: u32,
    /// In how many of them something had been sent.
    attempts: u32,
}

impl Silence {
    /// Another look: datagrams received and frames sent so far. True if the connection counts as lost.
    fn look(&mut self, received: u64, sent: u64) -> bool {
        let attempted = std::mem::replace(&mut self.sent, sent) != sent;
        if std::mem::replace(&mut self.received, received) != received {
            (self.looks, self.attempts) = (0, 0);
            return false;
        }
        self.looks += 1;
        self.attempts += u32::from(attempted);
        // A single attempt may have been a probe for larger packets, which is not repeated when it is lost.
        self.looks >= LOOKS && self.attempts >= 2
    }
}

/// Closes a connection when its peer has been silent for long; ends when it is dropped.
#[derive(Debug)]
pub(super) struct SilenceWatch(AbortHandle);

impl SilenceWatch {
    /// `timeout` is the silence after which the connection counts as lost.
    pub(super) fn start(connection: Connection, timeout: Duration) -> Self {
        let interval = (timeout / LOOKS).max(Duration::from_millis(1));
        let watch = async move {
            let mut silence = Silence::default();
            loop {
                tokio::select! {
                    _ = connection.closed() => return,
                    () = tokio::time::sleep(interval) => {}
                }
                let stats = connection.stats();
                if silence.look(stats.udp_rx.datagrams, to_be_acknowledged(&stats)) {
                    connection.close(
                        VarInt::from_u32(CloseCode::Timeout.number()),
                        b"the broker is silent",
                    );
                    return;
                }
            }
        };
        Self(tokio::spawn(watch).abort_handle())
    }
}

impl Drop for SilenceWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Frames sent that the peer answers at once, as long as it is there.
fn to_be_acknowledged(stats: &ConnectionStats) -> u64 {
    let sent = &stats.frame_tx;
    sent.stream + sent.ping + sent.crypto + sent.max_data + sent.max_stream_data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_does_not_answer_repeated_attempts_is_gone() {
        let mut silence = Silence::default();
        assert!(!silence.look(10, 10));
        let looks: Vec<bool> = [11, 12, 12, 13, 13]
            .into_iter()
            .map(|sent| silence.look(10, sent))
            .collect();
        assert_eq!(looks, [false, false, false, false, true]);
    }

    #[test]
    fn a_connection_without_traffic_is_not_silent() {
        let mut silence = Silence::default();
        assert!((0..100).all(|_| !silence.look(10, 10)));
        // A lost probe is one attempt.
        assert!((0..100).all(|_| !silence.look(10, 11)));
    }

    #[test]
    fn whatever_arrives_ends_the_silence() {
        let mut silence = Silence::default();
        for round in 0..100 {
            assert!(!silence.look(round / 4, round));
        }
    }
}
