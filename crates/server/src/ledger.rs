//! Ledger: the history of configurations and what waits for confirmation, shared between the control thread, which
//! writes it, and the admin API, which shows it.

use crate::history::{Cause, Diff, History, Version};
use crate::start::{Disk, Loaded, Source, StartError};
use crate::state_file::write_whole;
use aws_lc_rs::digest::{SHA256, digest};
use foregate_admin::{
    ConfigView, ConfigurationNote, DriftView, FileView, UnconfirmedView, ValueView, VersionDetail,
    VersionView,
};
use foregate_config::{ValueInForce, Written};
use foregate_snapshot::Snapshot;
use foregate_telemetry::clock::{self, Moment, now};
use foregate_telemetry::log::process;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The form of the file that is written and read.
const VERSION: u64 = 1;

/// Bytes of a file that is read: more than a history may have.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// For how long a look at the configuration file is good: a hundred times as long as it took, but no less than the one
/// and no more than the other, so that whoever asks for the status again and again has little time be spent on it.
const DRIFT_FRESH: Duration = Duration::from_secs(2);
const DRIFT_FRESH_MAX: Duration = Duration::from_secs(6);
const DRIFT_FRESH_LOOKS: u32 = 100;

/// What is remembered where no admin listener says otherwise.
const VERSIONS_MAX: usize = 20;
const BYTES_MAX: usize = 8 << 20;

/// A configuration that waits for confirmation.
#[derive(Clone, Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) id: u64,
    pub(crate) until: Moment,
    /// What comes back.
    pub(crate) before: Arc<Version>,
}

/// See above.
pub(crate) struct Ledger {
    disk: Option<Arc<dyn Disk>>,
    state: Mutex<State>,
}

struct State {
    history: History,
    unconfirmed: Option<Unconfirmed>,
    keeping: Keeping,
    /// The last look at the configuration file, and until when it is good.
    drift: Option<(Moment, DriftView)>,
}

/// Where a history outlives its process, and whether what was applied is in force again then: as the configuration file
/// says when the process starts. What else comes into force later can't lead the history elsewhere, where the next start
/// would not look for it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Keeping {
    file: Option<PathBuf>,
    keeps_applied: bool,
}

impl Keeping {
    fn of(snapshot: &Snapshot) -> Keeping {
        let plan = snapshot.admin.as_ref().map(|admin| &admin.history);
        Keeping {
            file: plan.and_then(|plan| plan.file.clone()),
            keeps_applied: plan.is_some_and(|plan| plan.keeps_applied),
        }
    }
}

/// What is said of a change beside what it changes.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) cause: Cause,
    pub(crate) note: Option<String>,
    /// Whether it waits for confirmation, so that the one before it must stay.
    pub(crate) waits: bool,
}

