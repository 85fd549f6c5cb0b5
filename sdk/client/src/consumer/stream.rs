use std::time::Duration;

use quinn::SendStream;
use weir_protocol::{OpenSubscribe, SubscribeOpened};

use crate::wire::{FrameReader, send};
use crate::{Client, Error};

/// Most time that opening a subscription may take, once there is a connection. A start by time has to be looked up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// An open subscribe stream.
pub(super) struct SubscribeStream {
    pub(super) sender: SendStream,
    pub(super) reader: FrameReader,
    pub(super) opened: SubscribeOpened,
}

impl SubscribeStream {
    pub(super) async fn open(client: &Client, request: &OpenSubscribe) -> Result<Self, Error> {
        let session = client.session().await?;
        let open = async {
            let (mut sender, mut reader) = session.open().await?;
            send(&mut sender, session.broker(), request).await?;
            let opened: SubscribeOpened = reader.message().await?;
            if request.filter.is_some() && opened.filter.is_none() {
                // It would send everything.
                return Err(Error::Protocol(
                    "the broker does not know filters of subscriptions: update it, or consume without a filter".to_owned(),
                ));
            }
            Ok(Self {
                sender,
                reader,
                opened,
            })
        };
        tokio::time::timeout(OPEN_TIMEOUT, open)
            .await
            .unwrap_or(Err(Error::Timeout {
                what: "opening a subscription",
                after: OPEN_TIMEOUT,
            }))
    }
}
