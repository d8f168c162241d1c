//! Readers of single values: each returns the value, or reports why it is none.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::wrong_type;
use crate::keys::DURATION_MS_MAX;
use crate::tree::{Node, Value};
use std::time::Duration;

/// A text.
pub(crate) fn text<'n>(node: &'n Node, report: &mut Report) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) if !text.is_missing => Some(&text.text),
        _ => {
            wrong_type(node, "a text", report);
            None
        }
    }
}

/// `true` or `false`; also as a text that was substituted.
pub(crate) fn boolean(node: &Node, report: &mut Report) -> Option<bool> {
    match &node.value {
        Value::Boolean(boolean) => return Some(*boolean),
        Value::Text(text) if text.substituted => {
            if let Ok(boolean) = text.text.parse() {
                return Some(boolean);
            }
        }
        _ => {}
    }
    wrong_type(node, "`true` or `false`", report);
    None
}

/// An integer of a range; also as a text that was substituted.
pub(crate) fn integer(
    node: &Node,
    min: i64,
    max: i64,
    off: bool,
    report: &mut Report,
) -> Option<i64> {
    let number = match &node.value {
        Value::Integer(number) => Some(*number),
        Value::Text(text) if text.substituted => text.text.parse().ok(),
        _ => None,
    };
    let or_off = if off { ", or \"off\"" } else { "" };
    match number {
        Some(number) if (min..=max).contains(&number) => Some(number),
        Some(number) => {
            report.push(
                Diagnostic::new(
                    Code::BadValue,
                    node.origin,
                    format!("{number} is out of range"),
                )
                .label(format!("{min} to {max}{or_off}"))
                .maybe_help((off && number == 0).then(|| "write \"off\" for no limit".to_owned())),
            );
            None
        }
        None => {
            match &node.value {
                Value::Text(text) if !text.is_missing && text.text.parse::<i64>().is_ok() => report
                    .push(
                        Diagnostic::new(
                            Code::WrongType,
                            node.origin,
                            format!("an integer{or_off} belongs here"),
                        )
                        .label("this is a text")
                        .help(format!("without quotes: {}", text.text)),
                    ),
                _ => wrong_type(node, &format!("an integer{or_off}"), report),
            }
            None
        }
    }
}

/// A number of things, or `"off"`.
pub(crate) fn count(
    node: &Node,
    min: u32,
    max: u32,
    off: bool,
    report: &mut Report,
) -> Option<Option<u32>> {
    if off && is_off(node) {
        return Some(None);
    }
    let number = integer(node, min.into(), max.into(), off, report)?;
    Some(u32::try_from(number).ok())
}

/// True for `"off"`.
pub(crate) fn is_off(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text.text == "off")
}

/// A duration, or `"off"`.
pub(crate) fn duration(
    node: &Node,
    min_ms: u64,
    off: bool,
    report: &mut Report,
) -> Option<Option<Duration>> {
    if off && is_off(node) {
        return Some(None);
    }
    let or_off = if off { ", or \"off\"" } else { "" };
    if let Value::Integer(number) = &node.value {
        report.push(
            Diagnostic::new(Code::WrongType, node.origin, "a duration needs a unit")
                .label("this is an integer")
                .help(format!(
                    "\"{number}s\" for seconds, \"{number}ms\" for milliseconds"
                )),
        );
        return None;
    }
    let written = text(node, report)?;
    let problem = match parse_duration_ms(written) {
        _ if is_beyond_u64(written, &DURATION_UNITS) => "at most 365d".to_owned(),
        Some(0) if off && min_ms > 0 => "write \"off\" for no limit".to_owned(),
        Some(ms) if ms < min_ms => format!("at least {min_ms}ms"),
        Some(ms) if ms > DURATION_MS_MAX => "at most 365d".to_owned(),
        Some(ms) => return Some(Some(Duration::from_millis(ms))),
        None if !off && written == "off" => "this cannot be switched off".to_owned(),
        None => format!("for example \"250ms\", \"10s\", \"1m30s\", \"1h\"{or_off}"),
    };
    report.push(
        Diagnostic::new(
            Code::BadDuration,
            node.origin,
            format!("{} is not a duration that is taken here", quoted(written)),
        )
        .help(problem),
    );
    None
}

/// Units of durations, in milliseconds, larger ones first.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// True for a number with a unit that is well written and too large to count.
fn is_beyond_u64(text: &str, units: &[(&str, u64)]) -> bool {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    let unit = units.iter().find(|(unit, _)| *unit == &text[digits..]);
    let number = text[..digits].parse::<u64>().ok();
    digits > 0 && unit.is_some_and(|(_, unit)| number.and_then(|n| n.checked_mul(*unit)).is_none())
}

