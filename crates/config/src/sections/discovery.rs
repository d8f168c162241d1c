//! `[upstreams.<name>.discovery]`

use super::files::{self, Directories};
use super::upstream_tls;
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::Fields;
use crate::keys::{self, Default, Key, Kind, Section, Syntax, key, secret_syntax, syntax};
use crate::settings::{Consul, Discovery, DiscoverySource, DnsLookup, Docker, Secret, ServerHost};
use crate::tree::Entry;
use crate::words;
use std::time::Duration;

static NAME: Syntax = syntax("`name:port`", "app.internal:8080", "^[^ /]+:[0-9]+$");
static SRV_NAME: Syntax = syntax("service name", "_http._tcp.app.internal", "^[^ ]+$");
static SERVICE: Syntax = syntax("service name", "app", "^[^ /?#&]+$");
static WORD: Syntax = syntax("name", "web", "^[^ ]+$");
static LABEL: Syntax = syntax("label", "foregate.upstream=app", "^[^ =]+(=.*)?$");
static TOKEN: Syntax = secret_syntax("token", "b1gs33cr3t", "^[!-~]+$");

pub(super) const DISCOVERY: Key = key(
    "discovery",
    Kind::Table(&SECTION),
    Default::Absent("`servers` says where they are"),
    "Where further backends are found. They change while requests run, without a reload.",
);

pub(super) static SECTION: Section = Section {
    heading: "[upstreams.<name>.discovery]",
    doc: "Where backends are found that `servers` does not list: exactly one of `dns`, `srv`, `file`, `consul` and `docker`. \
          Who can't be asked is asked again, ever more rarely, and what was found last stays.",
    keys: &[
        key(
            "dns",
            Kind::Table(&DNS),
            Default::Absent("another source is written"),
            "The addresses of a name.",
        ),
        key(
            "srv",
            Kind::Table(&SRV),
            Default::Absent("another source is written"),
            "The SRV records of a name.",
        ),
        key(
            "file",
            Kind::Text(&files::FILE),
            Default::Absent("another source is written"),
            "A file of addresses, or a folder of such files: JSON, or an address a line, with what a server in `servers` may have: \
             weight, zone, backup, labels. It is looked at several times a second; \
             a broken one is told in the log and changes nothing.",
        ),
        key(
            "consul",
            Kind::Table(&CONSUL),
            Default::Absent("another source is written"),
            "The healthy instances of a Consul service.",
        ),
        key(
            "docker",
            Kind::Table(&DOCKER),
            Default::Absent("another source is written"),
            "The running containers of a Docker engine that have a label.",
        ),
        key(
            "endpoints_max",
            Kind::Count {
                min: 1,
                max: 100_000,
                off: false,
            },
            Default::Integer(1000),
            "Backends that are taken; what is found beyond is left out and told in the log.",
        ),
    ],
};

static ADDRESS: Kind = Kind::Text(&keys::SOCKET_ADDRESS);

const NAME_SERVERS: Key = key(
    "name_servers",
    Kind::List(&ADDRESS),
    Default::Absent("those of /etc/resolv.conf"),
    "The name servers that are asked.",
);

const TTL_MIN: Key = key(
    "ttl_min",
    Kind::Duration {
        min_ms: 100,
        off: false,
    },
    Default::Text("1s"),
    "How long an answer is gone by at least, whatever its records say.",
);

const TTL_MAX: Key = key(
    "ttl_max",
    Kind::Duration {
        min_ms: 100,
        off: false,
    },
    Default::Text("5m"),
    "How long an answer is gone by at most.",
);

pub(super) static DNS: Section = Section {
    heading: "[upstreams.<name>.discovery.dns]",
    doc: "Every IPv4 and IPv6 address of a name is a backend. The name is asked for again when its records say so.",
    keys: &[
        key(
            "name",
            Kind::Text(&NAME),
            Default::Required,
            "The name and the port of all backends: `app.internal:8080`.",
        ),
        NAME_SERVERS,
        TTL_MIN,
        TTL_MAX,
    ],
};

