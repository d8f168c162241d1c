//! `[upstreams.<name>.probe]`

use super::{header_rules, proxying};
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::{Fields, wrong_type};
use crate::keys::{self, Default, Key, Kind, Section, Syntax, key, syntax};
use crate::settings::{
    HostHeader, Probe, ProbeBody, ProbeQuestion, ProbeRequest, Protocol, Upstream,
};
use crate::tree::{Entry, Node, Value};
use crate::{scalar, words};

static STATUSES: Syntax = syntax(
    "status, class or range",
    "2xx",
    "^([1-5]xx|[1-5][0-9][0-9](-[1-5][0-9][0-9])?)$",
);
static TARGET: Syntax = syntax("path", "/healthz", "^/[^ ]*$");
static SERVICE: Syntax = syntax("service", "shop.Cart", "^[^ ]*$");
static HOST: Syntax = syntax("host, with or without port", "app.internal", "");

const TRIES: Kind = Kind::Count {
    min: 1,
    max: 1000,
    off: false,
};
const SPAN: Kind = Kind::Duration {
    min_ms: 10,
    off: false,
};

/// How many statuses or ranges may be named.
const STATUSES_MAX: usize = 32;

pub(super) const PROBE: Key = key(
    "probe",
    Kind::Table(&SECTION),
    Default::Absent("no probes: only requests tell how backends are"),
    "How backends are asked how they are.",
);

pub(super) static SECTION: Section = Section {
    heading: "[upstreams.<name>.probe]",
    doc: "Asks every backend now and then how it is, whether or not there are requests; one that does not answer as it should \
          takes no requests until it does. Every process asks once for all its workers. An empty table asks for `/` by HTTP.",
    keys: &[
        key(
            "type",
            Kind::Choice(&[
                (
                    "http",
                    "a request, sent as other requests are: by TLS, in the upstream's protocol",
                ),
                ("tcp", "whether it takes a connection"),
                (
                    "tls",
                    "whether it completes a TLS handshake, by the upstream's `tls`",
                ),
                (
                    "grpc",
                    "the gRPC health service (`grpc.health.v1.Health/Check`); needs `protocol = \"h2\"`",
                ),
            ]),
            Default::Text("http"),
            "What is asked.",
        ),
        key(
            "path",
            Kind::Text(&TARGET),
            Default::Text("/"),
            "With `http`: the path, with or without a query.",
        ),
        key(
            "method",
            Kind::Text(&keys::METHOD),
            Default::Text("GET"),
            "With `http`: the method.",
        ),
        key(
            "host",
            Kind::Text(&HOST),
            Default::Absent("the backend's address"),
            "With `http`: the `Host` that is asked for.",
        ),
        key(
            "headers",
            Kind::Map(&keys::FIELD_NAME, &Kind::Text(&keys::FIELD_VALUE)),
            Default::Empty,
            "With `http`: further fields of the request.",
        ),
        key(
            "statuses",
            Kind::List(&Kind::Either(&[
                Kind::Integer { min: 200, max: 599 },
                Kind::Text(&STATUSES),
            ])),
            Default::Absent("`[\"2xx\", \"3xx\"]`"),
            "With `http`: the good statuses, such as `[200, \"3xx\", \"401-403\"]`.",
        ),
        key(
            "body",
            Kind::Either(&[Kind::Text(&keys::ANY), Kind::Table(&BODY)]),
            Default::Absent("any"),
            "With `http`: a text that the answer's body must hold, or `{ regex = \"...\" }`. The first 64 KiB are looked at.",
        ),
        key(
            "service",
            Kind::Text(&SERVICE),
            Default::Text(""),
            "With `grpc`: the service that is asked about; empty for the whole server.",
        ),
        key(
            "port",
            Kind::Integer {
                min: 1,
                max: 65_535,
            },
            Default::Absent("the backend's own"),
            "The port that is asked.",
        ),
        key(
            "interval",
            SPAN,
            Default::Text("5s"),
            "From the end of one probe to the next, give or take a tenth.",
        ),
        key(
            "failing_interval",
            SPAN,
            Default::Text("1s"),
            "The same while anything is wrong, or nothing is known yet.",
        ),
        key(
            "timeout",
            SPAN,
            Default::Text("2s"),
            "How long a probe may take; no answer in time is a bad one.",
        ),
        key(
            "rise",
            TRIES,
            Default::Integer(2),
            "Good answers in a row that make a backend healthy again. The first answer of all decides alone.",
        ),
        key(
            "fall",
            TRIES,
            Default::Integer(3),
            "Bad answers in a row that make it unhealthy.",
        ),
    ],
};

static BODY: Section = Section {
    heading: "body = { ... }",
    doc: "What the body of a probe's answer must hold.",
    keys: &[key(
        "regex",
        Kind::Text(&keys::REGEX),
        Default::Required,
        "A regular expression that is searched for in the body. Syntax of the Rust crate `regex`.",
    )],
};

