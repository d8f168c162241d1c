//! The reference of the configuration, generated from the table of keys.

use crate::diagnostic::{Code, Severity};
use crate::keys::{Default, Key, Kind, Section};
use crate::scalar::size_text;
use crate::sections::ROOT;
use std::fmt::Write;

/// The reference of every key, default, rule and diagnostic, in Markdown: the text of `docs/reference.md`.
pub fn reference() -> String {
    let mut out = String::from(INTRODUCTION);
    let mut sections: Vec<&Section> = Vec::new();
    collect(&ROOT, &mut sections);
    for section in sections {
        write_section(section, &mut out);
    }
    out.push_str(RANKING);
    out.push_str("\n## Errors and warnings\n\n");
    out.push_str("`foregate check` reports all of them at once; with `--json` as a list for programs. An error keeps a\n");
    out.push_str("configuration from being used; a warning does not. The codes are stable.\n");
    for severity in [Severity::Error, Severity::Warning] {
        let _ = writeln!(out, "\n| {severity} | meaning |\n|---|---|");
        for code in Code::ALL.iter().filter(|code| code.severity() == severity) {
            let _ = writeln!(out, "| `{code}` | {} |", code.meaning());
        }
    }
    out
}

const INTRODUCTION: &str = "\
# Reference of the configuration

<!-- Generated from the table of keys in `crates/config`. Do not edit: run `cargo xtask reference --write`. -->

A configuration is TOML 1.1, or JSON of the same shape if the file's name ends in `.json`. The smallest one that serves
something:

```toml
[sites.\"example.com\"]
upstream = \"app\"

[upstreams.app]
servers = [\"10.0.0.1:8080\", \"10.0.0.2:8080\"]
```

Every key has the default that its table names. Unknown keys are errors.

- **Durations** are texts with units: `\"250ms\"`, `\"10s\"`, `\"1m30s\"`, `\"1h\"`, `\"7d\"`; at most `365d`.
- **Sizes** are texts with units: `\"512B\"`, `\"8KiB\"`, `\"1MiB\"` (powers of 1024), `\"10MB\"` (powers of 1000).
- **`\"off\"`** removes a limit, where the table says so.
- **`${ENV:NAME}`** in a text is replaced by an environment variable, **`${FILE:path}`** by the text of a file without
  its last line break; both may be a part of the text, and a text made so may also stand for a number or a boolean. What is put
  in is not searched again. A variable that is not set, or a file that cannot be read, is an error.
- **Paths of files** are relative to the directory of the file that names them.
- **Limits**: 16 MiB of text in all, 10,000 files, 80 levels of nesting.
";

const RANKING: &str = "
## How a request finds its route

First the site, by the host of the request, among those served on its listener: an exact host goes before a wildcard, a longer
wildcard before a shorter one, and `*` comes last. A request that no site serves is answered with 404.

Then the route, within the site. Routes are tried in this order, and the first whose conditions all hold takes the request:

1. higher `priority`;
2. kind of path: `exact`, then `regex`, then `glob`, then `prefix`;
3. more literal characters in the path's pattern;
4. with a condition on the method before without;
5. more conditions on headers;
6. more conditions on query parameters;
7. the longer client range (the longest, if there are several; IPv4 ranges count as IPv4-mapped IPv6 ranges, so `10.0.0.0/8`
   is as long as `::ffff:10.0.0.0/104`), and any range before none.

The order in which routes are written means nothing. Two routes of the same rank that can match the same request are an
error (`ambiguous-route`); a `priority` decides between them. Conditions exclude each other if no method is in both, if a header
or parameter has two different exact values, one that an expression does not match, or is to be there and not to be there, if the
client ranges do not touch, or if no path matches both patterns. Two expressions for one header or parameter, and patterns of paths
that are too large to tell, may match the same request: an error as well. A request that no route takes is answered with 404.

A `regex` is searched for in the normal form of the path, which is percent-encoded and begins with `/`: write `%C3%A9` for `é`
(`unmatchable-regex`).

**Of several values the first counts**: the first line of a header that comes in several lines (values between commas are one
value), and of a query parameter that comes several times the first, its name and value compared after percent-decoding. That
holds for exact values and for regular expressions, so a request with `?v=1&v=2` is one with `v=1` and nothing else, and no
request can meet two different exact values at once. `foregate explain` tells of it.

