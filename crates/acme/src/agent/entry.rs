//! One certificate in the agent's care.

use foregate_telemetry::clock::{Moment, UnixTime};

use crate::certificate::{Issued, Key, Source};
use crate::folder::{LastError, Record, Stamp, Stored};
use crate::order::Task;
use crate::reason::{Failure, Reason};
use crate::schedule::{Schedule, Setback, Timing};

/// A certificate that is wanted.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) names: Vec<String>,
    pub(super) source: Source,
    pub(super) on_demand: bool,
    pub(super) schedule: Schedule,
    pub(super) record: Record,
    /// What there is.
    pub(super) issued: Option<Issued>,
    /// Its file in the folder, as it was looked at last.
    pub(super) stamp: Option<Stamp>,
    /// Whether an order runs.
    pub(super) ordering: bool,
    /// Whether it does so by settings that are not in force any more.
    is_outdated: bool,
    /// Whether the CA is being asked for its renewal information.
    pub(super) asking: bool,
    /// Where the CA explains when it wants it to be renewed.
    pub(super) explanation: Option<String>,
    /// Whether the gateway has taken up what there is.
    pub(super) active: bool,
}

impl Entry {
    pub(super) fn new(
        key: Key,
        names: Vec<String>,
        source: Source,
        directory: Option<String>,
        on_demand: bool,
    ) -> Entry {
        Entry {
            record: Record::new(names.clone(), source, directory, on_demand),
            key,
            names,
            source,
            on_demand,
            schedule: match source {
                Source::Acme => Schedule::new(),
                Source::Internal => Schedule::free(),
            },
            issued: None,
            stamp: None,
            ordering: false,
            is_outdated: false,
            asking: false,
            explanation: None,
            active: false,
        }
    }

    /// Takes over what the folder has.
    pub(super) fn load(&mut self, stored: Stored, now: Moment, unix: UnixTime, timing: &Timing) {
        let (hold, window) = (stored.record.hold(unix), stored.record.window());
        self.record = Record {
            names: self.names.clone(),
            on_demand: self.on_demand,
            ..stored.record
        };
        if let Some(issued) = stored.issued {
            let ari = self.source == Source::Acme;
            let seed = issued.facts.seed();
            self.schedule
                .found(now, issued.facts.life(), window, seed, ari);
            self.issued = Some(issued);
        }
        if hold.failures > 0 {
            self.schedule.resume(now, hold, timing);
        }
    }

    /// These settings are in force: what failed, or is about to fail, by others is tried again by them.
    pub(super) fn reconsider(&mut self, settings: &str) {
        let has_changed = self
            .record
            .settings
            .as_deref()
            .is_some_and(|old| old != settings);
        if has_changed {
            self.schedule.reconsider();
            self.record.settings = None;
            self.is_outdated = self.ordering;
        }
    }

    /// A new certificate is there.
    pub(super) fn take(&mut self, issued: Issued, now: Moment, unix: UnixTime, timing: &Timing) {
        let ari = self.source == Source::Acme;
        let (life, seed) = (issued.facts.life(), issued.facts.seed());
        self.schedule.issued(now, unix, life, seed, ari, timing);
        self.record.certificate = Some(issued.facts.clone());
        self.record.last_error = None;
        self.record.settings = None;
        self.is_outdated = false;
        self.explanation = None;
        self.issued = Some(issued);
        self.active = false;
        self.record.follow(&self.schedule, now, unix);
    }

    /// An order failed.
    pub(super) fn fail(
        &mut self,
        failure: &Failure,
        now: Moment,
        unix: UnixTime,
        random: u64,
        timing: &Timing,
    ) {
        let setback = Setback {
            reached: failure.reason != Reason::DirectoryUnreachable,
            retry_after: failure.retry_after,
        };
        self.schedule.failed(now, setback, random, timing);
        if std::mem::take(&mut self.is_outdated) {
            self.schedule.reconsider();
        }
        self.record.last_error = Some(LastError::new(failure, unix));
        self.record.follow(&self.schedule, now, unix);
    }

    /// Whether there is one that has not ended.
    pub(super) fn is_in_time(&self, unix: UnixTime) -> bool {
        let issued = self.issued.as_ref();
        issued.is_some_and(|issued| unix.seconds() < issued.facts.not_after)
    }

    pub(super) fn task(&self) -> Task {
        Task {
            key: self.key.clone(),
            names: self.names.clone(),
            on_demand: self.on_demand,
            current: self.issued.clone(),
        }
    }
}
