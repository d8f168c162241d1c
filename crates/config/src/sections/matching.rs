//! `path`, `headers` and `query` of a route: what it takes.

use super::header_rules::distinct_names;
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::{Fields, entries_of, wrong_type};
use crate::keys::{self, Default, Kind, Section, key};
use crate::paths;
use crate::settings::{FieldMatch, PathMatch, ValueMatch};
use crate::tree::{Entry, Value};
use crate::words;

pub(super) static PATH_SECTION: Section = Section {
    heading: "path = { ... }",
    doc: "The paths a route takes: exactly one of these keys. A plain text, `path = \"/api\"`, is short for \
          `path = { prefix = \"/api\" }`. Paths are matched in their normalised form, without the query.",
    keys: &[
        key(
            "exact",
            Kind::Text(&keys::PATH),
            Default::Absent(""),
            "Exactly this path.",
        ),
        key(
            "prefix",
            Kind::Text(&keys::PATH),
            Default::Absent(""),
            "This path and everything below it: `/api` takes `/api` and `/api/x`, not `/apix`. `/api/` takes only what begins \
             with `/api/`.",
        ),
        key(
            "glob",
            Kind::Text(&keys::PATH),
            Default::Absent(""),
            "The whole path: `*` is any run of characters but `/`, `**` any run of characters, `?` one character but `/`.",
        ),
        key(
            "regex",
            Kind::Text(&keys::REGEX),
            Default::Absent(""),
            "A regular expression that is searched for in the path; anchor it with `^` and `$`. Syntax of the Rust crate \
             `regex`: linear time, no look-around, no back-references.",
        ),
    ],
};

/// Reads the path of a route; `None` if it is not valid.
pub(super) fn path(entry: &Entry, report: &mut Report) -> Option<PathMatch> {
    let node = &entry.node;
    match &node.value {
        Value::Text(text) if !text.is_missing => {
            paths::path(&text.text, node.origin, report).map(PathMatch::Prefix)
        }
        Value::Table(_) => {
            let fields = Fields::open(&PATH_SECTION, node, entry.key_origin, report);
            let found = [
                one(&fields, "exact", report, paths::path, PathMatch::Exact),
                one(&fields, "prefix", report, paths::path, PathMatch::Prefix),
                one(&fields, "glob", report, paths::glob, PathMatch::Glob),
                one(&fields, "regex", report, words::regex, PathMatch::Regex),
            ];
            let has_unknown = fields.has_unknown;
            fields.finish();
            let mut written = found.into_iter().flatten();
            match (written.next(), written.next()) {
                (Some((_, path)), None) => path,
                (Some((first, _)), Some((second, _))) => {
                    report.push(
                        Diagnostic::new(
                            Code::ConflictingKeys,
                            second,
                            "a path is matched in one way",
                        )
                        .label("a second way")
                        .related(first, "the first way")
                        .help("write two routes"),
                    );
                    None
                }
                _ if has_unknown => None,
                _ => {
                    report.push(
                        Diagnostic::new(
                            Code::MissingKey,
                            node.origin,
                            "nothing tells how the path is matched",
                        )
                        .help("for example: path = { prefix = \"/api\" }"),
                    );
                    None
                }
            }
        }
        _ => {
            wrong_type(
                node,
                "a text (a prefix), or a table such as { exact = \"/\" },",
                report,
            );
            None
        }
    }
}

/// A way to match the path, if it is written: where, and what if it is valid.
fn one(
    fields: &Fields<'_>,
    name: &str,
    report: &mut Report,
    read: impl Fn(&str, Origin, &mut Report) -> Option<String>,
    make: impl Fn(String) -> PathMatch,
) -> Option<(Origin, Option<PathMatch>)> {
    let entry = fields.entry(name)?;
    let text = crate::scalar::text(&entry.node, report);
    Some((
        entry.key_origin,
        text.and_then(|text| read(text, entry.node.origin, report))
            .map(make),
    ))
}

/// Reads conditions on headers; names become lower case.
pub(super) fn headers(entry: Option<&Entry>, report: &mut Report) -> Vec<FieldMatch> {
    let entries = entry.map_or(&[][..], |entry| entries_of(&entry.node, report));
    distinct_names(entries, report);
    conditions(entries, report, |name, origin, report| {
        words::field_name(name, origin, report).map(|name| name.to_ascii_lowercase())
    })
}

/// Reads conditions on query parameters.
pub(super) fn query(entry: Option<&Entry>, report: &mut Report) -> Vec<FieldMatch> {
    let entries = entry.map_or(&[][..], |entry| entries_of(&entry.node, report));
    conditions(entries, report, |name, _, _| Some(name.to_owned()))
}

