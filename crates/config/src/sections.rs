//! The sections of the configuration: for each, the declaration of its keys and the reader that turns what is written
//! into settings.

mod access_log;
mod acme;
mod acme_dns;
mod admin;
mod balancing;
mod bounds;
mod certificates;
mod client;
mod congestion;
mod discovery;
mod ejection;
mod files;
mod forwarding;
mod header_rules;
mod hedge;
mod http2;
mod listener_mode;
mod listeners;
mod log;
mod matching;
mod overload;
mod paths;
mod probe;
mod proxying;
mod redirect_target;
mod responses;
mod retry;
mod routes;
mod servers;
mod site_tls;
mod sites;
mod sticky;
mod targets;
mod tls;
mod upstream_tls;
mod upstreams;

pub(crate) use access_log::check_folder as check_log_folder;
pub(crate) use matching::{literal_prefix, literal_suffix};
pub(crate) use sites::{Faulty, plain_route, plain_site, proxy_to};
pub(crate) use upstreams::{absent as absent_upstream, read_one as read_upstream};

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Key, Kind, Section, key};
use crate::names::Names;
use crate::settings::{Settings, Workers};
use crate::tree::{Node, Value};
use std::num::NonZeroU16;
use std::path::Path;

/// The top of the configuration.
pub(crate) static ROOT: Section = Section {
    heading: "",
    doc: "Keys at the top of the file, before any table.",
    keys: &[
        key(
            "import",
            Kind::List(&Kind::Text(&keys::FILE_PATTERN)),
            Default::Empty,
            "Further files, relative to this one; `*` and `?` stand for characters of a file or directory name. \
             Their tables are united with those here; a key that is written twice is an error. Imported files may import.",
        ),
        WORKERS,
        key(
            "drain_timeout",
            Kind::Duration {
                min_ms: 0,
                off: false,
            },
            Default::Text("30s"),
            "How long running requests may finish after TERM or QUIT, or after a reload removed their listener.",
        ),
        key(
            "upgrade_drain_timeout",
            Kind::Duration {
                min_ms: 0,
                off: false,
            },
            Default::Text("1h"),
            "How long the old process finishes requests, downloads and WebSockets after a new one has taken over (USR2, \
             `foregate upgrade`).",
        ),
        key(
            "state_dir",
            Kind::Text(&files::FOLDER),
            Default::Text("/var/lib/foregate"),
            "Where certificates, keys and accounts are kept that the gateway makes itself. It is made when it is needed, for \
             the owner alone; several processes may share it. A change takes effect at the next start.",
        ),
        key(
            "zone",
            Kind::Text(&keys::NAME),
            Default::Absent("every zone is alike"),
            "The zone that this gateway stands in, such as a data centre: servers of the same `zone` are preferred.",
        ),
        key(
            "listeners",
            Kind::Map(&keys::NAME, &Kind::Table(&listeners::SECTION)),
            LISTENERS_ABSENT,
            "Where clients connect.",
        ),
        key(
            "tls",
            Kind::Table(&tls::SECTION),
            Default::Empty,
            "How TLS is spoken with clients.",
        ),
        key(
            "certificates",
            Kind::Map(&keys::NAME, &Kind::Table(&certificates::SECTION)),
            Default::Empty,
            "Certificates from files.",
        ),
        key(
            "acme",
            Kind::Table(&acme::SECTION),
            Default::Empty,
            "Certificates that are issued and renewed by themselves.",
        ),
        key(
            "admin",
            Kind::Table(&admin::SECTION),
            Default::Empty,
            "Metrics, health and changes for operators.",
        ),
        key(
            "access_log",
            Kind::Table(&access_log::SECTION),
            Default::Empty,
            "One line per request.",
        ),
        key(
            "log",
            Kind::Table(&log::SECTION),
            Default::Empty,
            "The process' own log.",
        ),
        key(
            "client",
            Kind::Table(&client::SECTION),
            Default::Empty,
            "What clients may do.",
        ),
        key(
            "overload",
            Kind::Table(&overload::SECTION),
            Default::Empty,
            "What is given up when there is too much to do.",
        ),
        key(
            "paths",
            Kind::Table(&paths::SECTION),
            Default::Empty,
            "How odd paths are treated.",
        ),
        key(
            "forwarding",
            Kind::Table(&forwarding::SECTION),
            Default::Empty,
            "What is told about the way a message took.",
        ),
        key(
            "sites",
            Kind::Map(&keys::HOST_PATTERN, &Kind::Table(&sites::SECTION)),
            Default::Required,
            "What is served for which hosts.",
        ),
        key(
            "upstreams",
            Kind::Map(&keys::NAME, &Kind::Table(&upstreams::SECTION)),
            Default::Empty,
            "The backends.",
        ),
    ],
};

