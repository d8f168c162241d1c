//! The keys of a site that are about TLS: `tls`, `certificates`, `https_redirect`, `hsts`, `client_certificate`.

use super::files::{self, Directories};
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::{Fields, wrong_type};
use crate::keys::{self, Default, Key, Kind, Section, key};
use crate::names::Names;
use crate::settings::{ClientCertificate, Hsts, HttpsRedirect, SiteCertificate, SiteTls};
use crate::tree::{Entry, Value};
use crate::words;

const SOURCES: &[(&str, &str)] = &[
    (
        "auto",
        "files that cover its hosts; for other hosts the internal authority if they are local (`localhost`, `*.localhost`, \
         `*.local`, `*.internal`, `*.test`, `*.home.arpa`, names without a dot, IP addresses), else ACME",
    ),
    ("off", "it has none: it is not served on TLS listeners"),
    (
        "internal",
        "the internal authority, whose root `foregate certs root` prints",
    ),
    ("acme", "ACME"),
    ("files", "files only"),
];

pub(super) const TLS: Key = key(
    "tls",
    Kind::Choice(SOURCES),
    Default::Text("auto"),
    "Where the site's certificate comes from, if it is served on a TLS listener.",
);

static CERTIFICATE: Kind = Kind::Text(&keys::NAME);

pub(super) const CERTIFICATES: Key = key(
    "certificates",
    Kind::List(&CERTIFICATE),
    Default::Empty,
    "Names of the entries of `certificates` that the site may use; an empty list means all.",
);

static REDIRECT_KINDS: [Kind; 2] = [
    Kind::Choice(&[
        (
            "auto",
            "with 308, as soon as the site has a certificate and a TLS listener, to the port of that listener",
        ),
        ("off", "never"),
    ]),
    Kind::Integer {
        min: 1,
        max: 65_535,
    },
];

pub(super) const HTTPS_REDIRECT: Key = key(
    "https_redirect",
    Kind::Either(&REDIRECT_KINDS),
    Default::Text("auto"),
    "Whether clients that come in cleartext are sent to HTTPS; a number is the port to send them to, where it is another one \
     for clients than for the listener.",
);

static HSTS_KINDS: [Kind; 2] = [
    Kind::Choice(&[
        (
            "auto",
            "`max-age=31536000`, if the site redirects to port 443 and its certificate is not of the internal authority",
        ),
        ("off", "the gateway sends none; a backend's own passes"),
    ]),
    Kind::Table(&HSTS_TABLE),
];

pub(super) const HSTS: Key = key(
    "hsts",
    Kind::Either(&HSTS_KINDS),
    Default::Text("auto"),
    "`Strict-Transport-Security` on answers over TLS (RFC 6797).",
);

pub(super) const CLIENT_CERTIFICATE: Key = key(
    "client_certificate",
    Kind::Table(&CLIENT_TABLE),
    Default::Absent("clients are asked for none"),
    "Whether clients must show a certificate.",
);

pub(super) static HSTS_TABLE: Section = Section {
    heading: "hsts = { ... }",
    doc: "What browsers are told about coming in cleartext.",
    keys: &[
        key(
            "max_age",
            Kind::Duration {
                min_ms: 0,
                off: false,
            },
            Default::Text("365d"),
            "How long browsers remember it; `0s` makes them forget.",
        ),
        key(
            "include_subdomains",
            Kind::Boolean,
            Default::Boolean(false),
            "Whether it holds for every name below, too.",
        ),
        key(
            "preload",
            Kind::Boolean,
            Default::Boolean(false),
            "Whether browsers may have it built in; they ask for a year and `include_subdomains`.",
        ),
    ],
};

