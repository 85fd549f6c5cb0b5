//! What is sent next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::{self, error::SendError};
use weir_broker::{Fetched, Filtered, RecordFilter};
use weir_protocol::{
    ErrorCode, Frame, RecordsHeader, Start, SubscribeControl, SubscribeOpened, SubscribeProgress, WireError,
};

use crate::context::Context;
use crate::error::{bad_frame, shutting_down, undecodable, violation, wire_error};
use crate::stream::{FrameReader, ReadFrameError};
use crate::subscribe::cursor::{Cursor, State};
use crate::subscribe::open::{Opened, describe, resolve};
use crate::subscribe::outgoing::Outgoing;
use crate::subscribe::wakeups::Wakeups;

/// Decides what a subscription is sent next: the partitions that have something take turns, a frame each.
pub(super) struct Feed {
    topic_id: u32,
    cursors: Vec<Cursor>,
    /// By partition: its place in `cursors`.
    indices: HashMap<u32, usize>,
    /// Places of the partitions that have something to send.
    ready: VecDeque<usize>,
    wakeups: Wakeups,
    failed: Vec<WireError>,
    frame_bytes_max: u32,
    until_end: bool,
    filter: Option<RecordFilter>,
    /// Why the filter cannot go on, once what came before is on its way.
    filter_failed: Option<WireError>,
    context: Arc<Context>,
}

/// Why a feed ends.
enum End {
    /// Nothing more is to come, or nobody wants it.
    Done,
    /// The stream cannot go on.
    Failed(WireError),
}

impl From<SendError<Outgoing>> for End {
    fn from(_: SendError<Outgoing>) -> Self {
        Self::Done
    }
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Failed(error)
    }
}

impl Feed {
    pub(super) fn new(opened: Opened, context: Arc<Context>) -> Self {
        let indices = opened
            .cursors
            .iter()
            .map(|cursor| cursor.partition.index())
            .zip(0..)
            .collect();
        let mut feed = Self {
            topic_id: opened.answer.topic_id,
            cursors: opened.cursors,
            indices,
            ready: VecDeque::new(),
            wakeups: Wakeups::default(),
            failed: opened.failed,
            frame_bytes_max: opened.frame_bytes_max,
            until_end: opened.until_end,
            filter: opened.filter,
            filter_failed: None,
            context,
        };
        for index in 0..feed.cursors.len() {
            feed.schedule(index);
        }
        feed
    }

    /// Feeds until the end of the subscription, or until an error that is returned.
    pub(super) async fn run(
        &mut self,
        reader: &mut FrameReader,
        frames: mpsc::Sender<Outgoing>,
    ) -> Option<WireError> {
        match self.feed(reader, frames).await {
            End::Done => None,
            End::Failed(error) => Some(error),
        }
    }

