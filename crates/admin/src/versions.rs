//! Configurations that were and are in force, as they are shown and asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::RefusalKind;

/// A configuration that is to be put in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Apply {
    /// Its text.
    pub text: String,
    /// Whether the text is JSON, not TOML.
    pub is_json: bool,
    /// As which file it is read: relative paths in it begin beside it, and diagnostics name it.
    pub name: Option<String>,
    /// What the one who applies it says of it.
    pub note: Option<String>,
    /// After which time the old one comes back unless this one was confirmed.
    pub confirm: Option<Duration>,
}

/// A configuration was put in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Applied {
    /// Its number in the history.
    pub id: u64,
    /// Where it came from.
    pub from: String,
    /// What is different now, in a line.
    pub summary: String,
    /// What is different now, a line for each thing.
    pub changes: Vec<String>,
    /// What is odd about it.
    pub warnings: Vec<String>,
    /// Within which time it must be confirmed; null when it need not be.
    pub confirm_within_ms: Option<u64>,
}

/// Something that is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DiagnosticView {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, in Unicode scalar values.
    pub column: u64,
    /// The line in which it ends.
    pub end_line: u64,
    /// The column before which it ends.
    pub end_column: u64,
    /// `error` or `warning`.
    pub severity: String,
    /// The stable name of what is wrong.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What stands beside the place.
    pub label: String,
    /// Why it is wrong.
    pub cause: Option<String>,
    /// What can be done.
    pub help: Option<String>,
    /// Other places that belong to it.
    pub related: Vec<PlaceView>,
}

/// A place in a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlaceView {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// The line in which it ends.
    pub end_line: u64,
    /// The column before which it ends.
    pub end_column: u64,
    /// What stands beside the place.
    pub label: String,
}

/// A configuration was not put in force, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigRefusal {
    /// What kind of reason it is.
    pub kind: RefusalKind,
    /// Its stable name.
    pub error: &'static str,
    /// The reason, for people; may have several lines.
    pub detail: String,
    /// What is wrong with the text, where that is the reason.
    pub diagnostics: Vec<DiagnosticView>,
}

impl ConfigRefusal {
    /// Nothing was changed.
    pub fn new(kind: RefusalKind, error: &'static str, detail: impl Into<String>) -> Self {
        ConfigRefusal {
            kind,
            error,
            detail: detail.into(),
            diagnostics: Vec::new(),
        }
    }
}

/// A configuration of the history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct VersionView {
    /// Its number.
    pub id: u64,
    /// Since when it was in force, in seconds since 1970.
    pub unix: u64,
    /// What put it in force: `start`, `signal`, `reload`, `apply`, `rollback` or `expiry`.
    pub cause: String,
    /// What was said of it.
    pub note: Option<String>,
    /// The file, or another name for where it came from.
    pub from: String,
    /// Of its file, without what that imports.
    pub sha256: String,
    /// Bytes of all its texts.
    pub bytes: u64,
    /// What it changed, in a line.
    pub summary: String,
    /// Whether it is in force.
    pub in_force: bool,
    /// Whether it waits for confirmation.
    pub unconfirmed: bool,
    /// Whether it was taken back, since nobody confirmed it in time: `POST /config/rollback` passes it over unless it is named.
    pub taken_back: bool,
}

/// A configuration of the history, whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct VersionDetail {
    /// What is listed of it.
    #[serde(flatten)]
    pub version: VersionView,
    /// What it changed, a line for each thing.
    pub changes: Vec<String>,
    /// How its text differs from the one before it, line by line, without secrets.
    pub diff: String,
    /// Its texts: the configuration file, then what it imports. Without secrets.
    pub files: Vec<FileView>,
}

/// A text of a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct FileView {
    /// Its path.
    pub name: String,
    /// Of the whole text, with its secrets.
    pub sha256: String,
    /// The text without its secrets.
    pub text: String,
}

/// The configuration in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ConfigView {
    /// What it is.
    #[serde(flatten)]
    pub version: VersionDetail,
    /// How the configuration file on disk compares to it.
    pub drift: DriftView,
    /// What it waits for, if it does.
    pub unconfirmed_apply: Option<UnconfirmedView>,
}

/// How what is in force and the configuration file compare.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct DriftView {
    /// `none` when both are the same, `differs`, `unreadable`, or `no-file` for a gateway without a configuration file.
    pub state: String,
    /// In words.
    pub detail: String,
    /// What would change if the file were loaded, line by line, without secrets.
    pub diff: String,
}

/// A configuration that waits for confirmation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct UnconfirmedView {
    /// Its number.
    pub id: u64,
    /// When the old one comes back.
    pub returns_in_ms: u64,
    /// The old one's number.
    pub returns_to: u64,
}

/// What is asked of a rollback.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The number of the configuration; without it the one before the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
