//! One look at all files: what has changed since the last one, and what becomes of it.

use crate::calendar::unix_s;
use crate::certificate::{Finding, LoadedCertificate, PlatformRoots, Severity, load};
use crate::files;
use crate::store::{CertificateStore, Change, Served};
use crate::tickets::Tickets;
use crate::watch::folder::{pairs, subfolders};
use crate::watch::hosts::{After, Hosts, wrong_name};
use crate::watch::known::{KnownCertificates, Seen, Stamp, stamp};
use crate::watch::{FilesPlan, FolderPlan, WatchPlan};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a certificate's files are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertificateStatus {
    /// What the files say is served.
    Active,
    /// The files can't be served, and nothing else is there.
    Broken(Finding),
    /// The files have changed and can't be served; the certificate of before still is.
    RenewedButNotActive(Finding),
}

impl CertificateStatus {
    /// The stable name, for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            CertificateStatus::Active => "active",
            CertificateStatus::Broken(_) => "broken",
            CertificateStatus::RenewedButNotActive(_) => "renewed-but-not-active",
        }
    }
}

/// A certificate in files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateState {
    /// Its name in the store.
    pub id: String,
    /// Where its chain is.
    pub source: PathBuf,
    /// How it is.
    pub status: CertificateStatus,
    /// What else should be known about the certificate that is served.
    pub findings: Vec<Finding>,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

struct Entry {
    files: FilesPlan,
    /// How they were before they were read the last time.
    seen: Seen,
    state: Option<CertificateState>,
}

pub(crate) struct Look {
    store: Arc<CertificateStore>,
    tickets: Option<Arc<Tickets>>,
    ticket_stamp: Stamp,
    /// Of the files that somebody else reads.
    other_stamps: BTreeMap<PathBuf, Stamp>,
    plan: WatchPlan,
    known: KnownCertificates,
    platform: PlatformRoots,
    /// Whether the next look is the first one by this plan: what it finds was judged with the plan.
    is_first: bool,
    hosts: Hosts,
    /// Certificates that leave the store at the next look, with what comes then: a file may have another name by now.
    leaving: HashSet<Arc<str>>,
    /// Names that have no certificate since the last look.
    lost: Vec<String>,
    entries: BTreeMap<String, Entry>,
    /// The folders that could not be looked through the last time, by name.
    shut: BTreeMap<String, CertificateState>,
}

impl Look {
    pub(crate) fn new(store: Arc<CertificateStore>) -> Look {
        Look {
            store,
            tickets: None,
            ticket_stamp: Vec::new(),
            other_stamps: BTreeMap::new(),
            plan: WatchPlan::default(),
            known: KnownCertificates::default(),
            platform: PlatformRoots::default(),
            is_first: true,
            hosts: Hosts::default(),
            leaving: HashSet::new(),
            lost: Vec::new(),
            entries: BTreeMap::new(),
            shut: BTreeMap::new(),
        }
    }

    /// Goes by another plan from the next look on, which reads nothing that is `known`.
    pub(crate) fn replan(
        &mut self,
        plan: WatchPlan,
        known: KnownCertificates,
        tickets: Option<Arc<Tickets>>,
    ) {
        let (before, next) = (self.tickets.as_ref(), tickets.as_ref());
        if before.map(Arc::as_ptr) != next.map(Arc::as_ptr) {
            // Others know nothing yet of what the file holds now.
            self.ticket_stamp.clear();
        }
        self.tickets = tickets;
        self.hosts = Hosts::new(&plan.hosts);
        self.plan = plan;
        self.known = known;
        self.is_first = true;
    }

    /// What is served as its files say it, for whoever reads them next. Files that were read right after they were written
    /// are not among them until they have been read again.
    pub(crate) fn known(&self) -> KnownCertificates {
        let mut known = KnownCertificates::default();
        for (id, entry) in &self.entries {
            let is_active = |state: &CertificateState| state.status == CertificateStatus::Active;
            if entry.state.as_ref().is_some_and(is_active)
                && entry.seen.is_settled()
                && let Some(served) = self.store.get(id)
            {
                known.note(&entry.files, entry.seen.clone(), &served);
            }
        }
        known
    }

