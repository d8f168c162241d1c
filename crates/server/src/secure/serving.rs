//! Serving: what handshakes with clients and backends follow, from a configuration.

use super::issuing::Missing;
use super::trusted::Trusted;
use super::{Connectors, Lookup, Made};
use crate::credentials::entry_of;
use foregate_exchange::SecurePart;
use foregate_snapshot::{
    CertificateFiles, HostPattern, ListenerPlan, ModePlan, SiteCertificate, SitePlan, SiteTlsPlan,
    Snapshot, TlsProfile,
};
use foregate_tls::watch::WatchedHost;
use foregate_tls::{
    Acceptor, AcceptorPlan, Connector, FROM_FILES, HandshakeGate, NamePlan, Profile, Served,
    SessionCache, Shared as TlsShared, Tickets, unix_s,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What issued certificates are called in the store: their source, and their first name.
pub(super) const INTERNAL: &str = "internal:";
pub(super) const ACME: &str = "acme:";

/// What the acceptors of all listeners have in common.
pub(super) struct Shared<'s> {
    pub(super) lookup: &'s Arc<Lookup>,
    pub(super) gates: &'s HashMap<Box<str>, Arc<HandshakeGate>>,
    pub(super) tickets: Option<&'s Arc<Tickets>>,
    pub(super) sessions: &'s Arc<SessionCache>,
    pub(super) missing: &'s Arc<Missing>,
}

/// An acceptor for each TLS listener, by its number.
pub(super) fn acceptors(
    snapshot: &Snapshot,
    trusted: &Trusted,
    shared: &Shared<'_>,
) -> Result<HashMap<u32, Arc<Acceptor>>, String> {
    let on_demand = snapshot.acme.on_demand.is_some();
    let mut acceptors = HashMap::new();
    for listener in snapshot.listeners.iter().filter(|one| one.is_tls()) {
        let Some(gate) = shared.gates.get(&listener.name) else {
            continue;
        };
        let plan = acceptor_plan(snapshot, trusted, listener);
        let tls = TlsShared {
            store: Arc::clone(&shared.lookup.store),
            tickets: shared.tickets.cloned(),
            sessions: Arc::clone(shared.sessions),
            gate: Arc::clone(gate),
            challenges: Some(Arc::clone(shared.lookup) as _),
            missing: on_demand.then(|| Arc::clone(shared.missing) as _),
        };
        let acceptor = Acceptor::new(&plan, tls)
            .map_err(|fault| format!("listener `{}`: {fault}", listener.name))?;
        acceptors.insert(listener.number, acceptor);
    }
    Ok(acceptors)
}

fn acceptor_plan(snapshot: &Snapshot, trusted: &Trusted, listener: &ListenerPlan) -> AcceptorPlan {
    let (http1, http2) = match listener.mode {
        ModePlan::Http { http1, http2, .. } => (http1, http2),
        ModePlan::Tcp(_) | ModePlan::TlsPassthrough(_) => (true, false),
    };
    let tls = &snapshot.tls;
    let sites = (snapshot.sites.iter().zip(&trusted.clients))
        .filter(|(site, _)| site.tls.listeners.contains(&listener.number));
    let names = sites.flat_map(|(site, client)| {
        let certificates = narrowed(site, snapshot);
        let client = client.clone();
        let of_host = move |(host, _): &(HostPattern, _)| NamePlan {
            name: plain(host),
            certificates: certificates.clone(),
            client: client.clone(),
        };
        site.tls.hosts.iter().map(of_host).collect::<Vec<_>>()
    });
    AcceptorPlan {
        profile: profile(snapshot),
        http1,
        http2,
        default_certificate: trusted.default_certificate.clone(),
        resumption: tls.session_tickets || tls.session_cache_max > 0,
        early_data: tls.early_data,
        names: names.collect(),
    }
}

/// The protocol versions and suites that clients may use.
pub(super) fn profile(snapshot: &Snapshot) -> Profile {
    match snapshot.tls.profile {
        TlsProfile::Modern => Profile::Modern,
        TlsProfile::Intermediate => Profile::Intermediate,
    }
}

