//! Texts with what is nobody's business left out.

mod broken;

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::keys::{self, Kind, Section};
use crate::sections::ROOT;
use crate::tree::{self, Format, Node, Value};
use crate::{Origin, Sources};
use std::borrow::Cow;
use std::ops::Range;

/// What stands for a secret.
const MASK: &str = "\"…\"";

/// What of a text is not shown, in its order.
#[derive(Default)]
pub(crate) struct Hidden(Vec<Range<usize>>);

/// Where secrets are in the text of a configuration, or may be, for a text whose lines are shown beside what is wrong with
/// them.
pub(crate) fn hidden(name: &str, text: &str) -> Hidden {
    Hidden(in_sound_text(name, text).unwrap_or_else(|| broken::hidden(text)))
}

/// Where secrets are in the text of a configuration, and where they may be: in what is written under a key that does not
/// exist, or in a form that is none. What `${...}` refers to is not in the text, so that references stay. Nothing for a text that
/// cannot be read.
fn in_sound_text(name: &str, text: &str) -> Option<Vec<Range<usize>>> {
    let mut report = Report::default();
    let tree = tree::parse(text, 0, Format::of_name(name), &mut report);
    if report.has_errors() {
        return None;
    }
    let mut found = Vec::new();
    in_table(&ROOT, &tree, &mut found);
    if Format::of_name(name) == Format::Toml {
        in_comments(text, &mut found);
    }
    found.sort_by_key(|range| (range.start, range.end));
    found.dedup_by(|next, before| {
        let touch = next.start < before.end;
        if touch {
            before.end = before.end.max(next.end);
        }
        touch
    });
    Some(found)
}

/// The text of a configuration without its secrets, and with as many lines.
pub(crate) fn without_secrets(name: &str, text: &str) -> String {
    // Whoever compares versions has no line in mind: of a broken text nothing has to be shown.
    let Some(found) = in_sound_text(name, text) else {
        return without_anything(text);
    };
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

/// As many lines that show nothing.
fn without_anything(text: &str) -> String {
    let hidden = |line: &str| {
        if line.trim().is_empty() {
            "\n"
        } else {
            "…\n"
        }
    };
    text.lines().map(hidden).collect()
}

impl Hidden {
    /// A piece of a line of the text, without what is not shown. `offset` is where it begins in the text, and
    /// `line_start` where its line does: what began in lines before is told of once.
    pub(crate) fn cover(&self, piece: &str, offset: usize, line_start: usize) -> String {
        let parts = &self.0;
        let end = offset + piece.len();
        let mut shown = String::with_capacity(piece.len());
        let mut at = offset;
        let first = parts.partition_point(|part| part.end <= offset);
        for part in parts[first..].iter().take_while(|part| part.start < end) {
            let begins = part.start.max(line_start);
            shown.push_str(
                piece
                    .get(at - offset..begins.max(at) - offset)
                    .unwrap_or_default(),
            );
            if begins >= offset {
                shown.push_str(MASK);
            }
            at = part.end.min(end);
        }
        shown.push_str(piece.get(at - offset..).unwrap_or_default());
        shown
    }
}

/// What is said of a text that cannot be read, saying nothing of its secrets: what was one may stand as a key now. Nothing
/// else needs that, and names of files that cannot be read are not from such a text.
pub(crate) fn in_words<'d>(diagnostic: &'d Diagnostic, sources: &Sources) -> Cow<'d, Diagnostic> {
    let mut places = std::iter::once(&diagnostic.origin)
        .chain(diagnostic.related.iter().map(|(origin, _)| origin));
    if diagnostic.code == Code::UnreadableFile || !places.any(|at| sources.is_broken(at.file)) {
        return Cow::Borrowed(diagnostic);
    }
    let mut said = diagnostic.clone();
    let labels = said.related.iter_mut().map(|(_, label)| label);
    let words = [&mut said.message, &mut said.label];
    let more = said.cause.iter_mut().chain(&mut said.help);
    for text in words.into_iter().chain(labels).chain(more) {
        broken::without_tokens(text);
    }
    Cow::Owned(said)
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
    CREDENTIAL_WORDS.iter().any(|word| field.contains(word))
}

/// What the names of such fields have in them.
const CREDENTIAL_WORDS: [&str; 12] = [
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
];

/// What was taken out of use with a `#` before it may still be in use elsewhere. A `#` in a string that reads like such a
/// comment is hidden with it.
fn in_comments(text: &str, found: &mut Vec<Range<usize>>) {
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let end = line_start + line.trim_end().len();
        let comment = line.find('#').map(|at| (at, &line[at..]));
        let named = comment.and_then(|(at, text)| Some((at, text.split_once('=')?.0)));
        if let Some((at, name)) = named
            && is_credential(name)
        {
            found.push(line_start + at + name.len() + 1..end);
        }
        line_start += line.len();
    }
}

fn in_table(section: &Section, node: &Node, found: &mut Vec<Range<usize>>) {
    let Value::Table(entries) = &node.value else {
        return;
    };
    for entry in entries {
        match section.keys.iter().find(|key| key.name == entry.key) {
            Some(key) => in_value(key.kind, &entry.node, found),
            // It may be meant for one that takes secrets, or stand in another's place.
            None => hide(&entry.node, found),
        }
    }
}

