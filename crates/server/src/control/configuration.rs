//! Configurations that come into force: read again, applied, confirmed, and taken back.

use super::{Command, Control, Controller, LAGGING, LOG_TIMEOUT, UPGRADING, level, spawn};
use crate::fleet::{self, Addresses, Changed, Handover};
use crate::history::{Cause, Version};
use crate::inherit::Inherited;
use crate::ledger::{About, Taken, Unconfirmed};
use crate::notify;
use crate::secure::Unprepared;
use crate::sockets::{self, Listening};
use crate::start::{Before, LoadError, Loaded, NewText, Source, open_log, share_out};
use crate::worker::{Opened, Order, Update};
use foregate_admin::{Applied, Apply, ConfigRefusal, RefusalKind, Rollback};
use foregate_snapshot::{Snapshot, diff};
use foregate_telemetry::clock::{self, Moment, now};
use foregate_telemetry::log::{AccessLog, LogWriter, process};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

/// After which time an old configuration is tried again that could not come back.
const RETURN_PAUSE: Duration = Duration::from_secs(5);

/// Lines that tell a change.
const CHANGES_MAX: usize = 200;

/// What is to become of the configuration.
#[derive(Debug)]
pub(crate) enum Configure {
    /// Its source is read again.
    Reload(Cause),
    /// Another one comes into force.
    Apply(Apply),
    /// The one in force stays.
    Confirm,
    /// An older one comes into force.
    Rollback(Rollback),
}

/// What came of it.
pub(crate) type Outcome = Result<Applied, ConfigRefusal>;

impl Controller {
    /// Has control change the configuration, and waits for what comes of it.
    pub(crate) fn configure(&self, what: Configure) -> Outcome {
        let (answer, outcome) = sync_channel(1);
        let gone = || {
            let detail = "the server is ending";
            ConfigRefusal::new(RefusalKind::Conflict, "ending", detail)
        };
        self.commands
            .send(Command::Configure(what, Some(answer)))
            .map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?
    }

    /// Loads the configuration anew and puts it in force; the one in force stays if the new one is not good.
    ///
    /// # Errors
    /// What is wrong with the new one.
    pub fn reload(&self) -> Result<String, String> {
        match self.configure(Configure::Reload(Cause::Reload)) {
            Ok(applied) => Ok(applied.from),
            Err(refusal) => Err(refusal.detail),
        }
    }
}

impl Control {
    pub(super) fn configure(&mut self, what: Configure, answer: Option<SyncSender<Outcome>>) {
        if self.upgrading && matches!(what, Configure::Reload(Cause::Signal)) {
            // Nobody waits for an answer who could be told to come again.
            process::info("the reload waits until the upgrade is over", &[]);
            self.reload_waits = true;
            return;
        }
        notify::reloading();
        let refused = match &what {
            Configure::Confirm => "confirmation refused, the configuration in force stays",
            Configure::Rollback(_) => "rollback refused, the configuration in force stays",
            _ => "reload refused, the configuration in force stays",
        };
        let counts = !matches!(what, Configure::Confirm);
        let outcome = match what {
            Configure::Reload(cause) => self.reload(cause),
            Configure::Apply(apply) => self.apply(&apply),
            Configure::Confirm => self.confirm(),
            Configure::Rollback(rollback) => self.roll_back(rollback),
        };
        notify::ready();
        if let Err(refusal) = &outcome {
            if counts {
                self.inner.registry.reload_failed();
            }
            log_refusal(refused, refusal);
        }
        if let Some(answer) = answer {
            // Who asked may have gone; the outcome stands in the log as well.
            let _ = answer.send(outcome);
        }
        // Nobody has to wait for this.
        self.inner.ledger.compare();
    }

    /// Does what HUP has asked for while a successor was being started that did not come up.
    pub(super) fn reload_that_waited(&mut self) {
        if std::mem::take(&mut self.reload_waits) {
            self.configure(Configure::Reload(Cause::Signal), None);
        }
    }

