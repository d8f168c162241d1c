//! `[admin]`

use super::files::{self, Directories};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, Syntax, key, syntax};
use crate::settings::{Admin, Secret};
use crate::tree::Entry;
use crate::words;

static TOKEN: Syntax = syntax("token", "0123456789abcdef", "^[!-~]{16,1024}$");

pub(super) static SECTION: Section = Section {
    heading: "[admin]",
    doc: "Metrics, health and changes for operators. Keep it on an address that only operators reach; anywhere but on loopback it demands a `token`.",
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
            "token",
            Kind::Text(&TOKEN),
            Default::Absent("none is asked for; then the address must be a loopback one"),
            "What everybody must show, as `Authorization: Bearer …`, but for `/healthz` and `/readyz`: 16 to 1024 visible characters. \
             Better not in the file itself: `${FILE:path}` or `${ENV:NAME}`. What is sent to this listener is not encrypted.",
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
    let token = fields.entry("token").and_then(|entry| token(entry, report));
    if enabled
        && token.is_none()
        && fields.entry("token").is_none()
        && !address.ip().to_canonical().is_loopback()
    {
        report.push(
            Diagnostic::new(
                Code::MissingKey,
                origin,
                format!("the admin listener is open to whoever reaches {address}"),
            )
            .label("not a loopback address, and no `token`")
            .cause("whoever reaches it could take backends out and change what is served")
            .help("address = \"127.0.0.1:9180\", or for example: token = \"${FILE:admin-token}\""),
        );
    }
    let state_file = files::optional(&fields, "state_file", directories, report);
    fields.finish();
    enabled.then_some(Admin {
        origin,
        address,
        token,
        state_file,
    })
}

fn token(entry: &Entry, report: &mut Report) -> Option<Secret> {
    let text = crate::scalar::text(&entry.node, report)?;
    let is_token = (16..=1024).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !is_token {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                entry.node.origin,
                "the token is too short, too long, or has odd characters",
            )
            .label("16 to 1024 visible ASCII characters")
            .help("`openssl rand -hex 32` makes a good one"),
        );
        return None;
    }
    Some(Secret::new(text))
}
