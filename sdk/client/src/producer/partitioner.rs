use weir_batch::partition_for_key;

/// Chooses partitions as Kafka's default partitioner does: by murmur2 of the key, and without a key one partition
/// after the other, staying on each until its batch leaves.
#[derive(Debug)]
pub(crate) struct Partitioner {
    partitions: u32,
    sticky: u32,
}

impl Partitioner {
    /// For a topic of `partitions` (at least 1), sticking to `first % partitions` to begin with.
    pub(crate) fn new(partitions: u32, first: u32) -> Self {
        assert!(partitions > 0, "a topic has at least one partition");
        Self {
            partitions,
            sticky: first % partitions,
        }
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The topic got more partitions: keys map anew from now on, as in Kafka.
    pub(crate) fn grow(&mut self, partitions: u32) {
        self.partitions = self.partitions.max(partitions);
    }

    /// The partition of a record that names none.
    #[inline]
    pub(crate) fn choose(&self, key: Option<&[u8]>) -> u32 {
        match key {
            Some(key) => partition_for_key(key, self.partitions),
            None => self.sticky,
        }
    }

    /// A batch of `partition` leaves: records without a key go elsewhere from now on.
    pub(crate) fn batch_left(&mut self, partition: u32) {
        if partition == self.sticky {
            self.sticky = (self.sticky + 1) % self.partitions;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafka_puts_them() {
        // From Kafka's own Utils.murmur2 test vectors: murmur2("21") = -973932308, murmur2("foobar") = -790332482.
        let partitioner = Partitioner::new(1000, 0);
        assert_eq!(
            partitioner.choose(Some(b"21")),
            ((-973932308i32) & 0x7fff_ffff) as u32 % 1000
        );
        assert_eq!(
            partitioner.choose(Some(b"foobar")),
            ((-790332482i32) & 0x7fff_ffff) as u32 % 1000
        );
    }

    #[test]
    fn without_a_key_a_partition_is_kept_until_its_batch_leaves() {
        let mut partitioner = Partitioner::new(3, 4);
        assert_eq!(partitioner.choose(None), 1);
        partitioner.batch_left(0);
        assert_eq!(partitioner.choose(None), 1);
        partitioner.batch_left(1);
        assert_eq!(partitioner.choose(None), 2);
        partitioner.batch_left(2);
        assert_eq!(partitioner.choose(None), 0);
    }

    #[test]
    fn a_topic_grows_and_never_shrinks() {
        let mut partitioner = Partitioner::new(1, 0);
        partitioner.grow(4);
        partitioner.grow(2);
        partitioner.batch_left(0);
        assert_eq!((partitioner.partitions(), partitioner.choose(None)), (4, 1));
    }
}