    /// Every path that something hangs on.
    pub(crate) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.entries.values().flat_map(|entry| {
            let files = &entry.files;
            let ocsp = files.ocsp.clone().into_iter();
            [files.certificate.clone(), files.key.clone()]
                .into_iter()
                .chain(ocsp)
        });
        // What appears in a folder, and in its subfolders, is seen by watching them.
        let folders = self.plan.folders.iter().flat_map(|folder| {
            let inside = subfolders(&folder.folder)
                .into_iter()
                .map(|folder| folder.join("tls.crt"));
            inside.chain([folder.folder.join("tls.crt")])
        });
        files
            .chain(folders)
            .chain(self.plan.ticket_keys.clone())
            .chain(self.plan.others.iter().cloned())
    }

    /// Looks at all files that were found; returns what has changed.
    pub(crate) fn look(&mut self) -> Vec<CertificateState> {
        self.look_at(unix_s())
    }

    fn look_at(&mut self, now: i64) -> Vec<CertificateState> {
        let known = std::mem::take(&mut self.known);
        let is_first = std::mem::replace(&mut self.is_first, false);
        let entries = self.entries.values_mut();
        let (store, platform) = (&self.store, &self.platform);
        let looked = entries.filter_map(|entry| entry.look(&known, is_first, store, platform, now));
        let mut judged: Vec<Judged> = looked.collect();
        self.hold_back(&mut judged, now);
        let mut changed = Vec::new();
        let mut puts = Vec::new();
        for one in judged {
            puts.extend(one.put);
            let Some(entry) = self.entries.get_mut(&one.state.id) else {
                continue;
            };
            match &mut entry.state {
                Some(old) if same(old, &one.state) => continue,
                state => *state = Some(one.state.clone()),
            }
            self.store.note(&one.state.id, Some(&one.state));
            changed.push(one.state);
        }
        self.put(puts, is_first, now);
        changed
    }

    /// Holds back certificates that clients accept in vain, as they are not valid for a name that was served: the one before
    /// stays, unless it is refused by clients. What came with the plan was judged by who made it.
    fn hold_back(&self, judged: &mut [Judged], now: i64) {
        loop {
            let puts = judged.iter().filter_map(|one| one.put.as_ref());
            let after = After {
                store: &self.store,
                puts: puts
                    .map(|put| (Arc::clone(&put.id), Arc::clone(put)))
                    .collect(),
                leaving: &self.leaving,
                now,
            };
            let mut held = false;
            for one in judged.iter_mut().filter(|one| !one.is_of_plan) {
                let Some(put) = &one.put else { continue };
                let before = self.store.get(&put.id);
                let Some(before) = before.filter(|before| before.certificate.is_accepted(now))
                else {
                    continue;
                };
                if let Some(need) = self.hosts.lost(&before, &after) {
                    let fault = wrong_name(put, &need);
                    one.state.status = CertificateStatus::RenewedButNotActive(fault);
                    one.state.findings.clear();
                    one.put = None;
                    held = true;
                }
            }
            // What is held back may have been valid for a name that another was to leave to it.
            if !held {
                return;
            }
        }
    }

    /// Serves certificates in the place of those that leave, and notes which names have none any more. One that a site does
    /// not name counts if its file has gone, not if whoever renewed the certificate or `replanned` has left it out.
    fn put(&mut self, puts: Vec<Arc<Served>>, replanned: bool, now: i64) {
        let leaving = std::mem::take(&mut self.leaving);
        let of = |id: &Arc<str>| self.store.get(id);
        let gone: Vec<_> = leaving.iter().filter_map(of).collect();
        let replaced: Vec<_> = puts.iter().filter_map(|put| of(&put.id)).collect();
        let removes = leaving.iter().map(|id| Change::Remove(Arc::clone(id)));
        let changes: Vec<Change> = removes.chain(puts.into_iter().map(Change::Put)).collect();
        if !changes.is_empty() {
            self.store.apply(changes);
        }
        for id in &leaving {
            self.store.note(id, None);
        }
        let after = After {
            store: &self.store,
            puts: HashMap::new(),
            leaving: &HashSet::new(),
            now,
        };
        let gone = gone.iter().map(|served| (served, !replanned));
        let before = gone.chain(replaced.iter().map(|served| (served, false)));
        let lost = before
            .flat_map(|(served, with_unnamed)| self.hosts.all_lost(served, with_unnamed, &after));
        self.lost = lost.collect::<BTreeSet<String>>().into_iter().collect();
    }

    /// The names for which there was a certificate before the last look, and none any more.
    pub(crate) fn take_lost(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lost)
    }

    /// Whether any of the files that somebody else reads has changed.
    pub(crate) fn look_at_others(&mut self) -> bool {
        let stamps = self.plan.others.iter();
        let stamps = stamps.map(|path| (path.clone(), stamp([path].into_iter())));
        let stamps: BTreeMap<PathBuf, Stamp> = stamps.collect();
        let has_changed = stamps
            .iter()
            .any(|(path, stamp)| self.other_stamps.get(path) != Some(stamp));
        self.other_stamps = stamps;
        has_changed
    }

    /// What the plan names, and what its folders hold. What is gone leaves the store with the next look; of a folder that
    /// can't be looked through nobody knows what is gone. Returns which folders have come to be so, or are no longer.
    pub(crate) fn find(&mut self) -> Vec<CertificateState> {
        let mut found: BTreeMap<String, FilesPlan> = BTreeMap::new();
        let mut shut = BTreeMap::new();
        for folder in &self.plan.folders {
            match pairs(folder) {
                Ok(held) => {
                    found.extend(
                        held.pairs
                            .into_iter()
                            .map(|files| (files.id.clone(), files)),
                    );
                }
                Err(error) => {
                    let kept = kept(&self.entries, &folder.id);
                    let had = found.len();
                    found.extend(kept.map(|(id, entry)| (id.clone(), entry.files.clone())));
                    let state = state_of_shut(folder, &error, found.len() > had);
                    shut.insert(folder.id.clone(), state);
                }
            }
        }
        let told = self.tell_shut(shut);
        for files in &self.plan.certificates {
            found.insert(files.id.clone(), files.clone());
        }
        self.leaving.retain(|id| !found.contains_key(&**id));
        let leaving = &mut self.leaving;
        self.entries.retain(|id, _| {
            let is_found = found.contains_key(id);
            if !is_found {
                leaving.insert(id.as_str().into());
            }
            is_found
        });
        for (id, files) in found {
            let entry = self.entries.entry(id).or_insert_with(|| Entry {
                files: files.clone(),
                seen: Seen::default(),
                state: None,
            });
            if entry.files != files {
                entry.files = files;
                entry.seen = Seen::default();
            }
        }
        told
    }

    /// Notes which folders can't be looked through; returns what is new of it.
    fn tell_shut(&mut self, shut: BTreeMap<String, CertificateState>) -> Vec<CertificateState> {
        let before = std::mem::replace(&mut self.shut, shut);
        let mut told = Vec::new();
        for (id, state) in &self.shut {
            if before.get(id).map(|old| &old.status) != Some(&state.status) {
                self.store.note(id, Some(state));
                told.push(state.clone());
            }
        }
        for (id, mut state) in before {
            if self.shut.contains_key(&id) {
                continue;
            }
            self.store.note(&id, None);
            if self.plan.folders.iter().any(|folder| folder.id == id) {
                state.status = CertificateStatus::Active;
                state.since = unix_s();
                told.push(state);
            }
        }
        told
    }

    /// Takes ticket keys up whose file has changed: the file, and what is wrong with it if anything is.
    pub(crate) fn look_at_tickets(&mut self) -> Option<(PathBuf, Option<Finding>)> {
        let (Some(path), Some(tickets)) = (&self.plan.ticket_keys, &self.tickets) else {
            return None;
        };
        let stamp = stamp([path].into_iter());
        if stamp == self.ticket_stamp {
            return None;
        }
        self.ticket_stamp = stamp;
        let replaced = read(path).and_then(|text| tickets.replace_keys(&text));
        Some((path.clone(), replaced.err()))
    }
}