Literal characters of a `regex` are those outside of groups' syntax, classes, repetitions and anchors; of a `glob`, all but
`*` and `?`.
";

/// Sections in the order of reading: each before those in it, each once.
fn collect(section: &'static Section, sections: &mut Vec<&'static Section>) {
    if sections.iter().any(|known| std::ptr::eq(*known, section)) {
        return;
    }
    sections.push(section);
    for key in section.keys {
        collect_kind(key.kind, sections);
    }
}

fn collect_kind(kind: Kind, sections: &mut Vec<&'static Section>) {
    match kind {
        Kind::Table(section) => collect(section, sections),
        Kind::List(item) | Kind::Map(_, item) => collect_kind(*item, sections),
        Kind::Either(kinds) => kinds.iter().for_each(|kind| collect_kind(*kind, sections)),
        _ => {}
    }
}

fn write_section(section: &Section, out: &mut String) {
    let heading = if section.heading.is_empty() {
        "The top".to_owned()
    } else {
        format!("`{}`", section.heading)
    };
    let _ = write!(
        out,
        "\n## {heading}\n\n{}\n\n| key | takes | default | meaning |\n|---|---|---|---|\n",
        section.doc
    );
    for key in section.keys {
        let (takes, default, meaning) = (
            cell(&takes(key.kind)),
            cell(&default(key)),
            cell(&meaning(key)),
        );
        let _ = writeln!(out, "| `{}` | {takes} | {default} | {meaning} |", key.name);
    }
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn takes(kind: Kind) -> String {
    let or_off = |off: bool| if off { " or `\"off\"`" } else { "" };
    match kind {
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Integer { min, max } if max >= i64::from(i32::MAX) => {
            format!("integer, {min} to {max}")
        }
        Kind::Integer { min, max } => format!("integer, {min} to {max}"),
        Kind::Count { min, max, off } if max >= u32::MAX - 1 => {
            format!("number, at least {min}{}", or_off(off))
        }
        Kind::Count { min, max, off } => format!("number, {min} to {max}{}", or_off(off)),
        Kind::Duration { off, .. } => format!("duration{}", or_off(off)),
        Kind::Size { max, off } if max >= 1 << 60 => format!("size{}", or_off(off)),
        Kind::Size { max, off } => format!("size, at most {}{}", size_text(max), or_off(off)),
        Kind::Choice(words) => words
            .iter()
            .map(|(word, _)| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", "),
        Kind::Text(syntax) => syntax.name.to_owned(),
        Kind::List(item) => match item {
            Kind::Either(_) => format!("list, each item one of: {}", takes(*item)),
            item => format!("list of: {}", takes(*item)),
        },
        Kind::Map(_, Kind::Table(section)) => format!("tables `{}`", section.heading),
        Kind::Map(names, value) => format!("table: {} = {}", names.name, takes(*value)),
        Kind::Table(section) => format!("table `{}`", section.heading),
        Kind::Either(kinds) => kinds
            .iter()
            .map(|kind| takes(*kind))
            .collect::<Vec<_>>()
            .join(", or "),
    }
}

fn default(key: &Key) -> String {
    match key.default {
        Default::Text(text) => format!("`\"{text}\"`"),
        Default::Integer(number) => format!("`{number}`"),
        Default::Boolean(boolean) => format!("`{boolean}`"),
        Default::Empty => match key.kind {
            Kind::Table(section)
                if section
                    .keys
                    .iter()
                    .any(|key| !matches!(key.default, Default::Absent(_) | Default::Empty)) =>
            {
                "its defaults".to_owned()
            }
            _ => "none".to_owned(),
        },
        Default::Absent("") => "none".to_owned(),
        Default::Absent(words) => words.to_owned(),
        Default::Required => "must be written".to_owned(),
    }
}

fn meaning(key: &Key) -> String {
    let mut text = key.doc.to_owned();
    let choices: &[Kind] = match &key.kind {
        Kind::Either(kinds) => kinds,
        kind => std::slice::from_ref(kind),
    };
    for choice in choices {
        if let Kind::Choice(words) = choice {
            let meanings = words.iter().filter(|(_, meaning)| !meaning.is_empty());
            text.extend(meanings.map(|(word, meaning)| format!("<br>`{word}`: {meaning}")));
        }
    }
    text
}

#[cfg(test)]
mod tests;
