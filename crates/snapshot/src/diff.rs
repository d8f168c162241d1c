//! What a reload changes of all that lives longer than a snapshot.

use crate::plan::{AdminPlan, EndpointPlan, ListenerPlan, SiteTlsPlan, Snapshot, UpstreamPlan};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;

/// What an endpoint's state is kept by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointKey {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The endpoint's `host:port`.
    pub authority: Arc<str>,
}

/// What changes about a listener that stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerChange {
    /// Its number.
    pub number: u32,
    /// Addresses to open.
    pub addresses_added: Vec<SocketAddr>,
    /// Addresses to close.
    pub addresses_removed: Vec<SocketAddr>,
    /// Connection limits.
    pub limits: bool,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The system's queue, which only a new socket takes.
    pub backlog: bool,
    /// When silent clients are probed.
    pub keep_alive: bool,
    /// What controls how fast clients are sent to.
    pub congestion: bool,
    /// What is done with connections, and unfinished handshakes.
    pub mode: bool,
}

/// The difference of two snapshots, as far as anything beside the snapshot must follow it. Lists are sorted.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Change {
    /// Numbers of listeners to open, in the new snapshot.
    pub listeners_added: Vec<u32>,
    /// Numbers of listeners to drain, in the old snapshot.
    pub listeners_removed: Vec<u32>,
    /// Listeners that stay and differ.
    pub listeners_changed: Vec<ListenerChange>,
    /// Names of upstreams that are new.
    pub upstreams_added: Vec<Arc<str>>,
    /// Names of upstreams that are gone.
    pub upstreams_removed: Vec<Arc<str>>,
    /// Names of upstreams that stay and whose limits, algorithm or ejection differ.
    pub upstreams_changed: Vec<Arc<str>>,
    /// Endpoints that are new.
    pub endpoints_added: Vec<EndpointKey>,
    /// Endpoints that are gone.
    pub endpoints_removed: Vec<EndpointKey>,
    /// Endpoints whose weight, tier, zone or labels differ.
    pub endpoints_changed: Vec<EndpointKey>,
    /// Keys of routes that are new.
    pub routes_added: Vec<Arc<str>>,
    /// Keys of routes that are gone.
    pub routes_removed: Vec<Arc<str>>,
    /// Names of sites on TLS listeners whose certificates, redirects or demands on clients' certificates differ; new and gone ones too.
    pub sites_changed: Vec<Arc<str>>,
    /// Whether what holds for all TLS listeners differs.
    pub tls: bool,
    /// Whether the certificates from files differ.
    pub certificates: bool,
    /// Whether the way to certificates of public names differs.
    pub acme: bool,
    /// Whether the access log's target, format or queue differs.
    pub access_log: bool,
    /// Whether the process' own log's level differs.
    pub log_level: bool,
    /// Whether the admin listener differs.
    pub admin: bool,
    /// Settings that differ and take effect at the next start only.
    pub restart_needed: Vec<&'static str>,
}

/// Compares two snapshots, the newer one compiled after the older.
pub fn diff(old: &Snapshot, new: &Snapshot) -> Change {
    let mut change = Change {
        access_log: old.access_log != new.access_log,
        log_level: old.log_level != new.log_level,
        admin: differs_beside_history(old.admin.as_ref(), new.admin.as_ref()),
        tls: old.tls != new.tls,
        certificates: old.certificates != new.certificates,
        acme: old.acme != new.acme,
        sites_changed: sites_changed(old, new),
        ..Change::default()
    };
    if old.state_dir != new.state_dir {
        change.restart_needed.push("state_dir");
    }
    if old.workers != new.workers {
        change.restart_needed.push("workers");
    }
    let route_keys = |snapshot: &Snapshot| {
        snapshot
            .routes
            .iter()
            .map(|route| Arc::clone(&route.key))
            .collect()
    };
    (change.routes_added, change.routes_removed) = compare_keys(route_keys(old), route_keys(new));
    diff_listeners(old, new, &mut change);
    diff_upstreams(old, new, &mut change);
    change
}

