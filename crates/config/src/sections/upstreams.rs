//! `[upstreams.<name>]`

use super::files::Directories;
use super::{balancing, discovery, probe, proxying, servers, sticky, upstream_tls};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, SIZE_32, Section, key};
use crate::settings::{Ejection, ProxyProtocolVersion, ResponseLimits, Upstream};
use crate::tree::{Entry, Node};
use crate::words;
use std::time::Duration;

const COUNT: Kind = Kind::Count {
    min: 0,
    max: 1_000_000,
    off: false,
};
const COUNT_OR_OFF: Kind = Kind::Count {
    min: 1,
    max: u32::MAX - 1,
    off: true,
};

pub(super) static SECTION: Section = Section {
    heading: "[upstreams.<name>]",
    doc: "A set of backends that serve the same thing.",
    keys: &[
        key(
            "servers",
            Kind::List(&Kind::Either(&[
                Kind::Text(&keys::SERVER_ADDRESS),
                Kind::Table(&servers::SECTION),
            ])),
            Default::Absent("`discovery` says where they are"),
            "The backends, at least one unless `discovery` finds them.",
        ),
        discovery::DISCOVERY,
        balancing::BALANCE,
        balancing::HASH_BY,
        balancing::HASH_LOAD_MAX,
        balancing::PRIMARY_FIT_MIN,
        balancing::ZONE_FIT_MIN,
        key(
            "sticky",
            Kind::Table(&sticky::SECTION),
            Default::Absent("each request is placed for itself"),
            "Sessions that stay with their backend by a cookie.",
        ),
        proxying::HOST_OF_UPSTREAM,
        key(
            "proxy_protocol",
            Kind::Choice(&[
                ("off", "no head"),
                ("v1", "the line of text"),
                ("v2", "the binary head"),
            ]),
            Default::Text("off"),
            "The PROXY protocol head that backends are sent. Connections are then never shared between clients.",
        ),
        key(
            "connections_idle_max",
            COUNT,
            Default::Integer(256),
            "Pooled idle connections per worker and backend.",
        ),
        key(
            "connections_max",
            COUNT_OR_OFF,
            Default::Text("off"),
            "Open connections per worker and backend.",
        ),
        key(
            "requests_pending_max",
            COUNT,
            Default::Integer(1024),
            "Requests of a worker that may wait for a connection; more are answered with 503.",
        ),
        key(
            "idle_timeout",
            Kind::Duration {
                min_ms: 1,
                off: false,
            },
            Default::Text("60s"),
            "How long a pooled connection may be idle.",
        ),
        key(
            "requests_per_connection_max",
            COUNT_OR_OFF,
            Default::Text("off"),
            "Requests on one connection.",
        ),
        key(
            "tries_max",
            Kind::Count {
                min: 1,
                max: 100,
                off: false,
            },
            Default::Integer(3),
            "Backends tried per request: after a failed connect, and where a request can safely be sent again.",
        ),
        key(
            "timeouts",
            Kind::Table(&proxying::TIMEOUTS),
            Default::Empty,
            "How long backends may take.",
        ),
        key(
            "response",
            Kind::Table(&RESPONSE),
            Default::Empty,
            "What a backend may send.",
        ),
        key(
            "ejection",
            Kind::Table(&EJECTION),
            Default::Empty,
            "When a failing backend is left out.",
        ),
        probe::PROBE,
        upstream_tls::TLS,
        upstream_tls::PROTOCOL,
        upstream_tls::STREAMS,
        key(
            "grpc_web",
            Kind::Boolean,
            Default::Boolean(false),
            "Whether requests of browsers by gRPC-Web are translated to the gRPC that the backends speak, and their answers \
             back; gRPC itself needs no key. The backends need `protocol = \"h2\"`.",
        ),
    ],
};

pub(super) static RESPONSE: Section = Section {
    heading: "[upstreams.<name>.response]",
    doc: "What a backend may send; more is answered with 502.",
    keys: &[
        key(
            "head_bytes_max",
            Kind::Size {
                max: SIZE_32,
                off: false,
            },
            Default::Text("64KiB"),
            "Bytes of an answer's head.",
        ),
        key(
            "fields_max",
            Kind::Count {
                min: 1,
                max: 10_000,
                off: false,
            },
            Default::Integer(200),
            "Fields in an answer's head or trailer section.",
        ),
    ],
};

pub(super) static EJECTION: Section = Section {
    heading: "[upstreams.<name>.ejection]",
    doc: "A backend that fails several times in a row is left out for a while. Failures are connect errors, timeouts, broken \
          answers, and the statuses 502, 503 and 504.",
    keys: &[
        key(
            "consecutive_failures",
            Kind::Count {
                min: 1,
                max: 1_000_000,
                off: true,
            },
            Default::Integer(5),
            "Failures in a row; `\"off\"` for never.",
        ),
        key(
            "base_time",
            Kind::Duration {
                min_ms: 1,
                off: false,
            },
            Default::Text("10s"),
            "How long the first ejection lasts; every further one lasts twice as long.",
        ),
        key(
            "time_max",
            Kind::Duration {
                min_ms: 1,
                off: false,
            },
            Default::Text("5m"),
            "The longest ejection.",
        ),
        key(
            "share_max",
            Kind::Integer { min: 0, max: 100 },
            Default::Integer(50),
            "Percent of the backends that may be left out at once.",
        ),
    ],
};

