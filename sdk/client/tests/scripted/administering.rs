//! One request, one answer.

use bytes::Bytes;
use weir_client::{Error, ErrorCode, NewTopic, PluginInfo, PluginKind, TopicInfo, WireError};
use weir_protocol::{AdminRequest, AdminResponse, FrameKind};

use crate::support::{FakeBroker, soon};

fn plugin(size: u64) -> PluginInfo {
    PluginInfo {
        name: "p".to_owned(),
        version: 1,
        kind: PluginKind::Filter,
        sha256: String::new(),
        size,
        created_ms: 0,
        imports: Vec::new(),
        used_by: Vec::new(),
        kept_for: Vec::new(),
    }
}

#[tokio::test]
async fn a_topic_is_made_as_asked() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let admin = client.admin();
    let topic = NewTopic::new("t").partitions(3).config("retention.ms", "1000");
    let (made, ()) = tokio::join!(admin.create_topic(topic), async {
        let mut stream = peer.stream().await;
        let AdminRequest::CreateTopic {
            name,
            partitions,
            config,
        } = stream.message().await
        else {
            panic!("another request")
        };
        assert_eq!((name.as_str(), partitions), ("t", Some(3)));
        assert_eq!(config["retention.ms"], "1000");
        assert!(
            stream.frame().await.is_none(),
            "the request ends the client's half"
        );
        let info = TopicInfo {
            name,
            id: 5,
            partitions: Vec::new(),
            config,
        };
        stream.send(&AdminResponse::Topic(info)).await;
    });
    assert_eq!(made.unwrap().id, 5);
}

#[tokio::test]
async fn a_plugin_arrives_in_one_piece_however_large_it_is() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let wasm: Bytes = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let admin = client.admin();
    let (uploaded, ()) = tokio::join!(admin.upload_plugin("p", wasm.clone(), None), async {
        let mut stream = peer.stream().await;
        let AdminRequest::UploadPlugin { size, .. } = stream.message().await else {
            panic!("another request")
        };
        assert_eq!(size, 3_000_000);
        let mut got = Vec::new();
        while let Some(frame) = stream.frame().await {
            assert_eq!(frame.kind(), FrameKind::UploadChunk);
            got.extend_from_slice(&frame.body);
        }
        assert!(got == wasm, "the bytes are as they were sent");
        stream
            .send(&AdminResponse::Uploaded {
                plugin: plugin(size),
                already_present: true,
            })
            .await;
    });
    let uploaded = uploaded.unwrap();
    assert_eq!(
        (uploaded.plugin.size, uploaded.already_present),
        (3_000_000, true)
    );
}

#[tokio::test]
async fn an_upload_that_is_refused_before_it_is_complete_fails_with_the_reason() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let admin = client.admin();
    let upload = admin.upload_plugin("p", vec![0; 40 << 20], None);
    let (refused, _stream) = soon(async {
        tokio::join!(upload, async {
            let mut stream = peer.stream().await;
            let _: AdminRequest = stream.message().await;
            stream
                .send(&WireError::new(ErrorCode::PluginTooLarge, "at most 32 MiB"))
                .await;
            stream.stop();
            stream
        })
    })
    .await;
    let error = refused.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::PluginTooLarge));
}

#[tokio::test]
async fn an_answer_to_another_question_is_a_breach_of_protocol() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let admin = client.admin();
    let (answer, ()) = tokio::join!(admin.list_topics(), async {
        let mut stream = peer.stream().await;
        let _: AdminRequest = stream.message().await;
        stream.send(&AdminResponse::Done).await;
    });
    assert!(matches!(answer, Err(Error::Protocol(_))));
}

#[tokio::test]
async fn a_request_that_is_not_answered_times_out() {
    let broker = FakeBroker::start();
    let (client, _peer) = broker.connect().await;
    let admin = client.admin().timeout(std::time::Duration::from_millis(100));
    let error = soon(admin.list_flows()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(error.retriable());
}
