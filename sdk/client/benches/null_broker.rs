//! What the client itself costs: against a broker in the same process that stores nothing and acknowledges at once,
//! beside bare QUIC with the same transport settings. Two worker threads, as on a machine of two cores.
//!
//!     cargo bench -p weir-client [-- FILTER]
#![allow(clippy::unwrap_used, reason = "a benchmark's own code")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, Endpoint, MtuDiscoveryConfig, RecvStream, SendStream,
    ServerConfig, TransportConfig, VarInt,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use weir_batch::BatchBuilder;
use weir_client::{Client, Record};
use weir_protocol::{
    ALPN, Ack, FrameDecoder, FrameKind, FrameLimits, Hello, HelloOk, OpenSubscribe, ProduceHeader,
    ProduceOpened, RecordsHeader, SubscribeOpened, SubscribedPartition, encode_control, tuning,
};

const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&filter));
}

async fn run(filter: &str) {
    let (ca_pem, certificate, key) = certificate();
    let broker = serve(certificate.clone(), key);
    let client = Client::builder()
        .broker(broker.to_string())
        .ca_pem(&ca_pem)
        .connect()
        .await
        .unwrap();
    let raw = raw(broker, certificate).await;
    let cases = [
        "quic",
        "send_all 1024",
        "send 1024",
        "send_all 100",
        "send 100",
        "next_batch 1024",
        "next 100",
        "latency",
    ];
    for case in cases.into_iter().filter(|case| case.contains(filter)) {
        let (begun, cpu_begun) = (Instant::now(), cpu());
        let size = case
            .rsplit(' ')
            .next()
            .and_then(|size| size.parse().ok())
            .unwrap_or(0);
        let (records, bytes) = match case.split(' ').next().unwrap_or_default() {
            "quic" => (0, quic(&raw).await),
            "send_all" => send_all(&client, size).await,
            "send" => send(&client, size).await,
            "next_batch" => next_batch(&client, size).await,
            "next" => next(&client, size).await,
            _ => latency(&client).await,
        };
        let seconds = begun.elapsed().as_secs_f64();
        let megabytes = bytes as f64 / 1e6;
        println!(
            "{case:16} {:8.1} MB/s {:9.0} k/s, {:7.0} us of CPU for each MB (both ends)",
            megabytes / seconds,
            records as f64 / seconds / 1e3,
            (cpu() - cpu_begun).as_micros() as f64 / megabytes
        );
    }
    client.close().await;
}

/// Time that this process has spent on all cores; less at the mercy of the machine's other work than the clock.
fn cpu() -> Duration {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

async fn quic(connection: &Connection) -> u64 {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let chunk = Bytes::from(vec![7u8; 64 * 1024]);
    let header = ProduceHeader { partition: 0 }.encode(chunk.len()).unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < ROUND {
        let mut frame = [Bytes::copy_from_slice(&header), chunk.clone()];
        send.write_all_chunks(&mut frame).await.unwrap();
        sent += chunk.len() as u64;
    }
    send.finish().unwrap();
    let mut sink = [0; 4096];
    while receive.read(&mut sink).await.unwrap().is_some() {}
    sent
}

async fn send_all(client: &Client, size: usize) -> (u64, u64) {
    let producer = client.producer("null").build().await.unwrap();
    let value = vec![b'x'; size];
    let begun = Instant::now();
    let mut records = 0;
    while begun.elapsed() < ROUND {
        drop(
            producer
                .send_all((0..64).map(|_| Record::value(&value)))
                .await
                .unwrap(),
        );
        records += 64;
    }
    producer.close().await.unwrap();
    (records, records * size as u64)
}

async fn send(client: &Client, size: usize) -> (u64, u64) {
    let producer = client.producer("null").build().await.unwrap();
    let value = vec![b'x'; size];
    let begun = Instant::now();
    let mut records = 0;
    while begun.elapsed() < ROUND {
        for _ in 0..64 {
            drop(producer.send(&value).await.unwrap());
        }
        records += 64;
    }
    producer.close().await.unwrap();
    (records, records * size as u64)
}

async fn latency(client: &Client) -> (u64, u64) {
    let producer = client.producer("null").build().await.unwrap();
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let sent = Instant::now();
        producer.send("x").await.unwrap().await.unwrap();
        times.push(sent.elapsed());
    }
    times.sort();
    println!(
        "{:16} p50 {:?}, p99 {:?}",
        "",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
    (times.len() as u64, times.len() as u64)
}

fn consumer(client: &Client, size: usize) -> weir_client::ConsumerBuilder {
    let consumer = client.consumer(size.to_string());
    match std::env::var("FRAME_BYTES")
        .ok()
        .and_then(|bytes| bytes.parse().ok())
    {
        Some(bytes) => consumer.frame_bytes(bytes),
        None => consumer,
    }
}

async fn next_batch(client: &Client, size: usize) -> (u64, u64) {
    let mut consumer = consumer(client, size).build().await.unwrap();
    let begun = Instant::now();
    let (mut records, mut bytes) = (0, 0);
    while begun.elapsed() < ROUND {
        let batch = consumer.next_batch().await.unwrap().unwrap();
        for record in batch.records() {
            records += 1;
            bytes += record.value().unwrap().len() as u64;
        }
    }
    (records, bytes)
}

async fn next(client: &Client, size: usize) -> (u64, u64) {
    let mut consumer = consumer(client, size).build().await.unwrap();
    let begun = Instant::now();
    let (mut records, mut bytes) = (0u64, 0);
    while !records.is_multiple_of(256) || begun.elapsed() < ROUND {
        let record = consumer.next().await.unwrap().unwrap();
        records += 1;
        bytes += record.value().unwrap().len() as u64;
    }
    (records, bytes)
}

fn certificate() -> (String, CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    (
        made.cert.pem(),
        CertificateDer::from(made.cert.der().to_vec()),
        key,
    )
}

/// The settings that both ends share, and what the environment wants to try instead.
fn transport() -> TransportConfig {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u32>().ok())
    };
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    let threshold = number("ACK_THRESHOLD").unwrap_or(tuning::ACK_ELICITING_THRESHOLD);
    acks.ack_eliciting_threshold(VarInt::from_u32(threshold));
    transport
        .stream_receive_window(VarInt::from_u32(
            number("STREAM_WINDOW").unwrap_or(tuning::STREAM_RECEIVE_WINDOW),
        ))
        .receive_window(VarInt::from_u32(tuning::CONNECTION_RECEIVE_WINDOW))
        .send_window(number("SEND_WINDOW").map_or(tuning::SEND_WINDOW, u64::from))
        .ack_frequency_config((threshold > 0).then_some(acks));
    if let Some(mtu) = number("MTU") {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(mtu as u16);
        transport.mtu_discovery_config(Some(discovery));
    }
    transport
}