fn sites_changed(old: &Snapshot, new: &Snapshot) -> Vec<Arc<str>> {
    let by_name = |snapshot: &Snapshot| -> HashMap<Arc<str>, Arc<SiteTlsPlan>> {
        let sites = snapshot.sites.iter();
        sites
            .filter(|site| !site.tls.listeners.is_empty())
            .map(|site| (Arc::clone(&site.name), Arc::clone(&site.tls)))
            .collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    let names: HashSet<&Arc<str>> = before.keys().chain(after.keys()).collect();
    let mut changed: Vec<Arc<str>> = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    changed.sort();
    changed
}

/// Whether more differs than what is remembered, which follows at once.
fn differs_beside_history(old: Option<&AdminPlan>, new: Option<&AdminPlan>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => {
            let same_history = AdminPlan {
                history: new.history.clone(),
                ..old.clone()
            };
            same_history != *new
        }
        (old, new) => old.is_some() != new.is_some(),
    }
}

/// What only the new set has, and what only the old one has.
fn compare_keys<K: Eq + Hash + Ord + Clone>(old: HashSet<K>, new: HashSet<K>) -> (Vec<K>, Vec<K>) {
    let only = |one: &HashSet<K>, other: &HashSet<K>| {
        let mut keys: Vec<K> = one.difference(other).cloned().collect();
        keys.sort();
        keys
    };
    (only(&new, &old), only(&old, &new))
}

fn diff_listeners(old: &Snapshot, new: &Snapshot, change: &mut Change) {
    let numbers = |snapshot: &Snapshot| {
        snapshot
            .listeners
            .iter()
            .map(|listener| listener.number)
            .collect()
    };
    (change.listeners_added, change.listeners_removed) = compare_keys(numbers(old), numbers(new));
    for listener in &new.listeners {
        if let Some(before) = old.listener(listener.number)
            && before != listener
        {
            change
                .listeners_changed
                .push(listener_change(before, listener));
        }
    }
    change
        .listeners_changed
        .sort_by_key(|listener| listener.number);
}

fn listener_change(old: &ListenerPlan, new: &ListenerPlan) -> ListenerChange {
    let set = |listener: &ListenerPlan| listener.addresses.iter().copied().collect();
    let (addresses_added, addresses_removed) = compare_keys(set(old), set(new));
    ListenerChange {
        number: new.number,
        addresses_added,
        addresses_removed,
        limits: (old.connections_max, old.connections_per_client_max)
            != (new.connections_max, new.connections_per_client_max),
        proxy_protocol: old.proxy_protocol != new.proxy_protocol,
        backlog: old.backlog != new.backlog,
        keep_alive: old.keep_alive != new.keep_alive,
        congestion: old.congestion != new.congestion,
        mode: (&old.mode, old.handshakes_max) != (&new.mode, new.handshakes_max),
    }
}

fn diff_upstreams(old: &Snapshot, new: &Snapshot, change: &mut Change) {
    let names = |snapshot: &Snapshot| {
        snapshot
            .upstreams
            .iter()
            .map(|upstream| Arc::clone(&upstream.name))
            .collect()
    };
    (change.upstreams_added, change.upstreams_removed) = compare_keys(names(old), names(new));
    let (before, after) = (endpoints(old), endpoints(new));
    let keys = |endpoints: &Endpoints<'_>| endpoints.keys().cloned().collect();
    (change.endpoints_added, change.endpoints_removed) = compare_keys(keys(&before), keys(&after));
    let differs = |(key, plan): &(EndpointKey, &EndpointPlan)| {
        before.get(key).is_some_and(|before| before != plan)
    };
    change.endpoints_changed = after
        .into_iter()
        .filter(differs)
        .map(|(key, _)| key)
        .collect();
    change.endpoints_changed.sort();
    let plans: HashMap<&str, &UpstreamPlan> = old
        .upstreams
        .iter()
        .map(|upstream| (&*upstream.name, upstream))
        .collect();
    for upstream in &new.upstreams {
        if plans
            .get(&*upstream.name)
            .is_some_and(|before| differs_beside_endpoints(before, upstream))
        {
            change.upstreams_changed.push(Arc::clone(&upstream.name));
        }
    }
    change.upstreams_changed.sort();
}

type Endpoints<'s> = HashMap<EndpointKey, &'s EndpointPlan>;

fn endpoints(snapshot: &Snapshot) -> Endpoints<'_> {
    fn of(upstream: &UpstreamPlan) -> impl Iterator<Item = (EndpointKey, &EndpointPlan)> {
        upstream.endpoints.iter().map(|endpoint| {
            let key = EndpointKey {
                upstream: Arc::clone(&upstream.name),
                authority: Arc::clone(&endpoint.authority),
            };
            (key, endpoint)
        })
    }
    snapshot.upstreams.iter().flat_map(of).collect()
}

