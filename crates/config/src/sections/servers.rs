//! `servers` of an upstream.

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::{Fields, wrong_type};
use crate::keys::{self, Default, Kind, Section, key};
use crate::settings::{Server, ServerAddress};
use crate::tree::{Node, Value};
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
        Value::Text(text) => {
            let address = words::server_address(&text.text, item.origin, report)?;
            Some(Server {
                address,
                weight: 1,
                origin: item.origin,
            })
        }
        Value::Table(_) => {
            let fields = Fields::open(&SECTION, item, item.origin, report);
            let entry = fields.require("address", "\"10.0.0.1:8080\"", report);
            let weight = fields.count("weight", report);
            fields.finish();
            let node = &entry?.node;
            let address =
                words::server_address(crate::scalar::text(node, report)?, node.origin, report)?;
            Some(Server {
                address,
                weight,
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
