//! `servers` of an upstream.

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::{Fields, wrong_type};
use crate::keys::{self, Default, Kind, Section, key};
use crate::settings::{Server, ServerAddress};
use crate::tree::{Entry, Node, Value};
use crate::words;
use std::collections::HashMap;

pub(super) static SECTION: Section = Section {
    heading: "servers = [{ ... }]",
    doc: "One server. A plain text, `\"10.0.0.1:8080\"`, is short for a server of weight 1.",
    keys: &[
        key(
            "address",
            Kind::Text(&keys::SERVER_ADDRESS),
            Default::Required,
            "`ip:port`, `[ipv6]:port` or `name:port`. Names are resolved when the configuration is loaded; one that does not \
             resolve makes this server unavailable and nothing else.",
        ),
        key(
            "weight",
            Kind::Count {
                min: 1,
                max: 65_535,
                off: false,
            },
            Default::Integer(1),
            "Its share of requests relative to its siblings.",
        ),
        key(
            "backup",
            Kind::Boolean,
            Default::Boolean(false),
            "Whether it takes requests only when too few of the others are fit; see `primary_fit_min`.",
        ),
        key(
            "zone",
            Kind::Text(&keys::NAME),
            Default::Absent("as good as the own zone"),
            "Where it stands. When the gateway's own `zone` is known, its servers are preferred; see `zone_fit_min`.",
        ),
        key(
            "labels",
            Kind::Map(&keys::NAME, &Kind::Text(&keys::LABEL)),
            Default::Empty,
            "What it is, such as `{ version = \"v2\" }`: a route can choose the servers that have certain labels by `subset`.",
        ),
    ],
};

pub(super) fn read(items: &[Node], report: &mut Report) -> Vec<Server> {
    let servers: Vec<Server> = items
        .iter()
        .filter_map(|item| read_one(item, report))
        .collect();
    let mut seen: HashMap<&ServerAddress, &Server> = HashMap::new();
    for server in &servers {
        if let Some(first) = seen.insert(&server.address, server) {
            report.push(
                Diagnostic::new(
                    Code::DuplicateServer,
                    server.origin,
                    format!("the server `{}` is listed twice", server.address),
                )
                .label("listed again")
                .related(first.origin, "first listed here")
                .help(format!(
                    "for a larger share: {{ address = \"{}\", weight = 2 }}",
                    server.address
                )),
            );
        }
    }
    servers
}

fn read_one(item: &Node, report: &mut Report) -> Option<Server> {
    match &item.value {
        Value::Text(text) if !text.is_missing => {
            let address = words::server_address(&text.text, item.origin, report)?;
            Some(Server::plain(address, item.origin))
        }
        Value::Table(_) => {
            let fields = Fields::open(&SECTION, item, item.origin, report);
            let entry = fields.require("address", "\"10.0.0.1:8080\"", report);
            let weight = fields.count("weight", report);
            let backup = fields.boolean("backup", report);
            let zone = zone(fields.entry("zone"), report);
            let labels = labels(fields.entries("labels", report), report);
            fields.finish();
            let node = &entry?.node;
            let address =
                words::server_address(crate::scalar::text(node, report)?, node.origin, report)?;
            Some(Server {
                address,
                weight,
                backup,
                zone,
                labels,
                origin: node.origin,
            })
        }
        _ => {
            wrong_type(
                item,
                "an address, or a table with `address` and `weight`,",
                report,
            );
            None
        }
    }
}

/// The name of a zone.
pub(super) fn zone(entry: Option<&Entry>, report: &mut Report) -> Option<String> {
    let node = &entry?.node;
    let text = crate::scalar::text(node, report)?;
    words::name(text, node.origin, report);
    Some(text.to_owned())
}

/// Labels in the order of their names.
pub(super) fn labels(entries: &[Entry], report: &mut Report) -> Vec<(String, String)> {
    let mut labels = Vec::with_capacity(entries.len());
    for entry in entries {
        words::name(&entry.key, entry.key_origin, report);
        let Some(value) = crate::scalar::text(&entry.node, report) else {
            continue;
        };
        words::label(value, entry.node.origin, report);
        labels.push((entry.key.clone(), value.to_owned()));
    }
    if let Some(entry) = entries.get(LABELS_MAX) {
        let message = format!("more than {LABELS_MAX} labels");
        report.push(Diagnostic::new(Code::BadValue, entry.key_origin, message));
    }
    labels.sort();
    labels
}

/// Labels of one server, or of one subset.
const LABELS_MAX: usize = 32;
