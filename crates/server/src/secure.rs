//! Secure: the certificates of the process, who issues them, and what handshakes follow. Outlives configurations.
//!
//! ```text
//! files ──► Credentials ──┐                          ┌──► acceptors, connectors ──► workers
//!                         ├──► store ◄── (by name) ──┤
//! ACME, internal ──► sink ┘                          └──► the road: is a host certified?
//!
//! files change ──► watcher ──► store (certificates), or control, which reads again whom clients and backends trust
//! ```

mod issuing;
mod serving;
mod trusted;

use crate::control::Controller;
use crate::credentials::Credentials;
use foregate_acme::{Agent, Challenges, StateFolder};
use foregate_exchange::{Certificates, SecurePart};
use foregate_snapshot::{CertificateFiles, SiteTlsPlan, Snapshot};
use foregate_telemetry::clock::now;
use foregate_telemetry::log::process;
use foregate_tls::certificate::Finding;
use foregate_tls::watch::{
    CertificateState, CertificateStatus, FilesPlan, FolderPlan, KnownCertificates, News, WatchPlan,
    Watcher,
};
use foregate_tls::{
    Acceptor, CertificateStore, Connector, ConnectorPlan, HandshakeGate, Served, ServerConfig,
    SessionCache, Tickets, unix_s,
};
pub(crate) use issuing::Unprepared;
use issuing::{Intake, Missing};
pub(crate) use serving::is_of;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
pub(crate) use trusted::TrustFiles;
use trusted::Trusted;
use zeroize::Zeroizing;

/// How long the agent may take to end, and how often that is looked at: it removes DNS records of orders that run.
const ISSUING_END_TIMEOUT: Duration = Duration::from_secs(6);
const ISSUING_END_POLL: Duration = Duration::from_millis(5);

/// Names without certificate that one line of the log shows.
const LOST_NAMES_SHOWN_MAX: usize = 16;

/// How handshakes with clients are held, by the listener's number.
pub(crate) type Acceptors = Arc<HashMap<u32, Arc<Acceptor>>>;

/// How handshakes with backends are held, by the upstream's number.
pub(crate) type Connectors = Arc<[Option<Arc<Connector>>]>;

/// Connectors, each beside what it was made from.
type Made = Vec<(ConnectorPlan, Arc<Connector>)>;

/// What workers take up of TLS.
#[derive(Clone, Debug)]
pub(crate) struct Secured {
    pub(crate) acceptors: Acceptors,
    /// How handshakes with backends are held, by the upstream's number.
    pub(crate) connectors: Connectors,
    /// What the road follows, by the site's number.
    pub(crate) sites: Arc<[SecurePart]>,
}

/// A configuration's TLS, prepared whole: nothing can fail any more.
pub(crate) struct Prepared {
    secured: Secured,
    connectors: Made,
    trusted: Trusted,
    files: WatchPlan,
    known: KnownCertificates,
    wanted: foregate_acme::Wanted,
    folder: Option<StateFolder>,
    gates: HashMap<Box<str>, Arc<HandshakeGate>>,
    tickets: Option<(TicketSource, Arc<Tickets>)>,
    sessions: (usize, Arc<SessionCache>),
}

/// Where ticket keys come from; while it stays the same the keys do.
#[derive(Clone, PartialEq, Eq, Debug)]
enum TicketSource {
    Own(std::time::Duration),
    File(Vec<u8>, std::time::Duration),
}

/// What every worker asks, without a lock.
#[derive(Debug)]
pub(crate) struct Lookup {
    store: Arc<CertificateStore>,
    challenges: Challenges,
}

/// What the control thread keeps of TLS.
pub(crate) struct Keeper {
    lookup: Arc<Lookup>,
    /// Who looks after files.
    watcher: Option<Watcher>,
    gates: HashMap<Box<str>, Arc<HandshakeGate>>,
    tickets: Option<(TicketSource, Arc<Tickets>)>,
    /// Ticket keys of the process before this one.
    inherited: Option<Zeroizing<Vec<u8>>>,
    sessions: (usize, Arc<SessionCache>),
    missing: Arc<Missing>,
    /// What each connector was made from.
    connectors: Made,
    trusted: Trusted,
    trust_files: Arc<TrustFiles>,
    /// Who is told when files have changed that it reads.
    controller: Controller,
    agent: Option<Agent>,
    /// Its thread.
    issuing: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Goes on with the ticket keys of the process before this one, where keys are drawn at all.
    pub(crate) fn inherit_tickets(&mut self, keys: Zeroizing<Vec<u8>>) {
        self.inherited = Some(keys);
    }