fn conditions(
    entries: &[Entry],
    report: &mut Report,
    name: impl Fn(&str, Origin, &mut Report) -> Option<String>,
) -> Vec<FieldMatch> {
    let mut conditions: Vec<FieldMatch> = entries
        .iter()
        .filter_map(|entry| {
            let name = name(&entry.key, entry.key_origin, report);
            let text = crate::scalar::text(&entry.node, report)?;
            let value = value(text, entry.node.origin, report);
            Some(FieldMatch {
                name: name?,
                value: value?,
                origin: entry.key_origin,
            })
        })
        .collect();
    // An order that does not depend on the text, so that equal conditions compare equal.
    conditions.sort_by(|a, b| a.name.cmp(&b.name));
    conditions
}

fn value(text: &str, origin: Origin, report: &mut Report) -> Option<ValueMatch> {
    match text {
        "*" => Some(ValueMatch::Present),
        "!" => Some(ValueMatch::Absent),
        _ => match text.strip_prefix('~') {
            Some(regex) => words::regex(regex, origin, report).map(ValueMatch::Regex),
            None => Some(ValueMatch::Exact(text.to_owned())),
        },
    }
}

/// The literal text that every path of a pattern begins with.
pub(crate) fn literal_prefix(path: &PathMatch) -> &str {
    match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path,
        PathMatch::Glob(glob) => &glob[..glob.find(['*', '?']).unwrap_or(glob.len())],
        PathMatch::Regex(regex) => regex_literal_prefix(regex),
    }
}

/// The literal text after `^` that every match begins with. A quantifier may make the last character optional, and an
/// alternative outside of groups may make everything so.
fn regex_literal_prefix(regex: &str) -> &str {
    let Some(rest) = regex.strip_prefix('^') else {
        return "";
    };
    if has_outer_alternatives(rest) {
        return "";
    }
    let end = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
    match rest[end..].chars().next() {
        Some('?' | '*' | '+' | '{') => &rest[..end.saturating_sub(1)],
        _ => &rest[..end],
    }
}

/// The literal text before `$` that every path of a regular expression ends with.
pub(crate) fn literal_suffix(regex: &str) -> &str {
    let Some(rest) = regex.strip_suffix('$') else {
        return "";
    };
    // Flags may change what a letter stands for.
    if rest.contains("(?") || has_outer_alternatives(rest) {
        return "";
    }
    let before = rest.trim_end_matches(is_plain);
    if before.ends_with('\\') {
        return "";
    }
    &rest[before.len()..]
}

/// Whether a character stands for itself in a regular expression, outside of classes and without a quantifier.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_')
}

/// False only if every `|` of a regular expression stands in a group or is a character.
fn has_outer_alternatives(regex: &str) -> bool {
    // A comment, where the expression allows them, may hold anything.
    if regex.contains('#') {
        return regex.contains('|');
    }
    let (mut groups, mut classes) = (0_usize, 0_usize);
    let mut characters = regex.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            '[' => classes += 1,
            ']' => classes = classes.saturating_sub(1),
            '(' if classes == 0 => groups += 1,
            ')' if classes == 0 => groups = groups.saturating_sub(1),
            '|' if classes == 0 && groups == 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{literal_suffix, regex_literal_prefix};

    #[test]
    fn literal_prefixes_of_regexes() {
        for (regex, expected) in [
            ("^/api/v1", "/api/v1"),
            ("^/api/v[12]", "/api/v"),
            ("^/apis?/", "/api"),
            ("^/api(/.*)?$", "/api"),
            ("^/a|/b", ""),
            ("^/a(b|c)$", "/a"),
            ("^/a(b)|c$", ""),
            ("^/a[|(]|c$", ""),
            (r"^/a\[|c]$", ""),
            (r"^/a\(b|c\)$", ""),
            ("^/a[]|]$", ""),
            ("^/a(?x)b # ( \n | c", ""),
            ("/api", ""),
            ("^", ""),
            ("^.*", ""),
        ] {
            assert_eq!(regex_literal_prefix(regex), expected, "{regex}");
        }
    }

    #[test]
    fn literal_suffixes_of_regexes() {
        for (regex, expected) in [
            (r"\.jpg$", "jpg"),
            ("/a[b]c/d$", "c/d"),
            ("^/a$", "/a"),
            ("a+b$", "b"),
            ("ab+$", ""),
            (r"\d$", ""),
            (r"/\pLjpg$", ""),
            (r"a\$", ""),
            ("a", ""),
            ("a|b$", ""),
            ("(a|b)c$", "c"),
            ("(?i)jpg$", ""),
        ] {
            assert_eq!(literal_suffix(regex), expected, "{regex}");
        }
    }
}
