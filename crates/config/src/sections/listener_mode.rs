//! The keys of a listener that say what is done with its connections: `tls`, `protocols`, `mode`, `upstream`, `sni`.

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::{Fields, entries_of};
use crate::hosts;
use crate::keys::{self, Default, Key, Kind, key};
use crate::names::Names;
use crate::settings::{HostPattern, Mode};
use crate::tree::Entry;
use std::collections::HashMap;

pub(super) const TLS: Key = key(
    "tls",
    Kind::Boolean,
    Default::Boolean(false),
    "Whether clients speak TLS, which is ended here with the sites' certificates.",
);

const WORDS: &[(&str, &str)] = &[
    ("h1", "HTTP/1.1"),
    (
        "h2",
        "HTTP/2, chosen in the handshake; in cleartext for clients that begin with its preface",
    ),
];

static PROTOCOL: Kind = Kind::Choice(WORDS);

pub(super) const PROTOCOLS: Key = key(
    "protocols",
    Kind::List(&PROTOCOL),
    Default::Absent("`[\"h1\", \"h2\"]`"),
    "The protocols that clients may speak.",
);

pub(super) const MODE: Key = key(
    "mode",
    Kind::Choice(&[
        ("http", "requests, answered by the sites"),
        (
            "tcp",
            "bytes of any protocol, sent to a backend of `upstream`",
        ),
        (
            "tls-passthrough",
            "TLS that is not decrypted, sent to a backend of the upstream that `sni` names for the host that the client asks for",
        ),
    ]),
    Default::Text("http"),
    "What connections carry.",
);

pub(super) const UPSTREAM: Key = key(
    "upstream",
    Kind::Text(&keys::NAME),
    Default::Absent("must be written with `mode = \"tcp\"`"),
    "With `tcp`: the name of the upstream.",
);

static OF_NAME: Kind = Kind::Text(&keys::NAME);

pub(super) const SNI: Key = key(
    "sni",
    Kind::Map(&keys::HOST_PATTERN, &OF_NAME),
    Default::Absent("must be written with `mode = \"tls-passthrough\"`"),
    "With `tls-passthrough`: names of upstreams by host. An exact host goes before a wildcard, a longer wildcard before a \
     shorter one, and `*` takes every other name and clients that name none; without it they are refused.",
);

pub(super) const HANDSHAKES_MAX: Key = key(
    "handshakes_max",
    Kind::Count {
        min: 1,
        max: 10_000_000,
        off: false,
    },
    Default::Integer(1000),
    "With `tls`: unfinished handshakes over all workers, from a client's whole hello or its first 4 KiB on; further ones are refused, and established connections do not suffer.",
);

/// The keys above but `mode`, and the modes that they have a meaning in.
const MEANT: [(&str, &str); 5] = [
    ("tls", "http"),
    ("protocols", "http"),
    ("upstream", "tcp"),
    ("sni", "tls-passthrough"),
    ("handshakes_max", "http"),
];

/// Reads what is done with connections. `names` knows the upstreams; it is missing for listeners that nobody wrote.
pub(super) fn read(
    name: &str,
    fields: &Fields<'_>,
    names: &mut Names,
    report: &mut Report,
) -> Mode {
    let mode = fields.choice("mode", report);
    for (key, of_mode) in MEANT {
        let Some(entry) = fields.entry(key).filter(|_| mode != of_mode) else {
            continue;
        };
        let message = format!("`{key}` means nothing with mode = \"{mode}\"");
        report.push(
            Diagnostic::new(Code::ConflictingKeys, entry.key_origin, message)
                .label(format!("only with mode = \"{of_mode}\""))
                .help("remove it, or change `mode`"),
        );
    }
    let needed = match mode {
        "tcp" => Some(("upstream", "upstream = \"app\"")),
        "tls-passthrough" => Some(("sni", "sni = { \"app.example\" = \"app\" }")),
        _ => None,
    };
    if let Some((key, example)) = needed
        && fields.entry(key).is_none()
        && !fields.has_unknown
    {
        report.push(
            Diagnostic::new(
                Code::MissingKey,
                fields.origin,
                format!("the listener `{name}` does not say where connections go"),
            )
            .help(format!("for example: {example}")),
        );
    }
    match mode {
        "tcp" => {
            let upstream = fields.entry("upstream");
            Mode::Tcp(upstream.map_or_else(String::new, |entry| upstream_of(entry, names, report)))
        }
        "tls-passthrough" => Mode::TlsPassthrough(
            fields
                .entry("sni")
                .map_or_else(Vec::new, |entry| sni(entry, names, report)),
        ),
        _ => http(fields, report),
    }
}

fn http(fields: &Fields<'_>, report: &mut Report) -> Mode {
    let tls = fields.boolean("tls", report);
    if let Some(written) = fields.entry("handshakes_max").filter(|_| !tls) {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                written.key_origin,
                "there are no handshakes without `tls`",
            )
            .label("does nothing")
            .help("tls = true, or remove it"),
        );
    }
    let Some(entry) = fields.entry("protocols") else {
        return Mode::Http {
            tls,
            http1: true,
            http2: true,
        };
    };
    let items = fields.items(&entry.node, report);
    let spoken: Vec<&str> = items
        .iter()
        .filter_map(|item| crate::scalar::choice(item, WORDS, report))
        .collect();
    if items.is_empty() {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                entry.node.origin,
                "a listener needs a protocol",
            )
            .label("empty")
            .help("protocols = [\"h1\", \"h2\"]"),
        );
    }
    Mode::Http {
        tls,
        http1: spoken.contains(&"h1"),
        http2: spoken.contains(&"h2"),
    }
}

fn upstream_of(entry: &Entry, names: &mut Names, report: &mut Report) -> String {
    let name = crate::scalar::text(&entry.node, report);
    let known = name.filter(|name| names.upstream(name, entry.node.origin, report).is_some());
    known.unwrap_or("").to_owned()
}

fn sni(entry: &Entry, names: &mut Names, report: &mut Report) -> Vec<(HostPattern, String)> {
    let entries = entries_of(&entry.node, report);
    if entries.is_empty() {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                entry.node.origin,
                "every client would be refused",
            )
            .label("empty")
            .help("for example: sni = { \"app.example\" = \"app\" }"),
        );
    }
    let mut seen = HashMap::new();
    let mut routes = Vec::new();
    for entry in entries {
        let upstream = upstream_of(entry, names, report);
        let Some(pattern) = hosts::pattern(&entry.key, entry.key_origin, report) else {
            continue;
        };
        if let Some(first) = seen.insert(pattern.clone(), entry.key_origin) {
            report.push(
                Diagnostic::new(
                    Code::DuplicateHost,
                    entry.key_origin,
                    format!("the host `{pattern}` is listed twice"),
                )
                .related(first, "first listed here"),
            );
        }
        routes.push((pattern, upstream));
    }
    routes
}