    async fn feed(&mut self, reader: &mut FrameReader, frames: mpsc::Sender<Outgoing>) -> End {
        match self.turns(reader, frames).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn turns(
        &mut self,
        reader: &mut FrameReader,
        frames: mpsc::Sender<Outgoing>,
    ) -> Result<std::convert::Infallible, End> {
        for error in std::mem::take(&mut self.failed) {
            send_control(&frames, &error).await?;
        }
        let context = Arc::clone(&self.context);
        let mut ending = std::pin::pin!(context.drain.started());
        let mut reading = true;
        loop {
            if self.is_over() {
                return Err(End::Done);
            }
            tokio::select! {
                biased;
                _ = &mut ending => return Err(End::Failed(shutting_down())),
                frame = reader.next(), if reading => match frame {
                    Ok(Some(frame)) => self.obey(&frame, &frames).await?,
                    // A client that says nothing more may still listen.
                    Ok(None) | Err(ReadFrameError::Stream(_)) => reading = false,
                    Err(ReadFrameError::Frame(error)) => return Err(End::Failed(bad_frame(&error))),
                },
                (index, woken) = self.wakeups.next() => match woken {
                    Ok(()) => {
                        self.cursors[index].waiting = false;
                        self.schedule(index);
                    }
                    Err(error) => {
                        self.cursors[index].waiting = false;
                        self.fail(index, wire_error(error), &frames).await?;
                    }
                },
                // Room first: what is read is never held for longer than it must be.
                room = frames.reserve(), if !self.ready.is_empty() => match room {
                    Ok(room) => {
                        if let Some(frame) = self.turn().await? {
                            room.send(frame);
                        }
                        if let Some(error) = self.filter_failed.take() {
                            return Err(End::Failed(error));
                        }
                    }
                    Err(_) => return Err(End::Done),
                },
            }
        }
    }

    /// Whether an `until_end` subscription has said everything.
    fn is_over(&self) -> bool {
        self.until_end && self.cursors.iter().all(|cursor| cursor.state != State::Flowing)
    }

    /// Queues the partition if it has something to send, otherwise waits for it.
    fn schedule(&mut self, index: usize) {
        let cursor = &mut self.cursors[index];
        if !cursor.is_live() || cursor.queued {
            return;
        }
        if cursor.has_something() {
            cursor.queued = true;
            self.ready.push_back(index);
        } else if !cursor.waiting {
            cursor.waiting = true;
            self.wakeups
                .wait(index, cursor.partition.clone(), cursor.position);
        }
    }

    /// One frame of the partition whose turn it is.
    async fn turn(&mut self) -> Result<Option<Outgoing>, End> {
        let Some(index) = self.ready.pop_front() else {
            return Ok(None);
        };
        let frame_bytes = self.context.records_frame_bytes().min(self.frame_bytes_max) as usize;
        let cursor = &mut self.cursors[index];
        cursor.queued = false;
        if !cursor.is_live() {
            return Ok(None);
        }
        let fetched = if cursor.is_at_end() {
            None
        } else {
            match cursor.partition.fetch(cursor.position, frame_bytes).await {
                Ok(fetched) => Some(fetched),
                Err(error) => {
                    cursor.state = State::Failed;
                    let error = wire_error(error.at_partition(cursor.partition.index()));
                    return control(&error).map(Some);
                }
            }
        };
        let frame = match (&self.filter, fetched) {
            (Some(filter), Some(fetched)) => {
                let filtered = filter
                    .apply(
                        &cursor.partition,
                        fetched.batches.clone(),
                        cursor.position,
                        cursor.end,
                    )
                    .await
                    .map_err(wire_error)?;
                self.filter_failed = filtered.failure.clone().map(|error| {
                    // Without a partition of its own, it is the subscription that ends.
                    WireError {
                        partition: None,
                        ..wire_error(error)
                    }
                });
                advance_filtered(cursor, fetched, filtered)
            }
            (_, fetched) => advance(cursor, fetched),
        };
        self.schedule(index);
        frame
    }

    /// A partition cannot go on from where it stands.
    async fn fail(
        &mut self,
        index: usize,
        mut error: WireError,
        frames: &mpsc::Sender<Outgoing>,
    ) -> Result<(), End> {
        let cursor = &mut self.cursors[index];
        if cursor.state != State::Flowing {
            return Ok(());
        }
        cursor.state = State::Failed;
        error.partition = Some(cursor.partition.index());
        send_control(frames, &error).await
    }

    async fn obey(&mut self, frame: &Frame, frames: &mpsc::Sender<Outgoing>) -> Result<(), End> {
        match frame.message().map_err(|error| undecodable(&error))? {
            SubscribeControl::Seek { partition, start } => self.seek(partition, start, frames).await,
            SubscribeControl::Pause { partitions } => {
                for index in self.named(&partitions)? {
                    self.cursors[index].paused = true;
                }
                Ok(())
            }
            SubscribeControl::Resume { partitions } => {
                for index in self.named(&partitions)? {
                    self.cursors[index].paused = false;
                    self.schedule(index);
                }
                Ok(())
            }
            _ => Err(End::Failed(violation(&"unknown control of a subscription"))),
        }
    }

    async fn seek(
        &mut self,
        partition: u32,
        start: Start,
        frames: &mpsc::Sender<Outgoing>,
    ) -> Result<(), End> {
        let index = self.named(&[partition])?[0];
        let target = self.cursors[index].partition.clone();
        let (position, error) = resolve(&target, start).await?;
        let answer = SubscribeOpened {
            topic_id: self.topic_id,
            partitions: vec![describe(&target, position)],
            filter: self.filter.as_ref().map(|filter| filter.plugin().to_owned()),
        };
        send_control(frames, &answer).await?;
        let cursor = &mut self.cursors[index];
        cursor.position = position;
        cursor.state = State::Flowing;
        match error {
            Some(error) => self.fail(index, error, frames).await,
            None => {
                self.schedule(index);
                Ok(())
            }
        }
    }

    fn named(&self, partitions: &[u32]) -> Result<Vec<usize>, WireError> {
        let place = |partition: &u32| {
            self.indices.get(partition).copied().ok_or_else(|| {
                let message = format!("partition {partition} is not part of this subscription: open another");
                WireError::new(ErrorCode::InvalidRequest, message)
            })
        };
        partitions.iter().map(place).collect()
    }
}

/// Moves the cursor past what was fetched, or to its end; what the consumer is sent, if anything.
fn advance(cursor: &mut Cursor, fetched: Option<Fetched>) -> Result<Option<Outgoing>, End> {
    let partition = cursor.partition.index();
    let (batches, high_watermark, log_start_offset) = match fetched {
        Some(fetched) => {
            cursor.position = cursor.position.max(fetched.next_offset);
            (fetched.batches, fetched.high_watermark, fetched.log_start_offset)
        }
        None => Default::default(),
    };
    let end_reached = cursor.is_at_end();
    if end_reached {
        cursor.state = State::Ended;
    } else if batches.is_empty() {
        return Ok(None);
    }
    let header = RecordsHeader {
        partition,
        end_reached,
        high_watermark: high_watermark.max(cursor.partition.high_watermark()),
        log_start_offset: log_start_offset.max(cursor.partition.log_start_offset()),
    };
    let frame = Outgoing::records(header, batches).ok_or_else(|| {
        End::Failed(WireError::new(ErrorCode::Internal, "a batch is larger than a frame").at(partition, None))
    })?;
    Ok(Some(frame))
}

/// The same with what a filter has kept. Where the batches do not show how far it has got, a message does.
fn advance_filtered(
    cursor: &mut Cursor,
    fetched: Fetched,
    filtered: Filtered,
) -> Result<Option<Outgoing>, End> {
    let shown = filtered.covered.unwrap_or(cursor.position);
    let progress = SubscribeProgress {
        partition: cursor.partition.index(),
        next_offset: filtered.next_offset,
        high_watermark: fetched.high_watermark,
    };
    let fetched = Fetched {
        batches: filtered.batches,
        next_offset: filtered.next_offset,
        ..fetched
    };
    let frame = advance(cursor, Some(fetched))?;
    // The end of a partition says by itself that all of it is done.
    if shown >= progress.next_offset || cursor.state == State::Ended {
        return Ok(frame);
    }
    match frame {
        Some(frame) => frame.then(&progress).map(Some).ok_or_else(too_large),
        None => control(&progress).map(Some),
    }
}

fn control<M: weir_protocol::ControlMessage>(message: &M) -> Result<Outgoing, End> {
    Outgoing::control(message).ok_or_else(too_large)
}

fn too_large() -> End {
    End::Failed(WireError::new(
        ErrorCode::Internal,
        "a message is larger than a frame",
    ))
}

async fn send_control<M: weir_protocol::ControlMessage>(
    frames: &mpsc::Sender<Outgoing>,
    message: &M,
) -> Result<(), End> {
    Ok(frames.send(control(message)?).await?)
}
