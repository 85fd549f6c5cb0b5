//! Administrative streams.

use std::collections::BTreeMap;

use weir_protocol::{
    AdminRequest, AdminResponse, ErrorCode, FlowSpec, FrameKind, MAX_UPLOAD_CHUNK_BYTES, Start,
    encode_control,
};

use crate::peer::{Server, header};

fn create(name: &str, partitions: Option<u32>) -> AdminRequest {
    AdminRequest::CreateTopic {
        name: name.to_owned(),
        partitions,
        config: BTreeMap::new(),
    }
}

#[tokio::test]
async fn topics_are_made_listed_described_changed_and_deleted() {
    let server = Server::start().await;
    let peer = server.connect().await;
    let Ok(AdminResponse::Topic(topic)) = peer.request(create("orders", Some(3))).await else {
        panic!()
    };
    assert_eq!((topic.name.as_str(), topic.partitions.len()), ("orders", 3));
    assert!(topic.config.contains_key("max.message.bytes"));
    let Ok(AdminResponse::Topic(topic)) = peer.request(create("single", None)).await else {
        panic!()
    };
    assert_eq!(topic.partitions.len(), 1);
    let Ok(AdminResponse::Topics(topics)) = peer.request(AdminRequest::ListTopics).await else {
        panic!()
    };
    let names: Vec<_> = topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.partitions))
        .collect();
    assert_eq!(names, [("orders", 3), ("single", 1)]);

    peer.fill("orders", 1, 4, 2).await;
    let describe = AdminRequest::DescribeTopic {
        name: "orders".to_owned(),
    };
    let Ok(AdminResponse::Topic(topic)) = peer.request(describe).await else {
        panic!()
    };
    assert_eq!(topic.partitions[1].high_watermark, 8);
    let alter = AdminRequest::AlterTopic {
        name: "orders".to_owned(),
        config: [("max.message.bytes".to_owned(), "5000".to_owned())].into(),
        partitions: Some(5),
    };
    let Ok(AdminResponse::Topic(topic)) = peer.request(alter).await else {
        panic!()
    };
    assert_eq!(
        (topic.partitions.len(), topic.config["max.message.bytes"].as_str()),
        (5, "5000")
    );

    let offset = |start| AdminRequest::ListOffsets {
        topic: "orders".to_owned(),
        partition: 1,
        start,
    };
    for (start, expected) in [(Start::Earliest, 0), (Start::Latest, 8), (Start::Offset(3), 3)] {
        assert_eq!(
            peer.request(offset(start)).await,
            Ok(AdminResponse::Offset { offset: expected })
        );
    }
    let delete = AdminRequest::DeleteTopic {
        name: "orders".to_owned(),
    };
    assert_eq!(peer.request(delete.clone()).await, Ok(AdminResponse::Done));
    let error = peer.request(delete).await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::UnknownTopicOrPartition));
}

#[tokio::test]
async fn names_and_numbers_that_are_not_allowed_are_refused() {
    let server = Server::start().await;
    let peer = server.connect().await;
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a b",
        "ünïcode",
        "\0",
        &"x".repeat(250),
        &"x".repeat(100_000),
    ] {
        let error = peer.request(create(name, Some(1))).await.unwrap_err();
        assert_eq!(
            error.error_code(),
            Some(ErrorCode::InvalidTopic),
            "{name:?}: {error}"
        );
        assert!(error.message.len() < 2000);
    }
    for partitions in [0, u32::MAX] {
        let error = peer.request(create("t", Some(partitions))).await.unwrap_err();
        assert_eq!(error.error_code(), Some(ErrorCode::InvalidPartitions), "{error}");
    }
    peer.request(create("t", Some(1))).await.unwrap();
    let error = peer.request(create("t", Some(1))).await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::TopicAlreadyExists));
    let config = [("no.such.key".to_owned(), "1".to_owned())].into();
    let request = AdminRequest::CreateTopic {
        name: "u".to_owned(),
        partitions: None,
        config,
    };
    let error = peer.request(request).await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::InvalidConfig));
}

