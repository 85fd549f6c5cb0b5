//! A listener on a broker in memory, and a peer that sends whatever it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;
use weir_batch::BatchBuilder;
use weir_broker::{Broker, BrokerConfig, Storage};
use weir_protocol::{
    ALPN, Ack, AdminRequest, AdminResponse, CloseCode, ControlMessage, Frame, FrameDecoder, FrameHeader,
    FrameKind, FrameLimits, Hello, HelloOk, OpenProduce, OpenSubscribe, ProduceHeader, ProduceOpened,
    RecordsHeader, SubscribeOpened, WireError, encode_control,
};
use weir_quic::{Listener, ListenerConfig, ListenerLimits};

/// No answer takes this long; it only keeps a failing test from hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listener on a broker in memory.
pub(crate) struct Server {
    pub(crate) broker: Broker,
    pub(crate) listener: Listener,
    certificate: CertificateDer<'static>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(ListenerLimits::default()).await
    }

    pub(crate) async fn start_with(limits: ListenerLimits) -> Self {
        Self::start_as(([127, 0, 0, 1], 0).into(), limits, None).await
    }

    pub(crate) async fn start_at(addr: SocketAddr, reset_key: Option<[u8; 64]>) -> Self {
        Self::start_as(addr, ListenerLimits::default(), reset_key).await
    }

    async fn start_as(addr: SocketAddr, limits: ListenerLimits, reset_key: Option<[u8; 64]>) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let broker = Broker::open(BrokerConfig::new(Storage::Memory)).await.unwrap();
        let mut config = ListenerConfig::new(addr, vec![certificate.clone()], key);
        config.limits = limits;
        config.reset_key = reset_key;
        let listener = Listener::bind(config, broker.clone()).unwrap();
        Self {
            broker,
            listener,
            certificate,
        }
    }

    pub(crate) async fn topic(&self, name: &str, partitions: u32, config: &[(&str, &str)]) {
        let config: BTreeMap<_, _> = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        self.broker.create_topic(name, partitions, config).await.unwrap();
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// QUIC and TLS, and nothing said yet.
    pub(crate) async fn dial(&self) -> Result<Connection, ConnectionError> {
        self.dial_with(ALPN, TransportConfig::default()).await
    }

    pub(crate) async fn dial_with(
        &self,
        alpn: &[u8],
        mut transport: TransportConfig,
    ) -> Result<Connection, ConnectionError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.to_vec()];
        transport.keep_alive_interval(Some(Duration::from_secs(5)));
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
        timeout(
            PATIENCE,
            endpoint.connect_with(config, self.addr(), "localhost").unwrap(),
        )
        .await
        .unwrap()
    }

    pub(crate) async fn connect(&self) -> Peer {
        self.connect_with(TransportConfig::default()).await
    }

    pub(crate) async fn connect_with(&self, transport: TransportConfig) -> Peer {
        Peer::greet(self.dial_with(ALPN, transport).await.unwrap()).await
    }
}

/// A peer past its first exchange.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) first: Stream,
}

impl Peer {
    pub(crate) async fn greet(connection: Connection) -> Self {
        let mut first = Stream::open(&connection).await;
        first.say(&Hello::new("test")).await;
        let welcome: HelloOk = first.hear().await;
        assert_eq!(welcome.version, 1);
        Self { connection, first }
    }

    pub(crate) async fn stream(&self) -> Stream {
        Stream::open(&self.connection).await
    }

    pub(crate) async fn request(&self, request: AdminRequest) -> Result<AdminResponse, WireError> {
        let mut stream = self.stream().await;
        stream.say(&request).await;
        stream.finish();
        stream.answer().await
    }

    /// Shows that the listener serves this connection.
    pub(crate) async fn assert_served(&self) {
        let answer = self.request(AdminRequest::DescribeBroker).await;
        assert!(matches!(answer, Ok(AdminResponse::Broker(_))), "{answer:?}");
    }

    pub(crate) async fn produce(&self, topic: &str) -> (Stream, ProduceOpened) {
        let mut stream = self.stream().await;
        stream.say(&open_produce(topic)).await;
        let opened = stream.hear().await;
        (stream, opened)
    }

    pub(crate) async fn subscribe(&self, open: &OpenSubscribe) -> (Stream, SubscribeOpened) {
        let mut stream = self.stream().await;
        stream.say(open).await;
        let opened = stream.hear().await;
        (stream, opened)
    }

    /// Produces batches of `records` records each to the partition and waits for their acks.
    pub(crate) async fn fill(&self, topic: &str, partition: u32, batches: usize, records: usize) {
        let (mut stream, _) = self.produce(topic).await;
        for index in 0..batches {
            stream.send_batch(partition, &batch(index, records)).await;
            let ack = stream.ack().await;
            assert_eq!(ack.error, None);
        }
    }

    pub(crate) async fn closed(&self) -> (u64, String) {
        closed(&self.connection).await
    }
}