    /// The ticket keys that this process has drawn, for its successor.
    pub(crate) fn tickets_to_successor(&self) -> Option<Zeroizing<Vec<u8>>> {
        (self.tickets.as_ref()).and_then(|(_, tickets)| tickets.to_successor())
    }

    /// Nothing is kept yet.
    pub(crate) fn new(controller: Controller) -> Keeper {
        let lookup = Lookup {
            store: CertificateStore::new(),
            challenges: Challenges::new(),
        };
        Keeper {
            lookup: Arc::new(lookup),
            watcher: None,
            gates: HashMap::new(),
            tickets: None,
            inherited: None,
            sessions: (0, SessionCache::new(0)),
            missing: Arc::default(),
            connectors: Vec::new(),
            trusted: Trusted::default(),
            trust_files: Arc::default(),
            controller,
            agent: None,
            issuing: None,
        }
    }

    /// What the road asks.
    pub(crate) fn certificates(&self) -> Arc<dyn Certificates> {
        Arc::clone(&self.lookup) as _
    }

    /// The certificates that are served as their files say it.
    pub(crate) fn known(&self) -> KnownCertificates {
        let watcher = self.watcher.as_ref();
        watcher.map_or_else(KnownCertificates::default, Watcher::known)
    }

    /// Prepares a configuration. `ports` tells the port that a listener listens on.
    ///
    /// # Errors
    /// What can't be used of it, ready to be shown to people.
    pub(crate) fn prepare(
        &self,
        snapshot: &Snapshot,
        credentials: &Credentials,
        ports: &HashMap<u32, SocketAddr>,
    ) -> Result<Prepared, Unprepared> {
        let gates = self.gates_of(snapshot);
        let tickets = self.tickets_of(snapshot, credentials)?;
        let sessions = match snapshot.tls.session_cache_max {
            max if max == self.sessions.0 => self.sessions.clone(),
            max => (max, SessionCache::new(max)),
        };
        let shared = serving::Shared {
            lookup: &self.lookup,
            gates: &gates,
            tickets: tickets.as_ref().map(|(_, tickets)| tickets),
            sessions: &sessions.1,
            missing: &self.missing,
        };
        let trusted = Trusted::of(snapshot, credentials);
        let (secured, kept) = self.secured(snapshot, &trusted, &shared, ports)?;
        let wanted = issuing::wanted(snapshot, credentials)?;
        let needs_folder = !wanted.certificates.is_empty()
            || wanted
                .acme
                .as_ref()
                .is_some_and(|acme| acme.on_demand.is_some());
        let folder = match needs_folder && self.agent.is_none() {
            true => Some(issuing::open_folder(snapshot).map_err(Unprepared::Folder)?),
            false => None,
        };
        Ok(Prepared {
            secured,
            connectors: kept,
            trusted,
            files: files(snapshot),
            known: credentials.known.clone(),
            wanted,
            folder,
            gates,
            tickets,
            sessions,
        })
    }

    /// What workers take up.
    fn secured(
        &self,
        snapshot: &Snapshot,
        trusted: &Trusted,
        shared: &serving::Shared<'_>,
        ports: &HashMap<u32, SocketAddr>,
    ) -> Result<(Secured, Made), String> {
        let acceptors = serving::acceptors(snapshot, trusted, shared)?;
        let (connectors, kept) = serving::connectors(snapshot, trusted, &self.connectors)?;
        let sites = serving::sites(snapshot, &acceptors, ports);
        let secured = Secured {
            acceptors: Arc::new(acceptors),
            connectors,
            sites,
        };
        Ok((secured, kept))
    }

    /// Reads again whom clients and backends trust, if any of those files has changed. Returns what workers are to take
    /// up then.
    pub(crate) fn renew_trust(
        &mut self,
        snapshot: &Snapshot,
        ports: &HashMap<u32, SocketAddr>,
    ) -> Option<Secured> {
        self.trust_files.look_at_lists(unix_s());
        if !self.trust_files.have_changed() {
            return None;
        }
        let trusted = self.trusted.read_again(snapshot, &self.trust_files)?;
        let shared = serving::Shared {
            lookup: &self.lookup,
            gates: &self.gates,
            tickets: self.tickets.as_ref().map(|(_, tickets)| tickets),
            sessions: &self.sessions.1,
            missing: &self.missing,
        };
        match self.secured(snapshot, &trusted, &shared, ports) {
            Ok((secured, kept)) => {
                self.connectors = kept;
                self.trust_files.in_force(trusted.list_ends(), unix_s());
                self.trusted = trusted;
                Some(secured)
            }
            // Each part was looked at, so this takes two that are good alone and not together.
            Err(problem) => {
                process::error(
                    "new files of what is trusted cannot be used, those before stay in force",
                    &[("error", &problem)],
                );
                None
            }
        }
    }

