//! `[tls]`

use super::files::{self, Directories};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, key};
use crate::names::Names;
use crate::settings::{Tls, TlsProfile};
use std::time::Duration;

pub(super) static SECTION: Section = Section {
    heading: "[tls]",
    doc: "How TLS is spoken with clients, on all listeners that do.",
    keys: &[
        key(
            "profile",
            Kind::Choice(&[
                (
                    "intermediate",
                    "TLS 1.2 and 1.3, cipher suites with forward secrecy and AEAD only",
                ),
                ("modern", "TLS 1.3 only"),
            ]),
            Default::Text("intermediate"),
            "Versions and cipher suites.",
        ),
        key(
            "handshake_timeout",
            Kind::Duration {
                min_ms: 1,
                off: false,
            },
            Default::Text("10s"),
            "From accepting a connection to the end of its handshake.",
        ),
        key(
            "default_certificate",
            Kind::Text(&keys::NAME),
            Default::Absent("such clients are refused with the alert `unrecognized_name`"),
            "Name of the entry of `certificates`, one with a `certificate` and a `key`, that is shown to clients that ask for a \
             name that no certificate covers, or for none.",
        ),
        key(
            "session_tickets",
            Kind::Boolean,
            Default::Boolean(true),
            "Whether clients get tickets to resume sessions with; all workers know their keys.",
        ),
        key(
            "ticket_keys_file",
            Kind::Text(&files::FILE),
            Default::Absent("own keys, which nobody else knows"),
            "Keys for tickets that several machines share: a line of 64 or more hexadecimal digits for each, the first one \
             seals, all open; or one key of 48 or 80 bytes, as other servers keep them. It is watched and read again when it \
             changes.",
        ),
        key(
            "ticket_rotation",
            Kind::Duration {
                min_ms: 60_000,
                off: false,
            },
            Default::Text("12h"),
            "How often own ticket keys are replaced; a ticket is good for twice as long at most, and for seven days.",
        ),
        key(
            "session_cache_max",
            Kind::Count {
                min: 0,
                max: 10_000_000,
                off: false,
            },
            Default::Integer(4096),
            "Sessions that are remembered for clients that take no tickets.",
        ),
        key(
            "early_data",
            Kind::Boolean,
            Default::Boolean(false),
            "Whether safe requests are taken from the early data of TLS 1.3, which an attacker can send again. Backends are told \
             by `Early-Data: 1` (RFC 8470); other requests are answered with 425. Sessions are then remembered here instead of in \
             tickets, so that each is resumed once only.",
        ),
    ],
};

pub(super) fn read(
    fields: Fields<'_>,
    directories: Directories<'_>,
    names: &Names,
    report: &mut Report,
) -> Tls {
    let shown = fields.entry("default_certificate");
    let default_certificate = shown.and_then(|entry| names.named_certificate(entry, report));
    let tls = Tls {
        profile: match fields.choice("profile", report) {
            "modern" => TlsProfile::Modern,
            _ => TlsProfile::Intermediate,
        },
        handshake_timeout: fields.duration("handshake_timeout", report),
        default_certificate,
        session_tickets: fields.boolean("session_tickets", report),
        ticket_keys_file: files::optional(&fields, "ticket_keys_file", directories, report),
        ticket_rotation: fields.duration("ticket_rotation", report),
        session_cache_max: fields.count("session_cache_max", report),
        early_data: fields.boolean("early_data", report),
    };
    conflicts(&fields, &tls, report);
    rotation(&fields, &tls, report);
    fields.finish();
    tls
}

/// The longest time that a ticket is good for (RFC 8446 §4.6.1).
const TICKET_LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Keys that outlive every ticket that they have sealed protect nobody better for it.
fn rotation(fields: &Fields<'_>, tls: &Tls, report: &mut Report) {
    if let Some(written) = fields.entry("ticket_rotation")
        && tls.ticket_rotation > TICKET_LIFETIME_MAX
    {
        let message = "ticket keys are kept for longer than any ticket is good for";
        report.push(
            Diagnostic::new(Code::LongTicketRotation, written.node.origin, message)
                .label("clients are told seven days")
                .cause("TLS allows tickets no longer life, and whoever gets hold of a key can read what was said under it")
                .help("at most 7d; 12h is usual"),
        );
    }
}

/// Keys that do nothing beside others.
fn conflicts(fields: &Fields<'_>, tls: &Tls, report: &mut Report) {
    let mut exclude = |name: &str, message: &str, cause: &str| {
        if let Some(written) = fields.entry(name) {
            report.push(
                Diagnostic::new(Code::ConflictingKeys, written.key_origin, message)
                    .label("does nothing")
                    .cause(cause)
                    .help("remove it"),
            );
        }
    };
    let tickets = match tls {
        Tls {
            session_tickets: false,
            ..
        } => Some("`session_tickets` is false"),
        Tls {
            early_data: true, ..
        } => Some("with `early_data` sessions are remembered, so that each is resumed once only"),
        _ => None,
    };
    if let Some(cause) = tickets {
        exclude("ticket_keys_file", "there are no tickets to encrypt", cause);
        exclude(
            "ticket_rotation",
            "there are no ticket keys to replace",
            cause,
        );
    } else if tls.ticket_keys_file.is_some() {
        exclude(
            "ticket_rotation",
            "the keys of a file are not replaced",
            "whoever writes `ticket_keys_file` rotates them",
        );
    }
    if tls.profile == TlsProfile::Modern && tickets.is_none() {
        exclude(
            "session_cache_max",
            "no session is remembered",
            "`profile` is \"modern\": every client speaks TLS 1.3 and takes tickets",
        );
    }
    if tls.early_data && tls.session_cache_max == 0 {
        exclude(
            "early_data",
            "early data needs sessions that are remembered",
            "`session_cache_max` is 0",
        );
    }
}
