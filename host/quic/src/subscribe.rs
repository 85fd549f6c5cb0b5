//! A subscribe stream: batches are pushed, flow control holds them back.
//!
//! The feed finds out what is next and reads it, the pump sends it; between them waits at most a frame or two, so that
//! reading from disk overlaps with sending, and a consumer that does not read costs no more than that.

mod cursor;
mod feed;
mod open;
mod outgoing;
mod wakeups;

use std::sync::Arc;

use tokio::sync::mpsc;
use weir_protocol::{CloseCode, OpenSubscribe};

use crate::context::Context;
use crate::stream::{FrameReader, StreamWriter, refuse};
use feed::Feed;

/// Frames that wait to be sent, besides the one that is being sent and the one that is being read.
const FRAMES_AHEAD: usize = 1;

/// Serves a subscription until its end, or until the client closes it, breaks the protocol or goes away.
pub(crate) async fn serve(
    open: OpenSubscribe,
    mut reader: FrameReader,
    mut writer: StreamWriter,
    context: Arc<Context>,
) {
    let _subscribed = context.subscribed();
    let mut feed = match open::open(open, &context).await {
        Ok(opened) => {
            if writer.send(&opened.answer).await.is_err() {
                return;
            }
            Feed::new(opened, Arc::clone(&context))
        }
        Err(error) => return refuse(reader, writer, error).await,
    };

    let (frames, outgoing) = mpsc::channel(FRAMES_AHEAD);
    let stopped = writer.stopped();
    let last = {
        let mut pump = std::pin::pin!(outgoing::pump(&mut writer, outgoing));
        let last = tokio::select! {
            biased;
            _ = &mut pump => None,
            _ = stopped => None,
            last = feed.run(&mut reader, frames) => Some(last),
        };
        match last {
            // What was read is sent before the last word.
            Some(last) if pump.await.is_ok() => last,
            _ => return reader.stop(CloseCode::Done),
        }
    };
    match last {
        None => {
            reader.stop(CloseCode::Done);
            writer.finish().await;
        }
        Some(error) => refuse(reader, writer, error).await,
    }
}
