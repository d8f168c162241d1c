//! Trusted: whom clients and backends are believed by. From files, which are read again when one of them changes; one
//! that turns bad leaves what was read before in force, and says so.

use crate::credentials::{Credentials, backend_plan, entry_of, revocation_list};
use foregate_snapshot::{ClientCertificatePlan, Snapshot, UpstreamTlsPlan};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::{Exposition, Gauges, Kind};
use foregate_tls::certificate::{Finding, Roots, load};
use foregate_tls::files::read;
use foregate_tls::{ClientAuthPlan, Connector, ConnectorPlan, RootsPlan, unix_s};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Trusted {
    /// What is asked of clients, by the site's number.
    pub(super) clients: Vec<Option<ClientAuthPlan>>,
    /// How backends are spoken to, by the upstream's number.
    pub(super) backends: Vec<Option<ConnectorPlan>>,
    /// The name in the store of the certificate for whoever asks for an unknown name.
    pub(super) default_certificate: Option<String>,
}

impl Trusted {
    /// What was read with a configuration.
    pub(super) fn of(snapshot: &Snapshot, credentials: &Credentials) -> Trusted {
        let entry = snapshot.tls.default_certificate.as_deref();
        let mut served = credentials.served.iter();
        let default = served.find(|served| Some(entry_of(&served.id)) == entry);
        Trusted {
            clients: credentials.clients.clone(),
            backends: credentials.connectors.clone(),
            default_certificate: default.map(|served| served.id.to_string()),
        }
    }

    /// Until when revocation lists count, by file, in seconds since 1970.
    pub(super) fn list_ends(&self) -> BTreeMap<String, i64> {
        let clients = self.clients.iter().flatten();
        let lists = clients.flat_map(|client| &client.crls);
        lists
            .filter_map(|list| Some((list.name.clone(), list.next_update()?)))
            .collect()
    }

    /// Every file that something is taken from.
    pub(super) fn files(snapshot: &Snapshot) -> Vec<PathBuf> {
        let clients = snapshot.sites.iter().filter_map(|site| {
            let plan = site.tls.client.as_ref()?;
            Some(plan.crl_files.iter().chain([&plan.ca_file]))
        });
        let backends = snapshot.upstreams.iter().filter_map(|upstream| {
            let plan = upstream.tls.as_ref()?;
            let shown = plan.client_certificate.iter();
            Some(
                shown
                    .flat_map(|(certificate, key)| [certificate, key])
                    .chain(&plan.ca_file),
            )
        });
        let files: BTreeSet<&PathBuf> = clients.flatten().chain(backends.flatten()).collect();
        files.into_iter().cloned().collect()
    }

    /// Reads all files again. Returns what is to be in force now, if that is anything new.
    pub(super) fn read_again(&self, snapshot: &Snapshot, files: &TrustFiles) -> Option<Trusted> {
        let mut next = self.clone();
        let mut reader = Reader::default();
        let mut is_new = false;
        for (site, known) in snapshot.sites.iter().zip(&mut next.clients) {
            if let Some(plan) = &site.tls.client {
                let found = client(plan, known.as_ref(), &mut reader);
                is_new |= files.take(format!("site {}", site.name), found, known);
            }
        }
        for (upstream, known) in snapshot.upstreams.iter().zip(&mut next.backends) {
            if let Some(plan) = &upstream.tls {
                let found = backend(plan, known.as_ref(), &mut reader);
                is_new |= files.take(format!("upstream {}", upstream.name), found, known);
            }
        }
        is_new.then_some(next)
    }
}

/// How the files are, for whoever watches them, logs and metrics.
#[derive(Debug, Default)]
pub(crate) struct TrustFiles {
    /// One of them may be another than the one that was read.
    have_changed: AtomicBool,
    users: Mutex<Users>,
    /// The revocation lists in force that say when their time is over, by file.
    lists: Mutex<BTreeMap<String, List>>,
}

/// A revocation list in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct List {
    /// When its time is over, in seconds since 1970.
    next_update: i64,
    /// Whether operators know that it is.
    is_told: bool,
}

/// Revocation lists that have a metric of their own.
const METRIC_LISTS_MAX: usize = 1_000;

