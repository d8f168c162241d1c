//! The agent's thread: starts what is due, hears how it went, takes commands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use foregate_telemetry::clock::{Moment, now, unix_now};
use foregate_telemetry::log::process;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use super::entry::Entry;
use super::status::status_of;
use super::waiter::Waiter;
use super::{Command, Shared, Sink};
use crate::allowance::Allowance;
use crate::authority::Authority;
use crate::certificate::{Key, Source};
use crate::challenges::Challenges;
use crate::challenges::shared::{LOOK_EVERY, Neighbours};
use crate::dns::Leftovers;
use crate::folder::{Lock, Stamp, StateFolder};
use crate::options::{AcmeOptions, Wanted};
use crate::order::{Desk, Outcome, Suggestion};
use crate::random::random;
use crate::reason::{Failure, Reason};
use crate::schedule::{Due, Timing};

/// Orders that run at once: a thousand new names come in over a while, which is what public CAs ask for.
const ORDERS_AT_ONCE_MAX: usize = 4;
/// Questions for renewal information that run at once.
const WINDOWS_AT_ONCE_MAX: usize = 2;
/// The longest sleep; the calendar may have been set.
const REST_MAX: Duration = Duration::from_secs(60);

/// How long DNS records of orders that the end of the process has cut off may take to be removed.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(5);

/// What a task of the agent brings home.
pub(super) enum Done {
    Order(Result<Outcome, Failure>),
    Window(Result<Option<Suggestion>, Failure>),
    Asked(String, Result<bool, String>),
}

/// What a task is about.
pub(super) enum About {
    Order(Key),
    /// The certificate's fingerprint tells it from its successor.
    Window(Key, String),
    Ask,
}

pub(super) struct Work {
    pub(super) folder: StateFolder,
    challenges: Challenges,
    sink: Box<dyn Sink>,
    pub(super) timing: Timing,
    pub(super) shared: Arc<Shared>,
    pub(super) acme: Option<AcmeOptions>,
    /// What tells those from the ones before.
    settings: Option<String>,
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) authority: Option<Authority>,
    pub(super) allowance: Allowance,
    pub(super) running: JoinSet<Done>,
    pub(super) about: HashMap<Id, About>,
    pub(super) waiting: HashMap<Key, Vec<Waiter>>,
    /// Handshakes that wait for the ask URL, by name.
    pub(super) asking: HashMap<String, Vec<oneshot::Sender<bool>>>,
    /// Until when the ACME server wants to be left alone.
    directory_held_until: Moment,
    /// The folder of certificates at the last look, and whether it is looked at once more.
    pub(super) folder_stamp: Option<Stamp>,
    pub(super) looks_again: bool,
    leftovers: Leftovers,
}

impl Work {
    pub(super) fn new(
        folder: StateFolder,
        challenges: Challenges,
        sink: Box<dyn Sink>,
        timing: Timing,
        shared: Arc<Shared>,
    ) -> Work {
        Work {
            folder,
            challenges,
            sink,
            timing,
            shared,
            acme: None,
            settings: None,
            entries: BTreeMap::new(),
            authority: None,
            allowance: Allowance::default(),
            running: JoinSet::new(),
            about: HashMap::new(),
            waiting: HashMap::new(),
            asking: HashMap::new(),
            directory_held_until: Moment::START,
            folder_stamp: None,
            looks_again: false,
            leftovers: Leftovers::default(),
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let shared = Arc::clone(&self.shared);
        let mut stopped = std::pin::pin!(shared.stop.notified());
        let number = random();
        let mut _announced = self.announce(number);
        let mut neighbours = Neighbours::default();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        'all: loop {
            self.start_due();
            self.publish();
            let mut rest = std::pin::pin!(tokio::time::sleep(self.rest()));
            let uses_acme = self.uses_acme();
            loop {
                tokio::select! {
                    biased;
                    () = &mut stopped => break 'all,
                    command = commands.recv() => match command {
                        // A stranger's handshake that changes nothing costs no look at all certificates.
                        Some(command) => if !self.take(command) {
                            continue;
                        },
                        None => break 'all,
                    },
                    Some(done) = self.running.join_next_with_id() => self.done(done),
                    () = &mut rest => drop(self.take_up_renewed()),
                    _ = looks.tick(), if uses_acme => {
                        if self.folder.has_lost(number) {
                            _announced = self.announce(number);
                        }
                        neighbours.look(&self.folder, &self.challenges);
                        if !self.take_up_renewed() {
                            continue;
                        }
                    }
                }
                break;
            }
        }
        self.running.shutdown().await;
        // Orders were cut off; whoever waits for the end of the process does not wait for a name server for long.
        let _ = tokio::time::timeout(CLEAN_TIMEOUT, self.leftovers.clean()).await;
    }

