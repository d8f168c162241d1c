//! Where configurations come from: a file, or the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foregate_config::{Code, Diagnostic, Files, Format, Outcome, Settings, Severity, Written};
use foregate_server::{Before, Credentials, Disk, LoadError, Loaded, NewText, OnDisk, Source};
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

/// The same for a command that asks a gateway, which may be named instead.
///
/// # Errors
/// None was named and none of the defaults is there.
pub(crate) fn find_or_admin(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    find(named).map_err(|failure| match failure {
        Failure::Usage(text) => Failure::Usage(format!(
            "{text}, or a gateway's admin listener with --admin"
        )),
        other => other,
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
pub(crate) fn compile(path: &Path, previous: Option<Before<'_>>) -> Compiled {
    compile_outcome(foregate_config::load(path, &SystemFiles), previous)
}

/// Compiles what was loaded; what can't be compiled joins the diagnostics.
pub(crate) fn compile_outcome(mut outcome: Outcome, previous: Option<Before<'_>>) -> Compiled {
    let compiled = outcome
        .settings
        .as_ref()
        .map(|settings| compile_settings(settings, previous));
    let mut credentials = Credentials::default();
    let snapshot = match compiled {
        Some(Ok(snapshot)) => {
            credentials = Credentials::read(&snapshot, previous);
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
    previous: Option<Before<'_>>,
) -> Result<Snapshot, Vec<Diagnostic>> {
    match previous {
        Some(previous) => foregate_snapshot::compile_after(settings, previous.snapshot),
        None => foregate_snapshot::compile(settings),
    }
}

impl Compiled {
    /// The snapshot, or the diagnostics for people and for programs.
    pub(crate) fn into_loaded(self, origin: String, colour: bool) -> Result<Loaded, LoadError> {
        match self.snapshot {
            Some(snapshot) => Ok(Loaded {
                snapshot,
                warnings: warnings(&self.outcome),
                credentials: self.credentials,
                origin,
                written: Written::of(&self.outcome.sources),
            }),
            None => Err(LoadError {
                text: foregate_config::render(&self.outcome, colour),
                diagnostics: serde_json::from_str(&foregate_config::to_json(&self.outcome))
                    .unwrap_or_default(),
            }),
        }
    }
}

/// Compiles a text that came over the admin API, as if it stood in `directory`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_new(
    new: &NewText<'_>,
    directory: &Path,
    files: &dyn Files,
    previous: Before<'_>,
) -> Result<Loaded, LoadError> {
    let given = Path::new(new.name.unwrap_or("applied"));
    let mut path = directory.join(given);
    // What is read again later is told apart by its name.
    if new.is_json && Format::of_name(&path.to_string_lossy()) == Format::Toml {
        path.as_mut_os_string().push(".json");
    }
    let name = path.display().to_string();
    let outcome = foregate_config::parse_str(&name, new.text, Format::of_name(&name), files);
    let origin = match new.name {
        Some(_) => name,
        None => "the admin API".to_owned(),
    };
    compile_outcome(outcome, Some(previous)).into_loaded(origin, false)
}

/// Compiles what was written then.
///
/// # Errors
/// What is wrong with it by now.
pub(crate) fn read_again(
    then: &Written,
    files: &dyn Files,
    previous: Option<Before<'_>>,
) -> Result<Loaded, LoadError> {
    let origin = then.files.first().map_or("", |file| &file.name).to_owned();
    compile_outcome(then.load(files), previous).into_loaded(origin, false)
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
                // A log escapes quotation marks; a text in these is the same to TOML.
                line.push_str(&more.replace('"', "'"));
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
    fn load(&mut self, previous: Option<Before<'_>>) -> Result<Loaded, LoadError> {
        // At a start the text goes to a terminal, at a reload to a log or over the admin listener.
        let colour = previous.is_none() && terminal::errors_in_colour();
        compile(&self.path, previous).into_loaded(self.path.display().to_string(), colour)
    }

    fn read(&mut self, text: &NewText<'_>, previous: Before<'_>) -> Result<Loaded, LoadError> {
        let directory = self.path.parent().unwrap_or(Path::new(""));
        read_new(text, directory, &SystemFiles, previous)
    }

    fn again(&mut self, then: &Written, previous: Option<Before<'_>>) -> Result<Loaded, LoadError> {
        read_again(then, &SystemFiles, previous)
    }

    fn disk(&self) -> Option<Arc<dyn Disk>> {
        Some(Arc::new(FileOnDisk(self.path.clone())))
    }
}

/// The configuration file, to be looked at.
struct FileOnDisk(PathBuf);

impl Disk for FileOnDisk {
    fn written(&self) -> Result<OnDisk, String> {
        let outcome = foregate_config::load(&self.0, &SystemFiles);
        let unreadable = |one: &&Diagnostic| one.code == Code::UnreadableFile;
        match outcome.diagnostics.iter().find(unreadable) {
            Some(diagnostic) => Err(diagnostic.message.clone()),
            None => Ok(OnDisk {
                written: Written::of(&outcome.sources),
                is_faulty: outcome.has_errors(),
            }),
        }
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
    fn load(&mut self, previous: Option<Before<'_>>) -> Result<Loaded, LoadError> {
        let snapshot = compile_settings(&self.settings, previous).map_err(|diagnostics| {
            let messages: Vec<String> = diagnostics
                .into_iter()
                .map(|diagnostic| diagnostic.message)
                .collect();
            messages.join("\n")
        })?;
        let credentials = Credentials::read(&snapshot, previous);
        Ok(Loaded {
            snapshot,
            credentials,
            warnings: Vec::new(),
            origin: "command line".into(),
            written: Written::default(),
        })
    }

    fn read(&mut self, text: &NewText<'_>, previous: Before<'_>) -> Result<Loaded, LoadError> {
        read_new(text, Path::new(""), &SystemFiles, previous)
    }

    fn again(&mut self, then: &Written, previous: Option<Before<'_>>) -> Result<Loaded, LoadError> {
        match then.files.is_empty() {
            true => self.load(previous),
            false => read_again(then, &SystemFiles, previous),
        }
    }

    fn disk(&self) -> Option<Arc<dyn Disk>> {
        None
    }
}