#[derive(Debug, Default)]
struct Users {
    /// How many sites and upstreams take something from files.
    all: usize,
    /// Those whose files can't be taken up, with the reason.
    broken: BTreeMap<String, String>,
}

/// A file that can't be taken up, and why.
struct Fault {
    file: PathBuf,
    problem: String,
}

impl TrustFiles {
    pub(super) fn note_change(&self) {
        self.have_changed.store(true, Ordering::Release);
    }

    /// Whether anything has changed since this was asked the last time.
    pub(super) fn have_changed(&self) -> bool {
        self.have_changed.swap(false, Ordering::AcqRel)
    }

    /// A configuration's files have all been read, and are good.
    pub(super) fn all_good(&self, snapshot: &Snapshot) {
        let sites = snapshot.sites.iter();
        let sites = sites.filter(|site| site.tls.client.is_some());
        let upstreams = snapshot.upstreams.iter();
        let upstreams = upstreams.filter(|one| one.tls.as_ref().is_some_and(has_files));
        let mut users = self.users();
        users.all = sites.count() + upstreams.count();
        users.broken.clear();
    }

    /// From now on these revocation lists are in force: by file, when their time is over. What is over already was told when
    /// it was read.
    pub(super) fn in_force(&self, lists: BTreeMap<String, i64>, now_unix: i64) {
        let list = |next_update| List {
            next_update,
            is_told: now_unix >= next_update,
        };
        let lists = lists.into_iter();
        *self.lists() = lists.map(|(file, end)| (file, list(end))).collect();
    }

    /// Tells of revocation lists whose time is over since the last look.
    pub(super) fn look_at_lists(&self, now_unix: i64) {
        for (file, list) in self.lists().iter_mut() {
            if list.is_told || now_unix < list.next_update {
                continue;
            }
            list.is_told = true;
            let next_update = list.next_update;
            process::warn(
                "a file of what is trusted is doubtful",
                &[
                    ("file", file),
                    ("problem", &Finding::RevocationsOver { next_update }),
                ],
            );
        }
    }

    fn lists(&self) -> MutexGuard<'_, BTreeMap<String, List>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what was read for a site or an upstream; returns whether it is new.
    fn take<T: PartialEq>(
        &self,
        user: String,
        found: Result<T, Fault>,
        known: &mut Option<T>,
    ) -> bool {
        let fault = match found {
            Ok(found) => {
                let is_new = known.as_ref() != Some(&found);
                let was_broken = self.users().broken.remove(&user).is_some();
                if is_new || was_broken {
                    process::info("what is trusted was read again", &[("for", &user)]);
                }
                *known = Some(found);
                return is_new;
            }
            Err(fault) => fault,
        };
        let problem = format!("{}: {}", fault.file.display(), fault.problem);
        let told = self.users().broken.insert(user.clone(), problem.clone());
        if told.as_ref() != Some(&problem) {
            process::error(
                "a new file of what is trusted cannot be used, the one before stays in force",
                &[
                    ("for", &user),
                    ("file", &fault.file.display()),
                    ("error", &fault.problem),
                ],
            );
        }
        false
    }
}

impl Gauges for TrustFiles {
    fn collect(&self, out: &mut Exposition) {
        let users = self.users();
        let states = out.family(
            "foregate_trust_files",
            Kind::Gauge,
            "Sites and upstreams that take from files whom they trust, by whether what the files hold is in force.",
        );
        let broken = users.broken.len();
        let active = users.all.saturating_sub(broken);
        for (state, count) in [("active", active), ("renewed-but-not-active", broken)] {
            out.count(states, &[("state", state)], count as u64);
        }
        drop(users);
        let ends = out.family(
            "foregate_revocation_list_next_update_seconds",
            Kind::Gauge,
            "When the time of a revocation list for clients is over, in Unix time; from then on clients of its authority are refused.",
        );
        for (file, list) in self.lists().iter().take(METRIC_LISTS_MAX) {
            let next_update = u64::try_from(list.next_update).unwrap_or(0);
            out.count(ends, &[("file", file)], next_update);
        }
    }
}

fn has_files(plan: &UpstreamTlsPlan) -> bool {
    plan.ca_file.is_some() || plan.client_certificate.is_some()
}