/// Code and reason with which the listener closed the connection.
pub(crate) async fn closed(connection: &Connection) -> (u64, String) {
    match timeout(PATIENCE, connection.closed())
        .await
        .expect("the connection is closed")
    {
        ConnectionError::ApplicationClosed(close) => (
            close.error_code.into_inner(),
            String::from_utf8_lossy(&close.reason).into_owned(),
        ),
        other => panic!("closed otherwise: {other}"),
    }
}

/// One stream.
pub(crate) struct Stream {
    pub(crate) sender: SendStream,
    pub(crate) receiver: RecvStream,
    decoder: FrameDecoder,
    rest: Bytes,
}

impl Stream {
    pub(crate) async fn open(connection: &Connection) -> Self {
        let (sender, receiver) = timeout(PATIENCE, connection.open_bi())
            .await
            .expect("a stream may be opened")
            .unwrap();
        Self {
            sender,
            receiver,
            decoder: FrameDecoder::new(FrameLimits::CLIENT),
            rest: Bytes::new(),
        }
    }

    pub(crate) async fn say<M: ControlMessage>(&mut self, message: &M) {
        self.write(&encode_control(message).unwrap()).await;
    }

    /// Writes bytes; that the other side does not want them any more is found out by reading.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.sender.write_all(bytes))
            .await
            .expect("the stream takes the bytes");
    }

    pub(crate) async fn send_batch(&mut self, partition: u32, batch: &[u8]) {
        let header = ProduceHeader { partition }.encode(batch.len()).unwrap();
        self.write(&header).await;
        self.write(batch).await;
    }

    pub(crate) fn finish(&mut self) {
        self.sender.finish().unwrap();
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.rest).unwrap() {
                return Some(frame);
            }
            let chunk = timeout(PATIENCE, self.receiver.read_chunk(64 * 1024, true)).await;
            match chunk.expect("the listener answers").unwrap() {
                Some(chunk) => self.rest = chunk.bytes,
                None => {
                    self.decoder.finish().unwrap();
                    return None;
                }
            }
        }
    }

    pub(crate) async fn hear<M: ControlMessage>(&mut self) -> M {
        let frame = self.frame().await.expect("a frame");
        if frame.kind() == FrameKind::Error && M::KIND != FrameKind::Error {
            panic!("{}", frame.message::<WireError>().unwrap());
        }
        frame.message().unwrap()
    }

    pub(crate) async fn ack(&mut self) -> Ack {
        let frame = self.frame().await.expect("an ack");
        assert_eq!(frame.kind(), FrameKind::Ack, "{:?}", frame.message::<WireError>());
        Ack::decode(&frame.body).unwrap()
    }

    pub(crate) async fn records(&mut self) -> (RecordsHeader, Bytes) {
        let frame = self.frame().await.expect("records");
        assert_eq!(
            frame.kind(),
            FrameKind::Records,
            "{:?}",
            frame.message::<WireError>()
        );
        let header = RecordsHeader::decode(&frame.body).unwrap();
        (
            header,
            frame.body.freeze().slice(weir_protocol::RECORDS_HEADER_LEN..),
        )
    }

    pub(crate) async fn answer(&mut self) -> Result<AdminResponse, WireError> {
        let frame = self.frame().await.expect("an answer");
        match frame.kind() {
            FrameKind::Error => Err(frame.message().unwrap()),
            _ => Ok(frame.message().unwrap()),
        }
    }

    /// The error with which the listener ends the stream.
    pub(crate) async fn last_error(&mut self) -> WireError {
        let error: WireError = self.hear().await;
        assert_eq!(self.frame().await, None, "the error is the last frame");
        error
    }

    /// Waits until the listener wants no more bytes, and says with which code.
    pub(crate) async fn stopped(&mut self) -> Option<VarInt> {
        timeout(PATIENCE, self.sender.stopped())
            .await
            .expect("the stream ends")
            .unwrap()
    }
}

pub(crate) fn open_produce(topic: &str) -> OpenProduce {
    OpenProduce {
        topic: topic.to_owned(),
        idempotent: false,
        producer_id: None,
        producer_epoch: None,
        record_results: true,
    }
}

pub(crate) fn open_subscribe(topic: &str) -> OpenSubscribe {
    OpenSubscribe {
        topic: topic.to_owned(),
        partitions: Vec::new(),
        start: weir_protocol::Start::Earliest,
        max_bytes_per_frame: 0,
        until_end: false,
        filter: None,
    }
}

/// A batch whose records say which they are.
pub(crate) fn batch(index: usize, records: usize) -> Vec<u8> {
    batch_of(records, |record| {
        format!("batch {index} record {record}").into_bytes()
    })
}

pub(crate) fn batch_of(records: usize, value: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    // Of today: older records fall to the retention of a topic.
    let now_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let mut builder = BatchBuilder::new();
    for record in 0..records {
        builder
            .push(now_ms + record as i64, None, Some(&value(record)), &[])
            .unwrap();
    }
    builder.finish().unwrap()
}

/// A header of any kind and length, whatever follows.
pub(crate) fn header(kind: FrameKind, length: u32) -> BytesMut {
    BytesMut::from(&FrameHeader::new(kind, length).encode()[..])
}

pub(crate) fn number(code: CloseCode) -> u64 {
    code.number().into()
}
