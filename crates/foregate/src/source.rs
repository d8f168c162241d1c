//! Where configurations come from: a file, or the command line.

use std::path::{Path, PathBuf};

use foregate_config::Settings;
use foregate_config::{Diagnostic, Outcome, Severity};
use foregate_server::{Credentials, Loaded, Source};
use foregate_snapshot::Snapshot;

use crate::failure::Failure;
use crate::files::SystemFiles;
use crate::judge;
use crate::terminal;

/// Where a configuration is looked for when none is named, in this order.
const DEFAULT_PATHS: [&str; 2] = ["foregate.toml", "/etc/foregate/foregate.toml"];

/// The file a command works with: the one that was named, else the first default that is there.
///
/// # Errors
/// None was named and none of the defaults is there.
pub(crate) fn find(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let path = named.or_else(|| {
        let mut defaults = DEFAULT_PATHS.iter().map(PathBuf::from);
        defaults.find(|path| path.exists())
    });
    path.ok_or_else(|| {
        let [first, second] = DEFAULT_PATHS;
        Failure::Usage(format!(
            "there is neither ./{first} nor {second}; name a configuration with -c FILE"
        ))
    })
}

/// A configuration as far as it came: what was found in it, and the snapshot if nothing speaks against it.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) outcome: Outcome,
    pub(crate) snapshot: Option<Snapshot>,
    /// The files that it names for TLS.
    pub(crate) credentials: Credentials,
}

/// Loads and compiles a file, as a start (`previous` is `None`) or a reload does.
pub(crate) fn compile(path: &Path, previous: Option<&Snapshot>) -> Compiled {
    compile_outcome(foregate_config::load(path, &SystemFiles), previous)
}

/// Compiles what was loaded; what can't be compiled joins the diagnostics.
pub(crate) fn compile_outcome(mut outcome: Outcome, previous: Option<&Snapshot>) -> Compiled {
    let compiled = outcome
        .settings
        .as_ref()
        .map(|settings| compile_settings(settings, previous));
    let mut credentials = Credentials::default();
    let snapshot = match compiled {
        Some(Ok(snapshot)) => {
            credentials = Credentials::read(&snapshot);
            judge::judge(&mut outcome, &credentials);
            (!outcome.has_errors()).then_some(snapshot)
        }
        Some(Err(diagnostics)) => {
            outcome.settings = None;
            outcome.diagnostics.extend(diagnostics);
            None
        }
        None => None,
    };
    Compiled {
        outcome,
        snapshot,
        credentials,
    }
}

fn compile_settings(
    settings: &Settings,
    previous: Option<&Snapshot>,
) -> Result<Snapshot, Vec<Diagnostic>> {
    match previous {
        Some(previous) => foregate_snapshot::compile_after(settings, previous),
        None => foregate_snapshot::compile(settings),
    }
}

impl Compiled {
    /// The snapshot, or the diagnostics for people.
    pub(crate) fn into_loaded(self, origin: String, colour: bool) -> Result<Loaded, String> {
        match self.snapshot {
            Some(snapshot) => Ok(Loaded {
                snapshot,
                warnings: warnings(&self.outcome),
                credentials: self.credentials,
                origin,
            }),
            None => Err(foregate_config::render(&self.outcome, colour)),
        }
    }
}

/// Each warning as one line for a log.
fn warnings(outcome: &Outcome) -> Vec<String> {
    let warnings = outcome
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity() == Severity::Warning);
    warnings
        .map(|diagnostic| {
            let place = outcome.sources.place(diagnostic.origin);
            let name = outcome
                .sources
                .get(diagnostic.origin.file)
                .map_or("", |source| source.name());
            let mut line = format!(
                "{name}:{}:{}: {}",
                place.line, place.column, diagnostic.message
            );
            for more in [&diagnostic.cause, &diagnostic.help].into_iter().flatten() {
                line.push_str("; ");
                line.push_str(more);
            }
            line
        })
        .collect()
}

/// A configuration file, read again at every reload.
pub(crate) struct FileSource {
    path: PathBuf,
}

impl FileSource {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Source for FileSource {
    fn load(&mut self, previous: Option<&Snapshot>) -> Result<Loaded, String> {
        // At a start the text goes to a terminal, at a reload to a log or over the admin listener.
        let colour = previous.is_none() && terminal::errors_in_colour();
        compile(&self.path, previous).into_loaded(self.path.display().to_string(), colour)
    }
}

/// Settings made by a command line, the same at every reload.
pub(crate) struct FixedSource {
    settings: Settings,
}

impl FixedSource {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Source for FixedSource {
    fn load(&mut self, previous: Option<&Snapshot>) -> Result<Loaded, String> {
        let snapshot = compile_settings(&self.settings, previous).map_err(|diagnostics| {
            let messages: Vec<String> = diagnostics
                .into_iter()
                .map(|diagnostic| diagnostic.message)
                .collect();
            messages.join("\n")
        })?;
        let credentials = Credentials::read(&snapshot);
        Ok(Loaded {
            snapshot,
            credentials,
            warnings: Vec::new(),
            origin: "command line".into(),
        })
    }
}
