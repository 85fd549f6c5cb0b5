//! Acks of batches that an ingest flow has judged, as they look on the wire.

use std::collections::BTreeMap;

use weir_broker::FlowSpec;
use weir_protocol::{ErrorCode, OpenProduce, ProduceOpened, RecordRun};

use crate::peer::{Server, batch_of, open_produce};

/// A topic `t` behind json-project, which refuses what is no JSON.
async fn guarded() -> Server {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let plugin = weir_plugins::component("json-project").unwrap();
    server.broker.upload_plugin("json-project", plugin).await.unwrap();
    let spec = FlowSpec {
        config: BTreeMap::from([("rename".to_owned(), "n=m".to_owned())]),
        ..FlowSpec::ingest("guard", ["json-project"], "t")
    };
    server.broker.create_flow(spec).await.unwrap();
    server
}

fn values(values: &[&str]) -> Vec<u8> {
    batch_of(values.len(), |index| values[index].as_bytes().to_vec())
}

#[tokio::test]
async fn an_ack_says_what_became_of_each_record_and_nothing_where_all_is_well() {
    let server = guarded().await;
    let peer = server.connect().await;
    let (mut stream, _) = peer.produce("t").await;
    stream.send_batch(0, &values(&["{}", "{}"])).await;
    stream.send_batch(0, &values(&["{}", "x", "y", "{}"])).await;
    stream.send_batch(0, &values(&["x"])).await;
    stream.send_batch(0, &values(&["{}"])).await;
    let ack = stream.ack().await;
    assert_eq!((ack.error, ack.base_offset, ack.records), (None, 0, None));
    let ack = stream.ack().await;
    assert_eq!((ack.error, ack.base_offset), (None, 2));
    let results = ack.records.unwrap();
    let stored = |first| RecordRun::Stored {
        records: 1,
        first,
        each: 1,
    };
    let rejected = |records| RecordRun::Rejected {
        records,
        rejection: 0,
    };
    assert_eq!(results.runs, [stored(0), rejected(2), stored(1)]);
    assert_eq!(results.rejections.len(), 1);
    assert_eq!(results.rejections[0].code, ErrorCode::RecordRejected.number());
    assert!(results.rejections[0].reason.contains("cannot handle a record"));
    assert_eq!(stream.ack().await.records.unwrap().runs, [rejected(1)]);
    assert_eq!(stream.ack().await.base_offset, 4);
}

#[tokio::test]
async fn a_client_that_does_not_ask_never_takes_a_refused_record_for_stored() {
    let server = guarded().await;
    let peer = server.connect().await;
    let mut stream = peer.stream().await;
    stream
        .say(&OpenProduce {
            record_results: false,
            ..open_produce("t")
        })
        .await;
    let _: ProduceOpened = stream.hear().await;
    stream.send_batch(0, &values(&["{}", "x"])).await;
    let error = stream.ack().await.error.unwrap();
    assert_eq!(error.error_code(), Some(ErrorCode::RecordRejected));
    assert!(error.message.contains("1 records of the batch"), "{error}");
    stream.send_batch(0, &values(&["{}"])).await;
    let ack = stream.ack().await;
    assert_eq!((ack.error, ack.base_offset), (None, 1));
}

#[tokio::test]
async fn a_paused_flow_is_a_retriable_error_in_the_ack() {
    let server = guarded().await;
    let peer = server.connect().await;
    let (mut stream, _) = peer.produce("t").await;
    server.broker.pause_flow("guard").await.unwrap();
    stream.send_batch(0, &values(&["{}"])).await;
    let error = stream.ack().await.error.unwrap();
    assert_eq!(error.error_code(), Some(ErrorCode::FlowNotRunning));
    assert!(error.retriable && error.message.contains("'guard'"), "{error}");
    server.broker.resume_flow("guard").await.unwrap();
    stream.send_batch(0, &values(&["{}"])).await;
    assert_eq!(stream.ack().await.error, None);
}
