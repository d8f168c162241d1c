//! Texts with what is nobody's business left out.

use crate::Origin;
use crate::diagnostic::Report;
use crate::keys::{self, Kind, Section};
use crate::sections::ROOT;
use crate::tree::{self, Format, Node, Value};
use std::ops::Range;

/// What stands for a secret.
const MASK: &str = "\"…\"";

/// The text of a configuration without its secrets, and with as many lines. What `${...}` refers to is not in the text,
/// so that references stay. Nothing is shown of a text that can't be read: nobody knows where its secrets are.
pub(crate) fn without_secrets(name: &str, text: &str) -> String {
    let mut report = Report::default();
    let tree = tree::parse(text, 0, Format::of_name(name), &mut report);
    if report.has_errors() {
        let hidden = |line: &str| {
            if line.trim().is_empty() {
                "\n"
            } else {
                "…\n"
            }
        };
        return text.lines().map(hidden).collect();
    }
    let mut found = Vec::new();
    in_table(&ROOT, &tree, &mut found);
    found.sort_by_key(|range| range.start);
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        let (Some(before), Some(hidden)) = (text.get(at..range.start), text.get(range.clone()))
        else {
            continue;
        };
        shown.push_str(before);
        shown.push_str(MASK);
        shown.extend(hidden.matches('\n'));
        at = range.end;
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// Whether a text says nothing but where a secret is, at most with the name of a scheme before it.
pub(crate) fn only_refers(text: &str) -> bool {
    let mut rest = text;
    let mut said = String::new();
    let mut refers = false;
    while let Some(start) = rest.find("${") {
        let reference = &rest[start..];
        let Some(end) = reference.find('}') else {
            return false;
        };
        if !reference.starts_with("${ENV:") && !reference.starts_with("${FILE:") {
            return false;
        }
        refers = true;
        said.push_str(&rest[..start]);
        rest = &reference[end + 1..];
    }
    said.push_str(rest);
    refers && matches!(said.trim(), "" | "Basic" | "Bearer" | "Token")
}

/// Whether a header field usually carries what proves who somebody is.
pub fn is_credential(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    [
        "auth",
        "cookie",
        "token",
        "secret",
        "session",
        "signature",
        "credential",
        "passw",
        "apikey",
        "api-key",
        "access-key",
        "private-key",
    ]
    .iter()
    .any(|word| field.contains(word))
}

fn in_table(section: &Section, node: &Node, found: &mut Vec<Range<usize>>) {
    let Value::Table(entries) = &node.value else {
        return;
    };
    for entry in entries {
        let key = section.keys.iter().find(|key| key.name == entry.key);
        if let Some(key) = key {
            in_value(key.kind, &entry.node, found);
        }
    }
}

fn in_value(kind: Kind, node: &Node, found: &mut Vec<Range<usize>>) {
    match (kind, &node.value) {
        (Kind::Text(syntax), Value::Text(_)) if syntax.is_secret => hide(node, found),
        (Kind::List(item), Value::List(items)) => {
            items.iter().for_each(|one| in_value(*item, one, found));
        }
        (Kind::Map(names, value), Value::Table(entries)) => {
            let are_fields = std::ptr::eq(names, &raw const keys::FIELD_NAME);
            for entry in entries {
                match are_fields && is_credential(&entry.key) {
                    true => hide(&entry.node, found),
                    false => in_value(*value, &entry.node, found),
                }
            }
        }
        (Kind::Table(section), Value::Table(_)) => in_table(section, node, found),
        (Kind::Either(kinds), _) => {
            let before = found.len();
            for kind in kinds {
                in_value(*kind, node, found);
                // One of them is the meant one: what two of them hide is hidden once.
                if found.len() > before {
                    break;
                }
            }
        }
        _ => {}
    }
}

/// Hides every text of a value, but for references.
fn hide(node: &Node, found: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Text(text) if !only_refers(&text.text) => found.push(range(node.origin)),
        Value::List(items) => items.iter().for_each(|item| hide(item, found)),
        Value::Table(entries) => entries.iter().for_each(|entry| hide(&entry.node, found)),
        _ => {}
    }
}

fn range(origin: Origin) -> Range<usize> {
    origin.start as usize..origin.end as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(without_secrets("a.toml", text), expected);
    }

    #[test]
    fn secrets_are_left_out_wherever_they_stand() {
        check(
            "[admin]\ntoken = \"0123456789abcdef\" # mine\naddress = \"127.0.0.1:1\"\n",
            "[admin]\ntoken = \"…\" # mine\naddress = \"127.0.0.1:1\"\n",
        );
        check(
            "[upstreams.app.sticky]\nsecrets = [\"one\", '''two\nlines''']\n",
            "[upstreams.app.sticky]\nsecrets = [\"…\", \"…\"\n]\n",
        );
        check(
            "[[sites.a.routes]]\nrequest_headers.set = { Authorization = \"Basic YQ==\", X-A = \"1\" }\n",
            "[[sites.a.routes]]\nrequest_headers.set = { Authorization = \"…\", X-A = \"1\" }\n",
        );
        let json = "{\"admin\":{\"token\":\"0123456789abcdef\"}}";
        assert_eq!(
            without_secrets("a.json", json),
            "{\"admin\":{\"token\":\"…\"}}"
        );
    }

    #[test]
    fn references_and_everything_else_stay() {
        for text in [
            "[admin]\ntoken = \"${FILE:token}\"\n",
            "import = [\"sites/*.toml\"]\n[upstreams.app]\nservers = [\"a:1\"]\n",
            "",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn a_reference_hides_nothing_that_stands_beside_it() {
        for shown in ["${ENV:A}", "Bearer ${FILE:a}", "${ENV:A}${ENV:B}"] {
            assert!(only_refers(shown), "{shown}");
        }
        for hidden in [
            "abc-${ENV:A}",
            "Basic abc= ${1}",
            "${x}",
            "${ENV:A",
            "secret",
            "",
            "${ENV:A} ${",
        ] {
            assert!(!only_refers(hidden), "{hidden}");
        }
        check(
            "[admin]\ntoken = \"0123456789-${ENV:X}\"\n",
            "[admin]\ntoken = \"…\"\n",
        );
    }

    #[test]
    fn nothing_is_shown_of_a_text_that_is_broken() {
        check("a = [1\n\n[admin]\ntoken = \"t\"\n", "…\n\n…\n…\n");
        check("[admin]\ntoken = \"t\"\ntoken = \"u\"\n", "…\n…\n…\n");
        let json = "{\"admin\": {\"token\": \"t\",}\n";
        assert_eq!(without_secrets("a.json", json), "…\n");
    }
}