    /// Tells those who share the folder of this process, for as long as what it returns lives.
    fn announce(&self, number: u64) -> Option<Lock> {
        let announced = self.folder.announce(number);
        if let Err(failure) = &announced {
            process::warn(
                "other processes that share the state folder will not know of this one",
                &[("detail", &failure.detail)],
            );
        }
        announced.ok()
    }

    /// Whether any certificate comes from an authority that looks for proofs.
    fn uses_acme(&self) -> bool {
        let is_asked = |acme: &AcmeOptions| acme.on_demand.is_some();
        let mut entries = self.entries.values();
        self.acme.as_ref().is_some_and(is_asked) || entries.any(|one| one.source == Source::Acme)
    }

    /// Whether anything has changed by a command.
    fn take(&mut self, command: Command) -> bool {
        match command {
            Command::Want(wanted, done) => {
                self.want(*wanted);
                let _ = done.try_send(());
                true
            }
            Command::Demand(name, answer) => self.demand(name, answer),
            Command::Renew(name, answer) => {
                self.renew(&name, answer);
                true
            }
        }
    }

    /// Takes over what is wanted; what the folder has and what the internal CA issues is handed out at once.
    pub(super) fn want(&mut self, wanted: Wanted) {
        let directory = wanted.acme.as_ref().map(|acme| acme.directory.clone());
        let has_changed = directory != self.acme.as_ref().map(|acme| acme.directory.clone());
        let settings = wanted.acme.as_ref().map(AcmeOptions::fingerprint);
        if settings != self.settings {
            self.allowance.reconsider();
        }
        self.settings = settings;
        self.acme = wanted.acme;
        let on_demand = self.acme.as_ref().and_then(|acme| acme.on_demand.clone());
        self.shared.on_demand.store(on_demand.map(Arc::new));
        if has_changed {
            self.directory_held_until = Moment::START;
        }
        let mut old = std::mem::take(&mut self.entries);
        for certificate in wanted.certificates {
            let directory = match certificate.source {
                Source::Acme => directory.clone(),
                Source::Internal => None,
            };
            let key = Key::of(&certificate.names, certificate.source, directory.as_deref());
            let entry = match old.remove(&key) {
                Some(mut entry) => {
                    entry.on_demand = false;
                    entry
                }
                None => {
                    let (names, source) = (certificate.names, certificate.source);
                    self.load(Entry::new(key.clone(), names, source, directory, false))
                }
            };
            self.entries.insert(key, entry);
        }
        self.keep_on_demand(old);
        if let Some(settings) = &self.settings {
            for entry in self.entries.values_mut() {
                entry.reconsider(settings);
            }
        }
        self.dismiss();
        self.issue_internal();
        self.publish();
    }

