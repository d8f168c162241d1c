//! The metrics' table in `docs/operations.md` and the names in the code are the same.

use std::collections::BTreeSet;
use std::path::Path;

use crate::finding::Finding;
use crate::source::Source;
use crate::tree;

const DOCUMENT: &str = "docs/operations.md";
const PREFIX: &str = "foregate_";

/// Collects the names a source file registers outside its tests.
pub(crate) fn collect(path: &Path, text: &str, source: &Source, names: &mut BTreeSet<String>) {
    let rooms = [
        "crates/telemetry",
        "crates/server",
        "crates/acme",
        "crates/tls",
        "crates/upstream",
    ];
    let in_product = rooms.iter().any(|room| path.starts_with(room));
    if !in_product || path.ends_with("tests.rs") {
        return;
    }
    let literals = quoted(text, '"').into_iter();
    names.extend(
        literals
            .filter(|(at, _)| !source.in_tests(*at))
            .map(|(_, name)| name.to_owned()),
    );
}

pub(crate) fn check(
    root: &Path,
    names: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) -> Result<(), String> {
    let document = Path::new(DOCUMENT);
    let text = tree::read(root, document)?;
    let told: BTreeSet<String> = quoted(&text, '`')
        .into_iter()
        .map(|(_, name)| name.to_owned())
        .collect();
    for name in names.difference(&told) {
        findings.push(Finding::new(
            document,
            0,
            format!("says nothing of the metric `{name}`"),
        ));
    }
    for name in told.difference(names) {
        findings.push(Finding::new(
            document,
            0,
            format!("tells of `{name}`, which is no metric"),
        ));
    }
    Ok(())
}

/// Names that begin `foregate_` between two of the same quotes, and where they begin.
fn quoted(text: &str, quote: char) -> Vec<(usize, &str)> {
    let opening = format!("{quote}{PREFIX}");
    let found = text.match_indices(&opening).filter_map(|(at, _)| {
        let start = at + quote.len_utf8();
        let (name, _) = text[start..].split_once(quote)?;
        let plain = name
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
        plain.then_some((start, name))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_texts() {
        let text = "f(\"foregate_a_total\", \"foregate_b{x}\", \"other\", \"foregate_c\")";
        assert_eq!(
            quoted(text, '"'),
            [(3, "foregate_a_total"), (49, "foregate_c")]
        );
    }

    #[test]
    fn names_in_tests_are_not_collected() {
        let text = "const A: &str = \"foregate_a\";\n#[cfg(test)]\nmod tests { const B: &str = \"foregate_b\"; }\n";
        let mut names = BTreeSet::new();
        let path = Path::new("crates/telemetry/src/a.rs");
        collect(path, text, &Source::parse(text), &mut names);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["foregate_a"]);
    }
}
