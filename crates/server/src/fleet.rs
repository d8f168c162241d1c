//! Endpoints: which there are, their states, which outlive configurations, and their addresses.
//!
//! What an upstream's endpoints are is said by three: its configuration, its discovery, and operators through the admin
//! API, who have the last word. Each time one of them says something new the upstream's part is built anew, and the
//! endpoints that stay are taken over with everything that is known of them. Parts of other upstreams stay the same
//! ones, so workers go on with what they have.

mod gauges;
mod lookup;
mod members;

pub(crate) use lookup::{Addresses, Name, look_up, names};
pub(crate) use members::{Member, Roster};

use crate::secure::Secured;
use foregate_balance::{AdminState, Endpoint, hash};
use foregate_exchange::{EndpointPart, PlanParts, Seal, UpstreamPart};
use foregate_snapshot::{ListenerPlan, ModePlan, Snapshot, StickyPlan, UpstreamPlan};
use foregate_telemetry::clock::now;
use foregate_telemetry::metrics::{Registry, RouteId};
use foregate_tls::Connector;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// All endpoints that take requests, or did until a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    groups: Mutex<Groups>,
}

/// The groups by their upstreams' names.
type Groups = BTreeMap<Arc<str>, Group>;

/// The endpoints of one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The configuration that names the upstream, and its number there.
    snapshot: Arc<Snapshot>,
    number: usize,
    pub(crate) members: Arc<[Member]>,
    /// By the same index, what workers know of them.
    pub(crate) part: Arc<UpstreamPart>,
}

impl Group {
    pub(crate) fn plan(&self) -> &UpstreamPlan {
        &self.snapshot.upstreams[self.number]
    }

    /// Each member with its state.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&Member, &Arc<Endpoint>)> {
        let states = self.part.endpoints.iter().map(|part| &part.endpoint);
        self.members.iter().zip(states)
    }

    /// Whether workers may go on with what they have of it under another configuration.
    fn serves(&self, snapshot: &Snapshot, plan: &UpstreamPlan, members: &[Member]) -> bool {
        *self.members == *members && self.plan() == plan && self.snapshot.client == snapshot.client
    }
}

/// What is new for the workers, and the endpoints that it leaves out.
pub(crate) struct Changed {
    pub(crate) parts: PlanParts,
    pub(crate) removed: Vec<Arc<Endpoint>>,
}

impl Fleet {
    /// The parts of every worker's plan under a configuration.
    pub(crate) fn parts(
        &self,
        snapshot: &Arc<Snapshot>,
        roster: &Roster,
        secure: &Secured,
        registry: &Registry,
    ) -> Changed {
        let mut groups = self.lock();
        let mut next = Groups::new();
        let mut removed = Vec::new();
        for (number, plan) in snapshot.upstreams.iter().enumerate() {
            let old = groups.remove(&plan.name);
            let connector = &secure.connectors[number];
            let group = regroup(old, snapshot, number, roster, (connector, registry));
            removed.extend(group.1);
            next.insert(Arc::clone(&plan.name), group.0);
        }
        for gone in groups.values() {
            removed.extend(states(gone));
            release(gone, &[], registry);
        }
        let of_plan = |plan: &UpstreamPlan| Arc::clone(&next[&plan.name].part);
        let (routes, passages) = route_ids(snapshot, registry);
        let parts = PlanParts {
            sites: Arc::clone(&secure.sites),
            passages,
            snapshot: Arc::clone(snapshot),
            routes,
            upstreams: snapshot.upstreams.iter().map(of_plan).collect(),
        };
        *groups = next;
        Changed { parts, removed }
    }

