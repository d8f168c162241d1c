//! Certificates that clients ask for by shaking hands.

use std::collections::BTreeMap;

use foregate_telemetry::clock::now;
use foregate_telemetry::log::process;
use http::StatusCode;
use tokio::sync::oneshot;

use super::entry::Entry;
use super::waiter::Waiter;
use super::work::{About, Done, Work};
use crate::allowance::{Verdict, admits};
use crate::certificate::{Key, Source};
use crate::options::OnDemand;
use crate::schedule::Hold;
use crate::web::{self, Web};

/// Certificates on demand that are kept.
const ON_DEMAND_MAX: usize = 10_000;
/// Handshakes that wait for a certificate or the ask URL.
const WAITING_MAX: usize = 1_000;
/// Questions to the ask URL that run at once.
const ASKS_AT_ONCE_MAX: usize = 8;

/// Answers a handshake, which may have given up.
fn tell(answer: oneshot::Sender<bool>, is_there: bool) {
    let _ = answer.send(is_there);
}

impl Work {
    fn on_demand(&self) -> Option<&OnDemand> {
        self.acme.as_ref()?.on_demand.as_ref()
    }

    fn demand_key(&self, name: &str) -> Key {
        let directory = self.acme.as_ref().map(|acme| acme.directory.as_str());
        Key::of(&[name.to_owned()], Source::Acme, directory)
    }

    /// A handshake asks for a name. Whether that has changed what is ordered.
    pub(super) fn demand(&mut self, name: String, answer: oneshot::Sender<bool>) -> bool {
        let key = self.demand_key(&name);
        if self.entries.contains_key(&key) {
            self.join(key, answer);
            return false;
        }
        let Some(options) = self.on_demand().cloned() else {
            tell(answer, false);
            return false;
        };
        let (asks, most) = (options.ask.is_some(), options.issues_per_hour_max);
        match self
            .allowance
            .judge(now(), &name, &options.allow, asks, most)
        {
            Verdict::Order => {
                self.order_on_demand(&name, answer);
                return true;
            }
            Verdict::Ask => self.ask(name, options, answer),
            Verdict::Full => {
                process::warn(
                    "a certificate on demand was declined: the hour is full",
                    &[("name", &name), ("issues_per_hour_max", &most)],
                );
                tell(answer, false);
            }
            Verdict::Decline => tell(answer, false),
        }
        false
    }

    fn waiting_count(&self) -> usize {
        let orders: usize = self.waiting.values().map(Vec::len).sum();
        let asks: usize = self.asking.values().map(Vec::len).sum();
        orders + asks
    }

