//! The generated list of reasons: `docs/reasons.md` is the reason table of `message`, for operators.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::finding::Finding;
use crate::tree;

const TABLE: &str = "crates/message/src/reason.rs";
const DOCUMENT: &str = "docs/reasons.md";

const INTRODUCTION: &str = "\
# Reasons

<!-- Generated from crates/message/src/reason.rs by `cargo xtask reasons --write`. -->

Every request ends with one reason. Access logs (`{reason}`) and metrics (label `reason`) carry it. Names are stable:
changing one is a breaking change.

The status is the one Foregate answers with when it has to answer itself. Where nothing can be answered any more, it is
what the log shows. A request that was passed on logs the backend's status.

";

const FAULTS: &str = "
## Malformed messages

The same law holds in both directions. A request with one of these faults has the reason `request-NAME`, gets the
status below, and its connection is closed. A response with one of them has the reason `response-NAME` and becomes
502, as long as nothing of it has been sent to the client: a head waits for what came with it of its body. What breaks
later, or breaks off (`upstream-truncated`), is cut off behind all that was good of it, and keeps its status.

";

/// One row of the table: an outcome, or a fault of a message.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    status: String,
    /// Whose doing it is; faults have none of their own.
    blame: Option<String>,
    meaning: String,
}

pub(crate) fn write() -> Result<String, String> {
    let root = tree::root();
    let text = generate(&root)?;
    fs::write(root.join(DOCUMENT), text).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    Ok(format!("{DOCUMENT} is written"))
}

pub(crate) fn check(root: &Path, findings: &mut Vec<Finding>) -> Result<(), String> {
    if tree::read(root, Path::new(DOCUMENT))? != generate(root)? {
        let complaint = "stale: run `cargo xtask reasons --write`";
        findings.push(Finding::new(Path::new(DOCUMENT), 0, complaint));
    }
    Ok(())
}

fn generate(root: &Path) -> Result<String, String> {
    let rows = rows(&tree::read(root, Path::new(TABLE))?);
    let (outcomes, faults): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.blame.is_some());
    if outcomes.is_empty() || faults.is_empty() {
        return Err(format!(
            "{TABLE}: no reasons found; has the table's form changed?"
        ));
    }
    let mut text = INTRODUCTION.to_owned();
    text.push_str("| reason | status | whose doing | meaning |\n|---|---|---|---|\n");
    for row in &outcomes {
        let whose = row.blame.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{}` | {} | {whose} | {} |",
            row.name, row.status, row.meaning
        );
    }
    text.push_str(FAULTS);
    text.push_str("| name | status | meaning |\n|---|---|---|\n");
    for row in &faults {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            row.name, row.status, row.meaning
        );
    }
    Ok(text)
}

/// The rows of the tables, which look like `Variant "name" 400 Client,` with the meaning in the
/// doc comment above.
fn rows(text: &str) -> Vec<Row> {
    let mut meaning = String::new();
    let mut rows = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("/// ") {
            if !meaning.is_empty() {
                meaning.push(' ');
            }
            meaning.push_str(said);
            continue;
        }
        let meaning = std::mem::take(&mut meaning);
        rows.extend(row(line, meaning));
    }
    rows
}

fn row(line: &str, meaning: String) -> Option<Row> {
    let (_, rest) = line.strip_suffix(',')?.split_once(" \"")?;
    let (name, rest) = rest.split_once("\" ")?;
    let mut words = rest.split(' ');
    let status = words
        .next()
        .filter(|it| it.len() == 3 && it.bytes().all(|b| b.is_ascii_digit()))?;
    Some(Row {
        name: name.to_owned(),
        status: status.to_owned(),
        blame: words.next().map(str::to_lowercase),
        meaning,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_row(line: &str, expected: Option<(&str, &str, Option<&str>)>) {
        let found = row(line, String::new());
        let found = found
            .as_ref()
            .map(|it| (it.name.as_str(), it.status.as_str(), it.blame.as_deref()));
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_are_told_from_other_lines() {
        check_row("BareCr \"bare-cr\" 400,", Some(("bare-cr", "400", None)));
        check_row(
            "Gone \"client-gone\" 499 Client,",
            Some(("client-gone", "499", Some("client"))),
        );
        check_row("Status::new(code),", None);
        check_row("panic!(\"a status \" 12),", None);
    }

    #[test]
    fn the_doc_comment_above_is_the_meaning() {
        let found = rows("/// One\n/// two.\nA \"a\" 400,\nB \"b\" 401,\n");
        let meanings: Vec<_> = found.iter().map(|it| it.meaning.as_str()).collect();
        assert_eq!(meanings, ["One two.", ""]);
    }
}
