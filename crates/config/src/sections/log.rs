//! `[log]`

use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::keys::{Default, Kind, Section, key};
use crate::settings::{Log, LogLevel};

pub(super) static SECTION: Section = Section {
    heading: "[log]",
    doc: "The process' own log, on standard error.",
    keys: &[key(
        "level",
        Kind::Choice(&[
            ("error", "what failed and must be looked at"),
            ("warn", "what is degraded, too"),
            ("info", "starts, reloads, ejections, too"),
            ("debug", "everything that helps to find a fault"),
        ]),
        Default::Text("info"),
        "How much is written.",
    )],
};

pub(super) fn read(fields: Fields<'_>, report: &mut Report) -> Log {
    let level = match fields.choice("level", report) {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        _ => LogLevel::Info,
    };
    fields.finish();
    Log { level }
}