/// The keys that only mean something with one type.
const HTTP_ONLY: [&str; 6] = ["path", "method", "host", "headers", "statuses", "body"];

pub(super) fn read(entry: &Entry, report: &mut Report) -> Probe {
    let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
    let kind = fields.choice("type", report);
    let request = request(&fields, report);
    let service = fields.text("service", report, |text, _, _| Some(text.to_owned()));
    for name in HTTP_ONLY.into_iter().chain(["service"]) {
        let wanted = if name == "service" { "grpc" } else { "http" };
        if let (Some(written), true) = (fields.entry(name), kind != wanted) {
            report.push(
                Diagnostic::new(
                    Code::ConflictingKeys,
                    written.key_origin,
                    format!("a probe of type `{kind}` has no `{name}`"),
                )
                .label("does nothing")
                .help(format!("type = \"{wanted}\", or remove it")),
            );
        }
    }
    let interval = fields.duration("interval", report);
    let failing_interval = fields.duration("failing_interval", report);
    let written = fields.entry("failing_interval");
    if let (Some(written), true) = (written, failing_interval > interval) {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                written.node.origin,
                "a backend in trouble is probed less often than one that is well",
            )
            .help("`failing_interval` must be at most `interval`"),
        );
    }
    let port = fields.entry("port").and_then(|entry| {
        let port = scalar::integer(&entry.node, 1, 65_535, false, report)?;
        u16::try_from(port).ok()
    });
    let probe = Probe {
        question: match kind {
            "tcp" => ProbeQuestion::Tcp,
            "tls" => ProbeQuestion::Tls,
            "grpc" => ProbeQuestion::Grpc(service),
            _ => ProbeQuestion::Http(request),
        },
        port,
        interval,
        failing_interval: failing_interval.min(interval),
        timeout: fields.duration("timeout", report),
        rise: fields.count("rise", report),
        fall: fields.count("fall", report),
    };
    fields.finish();
    probe
}

fn request(fields: &Fields<'_>, report: &mut Report) -> ProbeRequest {
    let method = fields.text("method", report, words::method);
    let body = fields.entry("body").and_then(|entry| body(entry, report));
    if let (Some(written), "HEAD") = (fields.entry("body"), method.as_str()) {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                written.key_origin,
                "an answer to `HEAD` has no body",
            )
            .help("method = \"GET\", or remove it"),
        );
    }
    ProbeRequest {
        target: fields.text("path", report, target),
        host: fields.entry("host").and_then(|entry| {
            let text = scalar::text(&entry.node, report)?;
            match proxying::host(text, entry.node.origin, report)? {
                HostHeader::Fixed(host) => Some(host),
                HostHeader::Upstream => None,
                HostHeader::Pass => {
                    report.push(
                        Diagnostic::new(
                            Code::BadHost,
                            entry.node.origin,
                            "a probe has no client whose host could be passed on",
                        )
                        .help("a host such as \"app.internal\""),
                    );
                    None
                }
            }
        }),
        headers: header_rules::fixed(fields.entry("headers"), report),
        statuses: statuses(fields, report),
        method,
        body,
    }
}

fn target(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    let is_target = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_target || text.contains('#') {
        report.push(
            Diagnostic::new(Code::BadPath, origin, format!("{} is not a path to ask for", quoted(text)))
                .help("it begins with `/`; other characters than ASCII are percent-encoded, such as \"/healthz?full=1\""),
        );
        return None;
    }
    Some(text.to_owned())
}

fn body(entry: &Entry, report: &mut Report) -> Option<ProbeBody> {
    match &entry.node.value {
        Value::Text(text) => Some(ProbeBody::Contains(text.text.clone())),
        Value::Table(_) => {
            let fields = Fields::open(&BODY, &entry.node, entry.key_origin, report);
            let regex = fields.require("regex", "\"\\\"status\\\":\\\\s*\\\"up\\\"\"", report);
            fields.finish();
            let node = &regex?.node;
            let regex = words::regex(scalar::text(node, report)?, node.origin, report)?;
            Some(ProbeBody::Matches(regex))
        }
        _ => {
            wrong_type(&entry.node, "a text, or a table with `regex`,", report);
            None
        }
    }
}

fn statuses(fields: &Fields<'_>, report: &mut Report) -> Vec<(u16, u16)> {
    let Some(entry) = fields.entry("statuses") else {
        return vec![(200, 399)];
    };
    let items = fields.items(&entry.node, report);
    if items.is_empty() || items.len() > STATUSES_MAX {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                entry.node.origin,
                format!("a list of 1 to {STATUSES_MAX} statuses belongs here"),
            )
            .help("for example: statuses = [200, \"3xx\"]"),
        );
    }
    items
        .iter()
        .filter_map(|item| status_range(item, 200, report))
        .collect()
}