    /// Whether one more may wait. Who has gone takes nobody's place.
    fn has_room(&mut self) -> bool {
        if self.waiting_count() >= WAITING_MAX {
            self.waiting.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.has_gone());
                !waiters.is_empty()
            });
            for waiters in self.asking.values_mut() {
                waiters.retain(|answer| !answer.is_closed());
            }
        }
        self.waiting_count() < WAITING_MAX
    }

    fn wait(&mut self, key: Key, answer: oneshot::Sender<bool>) {
        // Most handshakes don't wait: their clients come again.
        if answer.is_closed() {
            return;
        }
        if !self.has_room() {
            tell(answer, false);
            return;
        }
        let waiter = Waiter::Handshake(answer);
        self.waiting.entry(key).or_default().push(waiter);
    }

    /// Answers a handshake by the certificate that is kept under a key, once it is there.
    fn join(&mut self, key: Key, answer: oneshot::Sender<bool>) {
        match self.entries.get(&key) {
            Some(entry) if entry.issued.is_some() => tell(answer, entry.active),
            Some(_) => self.wait(key, answer),
            None => tell(answer, false),
        }
    }

    fn order_on_demand(&mut self, name: &str, answer: oneshot::Sender<bool>) {
        let kept = self.entries.values().filter(|entry| entry.on_demand);
        if kept.count() >= ON_DEMAND_MAX {
            process::warn(
                "a certificate on demand was declined: there are too many",
                &[("name", &name), ("max", &ON_DEMAND_MAX)],
            );
            tell(answer, false);
            return;
        }
        let key = self.demand_key(name);
        let directory = self.acme.as_ref().map(|acme| acme.directory.clone());
        let names = vec![name.to_owned()];
        let failures = self.allowance.failures(name);
        let timing = self.timing;
        let mut entry = self.load(Entry::new(
            key.clone(),
            names,
            Source::Acme,
            directory,
            true,
        ));
        if failures > 0 && entry.issued.is_none() {
            // It was held for as long as it had to be; the next hold is longer.
            let left = Hold {
                failures,
                ..Hold::default()
            };
            entry.schedule.resume(now(), left, &timing);
        }
        let is_there = entry.issued.is_some() && entry.active;
        self.entries.insert(key.clone(), entry);
        match is_there {
            true => tell(answer, true),
            false => self.wait(key, answer),
        }
    }

    fn ask(&mut self, name: String, options: OnDemand, answer: oneshot::Sender<bool>) {
        let has_room = self.has_room();
        if let Some(waiting) = self.asking.get_mut(&name) {
            match has_room && !answer.is_closed() {
                true => waiting.push(answer),
                false => tell(answer, false),
            }
            return;
        }
        // Those who wait don't keep others from being asked for.
        let Some(url) = options.ask else {
            tell(answer, false);
            return;
        };
        if self.running_of(|about| matches!(about, About::Ask)) >= ASKS_AT_ONCE_MAX {
            tell(answer, false);
            return;
        }
        let is_waiting = has_room && !answer.is_closed();
        let waiting = is_waiting.then_some(answer).into_iter().collect();
        self.asking.insert(name.clone(), waiting);
        let handle = self.running.spawn(async move {
            let answer = ask(&url, &name).await;
            Done::Asked(name, answer)
        });
        self.about.insert(handle.id(), About::Ask);
    }

    /// The ask URL has answered.
    pub(super) fn asked(&mut self, name: &str, answer: Result<bool, String>) {
        let waiting = self.asking.remove(name).unwrap_or_default();
        if let Err(why) = &answer {
            process::warn(
                "the ask URL could not be asked; the certificate on demand is declined",
                &[("name", &name), ("detail", why)],
            );
        }
        // The configuration may be another one since: one that has a certificate for the name needs nobody's word.
        let key = self.demand_key(name);
        if self.entries.contains_key(&key) {
            for answer in waiting {
                self.join(key.clone(), answer);
            }
            return;
        }
        let mut waiting = waiting.into_iter();
        if self.verdict_on(name, answer.unwrap_or(false)) == Verdict::Order {
            // It is ordered also when nobody waits: the client comes again.
            let first = waiting.next().unwrap_or_else(|| oneshot::channel().0);
            self.order_on_demand(name, first);
            for answer in waiting {
                self.join(key.clone(), answer);
            }
            return;
        }
        for answer in waiting {
            tell(answer, false);
        }
    }

    /// What comes of the ask URL's word, by the configuration in force.
    fn verdict_on(&mut self, name: &str, yes: bool) -> Verdict {
        let Some(options) = self.on_demand() else {
            return Verdict::Decline;
        };
        let most = options.issues_per_hour_max;
        match admits(&options.allow, options.ask.is_some(), name) {
            true => self.allowance.answered(now(), name, yes, most),
            false => Verdict::Decline,
        }
    }

    /// After a change of what is wanted: certificates on demand stay as long as the configuration admits them; those
    /// in the folder come back.
    pub(super) fn keep_on_demand(&mut self, mut old: BTreeMap<Key, Entry>) {
        let Some(options) = self.on_demand().cloned() else {
            return;
        };
        let directory = self.acme.as_ref().map(|acme| acme.directory.clone());
        let keys = match self.folder.keys() {
            Ok(keys) => keys,
            Err(failure) => {
                process::warn(
                    "certificates on demand could not be listed",
                    &[
                        ("reason", &failure.reason.name()),
                        ("detail", &failure.detail),
                    ],
                );
                Vec::new()
            }
        };
        let mut kept = 0;
        let known: Vec<_> = old.keys().cloned().collect();
        for key in known.into_iter().chain(keys) {
            if self.entries.contains_key(&key) || kept == ON_DEMAND_MAX {
                continue;
            }
            let entry = match old.remove(&key) {
                Some(entry) => entry,
                None => match self.stored_on_demand(&key, directory.as_deref()) {
                    Some(entry) => entry,
                    None => continue,
                },
            };
            let is_admitted = |name: &String| admits(&options.allow, options.ask.is_some(), name);
            let is_ours = entry.record.directory == directory;
            if entry.on_demand && is_ours && entry.names.iter().all(is_admitted) {
                kept += 1;
                self.entries.insert(key, entry);
            }
        }
    }

    fn stored_on_demand(&mut self, key: &Key, directory: Option<&str>) -> Option<Entry> {
        // What can't be read is ordered anew when a client asks for it.
        let stored = self.folder.certificate(key).ok()??;
        let record = &stored.record;
        let is_kept =
            record.on_demand && record.directory.as_deref() == directory && stored.issued.is_some();
        if !is_kept {
            return None;
        }
        let (names, directory) = (record.names.clone(), record.directory.clone());
        Some(self.load(Entry::new(
            key.clone(),
            names,
            Source::Acme,
            directory,
            true,
        )))
    }
}

async fn ask(url: &str, name: &str) -> Result<bool, String> {
    let tls = web::trust(None).or_else(|_| web::trust_nobody());
    let tls = tls.map_err(|failure| failure.detail)?;
    let joint = if url.contains('?') { '&' } else { '?' };
    // A name that gets here is letters, digits, hyphens and dots: nothing to escape.
    let status = Web::ask(tls)
        .status(&format!("{url}{joint}domain={name}"))
        .await
        .map_err(|error| error.to_string())?;
    Ok(status == StatusCode::OK)
}

#[cfg(test)]
pub(super) mod tests;
