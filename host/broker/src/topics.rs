//! Making, showing, changing and deleting topics.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use crate::broker::{open_partitions, open_topic};
use crate::core::Core;
use crate::meta::TopicRow;
use crate::name::check_topic_name;
use crate::topic::{TopicState, partition_config};
use crate::{Broker, BrokerError, ErrorKind, TopicConfig, TopicInfo};

impl Broker {
    /// Makes a topic of `partitions` partitions. `config` holds Kafka's keys for what is not to have its default.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTopic`] for the name, [`ErrorKind::TopicAlreadyExists`], [`ErrorKind::InvalidPartitions`],
    /// [`ErrorKind::InvalidConfig`], [`ErrorKind::LimitExceeded`]; [`ErrorKind::StorageFull`],
    /// [`ErrorKind::Storage`], [`ErrorKind::ShuttingDown`].
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        config: BTreeMap<String, String>,
    ) -> Result<TopicInfo, BrokerError> {
        create_topic(&self.core, name, partitions, config).await
    }

    /// All topics, by name.
    pub fn list_topics(&self) -> Vec<TopicInfo> {
        let topics = self.core.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().map(crate::Topic::info).collect()
    }

    /// One topic.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopicOrPartition`].
    pub fn describe_topic(&self, name: &str) -> Result<TopicInfo, BrokerError> {
        Ok(self.core.topic(name)?.info())
    }

    /// Changes a topic: `config` holds the keys to change, with an empty value for one that is to have its default again;
    /// `partitions` is the new number of partitions. Partitions can be added, never removed; which one a key belongs to
    /// changes with their number.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopicOrPartition`], [`ErrorKind::InvalidPartitions`], [`ErrorKind::InvalidConfig`],
    /// [`ErrorKind::LimitExceeded`]; [`ErrorKind::StorageFull`], [`ErrorKind::Storage`], [`ErrorKind::ShuttingDown`].
    pub async fn alter_topic(
        &self,
        name: &str,
        config: BTreeMap<String, String>,
        partitions: Option<u32>,
    ) -> Result<TopicInfo, BrokerError> {
        let name = name.to_owned();
        self.core
            .change(move |core| async move { alter(&core, &name, config, partitions).await })
            .await
    }

    /// Deletes a topic and everything in it; the disk space is given back in the background. Flows that read from it or
    /// write to it pause.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopicOrPartition`]; [`ErrorKind::StorageFull`], [`ErrorKind::Storage`],
    /// [`ErrorKind::ShuttingDown`].
    pub async fn delete_topic(&self, name: &str) -> Result<(), BrokerError> {
        let name = name.to_owned();
        self.core
            .change(move |core| async move { delete(&core, name).await })
            .await
    }
}

/// See [`Broker::create_topic`].
pub(crate) async fn create_topic(
    core: &Arc<Core>,
    name: &str,
    partitions: u32,
    config: BTreeMap<String, String>,
) -> Result<TopicInfo, BrokerError> {
    check_topic_name(name)?;
    TopicConfig::parse(&config, &core.limits)?;
    check_partitions(partitions, core.limits.topic_partitions_max)?;
    let name = name.to_owned();
    core.change(move |core| async move { create(&core, name, partitions, config).await })
        .await
}

async fn create(
    core: &Arc<Core>,
    name: String,
    partitions: u32,
    config: BTreeMap<String, String>,
) -> Result<TopicInfo, BrokerError> {
    {
        let topics = core.topics.read().unwrap_or_else(PoisonError::into_inner);
        if topics.contains_key(&name) {
            let message = format!("topic '{name}' exists: choose another name, or delete it first");
            return Err(BrokerError::new(ErrorKind::TopicAlreadyExists, message));
        }
        if topics.len() >= core.limits.topics_max {
            return Err(limit(format!(
                "there are {} topics, the most this broker keeps",
                topics.len()
            )));
        }
    }
    check_total(core, partitions)?;
    let topic = core
        .blocking(move |core| {
            let row = core.meta.create_topic(&name, partitions, config)?;
            open_topic(&core.log, &name, row, &core.limits).inspect_err(|_| {
                // Without partitions it would be a topic that nobody can use. Should this fail as well, then the
                // next start makes what is missing.
                if let Err(error) = core.meta.delete_topic(&name) {
                    tracing::warn!("topic '{name}' is half made until the next start: {error}");
                }
            })
        })
        .await?;
    // A topic of that name may have had a guard that outlived it.
    let flows = core.flows();
    let guard = flows
        .iter()
        .filter_map(|flow| flow.guard())
        .find(|guard| guard.topic() == topic.name());
    topic.set_guard(guard.cloned());
    let info = topic.info();
    core.topics
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(info.name.clone(), topic);
    tracing::info!(topic = info.name, partitions, "topic created");
    Ok(info)
}