fn in_value(kind: Kind, node: &Node, found: &mut Vec<Range<usize>>) {
    match (kind, &node.value) {
        (Kind::Text(syntax), Value::Text(_)) => {
            if syntax.is_secret {
                hide(node, found);
            }
        }
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
            let mut fitting = kinds.iter().filter(|kind| takes(**kind, node)).peekable();
            match fitting.peek() {
                // Each could be the meant one.
                Some(_) => fitting.for_each(|kind| in_value(*kind, node, found)),
                None => in_odd_value(kind, node, found),
            }
        }
        _ => in_odd_value(kind, node, found),
    }
}

/// A value in a form that its key has no use for. Single values are shown where there could be no secret.
fn in_odd_value(kind: Kind, node: &Node, found: &mut Vec<Range<usize>>) {
    let is_single = !matches!(node.value, Value::List(_) | Value::Table(_));
    if !is_single || may_hold_secrets(kind) {
        hide(node, found);
    }
}

/// Whether a value has the form of a kind.
fn takes(kind: Kind, node: &Node) -> bool {
    match kind {
        Kind::Table(_) | Kind::Map(..) => matches!(node.value, Value::Table(_)),
        Kind::List(_) => matches!(node.value, Value::List(_)),
        Kind::Text(_) => matches!(node.value, Value::Text(_)),
        Kind::Either(kinds) => kinds.iter().any(|kind| takes(*kind, node)),
        Kind::Boolean
        | Kind::Integer { .. }
        | Kind::Count { .. }
        | Kind::Duration { .. }
        | Kind::Size { .. }
        | Kind::Choice(_) => !matches!(node.value, Value::List(_) | Value::Table(_)),
    }
}

fn may_hold_secrets(kind: Kind) -> bool {
    match kind {
        Kind::Text(syntax) => syntax.is_secret,
        Kind::List(item) => may_hold_secrets(*item),
        Kind::Map(names, value) => {
            std::ptr::eq(names, &raw const keys::FIELD_NAME) || may_hold_secrets(*value)
        }
        Kind::Table(section) => section.keys.iter().any(|key| may_hold_secrets(key.kind)),
        Kind::Either(kinds) => kinds.iter().any(|kind| may_hold_secrets(*kind)),
        _ => false,
    }
}

/// Hides every single value of a value, but for references.
fn hide(node: &Node, found: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| hide(item, found)),
        Value::Table(entries) => entries.iter().for_each(|entry| hide(&entry.node, found)),
        Value::Text(text) if only_refers(&text.text) => {}
        _ => found.push(range(node.origin)),
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
    fn what_may_be_meant_for_a_secret_is_left_out_too() {
        check(
            "[upstreams.app.sticky]\nsecrets = \"abcdefgh\"\n",
            "[upstreams.app.sticky]\nsecrets = \"…\"\n",
        );
        check(
            "[admin]\ntokn = \"t\"\ntoken = 1234567890123456\n",
            "[admin]\ntokn = \"…\"\ntoken = \"…\"\n",
        );
        check(
            "token = \"t\"\nworkers = 2\n[admn]\ntoken = \"t\"\nsome = [1, { a = \"b\" }]\n",
            "token = \"…\"\nworkers = 2\n[admn]\ntoken = \"…\"\nsome = [\"…\", { a = \"…\" }]\n",
        );
        check(
            "[upstreams]\napp = \"t\"\n[admin.address]\ntoken = \"t\"\n",
            "[upstreams]\napp = \"…\"\n[admin.address]\ntoken = \"…\"\n",
        );
        check(
            "[[sites.a.routes]]\nrequest_headers.set = { Authorization = 17 }\nresponse_headers = \"t\"\n",
            "[[sites.a.routes]]\nrequest_headers.set = { Authorization = \"…\" }\nresponse_headers = \"…\"\n",
        );
    }

    #[test]
    fn what_was_taken_out_of_use_is_left_out() {
        check(
            "[admin]\n#token = \"old\"\ntoken = \"new\" # token = \"older\"\r\n# why = \"so\"\n",
            "[admin]\n#token =\"…\"\ntoken = \"…\" # token =\"…\"\r\n# why = \"so\"\n",
        );
        // Hidden once where both ways find it.
        check(
            "[admin]\ntoken = \"a # token = b\" # mine\n",
            "[admin]\ntoken = \"…\"\n",
        );
    }

    #[test]
    fn a_piece_of_a_line_is_covered_where_it_is_hidden() {
        let text = "[admin]\ntoken = \"abc\" # mine\n";
        let hidden = hidden("a.toml", text);
        let at = |piece: &str| {
            let offset = text.find(piece).unwrap();
            hidden.cover(piece, offset, 8)
        };
        assert_eq!(at("token = \"abc\" # mine"), "token = \"…\" # mine");
        assert_eq!(at("token = "), "token = ");
        assert_eq!(at("\"abc\""), "\"…\"");
        assert_eq!(at("= \"a"), "= \"…\"");
        assert_eq!(at("c\" # mine"), " # mine", "told of before");
        assert_eq!(
            hidden.cover("c\" #", 19, 19),
            "\"…\" #",
            "began lines before"
        );
        assert_eq!(Hidden::default().cover("token", 8, 8), "token");
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
