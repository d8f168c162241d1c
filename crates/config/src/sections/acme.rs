//! `[acme]`

use super::acme_dns;
use super::files::{self, Directories};
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, Syntax, key, secret_syntax, syntax};
use crate::settings::{Acme, Challenge, Eab, HostPattern, OnDemand, Secret};
use crate::tree::Entry;
use crate::{hosts, words};

static EMAIL: Syntax = syntax("e-mail address", "ops@example.com", "^[^ @]+@[^ @]+$");
static DIRECTORY: Syntax = syntax(
    "https URL",
    "https://ca.internal/acme/directory",
    "^https://[^ ]+$",
);
static ASK: Syntax = syntax("http URL", "http://127.0.0.1:9000/may", "^https?://[^ ]+$");
static KEY: Syntax = secret_syntax(
    "base64url",
    "c2VjcmV0LWtleS1vZi1hLWtpbmQ",
    "^[A-Za-z0-9_-]+=*$",
);

/// The directories of authorities that have a name here.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

pub(super) static SECTION: Section = Section {
    heading: "[acme]",
    doc: "Certificates of public names, issued and renewed by themselves (RFC 8555). Whoever serves a public name with a \
          certificate from ACME agrees to the terms of the authority.",
    keys: &[
        key(
            "email",
            Kind::Text(&EMAIL),
            Default::Absent("the authority knows nobody to write to"),
            "Where the authority may write to.",
        ),
        key(
            "directory",
            Kind::Either(&[
                Kind::Choice(&[
                    ("letsencrypt", "Let's Encrypt"),
                    (
                        "letsencrypt-staging",
                        "its trial authority, which browsers do not trust",
                    ),
                ]),
                Kind::Text(&DIRECTORY),
            ]),
            Default::Text("letsencrypt"),
            "The authority: a name, or the URL of its directory.",
        ),
        key(
            "ca_file",
            Kind::Text(&files::FILE),
            Default::Absent("the system's roots"),
            "PEM file with the roots that the authority's own HTTPS is verified by, for a private authority.",
        ),
        key(
            "challenge",
            Kind::Choice(&[
                (
                    "auto",
                    "`dns-01` for wildcards and wherever `dns` is written; else, or where that fails, `tls-alpn-01` and then \
                     `http-01`",
                ),
                ("http-01", "a file, asked for on port 80"),
                ("tls-alpn-01", "a certificate, asked for on port 443"),
                ("dns-01", "a TXT record, set as `dns` says"),
            ]),
            Default::Text("auto"),
            "How the control of a name is proved. Foregate answers all of them itself.",
        ),
        key(
            "dns",
            Kind::Table(&acme_dns::SECTION),
            Default::Absent("no `dns-01`, and so no wildcards"),
            "How TXT records are set.",
        ),
        key(
            "eab",
            Kind::Table(&EAB),
            Default::Absent("none"),
            "The account at the authority that the ACME account is bound to, where it asks for one.",
        ),
        key(
            "on_demand",
            Kind::Table(&ON_DEMAND),
            Default::Absent("only names that sites write out get certificates"),
            "Certificates for names that no site writes out, issued when a client first asks for one.",
        ),
    ],
};

pub(super) static EAB: Section = Section {
    heading: "[acme.eab]",
    doc: "External account binding (RFC 8555 section 7.3.4).",
    keys: &[
        key(
            "key_id",
            Kind::Text(&keys::ANY),
            Default::Required,
            "The key's name.",
        ),
        key(
            "hmac_key",
            Kind::Text(&KEY),
            Default::Required,
            "The key, in base64url. Better not in the file itself: `${FILE:path}` or `${ENV:NAME}`.",
        ),
    ],
};

pub(super) static ON_DEMAND: Section = Section {
    heading: "[acme.on_demand]",
    doc: "Which names get a certificate when a client first asks for them. At least one of `allow` and `ask` must be written; \
          where both are, both must agree.",
    keys: &[
        key(
            "allow",
            Kind::List(&Kind::Text(&keys::NAME_PATTERN)),
            Default::Empty,
            "Names that may have one.",
        ),
        key(
            "ask",
            Kind::Text(&ASK),
            Default::Absent("nobody is asked"),
            "A URL that is asked, with `?domain=<name>`, before a certificate is ordered: status 200 means yes. \
             It is not asked about names of the local network, such as those under `.internal`, that `allow` does not have.",
        ),
        key(
            "issues_per_hour_max",
            Kind::Count {
                min: 1,
                max: 100_000,
                off: false,
            },
            Default::Integer(20),
            "Certificates that are ordered in an hour; further names wait.",
        ),
    ],
};