    /// The same parts but for these upstreams, whose endpoints are no longer what they were; `None` when they are.
    pub(crate) fn renew<'n>(
        &self,
        names: impl IntoIterator<Item = &'n Arc<str>>,
        parts: &PlanParts,
        roster: &Roster,
        registry: &Registry,
    ) -> Option<Changed> {
        let mut groups = self.lock();
        let mut upstreams: Option<Vec<Arc<UpstreamPart>>> = None;
        let mut removed = Vec::new();
        for name in names {
            let Some(old) = groups.remove(name) else {
                continue;
            };
            let (before, number) = (Arc::clone(&old.part), old.number);
            let snapshot = Arc::clone(&old.snapshot);
            let connector = before.connector.clone();
            let (group, gone) =
                regroup(Some(old), &snapshot, number, roster, (&connector, registry));
            if !Arc::ptr_eq(&before, &group.part) {
                let all = upstreams.get_or_insert_with(|| parts.upstreams.to_vec());
                all[number] = Arc::clone(&group.part);
            }
            removed.extend(gone);
            groups.insert(Arc::clone(name), group);
        }
        let mut parts = parts.clone();
        parts.upstreams = upstreams?.into();
        Some(Changed { parts, removed })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Groups> {
        // A group that a panic elsewhere has left out is built anew by the next change; nothing is half changed.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All groups, by their upstreams' names.
    pub(crate) fn groups(&self) -> BTreeMap<Arc<str>, Group> {
        self.lock().clone()
    }

    /// One group.
    pub(crate) fn group(&self, upstream: &str) -> Option<Group> {
        self.lock().get(upstream).cloned()
    }

    /// Upstream, state and address, if it has one, of each endpoint.
    pub(crate) fn each(&self, mut see: impl FnMut(&str, &Endpoint, Option<SocketAddr>)) {
        for (upstream, group) in self.lock().iter() {
            for (member, endpoint) in group.endpoints() {
                see(upstream, endpoint, member.address);
            }
        }
    }
}

/// The slots in metrics of listeners that pass connections on, by their numbers.
type Passages = Arc<[(u32, RouteId)]>;

/// The slots in metrics of a configuration's routes, and of its listeners that pass connections on.
fn route_ids(snapshot: &Snapshot, registry: &Registry) -> (Arc<[RouteId]>, Passages) {
    let passing: Vec<&ListenerPlan> = (snapshot.listeners.iter())
        .filter(|listener| !matches!(listener.mode, ModePlan::Http { .. }))
        .collect();
    let routes = (snapshot.routes.iter()).map(|route| (&*route.site, &*route.name));
    let passages = passing.iter().map(|listener| ("", &*listener.name));
    let names: Vec<(&str, &str)> = routes.chain(passages).collect();
    let ids = registry.routes_in_force(&names);
    let (routes, passages) = ids.split_at(snapshot.routes.len());
    let numbers = passing.iter().map(|listener| listener.number);
    (
        routes.into(),
        numbers.zip(passages.iter().copied()).collect(),
    )
}

/// The states of a group's endpoints.
fn states(group: &Group) -> impl Iterator<Item = Arc<Endpoint>> {
    (group.part.endpoints.iter()).map(|part| Arc::clone(&part.endpoint))
}

/// An upstream's group as it should be now, and the endpoints that it no longer has.
fn regroup(
    old: Option<Group>,
    snapshot: &Arc<Snapshot>,
    number: usize,
    roster: &Roster,
    (connector, registry): (&Option<Arc<Connector>>, &Registry),
) -> (Group, Vec<Arc<Endpoint>>) {
    let plan = &snapshot.upstreams[number];
    let members = roster.members(plan);
    if let Some(old) = &old
        && old.serves(snapshot, plan, &members)
        && is_same(connector, &old.part.connector)
    {
        let group = Group {
            snapshot: Arc::clone(snapshot),
            number,
            ..old.clone()
        };
        return (group, Vec::new());
    }
    let mut known = HashMap::new();
    if let Some(old) = &old {
        for (member, part) in old.members.iter().zip(&old.part.endpoints) {
            known.insert(member.key(), part);
        }
    }
    // Those who come together have the same share from the start; who joins others begins slowly.
    let joins = !known.is_empty();
    let endpoints: Box<[EndpointPart]> = (members.iter())
        .map(|member| {
            let known = known.remove(&member.key());
            let part = part(plan, member, known, registry);
            if joins && known.is_none() {
                part.endpoint.begin_slowly(now().millis());
            }
            part
        })
        .collect();
    let removed = known
        .into_values()
        .map(|part| Arc::clone(&part.endpoint))
        .collect();
    if let Some(old) = &old {
        release(old, &members, registry);
    }
    let before = old.as_ref().map(|old| &old.part);
    let part = UpstreamPart {
        roster: arrange(plan, &members, &endpoints),
        states: (endpoints.iter())
            .map(|part| Arc::clone(&part.endpoint))
            .collect(),
        endpoints,
        seal: plan.sticky.as_ref().map(|sticky| seal(plan, sticky)),
        connector: connector.clone(),
        state: before
            .map(|part| Arc::clone(&part.state))
            .unwrap_or_default(),
        line: before
            .map(|part| Arc::clone(&part.line))
            .unwrap_or_default(),
    };
    let group = Group {
        snapshot: Arc::clone(snapshot),
        number,
        members: members.into(),
        part: Arc::new(part),
    };
    (group, removed)
}

/// An upstream's endpoints, arranged for picking.
fn arrange(
    plan: &UpstreamPlan,
    members: &[Member],
    parts: &[EndpointPart],
) -> Arc<foregate_balance::Roster> {
    let pairs = members.iter().zip(parts);
    let members: Vec<foregate_balance::Member> = pairs
        .map(|(member, part)| foregate_balance::Member {
            endpoint: Arc::clone(&part.endpoint),
            // A name that resolves to several addresses is as many endpoints.
            id: match member.address {
                Some(address) => hash(address.to_string().as_bytes()),
                None => hash(member.endpoint.authority.as_bytes()),
            },
            attributes: Arc::clone(&member.endpoint.attributes),
        })
        .collect();
    let balancing = plan.balancing.clone();
    Arc::new(foregate_balance::Roster::new(balancing, &members))
}

/// What seals sessions where the configuration names no secret, once that is needed: it lives as long as the process
/// and its successors.
static OWN: OnceLock<Option<[u8; 32]>> = OnceLock::new();

/// The secret of this process, if it has drawn one.
pub(crate) fn own_secret() -> Option<&'static [u8; 32]> {
    OWN.get()?.as_ref()
}

