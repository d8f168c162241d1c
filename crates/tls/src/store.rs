//! Which certificate is shown for which name. One store serves all listeners, outlives configurations and is read
//! without a lock; whoever loads, renews or issues certificates changes it while connections come in.

use crate::by_name::{ByName, NameIssuer};
use crate::certificate::{CertificateName, KeyKind, LoadedCertificate};
use crate::plan::FROM_FILES;
use crate::watch::CertificateState;
use arc_swap::ArcSwap;
use foldhash::HashMap;
use foregate_telemetry::metrics::{Exposition, Gauges, Kind};
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many certificates have a metric of their own.
const METRIC_CERTIFICATES_MAX: usize = 1000;

/// A certificate under the name that the configuration, or whoever issued it, knows it by.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its name: unique in the store.
    pub id: Arc<str>,
    /// The certificate.
    pub certificate: LoadedCertificate,
    /// What is shown in its place for names under a wildcard that clients refuse.
    by_name: Option<Arc<ByName>>,
}

impl Served {
    /// A certificate to be served for the names in it.
    pub fn new(id: &str, certificate: LoadedCertificate) -> Served {
        Served {
            id: id.into(),
            certificate,
            by_name: None,
        }
    }

    /// The same, with somebody who issues certificates for single names under its wildcard, if that is one of a whole domain
    /// (`*.localhost`).
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl FnOnce() -> Option<Arc<dyn NameIssuer>>) -> Served {
        let is_whole = |name: &CertificateName| matches!(name, CertificateName::Wildcard(above) if !above.contains('.'));
        if self.certificate.names.iter().any(is_whole) {
            self.by_name = issuer().map(|issuer| Arc::new(ByName::new(issuer)));
        }
        self
    }

    /// The chain and the key.
    pub(crate) fn key(&self) -> &Arc<CertifiedKey> {
        &self.certificate.certified
    }

    /// The same for a host in lower case, as a handshake at this time takes them.
    fn key_for(&self, host: &str, now_unix: i64) -> Arc<CertifiedKey> {
        // Those of other levels are served with the wildcard.
        let is_below = |_: &&Arc<ByName>| !parent(host).contains('.');
        let by_name = self.by_name.as_ref().filter(is_below);
        let own = by_name.and_then(|by_name| by_name.key(host));
        own.unwrap_or_else(|| Arc::clone(self.key_at(now_unix)))
    }

    /// The same, as a handshake at this time takes them.
    pub(crate) fn key_at(&self, now_unix: i64) -> &Arc<CertifiedKey> {
        self.certificate.key_at(now_unix)
    }

    /// Whether a client that offers these can verify what its key signs.
    fn suits(&self, offer: &Offer<'_>) -> bool {
        let scheme = self.key().key.choose_scheme(offer.schemes);
        let ecdsa = matches!(self.certificate.key_kind, KeyKind::Ecdsa | KeyKind::Ed25519);
        scheme.is_some() && (!ecdsa || offer.ecdsa_suites)
    }

    /// Whether its time has come, be it over or not.
    pub fn has_begun(&self, now_unix: i64) -> bool {
        self.certificate.not_before <= now_unix
    }

    /// Whether its time is over.
    pub fn has_ended(&self, now_unix: i64) -> bool {
        self.certificate.not_after <= now_unix
    }

    /// Whether its time has come and is not over.
    pub fn is_in_time(&self, now_unix: i64) -> bool {
        self.has_begun(now_unix) && !self.has_ended(now_unix)
    }
}

/// What a client can verify.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) schemes: &'a [SignatureScheme],
    /// Whether one of its cipher suites goes with keys on elliptic curves.
    pub(crate) ecdsa_suites: bool,
}

/// One change of the store.
#[derive(Debug)]
pub enum Change {
    /// Adds a certificate, or replaces the one with the same name.
    Put(Arc<Served>),
    /// Takes one away.
    Remove(Arc<str>),
}

/// The certificates of the process.
#[derive(Default)]
pub struct CertificateStore {
    table: ArcSwap<Table>,
    /// Held while the next table is built, so that no change is lost.
    writing: Mutex<()>,
    /// How the files of those are that come from files, for operators.
    files: Mutex<BTreeMap<Arc<str>, CertificateState>>,
}

#[derive(Clone, Default)]
struct Table {
    served: HashMap<Arc<str>, Arc<Served>>,
    hosts: HashMap<Box<str>, Slot>,
    /// Wildcards, by what they have in common.
    parents: HashMap<Box<str>, Slot>,
    addresses: HashMap<IpAddr, Slot>,
}