pub(super) static CLIENT_TABLE: Section = Section {
    heading: "client_certificate = { ... }",
    doc: "What is asked of clients' certificates. Hosts that ask for different things are kept apart: a request whose host \
          asks for something else than the name of its handshake is answered with 421.",
    keys: &[
        key(
            "mode",
            Kind::Choice(&[
                (
                    "required",
                    "clients without one are refused in the handshake",
                ),
                ("optional", "clients may show one"),
            ]),
            Default::Text("required"),
            "Whether clients may come without one. One that is shown and not valid is always refused.",
        ),
        key(
            "ca_file",
            Kind::Text(&files::FILE),
            Default::Required,
            "PEM file with the authorities that issue them; watched.",
        ),
        key(
            "crl_files",
            Kind::List(&Kind::Text(&files::FILE)),
            Default::Empty,
            "PEM or DER files with their revocation lists; watched.",
        ),
        key(
            "subject_field",
            Kind::Text(&keys::FIELD_NAME),
            Default::Absent("backends are not told"),
            "The header that tells backends the certificate's subject (RFC 4514). Clients cannot forge it: what they send under \
             this name is removed, on every site.",
        ),
        key(
            "fingerprint_field",
            Kind::Text(&keys::FIELD_NAME),
            Default::Absent("backends are not told"),
            "The header that tells backends the certificate's SHA-256 fingerprint in hexadecimal digits; just as safe.",
        ),
    ],
};

/// What the reader of a site lends.
pub(super) struct Surroundings<'s> {
    pub(super) directories: Directories<'s>,
    pub(super) names: &'s Names,
}

/// Reads the TLS keys of a site.
pub(super) fn read(
    fields: &Fields<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report,
) -> SiteTls {
    let source = match fields.choice("tls", report) {
        "off" => SiteCertificate::Off,
        "internal" => SiteCertificate::Internal,
        "acme" => SiteCertificate::Acme,
        "files" => SiteCertificate::Files,
        _ => SiteCertificate::Auto,
    };
    let place = |name: &str| fields.entry(name).map(|entry| entry.node.origin);
    let certificates = fields.list("certificates", report, |name, origin, report| {
        let is_known = surroundings.names.certificate(name, origin, report);
        is_known.then(|| name.to_owned())
    });
    let tls = SiteTls {
        source,
        origin: place("tls").unwrap_or(fields.origin),
        certificates,
        https_redirect: fields
            .entry("https_redirect")
            .and_then(|entry| redirect(entry, report))
            .unwrap_or(HttpsRedirect::Auto),
        hsts: fields
            .entry("hsts")
            .and_then(|entry| hsts(entry, report))
            .unwrap_or(Hsts::Auto),
        client_certificate: fields
            .entry("client_certificate")
            .and_then(|entry| client_certificate(entry, surroundings.directories, report)),
    };
    conflicts(fields, &tls, report);
    tls
}

/// What holds for a site of which nothing is written.
pub(super) fn absent() -> SiteTls {
    SiteTls {
        source: SiteCertificate::Auto,
        origin: Origin::NOWHERE,
        certificates: Vec::new(),
        https_redirect: HttpsRedirect::Auto,
        hsts: Hsts::Auto,
        client_certificate: None,
    }
}

/// Keys that do nothing beside others.
fn conflicts(fields: &Fields<'_>, tls: &SiteTls, report: &mut Report) {
    let mut exclude = |name: &str, cause: &str| {
        if let Some(written) = fields.entry(name) {
            report.push(
                Diagnostic::new(
                    Code::ConflictingKeys,
                    written.key_origin,
                    format!("`{name}` does nothing here"),
                )
                .label("does nothing")
                .cause(cause)
                .help("remove it"),
            );
        }
    };
    match tls.source {
        SiteCertificate::Off => {
            let cause = "the site has no certificate: `tls` is \"off\"";
            for (name, written) in [
                ("certificates", !tls.certificates.is_empty()),
                (
                    "https_redirect",
                    tls.https_redirect != HttpsRedirect::Auto
                        && tls.https_redirect != HttpsRedirect::Off,
                ),
                ("hsts", matches!(tls.hsts, Hsts::Written { .. })),
                ("client_certificate", tls.client_certificate.is_some()),
            ] {
                if written {
                    exclude(name, cause);
                }
            }
        }
        SiteCertificate::Internal | SiteCertificate::Acme if !tls.certificates.is_empty() => {
            exclude(
                "certificates",
                "`tls` says that the site has none from files",
            );
        }
        _ => {}
    }
    if tls.https_redirect == HttpsRedirect::Off
        && let Hsts::Written { max_age, .. } = tls.hsts
        && !max_age.is_zero()
        && let (Some(written), Some(redirect)) =
            (fields.entry("hsts"), fields.entry("https_redirect"))
    {
        report.push(
            Diagnostic::new(
                Code::HstsWithoutRedirect,
                written.key_origin,
                "browsers are told to use HTTPS only, and clients in cleartext are not sent there",
            )
            .label("for browsers that have been here")
            .related(redirect.node.origin, "everybody else stays in cleartext")
            .help("remove https_redirect = \"off\", or `hsts`"),
        );
    }
}