impl Entry {
    /// Looks at the files: what has become of them, if that is news.
    fn look(
        &mut self,
        known: &KnownCertificates,
        is_first: bool,
        store: &CertificateStore,
        platform: &PlatformRoots,
        now: i64,
    ) -> Option<Judged> {
        let files = &self.files;
        let seen = Seen::at(files, now);
        let is_same = self.state.is_some() && seen.is_like(&self.seen);
        // Time passes also for files that nobody touches.
        let is_waiting = is_same && self.is_waiting(store, now);
        // They may have been written once more right after they were read.
        let is_doubtful = is_same && seen.is_settled() && !self.seen.is_settled();
        if is_same && !is_waiting && !is_doubtful {
            return None;
        }
        let known = known.of(files, &seen);
        let known = known.filter(|known| !is_doubtful || known.seen.is_settled());
        // Nothing is known of files that come with what their issuer says about revocation.
        let is_of_plan = known.is_some() || (is_first && files.ocsp.is_some());
        self.seen = known.map_or(seen, |known| known.seen.clone());
        let known = known.map(|known| Arc::clone(&known.served));
        let (mut state, put) = judge(files, known, store, now);
        if let Some(put) = &put {
            let platform = (!is_of_plan).then_some(platform);
            state
                .findings
                .extend(self.without_issuer(put, platform, store));
        }
        if is_doubtful && !is_waiting && self.is_as_before(&state, put.as_deref(), store) {
            return None;
        }
        Some(Judged {
            state,
            put,
            is_of_plan,
        })
    }