async fn raw(broker: SocketAddr, ca: CertificateDer<'static>) -> Connection {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).unwrap();
    let mut tls =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    tls.alpn_protocols = vec![b"raw".to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport()));
    let mut endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    endpoint.set_default_client_config(config);
    endpoint.connect(broker, "127.0.0.1").unwrap().await.unwrap()
}

fn serve(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> SocketAddr {
    let mut tls =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec(), b"raw".to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport()));
    let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let connection = incoming.await.unwrap();
                while let Ok((sender, receiver)) = connection.accept_bi().await {
                    tokio::spawn(answer(sender, receiver));
                }
            });
        }
    });
    address
}

/// Whatever a stream is for.
async fn answer(mut sender: SendStream, mut receiver: RecvStream) -> Option<()> {
    let mut decoder = FrameDecoder::new(FrameLimits::CLIENT);
    let mut chunks: [Bytes; 64] = std::array::from_fn(|_| Bytes::new());
    let mut offset = 0;
    let mut acks = BytesMut::new();
    loop {
        let count = receiver.read_chunks(&mut chunks).await.ok()??;
        for chunk in &mut chunks[..count] {
            while let Some(frame) = decoder.decode(chunk).ok()? {
                match frame.kind() {
                    FrameKind::Produce => {
                        let partition = ProduceHeader::decode(&frame.body).ok()?.partition;
                        let ack = Ack {
                            partition,
                            base_offset: offset,
                            log_start_offset: 0,
                            duplicate: false,
                            records: None,
                            error: None,
                        };
                        ack.encode_into(&mut acks).ok()?;
                        offset += 1;
                    }
                    FrameKind::Hello => {
                        let _: Hello = frame.message().ok()?;
                        let welcome = HelloOk {
                            version: 1,
                            broker: String::new(),
                            cluster_id: String::new(),
                            max_batch_bytes: 1 << 20,
                            produce_window_frames: 1024,
                        };
                        sender.write_chunk(encode_control(&welcome).ok()?).await.ok()?;
                    }
                    FrameKind::OpenProduce => {
                        let opened = ProduceOpened {
                            topic_id: 1,
                            partitions: 1,
                            max_message_bytes: 1 << 20,
                            window_frames: tuning::PRODUCE_WINDOW_FRAMES,
                            window_bytes: tuning::PRODUCE_WINDOW_BYTES,
                            producer_id: 1,
                            producer_epoch: 0,
                            compression: String::new(),
                        };
                        sender.write_chunk(encode_control(&opened).ok()?).await.ok()?;
                    }
                    _ => return push(sender, &frame.message().ok()?).await,
                }
            }
        }
        if !acks.is_empty() {
            sender.write_chunk(acks.split().freeze()).await.ok()?;
        }
    }
}

/// An endless log of batches of 64 KiB, as many in a frame as the consumer asks for. The topic's name is the size of its records.
async fn push(mut sender: SendStream, request: &OpenSubscribe) -> Option<()> {
    let partition = SubscribedPartition {
        partition: 0,
        start_offset: 0,
        high_watermark: i64::MAX,
        log_start_offset: 0,
    };
    let opened = SubscribeOpened {
        topic_id: 1,
        partitions: vec![partition],
        filter: None,
    };
    sender.write_chunk(encode_control(&opened).ok()?).await.ok()?;
    let value = vec![b'x'; request.topic.parse().ok()?];
    let mut builder = BatchBuilder::new();
    while builder.encoded_len() + value.len() < 64 * 1024 {
        builder.push(0, None, Some(&value), &[]).ok()?;
    }
    let records = builder.len() as i64;
    let batch = builder.finish().ok()?;
    let mut offset = 0;
    loop {
        let mut batches = batch.repeat((request.max_bytes_per_frame as usize / batch.len()).max(1));
        for one in batches.chunks_mut(batch.len()) {
            weir_batch::set_base_offset(one, offset).ok()?;
            offset += records;
        }
        let header = RecordsHeader {
            partition: 0,
            end_reached: false,
            high_watermark: i64::MAX,
            log_start_offset: 0,
        };
        let header = header.encode(batches.len()).ok()?;
        let mut frame = [Bytes::copy_from_slice(&header), Bytes::from(batches)];
        sender.write_all_chunks(&mut frame).await.ok()?;
    }
}
