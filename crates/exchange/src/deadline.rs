//! The deadline that a gRPC request carries, lowered to what the gateway will wait.

use foregate_message::{FieldName, Fields};
use foregate_telemetry::clock::Moment;

/// The field that carries it.
const NAME: &str = "grpc-timeout";
/// As many digits as there may be.
const DIGITS_MAX: usize = 8;

/// By when a gRPC client that asked at `at` wants its answer; [`Moment::NEVER`] if it has not said so.
pub(crate) fn of_client(fields: &Fields, at: Moment) -> Moment {
    if !crate::apology::is_grpc(fields) {
        return Moment::NEVER;
    }
    let asked = FieldName::new(NAME).and_then(|name| asked(fields, &name));
    asked.map_or(Moment::NEVER, |asked| {
        Moment::from_micros(at.micros().saturating_add(asked))
    })
}

/// Tells a gRPC backend when its answer will not be waited for any more, by the client or by the gateway. Requests of other
/// protocols carry no deadline.
pub(crate) fn pass_on(fields: &mut Fields, deadline: Moment, at: Moment) {
    if !crate::apology::is_grpc(fields) {
        return;
    }
    let Some(name) = FieldName::new(NAME) else {
        return;
    };
    let left = deadline.micros_since(at);
    if asked(fields, &name).is_none_or(|asked| asked > left) {
        fields.set_named(&name, text(left).as_bytes());
    }
}

fn asked(fields: &Fields, name: &FieldName) -> Option<u64> {
    fields.all_named(name).next().and_then(micros)
}

/// `250m` and the like, in µs; a nanosecond is the least that is not nothing.
fn micros(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => number * 3_600_000_000,
        b'M' => number * 60_000_000,
        b'S' => number * 1_000_000,
        b'm' => number * 1_000,
        b'u' => number,
        b'n' => number.div_ceil(1_000),
        _ => return None,
    })
}

/// In the finest unit that fits, rounded down so that the backend does not outlast the gateway.
fn text(micros: u64) -> String {
    if micros == 0 {
        // Nothing can't be said.
        return "1n".to_owned();
    }
    let most = 10_u64.pow(DIGITS_MAX as u32);
    for (unit, size) in [("u", 1), ("m", 1_000), ("S", 1_000_000), ("M", 60_000_000)] {
        if micros / size < most {
            return format!("{}{unit}", micros / size);
        }
    }
    format!("{}H", (micros / 3_600_000_000).min(most - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_message::FieldId;

    #[test]
    fn timeouts_are_read_and_written() {
        for (value, expected) in [
            (&b"5S"[..], Some(5_000_000)),
            (b"1H", Some(3_600_000_000)),
            (b"250m", Some(250_000)),
            (b"1n", Some(1)),
            (b"12345678u", Some(12_345_678)),
            (b"123456789u", None),
            (b"S", None),
            (b"5", None),
            (b"-5S", None),
            (b"", None),
        ] {
            assert_eq!(micros(value), expected, "{value:?}");
        }
        assert_eq!(text(0), "1n");
        assert_eq!(text(99_999_999), "99999999u");
        assert_eq!(text(100_000_999), "100000m");
        assert_eq!(text(u64::MAX), "99999999H");
    }

    #[test]
    fn what_a_client_asks_for_counts_from_when_it_asked() {
        let begun = Moment::from_millis(1_000);
        let mut fields = Fields::new();
        fields.append(FieldId::ContentType, b"application/grpc");
        assert_eq!(of_client(&fields, begun), Moment::NEVER);
        fields.append_line(NAME.as_bytes(), b"2S");
        let deadline = of_client(&fields, begun);
        assert_eq!(deadline, begun.plus_millis(2_000));
        let name = FieldName::new(NAME).unwrap();
        for (after_ms, told) in [(0, &b"2S"[..]), (1_500, b"500000u"), (2_500, b"1n")] {
            let mut fields = fields.clone();
            pass_on(&mut fields, deadline, begun.plus_millis(after_ms));
            assert_eq!(fields.all_named(&name).next(), Some(told));
        }
        fields.set(FieldId::ContentType, b"text/plain");
        assert_eq!(of_client(&fields, begun), Moment::NEVER);
    }

    #[test]
    fn the_sooner_one_counts() {
        let now = Moment::from_millis(1_000);
        for (asked, left_ms, expected) in [
            (None, 500, &b"500000u"[..]),
            (Some("2S"), 500, b"500000u"),
            (Some("100m"), 500, b"100m"),
            (Some("nonsense"), 500, b"500000u"),
        ] {
            let mut fields = Fields::new();
            fields.append(FieldId::ContentType, b"application/grpc");
            if let Some(asked) = asked {
                fields.append_line(NAME.as_bytes(), asked.as_bytes());
            }
            pass_on(&mut fields, now.plus_millis(left_ms), now);
            let name = FieldName::new(NAME).unwrap();
            assert_eq!(fields.all_named(&name).next(), Some(expected), "{asked:?}");
        }
        let mut fields = Fields::new();
        fields.append(FieldId::ContentType, b"text/plain");
        pass_on(&mut fields, now.plus_millis(5), now);
        assert_eq!(fields.len(), 1);
    }
}
