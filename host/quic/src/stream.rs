//! One stream: what is it for?

mod reader;
mod writer;

use std::sync::Arc;

use tokio::time::timeout;
use weir_protocol::{CloseCode, ErrorCode, FrameKind, WireError};

pub(crate) use reader::{CONTROL, FrameReader, ReadFrameError};
pub(crate) use writer::StreamWriter;

use crate::context::Context;
use crate::error::{bad_frame, undecodable, violation};
use crate::{admin, produce, subscribe};

/// Serves a stream until it ends.
pub(crate) async fn serve(mut reader: FrameReader, writer: StreamWriter, context: Arc<Context>) {
    let first = tokio::select! {
        first = timeout(context.limits.stream_timeout, reader.next()) => first,
        _ = context.drain.started() => return,
    };
    let frame = match first {
        Ok(Ok(Some(frame))) => frame,
        // Opened and closed without a word.
        Ok(Ok(None)) => return,
        Ok(Err(ReadFrameError::Stream(_))) => return,
        Ok(Err(ReadFrameError::Frame(error))) => return refuse(reader, writer, bad_frame(&error)).await,
        Err(_) => {
            let message = "the stream did not say in time what it is for: send its first frame at once";
            return refuse(reader, writer, WireError::new(ErrorCode::IdleTimeout, message)).await;
        }
    };
    match frame.kind() {
        FrameKind::OpenProduce => match frame.message() {
            Ok(open) => produce::serve(open, reader, writer, context).await,
            Err(error) => refuse(reader, writer, undecodable(&error)).await,
        },
        FrameKind::OpenSubscribe => match frame.message() {
            Ok(open) => subscribe::serve(open, reader, writer, context).await,
            Err(error) => refuse(reader, writer, undecodable(&error)).await,
        },
        FrameKind::Request => match frame.message() {
            Ok(request) => admin::serve(request, reader, writer, context).await,
            Err(error) => refuse(reader, writer, undecodable(&error)).await,
        },
        other => {
            let error = violation(&format_args!("a stream cannot begin with a {other:?} frame"));
            refuse(reader, writer, error).await;
        }
    }
}

/// Answers with an error and ends the stream.
pub(crate) async fn refuse(reader: FrameReader, writer: StreamWriter, error: WireError) {
    reader.stop(CloseCode::Failed);
    writer.fail(&error).await;
}
