//! A produce stream: batches in, acks out.

mod acks;

use std::sync::Arc;

use bytes::Buf;
use tokio::sync::{Semaphore, mpsc};
use weir_broker::{Compression, Topic};
use weir_protocol::{
    CloseCode, ErrorCode, Frame, FrameKind, FrameLimits, OpenProduce, PRODUCE_HEADER_LEN, ProduceHeader,
    ProduceOpened, WireError,
};

use crate::context::Context;
use crate::error::{bad_frame, shutting_down, violation, wire_error};
use crate::stream::{FrameReader, ReadFrameError, StreamWriter, refuse};
use acks::{Outcome, Pending};

/// Serves a produce stream until the client finishes it, breaks the protocol, or goes away.
pub(crate) async fn serve(
    open: OpenProduce,
    mut reader: FrameReader,
    mut writer: StreamWriter,
    context: Arc<Context>,
) {
    let record_results = open.record_results;
    let (topic, opened) = match opened(open, &context).await {
        Ok(opened) => opened,
        Err(error) => return refuse(reader, writer, error).await,
    };
    if writer.send(&opened).await.is_err() {
        return;
    }
    reader.expect_data();

    // The window: how many frames may wait, and, with the permits that they carry, how many bytes.
    let (pending, answers) = mpsc::channel(opened.window_frames as usize);
    let window = Window::new(opened.window_bytes);
    let last = {
        let mut acks = std::pin::pin!(acks::write(&mut writer, answers, record_results));
        let last = tokio::select! {
            biased;
            // The client does not want its acks any more.
            _ = &mut acks => None,
            last = read(&mut reader, &topic, &window, pending, &context) => Some(last),
        };
        match last {
            // What is in flight is answered before anything else.
            Some(last) if acks.await.is_ok() => last,
            _ => return reader.stop(CloseCode::Failed),
        }
    };
    match last {
        None => writer.finish().await,
        Some(error) => refuse(reader, writer, error).await,
    }
}

async fn opened(open: OpenProduce, context: &Context) -> Result<(Topic, ProduceOpened), WireError> {
    let topic = context.broker.topic(&open.topic).map_err(wire_error)?;
    let (producer_id, producer_epoch) = match (open.idempotent, open.producer_id, open.producer_epoch) {
        (false, _, _) => (-1, -1),
        (true, None, _) => {
            let producer = context.broker.allocate_producer_id().await.map_err(wire_error)?;
            (producer.id, producer.epoch)
        }
        (true, Some(id), Some(epoch)) if id >= 0 && epoch >= 0 => (id, epoch),
        (true, Some(_), _) => {
            let message = "a producer goes on with the id and the epoch that it was given, or with neither";
            return Err(WireError::new(ErrorCode::InvalidRequest, message));
        }
    };
    let config = topic.config();
    let compression = match config.compression {
        Compression::Producer => "producer".to_owned(),
        _ => config.to_map().remove("compression.type").unwrap_or_default(),
    };
    let opened = ProduceOpened {
        topic_id: topic.id(),
        partitions: topic.partitions(),
        max_message_bytes: u32::try_from(config.message_bytes_max).unwrap_or(u32::MAX),
        window_frames: context.limits.produce_window_frames.max(1),
        window_bytes: context.limits.produce_window_bytes,
        producer_id,
        producer_epoch,
        compression,
    };
    Ok((topic, opened))
}

/// Bytes of batches that may wait for their ack.
struct Window {
    permits: Arc<Semaphore>,
    bytes_max: u32,
}

impl Window {
    fn new(bytes: u64) -> Self {
        let bytes_max = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        Self {
            permits: Arc::new(Semaphore::new(bytes_max as usize)),
            bytes_max,
        }
    }
}

/// Hands batches to the broker in the order they come. Returns the error that ends the stream, or `None` where the client
/// finished it or went away.
async fn read(
    reader: &mut FrameReader,
    topic: &Topic,
    window: &Window,
    pending: mpsc::Sender<Pending>,
    context: &Context,
) -> Option<WireError> {
    let mut ending = std::pin::pin!(context.drain.started());
    loop {
        reader.set_limits(limits(topic.config().message_bytes_max));
        let frame = tokio::select! {
            frame = reader.next() => frame,
            _ = &mut ending => return Some(shutting_down()),
        };
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(ReadFrameError::Stream(_)) => return None,
            Err(ReadFrameError::Frame(error)) => return Some(bad_frame(&error)),
        };
        let outcome = match take(frame, topic, window).await {
            Ok(outcome) => outcome,
            Err(error) => return Some(error),
        };
        if pending.send(outcome).await.is_err() {
            return None;
        }
    }
}

/// Hands one batch to the broker. A batch that is refused is answered in its turn; an error ends the stream.
async fn take(frame: Frame, topic: &Topic, window: &Window) -> Result<Pending, WireError> {
    if frame.kind() != FrameKind::Produce {
        return Err(violation(&format_args!(
            "a {:?} frame has no place on a produce stream",
            frame.kind()
        )));
    }
    let ProduceHeader { partition } =
        ProduceHeader::decode(&frame.body).map_err(|error| violation(&error))?;
    if frame.is_cut() {
        return Ok(Pending {
            partition,
            outcome: Outcome::Refused(too_large(&frame, topic)),
            permit: None,
        });
    }
    let mut batch = frame.body;
    batch.advance(PRODUCE_HEADER_LEN);
    let bytes = u32::try_from(batch.len())
        .unwrap_or(u32::MAX)
        .min(window.bytes_max);
    // The semaphore is never closed.
    let permit = Arc::clone(&window.permits).acquire_many_owned(bytes).await.ok();
    let outcome = match topic.produce(partition, batch).await {
        Ok(ticket) => Outcome::Ticket(ticket),
        Err(error) => Outcome::Refused(wire_error(error)),
    };
    Ok(Pending {
        partition,
        outcome,
        permit,
    })
}

fn limits(message_bytes_max: usize) -> FrameLimits {
    let header = PRODUCE_HEADER_LEN as u32;
    FrameLimits {
        data_bytes_max: u32::try_from(message_bytes_max)
            .unwrap_or(u32::MAX)
            .saturating_add(header),
        oversized_data_bytes_kept: Some(header),
        ..crate::stream::CONTROL
    }
}

fn too_large(frame: &Frame, topic: &Topic) -> WireError {
    let bytes = frame.header.length as usize - PRODUCE_HEADER_LEN;
    let message = format!(
        "the batch has {bytes} bytes and the topic takes {}: send smaller batches, or raise the topic's \
         max.message.bytes",
        topic.config().message_bytes_max
    );
    WireError::new(ErrorCode::MessageTooLarge, message)
}
