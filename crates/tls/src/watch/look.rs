//! One look at all files: what has changed since the last one, and what becomes of it.

use crate::certificate::{Finding, LoadedCertificate, Severity, load};
use crate::store::{CertificateStore, Change, Served};
use crate::tickets::Tickets;
use crate::watch::{FilesPlan, FolderPlan, WatchPlan};
use foregate_telemetry::clock::unix_now;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many certificates a folder may hold.
const FOLDER_CERTIFICATES_MAX: usize = 100_000;

/// How large a file may be: no chain or key comes near.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

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

/// What tells one version of a file from another.
type Stamp = Vec<Option<(u64, u64, u64, i64, i64)>>;

struct Entry {
    files: FilesPlan,
    stamp: Stamp,
    state: Option<CertificateState>,
}

pub(crate) struct Look {
    store: Arc<CertificateStore>,
    tickets: Option<Arc<Tickets>>,
    ticket_stamp: Stamp,
    /// Of the files that somebody else reads.
    other_stamps: BTreeMap<PathBuf, Stamp>,
    plan: WatchPlan,
    entries: BTreeMap<String, Entry>,
}

impl Look {
    pub(crate) fn new(store: Arc<CertificateStore>, tickets: Option<Arc<Tickets>>) -> Look {
        Look {
            store,
            tickets,
            ticket_stamp: Vec::new(),
            other_stamps: BTreeMap::new(),
            plan: WatchPlan::default(),
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn replan(&mut self, plan: WatchPlan) {
        self.plan = plan;
    }

    pub(crate) fn states(&self) -> Vec<CertificateState> {
        let states = self.entries.values();
        states.filter_map(|entry| entry.state.clone()).collect()
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
        let now = now();
        let mut changed = Vec::new();
        let mut changes = Vec::new();
        for entry in self.entries.values_mut() {
            let files = &entry.files;
            let stamp = stamp(
                [&files.certificate, &files.key]
                    .into_iter()
                    .chain(&files.ocsp),
            );
            let known = entry.state.is_some() && stamp == entry.stamp;
            // Time passes also for files that nobody touches.
            if known && !entry.is_waiting(now) {
                continue;
            }
            entry.stamp = stamp;
            let state = judge(files, &self.store, now, &mut changes);
            if entry.state.as_ref().is_none_or(|old| !same(old, &state)) {
                changed.push(state.clone());
            }
            self.store.note(&state.id, Some(state.status.name()));
            entry.state = Some(state);
        }
        if !changes.is_empty() {
            self.store.apply(changes);
        }
        changed.extend(self.look_at_tickets(now));
        changed
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

    /// What the plan names, and what its folders hold. What is gone leaves the store.
    pub(crate) fn find(&mut self) {
        let mut found: BTreeMap<String, FilesPlan> = BTreeMap::new();
        for folder in &self.plan.folders {
            for files in pairs(folder) {
                found.insert(files.id.clone(), files);
            }
        }
        for files in &self.plan.certificates {
            found.insert(files.id.clone(), files.clone());
        }
        let gone: Vec<String> = self
            .entries
            .keys()
            .filter(|id| !found.contains_key(*id))
            .cloned()
            .collect();
        let mut changes = Vec::new();
        for id in gone {
            self.entries.remove(&id);
            self.store.note(&id, None);
            changes.push(Change::Remove(id.as_str().into()));
        }
        if !changes.is_empty() {
            self.store.apply(changes);
        }
        for (id, files) in found {
            let entry = self.entries.entry(id).or_insert_with(|| Entry {
                files: files.clone(),
                stamp: Vec::new(),
                state: None,
            });
            if entry.files != files {
                entry.files = files;
                entry.stamp = Vec::new();
            }
        }
    }

    fn look_at_tickets(&mut self, now: i64) -> Option<CertificateState> {
        let (Some(path), Some(tickets)) = (&self.plan.ticket_keys, &self.tickets) else {
            return None;
        };
        let stamp = stamp([path].into_iter());
        if stamp == self.ticket_stamp {
            return None;
        }
        self.ticket_stamp = stamp;
        let replaced = read(path).and_then(|text| tickets.replace_keys(&text));
        Some(CertificateState {
            id: "ticket-keys".to_owned(),
            source: path.clone(),
            status: match replaced {
                Ok(()) => CertificateStatus::Active,
                Err(finding) => CertificateStatus::RenewedButNotActive(finding),
            },
            findings: Vec::new(),
            since: now,
        })
    }
}

impl Entry {
    /// Whether time alone can change what was decided: a certificate that is not valid yet, or the one that is served
    /// in its place ends.
    fn is_waiting(&self, now: i64) -> bool {
        match self.state.as_ref().map(|state| &state.status) {
            Some(CertificateStatus::RenewedButNotActive(Finding::NotYetValid { not_before })) => {
                now >= *not_before
            }
            _ => false,
        }
    }
}

fn same(old: &CertificateState, new: &CertificateState) -> bool {
    // A certificate that was replaced by a good one is news too: only faults that stay are not.
    old.status == new.status
        && old.findings == new.findings
        && !matches!(new.status, CertificateStatus::Active)
}

fn judge(
    files: &FilesPlan,
    store: &CertificateStore,
    now: i64,
    changes: &mut Vec<Change>,
) -> CertificateState {
    let served = store.get(&files.id);
    let (status, findings) = match load_files(files) {
        Ok(loaded) => {
            let findings = loaded.judge(now, None);
            match setback(&findings, served.as_deref(), now) {
                Some(finding) => (CertificateStatus::RenewedButNotActive(finding), Vec::new()),
                None => {
                    changes.push(Change::Put(Arc::new(Served::new(&files.id, loaded))));
                    (CertificateStatus::Active, findings)
                }
            }
        }
        Err(finding) if served.is_some() => {
            (CertificateStatus::RenewedButNotActive(finding), Vec::new())
        }
        Err(finding) => (CertificateStatus::Broken(finding), Vec::new()),
    };
    CertificateState {
        id: files.id.clone(),
        source: files.certificate.clone(),
        status,
        findings,
        since: now,
    }
}

/// Why a certificate must not take the place of the one that is served: clients would refuse it, and don't refuse that.
fn setback(findings: &[Finding], served: Option<&Served>, now: i64) -> Option<Finding> {
    let fault = findings
        .iter()
        .find(|finding| finding.severity() == Severity::Error)?;
    let served = &served?.certificate;
    let good = served
        .judge(now, None)
        .iter()
        .all(|finding| finding.severity() != Severity::Error);
    good.then(|| fault.clone())
}

fn load_files(files: &FilesPlan) -> Result<LoadedCertificate, Finding> {
    let chain = read(&files.certificate)?;
    let loaded = if files.key == files.certificate {
        load(&chain, &chain)?
    } else {
        load(&chain, &read(&files.key)?)?
    };
    match &files.ocsp {
        Some(ocsp) => Ok(loaded.with_ocsp(read(ocsp)?)),
        None => Ok(loaded),
    }
}

/// The pairs in a folder.
pub(super) fn pairs(folder: &FolderPlan) -> Vec<FilesPlan> {
    let mut pairs = Vec::new();
    for path in list(&folder.folder) {
        if pairs.len() == FOLDER_CERTIFICATES_MAX {
            break;
        }
        let Some(pair) = pair(&path) else {
            continue;
        };
        let (name, certificate, key) = pair;
        pairs.push(FilesPlan {
            id: format!("{}/{name}", folder.id),
            certificate,
            key,
            ocsp: None,
        });
    }
    pairs
}

fn pair(path: &Path) -> Option<(String, PathBuf, PathBuf)> {
    let file_name = path.file_name()?.to_str()?;
    // Hidden ones are somebody's scaffolding: Kubernetes has `..data`.
    if file_name.starts_with('.') {
        return None;
    }
    if path.is_dir() {
        let kinds = [("fullchain.pem", "privkey.pem"), ("tls.crt", "tls.key")];
        return kinds.into_iter().find_map(|(certificate, key)| {
            let (certificate, key) = (path.join(certificate), path.join(key));
            certificate
                .exists()
                .then(|| (file_name.to_owned(), certificate, key))
        });
    }
    let name = file_name
        .strip_suffix(".pem")
        .or(file_name.strip_suffix(".crt"))?;
    let key = path.with_extension("key");
    // A file can hold both.
    let key = if key.exists() { key } else { path.to_owned() };
    Some((name.to_owned(), path.to_owned(), key))
}

/// What is a directory in a folder, or leads to one: a listing tells that of most entries without a look at each.
fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_file()))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[expect(
    clippy::disallowed_methods,
    reason = "runs on the control plane, where nobody waits for it"
)]
fn read(path: &Path) -> Result<Vec<u8>, Finding> {
    let unreadable = |error: String| Finding::Unreadable {
        file: path.display().to_string(),
        error,
    };
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(unreadable(format!(
            "it is larger than {FILE_BYTES_MAX} bytes"
        )));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}

fn stamp<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Stamp {
    let version = |metadata: Metadata| {
        (
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        )
    };
    paths
        .map(|path| std::fs::metadata(path).ok().map(version))
        .collect()
}

fn now() -> i64 {
    i64::try_from(unix_now().micros() / 1_000_000).unwrap_or(i64::MAX)
}