pub(super) static SRV: Section = Section {
    heading: "[upstreams.<name>.discovery.srv]",
    doc: "Every address of every target is a backend, with its record's port and weight; those of any other than the most \
          preferred priority are backups.",
    keys: &[
        key(
            "name",
            Kind::Text(&SRV_NAME),
            Default::Required,
            "The name of the records.",
        ),
        NAME_SERVERS,
        TTL_MIN,
        TTL_MAX,
    ],
};

pub(super) static CONSUL: Section = Section {
    heading: "[upstreams.<name>.discovery.consul]",
    doc: "The instances of a service whose checks pass, with their weights. Metadata, and tags such as `zone=east`, say their \
          `zone`, whether they are a `backup`, and with all other names their labels. The agent tells changes at once.",
    keys: &[
        key(
            "service",
            Kind::Text(&SERVICE),
            Default::Required,
            "The service's name.",
        ),
        key(
            "address",
            Kind::Text(&keys::SERVER_ADDRESS),
            Default::Text("127.0.0.1:8500"),
            "The agent, over plain HTTP unless `tls` says otherwise.",
        ),
        key(
            "tag",
            Kind::Text(&WORD),
            Default::Absent("any"),
            "The tag that instances must have.",
        ),
        key(
            "datacenter",
            Kind::Text(&WORD),
            Default::Absent("the agent's own"),
            "The datacenter.",
        ),
        key(
            "token",
            Kind::Text(&TOKEN),
            Default::Absent("none is shown"),
            "The token that the agent is shown. Better not in the file itself: `${FILE:path}` or `${ENV:NAME}`.",
        ),
        upstream_tls::AGENT_TLS,
    ],
};

pub(super) static DOCKER: Section = Section {
    heading: "[upstreams.<name>.discovery.docker]",
    doc: "Running containers with a label; those that are unhealthy by their own check are left out. A container's label \
          `foregate.port` says its port, `foregate.weight` its weight, `foregate.zone` its zone, `foregate.backup` with the value \
          `true` that it is a backup, and `foregate.label.<name>` a label. The engine tells changes at once.",
    keys: &[
        key(
            "label",
            Kind::Text(&LABEL),
            Default::Required,
            "The label that containers must have: `name`, or `name=value`.",
        ),
        key(
            "socket",
            Kind::Text(&files::FILE),
            Default::Text("/var/run/docker.sock"),
            "The engine's socket.",
        ),
        key(
            "port",
            Kind::Integer {
                min: 1,
                max: 65_535,
            },
            Default::Absent("the one TCP port that the container exposes"),
            "The port inside containers.",
        ),
        key(
            "network",
            Kind::Text(&WORD),
            Default::Absent("the first in the order of names"),
            "The network in which containers are reached.",
        ),
    ],
};

const SOURCES: [&str; 5] = ["dns", "srv", "file", "consul", "docker"];

pub(super) fn read(
    entry: &Entry,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<Discovery> {
    let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
    let endpoints_max = fields.count("endpoints_max", report);
    let written: Vec<(&str, &Entry)> = SOURCES
        .into_iter()
        .filter_map(|name| Some((name, fields.entry(name)?)))
        .collect();
    if let [(first, one), (second, other), ..] = written[..] {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                other.key_origin,
                format!("`{first}` and `{second}` cannot stand together"),
            )
            .related(one.key_origin, format!("`{first}` is here"))
            .help("an upstream has one source of backends beside `servers`: keep one of them"),
        );
    }
    if written.is_empty() && !fields.has_unknown {
        report.push(
            Diagnostic::new(
                Code::MissingKey,
                entry.key_origin,
                "nobody knows where the backends are",
            )
            .label("none of `dns`, `srv`, `file`, `consul`, `docker`")
            .help("for example: dns = { name = \"app.internal:8080\" }"),
        );
    }
    fields.finish();
    let (name, source) = *written.first()?;
    let source = match name {
        "dns" => dns(source, report),
        "srv" => srv(source, report),
        "file" => files::entry(source, directories, report).map(DiscoverySource::File),
        "consul" => consul(source, directories, report),
        _ => docker(source, report),
    };
    Some(Discovery {
        origin: entry.key_origin,
        source: source?,
        endpoints_max,
    })
}

