use super::*;
use crate::meta::SourceRow;
use crate::{FlowSpec, PluginKind};

fn plugin_row(sha256: &str) -> PluginRow {
    PluginRow {
        sha256: sha256.to_owned(),
        kind: PluginKind::Filter,
        size: 3,
        created_ms: 1,
        imports: vec!["weir:plugin/log".to_owned()],
    }
}

fn flow_row(name: &str) -> FlowRow {
    FlowRow {
        id: 0,
        spec: FlowSpec::new(name, "a", ["p@1"], ["b"]),
        created_ms: 5,
        sources: vec![SourceRow {
            topic: 1,
            start: vec![0, 7],
            end: Vec::new(),
        }],
        bounded: None,
        pause: None,
        revisions: Vec::new(),
    }
}

#[test]
fn everything_is_there_after_a_restart_and_ids_are_not_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.redb");
    let config = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);

    let store = MetaStore::open(Some(&path)).unwrap();
    let empty = store.load().unwrap();
    assert!(empty.topics.is_empty() && empty.plugins.is_empty() && empty.flows.is_empty());
    let first = store.create_topic("a", 3, config.clone()).unwrap();
    let second = store.create_topic("b", 1, BTreeMap::new()).unwrap();
    assert_ne!(first.id, second.id);
    store.delete_topic("b").unwrap();
    assert_eq!(store.add_plugin("p", &plugin_row("x")).unwrap(), 1);
    assert_eq!(store.add_plugin("p", &plugin_row("y")).unwrap(), 2);
    store.delete_plugin("p", &[2]).unwrap();
    let flow = store.create_flow(flow_row("f")).unwrap();
    assert_eq!(store.take_producer_ids(10).unwrap(), 0);
    drop(store);

    let store = MetaStore::open(Some(&path)).unwrap();
    let snapshot = store.load().unwrap();
    assert_eq!(snapshot.cluster_id, empty.cluster_id);
    assert_eq!(snapshot.topics, [("a".to_owned(), first.clone())]);
    assert_eq!(snapshot.plugin_names, [("p".to_owned(), 3)]);
    assert_eq!(snapshot.plugins, [("p".to_owned(), 1, plugin_row("x"))]);
    assert_eq!(snapshot.flows, [("f".to_owned(), flow.clone())]);
    assert_eq!(store.take_producer_ids(10).unwrap(), 10);
    assert!(store.create_topic("b", 1, config).unwrap().id > second.id);
    assert_eq!(store.add_plugin("p", &plugin_row("y")).unwrap(), 3);
    store.delete_flow("f").unwrap();
    assert!(store.create_flow(flow_row("f")).unwrap().id > flow.id);
}

#[test]
fn the_same_in_memory() {
    let store = MetaStore::open(None).unwrap();
    store.load().unwrap();
    store.create_topic("a", 3, BTreeMap::new()).unwrap();
    assert_eq!(store.load().unwrap().topics.len(), 1);
}

#[test]
fn one_store_opens_a_file_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.redb");
    let _held = MetaStore::open(Some(&path)).unwrap();
    assert!(matches!(
        MetaStore::open(Some(&path)),
        Err(OpenError::Locked { .. })
    ));
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.redb");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    assert!(matches!(
        MetaStore::open(Some(&path)),
        Err(OpenError::Corrupt { .. })
    ));
}

#[test]
fn cluster_ids_look_like_kafkas_and_differ() {
    let id = random_cluster_id();
    assert_eq!(id.len(), 22);
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
        "{id}"
    );
    assert_ne!(id, random_cluster_id());
}