fn redirect(entry: &Entry, report: &mut Report) -> Option<HttpsRedirect> {
    match &entry.node.value {
        Value::Text(text) if text.text == "auto" => Some(HttpsRedirect::Auto),
        Value::Text(text) if text.text == "off" => Some(HttpsRedirect::Off),
        Value::Text(text) if !text.substituted && !text.is_missing => {
            let diagnostic =
                crate::scalar::unknown_word(&text.text, entry.node.origin, &["auto", "off"]);
            report.push(diagnostic.label("\"auto\", \"off\", or a port"));
            None
        }
        Value::Integer(_) | Value::Text(_) => {
            crate::scalar::integer(&entry.node, 1, 65_535, false, report)
                .and_then(|port| u16::try_from(port).ok())
                .map(HttpsRedirect::Port)
        }
        _ => {
            wrong_type(&entry.node, "\"auto\", \"off\", or a port", report);
            None
        }
    }
}

fn hsts(entry: &Entry, report: &mut Report) -> Option<Hsts> {
    match &entry.node.value {
        Value::Text(text) if text.text == "auto" => Some(Hsts::Auto),
        Value::Text(text) if text.text == "off" => Some(Hsts::Off),
        Value::Text(text) if !text.is_missing => {
            let diagnostic =
                crate::scalar::unknown_word(&text.text, entry.node.origin, &["auto", "off"]);
            report.push(diagnostic.label("\"auto\", \"off\", or a table"));
            None
        }
        Value::Table(_) => {
            let fields = Fields::open(&HSTS_TABLE, &entry.node, entry.key_origin, report);
            let hsts = Hsts::Written {
                max_age: fields.duration("max_age", report),
                include_subdomains: fields.boolean("include_subdomains", report),
                preload: fields.boolean("preload", report),
            };
            fields.finish();
            Some(hsts)
        }
        _ => {
            wrong_type(&entry.node, "\"auto\", \"off\", or a table", report);
            None
        }
    }
}

fn client_certificate(
    entry: &Entry,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<ClientCertificate> {
    let fields = Fields::open(&CLIENT_TABLE, &entry.node, entry.key_origin, report);
    let required = fields.choice("mode", report) == "required";
    let ca = fields.require("ca_file", "\"clients-ca.pem\"", report);
    let crl_files = fields.list("crl_files", report, |text, origin, report| {
        files::named(text, origin, directories, report)
    });
    let field = |name: &str, report: &mut Report| {
        let entry = fields.entry(name)?;
        let text = crate::scalar::text(&entry.node, report)?;
        words::told_field_name(text, entry.node.origin, report)
    };
    let subject_field = field("subject_field", report);
    let fingerprint_field = field("fingerprint_field", report);
    if let (Some(subject), Some(fingerprint)) = (&subject_field, &fingerprint_field)
        && subject.eq_ignore_ascii_case(fingerprint)
    {
        let origin: Origin = fields
            .entry("fingerprint_field")
            .map_or(entry.key_origin, |entry| entry.node.origin);
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                origin,
                "subject and fingerprint cannot go into one header",
            )
            .help("for example: fingerprint_field = \"X-Client-Fingerprint\""),
        );
    }
    fields.finish();
    Some(ClientCertificate {
        origin: entry.key_origin,
        required,
        ca_file: files::entry(ca?, directories, report)?,
        crl_files,
        subject_field,
        fingerprint_field,
    })
}