async fn alter(
    core: &Arc<Core>,
    name: &str,
    config: BTreeMap<String, String>,
    partitions: Option<u32>,
) -> Result<TopicInfo, BrokerError> {
    let topic = core.topic(name)?;
    let state = topic.state();
    let mut overrides = state.overrides.clone();
    for (key, value) in config {
        if value.is_empty() {
            // A key that never was one is still an error.
            TopicConfig::check_key(&key)?;
            overrides.remove(&key);
        } else {
            overrides.insert(key, value);
        }
    }
    let config = TopicConfig::parse(&overrides, &core.limits)?;
    let present = state.partitions.len() as u32;
    let wanted = partitions.unwrap_or(present);
    if wanted < present {
        let message = format!("topic '{name}' has {present} partitions: they can be added, not removed");
        return Err(BrokerError::new(ErrorKind::InvalidPartitions, message));
    }
    check_partitions(wanted, core.limits.topic_partitions_max.max(present))?;
    check_total(core, wanted - present)?;

    let changed = topic.clone();
    core.blocking(move |core| {
        let row = TopicRow {
            id: changed.id(),
            partitions: wanted,
            config: overrides.clone(),
        };
        core.meta.put_topic(changed.name(), &row)?;
        let log_config = partition_config(&config);
        let mut partitions = state.partitions.clone();
        for partition in &partitions {
            partition.configure(log_config.clone());
        }
        partitions.extend(open_partitions(
            &core.log,
            changed.id(),
            present..wanted,
            &log_config,
        )?);
        changed.set_state(TopicState {
            deleted: false,
            overrides,
            config,
            partitions,
            guard: changed.state().guard.clone(),
        });
        Ok(())
    })
    .await?;
    Ok(topic.info())
}

async fn delete(core: &Arc<Core>, name: String) -> Result<(), BrokerError> {
    let topic = core.topic(&name)?;
    let deleted = topic.clone();
    core.blocking(move |core| Ok(core.meta.delete_topic(deleted.name())?))
        .await?;
    core.topics
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&name);
    let state = topic.state();
    topic.set_state(TopicState {
        deleted: true,
        overrides: state.overrides.clone(),
        config: state.config.clone(),
        partitions: state.partitions.clone(),
        guard: state.guard.clone(),
    });
    let id = topic.id();
    // The topic is gone for everybody. If its space cannot be given back now, the next start does it.
    let reclaimed = core.blocking(move |core| core.log.delete_topic(id).map_err(BrokerError::storage));
    if let Err(error) = reclaimed.await {
        tracing::warn!("the space of deleted topic '{name}' is given back at the next start: {error}");
    }
    tracing::info!(topic = name, "topic deleted");
    Ok(())
}

fn check_partitions(partitions: u32, max: u32) -> Result<(), BrokerError> {
    if (1..=max).contains(&partitions) {
        return Ok(());
    }
    let message = format!("a topic cannot have {partitions} partitions: give a number from 1 to {max}");
    Err(BrokerError::new(ErrorKind::InvalidPartitions, message))
}

fn check_total(core: &Core, more: u32) -> Result<(), BrokerError> {
    let topics = core.topics.read().unwrap_or_else(PoisonError::into_inner);
    let total: usize = topics.values().map(|topic| topic.partitions() as usize).sum();
    if total + more as usize <= core.limits.partitions_max {
        return Ok(());
    }
    let max = core.limits.partitions_max;
    Err(limit(format!(
        "there are {total} partitions of {max} that this broker keeps: {more} more are too many"
    )))
}

fn limit(message: String) -> BrokerError {
    BrokerError::new(ErrorKind::LimitExceeded, message)
}