/// The certificates for one name, the best first.
type Slot = Vec<Arc<Served>>;

impl CertificateStore {
    /// An empty store.
    pub fn new() -> Arc<CertificateStore> {
        Arc::default()
    }

    /// Adds a certificate, or replaces the one with the same name.
    pub fn put(&self, served: Served) {
        self.apply(vec![Change::Put(Arc::new(served))]);
    }

    /// Takes a certificate away.
    pub fn remove(&self, id: &str) {
        self.apply(vec![Change::Remove(id.into())]);
    }

    /// Makes changes together: handshakes see all of them or none.
    pub fn apply(&self, changes: Vec<Change>) {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        for change in changes {
            match change {
                Change::Put(served) => table.put(served),
                Change::Remove(id) => table.remove(&id),
            }
        }
        self.table.store(Arc::new(table));
    }

    /// Notes how a certificate's files are; `None` when there are none any more.
    pub(crate) fn note(&self, id: &str, state: Option<&CertificateState>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => drop(files.insert(id.into(), state.clone())),
            None => drop(files.remove(id)),
        }
    }

    /// How the files of certificates are, by name; folders that can't be looked through are among them.
    pub fn files(&self) -> Vec<CertificateState> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.values().cloned().collect()
    }

    /// The certificate with this name.
    pub fn get(&self, id: &str) -> Option<Arc<Served>> {
        self.table.load().served.get(id).cloned()
    }

    /// All certificates, by name.
    pub fn list(&self) -> Vec<Arc<Served>> {
        let mut all: Vec<_> = self.table.load().served.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// How many certificates there are.
    pub fn len(&self) -> usize {
        self.table.load().served.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of the certificates that a host, or its wildcard, may be shown is one of these.
    pub fn has_such(&self, host: &str, is_such: impl Fn(&Served) -> bool) -> bool {
        let host = host.to_ascii_lowercase();
        let table = self.table.load();
        let of_address = match host.parse() {
            Ok(address) => table.addresses.get(&address),
            Err(_) => None,
        };
        let of_address = of_address.into_iter().flatten();
        of_address
            .chain(table.candidates(&host, None))
            .any(|served| is_such(served))
    }

    /// All certificates that are valid for a name, and for all that a wildcard stands for.
    pub(crate) fn covering(&self, name: &CertificateName) -> Vec<Arc<Served>> {
        let table = self.table.load();
        match name {
            CertificateName::Host(host) => table.candidates(host, None).cloned().collect(),
            CertificateName::Wildcard(above) => {
                table.parents.get(above).cloned().unwrap_or_default()
            }
            CertificateName::Address(address) => {
                table.addresses.get(address).cloned().unwrap_or_default()
            }
        }
    }

    /// Whether there is a certificate for a host in lower case.
    pub(crate) fn has(&self, host: &str, only: Option<&[Arc<str>]>) -> bool {
        let table = self.table.load();
        table.candidates(host, only).next().is_some()
    }

    /// Whether there is one whose time it is.
    pub(crate) fn has_in_time(&self, host: &str, only: Option<&[Arc<str>]>, now_unix: i64) -> bool {
        let table = self.table.load();
        table
            .candidates(host, only)
            .any(|served| served.is_in_time(now_unix))
    }

    /// Whether there is a certificate for an address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.table.load().addresses.contains_key(&address)
    }

    /// The certificate for a host in lower case that suits a client, of these alone if there are any. `only` does not
    /// widen what a certificate is valid for.
    pub(crate) fn choose(
        &self,
        host: &str,
        offer: &Offer<'_>,
        only: Option<&[Arc<str>]>,
        now_unix: i64,
    ) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let served = best(table.candidates(host, only), offer, now_unix)?;
        Some(served.key_for(host, now_unix))
    }

    /// The certificate for an address.
    pub(crate) fn choose_for_address(
        &self,
        address: IpAddr,
        offer: &Offer<'_>,
        now_unix: i64,
    ) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let served = best(table.addresses.get(&address)?.iter(), offer, now_unix)?;
        Some(Arc::clone(served.key_at(now_unix)))
    }
}

