//! Reading the Prometheus text format.

/// The samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Reads an exposition.
    ///
    /// # Panics
    /// On a line that is neither a comment nor a sample.
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                Sample::parse(line).unwrap_or_else(|| panic!("not a metric sample: {line:?}"))
            })
            .collect();
        Self { samples }
    }

    /// The sum of all samples called `name` that carry all of `labels`; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether a sample called `name` carries all of `labels`.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    /// The samples called `name` that are not zero, by the value of their label `label`.
    pub fn by_label(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let value = |sample: &Sample| {
            let found = sample.labels.iter().find(|(name, _)| name == label);
            found.map(|(_, value)| (value.clone(), sample.value))
        };
        let samples = self.matching(name, &[]).filter_map(value);
        samples.filter(|(_, count)| *count != 0.0).collect()
    }

    /// How many samples (series) there are.
    pub fn series(&self) -> usize {
        self.samples.len()
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(name, value)| sample.labels.iter().any(|(n, v)| n == name && v == value))
        })
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, after) = rest.split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.push((label.to_owned(), value));
                rest = after.strip_prefix(',').unwrap_or(after);
            }
            rest = &rest[1..];
        }
        let value = rest.split_ascii_whitespace().next()?;
        let value = if value == "+Inf" {
            f64::INFINITY
        } else {
            value.parse().ok()?
        };
        Some(Self {
            name: name.to_owned(),
            labels,
            value,
        })
    }
}

/// Reads up to the closing quote, undoing escapes; the text and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    fn check(text: &str, name: &str, labels: &[(&str, &str)], expected: f64) {
        assert_eq!(
            Metrics::parse(text).sum(name, labels),
            expected,
            "{name} {labels:?} in {text:?}"
        );
    }

    #[test]
    fn samples_are_summed_over_matching_labels() {
        let text = "# HELP x y\nx{a=\"1\",b=\"q\\\"}\"} 2\nx{a=\"2\"} 3\ny 4\n";
        check(text, "x", &[], 5.0);
        check(text, "x", &[("a", "1")], 2.0);
        check(text, "x", &[("b", "q\"}")], 2.0);
        check(text, "y", &[], 4.0);
        check(text, "z", &[], 0.0);
    }
}
