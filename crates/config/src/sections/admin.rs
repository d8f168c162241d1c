//! `[admin]`

use super::files::{self, Directories};
use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, key};
use crate::settings::Admin;
use crate::words;

pub(super) static SECTION: Section = Section {
    heading: "[admin]",
    doc: "Metrics, health and changes for operators. It has no authentication: keep it on an address that only operators reach.",
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
        key(
            "state_file",
            Kind::Text(&files::FILE),
            Default::Absent("changes are forgotten at a restart"),
            "The file that keeps what was changed through the API, so that it survives a restart. It is written whole at every \
             change, and made when there is none.",
        ),
    ],
};

pub(super) fn read(
    fields: Fields<'_>,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<Admin> {
    let enabled = fields.boolean("enabled", report);
    let origin = fields
        .entry("address")
        .map_or(fields.origin, |entry| entry.node.origin);
    let address = fields.text("address", report, words::socket_address);
    let state_file = files::optional(&fields, "state_file", directories, report);
    fields.finish();
    enabled.then_some(Admin {
        origin,
        address,
        state_file,
    })
}