pub(super) fn read(fields: Fields<'_>, directories: Directories<'_>, report: &mut Report) -> Acme {
    let text = |name: &str, what: fn(&str) -> bool, help: &str, report: &mut Report| {
        let entry = fields.entry(name)?;
        let text = crate::scalar::text(&entry.node, report)?;
        if !what(text) {
            report.push(bad(text, help, entry.node.origin));
            return None;
        }
        Some(text.to_owned())
    };
    let acme = Acme {
        origin: fields.origin,
        email: text(
            "email",
            is_email,
            "an e-mail address such as \"ops@example.com\"",
            report,
        ),
        directory: fields.text("directory", report, directory),
        ca_file: files::optional(&fields, "ca_file", directories, report),
        challenge: match fields.choice("challenge", report) {
            "http-01" => Challenge::Http01,
            "tls-alpn-01" => Challenge::TlsAlpn01,
            "dns-01" => Challenge::Dns01,
            _ => Challenge::Auto,
        },
        dns: fields
            .entry("dns")
            .and_then(|entry| acme_dns::read(entry, report)),
        eab: fields.entry("eab").and_then(|entry| eab(entry, report)),
        on_demand: fields
            .entry("on_demand")
            .and_then(|entry| on_demand(entry, report)),
    };
    if let (Challenge::Dns01, None, Some(written)) = (
        acme.challenge,
        fields.entry("dns"),
        fields.entry("challenge"),
    ) {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                written.node.origin,
                "nobody can set the TXT records of dns-01",
            )
            .label("needs `dns`")
            .help("for example: dns = { hook = [\"/usr/local/bin/dns\"] }"),
        );
    }
    fields.finish();
    acme
}

/// The diagnostic for a text that means nothing.
pub(super) fn bad(text: &str, help: &str, origin: Origin) -> Diagnostic {
    let message = format!("{} cannot be used here", quoted(text));
    Diagnostic::new(Code::BadValue, origin, message).help(help)
}

fn is_email(text: &str) -> bool {
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',')
    };
    text.rsplit_once('@')
        .is_some_and(|(name, host)| is_plain(name) && hosts::is_host_name(host))
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    schemes.iter().any(|scheme| {
        text.strip_prefix(scheme).is_some_and(|rest| {
            let authority = rest.split(['/', '?']).next().unwrap_or("");
            hosts::is_host_with_optional_port(authority)
        })
    }) && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#')
}

fn directory(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    match text {
        "letsencrypt" => Some(LETS_ENCRYPT.to_owned()),
        "letsencrypt-staging" => Some(LETS_ENCRYPT_STAGING.to_owned()),
        url if is_url(url, &["https://"]) => Some(url.to_owned()),
        other => {
            let words = ["letsencrypt", "letsencrypt-staging"];
            let similar = Report::default().suggest(other, words);
            report.push(
                bad(
                    other,
                    "\"letsencrypt\", \"letsencrypt-staging\", or the https URL of a directory",
                    origin,
                )
                .maybe_help(similar),
            );
            None
        }
    }
}

fn eab(entry: &Entry, report: &mut Report) -> Option<Eab> {
    let fields = Fields::open(&EAB, &entry.node, entry.key_origin, report);
    let key_id = fields.require("key_id", "\"kid-1\"", report);
    let hmac_key = fields.require("hmac_key", "\"${FILE:eab.key}\"", report);
    fields.finish();
    let (key_id, hmac_key) = (key_id?, hmac_key?);
    let key_id = crate::scalar::text(&key_id.node, report)?.to_owned();
    let key = crate::scalar::text(&hmac_key.node, report)?;
    let is_base64 = !key.trim_end_matches('=').is_empty()
        && key
            .trim_end_matches('=')
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !is_base64 {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                hmac_key.node.origin,
                "the key is not base64url",
            )
            .help("as the authority shows it: letters, digits, `-` and `_`"),
        );
        return None;
    }
    Some(Eab {
        key_id,
        hmac_key: Secret::new(key),
    })
}

fn on_demand(entry: &Entry, report: &mut Report) -> Option<OnDemand> {
    let fields = Fields::open(&ON_DEMAND, &entry.node, entry.key_origin, report);
    let allow = fields.list("allow", report, allowed);
    let ask = fields.entry("ask").and_then(|entry| {
        let url = crate::scalar::text(&entry.node, report)?;
        if !is_url(url, &["http://", "https://"]) {
            let help = "a URL such as \"http://127.0.0.1:9000/may\"";
            report.push(bad(url, help, entry.node.origin));
            return None;
        }
        Some(url.to_owned())
    });
    let issues_per_hour_max = fields.count("issues_per_hour_max", report);
    if fields.entry("allow").is_none() && fields.entry("ask").is_none() && !fields.has_unknown {
        report.push(
            Diagnostic::new(
                Code::MissingKey,
                entry.key_origin,
                "anybody could make this gateway order certificates",
            )
            .label("neither `allow` nor `ask`")
            .help("for example: allow = [\"*.shops.example\"]"),
        );
    }
    fields.finish();
    Some(OnDemand {
        allow,
        ask,
        issues_per_hour_max,
    })
}

fn allowed(text: &str, origin: Origin, report: &mut Report) -> Option<HostPattern> {
    match hosts::pattern(text, origin, report)? {
        HostPattern::Default => {
            report.push(
                bad(text, "a name, or `*.` and a domain", origin)
                    .cause("anybody could make this gateway order certificates"),
            );
            None
        }
        pattern => Some(pattern),
    }
}

/// Reads a name that stands for a key, such as those of TSIG.
pub(super) fn plain(entry: &Entry, report: &mut Report) -> Option<String> {
    let text = crate::scalar::text(&entry.node, report)?;
    words::token(text, "a name", entry.node.origin, report)
}
