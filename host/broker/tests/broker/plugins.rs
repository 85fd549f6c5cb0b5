use weir_broker::{ErrorKind, FlowSpec, PluginKind};

use crate::support::{guest, in_memory, no_config, on_folder, pairs};

#[tokio::test]
async fn an_upload_gets_a_version_and_the_same_bytes_do_not_get_another() {
    let broker = in_memory().await;
    let first = broker.upload_plugin("p", &guest("identity")).await.unwrap();
    assert_eq!(
        (first.plugin.reference().as_str(), first.already_present),
        ("p@1", false)
    );
    assert_eq!(first.plugin.kind, PluginKind::Transform);
    let second = broker.upload_plugin("p", &guest("json-filter")).await.unwrap();
    assert_eq!(
        (second.plugin.version, second.plugin.kind),
        (2, PluginKind::Filter)
    );
    let again = broker.upload_plugin("p", &guest("identity")).await.unwrap();
    assert_eq!(
        (again.plugin, again.already_present),
        (first.plugin.clone(), true)
    );
    let other = broker.upload_plugin("q", &guest("identity")).await.unwrap();
    assert_eq!(
        (other.plugin.version, &other.plugin.sha256),
        (1, &first.plugin.sha256)
    );

    assert_eq!(broker.describe_plugin("p").unwrap(), second.plugin, "the newest");
    assert_eq!(broker.describe_plugin("p@1").unwrap(), first.plugin);
    assert_eq!(
        broker.describe_plugin("p@3").unwrap_err().kind,
        ErrorKind::UnknownPlugin
    );
    assert_eq!(
        broker.describe_plugin("r").unwrap_err().kind,
        ErrorKind::UnknownPlugin
    );
    assert_eq!(
        broker.describe_plugin("p@x").unwrap_err().kind,
        ErrorKind::InvalidRequest
    );
    let listed: Vec<_> = broker
        .list_plugins()
        .iter()
        .map(weir_broker::PluginInfo::reference)
        .collect();
    assert_eq!(listed, ["p@1", "p@2", "q@1"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_in_words() {
    let broker = in_memory().await;
    for bytes in [
        b"#!/bin/sh".as_slice(),
        b"\0asm\x01\0\0\0",
        &guest("identity")[..1000],
    ] {
        let error = broker.upload_plugin("p", bytes).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidPlugin, "{error}");
        assert!(error.message.len() > 20, "{error}");
    }
    let kind = |result: Result<_, weir_broker::BrokerError>| {
        result.map(|_: weir_broker::Upload| ()).unwrap_err().kind
    };
    assert_eq!(
        kind(broker.begin_upload("p", 1 << 40, None).await),
        ErrorKind::PluginTooLarge
    );
    assert_eq!(
        kind(broker.begin_upload("p", 0, None).await),
        ErrorKind::InvalidRequest
    );
    assert_eq!(
        kind(broker.begin_upload("a@b", 5, None).await),
        ErrorKind::InvalidRequest
    );
    assert!(broker.list_plugins().is_empty());
    broker.shutdown().await;
}

#[tokio::test]
async fn an_upload_in_pieces_is_held_to_what_was_announced() {
    let broker = in_memory().await;
    let bytes = guest("identity");
    let size = bytes.len() as u64;
    let mut long = broker.begin_upload("p", size - 1, None).await.unwrap();
    long.push(&bytes[..1000]).unwrap();
    assert_eq!(
        long.push(&bytes[1000..]).unwrap_err().kind,
        ErrorKind::InvalidRequest
    );
    drop(long);
    let mut short = broker.begin_upload("p", size, None).await.unwrap();
    short.push(&bytes[..1000]).unwrap();
    assert_eq!(short.finish().await.unwrap_err().kind, ErrorKind::InvalidRequest);
    let mut other = broker
        .begin_upload("p", size, Some("00".repeat(32)))
        .await
        .unwrap();
    other.push(&bytes).unwrap();
    assert_eq!(other.finish().await.unwrap_err().kind, ErrorKind::InvalidRequest);
    let mut whole = broker.begin_upload("p", size, None).await.unwrap();
    for piece in bytes.chunks(4096) {
        whole.push(piece).unwrap();
    }
    assert_eq!(whole.finish().await.unwrap().plugin.version, 1);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_plugin_in_use_stays_and_numbers_are_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 1).await;
    for name in ["a", "b"] {
        broker.create_topic(name, 1, no_config()).await.unwrap();
    }
    let used = broker
        .upload_plugin("p", &guest("identity"))
        .await
        .unwrap()
        .plugin;
    let unused = broker
        .upload_plugin("p", &guest("json-filter"))
        .await
        .unwrap()
        .plugin;
    broker
        .create_flow(FlowSpec::new("f", "a", ["p@1"], ["b"]))
        .await
        .unwrap();
    assert_eq!(broker.describe_plugin("p@1").unwrap().used_by, ["f"]);
    for reference in ["p@1", "p"] {
        let error = broker.delete_plugin(reference).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::PluginInUse);
        assert!(error.message.contains("flow f"), "{error}");
    }
    let blob = |sha256: &str| folder.path().join("plugins").join(format!("{sha256}.wasm"));
    assert!(blob(&unused.sha256).exists());
    assert_eq!(broker.delete_plugin("p@2").await.unwrap().len(), 1);
    assert!(!blob(&unused.sha256).exists() && blob(&used.sha256).exists());
    broker.delete_flow("f").await.unwrap();
    broker.delete_plugin("p").await.unwrap();
    assert!(!blob(&used.sha256).exists());
    assert_eq!(
        broker.delete_plugin("p").await.unwrap_err().kind,
        ErrorKind::UnknownPlugin
    );
    broker.shutdown().await;
    drop(broker);

    let broker = on_folder(folder.path(), 1).await;
    assert!(broker.list_plugins().is_empty());
    let again = broker.upload_plugin("p", &guest("json-filter")).await.unwrap();
    assert_eq!((again.plugin.version, again.already_present), (3, false));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_damaged_plugin_file_pauses_the_flow_that_needs_it_and_an_upload_repairs_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_folder(folder.path(), 1).await;
    for name in ["a", "b"] {
        broker.create_topic(name, 1, no_config()).await.unwrap();
    }
    let plugin = broker
        .upload_plugin("p", &guest("identity"))
        .await
        .unwrap()
        .plugin;
    broker
        .create_flow(FlowSpec::new("f", "a", ["p"], ["b"]))
        .await
        .unwrap();
    broker.shutdown().await;
    drop(broker);
    let path = folder
        .path()
        .join("plugins")
        .join(format!("{}.wasm", plugin.sha256));
    std::fs::write(&path, b"damaged").unwrap();

    let broker = on_folder(folder.path(), 1).await;
    let status = crate::support::paused(&broker, "f").await;
    assert!(status.reason.contains("damaged"), "{}", status.reason);
    broker.upload_plugin("p", &guest("identity")).await.unwrap();
    broker.resume_flow("f").await.unwrap();
    crate::support::running(&broker, "f").await;
    broker.shutdown().await;
}

#[tokio::test]
async fn a_configuration_that_a_plugin_refuses_makes_no_flow() {
    let broker = in_memory().await;
    for name in ["a", "b"] {
        broker.create_topic(name, 1, no_config()).await.unwrap();
    }
    broker
        .upload_plugin("json-filter", &guest("json-filter"))
        .await
        .unwrap();
    let mut spec = FlowSpec::new("f", "a", ["json-filter"], ["b"]);
    spec.config = pairs(&[("no-such-key", "x")]);
    let error = broker.create_flow(spec.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    assert!(error.message.contains("no-such-key"), "{error}");
    assert!(broker.list_flows().await.unwrap().is_empty());
    spec.config = pairs(&[("json-filter.field", "n"), ("json-filter.op", "exists")]);
    broker.create_flow(spec).await.unwrap();
    broker.shutdown().await;
}
