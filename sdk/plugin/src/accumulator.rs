/// What [`Windows`](crate::Windows) gather: it begins as `default`, and is kept as bytes from record to record.
///
/// Numbers, bytes, text and pairs of such are there, and [`Aggregate`]. One of one's own:
///
/// ```
/// use weir_plugin::Accumulator;
///
/// /// The first and the last value of a window.
/// #[derive(Default)]
/// struct Span { first: Option<u32>, last: u32 }
///
/// impl Accumulator for Span {
///     fn encode(&self, bytes: &mut Vec<u8>) {
///         if let Some(first) = self.first {
///             bytes.extend_from_slice(&first.to_le_bytes());
///             bytes.extend_from_slice(&self.last.to_le_bytes());
///         }
///     }
///
///     fn decode(bytes: &[u8]) -> Option<Self> {
///         if bytes.is_empty() {
///             return Some(Self::default());
///         }
///         let (first, last) = bytes.split_first_chunk()?;
///         let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(last.try_into().ok()?));
///         Some(Self { first: Some(first), last })
///     }
/// }
/// ```
pub trait Accumulator: Default {
    /// Appends its bytes.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// What [`encode`](Self::encode) wrote; none if these are not such bytes.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

macro_rules! number {
    ($($number:ty),*) => {$(
        /// Eight bytes, little-endian.
        impl Accumulator for $number {
            fn encode(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )*};
}

number!(u64, i64, f64);

impl Accumulator for Vec<u8> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl Accumulator for String {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        str::from_utf8(bytes).ok().map(str::to_owned)
    }
}

/// Bytes of the first as u32, little-endian, the first, the second.
impl<A: Accumulator, B: Accumulator> Accumulator for (A, B) {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        self.0.encode(bytes);
        let len = (bytes.len() - at - 4) as u32;
        bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
        self.1.encode(bytes);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let (first, second) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        Some((A::decode(first)?, B::decode(second)?))
    }
}

/// Count, sum, least and greatest of numbers.
///
/// ```
/// use weir_plugin::Aggregate;
///
/// let mut delays = Aggregate::default();
/// [3.0, 12.0, f64::NAN].into_iter().for_each(|delay| delays.add(delay));
/// assert_eq!((delays.count, delays.mean()), (2, Some(7.5)));
/// assert_eq!((delays.min, delays.max), (3.0, 12.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregate {
    /// How many there were.
    pub count: u64,
    /// What they come to.
    pub sum: f64,
    /// The least of them; infinity if there were none.
    pub min: f64,
    /// The greatest of them; minus infinity if there were none.
    pub max: f64,
}

impl Default for Aggregate {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Aggregate {
    /// Takes one more. What is no number is left out.
    pub fn add(&mut self, number: f64) {
        if number.is_nan() {
            return;
        }
        self.count += 1;
        self.sum += number;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
    }

    /// Their mean, if there were any.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Accumulator for Aggregate {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.count.encode(bytes);
        for number in [self.sum, self.min, self.max] {
            number.encode(bytes);
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (min, max) = rest.split_first_chunk()?;
        Some(Self {
            count: u64::from_le_bytes(*count),
            sum: f64::from_le_bytes(*sum),
            min: f64::from_le_bytes(*min),
            max: f64::decode(max)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<A: Accumulator + PartialEq + std::fmt::Debug>(accumulator: A) {
        let mut bytes = Vec::new();
        accumulator.encode(&mut bytes);
        assert_eq!(A::decode(&bytes), Some(accumulator));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        round_trip(u64::MAX);
        round_trip(-5_i64);
        round_trip(0.1_f64);
        round_trip(b"bytes".to_vec());
        round_trip("text".to_owned());
        round_trip((String::new(), ("b".to_owned(), 3_u64)));
        round_trip(Aggregate::default());
        let mut aggregate = Aggregate::default();
        aggregate.add(-1.5);
        round_trip(aggregate);
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(u64::decode(b"short"), None);
        assert_eq!(String::decode(&[0xff]), None);
        assert_eq!(<(String, String)>::decode(&[9, 0, 0, 0, b'x']), None);
        assert_eq!(<(String, String)>::decode(&[9, 0]), None);
        assert_eq!(Aggregate::decode(&[0; 31]), None);
        assert_eq!(Aggregate::decode(&[0; 33]), None);
    }
}