    /// When a configuration that was not confirmed is to be taken back.
    pub(super) fn returns_at(&self) -> Option<Moment> {
        let is_draining = self.draining_until.is_some();
        let until = self.inner.ledger.unconfirmed_until();
        until.filter(|_| !is_draining)
    }

    /// Refuses what must not happen now.
    fn must_be_settled(&self) -> Result<(), ConfigRefusal> {
        if self.draining_until.is_some() {
            let detail = "the server is draining";
            return Err(ConfigRefusal::new(
                RefusalKind::Conflict,
                "draining",
                detail,
            ));
        }
        if self.upgrading {
            let kind = RefusalKind::Conflict;
            return Err(ConfigRefusal::new(kind, "upgrading", UPGRADING));
        }
        match self.inner.ledger.unconfirmed() {
            Some(one) => {
                let seconds = one.until.since(now()).as_secs_f64().ceil();
                let detail = format!(
                    "configuration {} waits for confirmation for {seconds} s more: `foregate confirm` it, or \
                     `foregate rollback`",
                    one.id
                );
                Err(ConfigRefusal::new(
                    RefusalKind::Conflict,
                    "unconfirmed",
                    detail,
                ))
            }
            None => Ok(()),
        }
    }

    fn reload(&mut self, cause: Cause) -> Outcome {
        self.must_be_settled()?;
        let about = About {
            cause,
            note: None,
            waits: false,
        };
        let applied = self.bring(about, |source, before| source.load(Some(before)))?;
        Ok(self.kept(applied))
    }

