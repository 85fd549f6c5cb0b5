//! A broker that says what a test tells it to say: the native protocol over real QUIC, without a log behind it.
#![allow(clippy::unwrap_used, reason = "a test's own code")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use weir_batch::{Batch, BatchBuilder, BatchHeader};
use weir_client::{Client, ClientBuilder, WireError};
use weir_protocol::{
    ALPN, Ack, ControlMessage, ErrorCode, Frame, FrameDecoder, FrameKind, FrameLimits, Hello, HelloOk,
    OpenProduce, OpenSubscribe, PRODUCE_HEADER_LEN, ProduceHeader, ProduceOpened, RecordsHeader,
    SubscribeOpened, SubscribedPartition, encode_control,
};

/// No step of a test takes longer, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits a step of a test; fails if it does not come.
pub(crate) async fn soon<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step)
        .await
        .expect("the step takes too long")
}

pub(crate) struct FakeBroker {
    endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: String,
    tls: ServerConfig,
}

impl FakeBroker {
    pub(crate) fn start() -> Self {
        Self::with_alpn(ALPN)
    }

    pub(crate) fn with_alpn(alpn: &[u8]) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(made.cert.der().to_vec())], key)
            .unwrap();
        tls.alpn_protocols = vec![alpn.to_vec()];
        let tls = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::server(tls.clone(), ([127, 0, 0, 1], 0).into()).unwrap();
        Self {
            address: endpoint.local_addr().unwrap(),
            endpoint,
            ca_pem: made.cert.pem(),
            tls,
        }
    }

    /// Goes away and comes back at the same address.
    pub(crate) async fn stop(&mut self) {
        self.endpoint.close(VarInt::from_u32(1), b"stopped by the test");
        self.endpoint.wait_idle().await;
        self.endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    }

    /// The endpoint is gone with its runtime.
    pub(crate) fn forget(&mut self) {
        self.endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        // The old socket is closed by a task that ends after `wait_idle`.
        self.endpoint = soon(async {
            loop {
                match Endpoint::server(self.tls.clone(), self.address) {
                    Ok(endpoint) => return endpoint,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await;
    }

    pub(crate) fn client(&self) -> ClientBuilder {
        Client::builder()
            .broker(self.address.to_string())
            .ca_pem(&self.ca_pem)
    }

    /// The next handshake, whatever comes of it.
    pub(crate) async fn shake_hands(&self) {
        let _ = self.endpoint.accept().await.unwrap().await;
    }

    /// The next connection, past its first exchange.
    pub(crate) async fn accept(&self) -> Peer {
        soon(async {
            let connection = self.endpoint.accept().await.unwrap().await.unwrap();
            let mut first = FakeStream::new(connection.accept_bi().await.unwrap());
            let hello: Hello = first.message().await;
            assert!(hello.client.starts_with("weir-client/"), "{hello:?}");
            first
                .send(&HelloOk {
                    version: 1,
                    broker: "fake/1".to_owned(),
                    cluster_id: "test".to_owned(),
                    max_batch_bytes: 1 << 20,
                    produce_window_frames: 64,
                })
                .await;
            Peer {
                connection,
                _first: first,
            }
        })
        .await
    }

    /// A client and its connection.
    pub(crate) async fn connect(&self) -> (Client, Peer) {
        let (client, peer) = tokio::join!(self.client().connect(), self.accept());
        (client.unwrap(), peer)
    }
}

pub(crate) struct Peer {
    pub(crate) connection: Connection,
    _first: FakeStream,
}

impl Peer {
    pub(crate) async fn stream(&self) -> FakeStream {
        FakeStream::new(soon(self.connection.accept_bi()).await.unwrap())
    }

    /// The next stream is a produce stream: opens it.
    pub(crate) async fn produce(&self, opened: ProduceOpened) -> (OpenProduce, FakeStream) {
        let mut stream = self.stream().await;
        let request = stream.message().await;
        stream.send(&opened).await;
        (request, stream)
    }

    /// The next stream is a subscription: opens it. `partitions`: index, start, high watermark.
    pub(crate) async fn subscribe(&self, partitions: &[(u32, i64, i64)]) -> (OpenSubscribe, FakeStream) {
        let mut stream = self.stream().await;
        let request = stream.message().await;
        stream.send(&subscribed(partitions)).await;
        (request, stream)
    }

    pub(crate) fn close(&self) {
        self.connection.close(VarInt::from_u32(1), b"closed by the test");
    }
}

pub(crate) struct FakeStream {
    sender: SendStream,
    receiver: RecvStream,
    decoder: FrameDecoder,
    rest: Bytes,
}

impl FakeStream {
    fn new((sender, receiver): (SendStream, RecvStream)) -> Self {
        Self {
            sender,
            receiver,
            decoder: FrameDecoder::new(FrameLimits::CLIENT),
            rest: Bytes::new(),
        }
    }

    /// The next frame; `None` at the end of the stream, however it came.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        soon(self.frame_whenever()).await
    }

    pub(crate) async fn frame_whenever(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.rest).unwrap() {
                return Some(frame);
            }
            self.rest = self.receiver.read_chunk(1 << 20, true).await.ok()??.bytes;
        }
    }

    pub(crate) async fn message<M: ControlMessage>(&mut self) -> M {
        self.frame().await.expect("a message").message().unwrap()
    }

    pub(crate) async fn send<M: ControlMessage>(&mut self, message: &M) {
        self.sender
            .write_chunk(encode_control(message).unwrap())
            .await
            .unwrap();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.sender.write_all(bytes).await.unwrap();
    }

    /// Reads no more.
    pub(crate) fn stop(&mut self) {
        self.receiver.stop(VarInt::from_u32(6)).unwrap();
    }

    /// The next produced batch.
    pub(crate) async fn batch(&mut self) -> Produced {
        let frame = self.frame().await.expect("a batch");
        Produced::of(&frame)
    }

    /// Whether a frame arrives within a moment. Only to show that nothing comes.
    pub(crate) async fn stays_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(100), self.frame_whenever())
            .await
            .is_err()
    }

    pub(crate) async fn ack(&mut self, partition: u32, base_offset: i64) {
        self.send_ack(Ack {
            partition,
            base_offset,
            log_start_offset: 0,
            duplicate: false,
            records: None,
            error: None,
        })
        .await;
    }

    pub(crate) async fn refuse(&mut self, partition: u32, code: ErrorCode) {
        self.send_ack(Ack::refused(partition, WireError::new(code, "says the test")))
            .await;
    }

    pub(crate) async fn send_ack(&mut self, ack: Ack) {
        let mut out = BytesMut::new();
        ack.encode_into(&mut out).unwrap();
        self.send_bytes(&out).await;
    }

    pub(crate) async fn records(
        &mut self,
        partition: u32,
        high_watermark: i64,
        end_reached: bool,
        batches: &[u8],
    ) {
        let header = RecordsHeader {
            partition,
            end_reached,
            high_watermark,
            log_start_offset: 0,
        };
        self.send_bytes(&header.encode(batches.len()).unwrap()).await;
        self.send_bytes(batches).await;
    }
}