/// The names in the store of the certificates that a site may show; `None` for all.
fn narrowed(site: &SitePlan, snapshot: &Snapshot) -> Option<Vec<String>> {
    // One from a folder is called by the folder and its own name, and may come at any time.
    let called = |name: &Arc<str>| {
        let plan = snapshot.certificates.iter().find(|plan| plan.name == *name);
        match plan.map(|plan| &plan.source) {
            Some(CertificateFiles::Folder(_)) => format!("{name}/"),
            _ => name.to_string(),
        }
    };
    let from_files = || site.tls.certificates.iter().map(called);
    // One that a client asked for is called by a name that no site has written. What may be shown of an issuer's is what
    // the road takes for certified: see `is_of`.
    let by = |issuer: &str| issuer.to_owned();
    match (site.tls.source, &*site.tls.certificates) {
        (SiteCertificate::Auto | SiteCertificate::Off, []) => None,
        (SiteCertificate::Files, []) => Some(vec![FROM_FILES.to_owned()]),
        (SiteCertificate::Auto | SiteCertificate::Off, _) => {
            Some(from_files().chain([by(INTERNAL), by(ACME)]).collect())
        }
        (SiteCertificate::Files, _) => Some(from_files().collect()),
        (SiteCertificate::Internal, _) => Some(vec![by(INTERNAL)]),
        (SiteCertificate::Acme, _) => Some(vec![by(ACME)]),
    }
}

/// The hosts that certificates from files may be shown for.
pub(super) fn hosts_of_files(snapshot: &Snapshot) -> Vec<WatchedHost> {
    let takes_files = |site: &&SitePlan| {
        let source = site.tls.source;
        let takes_files = matches!(source, SiteCertificate::Files | SiteCertificate::Auto);
        takes_files && !site.tls.listeners.is_empty()
    };
    let sites = snapshot.sites.iter().filter(takes_files);
    let hosts = sites.flat_map(|site| {
        let certificates = narrowed(site, snapshot);
        let hosts = site.tls.hosts.iter().map(move |(host, _)| WatchedHost {
            name: plain(host),
            certificates: certificates.clone(),
        });
        hosts.collect::<Vec<_>>()
    });
    hosts.collect()
}

/// A host as certificates write it.
pub(super) fn plain(host: &HostPattern) -> String {
    let host = host.to_string();
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
}

/// Whether a certificate is one that a site may show, and in time.
pub(super) fn may_show(site: &SiteTlsPlan, served: &Served) -> bool {
    is_of(site, served) && served.is_in_time(unix_s())
}

/// Whether a certificate comes from where the site's are to come from.
pub(crate) fn is_of(site: &SiteTlsPlan, served: &Served) -> bool {
    let is_internal = served.id.starts_with(INTERNAL);
    let is_acme = served.id.starts_with(ACME);
    let is_issued = is_internal || is_acme;
    let is_named = || {
        let entry = entry_of(&served.id);
        let names = &site.certificates;
        names.is_empty() || names.iter().any(|name| **name == *entry)
    };
    match site.source {
        SiteCertificate::Off => false,
        SiteCertificate::Internal => is_internal,
        SiteCertificate::Acme => is_acme,
        SiteCertificate::Files => !is_issued && is_named(),
        SiteCertificate::Auto => is_issued || is_named(),
    }
}

/// A connector for each upstream that is spoken to by TLS. What was made before from the same plan is kept, with the
/// connections and sessions that it made.
pub(super) fn connectors(
    snapshot: &Snapshot,
    trusted: &Trusted,
    before: &Made,
) -> Result<(Connectors, Made), String> {
    let mut made = Made::new();
    let mut connectors = Vec::new();
    for (upstream, plan) in snapshot.upstreams.iter().zip(&trusted.backends) {
        let Some(plan) = plan else {
            connectors.push(None);
            continue;
        };
        let known = made.iter().chain(before).find(|(known, _)| known == plan);
        let connector = match known {
            Some((_, connector)) => Arc::clone(connector),
            None => Connector::new(plan)
                .map_err(|fault| format!("upstream `{}`: {fault}", upstream.name))?,
        };
        made.push((plan.clone(), Arc::clone(&connector)));
        connectors.push(Some(connector));
    }
    Ok((connectors.into(), made))
}

/// What the road follows at each site.
pub(super) fn sites(
    snapshot: &Snapshot,
    acceptors: &HashMap<u32, Arc<Acceptor>>,
    ports: &HashMap<u32, SocketAddr>,
) -> Arc<[SecurePart]> {
    let part = |site: &SitePlan| {
        let tls = &site.tls;
        let acceptor = tls
            .listeners
            .first()
            .and_then(|number| acceptors.get(number));
        let trust = match (acceptor, tls.hosts.first(), &tls.client) {
            (Some(acceptor), Some((host, _)), Some(_)) => acceptor.trust_of(&plain(host)),
            _ => 0,
        };
        let https_port = tls.redirect.and_then(|redirect| {
            let own = ports.get(&redirect.listener).map(SocketAddr::port);
            redirect.port.or(own)
        });
        SecurePart { trust, https_port }
    };
    snapshot.sites.iter().map(part).collect()
}
