//! Pausing, resuming, deleting, restarting.

use weir_broker::{ErrorKind, FlowSpec, FlowStatus};

use super::spec;
use crate::support::{batch, on_folder, paused, populate, produce, running, values, wait_for_records, with};

#[tokio::test]
async fn a_flow_pauses_and_resumes_on_request() {
    let broker = with(1, &[("a", 1), ("b", 1)], &["identity"]).await;
    broker.create_flow(spec(&["identity"])).await.unwrap();
    produce(&broker, "a", 0, batch(&["0"])).await;
    wait_for_records(&broker, "b", 1).await;
    let info = broker.pause_flow("f").await.unwrap();
    let FlowStatus::Paused(pause) = info.status else {
        panic!("{:?}", info.status)
    };
    assert!(pause.requested && pause.place.is_none());
    produce(&broker, "a", 0, batch(&["1"])).await;
    assert_eq!(broker.describe_flow("f").await.unwrap().partitions[0].lag, 1);
    assert_eq!(values(&broker, "b", 0).await, ["0"]);
    assert_eq!(paused(&broker, "f").await, pause, "pausing again changes nothing");
    broker.pause_flow("f").await.unwrap();
    broker.resume_flow("f").await.unwrap();
    broker.resume_flow("f").await.unwrap();
    wait_for_records(&broker, "b", 2).await;
    running(&broker, "f").await;
    for result in [
        broker.pause_flow("x").await,
        broker.resume_flow("x").await,
        broker.describe_flow("x").await,
    ] {
        assert_eq!(result.unwrap_err().kind, ErrorKind::UnknownFlow);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_deleted_flow_leaves_its_output_and_no_cursor() {
    let broker = with(3, &[("a", 1), ("b", 1)], &["identity"]).await;
    for round in 1..3 {
        broker.create_flow(spec(&["identity"])).await.unwrap();
        produce(&broker, "a", 0, batch(&["x"])).await;
        // The second flow of the name begins anew.
        wait_for_records(&broker, "b", if round == 1 { 1 } else { 3 }).await;
        broker.delete_flow("f").await.unwrap();
        assert_eq!(
            broker.describe_flow("f").await.unwrap_err().kind,
            ErrorKind::UnknownFlow
        );
    }
    assert!(broker.list_flows().await.unwrap().is_empty());
    broker.shutdown().await;
}

#[tokio::test]
async fn flows_go_on_after_a_restart_and_paused_ones_stay_paused() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 2).await;
    populate(&broker, &[("a", 1), ("b", 1), ("c", 1)], &["identity"]).await;
    broker.create_flow(spec(&["identity"])).await.unwrap();
    broker
        .create_flow(FlowSpec::new("g", "a", ["identity"], ["c"]))
        .await
        .unwrap();
    produce(&broker, "a", 0, batch(&["0"])).await;
    wait_for_records(&broker, "b", 1).await;
    wait_for_records(&broker, "c", 1).await;
    broker.pause_flow("g").await.unwrap();
    broker.shutdown().await;
    drop(broker);

    let broker = on_folder(folder.path(), 2).await;
    produce(&broker, "a", 0, batch(&["1"])).await;
    wait_for_records(&broker, "b", 2).await;
    assert_eq!(values(&broker, "b", 0).await, ["0", "1"]);
    assert_eq!(values(&broker, "c", 0).await, ["0"]);
    let info = broker.describe_flow("g").await.unwrap();
    assert_eq!((info.partitions[0].cursor, info.partitions[0].lag), (1, 1));
    assert!(matches!(info.status, FlowStatus::Paused(pause) if pause.requested));
    broker.shutdown().await;
}

#[tokio::test]
async fn dropping_the_broker_lets_go_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 1).await;
    populate(&broker, &[("a", 1), ("b", 1)], &["identity"]).await;
    broker.create_flow(spec(&["identity"])).await.unwrap();
    produce(&broker, "a", 0, batch(&["0"])).await;
    drop(broker);
    // The flow ends by itself; the lock goes with the last that holds on to the folder.
    let open = async {
        loop {
            match weir_broker::DataFolder::open(folder.path()) {
                Ok(folder) => break folder,
                Err(weir_broker::OpenError::Locked { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let data = crate::support::timely(open).await;
    let config = crate::support::config(weir_broker::Storage::Folder(data), 1);
    let broker = weir_broker::Broker::open(config).await.unwrap();
    wait_for_records(&broker, "b", 1).await;
    broker.shutdown().await;
}
