//! Hosts that are to be served: what a new file must not take away from them.

use crate::certificate::{CertificateName, Finding};
use crate::store::{CertificateStore, Served, may_be_shown};
use crate::watch::WatchedHost;
use std::collections::{HashMap, HashSet};
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
    claim: Claim,
}

/// How a site has come to a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Claim {
    /// It is its own, or its own wildcard.
    Named,
    /// It is somewhere below its wildcard.
    Below,
    /// No site names it; it is one of all others.
    Unnamed,
}

/// What certificates there are once some have been replaced.
pub(super) struct After<'a> {
    pub(super) store: &'a CertificateStore,
    /// Those that come, by name: the ones of before with these names go.
    pub(super) puts: HashMap<Arc<str>, Arc<Served>>,
    /// The names of those that go.
    pub(super) leaving: &'a HashSet<Arc<str>>,
    /// The time, in seconds since 1970.
    pub(super) now: i64,
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
    fn needs(&self, served: &Served) -> Vec<Need> {
        let mut needs = Vec::new();
        let mut need = |name: CertificateName, (hosts, claim): (&[usize], Claim)| {
            for &host in hosts {
                if may_be_shown(self.shown[host].as_deref(), served) {
                    let name = name.clone();
                    needs.push(Need { name, host, claim });
                }
            }
        };
        for name in &served.certificate.names {
            if let CertificateName::Wildcard(above) = name {
                for host in self.below.get(&**above).into_iter().flatten() {
                    let host = CertificateName::Host(host.as_str().into());
                    let found = self.find(&host);
                    need(host, found);
                }
            }
            need(name.clone(), self.find(name));
        }
        needs
    }

    /// Those that a name is found for as sites are found by the road: the very name, the longest wildcard, all others.
    fn find(&self, name: &CertificateName) -> (&[usize], Claim) {
        let name = name.to_string();
        let own = match name.strip_prefix("*.") {
            Some(above) => self.wildcards.get(above),
            None => self.exact.get(&name),
        };
        if let Some(hosts) = own {
            return (hosts, Claim::Named);
        }
        let mut rest = &*name;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(hosts) = self.wildcards.get(above) {
                return (hosts, Claim::Below);
            }
            rest = above;
        }
        (&self.others, Claim::Unnamed)
    }

    /// The first name that keeps the next certificate from taking the place of this one, as none is left for it. Names that
    /// no site has for its own may be dropped: below a wildcard while the next one is valid for another of them, others
    /// while it is valid for any name that this one is shown for. One that has nothing in common is a file put in the wrong place.
    pub(super) fn lost(&self, served: &Served, after: &After<'_>) -> Option<Need> {
        let next = after.puts.get(&served.id);
        let needs = self.needs(served);
        let keeps = |need: &Need| next.is_some_and(|next| self.meets(next, need));
        let may_go = |lost: &Need| match lost.claim {
            Claim::Named => false,
            Claim::Below => (needs.iter()).any(|need| need.host == lost.host && keeps(need)),
            Claim::Unnamed => needs.iter().any(keeps),
        };
        // Nearly always the next one is valid for what the one before was.
        let is_accepted = |other: &Served| other.certificate.is_accepted(after.now);
        let is_lost =
            |need: &&Need| !keeps(need) && !self.is_met(need, after, is_accepted) && !may_go(need);
        needs.iter().find(is_lost).cloned()
    }

    /// All names that this one is shown for and that none is left for whose time it is, if it is its own. Those that no site names are among them only
    /// where they are asked for.
    pub(super) fn all_lost(
        &self,
        before: &Served,
        with_unnamed: bool,
        after: &After<'_>,
    ) -> Vec<String> {
        let needs = self.needs(before).into_iter();
        let needs = needs.filter(|need| with_unnamed || need.claim != Claim::Unnamed);
        let is_left = |other: &Served| other.is_in_time(after.now) || !before.is_in_time(after.now);
        let lost = needs.filter(|need| !self.is_met(need, after, is_left));
        lost.map(|need| need.name.to_string()).collect()
    }

    /// Whether there is one for a name that counts.
    fn is_met(&self, need: &Need, after: &After<'_>, counts: impl Fn(&Served) -> bool) -> bool {
        let covering = after.store.covering(&need.name);
        let goes = |id: &Arc<str>| after.puts.contains_key(id) || after.leaving.contains(id);
        let kept = covering.iter().filter(|one| !goes(&one.id));
        let mut all = kept.chain(after.puts.values());
        all.any(|one| self.meets(one, need) && counts(one))
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
