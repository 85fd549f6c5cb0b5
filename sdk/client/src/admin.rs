use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use weir_protocol::{
    AdminRequest, AdminResponse, BrokerInfo, DryRun, FlowBackfill, FlowChange, FlowInfo, FlowReplay,
    FlowSpec, FlowStatePage, FlowStateQuery, FrameHeader, FrameKind, MAX_UPLOAD_CHUNK_BYTES, PluginInfo,
    Start, TopicInfo, TopicSummary,
};

use crate::wire::{send, write_error};
use crate::{Client, Error};

mod new_topic;
mod uploaded_plugin;

pub use new_topic::NewTopic;
pub use uploaded_plugin::UploadedPlugin;

/// Time for a request that the broker answers from memory or with a small write.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for an upload: large plugins are compiled for seconds.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Administration of a broker: topics, plugins, flows.
///
/// Each call is one request on a stream of its own; calls may run at the same time.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = weir::Broker::builder().in_memory().start().await?;
/// # let client = broker.client().await?;
/// use weir_client::NewTopic;
///
/// let admin = client.admin();
/// admin
///     .create_topic(NewTopic::new("orders").partitions(3).config("retention.ms", "86400000"))
///     .await?;
/// for topic in admin.list_topics().await? {
///     println!("{}: {} partitions", topic.name, topic.partitions);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// Every call returns [`Error::Broker`] with the broker's code and advice if it refuses, and [`Error::Timeout`],
/// [`Error::ConnectionLost`] or the errors of connecting if there is no answer; a change may then have happened or not.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
    timeout: Duration,
}

