//! The Prometheus text format, version 0.0.4: families of samples, HELP and TYPE, escaped label values.

use std::collections::HashMap;
use std::fmt::Write;

use super::histogram::{EXPORTED_BOUNDS, HistogramSnapshot};

/// The media type of the text that [`Exposition::finish`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts that only grow; the name ends in `_total`.
    Counter,
    /// Levels that go up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
    /// A sum and a count.
    Summary,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// A family of samples in an [`Exposition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family(usize);

struct Lines {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    text: String,
}

/// A scrape's answer in the making. Samples of one family may be added at any time; they come out together, as the
/// format demands.
#[derive(Default)]
pub struct Exposition {
    families: Vec<Lines>,
    by_name: HashMap<&'static str, usize>,
}

impl Exposition {
    /// An empty one.
    #[must_use]
    pub fn new() -> Exposition {
        Exposition::default()
    }

    /// The family of a name: a new one, or the one that has the name already (whose kind and help stay).
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family {
        debug_assert!(is_name(name), "{name} is no metric name");
        let next = self.families.len();
        let index = *self.by_name.entry(name).or_insert(next);
        if index == next {
            self.families.push(Lines {
                name,
                kind,
                help,
                text: String::new(),
            });
        }
        Family(index)
    }

    /// Adds a sample that is a count.
    pub fn count(&mut self, family: Family, labels: &[(&str, &str)], count: u64) {
        let lines = &mut self.families[family.0];
        start(&mut lines.text, lines.name, "", labels, None);
        let _ = writeln!(lines.text, " {count}");
    }

    /// Adds a sample that is any number.
    pub fn value(&mut self, family: Family, labels: &[(&str, &str)], value: f64) {
        let lines = &mut self.families[family.0];
        start(&mut lines.text, lines.name, "", labels, None);
        lines.text.push(' ');
        number(&mut lines.text, value);
        lines.text.push('\n');
    }

    /// Adds a histogram of durations, in seconds.
    pub fn histogram(
        &mut self,
        family: Family,
        labels: &[(&str, &str)],
        snapshot: &HistogramSnapshot,
    ) {
        let lines = &mut self.families[family.0];
        for (exponent, bound) in EXPORTED_BOUNDS {
            start(&mut lines.text, lines.name, "_bucket", labels, Some(bound));
            let _ = writeln!(lines.text, " {}", snapshot.at_most(exponent));
        }
        start(&mut lines.text, lines.name, "_bucket", labels, Some("+Inf"));
        let _ = writeln!(lines.text, " {}", snapshot.count());
        self.summary(family, labels, snapshot.sum_micros(), snapshot.count());
    }

    /// Adds a sum of durations (given in µs, written in seconds) and their count.
    pub fn summary(
        &mut self,
        family: Family,
        labels: &[(&str, &str)],
        sum_micros: u64,
        count: u64,
    ) {
        let lines = &mut self.families[family.0];
        start(&mut lines.text, lines.name, "_sum", labels, None);
        lines.text.push(' ');
        number(&mut lines.text, sum_micros as f64 / 1e6);
        lines.text.push('\n');
        start(&mut lines.text, lines.name, "_count", labels, None);
        let _ = writeln!(lines.text, " {count}");
    }

    /// The text. Families without samples are left out.
    #[must_use]
    pub fn finish(self) -> String {
        let length = self.families.iter().map(|lines| lines.text.len() + 200);
        let mut text = String::with_capacity(length.sum());
        for lines in self.families.iter().filter(|lines| !lines.text.is_empty()) {
            let _ = write!(text, "# HELP {} ", lines.name);
            escape(&mut text, lines.help, false);
            let _ = writeln!(text, "\n# TYPE {} {}", lines.name, lines.kind.name());
            text.push_str(&lines.text);
        }
        text
    }
}

fn start(text: &mut String, name: &str, suffix: &str, labels: &[(&str, &str)], le: Option<&str>) {
    text.push_str(name);
    text.push_str(suffix);
    let mut open = '{';
    for (label, value) in labels.iter().copied().chain(le.map(|bound| ("le", bound))) {
        debug_assert!(is_name(label), "{label} is no label name");
        text.push(open);
        open = ',';
        text.push_str(label);
        text.push_str("=\"");
        escape(text, value, true);
        text.push('"');
    }
    if open == ',' {
        text.push('}');
    }
}

/// Label values escape backslash, line feed and double quote; help texts the first two only.
fn escape(text: &mut String, value: &str, quoted: bool) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quoted => text.push_str("\\\""),
            _ => text.push(character),
        }
    }
}

fn number(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let _ = write!(text, "{value}");
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::*;

    #[test]
    fn golden() {
        let mut out = Exposition::new();
        let first = out.family("foregate_a_total", Kind::Counter, "Things\\ counted\nhere.");
        out.count(first, &[], 3);
        let second = out.family("foregate_b", Kind::Gauge, "A \"level\".");
        out.value(second, &[("name", "a\"b\\c\nd"), ("other", "ü")], 0.5);
        out.family("foregate_empty", Kind::Gauge, "Left out.");
        out.value(second, &[], f64::INFINITY);
        out.value(second, &[("x", "")], f64::NAN);
        let again = out.family("foregate_a_total", Kind::Counter, "Another help.");
        out.count(again, &[("late", "yes")], u64::MAX);
        let expected = r#"# HELP foregate_a_total Things\\ counted\nhere.
# TYPE foregate_a_total counter
foregate_a_total 3
foregate_a_total{late="yes"} 18446744073709551615
# HELP foregate_b A "level".
# TYPE foregate_b gauge
foregate_b{name="a\"b\\c\nd",other="ü"} 0.5
foregate_b +Inf
foregate_b{x=""} NaN
"#;
        assert_eq!(out.finish(), expected);
    }

    #[test]
    fn histograms_are_cumulative_and_end_with_infinity() {
        let histogram = Histogram::default();
        for micros in [100, 128, 129, 3_000, 500_000_000] {
            histogram.observe(micros);
        }
        let mut snapshot = HistogramSnapshot::default();
        snapshot.add(&histogram);
        let mut out = Exposition::new();
        let family = out.family("h", Kind::Histogram, "H.");
        out.histogram(family, &[("a", "b")], &snapshot);
        let text = out.finish();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[2], r#"h_bucket{a="b",le="0.000128"} 2"#);
        assert_eq!(lines[3], r#"h_bucket{a="b",le="0.000512"} 3"#);
        assert_eq!(lines[6], r#"h_bucket{a="b",le="0.004096"} 4"#);
        assert_eq!(lines[17], r#"h_bucket{a="b",le="67.108864"} 4"#);
        assert_eq!(lines[18], r#"h_bucket{a="b",le="+Inf"} 5"#);
        assert_eq!(lines[19], r#"h_sum{a="b"} 500.003357"#);
        assert_eq!(lines[20], r#"h_count{a="b"} 5"#);
        assert_eq!(lines.len(), 21);
    }
}