fn differs_beside_endpoints(old: &UpstreamPlan, new: &UpstreamPlan) -> bool {
    let same_endpoints = UpstreamPlan {
        endpoints: new.endpoints.clone(),
        ..old.clone()
    };
    same_endpoints != *new
}

impl Change {
    /// Whether nothing beside the snapshot has to follow.
    pub fn is_empty(&self) -> bool {
        *self == Change::default()
    }

    /// A line for each thing that differs between the two that were compared; no more than `lines_max`.
    pub fn lines(&self, old: &Snapshot, new: &Snapshot, lines_max: usize) -> Vec<String> {
        let listener = |snapshot: &Snapshot, number: u32| {
            let found = snapshot.listener(number);
            found.map_or_else(String::new, |listener| listener.name.to_string())
        };
        let mut lines = Vec::new();
        let mut tell = |what: &str, names: &mut dyn Iterator<Item = String>| {
            lines.extend(names.map(|name| format!("{what}: {name}")));
        };
        let named = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let endpoints = |keys: &[EndpointKey]| {
            let name = |key: &EndpointKey| format!("{} {}", key.upstream, key.authority);
            keys.iter().map(name).collect::<Vec<_>>()
        };
        let listeners = |snapshot: &Snapshot, numbers: &[u32]| {
            let names = numbers.iter().map(|number| listener(snapshot, *number));
            names.collect::<Vec<_>>()
        };
        let changed: Vec<u32> = self
            .listeners_changed
            .iter()
            .map(|one| one.number)
            .collect();
        for (what, names) in [
            ("listener added", listeners(new, &self.listeners_added)),
            ("listener removed", listeners(old, &self.listeners_removed)),
            ("listener changed", listeners(new, &changed)),
            ("upstream added", named(&self.upstreams_added)),
            ("upstream removed", named(&self.upstreams_removed)),
            ("upstream changed", named(&self.upstreams_changed)),
            ("endpoint added", endpoints(&self.endpoints_added)),
            ("endpoint removed", endpoints(&self.endpoints_removed)),
            ("endpoint changed", endpoints(&self.endpoints_changed)),
            ("TLS site changed", named(&self.sites_changed)),
            ("route added", named(&self.routes_added)),
            ("route removed", named(&self.routes_removed)),
        ] {
            tell(what, &mut names.into_iter());
        }
        lines.extend(self.words());
        let more = lines.len().saturating_sub(lines_max);
        lines.truncate(lines_max);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }

    /// What differs that is there once.
    fn words(&self) -> Vec<String> {
        let once = [
            (self.tls, "TLS settings changed"),
            (self.certificates, "certificates changed"),
            (self.acme, "ACME settings changed"),
            (self.access_log, "access log changed"),
            (self.log_level, "log level changed"),
            (self.admin, "admin listener changed"),
        ];
        let once = once.into_iter().filter(|(changed, _)| *changed);
        let restart = (self.restart_needed.iter())
            .map(|what| format!("{what} changed, which needs a restart"));
        once.map(|(_, what)| what.to_owned())
            .chain(restart)
            .collect()
    }
}

impl fmt::Display for Change {
    /// One line for the log: `2 routes added, 1 endpoint removed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for (count, what, verb) in [
            (self.listeners_added.len(), "listener", "added"),
            (self.listeners_removed.len(), "listener", "removed"),
            (self.listeners_changed.len(), "listener", "changed"),
            (self.upstreams_added.len(), "upstream", "added"),
            (self.upstreams_removed.len(), "upstream", "removed"),
            (self.upstreams_changed.len(), "upstream", "changed"),
            (self.endpoints_added.len(), "endpoint", "added"),
            (self.endpoints_removed.len(), "endpoint", "removed"),
            (self.endpoints_changed.len(), "endpoint", "changed"),
            (self.sites_changed.len(), "TLS site", "changed"),
            (self.routes_added.len(), "route", "added"),
            (self.routes_removed.len(), "route", "removed"),
        ] {
            match count {
                0 => {}
                1 => words.push(format!("1 {what} {verb}")),
                many => words.push(format!("{many} {what}s {verb}")),
            }
        }
        words.extend(self.words());
        if words.is_empty() {
            return f.write_str("nothing added or removed");
        }
        f.write_str(&words.join(", "))
    }
}
