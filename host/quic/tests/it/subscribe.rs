//! Subscribe streams.

use std::collections::BTreeMap;

use bytes::Bytes;
use quinn::{TransportConfig, VarInt};
use weir_batch::{Batch, iter_batches};
use weir_protocol::{
    AdminRequest, ErrorCode, FrameKind, OpenSubscribe, PartitionStart, RecordsHeader, Start,
    SubscribeControl, SubscribeOpened, WireError, encode_control,
};

use crate::peer::{Server, Stream, batch, batch_of, header, open_subscribe};

/// Offsets and values of the records in a frame.
fn records(batches: &Bytes) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for item in iter_batches(batches) {
        let (_, bytes) = item.unwrap();
        for record in Batch::parse(bytes).unwrap().records().unwrap() {
            found.push((
                record.offset(),
                String::from_utf8(record.value().unwrap().to_vec()).unwrap(),
            ));
        }
    }
    found
}

/// Reads frames of one partition until `count` records have come.
async fn read_records(stream: &mut Stream, partition: u32, count: usize) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    while found.len() < count {
        let (header, batches) = stream.records().await;
        assert_eq!(header.partition, partition);
        found.extend(records(&batches));
    }
    assert_eq!(found.len(), count);
    found
}

/// Reads until every partition has said that its end is reached, and then the end of the stream.
async fn read_to_end(stream: &mut Stream, partitions: usize) -> BTreeMap<u32, Vec<(i64, String)>> {
    let mut found: BTreeMap<u32, Vec<(i64, String)>> = BTreeMap::new();
    let mut ended = 0;
    while ended < partitions {
        let (header, batches) = stream.records().await;
        found
            .entry(header.partition)
            .or_default()
            .extend(records(&batches));
        ended += usize::from(header.end_reached);
    }
    assert_eq!(stream.frame().await, None);
    found
}

#[tokio::test]
async fn everything_comes_from_every_partition_in_order() {
    let server = Server::start().await;
    server.topic("t", 4, &[]).await;
    let peer = server.connect().await;
    for partition in 0..3 {
        peer.fill("t", partition, 50, 4).await;
    }
    for max_bytes_per_frame in [0, 1, 500, 1 << 30] {
        let open = OpenSubscribe {
            until_end: true,
            max_bytes_per_frame,
            ..open_subscribe("t")
        };
        let (mut stream, opened) = peer.subscribe(&open).await;
        let marks: Vec<_> = opened
            .partitions
            .iter()
            .map(|p| (p.partition, p.start_offset, p.high_watermark))
            .collect();
        assert_eq!(marks, [(0, 0, 200), (1, 0, 200), (2, 0, 200), (3, 0, 0)]);
        let found = read_to_end(&mut stream, 4).await;
        let expected: Vec<_> = (0..200)
            .map(|offset| {
                (
                    offset as i64,
                    format!("batch {} record {}", offset / 4, offset % 4),
                )
            })
            .collect();
        for partition in 0..3 {
            assert_eq!(found[&partition], expected);
        }
        assert!(found[&3].is_empty());
    }
}

#[tokio::test]
async fn what_is_written_later_is_pushed() {
    let server = Server::start().await;
    server.topic("t", 2, &[]).await;
    let peer = server.connect().await;
    peer.fill("t", 0, 5, 1).await;
    let open = OpenSubscribe {
        start: Start::Latest,
        ..open_subscribe("t")
    };
    let (mut stream, opened) = peer.subscribe(&open).await;
    assert_eq!(opened.partitions[0].start_offset, 5);
    let (mut producer, _) = peer.produce("t").await;
    for index in 0..20 {
        let partition = index as u32 % 2;
        producer.send_batch(partition, &batch(index, 1)).await;
        let (header, batches) = stream.records().await;
        assert_eq!(header.partition, partition);
        assert!(!header.end_reached);
        assert_eq!(records(&batches)[0].1, format!("batch {index} record 0"));
        assert_eq!(header.high_watermark, records(&batches)[0].0 + 1);
        assert_eq!(producer.ack().await.error, None);
    }
}

