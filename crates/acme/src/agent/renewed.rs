//! Certificates that another process which shares the folder has renewed: after a key has leaked they must not wait until
//! each process' own renewal is due.

use foregate_telemetry::clock::unix_now;

use super::work::Work;
use crate::certificate::{Key, Source};
use crate::folder::Stored;
use crate::order::{Outcome, is_successor};

impl Work {
    /// Takes up what is new in the folder; whether anything was.
    pub(super) fn take_up_renewed(&mut self) -> bool {
        let stamp = self.folder.certificates_stamp();
        let has_changed = stamp != self.folder_stamp;
        // A file system counts time in ticks: what follows a change within one is seen by the look after.
        if !has_changed && !std::mem::take(&mut self.looks_again) {
            return false;
        }
        self.folder_stamp = stamp;
        self.looks_again = has_changed;
        let keys: Vec<Key> = self.entries.keys().cloned().collect();
        let mut took_any = false;
        for key in keys {
            if let Some(stored) = self.renewed(&key) {
                took_any = true;
                self.finish_order(&key, Ok(Outcome::Found(Box::new(stored))));
            }
        }
        took_any
    }

    /// What another process has stored under a key that is served under it as well.
    fn renewed(&mut self, key: &Key) -> Option<Stored> {
        let entry = self.entries.get_mut(key)?;
        // An order of our own looks by itself, once it has the lock.
        if entry.ordering {
            return None;
        }
        let stamp = self.folder.certificate_stamp(key);
        if stamp == entry.stamp {
            return None;
        }
        entry.stamp = stamp;
        // What can't be read now is told when it is needed.
        let stored = self.folder.certificate(key).ok()??;
        let issued = stored.issued.as_ref()?;
        let is_new = is_successor(issued, entry.issued.as_ref(), &entry.names, unix_now());
        let is_ours = entry.source == Source::Acme || self.is_ours(issued);
        (is_new && is_ours).then_some(stored)
    }
}
