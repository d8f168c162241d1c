//! **Purpose:** turns configuration text (TOML or JSON) into checked `Settings`, or into diagnostics that point at the text.
//! **Never knows:** the rooms that settings are for, files, sockets, clocks; what it reads comes through [`Files`].
//! **Next on the road:** `snapshot`, which compiles [`Settings`].
//!
//! The way of a text: [`load`] reads files into one spanned tree (imports followed, `${...}` replaced); the readers of the
//! sections turn the tree into [`Settings`]; the checks look at the whole. Each stage reports all it finds. Every key is
//! declared once, in its section: from there come its default, the JSON Schema ([`schema()`]) and the reference
//! ([`reference()`]).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod check;
mod diagnostic;
mod fields;
mod files;
mod hosts;
mod import;
mod keys;
mod line_diff;
mod load;
mod names;
mod origin;
mod paths;
mod reference;
mod regex_size;
mod render;
mod scalar;
mod schema;
mod secrets;
mod sections;
pub mod settings;
mod source;
mod substitute;
mod tree;
mod values;
mod words;
mod written;

#[cfg(test)]
mod tests;

pub use diagnostic::{Code, Diagnostic, Severity};
pub use files::{Files, MemoryFiles};
pub use origin::Origin;
pub use reference::reference;
pub use render::{render, render_in_full, to_json};
pub use schema::schema;
pub use secrets::is_credential;
pub use settings::Settings;
pub use source::{Place, Source, Sources};
pub use tree::Format;
pub use values::{ValueInForce, WrittenPlace};
pub use words::listen_address;
pub use written::{Written, WrittenFile};

use diagnostic::{DIAGNOSTICS_MAX, Report};
use load::Loaded;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The settings; `None` if there is any error.
    pub settings: Option<Settings>,
    /// Everything that was found, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more problems there are than `diagnostics` tells; 0 but for hopeless texts.
    pub omitted: usize,
    /// The texts that diagnostics and settings point into.
    pub sources: Sources,
}

impl Outcome {
    /// True if the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.settings.is_none()
    }

    /// Adds what was found beyond the text, each at its place. What is too much is counted and not even made.
    pub fn add(&mut self, found: impl Iterator<Item = Diagnostic>) {
        let mut found = found;
        let room = DIAGNOSTICS_MAX.saturating_sub(self.diagnostics.len());
        self.diagnostics.extend(found.by_ref().take(room));
        self.omitted += found.count();
        self.sort();
    }

    fn sort(&mut self) {
        self.diagnostics
            .sort_by_key(|diagnostic| (diagnostic.origin.file, diagnostic.origin.start));
    }
}

/// Loads the configuration file at `path`, with all that it imports. JSON if its name ends in `.json`, else TOML.
pub fn load(path: &Path, files: &dyn Files) -> Outcome {
    let mut report = Report::default();
    let loaded = load::load(path, files, &mut report);
    finish(loaded, files, report)
}

/// Loads a text as if it stood in a file called `name`; what it imports or refers to comes from `files`
/// ([`MemoryFiles::default`] has nothing).
pub fn parse_str(name: &str, text: &str, format: Format, files: &dyn Files) -> Outcome {
    let mut report = Report::default();
    let loaded = load::load_text(Path::new(name), text, format, files, &mut report);
    finish(loaded, files, report)
}

fn finish(loaded: Loaded, files: &dyn Files, mut report: Report) -> Outcome {
    let Loaded {
        tree,
        sources,
        broken,
    } = loaded;
    // The same text means the same whatever its file was called: settings are compared.
    let directories: Vec<PathBuf> = sources
        .iter()
        .map(|source| Path::new(source.name()).parent().unwrap_or(Path::new("")))
        .map(|directory| files.absolute(directory))
        .collect();
    let directories: Vec<&Path> = directories.iter().map(PathBuf::as_path).collect();
    let syntax_errors = report.diagnostics.len();
    let (settings, faulty) = sections::read(&tree, &directories, &mut report);
    let is_whole = !report
        .diagnostics
        .iter()
        .any(|diagnostic| leaves_out(diagnostic.code));
    if let Some(log) = &settings.access_log {
        sections::check_log_folder(log, files, &mut report);
    }
    if broken {
        keep_certain(&mut report, syntax_errors, &sources);
    } else {
        check::check(&settings, &faulty, &mut report);
    }
    if !is_whole {
        let is_unused = |code| matches!(code, Code::UnusedUpstream | Code::UnusedListener);
        report.diagnostics.retain(|one| !is_unused(one.code));
    }
    let mut outcome = Outcome {
        settings: (!report.has_errors()).then_some(settings),
        diagnostics: report.diagnostics,
        omitted: report.omitted,
        sources,
    };
    outcome.sort();
    outcome
}

/// After errors of syntax, or with a file missing, only what is wrong for certain is told: values, not what seems to be
/// missing and may stand in the part that could not be read.
fn keep_certain(report: &mut Report, syntax_errors: usize, sources: &Sources) {
    let line = |diagnostic: &Diagnostic| {
        (
            diagnostic.origin.file,
            sources.place(diagnostic.origin).line,
        )
    };
    let broken_lines: HashSet<(u32, usize)> = report
        .diagnostics
        .iter()
        .take(syntax_errors)
        .map(line)
        .collect();
    let mut index = 0;
    report.diagnostics.retain(|diagnostic| {
        index += 1;
        index <= syntax_errors
            || !broken_lines.contains(&line(diagnostic)) && !is_about_the_whole(diagnostic.code)
    });
}

/// Whether something is written that was not read, and may use what nothing else does.
fn leaves_out(code: Code) -> bool {
    matches!(
        code,
        Code::DuplicateKey
            | Code::UnknownKey
            | Code::UnsetVariable
            | Code::UnreadableFile
            | Code::BadSubstitution
    )
}

fn is_about_the_whole(code: Code) -> bool {
    matches!(
        code,
        Code::MissingKey
            | Code::NoSites
            | Code::NoAction
            | Code::EmptySite
            | Code::EmptyUpstream
            | Code::EmptySubset
            | Code::UnknownUpstream
            | Code::UnknownListener
            | Code::UnknownCertificate
            | Code::UnusedUpstream
            | Code::UnusedListener
            | Code::ConflictingKeys
    )
}