#[tokio::test]
async fn each_partition_begins_where_it_is_told_to() {
    let server = Server::start().await;
    server.topic("t", 3, &[]).await;
    let peer = server.connect().await;
    for partition in 0..3 {
        peer.fill("t", partition, 10, 2).await;
    }
    let partitions = vec![
        PartitionStart {
            partition: 2,
            start: Start::Offset(7),
        },
        PartitionStart {
            partition: 0,
            start: Start::Latest,
        },
    ];
    let open = OpenSubscribe {
        partitions,
        until_end: true,
        ..open_subscribe("t")
    };
    let (mut stream, opened) = peer.subscribe(&open).await;
    let starts: Vec<_> = opened
        .partitions
        .iter()
        .map(|p| (p.partition, p.start_offset))
        .collect();
    assert_eq!(starts, [(0, 20), (2, 7)]);
    let found = read_to_end(&mut stream, 2).await;
    assert!(found[&0].is_empty());
    // The batch that holds the offset comes whole.
    assert_eq!(found[&2].first().unwrap().0, 6);
    assert_eq!(found[&2].last().unwrap().0, 19);
}

#[tokio::test]
async fn seek_pause_and_resume() {
    let server = Server::start().await;
    server.topic("t", 2, &[]).await;
    let peer = server.connect().await;
    peer.fill("t", 0, 3, 1).await;
    let (mut stream, _) = peer.subscribe(&open_subscribe("t")).await;
    read_records(&mut stream, 0, 3).await;

    stream
        .say(&SubscribeControl::Seek {
            partition: 0,
            start: Start::Offset(1),
        })
        .await;
    let sought: SubscribeOpened = stream.hear().await;
    assert_eq!(
        (sought.partitions.len(), sought.partitions[0].start_offset),
        (1, 1)
    );
    assert_eq!(read_records(&mut stream, 0, 2).await[0].0, 1);

    stream.say(&SubscribeControl::Pause { partitions: vec![0] }).await;
    // A seek is answered in its turn: then the pause is known.
    stream
        .say(&SubscribeControl::Seek {
            partition: 1,
            start: Start::Earliest,
        })
        .await;
    let _: SubscribeOpened = stream.hear().await;
    peer.fill("t", 0, 1, 1).await;
    peer.fill("t", 1, 1, 1).await;
    assert_eq!(stream.records().await.0.partition, 1, "partition 0 is paused");
    stream
        .say(&SubscribeControl::Resume {
            partitions: vec![0, 1],
        })
        .await;
    let (header, batches) = stream.records().await;
    assert_eq!((header.partition, records(&batches).last().unwrap().0), (0, 3));
}

#[tokio::test]
async fn a_seek_to_nowhere_fails_the_partition_and_another_seek_revives_it() {
    let server = Server::start().await;
    server.topic("t", 2, &[]).await;
    let peer = server.connect().await;
    peer.fill("t", 0, 3, 1).await;
    let (mut stream, _) = peer.subscribe(&open_subscribe("t")).await;
    read_records(&mut stream, 0, 3).await;
    stream
        .say(&SubscribeControl::Seek {
            partition: 0,
            start: Start::Offset(99),
        })
        .await;
    let _: SubscribeOpened = stream.hear().await;
    let error: WireError = stream.hear().await;
    assert_eq!(error.error_code(), Some(ErrorCode::OffsetOutOfRange));
    assert_eq!((error.partition, error.offset), (Some(0), Some(99)));
    peer.fill("t", 1, 1, 1).await;
    assert_eq!(stream.records().await.0.partition, 1);
    stream
        .say(&SubscribeControl::Seek {
            partition: 0,
            start: Start::Earliest,
        })
        .await;
    let _: SubscribeOpened = stream.hear().await;
    read_records(&mut stream, 0, 3).await;
}