/// A batch as it came from a producer.
#[derive(Debug)]
pub(crate) struct Produced {
    pub(crate) partition: u32,
    pub(crate) header: BatchHeader,
    pub(crate) bytes: Vec<u8>,
}

impl Produced {
    fn of(frame: &Frame) -> Self {
        assert_eq!(frame.kind(), FrameKind::Produce);
        let partition = ProduceHeader::decode(&frame.body).unwrap().partition;
        let bytes = frame.body[PRODUCE_HEADER_LEN..].to_vec();
        let header = *Batch::parse(&bytes).expect("a sound batch").header();
        Self {
            partition,
            header,
            bytes,
        }
    }

    /// Producer id, epoch and base sequence.
    pub(crate) fn sequence(&self) -> (i64, i16, i32) {
        (
            self.header.producer_id,
            self.header.producer_epoch,
            self.header.base_sequence,
        )
    }

    /// The records' values as text.
    pub(crate) fn values(&self) -> Vec<String> {
        let mut scratch = Vec::new();
        let batch = Batch::parse(&self.bytes)
            .unwrap()
            .decompress(&mut scratch, 1 << 24)
            .unwrap();
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
        batch
            .records()
            .unwrap()
            .map(|record| text(record.value()))
            .collect()
    }
}

/// What a broker says to a producer, with producer id 7.
pub(crate) fn opened(partitions: u32) -> ProduceOpened {
    ProduceOpened {
        topic_id: 1,
        partitions,
        max_message_bytes: 1 << 20,
        window_frames: 64,
        window_bytes: 1 << 24,
        producer_id: 7,
        producer_epoch: 0,
        compression: "producer".to_owned(),
    }
}

/// Index, start, high watermark.
pub(crate) fn subscribed(partitions: &[(u32, i64, i64)]) -> SubscribeOpened {
    SubscribeOpened {
        topic_id: 1,
        partitions: partitions
            .iter()
            .map(|&(partition, start_offset, high_watermark)| SubscribedPartition {
                partition,
                start_offset,
                high_watermark,
                log_start_offset: 0,
            })
            .collect(),
        filter: None,
    }
}

/// A batch of records `v<offset>` at `base_offset..base_offset + records`.
pub(crate) fn stored(base_offset: i64, records: i64) -> Vec<u8> {
    stored_with(base_offset, records, BatchBuilder::new())
}

pub(crate) fn stored_with(base_offset: i64, records: i64, mut builder: BatchBuilder) -> Vec<u8> {
    for offset in base_offset..base_offset + records {
        builder
            .push(1000 + offset, None, Some(format!("v{offset}").as_bytes()), &[])
            .unwrap();
    }
    let mut batch = builder.finish().unwrap();
    weir_batch::set_base_offset(&mut batch, base_offset).unwrap();
    batch
}
