//! `[listeners.<name>]`

use super::{congestion, listener_mode};
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, key};
use crate::names::Names;
use crate::settings::{Listener, Mode, Settings};
use crate::tree::Entry;
use crate::words;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) static SECTION: Section = Section {
    heading: "[listeners.<name>]",
    doc: "Where clients connect. Without any `[listeners]` table there are two: `public`, on `0.0.0.0:80` and `[::]:80`, and \
          `secure`, with TLS on `0.0.0.0:443` and `[::]:443`; the latter only if some site can have a certificate.",
    keys: &[
        key(
            "addresses",
            Kind::List(&Kind::Text(&keys::SOCKET_ADDRESS)),
            Default::Absent("`address` must be written"),
            "The addresses to listen on. An IPv6 address takes IPv6 connections only. Port 0 lets the system choose.",
        ),
        key(
            "address",
            Kind::Text(&keys::SOCKET_ADDRESS),
            Default::Absent("`addresses` must be written"),
            "Short for `addresses` with one address.",
        ),
        key(
            "proxy_protocol",
            Kind::Choice(&[
                ("off", "connections begin with what the client says"),
                (
                    "accept",
                    "connections begin with a PROXY protocol head, version 1 or 2, and come from `forwarding.trusted_proxies`; others are closed",
                ),
            ]),
            Default::Text("off"),
            "Whether a load balancer in front tells the client's address.",
        ),
        key(
            "connections_max",
            Kind::Count {
                min: 1,
                max: 10_000_000,
                off: false,
            },
            Default::Integer(20_000),
            "Open connections over all workers; more are refused.",
        ),
        key(
            "connections_per_client_max",
            Kind::Count {
                min: 1,
                max: 10_000_000,
                off: true,
            },
            Default::Integer(1000),
            "Open connections of one client address over all workers.",
        ),
        key(
            "backlog",
            Kind::Count {
                min: 1,
                max: 65_535,
                off: false,
            },
            Default::Integer(4096),
            "Connections that the system may queue before they are accepted.",
        ),
        key(
            "tcp_keepalive",
            Kind::Duration {
                min_ms: 1000,
                off: true,
            },
            Default::Text("60s"),
            "After how long a silence the system asks a client by an empty packet whether it is still there, in any `mode`; \
             further ones follow at a sixth of that time, at least 1s, and one that answers none of six has gone. The \
             system waits no longer than 32767s, whatever more is asked. A change holds for new connections.",
        ),
        congestion::KEY,
        listener_mode::MODE,
        listener_mode::TLS,
        listener_mode::PROTOCOLS,
        listener_mode::HANDSHAKES_MAX,
        listener_mode::UPSTREAM,
        listener_mode::SNI,
    ],
};

pub(super) fn read(entries: &[Entry], names: &mut Names, report: &mut Report) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = entries
        .iter()
        .map(|entry| read_one(entry, names, report))
        .collect();
    if listeners.is_empty() {
        listeners.push(implied(names, "public", 80, report));
        let mut secure = implied(names, SECURE, 443, report);
        if let Mode::Http { tls, .. } = &mut secure.mode {
            *tls = true;
        }
        listeners.push(secure);
    }
    listeners
}

/// The implied listener with TLS.
const SECURE: &str = "secure";

fn implied(names: &mut Names, name: &str, port: u16, report: &mut Report) -> Listener {
    let any: [SocketAddr; 2] = [
        (Ipv4Addr::UNSPECIFIED, port).into(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    ];
    let fields = Fields::absent(&SECTION, Origin::NOWHERE);
    Listener {
        implied: true,
        ..build(name, fields, any.to_vec(), names, report)
    }
}

/// Takes the implied listener with TLS away if no site could have a certificate there.
pub(super) fn drop_useless(settings: &mut Settings) {
    let is_useful = settings
        .sites
        .iter()
        .any(|site| site.is_on(SECURE) && settings.may_have_certificate(site));
    settings
        .listeners
        .retain(|listener| !listener.implied || listener.name != SECURE || is_useful);
}

fn read_one(entry: &Entry, names: &mut Names, report: &mut Report) -> Listener {
    words::name(&entry.key, entry.key_origin, report);
    let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
    let mut addresses = fields.list("addresses", report, words::socket_address);
    match (fields.entry("address"), fields.entry("addresses")) {
        (Some(one), None) => {
            let text = crate::scalar::text(&one.node, report);
            addresses
                .extend(text.and_then(|text| words::socket_address(text, one.node.origin, report)));
        }
        (Some(one), Some(many)) => report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                one.key_origin,
                "`address` and `addresses` cannot stand together",
            )
            .label("short for `addresses` with one address")
            .related(many.key_origin, "`addresses` is here")
            .help("write every address into `addresses`"),
        ),
        (None, Some(many)) if matches!(&many.node.value, crate::tree::Value::List(items) if items.is_empty()) =>
        {
            report.push(
                Diagnostic::new(
                    Code::BadValue,
                    many.node.origin,
                    "a listener needs an address",
                )
                .label("empty"),
            );
        }
        (None, None) if !fields.has_unknown => report.push(
            Diagnostic::new(
                Code::MissingKey,
                entry.key_origin,
                format!("the listener `{}` has no address", entry.key),
            )
            .help("for example: addresses = [\"0.0.0.0:80\", \"[::]:80\"]"),
        ),
        (None, _) => {}
    }
    build(&entry.key, fields, addresses, names, report)
}

fn build(
    name: &str,
    fields: Fields<'_>,
    addresses: Vec<SocketAddr>,
    names: &mut Names,
    report: &mut Report,
) -> Listener {
    fields.entry("addresses");
    fields.entry("address");
    let mode = listener_mode::read(name, &fields, names, report);
    let listener = Listener {
        mode,
        handshakes_max: fields.count("handshakes_max", report),
        name: name.to_owned(),
        origin: fields.origin,
        addresses,
        implied: false,
        accept_proxy_protocol: fields.choice("proxy_protocol", report) == "accept",
        connections_max: fields.count("connections_max", report),
        connections_per_client_max: fields.count_or_off("connections_per_client_max", report),
        backlog: fields.count("backlog", report),
        tcp_keepalive: fields.duration_or_off("tcp_keepalive", report),
        congestion_control: congestion::read(&fields, report),
    };
    fields.finish();
    listener
}