/// Takes the expected variant out of an answer.
macro_rules! expect {
    ($response:expr, $pattern:pat => $value:expr) => {
        match $response {
            $pattern => Ok($value),
            other => Err(Error::Protocol(format!("an unexpected answer: {other:?}"))),
        }
    };
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            timeout: REQUEST_TIMEOUT,
        }
    }

    /// Other than 30 s for a request (uploads: 5 min, or this if it is more).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes a topic and returns it.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<TopicInfo, Error> {
        let NewTopic {
            name,
            partitions,
            config,
        } = topic;
        let response = self
            .request(AdminRequest::CreateTopic {
                name,
                partitions,
                config,
            })
            .await?;
        expect!(response, AdminResponse::Topic(topic) => topic)
    }

    /// All topics, by name.
    pub async fn list_topics(&self) -> Result<Vec<TopicSummary>, Error> {
        expect!(self.request(AdminRequest::ListTopics).await?, AdminResponse::Topics(topics) => topics)
    }

    /// A topic with its partitions and all its settings.
    pub async fn describe_topic(&self, name: impl Into<String>) -> Result<TopicInfo, Error> {
        let response = self
            .request(AdminRequest::DescribeTopic { name: name.into() })
            .await?;
        expect!(response, AdminResponse::Topic(topic) => topic)
    }

    /// Changes settings of a topic (an empty value restores the default), or the number of its partitions, which can
    /// only grow. Returns the topic.
    pub async fn alter_topic(
        &self,
        name: impl Into<String>,
        config: BTreeMap<String, String>,
        partitions: Option<u32>,
    ) -> Result<TopicInfo, Error> {
        let response = self
            .request(AdminRequest::AlterTopic {
                name: name.into(),
                config,
                partitions,
            })
            .await?;
        expect!(response, AdminResponse::Topic(topic) => topic)
    }

    /// Deletes a topic and all its records.
    pub async fn delete_topic(&self, name: impl Into<String>) -> Result<(), Error> {
        self.done(AdminRequest::DeleteTopic { name: name.into() }).await
    }

    /// The offset that a place in a partition has now.
    pub async fn list_offsets(
        &self,
        topic: impl Into<String>,
        partition: u32,
        start: Start,
    ) -> Result<i64, Error> {
        let response = self
            .request(AdminRequest::ListOffsets {
                topic: topic.into(),
                partition,
                start,
            })
            .await?;
        expect!(response, AdminResponse::Offset { offset } => offset)
    }

    /// Uploads a plugin, the bytes of a WebAssembly component (or of a core module that the broker can make into one),
    /// as the next version under its name; a plugin that has these bytes already stays as it is. With `sha256` (lower-case hexadecimal) the broker checks what arrived.
    pub async fn upload_plugin(
        &self,
        name: impl Into<String>,
        wasm: impl Into<Bytes>,
        sha256: Option<String>,
    ) -> Result<UploadedPlugin, Error> {
        let wasm = wasm.into();
        let request = AdminRequest::UploadPlugin {
            name: name.into(),
            size: wasm.len() as u64,
            sha256,
        };
        let response = self
            .exchange(request, wasm, self.timeout.max(UPLOAD_TIMEOUT))
            .await?;
        expect!(
            response,
            AdminResponse::Uploaded { plugin, already_present } => UploadedPlugin { plugin, already_present }
        )
    }

    /// All plugins in all versions, by name and version.
    pub async fn list_plugins(&self) -> Result<Vec<PluginInfo>, Error> {
        expect!(self.request(AdminRequest::ListPlugins).await?, AdminResponse::Plugins(plugins) => plugins)
    }

    /// A plugin: `name` for its newest version, or `name@version`.
    pub async fn describe_plugin(&self, name: impl Into<String>) -> Result<PluginInfo, Error> {
        let response = self
            .request(AdminRequest::DescribePlugin { name: name.into() })
            .await?;
        expect!(response, AdminResponse::Plugin(plugin) => plugin)
    }

    /// Deletes a plugin that no flow uses: `name` for all versions, or `name@version`.
    pub async fn delete_plugin(&self, name: impl Into<String>) -> Result<(), Error> {
        self.done(AdminRequest::DeletePlugin { name: name.into() }).await
    }

    /// Makes a flow, starts it and returns it.
    pub async fn create_flow(&self, spec: FlowSpec) -> Result<FlowInfo, Error> {
        self.flow(AdminRequest::CreateFlow { spec }).await
    }

    /// All flows, by name.
    pub async fn list_flows(&self) -> Result<Vec<FlowInfo>, Error> {
        expect!(self.request(AdminRequest::ListFlows).await?, AdminResponse::Flows(flows) => flows)
    }

    /// A flow, and how far it is in each partition.
    pub async fn describe_flow(&self, name: impl Into<String>) -> Result<FlowInfo, Error> {
        self.flow(AdminRequest::DescribeFlow { name: name.into() }).await
    }

    /// Stops a flow where it is.
    pub async fn pause_flow(&self, name: impl Into<String>) -> Result<FlowInfo, Error> {
        self.flow(AdminRequest::PauseFlow { name: name.into() }).await
    }

    /// Goes on with a flow where it stopped.
    pub async fn resume_flow(&self, name: impl Into<String>) -> Result<FlowInfo, Error> {
        self.flow(AdminRequest::ResumeFlow { name: name.into() }).await
    }

    /// Has a flow run other versions of its plugins, or with other settings, from an exact offset on: no record is lost, none is
    /// processed by both. What runs goes on if the new versions do not start. With an empty change, every plugin goes to its
    /// newest version.
    pub async fn upgrade_flow(&self, name: impl Into<String>, change: FlowChange) -> Result<FlowInfo, Error> {
        let name = name.into();
        self.flow(AdminRequest::UpgradeFlow { name, change }).await
    }

    /// Runs a flow with other versions of its plugins, or other settings, over the last `records` of its source (`None`: 1,000), and what
    /// it runs now over the same ones. Nothing is stored, and the flow is left alone.
    pub async fn dry_run_flow(
        &self,
        name: impl Into<String>,
        change: FlowChange,
        records: Option<u32>,
        call_out: bool,
    ) -> Result<DryRun, Error> {
        let name = name.into();
        let request = AdminRequest::DryRunFlow {
            name,
            change,
            records,
            call_out,
        };
        expect!(self.request(request).await?, AdminResponse::DryRun(found) => *found)
    }

    /// Has a flow run what it ran at revision `to`, or before its last change. Its position and its state stay.
    pub async fn rollback_flow(&self, name: impl Into<String>, to: Option<u32>) -> Result<FlowInfo, Error> {
        let name = name.into();
        self.flow(AdminRequest::RollbackFlow { name, to }).await
    }

    /// Has a new flow process what a flow's sources hold once more, up to an end, with a position and state of its own; the flow itself
    /// runs on. Returns the new one, which is finished when it has come to the end.
    pub async fn backfill_flow(
        &self,
        name: impl Into<String>,
        backfill: FlowBackfill,
    ) -> Result<FlowInfo, Error> {
        let name = name.into();
        self.flow(AdminRequest::BackfillFlow { name, backfill }).await
    }

    /// Sends a flow's dead letters, or some records that it has read, through its plugins once more. Returns the flow that does
    /// it, which is finished when it has come to the end.
    pub async fn replay_flow(&self, name: impl Into<String>, replay: FlowReplay) -> Result<FlowInfo, Error> {
        let name = name.into();
        self.flow(AdminRequest::ReplayFlow { name, replay }).await
    }

    /// Deletes a flow and its position; what it wrote stays.
    pub async fn delete_flow(&self, name: impl Into<String>) -> Result<(), Error> {
        self.done(AdminRequest::DeleteFlow { name: name.into() }).await
    }

    /// Rows of what the plugins of a flow keep, as far as they are committed. A page that says that there is `more` is followed by
    /// the one `after` its last row.
    pub async fn flow_state(
        &self,
        name: impl Into<String>,
        query: FlowStateQuery,
    ) -> Result<FlowStatePage, Error> {
        let name = name.into();
        let response = self.request(AdminRequest::FlowState { name, query }).await?;
        expect!(response, AdminResponse::FlowState(page) => page)
    }

    /// What the broker says about itself.
    pub async fn describe_broker(&self) -> Result<BrokerInfo, Error> {
        expect!(self.request(AdminRequest::DescribeBroker).await?, AdminResponse::Broker(broker) => broker)
    }

    async fn flow(&self, request: AdminRequest) -> Result<FlowInfo, Error> {
        expect!(self.request(request).await?, AdminResponse::Flow(flow) => *flow)
    }

    async fn done(&self, request: AdminRequest) -> Result<(), Error> {
        expect!(self.request(request).await?, AdminResponse::Done => ())
    }

    async fn request(&self, request: AdminRequest) -> Result<AdminResponse, Error> {
        self.exchange(request, Bytes::new(), self.timeout).await
    }

    /// One request on a stream of its own, with the bytes that belong to it.
    async fn exchange(
        &self,
        request: AdminRequest,
        body: Bytes,
        timeout: Duration,
    ) -> Result<AdminResponse, Error> {
        let exchange = async {
            let session = self.client.session().await?;
            let (mut sender, mut reader) = session.open().await?;
            let broker = session.broker();
            let write = async {
                send(&mut sender, broker, &request).await?;
                let mut rest = body;
                while !rest.is_empty() {
                    let chunk = rest.split_to(rest.len().min(MAX_UPLOAD_CHUNK_BYTES as usize));
                    let header = FrameHeader::new(FrameKind::UploadChunk, chunk.len() as u32).encode();
                    let mut frame = [Bytes::copy_from_slice(&header), chunk];
                    sender
                        .write_all_chunks(&mut frame)
                        .await
                        .map_err(|error| write_error(broker, &error))?;
                }
                // A stream that the broker has stopped needs no end.
                let _ = sender.finish();
                Ok(())
            };
            let read = reader.message::<AdminResponse>();
            // The broker may refuse before it has everything: its answer counts for more than a write that failed.
            let (written, answer) = tokio::join!(write, read);
            match (written, answer) {
                (_, Ok(answer)) => Ok(answer),
                (_, Err(error @ Error::Broker(_))) => Err(error),
                (Err(error), Err(_)) | (Ok(()), Err(error)) => Err(error),
            }
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or(Err(Error::Timeout {
                what: "an administrative request",
                after: timeout,
            }))
    }
}