/// Reads each file once, however many sites name it.
#[derive(Default)]
struct Reader(HashMap<PathBuf, Result<Vec<u8>, String>>);

impl Reader {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, Fault> {
        let read = self.0.entry(path.to_owned()).or_insert_with(|| read(path));
        read.clone().map_err(|problem| Fault {
            file: path.to_owned(),
            problem,
        })
    }
}

fn in_file(path: &Path) -> impl Fn(Finding) -> Fault {
    move |finding| Fault {
        file: path.to_owned(),
        problem: finding.to_string(),
    }
}

fn client(
    plan: &ClientCertificatePlan,
    known: Option<&ClientAuthPlan>,
    reader: &mut Reader,
) -> Result<ClientAuthPlan, Fault> {
    let mut found = ClientAuthPlan {
        required: plan.required,
        ca_pem: reader.read(&plan.ca_file)?,
        crls: Vec::new(),
    };
    found.check().map_err(in_file(&plan.ca_file))?;
    let alone = found.clone();
    for path in &plan.crl_files {
        let list = revocation_list(path, reader.read(path)?);
        if known.is_none_or(|known| !known.crls.contains(&list)) {
            let mut alone = alone.clone();
            alone.crls.push(list.clone());
            alone.check().map_err(in_file(path))?;
            if let Some(finding) = list.judge(unix_s()) {
                process::warn(
                    "a file of what is trusted is doubtful",
                    &[("file", &path.display()), ("problem", &finding)],
                );
            }
        }
        found.crls.push(list);
    }
    if known != Some(&found) {
        for (place, finding) in found.judge_lists() {
            let path = place.and_then(|place| plan.crl_files.get(place));
            process::warn(
                "a file of what is trusted is doubtful",
                &[
                    ("file", &path.unwrap_or(&plan.ca_file).display()),
                    ("problem", &finding),
                ],
            );
        }
    }
    Ok(found)
}

fn backend(
    plan: &UpstreamTlsPlan,
    known: Option<&ConnectorPlan>,
    reader: &mut Reader,
) -> Result<ConnectorPlan, Fault> {
    let roots = match &plan.ca_file {
        None => RootsPlan::Platform,
        Some(path) => {
            let pem = reader.read(path)?;
            Roots::from_pem(&pem).map_err(in_file(path))?;
            RootsPlan::Pem(pem)
        }
    };
    let shown = match &plan.client_certificate {
        None => None,
        Some((certificate, key)) => {
            let pair = (reader.read(certificate)?, reader.read(key)?);
            load(&pair.0, &pair.1).map_err(in_file(certificate))?;
            Some(pair)
        }
    };
    let found = backend_plan(plan, roots, shown);
    if known != Some(&found) {
        let any = plan.ca_file.iter();
        let any = any.chain(plan.client_certificate.as_ref().map(|(chain, _)| chain));
        if let (Err(fault), Some(path)) = (Connector::new(&found), any.into_iter().next()) {
            return Err(in_file(path)(fault.finding));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/etc/clients.crl";
    const END: i64 = 1_893_456_000;

    fn told(files: &TrustFiles) -> Vec<bool> {
        files.lists().values().map(|list| list.is_told).collect()
    }

    #[test]
    fn a_list_whose_time_runs_out_is_told_once_and_shown() {
        let files = TrustFiles::default();
        let lists = || BTreeMap::from([(FILE.to_owned(), END)]);
        files.in_force(lists(), END - 10);
        files.look_at_lists(END - 1);
        assert_eq!(told(&files), [false]);
        let mut out = Exposition::new();
        files.collect(&mut out);
        let text = out.finish();
        let line = format!("foregate_revocation_list_next_update_seconds{{file=\"{FILE}\"}} {END}");
        assert!(text.contains(&line), "{text}");
        files.look_at_lists(END);
        assert_eq!(told(&files), [true]);
        // Who reads a list that is over is told by that.
        files.in_force(lists(), END + 1);
        assert_eq!(told(&files), [true]);
        files.in_force(BTreeMap::new(), END + 1);
        assert_eq!(told(&files), [false; 0]);
    }
}