impl Gauges for CertificateStore {
    fn collect(&self, out: &mut Exposition) {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = out.family(
            "foregate_certificate_file_not_after_seconds",
            Kind::Gauge,
            "When a certificate from a file ends, in Unix time.",
        );
        for id in files.keys().take(METRIC_CERTIFICATES_MAX) {
            if let Some(served) = self.get(id) {
                let not_after = u64::try_from(served.certificate.not_after).unwrap_or(0);
                out.count(ends, &[("certificate", id)], not_after);
            }
        }
        let states = out.family(
            "foregate_certificate_files",
            Kind::Gauge,
            "Certificates from files, by whether what the files hold is served.",
        );
        for state in ["active", "broken", "renewed-but-not-active"] {
            let is_so = |file: &&CertificateState| file.status.name() == state;
            let count = files.values().filter(is_so).count();
            out.count(states, &[("state", state)], count as u64);
        }
    }
}

impl std::fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateStore")
            .field("certificates", &self.len())
            .finish()
    }
}

/// The first that a client can verify and whose time it is; else the first that it can verify. One that it can't names
/// the fault better than no certificate would: no signature that both know.
fn best<'a>(
    candidates: impl Iterator<Item = &'a Arc<Served>>,
    offer: &Offer<'_>,
    now_unix: i64,
) -> Option<&'a Arc<Served>> {
    let (mut out_of_time, mut unsuited) = (None, None);
    for served in candidates {
        match (served.suits(offer), served.is_in_time(now_unix)) {
            (true, true) => return Some(served),
            (true, false) => out_of_time.get_or_insert(served),
            (false, _) => unsuited.get_or_insert(served),
        };
    }
    out_of_time.or(unsuited)
}

/// Whether a certificate is one of these: named, or of a folder or an issuer that is, or from files.
pub(crate) fn may_be_shown(only: Option<&[Arc<str>]>, served: &Served) -> bool {
    let is_of = |id: &Arc<str>| match &**id {
        // A folder's name ends before the names of files.
        FROM_FILES => !served
            .id
            .split('/')
            .next()
            .is_some_and(|id| id.contains(':')),
        id if id.ends_with(['/', ':']) => served.id.starts_with(id),
        id => *served.id == *id,
    };
    only.is_none_or(|only| only.iter().any(is_of))
}

fn parent(host: &str) -> &str {
    host.split_once('.').map_or("", |(_, parent)| parent)
}

impl Table {
    /// A narrowed name may be covered by a wildcard although another certificate has the very name.
    fn candidates<'a>(
        &'a self,
        host: &str,
        only: Option<&'a [Arc<str>]>,
    ) -> impl Iterator<Item = &'a Arc<Served>> {
        let exact = self.hosts.get(host);
        let wild = self.parents.get(parent(host));
        let slots = exact.into_iter().chain(wild).flatten();
        slots.filter(move |served| may_be_shown(only, served))
    }

    fn put(&mut self, served: Arc<Served>) {
        self.remove(&served.id);
        for name in &served.certificate.names {
            let slot = match name {
                CertificateName::Host(host) => self.hosts.entry(host.clone()).or_default(),
                CertificateName::Wildcard(parent) => {
                    self.parents.entry(parent.clone()).or_default()
                }
                CertificateName::Address(address) => self.addresses.entry(*address).or_default(),
            };
            // A certificate may name a host twice.
            if !slot.iter().any(|other| other.id == served.id) {
                slot.push(Arc::clone(&served));
                slot.sort_by_key(|served| rank(served));
                slot.shrink_to_fit();
            }
        }
        self.served.insert(Arc::clone(&served.id), served);
    }

    fn remove(&mut self, id: &str) {
        let Some(served) = self.served.remove(id) else {
            return;
        };
        for name in &served.certificate.names {
            match name {
                CertificateName::Host(host) => leave(&mut self.hosts, host, id),
                CertificateName::Wildcard(parent) => leave(&mut self.parents, parent, id),
                CertificateName::Address(address) => leave(&mut self.addresses, address, id),
            }
        }
    }
}

fn leave<K, Q>(slots: &mut HashMap<K, Slot>, name: &Q, id: &str)
where
    K: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    if let Some(slot) = slots.get_mut(name) {
        slot.retain(|served| &*served.id != id);
        if slot.is_empty() {
            slots.remove(name);
        }
    }
}

/// Cheap keys before costly ones, then what stays valid longest, then the name, so that the choice is the same on
/// every machine.
fn rank(served: &Served) -> (u8, i64, Arc<str>) {
    let cost = match served.certificate.key_kind {
        KeyKind::Ecdsa => 0,
        KeyKind::Ed25519 => 1,
        KeyKind::Rsa(_) => 2,
    };
    (cost, -served.certificate.not_after, Arc::clone(&served.id))
}

#[cfg(test)]
mod tests;
