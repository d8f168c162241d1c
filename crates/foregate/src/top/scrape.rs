//! Metrics as a gateway tells them: samples by name, with labels.

use std::collections::HashMap;

/// What a gateway told at one moment.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    samples: HashMap<String, Vec<Sample>>,
}

/// A number and what it is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    /// The value of a label; empty if it has none.
    pub(crate) fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Scrape {
    /// Reads the Prometheus text format. Lines that are none are left out.
    pub(crate) fn parse(text: &str) -> Scrape {
        let mut scrape = Scrape::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, sample)) = sample(line) {
                scrape
                    .samples
                    .entry(name.to_owned())
                    .or_default()
                    .push(sample);
            }
        }
        scrape
    }

    /// All samples of a name.
    pub(crate) fn of(&self, name: &str) -> &[Sample] {
        self.samples.get(name).map_or(&[], Vec::as_slice)
    }

    /// The sum of the samples of a name that carry all these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries =
            |sample: &&Sample| (labels.iter()).all(|(label, value)| sample.label(label) == *value);
        self.of(name)
            .iter()
            .filter(carries)
            .map(|sample| sample.value)
            .sum()
    }
}

fn sample(line: &str) -> Option<(&str, Sample)> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = head.split_once('{') else {
        let labels = Vec::new();
        return Some((head, Sample { labels, value }));
    };
    let mut rest = labels.strip_suffix('}')?;
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.push((label.to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some((name, Sample { labels, value }))
}

/// The text up to the quote that ends it, without escapes, and what follows.
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
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let scrape = Scrape::parse(
            "# HELP x y\nup 1\nn_total{site=\"a,b}\",route=\"say \\\"hi\\\"\"} 2.5\nn_total{site=\"c\",route=\"\"} 1\nbroken{\n",
        );
        assert_eq!(scrape.sum("up", &[]), 1.0);
        assert_eq!(scrape.sum("n_total", &[]), 3.5);
        assert_eq!(scrape.sum("n_total", &[("site", "a,b}")]), 2.5);
        assert_eq!(scrape.of("n_total")[0].label("route"), "say \"hi\"");
        assert!(scrape.of("broken").is_empty());
    }
}