/// `200`, `"2xx"` or `"200-204"`.
pub(super) fn status_range(item: &Node, least: u16, report: &mut Report) -> Option<(u16, u16)> {
    if let Value::Integer(_) = item.value {
        let status = scalar::integer(item, least.into(), 599, false, report)?;
        return u16::try_from(status).ok().map(|status| (status, status));
    }
    let text = scalar::text(item, report)?;
    let range = match text.strip_suffix("xx") {
        Some(class) => class
            .parse::<u16>()
            .ok()
            .map(|class| (class * 100, class * 100 + 99)),
        None => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            first.parse().ok().zip(last.parse().ok())
        }
    };
    let range = range.filter(|(first, last)| least <= *first && first <= last && *last <= 599);
    if range.is_none() {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                item.origin,
                format!("{} names no statuses", quoted(text)),
            )
            .help(format!("a status from {least} to 599, a class or a range, such as 503, \"5xx\" or \"502-504\"")),
        );
    }
    range
}

/// What only the whole upstream tells.
pub(super) fn check(upstream: &Upstream, entry: &Entry, report: &mut Report) {
    let Some(probe) = &upstream.probe else {
        return;
    };
    let problem = match probe.question {
        ProbeQuestion::Tls if upstream.tls.is_none() => Some((
            "a probe of type `tls` needs `tls` of its upstream",
            "tls = true, or type = \"tcp\"",
        )),
        ProbeQuestion::Grpc(_) if upstream.protocol != Protocol::Http2 => Some((
            "gRPC is spoken by HTTP/2 only",
            "protocol = \"h2\" in the upstream",
        )),
        _ => None,
    };
    if let Some((message, help)) = problem {
        let origin = match &entry.node.value {
            Value::Table(entries) => entries
                .iter()
                .find(|one| one.key == "type")
                .map(|one| one.node.origin),
            _ => None,
        };
        let origin = origin.unwrap_or(entry.key_origin);
        report.push(Diagnostic::new(Code::ConflictingKeys, origin, message).help(help));
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{ProbeBody, ProbeQuestion};
    use crate::{Format, MemoryFiles, Outcome, parse_str};

    fn load(upstream: &str, probe: &str) -> Outcome {
        let text = format!(
            "[sites.'*']\nupstream = 'app'\n[upstreams.app]\nservers = ['10.0.0.1:80']\n{upstream}\n[upstreams.app.probe]\n{probe}"
        );
        parse_str("x.toml", &text, Format::Toml, &MemoryFiles::default())
    }

    #[test]
    fn probes_are_read() {
        let settings = load("", "").settings.unwrap();
        let probe = settings.upstreams[0].probe.clone().unwrap();
        assert_eq!((probe.rise, probe.fall, probe.port), (2, 3, None));
        let ProbeQuestion::Http(request) = probe.question else {
            panic!("HTTP is the default");
        };
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", "/")
        );
        assert_eq!(request.statuses, [(200, 399)]);

        let probe = "path = '/up?x=1'\nhost = 'A.example'\nstatuses = [204, '3xx', '401-403']\nbody = 'ok'\nport = 81";
        let settings = load("", probe).settings.unwrap();
        let probe = settings.upstreams[0].probe.clone().unwrap();
        assert_eq!(probe.port, Some(81));
        let ProbeQuestion::Http(request) = probe.question else {
            panic!("HTTP is the default");
        };
        assert_eq!(request.host.as_deref(), Some("a.example"));
        assert_eq!(request.statuses, [(204, 204), (300, 399), (401, 403)]);
        assert_eq!(request.body, Some(ProbeBody::Contains("ok".to_owned())));
        assert!(
            load("protocol = 'h2'", "type = 'grpc'\nservice = 'a.B'")
                .settings
                .is_some()
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (upstream, probe, codes) in [
            ("", "path = 'up'", &["bad-path"][..]),
            ("", "path = '/a b'", &["bad-path"]),
            ("", "host = 'pass'", &["bad-host"]),
            ("", "statuses = []", &["bad-value"]),
            ("", "statuses = ['6xx']", &["bad-value"]),
            ("", "statuses = ['300-200']", &["bad-value"]),
            ("", "body = { regex = '(' }", &["bad-regex"]),
            ("", "method = 'HEAD'\nbody = 'ok'", &["conflicting-keys"]),
            ("", "type = 'tcp'\npath = '/'", &["conflicting-keys"]),
            ("", "service = 'a.B'", &["conflicting-keys"]),
            ("", "type = 'tls'", &["conflicting-keys"]),
            ("", "type = 'grpc'", &["conflicting-keys"]),
            (
                "",
                "interval = '1s'\nfailing_interval = '2s'",
                &["conflicting-keys"],
            ),
            ("", "interval = '1ms'", &["bad-duration"]),
            ("", "rise = 0", &["bad-value"]),
            ("", "headers = { Connection = 'close' }", &["bad-header"]),
            ("", "intervall = '1s'", &["unknown-key"]),
        ] {
            let outcome = load(upstream, probe);
            let found: Vec<&str> = outcome
                .diagnostics
                .iter()
                .map(|one| one.code.name())
                .collect();
            assert_eq!(found, codes, "{probe}");
        }
    }
}