    /// Whether the files hold what they did when they were read the last time.
    fn is_as_before(
        &self,
        next: &CertificateState,
        put: Option<&Served>,
        store: &CertificateStore,
    ) -> bool {
        let is_same =
            |old: &CertificateState| old.status == next.status && old.findings == next.findings;
        let is_served = |put: &Served| self.is_served(put, store);
        self.state.as_ref().is_some_and(is_same) && put.is_none_or(is_served)
    }

    fn is_served(&self, read: &Served, store: &CertificateStore) -> bool {
        let served = store.get(&self.files.id);
        served.is_some_and(|served| served.certificate.is_same(&read.certificate))
    }

    /// What is to be told of a certificate that comes alone, without that of its issuer: what was, while it is served; else
    /// what the system's roots say, unless it was judged with the plan.
    fn without_issuer(
        &self,
        put: &Served,
        platform: Option<&PlatformRoots>,
        store: &CertificateStore,
    ) -> Option<Finding> {
        if let Some(state) = self.state.as_ref().filter(|_| self.is_served(put, store)) {
            let is_it = |finding: &&Finding| matches!(finding, Finding::MissingIntermediate { .. });
            return state.findings.iter().find(is_it).cloned();
        }
        put.certificate.without_issuer(platform?)
    }

    /// Whether time alone has changed what was decided: the time of a certificate that was not valid yet has come, or that
    /// of the one that is served in its place is over; or the time of what is served has come or is over, or that of what its
    /// issuer says about revocation.
    fn is_waiting(&self, store: &CertificateStore, now: i64) -> bool {
        let Some(state) = &self.state else {
            return false;
        };
        let finding = match &state.status {
            CertificateStatus::RenewedButNotActive(finding) => finding,
            CertificateStatus::Active => {
                let turns = |served: &Served| {
                    served.certificate.turns_between(state.since, now)
                        || served.is_in_time(state.since) != served.is_in_time(now)
                };
                return store
                    .get(&self.files.id)
                    .is_some_and(|served| turns(&served));
            }
            CertificateStatus::Broken(_) => return false,
        };
        // Another may be there by now for the name that it lacks.
        if matches!(finding, Finding::WrongName { .. }) {
            return true;
        }
        let has_come = matches!(finding, Finding::NotYetValid { not_before } if now >= *not_before);
        has_come
            || store
                .get(&self.files.id)
                .is_some_and(|served| !served.certificate.is_accepted(now))
    }
}

