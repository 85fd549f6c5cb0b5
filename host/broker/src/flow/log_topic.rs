//! The topic that a flow's log lines go to.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use serde::{Serialize, Serializer};
use tokio::sync::{mpsc, oneshot};
use weir_batch::BatchBuilder;

use crate::core::Core;
use crate::topics::create_topic;
use crate::{BrokerError, ErrorKind};

/// Lines that wait to be written; further ones are counted and left out, since nobody waits for a log.
const QUEUE_LINES_MAX: usize = 4096;
/// Lines that are written together.
const LINES_AT_ONCE: usize = 512;
/// What a log keeps: the newest so many bytes, for a week.
const TOPIC_CONFIG: [(&str, &str); 3] = [
    ("retention.bytes", "16777216"),
    ("retention.ms", "604800000"),
    ("weir.durability", "relaxed"),
];

/// The name of the topic.
pub(crate) fn topic_name(flow: &str) -> String {
    format!("{flow}.log")
}

/// One line, as its record's value has it, in JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LogLine {
    pub(crate) time_ms: i64,
    pub(crate) level: &'static str,
    #[serde(serialize_with = "text")]
    pub(crate) flow: Arc<str>,
    /// `name@version`; none for what the broker itself says.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_text")]
    pub(crate) plugin: Option<Arc<str>>,
    /// The source and the records of the call in which it was said: the first, and the last if there is more than one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_text")]
    pub(crate) topic: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partition: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_offset: Option<i64>,
    pub(crate) message: String,
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn some_text<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}

#[derive(Debug)]
enum Message {
    Line(LogLine),
    /// Everything before it is written, or never will be.
    Flush(oneshot::Sender<()>),
}

/// Where lines are left to be written.
#[derive(Clone, Debug)]
pub(crate) struct LogQueue(mpsc::Sender<Message>);

/// The other end, for [`write`].
pub(crate) struct LogLines(mpsc::Receiver<Message>);

/// A queue and its end.
pub(crate) fn queue() -> (LogQueue, LogLines) {
    let (sender, receiver) = mpsc::channel(QUEUE_LINES_MAX);
    (LogQueue(sender), LogLines(receiver))
}

impl LogQueue {
    /// Leaves a line; returns whether there was room. Does not block.
    pub(crate) fn push(&self, line: LogLine) -> bool {
        self.0.try_send(Message::Line(line)).is_ok()
    }

    /// Waits until everything that was left so far is written.
    pub(crate) async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(Message::Flush(done)).await.is_ok() {
            // An error means that nobody writes any more.
            let _ = is_done.await;
        }
    }
}

/// Writes lines as they come, until nobody can leave any.
pub(crate) async fn write(core: Weak<Core>, LogLines(mut lines): LogLines) {
    let mut messages = Vec::with_capacity(LINES_AT_ONCE);
    while lines.recv_many(&mut messages, LINES_AT_ONCE).await > 0 {
        let mut by_flow: BTreeMap<Arc<str>, Vec<LogLine>> = BTreeMap::new();
        let mut flushed = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Line(line) => by_flow.entry(Arc::clone(&line.flow)).or_default().push(line),
                Message::Flush(done) => flushed.push(done),
            }
        }
        let Some(core) = core.upgrade() else { return };
        for (flow, lines) in by_flow {
            match write_lines(&core, &flow, &lines).await {
                Err(error) if error.kind == ErrorKind::ShuttingDown => {}
                Err(error) => {
                    let lines = lines.len();
                    tracing::warn!(flow = &*flow, "{lines} log lines are lost: {error}");
                }
                Ok(()) => {}
            }
        }
        // Whoever waits may want the folder.
        drop(core);
        for done in flushed {
            // Whoever waited may have gone.
            let _ = done.send(());
        }
    }
}

async fn write_lines(core: &Arc<Core>, flow: &str, lines: &[LogLine]) -> Result<(), BrokerError> {
    let name = topic_name(flow);
    let topic = match core.topic(&name) {
        Ok(topic) => topic,
        Err(_) => {
            // Lines of a flow that was deleted meanwhile make no topic.
            core.flow(flow)?;
            let config = TOPIC_CONFIG.map(|(key, value)| (key.to_owned(), value.to_owned()));
            match create_topic(core, &name, 1, BTreeMap::from(config)).await {
                Err(error) if error.kind != ErrorKind::TopicAlreadyExists => return Err(error),
                _ => core.topic(&name)?,
            }
        }
    };
    let bytes_max = topic.config().message_bytes_max / 2;
    let mut builder = BatchBuilder::new();
    for line in lines {
        let value = serde_json::to_vec(line).map_err(BrokerError::storage)?;
        if !builder.is_empty() && builder.encoded_len() + value.len() > bytes_max {
            let batch = builder.finish().map_err(BrokerError::storage)?;
            topic
                .produce(0, BytesMut::from(Bytes::from(batch)))
                .await?
                .await?;
        }
        builder
            .push(line.time_ms, None, Some(&value), &[])
            .map_err(BrokerError::storage)?;
    }
    let batch = builder.finish().map_err(BrokerError::storage)?;
    topic
        .produce(0, BytesMut::from(Bytes::from(batch)))
        .await?
        .await?;
    Ok(())
}
