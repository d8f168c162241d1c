//! The keys of an upstream that are about TLS and protocols.

use super::files::{self, Directories};
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::{Fields, wrong_type};
use crate::hosts;
use crate::keys::{Default, Key, Kind, Section, Syntax, key, syntax};
use crate::settings::{Protocol, UpstreamTls};
use crate::tree::{Entry, Value};

static NAME: Syntax = syntax("host name", "app.internal", "^[A-Za-z0-9_.:-]+$");

static KINDS: [Kind; 2] = [Kind::Boolean, Kind::Table(&SECTION)];
static AGENT_KINDS: [Kind; 2] = [Kind::Boolean, Kind::Table(&AGENT)];

pub(super) const TLS: Key = key(
    "tls",
    Kind::Either(&KINDS),
    Default::Boolean(false),
    "Whether backends are spoken to by TLS; `true` is short for an empty table.",
);

/// `tls` of a Consul agent.
pub(super) const AGENT_TLS: Key = key(
    "tls",
    Kind::Either(&AGENT_KINDS),
    Default::Boolean(false),
    "Whether the agent is spoken to by TLS, most often at its port 8501; `true` is short for an empty table.",
);

pub(super) const PROTOCOL: Key = key(
    "protocol",
    Kind::Choice(&[
        ("h1", "HTTP/1.1"),
        (
            "h2",
            "HTTP/2; without `tls` the backend must expect it (prior knowledge)",
        ),
        (
            "auto",
            "HTTP/2 if the backend chooses it in the handshake (ALPN), else HTTP/1.1; without `tls` always HTTP/1.1",
        ),
    ]),
    Default::Text("h1"),
    "The protocol that backends are spoken to.",
);

pub(super) const STREAMS: Key = key(
    "streams_per_connection_max",
    Kind::Count {
        min: 1,
        max: 1_000_000,
        off: false,
    },
    Default::Integer(100),
    "With HTTP/2: requests at once on one connection; the backend may allow fewer.",
);

pub(super) static SECTION: Section = Section {
    heading: "[upstreams.<name>.tls]",
    doc: "How backends are spoken to by TLS. Their certificates are verified unless `verify` says otherwise.",
    keys: &[
        key(
            "server_name",
            Kind::Text(&NAME),
            Default::Absent("the host in `servers`"),
            "The name that backends are asked for (SNI), and that their certificates must have.",
        ),
        key(
            "send_sni",
            Kind::Boolean,
            Default::Boolean(true),
            "Whether the handshake tells backends the name, which whoever is between can read; an address is never told \
             (RFC 6066 section 3).",
        ),
        key(
            "ca_file",
            Kind::Text(&files::FILE),
            Default::Absent("the system's roots"),
            "PEM file with the authorities that issue their certificates; watched.",
        ),
        key(
            "client_certificate",
            Kind::Text(&files::FILE),
            Default::Absent("none is shown"),
            "PEM file with the certificate and chain that backends are shown; needs `client_key`.",
        ),
        key(
            "client_key",
            Kind::Text(&files::FILE),
            Default::Absent("none is shown"),
            "PEM file with its private key.",
        ),
        key(
            "verify",
            Kind::Choice(&[
                ("full", "their chain, validity and name"),
                (
                    "insecure",
                    "nothing: whoever is between can read and change everything",
                ),
            ]),
            Default::Text("full"),
            "What of their certificates is verified.",
        ),
    ],
};

pub(super) static AGENT: Section = Section {
    heading: "[upstreams.<name>.discovery.consul.tls]",
    doc: "How a Consul agent is spoken to by TLS. Its certificate is verified. Files are read with the configuration.",
    keys: &[
        key(
            "server_name",
            Kind::Text(&NAME),
            Default::Absent("the host in `address`"),
            "The name that it is asked for (SNI), and that its certificate must have; often `server.<datacenter>.consul`.",
        ),
        key(
            "ca_file",
            Kind::Text(&files::FILE),
            Default::Absent("the system's roots"),
            "PEM file with the authorities that issue its certificate.",
        ),
        key(
            "client_certificate",
            Kind::Text(&files::FILE),
            Default::Absent("none is shown"),
            "PEM file with the certificate and chain that it is shown; needs `client_key`.",
        ),
        key(
            "client_key",
            Kind::Text(&files::FILE),
            Default::Absent("none is shown"),
            "PEM file with its private key.",
        ),
    ],
};