/// Milliseconds of `250ms`, `10s`, `1m30s`, `2h`, `7d`; nothing if it is no duration or overflows.
fn parse_duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    // Units come in descending order, each at most once.
    let mut unit_min = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_length = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let index = DURATION_UNITS
            .iter()
            .position(|(unit, _)| *unit == &rest[..unit_length])?;
        if index < unit_min {
            return None;
        }
        unit_min = index + 1;
        total = total.checked_add(number.checked_mul(DURATION_UNITS[index].1)?)?;
        rest = &rest[unit_length..];
    }
    (!text.is_empty()).then_some(total)
}

/// Units of sizes, larger ones first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("B", 1),
];

/// A size in bytes, at least 1, or `"off"`.
pub(crate) fn size(node: &Node, max: u64, off: bool, report: &mut Report) -> Option<Option<u64>> {
    if off && is_off(node) {
        return Some(None);
    }
    if let Value::Integer(number) = &node.value {
        report.push(
            Diagnostic::new(Code::WrongType, node.origin, "a size needs a unit")
                .label("this is an integer")
                .help(format!(
                    "\"{number}B\" for bytes, \"{number}KiB\" for kibibytes"
                )),
        );
        return None;
    }
    let written = text(node, report)?;
    let or_off = if off { ", or \"off\"" } else { "" };
    let problem = match parse_size(written) {
        _ if is_beyond_u64(written, &SIZE_UNITS) => format!("at most {}", size_text(max)),
        Some(0) if off => "the least is \"1B\", and \"off\" is no limit at all".to_owned(),
        Some(0) => "at least 1B".to_owned(),
        Some(bytes) if bytes > max => format!("at most {}", size_text(max)),
        Some(bytes) => return Some(Some(bytes)),
        None if !off && written == "off" => "this cannot be switched off".to_owned(),
        None => similar_size(written).unwrap_or_else(|| {
            format!("for example \"512B\", \"8KiB\", \"1MiB\", \"10MB\"{or_off}")
        }),
    };
    report.push(
        Diagnostic::new(
            Code::BadSize,
            node.origin,
            format!("{} is not a size that is taken here", quoted(written)),
        )
        .help(problem),
    );
    None
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = SIZE_UNITS
        .iter()
        .find(|(unit, _)| *unit == &text[digits..])?
        .1;
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// `8k`, `8 KiB`, `8kb`: what is surely meant.
fn similar_size(text: &str) -> Option<String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let letter = text[digits..]
        .trim()
        .chars()
        .next()
        .map_or('B', |c| c.to_ascii_uppercase());
    let unit = match letter {
        'K' => "KiB",
        'M' => "MiB",
        'G' => "GiB",
        'T' => "TiB",
        'B' => "B",
        _ => return None,
    };
    (digits > 0).then(|| format!("did you mean \"{}{unit}\"?", &text[..digits]))
}

/// A size with the largest unit that divides it.
pub(crate) fn size_text(bytes: u64) -> String {
    let (unit, factor) = SIZE_UNITS
        .iter()
        .filter(|(unit, _)| unit.len() != 2)
        .find(|(_, factor)| bytes.is_multiple_of(*factor))
        .unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

/// One of some words.
pub(crate) fn choice(
    node: &Node,
    words: &'static [(&'static str, &'static str)],
    report: &mut Report,
) -> Option<&'static str> {
    let written = text(node, report)?;
    let found = words.iter().find(|(word, _)| *word == written);
    if found.is_none() {
        report.push(unknown_word(
            written,
            node.origin,
            &words.iter().map(|(word, _)| *word).collect::<Vec<_>>(),
        ));
    }
    found.map(|(word, _)| *word)
}

/// The diagnostic for a text that is none of some words.
pub(crate) fn unknown_word(written: &str, origin: Origin, words: &[&str]) -> Diagnostic {
    let similar = Report::default().similar(written, words.iter().copied());
    let diagnostic = Diagnostic::new(
        Code::BadValue,
        origin,
        format!("{} is not one of the values taken here", quoted(written)),
    )
    .label(format!("one of: {}", words.join(", ")));
    match similar {
        Some(word) => diagnostic.help(format!("did you mean `{word}`?")),
        None => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_duration_ms, parse_size, similar_size, size_text};

    #[test]
    fn durations() {
        for (text, expected) in [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1m30s", Some(90_000)),
            ("1d1h1m1s1ms", Some(90_061_001)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("10S", None),
            ("10 s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1s1m", None),
            ("1s1s", None),
            ("99999999999999999999s", None),
            ("9999999999999999d", None),
        ] {
            assert_eq!(parse_duration_ms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("512B", Some(512)),
            ("8KiB", Some(8192)),
            ("10MB", Some(10_000_000)),
            ("1GiB", Some(1 << 30)),
            ("8", None),
            ("8kib", None),
            ("KiB", None),
            ("1.5MiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
        assert_eq!(
            similar_size("8k").as_deref(),
            Some("did you mean \"8KiB\"?")
        );
        assert_eq!(similar_size("1.5MiB"), None);
        for bytes in [1, 1024, 8192, 1000, 1 << 31] {
            assert_eq!(parse_size(&size_text(bytes)), Some(bytes));
        }
    }
}
