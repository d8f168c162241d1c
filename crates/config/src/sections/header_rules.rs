//! `request_headers` and `response_headers` of a route.

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::{Fields, entries_of};
use crate::keys::{self, Default, Kind, Section, key};
use crate::settings::{FieldRules, FieldValue};
use crate::tree::Entry;
use crate::words;
use std::collections::HashMap;

pub(super) static SECTION: Section = Section {
    heading: "request_headers = { ... }",
    doc: "Rules for header fields, also under `response_headers`; applied in the order remove, set, add. Values may have the \
          placeholders `{client}` (the client's address), `{host}`, `{request_id}`, `{scheme}` and `{path}`. Fields that frame \
          a message or belong to one connection (`Content-Length`, `Transfer-Encoding`, `Connection`, `Keep-Alive`, \
          `Proxy-Connection`, `TE`, `Trailer`, `Upgrade`) are the gateway's own, and so is `Host` in requests (see `host`).",
    keys: &[
        key(
            "set",
            Kind::Map(&keys::FIELD_NAME, &Kind::Text(&keys::FIELD_TEMPLATE)),
            Default::Empty,
            "Fields that replace all of their name: `{ \"X-A\" = \"1\" }`.",
        ),
        key(
            "add",
            Kind::Map(&keys::FIELD_NAME, &Kind::Text(&keys::FIELD_TEMPLATE)),
            Default::Empty,
            "Fields that are added, whatever is there.",
        ),
        key(
            "remove",
            Kind::List(&Kind::Text(&keys::FIELD_NAME)),
            Default::Empty,
            "Fields that are removed.",
        ),
    ],
};

/// Which message the rules are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
}

pub(super) fn read(entry: Option<&Entry>, direction: Direction, report: &mut Report) -> FieldRules {
    let Some(entry) = entry else {
        return FieldRules::default();
    };
    let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
    let rules = FieldRules {
        remove: fields.list("remove", report, |name, origin, report| {
            rule_name(name, origin, direction, report)
        }),
        set: values(fields.entries("set", report), direction, report),
        add: values(fields.entries("add", report), direction, report),
    };
    fields.finish();
    rules
}

fn values(entries: &[Entry], direction: Direction, report: &mut Report) -> Vec<FieldValue> {
    distinct_names(entries, report);
    entries
        .iter()
        .filter_map(|entry| {
            let name = rule_name(&entry.key, entry.key_origin, direction, report);
            let origin = entry.node.origin;
            let text = crate::scalar::text(&entry.node, report)?;
            words::field_value(text, origin, report)?;
            Some(FieldValue {
                name: name?,
                value: words::template(text, origin, report)?,
            })
        })
        .collect()
}

fn rule_name(
    name: &str,
    origin: crate::Origin,
    direction: Direction,
    report: &mut Report,
) -> Option<String> {
    if direction == Direction::Request && name.eq_ignore_ascii_case("host") {
        report.push(
            Diagnostic::new(Code::BadHeader, origin, "`Host` is not written by rules")
                .help("write `host = \"...\"` in the route, or in the upstream"),
        );
        return None;
    }
    words::writable_field_name(name, origin, report)
}

/// Reports names that differ only in case: for HTTP they are the same (RFC 9110 section 5.1).
pub(super) fn distinct_names(entries: &[Entry], report: &mut Report) {
    let mut seen: HashMap<String, &Entry> = HashMap::new();
    for entry in entries {
        if let Some(first) = seen.insert(entry.key.to_ascii_lowercase(), entry) {
            report.push(
                Diagnostic::new(
                    Code::DuplicateKey,
                    entry.key_origin,
                    format!("`{}` is written twice", entry.key),
                )
                .label("written again")
                .related(first.key_origin, "first written here")
                .cause("names of header fields are the same in upper and lower case"),
            );
        }
    }
}

/// Reads a table of fixed fields: names and values without placeholders.
pub(super) fn fixed(entry: Option<&Entry>, report: &mut Report) -> Vec<(String, String)> {
    let Some(entry) = entry else {
        return Vec::new();
    };
    let entries = entries_of(&entry.node, report);
    distinct_names(entries, report);
    let mut fields: Vec<(String, String)> = entries
        .iter()
        .filter_map(|entry| {
            let name = words::writable_field_name(&entry.key, entry.key_origin, report);
            let value = words::field_value(
                crate::scalar::text(&entry.node, report)?,
                entry.node.origin,
                report,
            );
            Some((name?, value?))
        })
        .collect();
    fields.sort();
    fields
}