    /// Answers those who wait for what is not wanted any more.
    fn dismiss(&mut self) {
        let keys = self.waiting.keys();
        let gone = keys.filter(|key| !self.entries.contains_key(*key));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.answer(&key, &Err("it is not wanted any more".to_owned()));
        }
    }

    /// Takes over what the folder has for an entry.
    pub(super) fn load(&mut self, mut entry: Entry) -> Entry {
        let (at, unix) = (now(), unix_now());
        entry.stamp = self.folder.certificate_stamp(&entry.key);
        match self.folder.certificate(&entry.key) {
            Ok(Some(stored)) => entry.load(stored, at, unix, &self.timing),
            Ok(None) => {}
            Err(failure) => {
                tell_failure(&entry, &failure);
                entry.record.last_error = Some(crate::folder::LastError::new(&failure, unix));
            }
        }
        if entry.source == Source::Internal
            && let Some(issued) = &entry.issued
            && !self.is_ours(issued)
        {
            entry.issued = None;
            entry.schedule.renew_now();
        }
        self.hand_out(&mut entry);
        entry
    }

    /// Gives the sink what an entry has.
    fn hand_out(&self, entry: &mut Entry) {
        let Some(issued) = &entry.issued else {
            return;
        };
        let outcome = self.sink.issued(issued.clone());
        entry.active = outcome.is_ok();
        if let Err(why) = outcome {
            let failure = Failure::new(Reason::NotActivated, why);
            tell_failure(entry, &failure);
            self.shared.counts.failed(failure.reason);
            entry.record.last_error = Some(crate::folder::LastError::new(&failure, unix_now()));
        }
    }

    fn start_due(&mut self) {
        self.issue_internal();
        let (at, unix) = (now(), unix_now());
        let mut orders = Vec::new();
        let mut windows = Vec::new();
        for entry in self.entries.values() {
            if entry.ordering || entry.asking || entry.source == Source::Internal {
                continue;
            }
            match entry.schedule.due(at, unix) {
                Due::Order => orders.push((entry.schedule.ends(), entry.key.clone())),
                Due::Window => windows.push(entry.key.clone()),
                Due::Nothing(_) => {}
            }
        }
        // What is not there at all first, then what ends first.
        orders.sort_unstable();
        for (_, key) in orders {
            self.start_order(&key, at);
        }
        for key in windows {
            if self.running_of(|about| matches!(about, About::Window(..))) < WINDOWS_AT_ONCE_MAX {
                self.start_window(&key);
            }
        }
    }

    pub(super) fn running_of(&self, is: impl Fn(&About) -> bool) -> usize {
        self.about.values().filter(|about| is(about)).count()
    }

    pub(super) fn desk(&self, options: AcmeOptions) -> Desk {
        Desk {
            folder: self.folder.clone(),
            options,
            challenges: self.challenges.clone(),
            leftovers: self.leftovers.clone(),
        }
    }

    fn start_order(&mut self, key: &Key, at: Moment) {
        let Some(options) = self.acme.clone() else {
            let failure = Failure::new(
                Reason::NotConfigured,
                "a certificate from an ACME server is wanted and there is no `acme` section",
            );
            self.finish_order(key, Err(failure));
            return;
        };
        let is_full =
            self.running_of(|about| matches!(about, About::Order(_))) >= ORDERS_AT_ONCE_MAX;
        if is_full || self.directory_held_until > at {
            return;
        }
        let desk = self.desk(options);
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.ordering = true;
        entry.record.settings.clone_from(&self.settings);
        let task = entry.task();
        process::info(
            "ordering a certificate",
            &[
                ("names", &entry.names.join(",")),
                ("directory", &desk.options.directory),
            ],
        );
        let handle = self
            .running
            .spawn(async move { Done::Order(desk.obtain(&task).await) });
        self.about.insert(handle.id(), About::Order(key.clone()));
    }

    fn done(&mut self, outcome: Result<(Id, Done), JoinError>) {
        let (id, done) = match outcome {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), None),
        };
        let broken = || Failure::new(Reason::DirectoryFailed, "the order ended by a bug of ours");
        match (self.about.remove(&id), done) {
            (Some(About::Order(key)), Some(Done::Order(outcome))) => {
                self.finish_order(&key, outcome);
            }
            (Some(About::Order(key)), _) => self.finish_order(&key, Err(broken())),
            (Some(About::Window(key, of)), Some(Done::Window(outcome))) => {
                self.finish_window(&key, &of, outcome);
            }
            (Some(About::Window(key, of)), _) => self.finish_window(&key, &of, Err(broken())),
            (Some(About::Ask), Some(Done::Asked(name, answer))) => self.asked(&name, answer),
            (Some(About::Ask) | None, _) => {}
        }
    }

    pub(super) fn finish_order(&mut self, key: &Key, outcome: Result<Outcome, Failure>) {
        // One that is not wanted any more stays in the folder.
        let Some(mut entry) = self.entries.remove(key) else {
            self.answer(key, &Err("it is not wanted any more".to_owned()));
            return;
        };
        let (at, unix) = (now(), unix_now());
        entry.ordering = false;
        let told = match outcome {
            Ok(Outcome::Ordered(issued)) => {
                self.shared.counts.issued(entry.source);
                entry.take(issued, at, unix, &self.timing);
                self.hand_out(&mut entry);
                tell_issued(&entry, "a certificate was issued");
                Ok(format!("{} was issued", entry.names.join(", ")))
            }
            Ok(Outcome::Found(stored)) => {
                if let Some(issued) = stored.issued {
                    entry.take(issued, at, unix, &self.timing);
                }
                self.hand_out(&mut entry);
                tell_issued(&entry, "another process had a certificate issued");
                Ok(format!(
                    "{} was issued to another process",
                    entry.names.join(", ")
                ))
            }
            Err(failure) => {
                self.shared.counts.failed(failure.reason);
                entry.fail(&failure, at, unix, random(), &self.timing);
                tell_failure(&entry, &failure);
                self.hold_directory(&failure, at);
                Err(failure.to_string())
            }
        };
        if let Err(failure) = self.folder.store_record(key, &entry.record) {
            tell_failure(&entry, &failure);
        }
        let is_forgotten = entry.on_demand && told.is_err() && !entry.is_in_time(unix);
        if is_forgotten {
            // A stranger's name that no certificate comes for, or none any more, is not tried for ever; and not at once when
            // it is asked for again.
            let _ = self.folder.remove_certificate(key);
            let (schedule, failures) = (&entry.schedule, entry.schedule.failures());
            let held_until = at.plus(schedule.held(at, unix));
            let asked_until = at.plus(schedule.asked(at));
            for name in &entry.names {
                self.allowance
                    .failed(at, name, failures, held_until, asked_until);
            }
        } else {
            for name in entry.names.iter().filter(|_| entry.on_demand) {
                self.allowance.succeeded(name);
            }
            self.entries.insert(key.clone(), entry);
        }
        if self.waiting.contains_key(key) {
            // Whoever hears of it finds it in what is shown.
            self.publish();
        }
        self.answer(key, &told);
    }

    /// A server that is overloaded says so for everyone (RFC 9110 §15.6.4); a rate limit is one certificate's.
    fn hold_directory(&mut self, failure: &Failure, at: Moment) {
        if failure.reason == Reason::DirectoryFailed
            && let Some(span) = failure.retry_after
        {
            self.directory_held_until = at.plus(span.min(self.timing.retry_after_max));
        }
    }

    pub(super) fn answer(&mut self, key: &Key, outcome: &Result<String, String>) {
        for waiter in self.waiting.remove(key).unwrap_or_default() {
            waiter.tell(outcome);
        }
    }

    fn renew(&mut self, name: &str, answer: SyncSender<Result<String, String>>) {
        let found = self.entries.values_mut().find(|entry| {
            entry
                .names
                .iter()
                .any(|each| each.eq_ignore_ascii_case(name))
        });
        let Some(entry) = found else {
            let _ = answer.try_send(Err(format!(
                "no certificate for {name} is issued by Foregate itself"
            )));
            return;
        };
        entry.schedule.renew_now();
        let key = entry.key.clone();
        self.directory_held_until = Moment::START;
        self.waiting
            .entry(key)
            .or_default()
            .push(Waiter::Operator(answer));
    }

    fn publish(&self) {
        let (at, unix) = (now(), unix_now());
        let status: Vec<_> = self
            .entries
            .values()
            .map(|entry| status_of(entry, at, unix))
            .collect();
        if **self.shared.status.load() != status {
            self.shared.status.store(Arc::new(status));
        }
    }

    fn rest(&self) -> Duration {
        let (at, unix) = (now(), unix_now());
        let is_held = self.directory_held_until > at;
        let mut rest = REST_MAX;
        for entry in self.entries.values() {
            let span = match entry.schedule.due(at, unix) {
                _ if entry.ordering || entry.asking => REST_MAX,
                Due::Nothing(span) => span,
                // Something is due and could not be started: a place gets free, or the hold ends.
                Due::Order if is_held => self.directory_held_until.since(at),
                Due::Order | Due::Window => REST_MAX,
            };
            rest = rest.min(span);
        }
        rest
    }
}

fn tell_issued(entry: &Entry, message: &str) {
    if let Some(issued) = &entry.issued {
        process::info(
            message,
            &[
                ("names", &entry.names.join(",")),
                ("source", &entry.source.name()),
                ("issuer", &issued.facts.issuer),
                ("not_after", &issued.facts.not_after),
                ("next_renewal", &entry.record.next_renewal),
            ],
        );
    }
}

pub(super) fn tell_failure(entry: &Entry, failure: &Failure) {
    process::warn(
        "a certificate could not be had",
        &[
            ("names", &entry.names.join(",")),
            ("source", &entry.source.name()),
            ("reason", &failure.reason.name()),
            ("detail", &failure.detail),
            ("next_attempt", &entry.record.next_renewal),
        ],
    );
}
