//! TOML 1.1 into the tree.

use super::{Entry, Node, Text, Value};
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use std::borrow::Cow;
use std::ops::Range;
use toml::de::{DeInteger, DeTable, DeValue};

/// Reads a TOML text. Every syntax error is reported; what could be read is returned.
pub(super) fn parse(text: &str, file: u32, report: &mut Report) -> Node {
    let mut text = Cow::Borrowed(text);
    let mut bytes_left = REREAD_BYTES_MAX;
    // The reader drops what follows a key without value. Such lines are blanked and the text is read again.
    let (table, errors) = loop {
        let (table, errors) = DeTable::parse_recoverable(&text);
        let lines = lines_without_value(&text, &errors);
        if lines.is_empty() || bytes_left < text.len() {
            break (convert_table(table.into_inner(), file, report), errors);
        }
        bytes_left -= text.len();
        for error in errors.iter().filter(|error| is_without_value(error)) {
            report.push(syntax_error(&text, file, error.message(), error.span()));
        }
        let mut blanked = text.clone().into_owned();
        for line in lines {
            let blank = " ".repeat(line.len());
            blanked.replace_range(line, &blank);
        }
        text = Cow::Owned(blanked);
    };
    let mut tree = Node::new(Origin::new(file, 0, 0), table);
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| (error.span().map_or(0, |span| span.start), error))
        .collect();
    errors.sort_by_key(|(start, _)| *start);
    if let Some(end) = sound_until(&errors) {
        prune(&mut tree, end);
        let mut is_first = true;
        errors.retain(|(start, error)| {
            let is_sound = *start < end || *start == end && std::mem::take(&mut is_first);
            is_sound || error.message().starts_with("unclosed")
        });
    }
    for (_, error) in errors {
        if report.is_full() {
            report.omit_error();
        } else {
            report.push(syntax_error(&text, file, error.message(), error.span()));
        }
    }
    tree
}

/// Bytes that reading again may cost in all.
const REREAD_BYTES_MAX: usize = 32 << 20;

/// With more errors than these the text is not read again: nobody reads on either.
const REREAD_ERRORS_MAX: usize = 100;

fn is_without_value(error: &toml::de::Error) -> bool {
    error.message().starts_with("key with no value")
}

/// The lines of keys without value, as far as blanking them changes anything.
fn lines_without_value(text: &str, errors: &[toml::de::Error]) -> Vec<Range<usize>> {
    if errors.len() > REREAD_ERRORS_MAX {
        return Vec::new();
    }
    let spans = errors
        .iter()
        .filter(|error| is_without_value(error))
        .filter_map(toml::de::Error::span);
    spans
        .map(|span| line_around(text, span.start))
        .filter(|line| !text[line.clone()].trim().is_empty())
        .collect()
}

fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..]
        .find('\n')
        .map_or(text.len(), |newline| at + newline);
    start..end
}

/// Where an array or inline table that is never closed begins to swallow what follows, if there is one: from there on,
/// errors and values tell nothing.
fn sound_until(errors: &[(usize, &toml::de::Error)]) -> Option<usize> {
    let is = |error: &toml::de::Error, start: &str| error.message().starts_with(start);
    errors
        .iter()
        .find(|(_, error)| is(error, "unclosed array") || is(error, "unclosed inline table"))?;
    let swallowed = errors.iter().find(|(_, error)| {
        is(error, "missing comma")
            || is(error, "unexpected `=`")
            || is(error, "extra")
            || is(error, "unclosed")
    });
    swallowed.map(|(start, _)| *start)
}

/// Removes what stands or ends beyond `end`.
fn prune(node: &mut Node, end: usize) {
    let ends_before = |node: &Node| node.origin.end as usize <= end;
    match &mut node.value {
        Value::List(items) => {
            items.retain(ends_before);
            items.iter_mut().for_each(|item| prune(item, end));
        }
        Value::Table(entries) => {
            entries
                .retain(|entry| (entry.key_origin.end as usize) < end && ends_before(&entry.node));
            entries
                .iter_mut()
                .for_each(|entry| prune(&mut entry.node, end));
        }
        _ => {}
    }
}

