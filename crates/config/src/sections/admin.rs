//! `[admin]`

use super::files::{self, Directories};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, Syntax, key, secret_syntax};
use crate::names::Names;
use crate::settings::{Admin, AdminSocket, History, NamedFile, Secret};
use crate::tree::Entry;
use crate::{Origin, words};
use std::net::SocketAddr;

static TOKEN: Syntax = secret_syntax("token", "0123456789abcdef", "^[!-~]{16,1024}$");

/// Bytes of a socket's path: those that the system takes without the end and what a new one is called at first.
const SOCKET_PATH_BYTES_MAX: usize = 107 - ".new".len();

/// The most that can be kept of configurations, which is read and written whole.
const HISTORY_BYTES_MAX: u64 = 32 << 20;

pub(super) static SECTION: Section = Section {
    heading: "[admin]",
    doc: "Metrics, health and changes for operators. Keep it on an address that only operators reach; anywhere but on loopback it demands a `token` and a `certificate`.",
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
            "socket",
            Kind::Text(&files::FILE),
            Default::Absent("there is none"),
            "A socket in the file system that is listened on as well. No `token` is asked for there: who may open it, may ask.",
        ),
        key(
            "socket_access",
            Kind::Choice(&[
                (
                    "owner",
                    "the user that the gateway runs as, and root; held by the file's mode and by what the kernel tells of the peer",
                ),
                ("group", "the group of the file, too"),
            ]),
            Default::Text("owner"),
            "Who may open the socket.",
        ),
        key(
            "token",
            Kind::Text(&TOKEN),
            Default::Absent("none is asked for; then the address must be a loopback one"),
            "What everybody must show, as `Authorization: Bearer …`, but for `/healthz` and `/readyz`: 16 to 1024 visible characters. \
             Better not in the file itself: `${FILE:path}` or `${ENV:NAME}`.",
        ),
        key(
            "certificate",
            Kind::Text(&keys::NAME),
            Default::Absent("the address is served in cleartext; then it must be a loopback one"),
            "Name of the entry of `certificates`, one with a `certificate` and a `key`, by which the address is served over TLS. \
             New files of it are taken up by themselves.",
        ),
        key(
            "state_file",
            Kind::Text(&files::FILE),
            Default::Absent("changes are forgotten at a restart"),
            "The file that keeps what was changed through the API, so that it survives a restart. It is written whole at every \
             change, and made when there is none.",
        ),
        key(
            "history_max",
            Kind::Count {
                min: 1,
                max: 1000,
                off: false,
            },
            Default::Integer(20),
            "How many configurations are remembered, with the one in force: for `foregate config history` and `foregate rollback`.",
        ),
        key(
            "history_bytes_max",
            Kind::Size {
                max: HISTORY_BYTES_MAX,
                off: false,
            },
            Default::Text("8MiB"),
            "Bytes of text that they may have together; the oldest are forgotten first, the one in force never.",
        ),
        key(
            "history_file",
            Kind::Text(&files::FILE),
            Default::Absent("they are forgotten at a restart"),
            "The file that keeps them, so that they survive a restart. Secrets that are written in a configuration are in it as \
             well; only the owner may read it.",
        ),
        key(
            "keep_applied",
            Kind::Boolean,
            Default::Boolean(false),
            "Whether a configuration that came through the API (`foregate apply`, `foregate rollback`) is in force again after a \
             restart, unless the configuration file was changed since. Demands a `history_file`. Without it a start takes what \
             the file says.",
        ),
    ],
};