fn same(old: &CertificateState, new: &CertificateState) -> bool {
    // A certificate that was replaced by a good one is news too: only faults that stay are not.
    old.status == new.status
        && old.findings == new.findings
        && !matches!(new.status, CertificateStatus::Active)
}

/// What was found in files that have changed.
struct Judged {
    state: CertificateState,
    /// What is to be served from now on.
    put: Option<Arc<Served>>,
    /// Whether it was judged before, with the plan.
    is_of_plan: bool,
}

fn judge(
    files: &FilesPlan,
    known: Option<Arc<Served>>,
    store: &CertificateStore,
    now: i64,
) -> (CertificateState, Option<Arc<Served>>) {
    let served = store.get(&files.id);
    let read = match known {
        Some(known) => Ok((known, None)),
        None => load_files(files)
            .map(|(loaded, doubt)| (Arc::new(Served::new(&files.id, loaded)), doubt)),
    };
    let mut put = None;
    let (status, findings) = match read {
        Ok((read, doubt)) => {
            let mut findings = read.certificate.judge(now, None);
            match setback(&findings, served.as_deref(), now) {
                Some(finding) => (CertificateStatus::RenewedButNotActive(finding), Vec::new()),
                None => {
                    findings.extend(doubt);
                    put = Some(read);
                    (CertificateStatus::Active, findings)
                }
            }
        }
        Err(finding) if served.is_some() => {
            (CertificateStatus::RenewedButNotActive(finding), Vec::new())
        }
        Err(finding) => (CertificateStatus::Broken(finding), Vec::new()),
    };
    let state = CertificateState {
        id: files.id.clone(),
        source: files.certificate.clone(),
        status,
        findings,
        since: now,
    };
    (state, put)
}

/// Why a certificate must not take the place of the one that is served: clients would refuse it, and don't refuse that.
fn setback(findings: &[Finding], served: Option<&Served>, now: i64) -> Option<Finding> {
    let fault = findings
        .iter()
        .find(|finding| finding.severity() == Severity::Error)?;
    served?.certificate.is_accepted(now).then(|| fault.clone())
}

/// What the files hold. What the issuer says about revocation is shown if it is there: a certificate is of more use
/// without it than not at all.
fn load_files(files: &FilesPlan) -> Result<(LoadedCertificate, Option<Finding>), Finding> {
    let chain = read(&files.certificate)?;
    let loaded = if files.key == files.certificate {
        load(&chain, &chain)?
    } else {
        load(&chain, &read(&files.key)?)?
    };
    Ok(match files.ocsp.as_deref().map(read) {
        Some(Ok(response)) => (loaded.with_ocsp(response), None),
        Some(Err(finding)) => (loaded, Some(finding)),
        None => (loaded, None),
    })
}

/// The entries that came from a folder.
fn kept<'e>(
    entries: &'e BTreeMap<String, Entry>,
    folder: &str,
) -> impl Iterator<Item = (&'e String, &'e Entry)> {
    let prefix = format!("{folder}/");
    let from = entries.range(prefix.clone()..);
    from.take_while(move |(id, _)| id.starts_with(&prefix))
}

fn state_of_shut(folder: &FolderPlan, error: &io::Error, keeps_any: bool) -> CertificateState {
    let finding = Finding::Unreadable {
        file: folder.folder.display().to_string(),
        error: files::in_few_words(error),
    };
    CertificateState {
        id: folder.id.clone(),
        source: folder.folder.clone(),
        status: match keeps_any {
            true => CertificateStatus::RenewedButNotActive(finding),
            false => CertificateStatus::Broken(finding),
        },
        findings: Vec::new(),
        since: unix_s(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Finding> {
    files::read(path).map_err(|error| Finding::Unreadable {
        file: path.display().to_string(),
        error,
    })
}

#[cfg(test)]
mod tests;