#[tokio::test]
async fn plugins_and_flows_that_do_not_exist_are_errors() {
    let server = Server::start().await;
    let peer = server.connect().await;
    let name = || "nobody".to_owned();
    for (request, code) in [
        (
            AdminRequest::DescribePlugin { name: name() },
            ErrorCode::UnknownPlugin,
        ),
        (
            AdminRequest::DeletePlugin { name: name() },
            ErrorCode::UnknownPlugin,
        ),
        (
            AdminRequest::DescribeFlow { name: name() },
            ErrorCode::UnknownFlow,
        ),
        (AdminRequest::PauseFlow { name: name() }, ErrorCode::UnknownFlow),
        (AdminRequest::ResumeFlow { name: name() }, ErrorCode::UnknownFlow),
        (AdminRequest::DeleteFlow { name: name() }, ErrorCode::UnknownFlow),
    ] {
        let error = peer.request(request.clone()).await.unwrap_err();
        assert_eq!(error.error_code(), Some(code), "{request:?}: {error}");
    }
    let spec = FlowSpec::new("f", "nobody", ["p"], ["nobody"]);
    assert!(peer.request(AdminRequest::CreateFlow { spec }).await.is_err());
    assert_eq!(
        peer.request(AdminRequest::ListFlows).await,
        Ok(AdminResponse::Flows(vec![]))
    );
    assert_eq!(
        peer.request(AdminRequest::ListPlugins).await,
        Ok(AdminResponse::Plugins(vec![]))
    );
}

fn upload(size: u64) -> AdminRequest {
    AdminRequest::UploadPlugin {
        name: "p".to_owned(),
        size,
        sha256: None,
    }
}

#[tokio::test]
async fn uploads_that_lie_are_refused() {
    let server = Server::start().await;
    let peer = server.connect().await;
    let chunk = |bytes: &[u8]| {
        let mut frame = header(FrameKind::UploadChunk, bytes.len() as u32);
        frame.extend_from_slice(bytes);
        frame.to_vec()
    };
    let request = encode_control(&AdminRequest::ListTopics).unwrap().to_vec();
    let oversized = header(FrameKind::UploadChunk, MAX_UPLOAD_CHUNK_BYTES + 1).to_vec();
    for (size, frames, code) in [
        (u64::MAX, vec![], ErrorCode::PluginTooLarge),
        (0, vec![], ErrorCode::InvalidRequest),
        (10, vec![chunk(b"1234")], ErrorCode::InvalidRequest),
        (
            10,
            vec![chunk(b"12345678"), chunk(b"9012")],
            ErrorCode::InvalidRequest,
        ),
        (10, vec![request], ErrorCode::ProtocolViolation),
        (10, vec![oversized], ErrorCode::FrameTooLarge),
        (
            10,
            vec![chunk(b"no wasm at")[..12].to_vec()],
            ErrorCode::ProtocolViolation,
        ),
        (10, vec![chunk(b"no wasm at")], ErrorCode::InvalidPlugin),
    ] {
        let mut stream = peer.stream().await;
        stream.say(&upload(size)).await;
        for frame in &frames {
            stream.write(frame).await;
        }
        // A stream that was refused already cannot be finished.
        let _ = stream.sender.finish();
        let error = stream.answer().await.unwrap_err();
        assert_eq!(error.error_code(), Some(code), "{size}: {error}");
    }
    peer.assert_served().await;
}

#[tokio::test]
async fn an_upload_that_stalls_gives_its_place_back() {
    let limits = weir_quic::ListenerLimits {
        stream_timeout: std::time::Duration::from_millis(200),
        ..Default::default()
    };
    let server = Server::start_with(limits).await;
    let peer = server.connect().await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut stream = peer.stream().await;
        stream.say(&upload(100)).await;
        stalled.push(stream);
    }
    for mut stream in stalled {
        let error = stream.answer().await.unwrap_err();
        assert_eq!(error.error_code(), Some(ErrorCode::IdleTimeout), "{error}");
    }
}

#[tokio::test]
async fn a_request_of_a_later_version_is_named() {
    let server = Server::start().await;
    let peer = server.connect().await;
    let mut stream = peer.stream().await;
    let mut frame = header(FrameKind::Request, 7);
    frame.extend_from_slice(b"\x66reboot");
    stream.write(&frame).await;
    let error = stream.last_error().await;
    assert_eq!(error.error_code(), Some(ErrorCode::InvalidRequest));
    assert!(error.message.contains("reboot"), "{error}");
}
