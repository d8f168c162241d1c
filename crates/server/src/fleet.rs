//! Endpoints: their states, which outlive configurations, and their addresses.

use crate::secure::Secured;
use foregate_balance::Endpoint;
use foregate_exchange::{EndpointPart, PlanParts};
use foregate_snapshot::{EndpointPlan, ModePlan, Snapshot, UpstreamPlan};
use foregate_telemetry::clock::now;
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::{Exposition, Gauges, Kind, Registry};
use foregate_upstream::resolve;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a start or reload waits for the system's resolver; names that take longer are taken up when they come.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Names looked up at the same time.
const LOOKUPS_MAX: usize = 32;

/// Upstream, address as configured, address as resolved.
type Key = (Arc<str>, Arc<str>, Option<SocketAddr>);
type Endpoints = BTreeMap<Key, Arc<Endpoint>>;

/// All endpoints that the present configuration names.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    endpoints: Mutex<Endpoints>,
}

/// What each name resolved to.
pub(crate) type Addresses = HashMap<(Box<str>, u16), Vec<SocketAddr>>;

impl Fleet {
    /// The parts of every worker's plan: endpoints that stay keep their state. A name with several addresses is as
    /// many endpoints; one without any is one that can't be reached.
    pub(crate) fn parts(
        &self,
        snapshot: &Arc<Snapshot>,
        addresses: &Addresses,
        secure: &Secured,
        registry: &Registry,
    ) -> PlanParts {
        let mut old = self.lock();
        let mut kept = Endpoints::new();
        let upstreams = snapshot
            .upstreams
            .iter()
            .map(|plan| {
                plan.endpoints
                    .iter()
                    .flat_map(|endpoint| places(endpoint, addresses).map(move |at| (endpoint, at)))
                    .map(|(endpoint, address)| {
                        part(plan, endpoint, address, (&old, &mut kept), registry)
                    })
                    .collect()
            })
            .collect();
        let routes = snapshot
            .routes
            .iter()
            .map(|route| registry.route(&route.site, &route.name))
            .collect();
        let passages = snapshot
            .listeners
            .iter()
            .filter(|listener| !matches!(listener.mode, ModePlan::Http { .. }))
            .map(|listener| (listener.number, registry.route("", &listener.name)))
            .collect();
        *old = kept;
        PlanParts {
            connectors: Arc::clone(&secure.connectors),
            sites: Arc::clone(&secure.sites),
            passages,
            snapshot: Arc::clone(snapshot),
            routes,
            upstreams,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Endpoints> {
        // Maps are replaced whole, so a panic elsewhere leaves none half changed.
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Upstream, state and whether it has an address, of each endpoint.
    pub(crate) fn each(&self, mut see: impl FnMut(&str, &Endpoint, Option<SocketAddr>)) {
        for ((upstream, _, address), endpoint) in self.lock().iter() {
            see(upstream, endpoint, *address);
        }
    }
}

/// The addresses of an endpoint; a single `None` when its name does not resolve.
fn places<'a>(
    endpoint: &EndpointPlan,
    addresses: &'a Addresses,
) -> impl Iterator<Item = Option<SocketAddr>> + use<'a> {
    let own = literal(&endpoint.host, endpoint.port);
    let found = addresses
        .get(&(endpoint.host.clone(), endpoint.port))
        .map_or(&[][..], Vec::as_slice);
    let none = own.is_none() && found.is_empty();
    own.into_iter()
        .chain(found.iter().copied())
        .map(Some)
        .chain(none.then_some(None))
}

fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let ip = host.parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(ip, port))
}

fn part(
    plan: &UpstreamPlan,
    endpoint: &EndpointPlan,
    address: Option<SocketAddr>,
    (old, kept): (&Endpoints, &mut Endpoints),
    registry: &Registry,
) -> EndpointPart {
    let key = (
        Arc::clone(&plan.name),
        Arc::clone(&endpoint.authority),
        address,
    );
    let state = kept.entry(key.clone()).or_insert_with(|| {
        let known = old.get(&key).map(Arc::clone);
        known.unwrap_or_else(|| Arc::new(Endpoint::new(&*endpoint.authority, endpoint.weight)))
    });
    state.set_weight(endpoint.weight);
    EndpointPart {
        endpoint: Arc::clone(state),
        address,
        id: registry.endpoint(&plan.name, &endpoint.authority),
    }
}

/// Looks all names of a configuration up, side by side and for a bounded time. Names that fail are named in the log.
pub(crate) fn look_up(snapshot: &Snapshot) -> Addresses {
    let mut names: Vec<(Box<str>, u16)> = snapshot
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.endpoints.iter())
        .filter(|endpoint| literal(&endpoint.host, endpoint.port).is_none())
        .map(|endpoint| (endpoint.host.clone(), endpoint.port))
        .collect();
    names.sort();
    names.dedup();
    let mut addresses = Addresses::new();
    let end = now().plus(RESOLVE_TIMEOUT);
    for group in names.chunks(LOOKUPS_MAX) {
        let lookups: Vec<_> = group.iter().map(start_lookup).collect();
        for ((host, port), lookup) in group.iter().zip(lookups) {
            let left = end.since(now()).max(Duration::from_millis(1));
            let problem = match lookup.recv_timeout(left) {
                Ok(Ok(found)) => {
                    addresses.insert((host.clone(), *port), found);
                    continue;
                }
                Ok(Err(problem)) => problem,
                Err(_) => "the resolver did not answer in time".to_owned(),
            };
            process::warn(
                "a backend's name does not resolve",
                &[("name", host), ("error", &problem)],
            );
        }
    }
    addresses
}

fn start_lookup(name: &(Box<str>, u16)) -> Receiver<Result<Vec<SocketAddr>, String>> {
    let (answer, lookup) = sync_channel(1);
    let (host, port) = name.clone();
    // The resolver's call can't be cancelled, so it has a thread of its own that is not waited for.
    let spawned = std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || {
            let _ = answer.send(resolve(&host, port));
        });
    drop(spawned);
    lookup
}

/// Whether a configuration names any backend that must be looked up.
pub(crate) fn has_names(snapshot: &Snapshot) -> bool {
    snapshot
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.endpoints.iter())
        .any(|endpoint| literal(&endpoint.host, endpoint.port).is_none())
}

impl Gauges for Fleet {
    fn collect(&self, out: &mut Exposition) {
        let now_ms = now().millis();
        let available = out.family(
            "foregate_endpoint_available",
            Kind::Gauge,
            "1 while the endpoint takes requests, 0 while it is ejected, unresolved or taken out.",
        );
        let in_flight = out.family(
            "foregate_endpoint_in_flight",
            Kind::Gauge,
            "Requests that the endpoint works on.",
        );
        self.each(|upstream, endpoint, address| {
            let state = endpoint.state(now_ms);
            let label = address.map_or_else(String::new, |address| address.to_string());
            let labels = [
                ("upstream", upstream),
                ("endpoint", endpoint.label()),
                ("address", label.as_str()),
            ];
            let ok = state.ejected_until_ms.is_none()
                && address.is_some()
                && state.admin == foregate_balance::AdminState::Enabled;
            out.value(available, &labels, f64::from(u8::from(ok)));
            out.value(in_flight, &labels, f64::from(state.in_flight));
        });
    }
}
