//! Hosts that are to be served: what a new file must not take away from them.

use crate::certificate::{CertificateName, Finding};
use crate::store::{CertificateStore, Served, may_be_shown};
use crate::watch::WatchedHost;
use std::collections::HashMap;
use std::sync::Arc;

/// Hosts by what certificates can call them.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// Those of one name, by the name as certificates write it.
    exact: HashMap<String, Vec<usize>>,
    /// The same, by the name above theirs.
    below: HashMap<String, Vec<String>>,
    /// All below a name, by that name.
    wildcards: HashMap<String, Vec<usize>>,
    /// All others.
    others: Vec<usize>,
    /// The certificates that may be shown for each host; `None` for all.
    shown: Vec<Option<Box<[Arc<str>]>>>,
}

/// A name that a site's clients may ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Need {
    pub(super) name: CertificateName,
    /// Its host's place.
    host: usize,
}

/// What certificates there are once some have been replaced.
pub(super) struct After<'a> {
    pub(super) store: &'a CertificateStore,
    /// Those that come, by name: the ones of before with these names go.
    pub(super) puts: HashMap<Arc<str>, Arc<Served>>,
}

impl Hosts {
    pub(super) fn new(plan: &[WatchedHost]) -> Hosts {
        let mut hosts = Hosts::default();
        for (at, host) in plan.iter().enumerate() {
            let shown = host.certificates.as_ref();
            let shown = shown.map(|ids| ids.iter().map(|id| id.as_str().into()).collect());
            hosts.shown.push(shown);
            if host.name == "*" {
                hosts.others.push(at);
            } else if let Some(above) = host.name.strip_prefix("*.") {
                hosts
                    .wildcards
                    .entry(above.to_owned())
                    .or_default()
                    .push(at);
            } else if let Some(name) = CertificateName::parse(&host.name) {
                let name = name.to_string();
                if let Some((_, above)) = name.split_once('.') {
                    let below = hosts.below.entry(above.to_owned()).or_default();
                    below.push(name.clone());
                }
                hosts.exact.entry(name).or_default().push(at);
            }
        }
        hosts
    }

    /// The names that a certificate is shown for.
    pub(super) fn needs(&self, served: &Served) -> Vec<Need> {
        let mut needs = Vec::new();
        let mut need = |name: CertificateName, hosts: &[usize]| {
            for &host in hosts {
                if may_be_shown(self.shown[host].as_deref(), served) {
                    let name = name.clone();
                    needs.push(Need { name, host });
                }
            }
        };
        for name in &served.certificate.names {
            match name {
                CertificateName::Host(host) => match self.exact.get(&**host) {
                    Some(hosts) => need(name.clone(), hosts),
                    None => need(name.clone(), self.above(host)),
                },
                CertificateName::Wildcard(above) => {
                    for host in self.below.get(&**above).into_iter().flatten() {
                        let hosts = self.exact.get(host).map_or(&[][..], Vec::as_slice);
                        need(CertificateName::Host(host.as_str().into()), hosts);
                    }
                    need(name.clone(), self.above(&format!("*.{above}")));
                }
                CertificateName::Address(address) => {
                    let hosts = self.exact.get(&address.to_string());
                    need(name.clone(), hosts.unwrap_or(&self.others));
                }
            }
        }
        needs
    }

    /// Those that have no name of their own and are found for one: the longest wildcard, then all others.
    fn above(&self, host: &str) -> &[usize] {
        let mut rest = host;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(hosts) = self.wildcards.get(above) {
                return hosts;
            }
            rest = above;
        }
        &self.others
    }

    /// The first name that a certificate is shown for and that none is left for.
    pub(super) fn lost(&self, served: &Served, after: &After<'_>) -> Option<Need> {
        let next = after.puts.get(&served.id);
        let mut needs = self.needs(served).into_iter();
        // Nearly always the next one is valid for what the one before was.
        needs.find(|need| {
            !next.is_some_and(|next| self.meets(next, need)) && !self.is_met(need, after)
        })
    }

    /// All names that these are shown for and that none is left for.
    pub(super) fn all_lost(&self, before: &[Arc<Served>], after: &After<'_>) -> Vec<String> {
        let needs = before.iter().flat_map(|served| self.needs(served));
        let lost = needs.filter(|need| !self.is_met(need, after));
        let mut names: Vec<String> = lost.map(|need| need.name.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn is_met(&self, need: &Need, after: &After<'_>) -> bool {
        let mut kept = after.store.covering(&need.name).into_iter();
        kept.any(|served| !after.puts.contains_key(&served.id) && self.meets(&served, need))
            || after.puts.values().any(|put| self.meets(put, need))
    }

    fn meets(&self, served: &Served, need: &Need) -> bool {
        let shown = self.shown[need.host].as_deref();
        covers(served, &need.name) && may_be_shown(shown, served)
    }
}

/// Why a certificate that is not valid for a name must not be the only one there is.
pub(super) fn wrong_name(served: &Served, need: &Need) -> Finding {
    let names = served.certificate.names.iter();
    Finding::WrongName {
        wanted: need.name.to_string(),
        names: names.map(ToString::to_string).collect(),
    }
}

fn covers(served: &Served, name: &CertificateName) -> bool {
    match name {
        CertificateName::Host(host) => served.certificate.serves(host),
        name => served.certificate.names.contains(name),
    }
}