    fn apply(&mut self, apply: &Apply) -> Outcome {
        self.must_be_settled()?;
        let before = self.inner.ledger.last();
        let confirm = apply.confirm.zip(before);
        let about = About {
            cause: Cause::Apply,
            note: apply.note.clone(),
            waits: confirm.is_some(),
        };
        let text = NewText {
            text: &apply.text,
            name: apply.name.as_deref(),
            is_json: apply.is_json,
        };
        let mut applied = self.bring(about, |source, before| source.read(&text, before))?;
        if let Some((time, before)) = confirm {
            self.inner.ledger.wait_for(Unconfirmed {
                id: applied.id,
                until: now().plus(time),
                before,
            });
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            applied.confirm_within_ms = Some(millis);
            let values: &[process::Value<'_>] = &[("id", &applied.id), ("ms", &millis)];
            process::info("the configuration waits for confirmation", values);
        }
        Ok(self.kept(applied))
    }

    fn confirm(&mut self) -> Outcome {
        let ledger = &self.inner.ledger;
        let Some(version) = ledger.unconfirmed().and_then(|one| ledger.get(one.id)) else {
            let detail = "no configuration waits for confirmation: it was confirmed, or taken back";
            let kind = RefusalKind::Conflict;
            return Err(ConfigRefusal::new(kind, "nothing-to-confirm", detail));
        };
        ledger.confirmed();
        process::info("the configuration is confirmed", &[("id", &version.id)]);
        Ok(self.kept(Applied {
            id: version.id,
            from: version.from.clone(),
            summary: version.summary.clone(),
            changes: version.changes.clone(),
            warnings: Vec::new(),
            confirm_within_ms: None,
        }))
    }

    fn roll_back(&mut self, rollback: Rollback) -> Outcome {
        let ledger = &self.inner.ledger;
        if let Some(one) = ledger.unconfirmed()
            && rollback.id.is_none_or(|id| id == one.before.id)
        {
            return self.take_back(&one, Cause::Rollback, rollback.note);
        }
        self.must_be_settled()?;
        let ledger = &self.inner.ledger;
        let found = match rollback.id {
            Some(id) => ledger.get(id).ok_or_else(|| {
                let detail =
                    format!("the history has no configuration {id}: see `foregate config history`");
                ConfigRefusal::new(RefusalKind::NotFound, "not-in-history", detail)
            }),
            None => ledger.previous().ok_or_else(|| {
                let detail = "the history has no other configuration before this one that was not taken back: \
                              `foregate config history` shows all, `foregate rollback ID` takes any";
                ConfigRefusal::new(RefusalKind::Conflict, "nothing-to-roll-back", detail)
            }),
        }?;
        let applied = self.put_back(&found, Cause::Rollback, rollback.note)?;
        Ok(self.kept(applied))
    }

    /// Has the old configuration come back when the new one was not confirmed in time.
    pub(super) fn return_if_due(&mut self, at: Moment) {
        let Some(one) = self.returns_at().filter(|until| *until <= at) else {
            return;
        };
        let Some(unconfirmed) = self.inner.ledger.unconfirmed() else {
            return;
        };
        let values: &[process::Value<'_>] = &[("id", &unconfirmed.id)];
        process::warn(
            "a configuration was not confirmed in time and is taken back",
            values,
        );
        if let Err(refusal) = self.take_back(&unconfirmed, Cause::Expiry, None) {
            self.inner.registry.reload_failed();
            let text = "the configuration before it can't come back yet, and is tried again";
            process::error(text, values);
            process::append(&refusal.detail);
            self.inner.ledger.wait_for(Unconfirmed {
                until: one.plus(RETURN_PAUSE).max(at.plus(RETURN_PAUSE)),
                ..unconfirmed
            });
        }
    }

    fn take_back(&mut self, one: &Unconfirmed, cause: Cause, note: Option<String>) -> Outcome {
        let note = note.or_else(|| Some(format!("configuration {} was not confirmed", one.id)));
        let applied = self.put_back(&one.before, cause, note)?;
        self.inner.ledger.taken_back();
        Ok(self.kept(applied))
    }

    fn put_back(&mut self, version: &Version, cause: Cause, note: Option<String>) -> Outcome {
        let about = About {
            cause,
            note: note.or_else(|| Some(format!("as configuration {}", version.id))),
            waits: false,
        };
        self.bring(about, |source, before| {
            let mut loaded = source.again(&version.written, Some(before))?;
            loaded.origin.clone_from(&version.from);
            Ok(loaded)
        })
    }

    /// Writes the history; that it can't be written is no reason to go back.
    fn kept(&self, mut applied: Applied) -> Applied {
        if let Err(problem) = self.inner.ledger.keep() {
            process::warn(&problem, &[]);
            applied.warnings.push(problem);
        }
        applied
    }

    fn bring(
        &mut self,
        about: About,
        load: impl FnOnce(&mut dyn Source, Before<'_>) -> Result<Loaded, LoadError>,
    ) -> Outcome {
        if self.is_lagging {
            let kind = RefusalKind::Conflict;
            return Err(ConfigRefusal::new(kind, "worker-hangs", LAGGING));
        }
        let began = now();
        let inner = &mut self.inner;
        let before = Before {
            snapshot: &inner.snapshot,
            known: &inner.keeper.known(),
        };
        let loaded = load(&mut *inner.source, before);
        let taken = loaded.and_then(|loaded| self.take_up(loaded));
        let mut taken = taken.map_err(refusal)?;
        if let Some(warning) = self.inner.ledger.follow(&self.inner.snapshot) {
            process::warn(&warning, &[]);
            taken.warnings.push(warning);
        }
        let cause = about.cause.name();
        let id = self.inner.ledger.record(&taken, about);
        self.inner.registry.config_loaded(clock::unix_now());
        let millis = now().since(began).as_millis();
        let values: &[process::Value<'_>] = &[
            ("from", &taken.from),
            ("cause", &cause),
            ("id", &id),
            ("ms", &millis),
        ];
        process::info("configuration reloaded", values);
        Ok(Applied {
            id,
            from: taken.from,
            summary: taken.summary,
            changes: taken.changes,
            warnings: taken.warnings,
            confirm_within_ms: None,
        })
    }

    /// Prepares everything that can fail, then changes everything.
    fn take_up(&mut self, loaded: Loaded) -> Result<Taken, LoadError> {
        let Loaded {
            snapshot,
            mut warnings,
            credentials,
            origin,
            written,
        } = loaded;
        let snapshot = Arc::new(snapshot);
        let (listening, opened) = self.open(&snapshot)?;
        let inner = &mut self.inner;
        let prepared = inner
            .keeper
            .prepare(&snapshot, &credentials, &sockets::ports(&listening))
            .map_err(Unprepared::into_text)?;
        let change = diff(&inner.snapshot, &snapshot);
        let changes = change.lines(&inner.snapshot, &snapshot, CHANGES_MAX);
        let log = match change.access_log {
            true => Some(open_log(&snapshot)?),
            false => None,
        };
        for warning in &warnings {
            process::warn(warning, &[]);
        }
        let admin = change.admin.then_some("admin");
        for setting in change.restart_needed.iter().copied().chain(admin) {
            let values: &[process::Value<'_>] = &[("setting", &setting)];
            process::warn("this change takes effect at the next start", values);
            warnings.push(format!(
                "what differs in `{setting}` takes effect at the next start"
            ));
        }
        process::info("the configuration changes", &[("changes", &change)]);
        inner.secured = inner.keeper.take_up(&snapshot, prepared)?;
        inner.seekers.seek(&snapshot, &credentials);
        inner.roster.take_up(inner.seekers.take());
        let addresses = fleet::look_up(&fleet::names(&snapshot, &inner.roster));
        if let Some(agent) = inner.keeper.agent() {
            inner.facts.issued_by(agent);
        }
        self.put_in_force(snapshot, listening, opened, addresses, log);
        self.inner
            .facts
            .reloaded(&self.inner.snapshot, origin.clone(), &self.inner.listening);
        Ok(Taken {
            from: origin,
            written: Arc::new(written),
            summary: change.to_string(),
            changes,
            warnings,
        })
    }

    /// Opens the listeners that are new; the second part is what each worker gets of them.
    fn open(&self, snapshot: &Snapshot) -> Result<(Vec<Listening>, Vec<Vec<Opened>>), String> {
        let inner = &self.inner;
        let count = inner.workers.len();
        let mut opened: Vec<Vec<Opened>> = (0..count).map(|_| Vec::new()).collect();
        let bound: Vec<u16> = (inner.listening.iter())
            .flat_map(|one| one.bound.iter().map(SocketAddr::port))
            .collect();
        sockets::congestion_must_be_known(snapshot)?;
        sockets::must_be_free(snapshot.listeners.iter(), |port| bound.contains(&port))
            .map_err(|error| error.to_string())?;
        let mut listening = Vec::new();
        for plan in &snapshot.listeners {
            let kept = inner
                .listening
                .iter()
                .find(|one| one.plan.number == plan.number && one.plan.addresses == plan.addresses);
            if let Some(kept) = kept {
                listening.push(Listening {
                    plan: plan.clone(),
                    admission: Arc::clone(&kept.admission),
                    id: kept.id,
                    bound: kept.bound.clone(),
                    held: Arc::clone(&kept.held),
                });
                continue;
            }
            let (one, sockets) =
                sockets::open(plan, count, &inner.registry, &mut Inherited::default())
                    .map_err(|error| error.to_string())?;
            share_out(&one, sockets, &mut opened);
            listening.push(one);
        }
        Ok((listening, opened))
    }

    fn put_in_force(
        &mut self,
        snapshot: Arc<Snapshot>,
        listening: Vec<Listening>,
        mut opened: Vec<Vec<Opened>>,
        addresses: Addresses,
        log: Option<AccessLog>,
    ) {
        let inner = &mut self.inner;
        process::set_level(level(&snapshot));
        for one in &listening {
            one.follow_plan();
        }
        inner.roster.addresses = addresses;
        inner.keep_wishes(&snapshot);
        let Changed { parts, removed } =
            inner
                .fleet
                .parts(&snapshot, &inner.roster, &inner.secured, &inner.registry);
        let handover = Arc::new(Handover::new(removed));
        inner.prober.set(parts.probe_targets());
        inner.attic.hand_over(&handover);
        inner.set_parts(&parts);
        let acceptors = Arc::clone(&inner.secured.acceptors);
        inner.snapshot = snapshot;
        inner.listening = listening;
        let writers: Vec<Option<LogWriter>> = (0..inner.workers.len())
            .map(|_| log.as_ref().map(AccessLog::writer))
            .collect();
        let old_log = log.map(|log| {
            inner.registry.register("access-log", Arc::new(log.clone()));
            std::mem::replace(&mut inner.log, log)
        });
        let mut writers = writers.into_iter();
        let mut opened = opened.drain(..);
        self.order(|_| {
            Order::Apply(Box::new(Update {
                parts: parts.clone(),
                acceptors: Arc::clone(&acceptors),
                log: writers.next().flatten(),
                opened: opened.next().unwrap_or_default(),
                handover: Some(Arc::clone(&handover)),
            }))
        });
        if let Some(old) = old_log {
            // Its thread ends by itself once the workers have let go of their writers; nobody waits for that.
            let shut = move || {
                let _ = old.shutdown(LOG_TIMEOUT);
            };
            if let Err(error) = spawn("log", shut) {
                let text = "the last lines of the access log before may be missing";
                process::warn(text, &[("error", &error)]);
            }
        }
    }

    /// Takes up whom clients and backends trust now, if files have changed that say so.
    pub(super) fn renew_trust(&mut self) {
        if self.draining_until.is_some() || self.is_lagging {
            return;
        }
        let inner = &mut self.inner;
        let ports = sockets::ports(&inner.listening);
        if let Some(secured) = inner.keeper.renew_trust(&inner.snapshot, &ports) {
            inner.secured = secured;
            let snapshot = Arc::clone(&inner.snapshot);
            let listening = std::mem::take(&mut inner.listening);
            let addresses = std::mem::take(&mut inner.roster.addresses);
            self.put_in_force(snapshot, listening, Vec::new(), addresses, None);
        }
    }
}

/// Problems of a refused configuration that the log tells of, each in a line; all of them are with who asked, and with
/// `foregate check`.
const LOGGED_PROBLEMS_MAX: usize = 50;

fn log_refusal(refused: &str, refusal: &ConfigRefusal) {
    let problems = &refusal.diagnostics;
    let count = problems.len();
    let mut values: Vec<process::Value<'_>> = vec![("reason", &refusal.error)];
    match count {
        0 => values.push(("detail", &refusal.detail)),
        _ => values.push(("problems", &count)),
    }
    process::error(refused, &values);
    for problem in problems.iter().take(LOGGED_PROBLEMS_MAX) {
        let at = format!("{}:{}:{}", problem.file, problem.line, problem.column);
        let mut values: Vec<process::Value<'_>> = vec![
            ("at", &at),
            ("code", &problem.code),
            ("problem", &problem.message),
        ];
        for (name, more) in [("cause", &problem.cause), ("help", &problem.help)] {
            values.extend(
                more.iter()
                    .map(|more| (name, more as &dyn std::fmt::Display)),
            );
        }
        match &*problem.severity {
            "error" => process::error("wrong in the refused configuration", &values),
            _ => process::warn("doubtful in the refused configuration", &values),
        }
    }
}

fn refusal(error: LoadError) -> ConfigRefusal {
    ConfigRefusal {
        kind: RefusalKind::Invalid,
        error: "config-refused",
        detail: error.text,
        diagnostics: serde_json::from_value(error.diagnostics).unwrap_or_default(),
    }
}