pub(super) fn read(
    entries: &[Entry],
    directories: Directories<'_>,
    report: &mut Report,
) -> Vec<Upstream> {
    entries
        .iter()
        .map(|entry| {
            words::name(&entry.key, entry.key_origin, report);
            let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
            read_one(&entry.key, fields, directories, report)
        })
        .collect()
}

/// The table that nobody wrote.
pub(crate) fn absent() -> Fields<'static> {
    Fields::absent(&SECTION, crate::Origin::NOWHERE)
}

/// Reads the table of one upstream.
pub(crate) fn read_one(
    name: &str,
    fields: Fields<'_>,
    directories: Directories<'_>,
    report: &mut Report,
) -> Upstream {
    let items = listed(name, &fields, report);
    let servers = servers::read(items, report);
    let balance = balancing::balance(&fields, report);
    let (hash_by, hash_load_max_percent) = balancing::hash(&fields, balance, report);
    let upstream = Upstream {
        name: name.to_owned(),
        origin: fields.origin,
        balance,
        hash_by,
        hash_load_max_percent,
        fit_min: balancing::fit_min(&fields, &servers, report),
        servers,
        sticky: fields
            .entry("sticky")
            .and_then(|entry| sticky::read(entry, report)),
        discovery: fields
            .entry("discovery")
            .and_then(|entry| discovery::read(entry, directories, report)),
        host: fields.text("host", report, proxying::host),
        proxy_protocol: match fields.choice("proxy_protocol", report) {
            "v1" => Some(ProxyProtocolVersion::V1),
            "v2" => Some(ProxyProtocolVersion::V2),
            _ => None,
        },
        connections_idle_max: fields.count("connections_idle_max", report),
        connections_max: fields.count_or_off("connections_max", report),
        requests_pending_max: fields.count("requests_pending_max", report),
        idle_timeout: fields.duration("idle_timeout", report),
        requests_per_connection_max: fields.count_or_off("requests_per_connection_max", report),
        tries_max: fields.count("tries_max", report),
        timeouts: proxying::timeouts(fields.table("timeouts", report), report),
        response: response(fields.table("response", report), report),
        ejection: ejection(fields.table("ejection", report), report),
        probe: fields
            .entry("probe")
            .map(|entry| probe::read(entry, report)),
        tls: fields
            .entry("tls")
            .and_then(|entry| upstream_tls::read(entry, directories, report)),
        protocol: upstream_tls::protocol(&fields, report),
        streams_per_connection_max: fields.count("streams_per_connection_max", report),
        grpc_web: fields.boolean("grpc_web", report),
    };
    if let Some(entry) = fields.entry("probe") {
        probe::check(&upstream, entry, report);
    }
    fields.finish();
    upstream
}

/// What is written in `servers`, which may be empty where others know the backends.
fn listed<'t>(name: &str, fields: &Fields<'t>, report: &mut Report) -> &'t [Node] {
    let list = fields.entry("servers");
    let items = list.map_or(&[][..], |entry| fields.items(&entry.node, report));
    let sought = fields.entry("discovery");
    if list.is_none() && sought.is_none() && !fields.has_unknown {
        report.push(
            Diagnostic::new(Code::MissingKey, fields.origin, "`servers` is missing")
                .help("for example: servers = [\"10.0.0.1:8080\", \"10.0.0.2:8080\"]"),
        );
    }
    if let (Some(entry), true, None) = (list, items.is_empty(), sought) {
        report.push(
            Diagnostic::new(
                Code::EmptyUpstream,
                entry.node.origin,
                format!("the upstream `{name}` has no servers"),
            )
            .cause("every request to it would be answered with 503")
            .help("for example: servers = [\"10.0.0.1:8080\"]"),
        );
    }
    items
}

fn response(fields: Fields<'_>, report: &mut Report) -> ResponseLimits {
    let limits = ResponseLimits {
        head_bytes_max: fields.size("head_bytes_max", report),
        fields_max: fields.count("fields_max", report),
    };
    fields.finish();
    limits
}

fn ejection(fields: Fields<'_>, report: &mut Report) -> Option<Ejection> {
    let failures = fields.count_or_off("consecutive_failures", report);
    let base_time: Duration = fields.duration("base_time", report);
    let time_max = fields.duration("time_max", report);
    let share_max = fields.integer("share_max", report);
    if time_max < base_time {
        let origin = |name| fields.entry(name).map(|entry: &Entry| entry.node.origin);
        let diagnostic = Diagnostic::new(
            Code::ConflictingKeys,
            origin("time_max")
                .or(origin("base_time"))
                .unwrap_or(fields.origin),
            "the longest ejection is shorter than the first one",
        );
        report.push(diagnostic.help("`time_max` must be at least `base_time`"));
    }
    fields.finish();
    Some(Ejection {
        consecutive_failures: failures?,
        base_time,
        time_max,
        share_max_percent: u8::try_from(share_max).unwrap_or(100),
    })
}