/// Reads `tls` of an upstream.
pub(super) fn read(
    entry: &Entry,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<UpstreamTls> {
    read_as((&SECTION, true), entry, directories, report)
}

/// Reads `tls` of a Consul agent.
pub(super) fn read_agent(
    entry: &Entry,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<UpstreamTls> {
    read_as((&AGENT, false), entry, directories, report)
}

/// By a section, and whether that can say what is verified.
fn read_as(
    (section, says_verify): (&'static Section, bool),
    entry: &Entry,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<UpstreamTls> {
    match &entry.node.value {
        Value::Boolean(_) => {
            let is_on = crate::scalar::boolean(&entry.node, report)?;
            is_on.then(|| UpstreamTls::usual(entry.key_origin))
        }
        Value::Table(_) => {
            let fields = Fields::open(section, &entry.node, entry.key_origin, report);
            let mut tls = table(&fields, entry.key_origin, directories, report);
            if says_verify {
                tls.send_sni = fields.boolean("send_sni", report);
                tls.verify = verify(&fields, report);
            }
            fields.finish();
            Some(tls)
        }
        Value::Text(text) if text.substituted => {
            let is_on = crate::scalar::boolean(&entry.node, report)?;
            is_on.then(|| UpstreamTls::usual(entry.key_origin))
        }
        _ => {
            wrong_type(&entry.node, "`true`, `false`, or a table", report);
            None
        }
    }
}

fn table(
    fields: &Fields<'_>,
    origin: Origin,
    directories: Directories<'_>,
    report: &mut Report,
) -> UpstreamTls {
    let server_name = fields.entry("server_name").and_then(|entry| {
        let text = crate::scalar::text(&entry.node, report)?;
        if hosts::is_host_name(text) || text.parse::<std::net::IpAddr>().is_ok() {
            return Some(text.to_ascii_lowercase());
        }
        let message = format!("{} is not the name of a host", quoted(text));
        report.push(
            Diagnostic::new(Code::BadHost, entry.node.origin, message)
                .help("a name or an address without port, such as \"app.internal\""),
        );
        None
    });
    let certificate = files::optional(fields, "client_certificate", directories, report);
    let key = files::optional(fields, "client_key", directories, report);
    let written = (
        fields.entry("client_certificate"),
        fields.entry("client_key"),
    );
    if let (Some(one), None) | (None, Some(one)) = written
        && !fields.has_unknown
    {
        let missing = if one.key == "client_key" {
            "client_certificate"
        } else {
            "client_key"
        };
        report.push(
            Diagnostic::new(
                Code::MissingKey,
                one.key_origin,
                format!("`{}` needs `{missing}`", one.key),
            )
            .help(format!("for example: {missing} = \"gateway.pem\"")),
        );
    }
    UpstreamTls {
        server_name,
        ca_file: files::optional(fields, "ca_file", directories, report),
        client_certificate: certificate.zip(key),
        ..UpstreamTls::usual(origin)
    }
}

fn verify(fields: &Fields<'_>, report: &mut Report) -> bool {
    let Some(entry) = fields.entry("verify") else {
        return true;
    };
    if let Value::Boolean(written) = entry.node.value {
        let diagnostic = Diagnostic::new(
            Code::WrongType,
            entry.node.origin,
            "what is verified is a word",
        );
        report.push(if written {
            diagnostic.help("\"full\", which is the default")
        } else {
            diagnostic.help(
                "ca_file = \"ca.pem\" trusts a private authority; not to verify at all is spelled \"insecure\"",
            )
        });
        return true;
    }
    if fields.choice("verify", report) != "insecure" {
        return true;
    }
    report.push(
        Diagnostic::new(
            Code::InsecureUpstream,
            entry.node.origin,
            "backends' certificates are not verified",
        )
        .label("insecure")
        .cause("whoever is between can read and change everything")
        .help("ca_file = \"ca.pem\" trusts a private authority; server_name = \"…\" expects another name"),
    );
    if let Some(ca) = fields.entry("ca_file") {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                ca.key_origin,
                "`ca_file` does nothing where nothing is verified",
            )
            .related(entry.node.origin, "not verified")
            .help("remove verify = \"insecure\""),
        );
    }
    false
}

/// Reads `protocol`.
pub(super) fn protocol(fields: &Fields<'_>, report: &mut Report) -> Protocol {
    let protocol = match fields.choice("protocol", report) {
        "h2" => Protocol::Http2,
        "auto" => Protocol::Auto,
        _ => Protocol::Http1,
    };
    if let Some(written) = fields
        .entry("streams_per_connection_max")
        .filter(|_| protocol == Protocol::Http1)
    {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                written.key_origin,
                "connections of HTTP/1.1 have one request at once",
            )
            .label("does nothing")
            .help("protocol = \"h2\" or \"auto\", or remove it"),
        );
    }
    protocol
}
