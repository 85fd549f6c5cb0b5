//! Keeps the records whose key is one of some, or begins with a text.
//!
//! | configuration | |
//! |---|---|
//! | `keys` | the keys, comma-separated |
//! | `prefix` | what a key begins with |
//!
//! One of the two has to be set; with both, either is enough. A record without a key is left out.

use weir_plugin::{Config, Record, filter};

/// The filter, configured.
#[derive(Debug)]
pub struct KeyFilter {
    keys: Vec<Vec<u8>>,
    prefix: Option<Vec<u8>>,
}

impl KeyFilter {
    /// Reads `keys` and `prefix`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with them.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["keys", "prefix"])?;
        let keys: Vec<Vec<u8>> = config.list("keys").map(|key| key.as_bytes().to_vec()).collect();
        let prefix = config.get("prefix").map(|prefix| prefix.as_bytes().to_vec());
        if keys.is_empty() && prefix.is_none() {
            return Err("`keys` or `prefix` has to be set".to_owned());
        }
        Ok(Self { keys, prefix })
    }

    /// Whether the record goes on.
    #[inline]
    pub fn keep(&mut self, record: &Record<'_>) -> bool {
        record.key().is_some_and(|key| {
            let begins = self.prefix.as_ref().is_some_and(|prefix| key.starts_with(prefix));
            begins || self.keys.iter().any(|kept| kept == key)
        })
    }
}

filter!(KeyFilter, KeyFilter::keep);

#[cfg(test)]
mod tests {
    use weir_batch::{BatchBuilder, bitmap};
    use weir_plugin::run_filter;

    use super::*;

    fn configure(entries: &[(&str, &str)]) -> Result<KeyFilter, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        KeyFilter::configure(&Config::new(entries.iter().map(owned).collect(), Vec::new()))
    }

    fn kept(entries: &[(&str, &str)]) -> Vec<usize> {
        let keys = [Some("UA"), Some("AA"), Some("U"), None, Some(""), Some("UAL")];
        let mut builder = BatchBuilder::new();
        for key in keys {
            builder.push(0, key.map(str::as_bytes), Some(b"UA"), &[]).unwrap();
        }
        let mut filter = configure(entries).unwrap();
        let bits = run_filter(&mut filter, KeyFilter::keep, &builder.finish().unwrap());
        (0..keys.len())
            .filter(|index| bitmap::get(&bits, *index))
            .collect()
    }

    #[test]
    fn keys_are_compared_whole_and_prefixes_at_the_beginning() {
        assert_eq!(kept(&[("keys", "UA, AA")]), [0, 1]);
        assert_eq!(kept(&[("prefix", "UA")]), [0, 5]);
        assert_eq!(kept(&[("prefix", "UA"), ("keys", "U")]), [0, 2, 5]);
        assert_eq!(kept(&[("prefix", "")]), [0, 1, 2, 4, 5]);
    }

    #[test]
    fn a_filter_for_nothing_is_refused() {
        assert!(configure(&[]).unwrap_err().contains("has to be set"));
        assert!(configure(&[("keys", " , ")]).is_err());
        assert!(configure(&[("key", "UA")]).unwrap_err().contains("no `key`"));
    }
}