/// A configuration that came into force.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) written: Arc<Written>,
    pub(crate) summary: String,
    pub(crate) changes: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Ledger {
    fn new(history: History, disk: Option<Arc<dyn Disk>>, keeping: Keeping) -> Ledger {
        Ledger {
            disk,
            state: Mutex::new(State {
                history,
                unconfirmed: None,
                keeping,
                drift: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Changed by whole values only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for confirmation.
    pub(crate) fn unconfirmed(&self) -> Option<Unconfirmed> {
        self.state().unconfirmed.clone()
    }

    /// Until when it waits.
    pub(crate) fn unconfirmed_until(&self) -> Option<Moment> {
        self.state().unconfirmed.as_ref().map(|one| one.until)
    }

    pub(crate) fn last(&self) -> Option<Arc<Version>> {
        self.state().history.last().cloned()
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<Version>> {
        self.state().history.get(id).cloned()
    }

    pub(crate) fn previous(&self) -> Option<Arc<Version>> {
        self.state().history.previous().cloned()
    }

    /// The whole history, for a successor.
    pub(crate) fn to_json(&self) -> Value {
        self.state().history.to_json(None)
    }

    /// Goes by what a new configuration says of histories; what is odd about that.
    pub(crate) fn follow(&self, snapshot: &Snapshot) -> Option<String> {
        let plan = snapshot.admin.as_ref().map(|admin| &admin.history);
        let limits = plan.map_or((VERSIONS_MAX, BYTES_MAX), |plan| {
            (plan.versions_max, plan.bytes_max)
        });
        let mut state = self.state();
        state.history.set_limits(limits.0, limits.1);
        (Keeping::of(snapshot) != state.keeping).then(|| {
            let goes_on = match &state.keeping.file {
                Some(file) => format!("goes on to be kept in {}", file.display()),
                None => "goes on to be kept nowhere".to_owned(),
            };
            format!(
                "what differs in `admin.history_file` or `admin.keep_applied` takes effect at the next start, as the \
                 configuration file says it then: until then the history {goes_on}"
            )
        })
    }

    /// Notes what came into force; its number. One that was read again and is the same is no other.
    pub(crate) fn record(&self, taken: &Taken, about: About) -> u64 {
        let mark = match about.cause.is_applied() {
            true => self.disk_mark(),
            // It is the file that was read.
            false => self.disk.as_ref().map(|_| mark(&taken.written)),
        };
        let mut state = self.state();
        state.drift = None;
        let before = state.history.last().cloned();
        if let Some(before) = &before
            && !about.cause.is_applied()
            && *before.written == *taken.written
            && before.file_mark == mark
        {
            return before.id;
        }
        if about.waits {
            state.history.hold(before.as_ref().map(|before| before.id));
        }
        let diff = before.map(|before| Diff::between(&before.written, &taken.written));
        state.history.push(Version {
            id: 0,
            unix: clock::unix_now().seconds(),
            cause: about.cause,
            note: about.note,
            from: taken.from.clone(),
            written: Arc::clone(&taken.written),
            summary: taken.summary.clone(),
            changes: taken.changes.clone(),
            diff: diff.unwrap_or_default().into(),
            file_mark: mark,
            taken_back: false,
        })
    }

    /// Finds out how what came into force last differs from what was before, and counts what that takes.
    pub(crate) fn compare(&self) {
        let Some(last) = self.last() else {
            return;
        };
        last.diff.text();
        let mut state = self.state();
        state.history.shrink();
    }

    /// Has a configuration wait for confirmation.
    pub(crate) fn wait_for(&self, unconfirmed: Unconfirmed) {
        self.state().unconfirmed = Some(unconfirmed);
    }

    /// The one that waited stays.
    pub(crate) fn confirmed(&self) {
        let mut state = self.state();
        state.unconfirmed = None;
        state.history.hold(None);
    }

    /// The one that waited is in force no more.
    pub(crate) fn taken_back(&self) {
        let mut state = self.state();
        if let Some(one) = state.unconfirmed.take() {
            state.history.taken_back(one.id);
        }
        state.history.hold(None);
    }

    /// Writes the history where it is kept, but for what waits for confirmation.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn keep(&self) -> Result<(), String> {
        let state = self.state();
        let Some(path) = state.keeping.file.clone() else {
            return Ok(());
        };
        let unconfirmed = state.unconfirmed.as_ref().map(|one| one.id);
        let mut value = state.history.to_json(unconfirmed);
        drop(state);
        value["version"] = json!(VERSION);
        write_whole(&path, &format!("{value:#}\n")).map_err(|error| {
            let shown = path.display();
            format!("the history of configurations can't be written to {shown}: {error}")
        })
    }

    /// What the configuration file is like now.
    fn disk_mark(&self) -> Option<String> {
        let disk = self.disk.as_ref()?.written().ok()?;
        Some(mark(&disk.written))
    }

    /// How the configuration file compares to what is in force.
    pub(crate) fn drift(&self) -> DriftView {
        let at = now();
        let in_force = {
            let state = self.state();
            if let Some((until, drift)) = &state.drift
                && at < *until
            {
                return drift.clone();
            }
            state.history.last().cloned()
        };
        let drift = self.look(in_force.as_deref());
        let seen = now();
        let fresh = seen.since(at).saturating_mul(DRIFT_FRESH_LOOKS);
        self.state().drift = Some((
            seen.plus(fresh.clamp(DRIFT_FRESH, DRIFT_FRESH_MAX)),
            drift.clone(),
        ));
        drift
    }

    fn look(&self, in_force: Option<&Version>) -> DriftView {
        let view = |state: &str, detail: String, diff: String| DriftView {
            state: state.to_owned(),
            detail,
            diff,
        };
        let (Some(disk), Some(in_force)) = (&self.disk, in_force) else {
            let detail = "this gateway has no configuration file";
            return view("no-file", detail.to_owned(), String::new());
        };
        match disk.written() {
            Err(problem) => view("unreadable", problem, String::new()),
            Ok(file) if file.written.says_the_same_as(&in_force.written) => {
                let detail = "the configuration file says what is in force";
                view("none", detail.to_owned(), String::new())
            }
            Ok(file) if file.is_faulty => {
                let why = "the file was changed and can't be used: `foregate check` says why, and what it says is shown \
                           to nobody else";
                view("differs", why.to_owned(), String::new())
            }
            Ok(file) => {
                let why = match came_over_api(in_force) {
                    true => "what is in force came over the admin API, and the file says otherwise",
                    false => "the file was changed and not reloaded",
                };
                let diff = file.written.diff(&in_force.written);
                view("differs", why.to_owned(), diff)
            }
        }
    }
}

/// What the admin API shows.
impl Ledger {
    pub(crate) fn versions(&self) -> Vec<VersionView> {
        let state = self.state();
        (state.history.iter())
            .map(|version| state.view(version))
            .collect()
    }

    pub(crate) fn version(&self, id: u64) -> Option<VersionDetail> {
        let (version, view) = {
            let state = self.state();
            let version = state.history.get(id)?;
            (Arc::clone(version), state.view(version))
        };
        Some(detail(&version, view))
    }

    /// Every value of the one in force.
    pub(crate) fn values(&self) -> Vec<ValueView> {
        let Some(version) = self.last() else {
            return Vec::new();
        };
        let written = match came_over_api(&version) {
            true => "api",
            false => "file",
        };
        let view = |value: ValueInForce| {
            let from = value.place.as_ref().map_or("default", |_| written);
            let (file, line, column) = match value.place {
                Some(place) => (Some(place.file), Some(place.line), Some(place.column)),
                None => (None, None, None),
            };
            ValueView {
                path: value.path,
                value: value.value,
                from: from.to_owned(),
                file,
                line: line.map(|line| line as u64),
                column: column.map(|column| column as u64),
            }
        };
        version.written.values().into_iter().map(view).collect()
    }

    pub(crate) fn config(&self) -> ConfigView {
        let found = self.last();
        let (version, unconfirmed) = {
            let state = self.state();
            let version = found.map(|version| (state.view(&version), version));
            (version, state.unconfirmed.clone())
        };
        let at = now();
        // There is one from the start on.
        let (view, version) = version.expect("a configuration is in force");
        ConfigView {
            version: detail(&version, view),
            drift: self.drift(),
            unconfirmed_apply: unconfirmed.map(|one| UnconfirmedView {
                id: one.id,
                returns_in_ms: millis(one.until.since(at)),
                returns_to: one.before.id,
            }),
        }
    }

    /// The part of the status that tells of the configuration.
    pub(crate) fn status(&self, from: String, loaded_unix: u64) -> ConfigurationNote {
        let drift = self.drift();
        let state = self.state();
        let view = state.history.last().map(|version| state.view(version));
        let returns_in_ms = (state.unconfirmed.as_ref()).map(|one| millis(one.until.since(now())));
        ConfigurationNote {
            id: view.as_ref().map(|view| view.id),
            cause: view.as_ref().map(|view| view.cause.clone()),
            sha256: view.map(|view| view.sha256),
            drift: drift.state,
            unconfirmed_returns_in_ms: returns_in_ms,
            from,
            loaded_unix,
        }
    }
}

impl State {
    fn view(&self, version: &Version) -> VersionView {
        let is = |id: Option<u64>| id == Some(version.id);
        let first = version.written.files.first();
        VersionView {
            id: version.id,
            unix: version.unix,
            cause: version.cause.name().to_owned(),
            note: version.note.clone(),
            from: version.from.clone(),
            sha256: first.map_or_else(String::new, |file| sha256(file.text.as_bytes())),
            bytes: version.written.bytes() as u64,
            summary: version.summary.clone(),
            in_force: is(self.history.last().map(|last| last.id)),
            unconfirmed: is(self.unconfirmed.as_ref().map(|one| one.id)),
            taken_back: version.taken_back,
        }
    }
}

fn detail(version: &Version, view: VersionView) -> VersionDetail {
    let shown = version.written.without_secrets();
    let files = shown.files.into_iter().zip(&version.written.files);
    VersionDetail {
        version: view,
        changes: version.changes.clone(),
        diff: version.diff.text().to_owned(),
        files: files
            .map(|(shown, file)| FileView {
                name: shown.name,
                sha256: sha256(file.text.as_bytes()),
                text: shown.text,
            })
            .collect(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// What all texts of a configuration are recognised by.
fn mark(written: &Written) -> String {
    let each: Vec<String> = (written.files.iter())
        .map(|file| sha256(file.text.as_bytes()))
        .collect();
    sha256(each.join(" ").as_bytes())
}

/// Whether a version's texts came over the admin API, and are not what the configuration file said by itself: what an
/// older one gives way to may be the file's own.
fn came_over_api(version: &Version) -> bool {
    version.cause.is_applied() && version.file_mark.as_ref() != Some(&mark(&version.written))
}

/// The first configuration of this process, and what came before it. It is [kept](Ledger::keep) once it serves: one that
/// does not come so far is no part of a history.
///
/// # Errors
/// There is none that can be used.
pub(crate) fn begin(
    source: &mut dyn Source,
    inherited: Option<&Value>,
) -> Result<(Loaded, Ledger), StartError> {
    let disk = source.disk();
    let inherited = inherited.and_then(History::from_json);
    let config = |error: crate::LoadError| StartError::Config(error.text);
    if let Some(history) = &inherited
        && let Some(last) = history.last()
        && last.cause.is_applied()
    {
        // A successor goes on with what is in force.
        let loaded = source.again(&last.written, None).map_err(config)?;
        // The next start looks where the file says; one that says nothing any more lets nobody start.
        let file = source.load(None).ok();
        let keeping = Keeping::of(
            file.as_ref()
                .map_or(&loaded.snapshot, |file| &file.snapshot),
        );
        return Ok(first(loaded, Ledger::new(history.clone(), disk, keeping)));
    }
    let loaded = source.load(None).map_err(config)?;
    let keeping = Keeping::of(&loaded.snapshot);
    let kept = keeping.file.as_deref().and_then(read);
    let history = inherited.or(kept);
    let history = history.unwrap_or_else(|| History::new(VERSIONS_MAX, BYTES_MAX));
    let applied = (keeping.keeps_applied)
        .then(|| applied(source, &history, &loaded))
        .flatten();
    let ledger = Ledger::new(history, disk, keeping);
    if let Some(applied) = applied {
        return Ok(first(applied, ledger));
    }
    let (loaded, ledger) = first(loaded, ledger);
    let taken = Taken {
        from: loaded.origin.clone(),
        written: Arc::new(loaded.written.clone()),
        summary: "the first one of this process".to_owned(),
        changes: Vec::new(),
        warnings: Vec::new(),
    };
    let about = About {
        cause: Cause::Start,
        note: None,
        waits: false,
    };
    ledger.record(&taken, about);
    Ok((loaded, ledger))
}

/// Has the ledger go by the first configuration.
fn first(mut loaded: Loaded, ledger: Ledger) -> (Loaded, Ledger) {
    loaded.warnings.extend(ledger.follow(&loaded.snapshot));
    (loaded, ledger)
}

/// What was in force when the process before this one ended, if it came over the admin API and the file has not been
/// changed since.
fn applied(source: &mut dyn Source, history: &History, file: &Loaded) -> Option<Loaded> {
    let last = history.last().filter(|last| last.cause.is_applied())?;
    if last.file_mark.as_ref() != Some(&mark(&file.written)) {
        let values: &[process::Value<'_>] = &[("file", &file.origin), ("id", &last.id)];
        let text = "the configuration file was changed since another one was applied: the file is in force";
        process::warn(text, values);
        return None;
    }
    match source.again(&last.written, None) {
        Ok(loaded) => {
            let values: &[process::Value<'_>] = &[("id", &last.id), ("from", &last.from)];
            process::info(
                "the configuration that was applied is in force again",
                values,
            );
            Some(loaded)
        }
        Err(error) => {
            let values: &[process::Value<'_>] = &[("id", &last.id)];
            let text =
                "the configuration that was applied can't be used any more: the file is in force";
            process::warn(text, values);
            process::append(&error.text);
            None
        }
    }
}

/// The history that a file keeps. One that can't be read is told and begun anew: what is in force is more than what was.
fn read(path: &Path) -> Option<History> {
    let text = match crate::state_file::read_whole(path, FILE_BYTES_MAX) {
        Ok(text) => text?,
        Err(error) => {
            let values: &[process::Value<'_>] = &[("file", &path.display()), ("error", &error)];
            process::warn("the history of configurations can't be read", values);
            return None;
        }
    };
    let value: Option<Value> = serde_json::from_str(&text).ok();
    let value = value.filter(|value| value["version"] == VERSION);
    let history = value.as_ref().and_then(History::from_json);
    if history.is_none() {
        let values: &[process::Value<'_>] = &[("file", &path.display())];
        process::warn(
            "the history of configurations is no such file, and begun anew",
            values,
        );
    }
    history
}
