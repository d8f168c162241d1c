//! Queries of targets: `name=value&…`, percent-encoded.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The pairs of a query; `+` is a space.
///
/// # Errors
/// What is no pair, or no percent-encoded UTF-8.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit(), digit());
                let value = high
                    .zip(low)
                    .and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                value.ok_or_else(|| format!("`{text}` is not percent-encoded"))?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is not UTF-8"))
}

/// A time such as `500ms`, `60s`, `5m` or `1h`, within `bounds`.
///
/// # Errors
/// It is none.
pub(crate) fn duration(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let millis = factor.zip(number.parse::<u64>().ok());
    let millis = millis.and_then(|(factor, number)| number.checked_mul(factor));
    let found = millis.map(Duration::from_millis);
    found.filter(|time| bounds.contains(time)).ok_or_else(|| {
        let (millis, hours) = (bounds.start().as_millis(), bounds.end().as_secs() / 3600);
        format!("`{text}` is no time such as 60s or 5m, from {millis}ms to {hours}h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs("note=a+b%26c%C3%A9&x"),
            Ok(vec![pair("note", "a b&cé"), pair("x", "")])
        );
        assert_eq!(pairs(""), Ok(Vec::new()));
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(pairs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read() {
        let (half, hour) = (Duration::from_millis(500), Duration::from_secs(3600));
        let duration = |text| duration(text, half..=hour);
        assert_eq!(duration("500ms"), Ok(half));
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("1h"), Ok(hour));
        for bad in [
            "",
            "0s",
            "499ms",
            "2h",
            "60",
            "s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
