//! An administrative stream: one request, one answer.

mod bounded;
mod dry_run;
mod flow_state;
mod info;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use weir_broker::{BrokerError, FlowStatus};
use weir_protocol::{AdminRequest, AdminResponse, BrokerInfo, CloseCode, WireError};

use crate::context::Context;
use crate::error::{shutting_down, wire_error};
use crate::stream::{FrameReader, StreamWriter};

/// Partitions of a topic for which no number is given.
const PARTITIONS_DEFAULT: u32 = 1;

/// How long a flow that is resumed has to show whether it gets on, before the answer says how it looks by then.
const RESUMED_WAIT: Duration = Duration::from_secs(3);

/// Answers one request.
pub(crate) async fn serve(
    request: AdminRequest,
    mut reader: FrameReader,
    writer: StreamWriter,
    context: Arc<Context>,
) {
    // Requests that are under way when the listener ends may still be answered; its deadline bounds them.
    let answer = if context.drain.is_started() {
        Err(shutting_down())
    } else {
        answer(request, &mut reader, &context).await
    };
    reader.stop(CloseCode::Done);
    match answer {
        Ok(response) => writer.answer(&response).await,
        Err(error) => writer.fail(&error).await,
    }
}

async fn answer(
    request: AdminRequest,
    reader: &mut FrameReader,
    context: &Context,
) -> Result<AdminResponse, WireError> {
    match request {
        AdminRequest::UploadPlugin { name, size, sha256 } => {
            upload::receive(&name, size, sha256, reader, context).await
        }
        AdminRequest::DescribeBroker => describe(context)
            .await
            .map(AdminResponse::Broker)
            .map_err(wire_error),
        request => call(request, context).await.map_err(wire_error),
    }
}

async fn call(request: AdminRequest, context: &Context) -> Result<AdminResponse, BrokerError> {
    let broker = &context.broker;
    Ok(match request {
        AdminRequest::CreateTopic {
            name,
            partitions,
            config,
        } => {
            let partitions = partitions.unwrap_or(PARTITIONS_DEFAULT);
            AdminResponse::Topic(info::topic(broker.create_topic(&name, partitions, config).await?))
        }
        AdminRequest::ListTopics => AdminResponse::Topics(
            broker
                .list_topics()
                .into_iter()
                .map(info::topic_summary)
                .collect(),
        ),
        AdminRequest::DescribeTopic { name } => {
            AdminResponse::Topic(info::topic(broker.describe_topic(&name)?))
        }
        AdminRequest::AlterTopic {
            name,
            config,
            partitions,
        } => AdminResponse::Topic(info::topic(broker.alter_topic(&name, config, partitions).await?)),
        AdminRequest::DeleteTopic { name } => {
            broker.delete_topic(&name).await?;
            AdminResponse::Done
        }
        AdminRequest::ListOffsets {
            topic,
            partition,
            start,
        } => {
            let partition = broker.topic(&topic)?.partition(partition)?;
            AdminResponse::Offset {
                offset: partition.resolve(info::start(start)).await?,
            }
        }
        AdminRequest::ListPlugins => {
            AdminResponse::Plugins(broker.list_plugins().into_iter().map(info::plugin).collect())
        }
        AdminRequest::DescribePlugin { name } => {
            AdminResponse::Plugin(info::plugin(broker.describe_plugin(&name)?))
        }
        AdminRequest::DeletePlugin { name } => {
            broker.delete_plugin(&name).await?;
            AdminResponse::Done
        }
        AdminRequest::CreateFlow { spec } => AdminResponse::Flow(Box::new(info::flow(
            broker.create_flow(info::flow_spec(spec)?).await?,
        ))),
        AdminRequest::ListFlows => {
            AdminResponse::Flows(broker.list_flows().await?.into_iter().map(info::flow).collect())
        }
        AdminRequest::DescribeFlow { name } => {
            AdminResponse::Flow(Box::new(info::flow(broker.describe_flow(&name).await?)))
        }
        AdminRequest::PauseFlow { name } => {
            AdminResponse::Flow(Box::new(info::flow(broker.pause_flow(&name).await?)))
        }
        AdminRequest::ResumeFlow { name } => {
            let FlowStatus::Paused(pause) = broker.describe_flow(&name).await?.status else {
                // It runs already, and is left alone.
                return Ok(AdminResponse::Flow(Box::new(info::flow(
                    broker.resume_flow(&name).await?,
                ))));
            };
            broker.resume_flow(&name).await?;
            // Whoever asks wants to know whether that was of use.
            let flow = broker
                .settled_flow(&name, pause.place.as_ref(), RESUMED_WAIT)
                .await?;
            AdminResponse::Flow(Box::new(info::flow(flow)))
        }
        AdminRequest::UpgradeFlow { name, change } => {
            let change = info::flow_change(change)?;
            AdminResponse::Flow(Box::new(info::flow(broker.upgrade_flow(&name, change).await?)))
        }
        AdminRequest::DryRunFlow {
            name,
            change,
            records,
            call_out,
        } => {
            let records = records.unwrap_or(weir_broker::DRY_RUN_RECORDS);
            let found = broker
                .dry_run_flow(&name, info::flow_change(change)?, records, call_out)
                .await?;
            AdminResponse::DryRun(Box::new(dry_run::dry_run(found)))
        }
        AdminRequest::RollbackFlow { name, to } => {
            AdminResponse::Flow(Box::new(info::flow(broker.rollback_flow(&name, to).await?)))
        }
        AdminRequest::BackfillFlow { name, backfill } => {
            let backfill = bounded::backfill(backfill)?;
            AdminResponse::Flow(Box::new(info::flow(broker.backfill_flow(&name, backfill).await?)))
        }
        AdminRequest::ReplayFlow { name, replay } => {
            let replay = bounded::replay(replay)?;
            AdminResponse::Flow(Box::new(info::flow(broker.replay_flow(&name, replay).await?)))
        }
        AdminRequest::DeleteFlow { name } => {
            broker.delete_flow(&name).await?;
            AdminResponse::Done
        }
        AdminRequest::FlowState { name, query } => {
            let page = broker.flow_state(&name, flow_state::query(query)).await?;
            AdminResponse::FlowState(flow_state::page(page))
        }
        other => {
            let message = format!("this broker does not know the request {other:?}: is the client newer?");
            return Err(BrokerError::new(weir_broker::ErrorKind::InvalidRequest, message));
        }
    })
}

async fn describe(context: &Context) -> Result<BrokerInfo, BrokerError> {
    let broker = &context.broker;
    let topics = broker.list_topics();
    let partitions = topics.iter().flat_map(|topic| &topic.partitions);
    Ok(BrokerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_id: broker.cluster_id().to_owned(),
        uptime_ms: u64::try_from(context.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        connections: context.endpoint.open_connections() as u64,
        topics: topics.len() as u64,
        partitions: partitions.clone().count() as u64,
        plugins: broker.list_plugins().len() as u64,
        flows: broker.list_flows().await?.len() as u64,
        storage_bytes: partitions.map(|partition| partition.bytes).sum(),
    })
}