    fn gates_of(&self, snapshot: &Snapshot) -> HashMap<Box<str>, Arc<HandshakeGate>> {
        let listeners = snapshot.listeners.iter().filter(|one| one.is_tls());
        listeners
            .map(|listener| {
                let gate = match self.gates.get(&listener.name) {
                    Some(gate) => Arc::clone(gate),
                    None => HandshakeGate::new(listener.handshakes_max),
                };
                gate.set_max(listener.handshakes_max);
                (listener.name.clone(), gate)
            })
            .collect()
    }

    fn tickets_of(
        &self,
        snapshot: &Snapshot,
        credentials: &Credentials,
    ) -> Result<Option<(TicketSource, Arc<Tickets>)>, String> {
        if !snapshot.tls.session_tickets {
            return Ok(None);
        }
        let rotation = snapshot.tls.ticket_rotation;
        let source = match &credentials.ticket_keys {
            Some(keys) => TicketSource::File(keys.clone(), rotation),
            None => TicketSource::Own(rotation),
        };
        if let Some((present, tickets)) = &self.tickets
            && *present == source
        {
            return Ok(Some((source, Arc::clone(tickets))));
        }
        let tickets = match &source {
            TicketSource::File(keys, lifetime) => {
                Tickets::from_keys(keys, *lifetime).map_err(|finding| finding.to_string())?
            }
            // The first ones may be those of the process before this one.
            TicketSource::Own(rotation) => (self.inherited.as_ref())
                .filter(|_| self.tickets.is_none())
                .and_then(|keys| Tickets::from_predecessor(*rotation, keys))
                .or_else(|| Tickets::rotating(*rotation))
                .ok_or("the system gives no random bytes for ticket keys")?,
        };
        Ok(Some((source, tickets)))
    }

    /// Takes a prepared configuration up. What it asks an authority for comes by itself.
    pub(crate) fn take_up(
        &mut self,
        snapshot: &Snapshot,
        prepared: Prepared,
    ) -> Result<Secured, String> {
        let Prepared {
            secured,
            connectors,
            trusted,
            files,
            known,
            wanted,
            folder,
            gates,
            tickets,
            sessions,
        } = prepared;
        let keys = tickets.as_ref().map(|(_, tickets)| Arc::clone(tickets));
        self.watch(files, known, keys);
        self.trust_files.all_good(snapshot);
        self.trust_files.in_force(trusted.list_ends(), unix_s());
        self.trusted = trusted;
        self.connectors = connectors;
        self.gates = gates;
        self.tickets = tickets;
        self.sessions = sessions;
        let intake = Intake::new(&self.lookup.store, folder.clone());
        match (&self.agent, folder) {
            (Some(agent), _) => {
                agent.want(wanted.clone());
                // Not before: a handshake in between would have the agent bring back what it still has.
                intake.forget_all_but(&wanted, &agent.status());
            }
            (None, Some(folder)) => {
                let challenges = self.lookup.challenges.clone();
                let sink = move |issued| intake.take(issued);
                let (agent, thread) = Agent::start(folder, wanted, challenges, sink)
                    .map_err(|failure| failure.to_string())?;
                self.issuing = Some(thread);
                self.missing.answer_with(agent.clone());
                self.agent = Some(agent);
            }
            (None, None) => {}
        }
        Ok(secured)
    }