#[tokio::test]
async fn a_start_out_of_range_fails_its_partition_only() {
    let server = Server::start().await;
    server.topic("t", 2, &[]).await;
    let peer = server.connect().await;
    peer.fill("t", 1, 2, 1).await;
    let partitions = vec![
        PartitionStart {
            partition: 0,
            start: Start::Offset(5),
        },
        PartitionStart {
            partition: 1,
            start: Start::Earliest,
        },
    ];
    let open = OpenSubscribe {
        partitions,
        until_end: true,
        ..open_subscribe("t")
    };
    let (mut stream, _) = peer.subscribe(&open).await;
    let error: WireError = stream.hear().await;
    assert_eq!(
        (error.error_code(), error.partition),
        (Some(ErrorCode::OffsetOutOfRange), Some(0))
    );
    assert_eq!(read_to_end(&mut stream, 1).await[&1].len(), 2);
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused() {
    let server = Server::start().await;
    server.topic("t", 2, &[]).await;
    let peer = server.connect().await;
    let at = |partition| PartitionStart {
        partition,
        start: Start::Earliest,
    };
    for (open, code) in [
        (open_subscribe("nobody"), ErrorCode::UnknownTopicOrPartition),
        (
            OpenSubscribe {
                partitions: vec![at(0), at(2)],
                ..open_subscribe("t")
            },
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            OpenSubscribe {
                partitions: vec![at(1), at(1)],
                ..open_subscribe("t")
            },
            ErrorCode::InvalidRequest,
        ),
    ] {
        let mut stream = peer.stream().await;
        stream.say(&open).await;
        let error = stream.last_error().await;
        assert_eq!(error.error_code(), Some(code), "{error}");
    }
}

#[tokio::test]
async fn a_deleted_topic_ends_its_partitions_with_an_error() {
    let server = Server::start().await;
    server.topic("t", 2, &[]).await;
    let peer = server.connect().await;
    let (mut stream, _) = peer.subscribe(&open_subscribe("t")).await;
    peer.request(AdminRequest::DeleteTopic { name: "t".to_owned() })
        .await
        .unwrap();
    let mut partitions = Vec::new();
    for _ in 0..2 {
        let error: WireError = stream.hear().await;
        assert_eq!(
            error.error_code(),
            Some(ErrorCode::UnknownTopicOrPartition),
            "{error}"
        );
        partitions.extend(error.partition);
    }
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1]);
}

#[tokio::test]
async fn frames_that_have_no_place_end_the_stream() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let unknown = encode_control(&SubscribeControl::Pause { partitions: vec![7] }).unwrap();
    let open = encode_control(&open_subscribe("t")).unwrap();
    for (bytes, code) in [
        (open.to_vec(), ErrorCode::InvalidRequest),
        (unknown.to_vec(), ErrorCode::InvalidRequest),
        (
            header(FrameKind::SubscribeControl, 1 << 20).to_vec(),
            ErrorCode::FrameTooLarge,
        ),
        (header(FrameKind::Produce, 1).to_vec(), ErrorCode::FrameTooLarge),
        (vec![0xee; 64], ErrorCode::ProtocolViolation),
    ] {
        let (mut stream, _) = peer.subscribe(&open_subscribe("t")).await;
        stream.write(&bytes).await;
        let error = stream.last_error().await;
        assert_eq!(error.error_code(), Some(code), "{error}");
        stream.stopped().await;
    }
    peer.assert_served().await;
}

#[tokio::test]
async fn a_client_that_has_nothing_more_to_say_still_listens() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let (mut stream, _) = peer.subscribe(&open_subscribe("t")).await;
    stream.finish();
    peer.fill("t", 0, 2, 1).await;
    assert_eq!(stream.records().await.0.partition, 0);
}

/// Bytes of memory that this process uses.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this test needs Linux");
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn consumers_that_never_read_cost_little_and_harm_nobody() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let (mut producer, _) = peer.produce("t").await;
    let bytes = batch_of(1, |_| vec![7; 1_000_000]);
    for _ in 0..100 {
        producer.send_batch(0, &bytes).await;
        assert_eq!(producer.ack().await.error, None);
    }
    let before = resident_bytes();
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(10_000));
    let hostile = server.connect_with(transport).await;
    let mut streams = Vec::new();
    for _ in 0..60 {
        streams.push(hostile.subscribe(&open_subscribe("t")).await.0);
    }
    let open = OpenSubscribe {
        until_end: true,
        ..open_subscribe("t")
    };
    let (mut stream, _) = peer.subscribe(&open).await;
    let mut read = 0;
    while let Some(frame) = stream.frame().await {
        let header = RecordsHeader::decode(&frame.body).unwrap();
        read += frame.body.len() / 1_000_000;
        if header.end_reached {
            break;
        }
    }
    assert_eq!(read, 100);
    // All of it for each of them would be 6 GB.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 500_000_000, "{grown} bytes");
    hostile.assert_served().await;
}

#[tokio::test]
async fn a_consumer_that_goes_away_is_noticed_without_data() {
    let limits = weir_quic::ListenerLimits {
        streams_max: 3,
        ..Default::default()
    };
    let server = Server::start_with(limits).await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    for _ in 0..20 {
        // Dropping a stream tells the listener; its place is free again soon.
        let opened = loop {
            let mut stream = peer.stream().await;
            stream.say(&open_subscribe("t")).await;
            let frame = stream.frame().await.expect("an answer");
            if frame.kind() == FrameKind::SubscribeOpened {
                break stream;
            }
        };
        drop(opened);
    }
}
