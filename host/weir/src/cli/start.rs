//! Where reading begins, as it is typed: `earliest`, `latest`, an offset, or `@` and a time.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_client::Start;

pub(super) const HELP: &str =
    "Where to begin: earliest, latest, an OFFSET, or @TIME in ms since 1970 or RFC 3339";

/// For clap.
pub(super) fn parse(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => return Ok(Start::Earliest),
        "latest" => return Ok(Start::Latest),
        _ => {}
    }
    if let Some(time) = text.strip_prefix('@') {
        return parse_time(time).map(Start::Time);
    }
    match text.parse::<i64>() {
        Ok(offset) if offset >= 0 => Ok(Start::Offset(offset)),
        Ok(_) => Err("an offset is not negative".to_owned()),
        Err(_) => Err(
            "expected earliest, latest, an offset such as 42, or @TIME such as @2013-06-30T12:00:00Z"
                .to_owned(),
        ),
    }
}

fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse::<i64>() {
        return if ms >= 0 {
            Ok(ms)
        } else {
            Err("a time is not before 1970".to_owned())
        };
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        format!(
            "{text:?} is no time: write ms since 1970 (@1372593600000) or RFC 3339 (@2013-06-30T12:00:00Z)"
        )
    })?;
    let ms = time.unix_timestamp_nanos().div_euclid(1_000_000);
    match i64::try_from(ms) {
        Ok(ms) if ms >= 0 => Ok(ms),
        _ => Err("a time is not before 1970".to_owned()),
    }
}

/// A timestamp as RFC 3339, always with three digits of milliseconds, or the number if it is none.
pub(super) fn rfc3339(ms: i64) -> String {
    let whole = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).ok();
    let text = whole.and_then(|time| time.format(&Rfc3339).ok());
    match text.as_deref().and_then(|text| text.strip_suffix('Z')) {
        Some(text) => format!("{text}.{:03}Z", ms.rem_euclid(1_000)),
        None => ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        assert_eq!(parse("earliest"), Ok(Start::Earliest));
        assert_eq!(parse("latest"), Ok(Start::Latest));
        assert_eq!(parse("0"), Ok(Start::Offset(0)));
        assert_eq!(parse("9223372036854775807"), Ok(Start::Offset(i64::MAX)));
        assert_eq!(parse("@0"), Ok(Start::Time(0)));
        assert_eq!(parse("@1372593600000"), Ok(Start::Time(1_372_593_600_000)));
        assert_eq!(parse("@2013-06-30T12:00:00Z"), Ok(Start::Time(1_372_593_600_000)));
        assert_eq!(
            parse("@2013-06-30T14:00:00.5+02:00"),
            Ok(Start::Time(1_372_593_600_500))
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "first",
            "-1",
            "1.5",
            "@",
            "@-5",
            "@yesterday",
            "@1969-12-31T23:59:59Z",
            "9223372036854775808",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_timestamp_is_printed_as_it_is_typed() {
        assert_eq!(rfc3339(1_372_593_600_500), "2013-06-30T12:00:00.500Z");
        assert_eq!(rfc3339(1_372_593_600_000), "2013-06-30T12:00:00.000Z");
        assert_eq!(rfc3339(1_372_593_600_007), "2013-06-30T12:00:00.007Z");
        assert_eq!(
            parse(&format!("@{}", rfc3339(1_372_593_600_500))),
            Ok(Start::Time(1_372_593_600_500))
        );
        assert_eq!(rfc3339(i64::MIN), i64::MIN.to_string());
    }
}