const LISTENERS_ABSENT: Default =
    Default::Absent("`public` on port 80, and `secure` with TLS on port 443");

const WORKERS: Key = key(
    "workers",
    Kind::Either(&[
        Kind::Choice(&[("auto", "")]),
        Kind::Integer { min: 1, max: 256 },
    ]),
    Default::Text("auto"),
    "Threads that serve requests: `\"auto\"` for one per core that the process may use, or a number.",
);

/// Reads the whole tree. `directories` tells where relative paths start, by index of the file that wrote them.
pub(crate) fn read(tree: &Node, directories: &[&Path], report: &mut Report) -> (Settings, Faulty) {
    let fields = Fields::open(&ROOT, tree, tree.origin, report);
    // Imports were followed when the tree was loaded.
    fields.entry("import");
    let workers = workers(&fields, report);
    let drain_timeout = fields.duration("drain_timeout", report);
    let upgrade_drain_timeout = fields.duration("upgrade_drain_timeout", report);
    let state_dir = fields.text("state_dir", report, |text, origin, report| {
        files::named(text, origin, directories, report)
    });
    let zone = servers::zone(fields.entry("zone"), report);
    let client = client::read(fields.table("client", report), report);
    let upstreams = upstreams::read(fields.entries("upstreams", report), directories, report);
    let certificates = fields.entries("certificates", report);
    let mut names = Names::new(&upstreams, certificates);
    let listeners = listeners::read(fields.entries("listeners", report), &mut names, report);
    names.add_listeners(&listeners);
    let (sites, faulty) = sites::read(
        fields.entries("sites", report),
        &upstreams,
        &client,
        directories,
        &mut names,
        report,
    );
    names.report_unused(&listeners, &upstreams, &sites, report);
    let mut settings = Settings {
        workers,
        drain_timeout,
        upgrade_drain_timeout,
        state_dir: state_dir.path,
        zone,
        tls: tls::read(fields.table("tls", report), directories, &names, report),
        certificates: certificates::read(certificates, directories, report),
        acme: acme::read(fields.table("acme", report), directories, report),
        admin: admin::read(fields.table("admin", report), directories, &names, report),
        access_log: access_log::read(fields.table("access_log", report), directories, report),
        log: log::read(fields.table("log", report), report),
        overload: overload::read(fields.table("overload", report), report),
        paths: paths::read(fields.table("paths", report), report),
        forwarding: forwarding::read(fields.table("forwarding", report), report),
        client,
        listeners,
        sites,
        upstreams,
    };
    report_no_sites(&fields, &settings, report);
    fields.finish();
    listeners::drop_useless(&mut settings);
    (settings, faulty)
}

/// Reports that there is no site, unless what was written for them was told as wrong.
fn report_no_sites(fields: &Fields<'_>, settings: &Settings, report: &mut Report) {
    let written = fields.entry("sites").map(|entry| &entry.node.value);
    let is_empty = match written {
        None => !fields.has_unknown,
        Some(Value::Table(_)) => settings.sites.is_empty(),
        Some(_) => false,
    };
    if is_empty {
        report.push(
            Diagnostic::new(Code::NoSites, crate::Origin::NOWHERE, "there is no site")
                .cause("every request would be answered with 404")
                .help("for example: [sites.\"example.com\"] with upstream = \"app\""),
        );
    }
}

fn workers(fields: &Fields<'_>, report: &mut Report) -> Workers {
    use crate::tree::Value;
    let Some(entry) = fields.entry("workers") else {
        return Workers::Auto;
    };
    match &entry.node.value {
        Value::Text(text) if text.text == "auto" => Workers::Auto,
        Value::Text(text) if !text.substituted && !text.is_missing => {
            report.push(
                crate::scalar::unknown_word(&text.text, entry.node.origin, &["auto"])
                    .label("\"auto\", or a number from 1 to 256"),
            );
            Workers::Auto
        }
        _ => crate::scalar::integer(&entry.node, 1, 256, false, report)
            .and_then(|count| NonZeroU16::new(u16::try_from(count).ok()?))
            .map_or(Workers::Auto, Workers::Count),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::{Format, MemoryFiles, Outcome, parse_str};

    /// A configuration whose one upstream has these lines too.
    pub(crate) fn load_upstream(lines: &str) -> Outcome {
        let text = format!(
            "[sites.'*']\nupstream = 'app'\n[upstreams.app]\nservers = ['10.0.0.1:80']\n{lines}"
        );
        parse_str("x.toml", &text, Format::Toml, &MemoryFiles::default())
    }
}
