//! What the internal CA issues, which takes no waiting.

use foregate_telemetry::clock::{UnixTime, now, unix_now};

use super::entry::Entry;
use super::work::{Work, tell_failure};
use crate::authority::Authority;
use crate::certificate::{Issued, Key, Source};
use crate::order::Outcome;
use crate::reason::Failure;
use crate::schedule::Due;

impl Work {
    /// Has the internal CA issue what is due.
    pub(super) fn issue_internal(&mut self) {
        let (at, unix) = (now(), unix_now());
        let is_due = |entry: &&Entry| {
            entry.source == Source::Internal && entry.schedule.due(at, unix) == Due::Order
        };
        let due: Vec<_> = self
            .entries
            .values()
            .filter(is_due)
            .map(|entry| entry.key.clone())
            .collect();
        for key in due {
            let Some(names) = self.entries.get(&key).map(|entry| entry.names.clone()) else {
                continue;
            };
            let outcome = self.issue(&key, &names, unix);
            self.finish_order(&key, outcome);
        }
    }

    /// Has the internal CA issue.
    fn issue(&mut self, key: &Key, names: &[String], unix: UnixTime) -> Result<Outcome, Failure> {
        // A root that ends soon is followed by another one.
        self.authority = None;
        let issued = self.authority()?.issue(names, unix)?;
        if let Some(entry) = self.entries.get(key) {
            let mut record = entry.record.clone();
            record.certificate = Some(issued.facts.clone());
            // The next process can issue another one; this one is served all the same.
            if let Err(failure) = self.folder.store_certificate(key, &record, &issued) {
                tell_failure(entry, &failure);
            }
        }
        Ok(Outcome::Ordered(issued))
    }

    /// Whether the internal CA's present root has issued it.
    pub(super) fn is_ours(&mut self, issued: &Issued) -> bool {
        self.authority()
            .is_ok_and(|authority| authority.has_issued(issued))
    }

    fn authority(&mut self) -> Result<&Authority, Failure> {
        let authority = match self.authority.take() {
            Some(authority) => authority,
            None => Authority::open(&self.folder, unix_now())?,
        };
        Ok(self.authority.insert(authority))
    }
}
