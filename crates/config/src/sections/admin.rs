//! `[admin]`

use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, key};
use crate::settings::Admin;
use crate::words;

pub(super) static SECTION: Section = Section {
    heading: "[admin]",
    doc: "Metrics and health for operators. It has no authentication: keep it on an address that only operators reach.",
    keys: &[
        key(
            "enabled",
            Kind::Boolean,
            Default::Boolean(true),
            "Whether there is an admin listener.",
        ),
        key(
            "address",
            Kind::Text(&keys::SOCKET_ADDRESS),
            Default::Text("127.0.0.1:9180"),
            "The address it listens on.",
        ),
    ],
};

pub(super) fn read(fields: Fields<'_>, report: &mut Report) -> Option<Admin> {
    let enabled = fields.boolean("enabled", report);
    let origin = fields
        .entry("address")
        .map_or(fields.origin, |entry| entry.node.origin);
    let address = fields.text("address", report, words::socket_address);
    fields.finish();
    enabled.then_some(Admin { origin, address })
}
