//! Looking at the keyed state of flows.

use crate::flow::{StateOwner, stage_labels};
use crate::{Broker, BrokerError, ErrorKind, FlowSpec, FlowStatePage, FlowStateQuery};

impl Broker {
    /// Rows of a flow's keyed state, as far as they are committed, page by page: a page that says that there is
    /// [more](FlowStatePage::more) is followed by the one [after](FlowStateQuery::after) its last row. Empty for a flow whose plugins
    /// keep no state.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`]; [`ErrorKind::UnknownTopicOrPartition`] without the source topic or the partition;
    /// [`ErrorKind::InvalidRequest`] when the flow has no such plugin or source, or several and none is named; [`ErrorKind::Storage`] when the state cannot be read.
    pub async fn flow_state(&self, name: &str, query: FlowStateQuery) -> Result<FlowStatePage, BrokerError> {
        let flow = self.core.flow(name)?;
        let spec = flow.spec();
        let source = self.core.topic(source_of(spec, query.topic.as_deref())?)?;
        let plugins: Vec<&str> = spec
            .plugins
            .iter()
            .map(|reference| {
                reference
                    .split_once('@')
                    .map_or(reference.as_str(), |(name, _)| name)
            })
            .collect();
        let mut labels = stage_labels(&plugins);
        if let Some(wanted) = &query.plugin {
            let there = labels.join(", ");
            labels.retain(|label| label == wanted);
            if labels.is_empty() {
                let message = format!(
                    "flow '{name}' has no plugin '{}': it has {there}",
                    wanted.escape_debug()
                );
                return Err(BrokerError::new(ErrorKind::InvalidRequest, message));
            }
        }
        let wanted = match query.partition {
            Some(partition) => partition..partition.saturating_add(1),
            None => 0..source.partitions(),
        };
        let mut partitions = Vec::new();
        for partition in wanted {
            let id = source.partition(partition)?.log_partition().id();
            partitions.push((partition, source.log().shard_of(id)));
        }
        let owner = StateOwner {
            flow: flow.id(),
            topic: source.id(),
            partitions,
            labels,
        };
        self.core
            .blocking(move |core| owner.page(&core.log, &query))
            .await
    }
}

/// The one of a flow's sources that is meant.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] if it has none of that name, or several and none is named.
pub(crate) fn source_of<'a>(spec: &'a FlowSpec, wanted: Option<&str>) -> Result<&'a str, BrokerError> {
    let (name, there) = (&spec.name, spec.from.join(", "));
    let message = match (wanted, spec.from.as_slice()) {
        (_, []) => format!("flow '{name}' reads no topic"),
        (None, [only]) => return Ok(only),
        (None, _) => format!("flow '{name}' reads several topics: name one of {there}"),
        (Some(wanted), sources) => match sources.iter().find(|source| *source == wanted) {
            Some(source) => return Ok(source),
            None => format!(
                "flow '{name}' does not read topic '{}': it reads {there}",
                wanted.escape_debug()
            ),
        },
    };
    Err(BrokerError::new(ErrorKind::InvalidRequest, message))
}