pub(super) fn read(
    fields: Fields<'_>,
    directories: Directories<'_>,
    names: &Names,
    report: &mut Report,
) -> Option<Admin> {
    let enabled = fields.boolean("enabled", report);
    let origin = fields
        .entry("address")
        .map_or(fields.origin, |entry| entry.node.origin);
    let address = fields.text("address", report, words::socket_address);
    let token = fields.entry("token").and_then(|entry| token(entry, report));
    let certificate = fields.entry("certificate");
    let certificate = certificate.and_then(|entry| names.named_certificate(entry, report));
    if enabled && !address.ip().to_canonical().is_loopback() {
        let has = |name: &str| fields.entry(name).is_some();
        demand(address, origin, (has("token"), has("certificate")), report);
    }
    let state_file = files::optional(&fields, "state_file", directories, report);
    let is_for_group = fields.choice("socket_access", report) == "group";
    let socket = files::optional(&fields, "socket", directories, report);
    let socket = socket.and_then(|file| socket_path(file, report));
    let history = history(&fields, directories, report);
    fields.finish();
    enabled.then_some(Admin {
        origin,
        address,
        token,
        certificate,
        state_file,
        socket: socket.map(|file| AdminSocket { file, is_for_group }),
        history,
    })
}

/// What an address demands that others can reach: that they show a token, and that nobody reads along.
fn demand(
    address: SocketAddr,
    origin: Origin,
    (has_token, has_certificate): (bool, bool),
    report: &mut Report,
) {
    let label = match (has_token, has_certificate) {
        (true, true) => return,
        (false, false) => "not a loopback address, and neither `token` nor `certificate`",
        (false, true) => "not a loopback address, and no `token`",
        (true, false) => "not a loopback address, and no `certificate`",
    };
    let (message, cause) = match has_token {
        false => (
            format!("the admin listener is open to whoever reaches {address}"),
            "whoever reaches it could take backends out and change what is served",
        ),
        true => (
            format!("the admin token is sent to {address} in cleartext"),
            "whoever reads along could take backends out and change what is served",
        ),
    };
    let help = match (has_token, has_certificate) {
        (true, _) => {
            "address = \"127.0.0.1:9180\", or for example: certificate = \"admin\", and [certificates.admin] with certificate and key"
        }
        (false, true) => {
            "address = \"127.0.0.1:9180\", or for example: token = \"${FILE:admin-token}\""
        }
        (false, false) => {
            "address = \"127.0.0.1:9180\", or for example: token = \"${FILE:admin-token}\" and certificate = \"admin\", the latter with [certificates.admin]"
        }
    };
    report.push(
        Diagnostic::new(Code::MissingKey, origin, message)
            .label(label)
            .cause(cause)
            .help(help),
    );
}

/// The path of a socket, unless it is longer than any socket's may be.
fn socket_path(file: NamedFile, report: &mut Report) -> Option<NamedFile> {
    let length = file.path.as_os_str().len();
    if length <= SOCKET_PATH_BYTES_MAX {
        return Some(file);
    }
    report.push(
        Diagnostic::new(
            Code::BadValue,
            file.origin,
            "the path of the socket is too long",
        )
        .label(format!("{length} bytes"))
        .cause(format!(
            "the system takes {SOCKET_PATH_BYTES_MAX} bytes, with four for a name on the way"
        ))
        .help("for example: socket = \"/run/foregate/admin.sock\""),
    );
    None
}

fn history(fields: &Fields<'_>, directories: Directories<'_>, report: &mut Report) -> History {
    let keeps_applied = fields.boolean("keep_applied", report);
    let file = files::optional(fields, "history_file", directories, report);
    if keeps_applied
        && fields.entry("history_file").is_none()
        && let Some(entry) = fields.entry("keep_applied")
    {
        report.push(
            Diagnostic::new(
                Code::MissingKey,
                entry.node.origin,
                "an applied configuration is kept nowhere",
            )
            .label("demands a `history_file`")
            .cause("it would be forgotten with the process")
            .help("for example: history_file = \"/var/lib/foregate/history.json\""),
        );
    }
    History {
        versions_max: fields.count("history_max", report) as usize,
        bytes_max: fields.size("history_bytes_max", report) as usize,
        file,
        keeps_applied,
    }
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
