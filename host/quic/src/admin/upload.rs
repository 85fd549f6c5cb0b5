//! A plugin on its way in.

use tokio::time::timeout;
use weir_protocol::{AdminResponse, ErrorCode, FrameKind, FrameLimits, MAX_UPLOAD_CHUNK_BYTES, WireError};

use crate::admin::info;
use crate::context::Context;
use crate::error::{bad_frame, violation, wire_error};
use crate::stream::{CONTROL, FrameReader, ReadFrameError};

/// Receives a file piece by piece and hands it to the broker.
pub(super) async fn receive(
    name: &str,
    size: u64,
    sha256: Option<String>,
    reader: &mut FrameReader,
    context: &Context,
) -> Result<AdminResponse, WireError> {
    let late = |_| {
        let message = "the upload takes too long: send it over a faster network, or from nearer";
        WireError::new(ErrorCode::IdleTimeout, message)
    };
    let receiving = async {
        // Waits for one of a few slots; they are given back when the time is over.
        let mut upload = context
            .broker
            .begin_upload(name, size, sha256)
            .await
            .map_err(wire_error)?;
        reader.set_limits(FrameLimits {
            data_bytes_max: MAX_UPLOAD_CHUNK_BYTES,
            ..CONTROL
        });
        reader.expect_data();
        loop {
            let frame = match timeout(context.limits.stream_timeout, reader.next())
                .await
                .map_err(late)?
            {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(ReadFrameError::Frame(error)) => return Err(bad_frame(&error)),
                Err(ReadFrameError::Stream(error)) => return Err(violation(&error)),
            };
            if frame.kind() != FrameKind::UploadChunk {
                return Err(violation(&format_args!(
                    "a {:?} frame has no place in an upload",
                    frame.kind()
                )));
            }
            upload.push(&frame.body).map_err(wire_error)?;
        }
        Ok(upload)
    };
    let upload = timeout(context.limits.upload_timeout, receiving)
        .await
        .map_err(late)??;
    let uploaded = upload.finish().await.map_err(wire_error)?;
    Ok(AdminResponse::Uploaded {
        plugin: info::plugin(uploaded.plugin),
        already_present: uploaded.already_present,
    })
}