    /// Has files looked after, from what they hold now on.
    fn watch(&mut self, files: WatchPlan, known: KnownCertificates, tickets: Option<Arc<Tickets>>) {
        if let Some(watcher) = &self.watcher {
            return watcher.replan(files, known, tickets);
        }
        if files == WatchPlan::default() {
            return;
        }
        let store = Arc::clone(&self.lookup.store);
        let (trust_files, controller) = (Arc::clone(&self.trust_files), self.controller.clone());
        let observer = move |news: News<'_>| match news {
            News::Certificate(state) => tell(state),
            News::TicketKeys(file, fault) => tell_ticket_keys(file, fault),
            News::Lost(names) => tell_lost(names),
            News::Others => {
                trust_files.note_change();
                controller.look_at_trust();
            }
        };
        let watcher = Watcher::start(files, known, store, tickets, Box::new(observer));
        self.watcher = Some(watcher);
    }

    /// How the admin API's address is served over TLS, if it is; the certificate is in the store by then.
    ///
    /// # Errors
    /// It is not, ready to be shown to people.
    pub(crate) fn admin(&self, snapshot: &Snapshot) -> Result<Option<Arc<ServerConfig>>, String> {
        let name = snapshot.admin.as_ref().map(|admin| &admin.certificate);
        let Some(name) = name.and_then(Option::as_deref) else {
            return Ok(None);
        };
        let config = foregate_tls::lone(self.store(), name, serving::profile(snapshot));
        let missing = || format!("the certificate `{name}` of the admin API cannot be served");
        config.map(Some).ok_or_else(missing)
    }

    /// The agent, once anything is issued.
    pub(crate) fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    /// The certificates.
    pub(crate) fn store(&self) -> &Arc<CertificateStore> {
        &self.lookup.store
    }

    /// How the files are that say whom to trust.
    pub(crate) fn trust_files(&self) -> Arc<TrustFiles> {
        Arc::clone(&self.trust_files)
    }

    /// Lets orders rest; the next process goes on with them.
    pub(crate) fn stop(&self) {
        if let Some(agent) = &self.agent {
            agent.stop();
        }
    }

    /// Waits, once it was stopped, until nothing is left of orders that were cut off.
    pub(crate) fn finish(&self) {
        let until = now().plus(ISSUING_END_TIMEOUT);
        let is_busy = |thread: &JoinHandle<()>| !thread.is_finished();
        while self.issuing.as_ref().is_some_and(is_busy) && now() < until {
            std::thread::park_timeout(ISSUING_END_POLL);
        }
    }
}

/// Tells operators what has become of a file.
fn tell(state: &CertificateState) {
    let source = state.source.display();
    match &state.status {
        CertificateStatus::Active => process::info(
            "certificate in service",
            &[("certificate", &state.id), ("file", &source)],
        ),
        CertificateStatus::Broken(finding) => process::error(
            "a certificate cannot be served",
            &[
                ("certificate", &state.id),
                ("file", &source),
                ("error", finding),
            ],
        ),
        CertificateStatus::RenewedButNotActive(finding) => process::error(
            "a new certificate cannot be served, the one before stays in service",
            &[
                ("certificate", &state.id),
                ("file", &source),
                ("error", finding),
            ],
        ),
    }
    for finding in &state.findings {
        process::warn(
            "a certificate is doubtful",
            &[("certificate", &state.id), ("problem", finding)],
        );
    }
}

/// Tells operators what has become of the file of ticket keys.
fn tell_ticket_keys(file: &Path, fault: Option<&Finding>) {
    let file = file.display();
    match fault {
        None => process::info("session ticket keys in force", &[("file", &file)]),
        Some(fault) => process::error(
            "new session ticket keys cannot be used, those before stay in force",
            &[("file", &file), ("error", fault)],
        ),
    }
}

/// Tells operators of names that had a certificate and have none.
fn tell_lost(names: &[String]) {
    let shown = names.iter().take(LOST_NAMES_SHOWN_MAX).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    process::error(
        "names have lost their last good certificate, and are not reached over TLS until there is another",
        &[("names", &shown), ("count", &names.len())],
    );
}

/// The files that hold certificates, ticket keys and whom to trust.
fn files(snapshot: &Snapshot) -> WatchPlan {
    let mut plan = WatchPlan {
        ticket_keys: snapshot.tls.ticket_keys_file.clone(),
        others: Trusted::files(snapshot),
        ..WatchPlan::default()
    };
    for certificate in &snapshot.certificates {
        let id = certificate.name.to_string();
        match &certificate.source {
            CertificateFiles::Pair {
                certificate,
                key,
                ocsp,
            } => plan.certificates.push(FilesPlan {
                id,
                certificate: certificate.clone(),
                key: key.clone(),
                ocsp: ocsp.clone(),
            }),
            CertificateFiles::Folder(folder) => plan.folders.push(FolderPlan {
                id,
                folder: folder.clone(),
            }),
        }
    }
    if !snapshot.certificates.is_empty() {
        plan.hosts = serving::hosts_of_files(snapshot);
    }
    plan
}

impl Certificates for Lookup {
    fn is_certified(&self, site: &SiteTlsPlan, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(foregate_message::host_without_port(host)) else {
            return false;
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        // One that has ended counts too: to serve in cleartext what was encrypted until then would hide the matter from
        // everybody, and lay open what is sent.
        let is_good = |served: &Served| serving::is_of(site, served) && served.has_begun(unix_s());
        let host = bare.strip_suffix('.').unwrap_or(bare);
        self.store.has_such(host, is_good)
    }

    fn challenge(&self, path: &[u8]) -> Option<Arc<str>> {
        self.challenges.http_answer(path)
    }
}

impl foregate_tls::ChallengeSource for Lookup {
    fn certificate_for(&self, name: &str) -> Option<Arc<foregate_tls::CertifiedKey>> {
        self.challenges.alpn_certificate(name)
    }
}
