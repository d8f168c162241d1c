//! `[acme.dns]`

use super::acme;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, Syntax, key, secret_syntax, syntax};
use crate::settings::{Dns, DnsProvider, Secret};
use crate::tree::Entry;
use crate::words;

static COMMAND: Syntax = syntax("command, or argument", "/usr/local/bin/dns", "");
static KEY_NAME: Syntax = syntax("key name", "acme.example.com", "^[^ ]+$");
static KEY: Syntax = secret_syntax("base64", "c2VjcmV0LWtleQ==", "^[A-Za-z0-9+/]+=*$");

pub(super) static SECTION: Section = Section {
    heading: "[acme.dns]",
    doc: "How the TXT records of dns-01 are set: exactly one of `hook` and `rfc2136`.",
    keys: &[
        key(
            "hook",
            Kind::List(&Kind::Text(&COMMAND)),
            Default::Absent("`rfc2136` must be written"),
            "A command with its arguments. It is run with three more: `present` or `cleanup`, the record's full name, and its value; \
             it must end with 0 within two minutes.",
        ),
        key(
            "rfc2136",
            Kind::Table(&RFC2136),
            Default::Absent("`hook` must be written"),
            "Dynamic updates of a name server.",
        ),
        key(
            "propagation_timeout",
            Kind::Duration {
                min_ms: 1000,
                off: true,
            },
            Default::Text("2m"),
            "How long a record may take until the zone's name servers tell it; `off` asks none of them, for a hook that waits by itself and where they can't be reached from here.",
        ),
    ],
};

pub(super) static RFC2136: Section = Section {
    heading: "[acme.dns.rfc2136]",
    doc: "Dynamic updates (RFC 2136), signed with a key (RFC 8945).",
    keys: &[
        key(
            "server",
            Kind::Text(&keys::SERVER_ADDRESS),
            Default::Required,
            "The primary name server of the zone: `host:port`, usually port 53.",
        ),
        key(
            "key_name",
            Kind::Text(&KEY_NAME),
            Default::Required,
            "The key's name.",
        ),
        key(
            "key_secret",
            Kind::Text(&KEY),
            Default::Required,
            "The key, in base64. Better not in the file itself: `${FILE:path}` or `${ENV:NAME}`.",
        ),
        key(
            "key_algorithm",
            Kind::Choice(&[
                ("hmac-sha256", ""),
                ("hmac-sha384", ""),
                ("hmac-sha512", ""),
            ]),
            Default::Text("hmac-sha256"),
            "The key's algorithm.",
        ),
    ],
};

pub(super) fn read(entry: &Entry, report: &mut Report) -> Option<Dns> {
    let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
    let hook = fields.entry("hook");
    let rfc2136 = fields.entry("rfc2136");
    let propagation_timeout = fields.duration_or_off("propagation_timeout", report);
    let problem = match (hook, rfc2136) {
        (Some(hook), Some(update)) => Some(
            Diagnostic::new(
                Code::ConflictingKeys,
                update.key_origin,
                "`hook` and `rfc2136` cannot stand together",
            )
            .related(hook.key_origin, "`hook` is here")
            .help("keep one of them"),
        ),
        (None, None) if !fields.has_unknown => Some(
            Diagnostic::new(
                Code::MissingKey,
                entry.key_origin,
                "nobody can set TXT records",
            )
            .label("neither `hook` nor `rfc2136`")
            .help("for example: hook = [\"/usr/local/bin/dns\"]"),
        ),
        _ => None,
    };
    if let Some(problem) = problem {
        report.push(problem);
    }
    let command = hook.map(|entry| {
        let items = fields.items(&entry.node, report);
        let command: Vec<String> = items
            .iter()
            .filter_map(|item| crate::scalar::text(item, report).map(str::to_owned))
            .collect();
        if items.is_empty() || command.first().is_some_and(String::is_empty) {
            report.push(
                Diagnostic::new(
                    Code::BadValue,
                    entry.node.origin,
                    "there is no command to run",
                )
                .label("empty"),
            );
        }
        command
    });
    let provider = match (command, rfc2136) {
        (Some(command), _) => Some(DnsProvider::Hook(command)),
        (None, Some(entry)) => update(entry, report),
        (None, None) => None,
    };
    fields.finish();
    Some(Dns {
        provider: provider?,
        propagation_timeout,
    })
}

fn update(entry: &Entry, report: &mut Report) -> Option<DnsProvider> {
    let fields = Fields::open(&RFC2136, &entry.node, entry.key_origin, report);
    let server = fields.require("server", "\"10.0.0.53:53\"", report);
    let key_name = fields.require("key_name", "\"acme.example.com\"", report);
    let key_secret = fields.require("key_secret", "\"${FILE:tsig.key}\"", report);
    let key_algorithm = fields.choice("key_algorithm", report);
    fields.finish();
    let (server, key_name, key_secret) = (server?, key_name?, key_secret?);
    let address = crate::scalar::text(&server.node, report)?;
    let server = words::server_address(address, server.node.origin, report);
    let key_name = acme::plain(key_name, report);
    let secret = crate::scalar::text(&key_secret.node, report)?;
    let is_base64 = !secret.trim_end_matches('=').is_empty()
        && secret
            .trim_end_matches('=')
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    if !is_base64 {
        report.push(Diagnostic::new(
            Code::BadValue,
            key_secret.node.origin,
            "the key is not base64",
        ));
    }
    Some(DnsProvider::Rfc2136 {
        server: server?,
        key_name: key_name?,
        key_secret: Secret::new(secret),
        key_algorithm,
    })
}