fn syntax_error(text: &str, file: u32, message: &str, span: Option<Range<usize>>) -> Diagnostic {
    let span = span.unwrap_or(0..0);
    // An empty span points between two characters; underline the one that follows, if it is on the same line.
    let end = match text.get(span.start..).and_then(|rest| rest.chars().next()) {
        Some(next) if span.is_empty() && next != '\n' && next != '\r' => {
            span.start + next.len_utf8()
        }
        _ => span.end,
    };
    let origin = Origin::new(file, span.start, end);
    let (summary, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    if summary == "duplicate key" {
        let key = text.get(span.clone()).unwrap_or("");
        return Diagnostic::new(
            Code::DuplicateKey,
            origin,
            format!("`{key}` is written twice"),
        )
        .label("already defined above")
        .help("keep one of them, or merge the two");
    }
    if summary.contains("recur") {
        return Diagnostic::new(Code::TooLarge, origin, "the text is nested too deeply").cause(
            format!(
                "at most {} levels of tables and lists are read",
                super::DEPTH_MAX
            ),
        );
    }
    let diagnostic = Diagnostic::new(Code::Syntax, origin, format!("not valid TOML: {summary}"));
    let diagnostic = if expected.is_empty() || expected == "nothing" {
        diagnostic
    } else {
        diagnostic.label(format!("expected {expected}"))
    };
    if summary == "string values must be quoted" {
        let value = text.get(span).unwrap_or("").trim();
        let help = if value.is_empty() {
            "write a value after `=`".to_owned()
        } else {
            // It is not repeated here: it may be a secret.
            "put it in quotes".to_owned()
        };
        return diagnostic.label("").help(help);
    }
    diagnostic
}

fn convert_table(table: DeTable<'_>, file: u32, report: &mut Report) -> Value {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| {
            let span = value.span();
            Entry {
                key_origin: Origin::new(file, key.span().start, key.span().end),
                key: key.into_inner().into_owned(),
                node: convert(
                    value.into_inner(),
                    Origin::new(file, span.start, span.end),
                    report,
                ),
            }
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_origin.start);
    Value::Table(entries)
}

// The depth of the recursion is bounded: the reader refuses more than 80 levels.
fn convert(value: DeValue<'_>, origin: Origin, report: &mut Report) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(Text {
            text: text.into_owned(),
            substituted: false,
            is_missing: false,
        }),
        DeValue::Integer(integer) => convert_integer(&integer, origin, report),
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(list) => Value::List(
            list.into_iter()
                .map(|item| {
                    let span = item.span();
                    convert(
                        item.into_inner(),
                        Origin::new(origin.file, span.start, span.end),
                        report,
                    )
                })
                .collect(),
        ),
        DeValue::Table(table) => convert_table(table, origin.file, report),
    };
    Node::new(origin, value)
}

fn convert_integer(integer: &DeInteger<'_>, origin: Origin, report: &mut Report) -> Value {
    match i64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) => Value::Integer(number),
        Err(_) => {
            report.push(
                Diagnostic::new(
                    Code::Syntax,
                    origin,
                    "not valid TOML: the integer does not fit into 64 bits",
                )
                .label("too large"),
            );
            Value::Integer(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Report, Value, parse};

    /// Compares the keys that were read and the lines of the errors.
    fn check(text: &str, keys: &str, error_lines: &[usize]) {
        let mut report = Report::default();
        let tree = parse(text, 0, &mut report);
        let mut found = Vec::new();
        collect(&tree, &mut found);
        assert_eq!(found.join(" "), keys, "{text}");
        let line = |start: u32| text[..start as usize].matches('\n').count() + 1;
        let lines: Vec<usize> = report
            .diagnostics
            .iter()
            .map(|d| line(d.origin.start))
            .collect();
        assert_eq!(lines, error_lines, "{text}\n{:?}", report.diagnostics);
    }

    fn collect(node: &Node, keys: &mut Vec<String>) {
        if let Value::Table(entries) = &node.value {
            for entry in entries {
                keys.push(entry.key.clone());
                collect(&entry.node, keys);
            }
        }
    }

    #[test]
    fn reading_goes_on_after_errors() {
        check("a = 1\n[t]\nb = 2", "a t b", &[]);
        check("a 'x'\nb = 1\nc\n[t]\nd = 2", "b t d", &[1, 3]);
        check("a = x\nb = y\n[t]\nc = 1", "a b t c", &[1, 2]);
        check("a = \"x\nb = 2\n[t]\nc = 3", "a b t c", &[1]);
    }

    #[test]
    fn what_an_unclosed_array_swallows_is_not_judged() {
        check("x = 1\na = [1\nb = 2\n[c]\nd = 3", "x", &[3, 5]);
    }

    #[test]
    fn toml_1_1() {
        check(
            "a = {\n  b = 1, # first\n  c = \"\\e\\x41\",\n}",
            "a b c",
            &[],
        );
    }
}
