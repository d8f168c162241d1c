//! Trusted: whom clients and backends are believed by. From files, which are read again when one of them changes; one
//! that turns bad leaves what was read before in force, and says so.

use crate::credentials::{Credentials, backend_plan, entry_of, read, revocation_list, unix_s};
use foregate_snapshot::{ClientCertificatePlan, Snapshot, UpstreamTlsPlan};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::{Exposition, Gauges, Kind};
use foregate_tls::certificate::{Finding, Roots, load};
use foregate_tls::{ClientAuthPlan, Connector, ConnectorPlan, RootsPlan};
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
}

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
