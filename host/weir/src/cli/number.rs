//! Sizes and pairs as they are typed.

/// `64K`, `1MiB`, `1.5GB`, `4096`: K, M, G (and KiB, MiB, GiB) are powers of 1024, kB, MB, GB powers of 1000.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => {
            return Err(format!(
                "{unit:?} is no unit of bytes: write 4096, 64K, 1MiB, 1.5GB"
            ));
        }
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "expected a number of bytes, such as 4096, 64K or 1MiB".to_owned())?;
    let value = number * factor as f64;
    if value >= 1e18 {
        return Err("that is more than there is".to_owned());
    }
    Ok(value as u64)
}

/// `K=V`; the value may hold further `=`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as retention.ms=86400000".to_owned()),
    }
}

/// What separates key and value of a line: one character or more; `\t` and `\0` are understood.
pub(super) fn separator(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a separator has at least one character".to_owned()),
        r"\t" => Ok("\t".to_owned()),
        r"\0" => Ok("\0".to_owned()),
        _ if text.contains('\n') => {
            Err("a line ends at the newline: it cannot separate key and value".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("64K"), Ok(65536));
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(bytes("1.5GB"), Ok(1_500_000_000));
        for text in ["", "K", "1X", "-1", "1e9", "9999999999G"] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn pairs_split_at_the_first_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(key_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(key_value("a").is_err() && key_value("=b").is_err());
    }

    #[test]
    fn separators_may_be_escaped() {
        assert_eq!(separator(","), Ok(",".to_owned()));
        assert_eq!(separator(r"\t"), Ok("\t".to_owned()));
        assert_eq!(separator("=>"), Ok("=>".to_owned()));
        assert!(separator("").is_err() && separator("\n").is_err());
    }
}
