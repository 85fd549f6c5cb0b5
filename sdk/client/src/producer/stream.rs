use std::time::Duration;

use quinn::SendStream;
use weir_protocol::{OpenProduce, ProduceOpened};

use crate::producer::pipeline::ProducerIdentity;
use crate::wire::{FrameReader, send};
use crate::{Client, Error};

/// Most time that opening a stream may take, once there is a connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// An open produce stream.
pub(super) struct ProduceStream {
    pub(super) sender: SendStream,
    pub(super) reader: FrameReader,
    pub(super) opened: ProduceOpened,
}

impl ProduceStream {
    /// Opens a stream for `topic`; with an identity it continues that producer's sequences.
    pub(super) async fn open(
        client: &Client,
        topic: &str,
        idempotent: bool,
        identity: Option<ProducerIdentity>,
    ) -> Result<Self, Error> {
        let session = client.session().await?;
        let open = async {
            let (mut sender, mut reader) = session.open().await?;
            let request = OpenProduce {
                topic: topic.to_owned(),
                idempotent,
                producer_id: identity.map(|identity| identity.id),
                producer_epoch: identity.map(|identity| identity.epoch),
                record_results: true,
            };
            send(&mut sender, session.broker(), &request).await?;
            let opened = reader.message().await?;
            Ok(Self {
                sender,
                reader,
                opened,
            })
        };
        tokio::time::timeout(OPEN_TIMEOUT, open)
            .await
            .unwrap_or(Err(Error::Timeout {
                what: "opening a produce stream",
                after: OPEN_TIMEOUT,
            }))
    }
}
