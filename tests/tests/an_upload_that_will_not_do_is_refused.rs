//! An upload that is no WebAssembly, no component, for another world, asks for imports it may not have, or is too large is
//! refused at upload, with the reason in words.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use weir_client::Error;

async fn refusal(client: &weir_client::Client, bytes: Vec<u8>) -> String {
    let error: Error = client
        .admin()
        .upload_plugin("p", bytes, None)
        .await
        .expect_err("it is to be refused");
    error.to_string()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_is_given_in_words() {
    let broker = weir::Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();

    let reason = refusal(&client, b"#!/bin/sh\necho hello\n".to_vec()).await;
    assert!(reason.contains("WebAssembly"), "{reason}");

    let reason = refusal(&client, wat("(module)")).await;
    assert!(
        reason.contains("component") || reason.contains("weir:plugin"),
        "{reason}"
    );

    let reason = refusal(&client, wat("(component)")).await;
    assert!(reason.contains("world") || reason.contains("export"), "{reason}");

    let mut truncated = weir_plugins::IDENTITY.to_vec();
    truncated.truncate(truncated.len() / 2);
    let reason = refusal(&client, truncated).await;
    assert!(
        reason.contains("plugin") || reason.contains("component") || reason.contains("WebAssembly"),
        "{reason}"
    );

    let reason = refusal(&client, vec![0; (32 << 20) + 1]).await;
    assert!(
        reason.contains("33554432") || reason.contains("32 MiB"),
        "the limit is named: {reason}"
    );

    // Nothing of all that was kept, and a good one is taken.
    assert!(client.admin().list_plugins().await.unwrap().is_empty());
    client
        .admin()
        .upload_plugin("p", weir_plugins::IDENTITY, None)
        .await
        .unwrap();
    assert_eq!(client.admin().list_plugins().await.unwrap().len(), 1);
}
