//! `[upstreams.<name>]`

use super::files::Directories;
use super::{
    balancing, bounds, congestion, discovery, ejection, hedge, probe, proxying, retry, servers,
    sticky, upstream_tls,
};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, SIZE_32, Section, key};
use crate::settings::{ProxyProtocolVersion, ResponseLimits, Upstream};
use crate::tree::{Entry, Node, Value};
use crate::words;

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
        bounds::SLOW_START,
        bounds::PANIC_THRESHOLD,
        bounds::REQUESTS_MAX,
        bounds::UPSTREAM_REQUESTS_MAX,
        bounds::QUEUE,
        bounds::ADAPTIVE,
        bounds::CIRCUIT,
        bounds::UPSTREAM_CIRCUIT,
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
            "Open connections to each backend, over all workers; further requests wait.",
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
            "tcp_keepalive",
            Kind::Duration {
                min_ms: 1000,
                off: true,
            },
            Default::Text("60s"),
            "After how long a silence the system asks a backend by an empty packet whether it is still there, as for \
             clients.",
        ),
        congestion::KEY,
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
            "Backends tried per request; `retry` says when.",
        ),
        retry::RETRY,
        hedge::HEDGE,
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
            Kind::Table(&ejection::SECTION),
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
        key(
            "abuse_points_per_minute_max",
            Kind::Count {
                min: 100,
                max: 10_000_000,
                off: false,
            },
            Default::Integer(10_000),
            "What a backend may ask on one connection of HTTP/2 without getting anything done, in the points of \
             `[client]`. A connection that has spent them is closed, with the answers of all clients on it.",
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
    let timeouts = proxying::timeouts(fields.table("timeouts", report), report);
    let upstream = Upstream {
        name: name.to_owned(),
        origin: fields.origin,
        balance,
        hash_by,
        hash_load_max_percent,
        fit_min: balancing::fit_min(&fields, &servers, report),
        servers,
        bounds: bounds::read(&fields, report),
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
        tcp_keepalive: fields.duration_or_off("tcp_keepalive", report),
        congestion_control: congestion::read(&fields, report),
        requests_per_connection_max: fields.count_or_off("requests_per_connection_max", report),
        tries_max: fields.count("tries_max", report),
        retry: retry::read(fields.table("retry", report), timeouts.per_try, report),
        hedge: (fields.entry("hedge")).map(|entry| hedge::read(entry, &fields, report)),
        timeouts,
        response: response(fields.table("response", report), report),
        ejection: ejection::read(fields.table("ejection", report), report),
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
    // What is no list has been told as such.
    let empty =
        list.filter(|entry| matches!(&entry.node.value, Value::List(items) if items.is_empty()));
    if let (Some(entry), None) = (empty, sought) {
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
        abuse_points_per_minute_max: fields.count("abuse_points_per_minute_max", report),
    };
    fields.finish();
    limits
}