/// Goes on with the secret of the process before this one.
pub(crate) fn inherit_secret(secret: &[u8]) {
    if let Ok(secret) = secret.try_into() {
        // There is none yet: this comes before the first configuration.
        let _ = OWN.set(Some(secret));
    }
}

/// What the cookies of an upstream's sessions are sealed with: its secrets, or one that lives as long as the process.
fn seal(plan: &UpstreamPlan, sticky: &StickyPlan) -> Arc<Seal> {
    let secrets = sticky
        .secrets
        .iter()
        .map(|secret| secret.reveal().as_bytes());
    Arc::new(match sticky.secrets.is_empty() {
        true => {
            let own = OWN.get_or_init(Seal::random_secret).as_ref();
            Seal::new(&plan.name, own.map(|secret| &secret[..]))
        }
        false => Seal::new(&plan.name, secrets),
    })
}

fn is_same(one: &Option<Arc<Connector>>, other: &Option<Arc<Connector>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// An endpoint as workers know it: the one that there was, or a new one.
fn part(
    plan: &UpstreamPlan,
    member: &Member,
    known: Option<&EndpointPart>,
    registry: &Registry,
) -> EndpointPart {
    let (authority, weight) = (&member.endpoint.authority, member.endpoint.weight);
    let endpoint = match known {
        Some(known) => Arc::clone(&known.endpoint),
        None => Arc::new(Endpoint::new(&**authority, weight)),
    };
    endpoint.set_weight(weight);
    if endpoint.admin() != member.admin {
        endpoint.set_admin(member.admin);
        if known.is_some() && member.admin == AdminState::Enabled {
            endpoint.begin_slowly(now().millis());
        }
    }
    let seats = known
        .map(|known| Arc::clone(&known.seats))
        .unwrap_or_default();
    seats.set_max(plan.connections_max);
    EndpointPart {
        endpoint,
        address: member.address,
        id: match known {
            Some(known) => known.id,
            None => registry.endpoint(&plan.name, authority),
        },
        seats,
    }
}

/// Lets the registry know which endpoints of a group there are no more.
fn release(group: &Group, stay: &[Member], registry: &Registry) {
    let stay: std::collections::HashSet<&str> =
        (stay.iter()).map(|one| &*one.endpoint.authority).collect();
    for member in &*group.members {
        let authority = &*member.endpoint.authority;
        if !stay.contains(authority) {
            registry.endpoint_gone(&group.plan().name, authority);
        }
    }
}

/// Held by workers, and by control a little longer, until they have taken a change up. When the last one has, nobody picks the endpoints any more that
/// it leaves out, but for requests that began before and are tried again: those are told now that these take no more,
/// and whoever asked for the change that it is done.
pub(crate) struct Handover {
    removed: Vec<Arc<Endpoint>>,
    done: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Handover {
    pub(crate) fn new(removed: Vec<Arc<Endpoint>>) -> Handover {
        Handover {
            removed,
            done: None,
        }
    }

    /// Has this called at the end.
    pub(crate) fn then(mut self, done: impl FnOnce() + Send + Sync + 'static) -> Handover {
        self.done = Some(Box::new(done));
        self
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover")
            .field("removed", &self.removed.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        for endpoint in &self.removed {
            endpoint.set_admin(AdminState::Draining);
        }
        if let Some(done) = self.done.take() {
            done();
        }
    }
}