fn dns(entry: &Entry, report: &mut Report) -> Option<DiscoverySource> {
    let fields = Fields::open(&DNS, &entry.node, entry.key_origin, report);
    let name = fields.require("name", "\"app.internal:8080\"", report);
    let lookup = lookup(&fields, report);
    fields.finish();
    let node = &name?.node;
    let name = words::server_address(crate::scalar::text(node, report)?, node.origin, report)?;
    if let ServerHost::Ip(_) = name.host {
        report.push(
            Diagnostic::new(Code::BadValue, node.origin, "an address has no addresses")
                .label("not a name")
                .help(format!("servers = [\"{name}\"] says the same")),
        );
        return None;
    }
    Some(DiscoverySource::Dns { name, lookup })
}

fn srv(entry: &Entry, report: &mut Report) -> Option<DiscoverySource> {
    let fields = Fields::open(&SRV, &entry.node, entry.key_origin, report);
    let name = fields.require("name", "\"_http._tcp.app.internal\"", report);
    let lookup = lookup(&fields, report);
    fields.finish();
    let node = &name?.node;
    let name = crate::scalar::text(node, report)?;
    if !crate::hosts::is_host_name(name) {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                node.origin,
                format!("{} is not a name of SRV records", quoted(name)),
            )
            .label("not a name")
            .help("for example: name = \"_http._tcp.app.internal\"; the port is in the records"),
        );
        return None;
    }
    Some(DiscoverySource::Srv {
        name: name.to_ascii_lowercase(),
        lookup,
    })
}

fn lookup(fields: &Fields<'_>, report: &mut Report) -> DnsLookup {
    let name_servers = fields.list("name_servers", report, words::socket_address);
    let ttl_min: Duration = fields.duration("ttl_min", report);
    let ttl_max = fields.duration("ttl_max", report);
    if ttl_max < ttl_min {
        let origin = |name| fields.entry(name).map(|entry: &Entry| entry.node.origin);
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                origin("ttl_max")
                    .or(origin("ttl_min"))
                    .unwrap_or(fields.origin),
                "the longest time is shorter than the shortest one",
            )
            .help("`ttl_max` must be at least `ttl_min`"),
        );
    }
    DnsLookup {
        name_servers,
        ttl_min,
        ttl_max,
    }
}

fn consul(
    entry: &Entry,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<DiscoverySource> {
    let fields = Fields::open(&CONSUL, &entry.node, entry.key_origin, report);
    let service = fields.require("service", "\"app\"", report);
    let address = fields.text("address", report, words::server_address);
    let optional = |name, report: &mut Report| plain(fields.entry(name)?, report);
    let tag = optional("tag", report);
    let datacenter = optional("datacenter", report);
    let token = optional("token", report).map(Secret::new);
    let tls = fields
        .entry("tls")
        .and_then(|entry| upstream_tls::read_agent(entry, directories, report));
    fields.finish();
    let service = plain(service?, report)?;
    Some(DiscoverySource::Consul(Consul {
        address,
        service,
        tag,
        datacenter,
        token,
        tls,
    }))
}

fn docker(entry: &Entry, report: &mut Report) -> Option<DiscoverySource> {
    let fields = Fields::open(&DOCKER, &entry.node, entry.key_origin, report);
    let label = fields.require("label", "\"foregate.upstream=app\"", report);
    let socket = fields.text("socket", report, |text, _, _| Some(text.into()));
    let port = fields
        .entry("port")
        .and_then(|entry| crate::scalar::integer(&entry.node, 1, 65_535, false, report))
        .and_then(|port| u16::try_from(port).ok());
    let network = fields
        .entry("network")
        .and_then(|entry| plain(entry, report));
    fields.finish();
    Some(DiscoverySource::Docker(Docker {
        socket,
        label: plain(label?, report)?,
        port,
        network,
    }))
}

/// A text of visible characters that is not empty.
fn plain(entry: &Entry, report: &mut Report) -> Option<String> {
    let origin: Origin = entry.node.origin;
    let text = crate::scalar::text(&entry.node, report)?;
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                origin,
                // Not with what is written: it may be a token.
                format!("`{}` is empty or has odd characters", entry.key),
            )
            .label("visible ASCII characters without spaces"),
        );
        return None;
    }
    Some(text.to_owned())
}
