//! One connection: its first exchange, then its streams.

use std::sync::Arc;

use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_protocol::{CloseCode, ErrorCode, Goodbye, Hello, HelloOk, VERSION_MAX, VERSION_MIN, WireError};

use crate::admission::report;
use crate::context::Context;
use crate::stream::{self, FrameReader, StreamWriter};

/// Name and version, as peers see them.
const BROKER: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// Serves the connection until it ends.
pub(crate) async fn serve(connection: Connection, context: Arc<Context>) {
    let remote = connection.remote_address();
    connection.set_receive_window(VarInt::from_u32(context.receive_window()));
    let first = match timeout(context.limits.hello_timeout, greet(&connection, &context)).await {
        Ok(Ok(first)) => first,
        Ok(Err(refusal)) => return refuse(&connection, refusal).await,
        Err(_) => {
            let message = "no Hello came in time: send it on the first stream".to_owned();
            return refuse(
                &connection,
                Refusal {
                    code: CloseCode::Timeout,
                    message,
                    reply: None,
                },
            )
            .await;
        }
    };
    tracing::debug!(%remote, "connected");
    accept_streams(&connection, first, &context).await;
    tracing::debug!(%remote, "disconnected");
}

/// Why the first exchange failed.
struct Refusal {
    code: CloseCode,
    message: String,
    /// An answer that is sent before the connection is closed.
    reply: Option<(StreamWriter, WireError)>,
}

impl Refusal {
    fn violation(message: impl Into<String>) -> Self {
        Self {
            code: CloseCode::ProtocolViolation,
            message: message.into(),
            reply: None,
        }
    }
}

async fn refuse(connection: &Connection, refusal: Refusal) {
    tracing::debug!(remote = %connection.remote_address(), "refused: {}", refusal.message);
    if let Some((writer, error)) = refusal.reply {
        writer.fail(&error).await;
    }
    connection.close(
        VarInt::from_u32(refusal.code.number()),
        refusal.message.as_bytes(),
    );
}

/// The first stream, which stays open; its reading half is of no more use.
async fn greet(connection: &Connection, context: &Context) -> Result<(StreamWriter, RecvStream), Refusal> {
    let gone = |error: quinn::ConnectionError| Refusal::violation(error.to_string());
    let (sender, receiver) = connection.accept_bi().await.map_err(gone)?;
    let writer = StreamWriter::new(sender, context.limits.stream_timeout);
    let mut reader = FrameReader::new(receiver);
    let frame = match reader.next().await {
        Ok(Some(frame)) => frame,
        Ok(None) => return Err(Refusal::violation("the first stream ended without a Hello")),
        Err(error) => return Err(Refusal::violation(error.to_string())),
    };
    let hello: Hello = frame
        .message()
        .map_err(|error| Refusal::violation(error.to_string()))?;
    let Some(version) = hello.negotiate() else {
        let message = format!(
            "this broker speaks versions {VERSION_MIN} to {VERSION_MAX} of the protocol, the client {} to {}: \
             use a client of the broker's version",
            hello.min_version, hello.max_version
        );
        let error = WireError::new(ErrorCode::UnsupportedVersion, message.clone());
        return Err(Refusal {
            code: CloseCode::UnsupportedVersion,
            message,
            reply: Some((writer, error)),
        });
    };
    let mut writer = writer;
    let welcome = HelloOk {
        version,
        broker: BROKER.to_owned(),
        cluster_id: context.broker.cluster_id().to_owned(),
        max_batch_bytes: u32::try_from(context.broker.limits().message_bytes_ceiling).unwrap_or(u32::MAX),
        produce_window_frames: context.limits.produce_window_frames,
    };
    match writer.send(&welcome).await {
        Ok(()) => Ok((writer, reader.into_stream())),
        Err(error) => Err(Refusal::violation(error.to_string())),
    }
}

/// Accepts streams until the connection is lost or the listener ends.
async fn accept_streams(connection: &Connection, first: (StreamWriter, RecvStream), context: &Arc<Context>) {
    let (mut farewell, _first) = first;
    let mut tasks = JoinSet::new();
    let mut ending = std::pin::pin!(context.drain.started());
    let within = loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((sender, receiver)) => admit(sender, receiver, context, &mut tasks),
                // Dropping the tasks ends them: there is nobody to answer any more.
                Err(_) => return,
            },
            Some(ended) = tasks.join_next() => report(ended),
            within = &mut ending => break within,
        }
    };
    let goodbye = Goodbye {
        reason: "the broker is shutting down: reconnect later".to_owned(),
        within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
    };
    // A peer that does not read it learns the same from the code that the connection is closed with.
    let told = farewell.send(&goodbye).await.is_ok();
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
    if told {
        farewell.finish().await;
    }
    let code = VarInt::from_u32(CloseCode::ShuttingDown.number());
    connection.close(code, b"the broker is shutting down: reconnect later");
}

fn admit(sender: SendStream, receiver: RecvStream, context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let writer = StreamWriter::new(sender, context.limits.stream_timeout);
    let reader = FrameReader::new(receiver);
    match Arc::clone(&context.streams).try_acquire_owned() {
        Ok(permit) => {
            let context = Arc::clone(context);
            tasks.spawn(async move {
                let _permit = permit;
                stream::serve(reader, writer, context).await;
            });
        }
        // Bounded by the streams of one connection, and by the time that an answer may take.
        Err(_) => {
            tasks.spawn(async move {
                let message =
                    "the broker has as many streams open as it takes: close some, or try again later";
                let error = WireError::new(ErrorCode::TooManyStreams, message);
                reader.stop(CloseCode::Failed);
                writer.fail(&error).await;
            });
        }
    }
}
