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
          placeholders `{client}` (the client's address), `{host}`, `{request_id}`, `{scheme}` and `{path}`; a brace itself \
          is written twice. Names are whole names: `*` is no wildcard. Fields that frame a message or belong to one \
          connection (`Connection`, `Content-Length`, `Expect`, `HTTP2-Settings`, `Keep-Alive`, `Proxy-Connection`, `TE`, \
          `Trailer`, `Transfer-Encoding`, `Upgrade`) are the gateway's own, and so is `Host` (see `host`). \
          What is removed or set does not pass as a trailer either.",
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

pub(super) fn read(entry: Option<&Entry>, report: &mut Report) -> FieldRules {
    let Some(entry) = entry else {
        return FieldRules::default();
    };
    let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
    let rules = FieldRules {
        remove: fields.list("remove", report, words::writable_field_name),
        set: values(fields.entries("set", report), report),
        add: values(fields.entries("add", report), report),
        origin: entry.key_origin,
    };
    fields.finish();
    rules
}

fn values(entries: &[Entry], report: &mut Report) -> Vec<FieldValue> {
    distinct_names(entries, report);
    entries
        .iter()
        .filter_map(|entry| {
            let name = words::writable_field_name(&entry.key, entry.key_origin, report);
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

#[cfg(test)]
mod tests {
    use super::SECTION;
    use crate::words::GATEWAY_FIELDS;

    #[test]
    fn the_reference_names_every_field_that_is_the_gateways_own() {
        let doc = SECTION.doc.to_ascii_lowercase();
        for field in GATEWAY_FIELDS {
            assert!(doc.contains(&format!("`{field}`")), "{field}");
        }
    }
}
