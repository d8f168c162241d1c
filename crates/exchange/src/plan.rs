//! A snapshot as one worker uses it: with its own pools, pickers and numbers of cells.

mod newer;

pub(crate) use newer::Moved;

use crate::exchange::Exchange;
use crate::patience::TimeLimits;
use crate::secure::SecurePart;
use crate::session::Seal;
use foregate_balance::{
    Bounds, BreakerPolicy, EjectionPolicy, Endpoint, HedgePolicy, OutlierPolicy, Picker,
    RetryBudget, Roster, UpstreamState,
};
use foregate_message::path::Normal;
use foregate_message::{Peer, RequestHead, Scheme, Target, host_without_port};
use foregate_policy::Facts;
use foregate_snapshot::{
    Action, Protocol as WantedProtocol, ProxyPlan, QueuePlan, RetryPlan, RoutePlan, Snapshot,
    TargetPlan, UpstreamPlan,
};
use foregate_telemetry::clock::{Moment, recent};
use foregate_telemetry::metrics::{EndpointId, RouteId, Shard};
use foregate_upstream::{
    BodyLimits, CallLimits, Connector, HeadLimits, Http2Limits, Line, Pool, PoolLimits, Protocol,
    Seats,
};
use std::cell::{Cell, LazyCell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// What all workers' plans are made from: prepared once a reload, away from the workers.
#[derive(Clone, Debug)]
pub struct PlanParts {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// The cells of each route, by its number.
    pub routes: Arc<[RouteId]>,
    /// What belongs to each upstream, by its number.
    pub upstreams: Arc<[Arc<UpstreamPart>]>,
    /// The TLS settings of each site, by its number.
    pub sites: Arc<[SecurePart]>,
    /// The cells of each listener that passes connections on, by the listener's number.
    pub passages: Arc<[(u32, RouteId)]>,
}

/// The endpoints of an upstream and the way to them. Whoever prepares parts hands over the same one again for as long
/// as nothing about its upstream changes: then workers go on with what they have.
#[derive(Debug)]
pub struct UpstreamPart {
    /// The endpoints, in the order that they are picked by.
    pub endpoints: Box<[EndpointPart]>,
    /// Their states alone, by the same index.
    pub states: Box<[Arc<Endpoint>]>,
    /// The same endpoints arranged for picking.
    pub roster: Arc<Roster>,
    /// What the cookies of sessions with them are sealed with, if there are any.
    pub seal: Option<Arc<Seal>>,
    /// How TLS is spoken with them, if it is.
    pub connector: Option<Arc<Connector>>,
    /// What its endpoints have in common; survives changes.
    pub state: Arc<UpstreamState>,
    /// Where requests wait while all of them are full; survives changes.
    pub line: Arc<Line>,
}

/// An endpoint with the state that survives changes.
#[derive(Clone, Debug)]
pub struct EndpointPart {
    /// Its state.
    pub endpoint: Arc<Endpoint>,
    /// Where it listens; `None` while its name does not resolve.
    pub address: Option<SocketAddr>,
    /// Its cells.
    pub id: EndpointId,
    /// The connections of all workers to it.
    pub seats: Arc<Seats>,
}

/// A snapshot in force on one worker.
#[derive(Debug)]
pub struct Plan {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) upstreams: Box<[Rc<Upstream>]>,
    routes: Arc<[RouteId]>,
    sites: Arc<[SecurePart]>,
    passages: Arc<[(u32, RouteId)]>,
    /// Let go of last: whoever holds these as well sees by their count when a plan is gone.
    _parts: Arc<[Arc<UpstreamPart>]>,
}

/// An upstream of one worker.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What it was built from.
    part: Arc<UpstreamPart>,
    pub(crate) name: Arc<str>,
    /// By the endpoints' index, each made when it is first asked for: a reload of many endpoints makes none of those
    /// that nobody asks.
    pools: Box<[OnceCell<Rc<Pool>>]>,
    pool_limits: PoolLimits,
    /// Another has taken its place, or none.
    is_retired: Cell<bool>,
    /// The one of this name that is in force on this worker, if there is one: shared with all that were before it.
    newest: Rc<RefCell<Weak<Upstream>>>,
    shard: Arc<Shard>,
    pub(crate) picker: RefCell<Picker>,
    /// Whether its algorithm goes by how long endpoints take.
    pub(crate) is_timed: bool,
    /// Whether it goes by a key of the request.
    pub(crate) is_keyed: bool,
    pub(crate) ejection: EjectionPolicy,
    pub(crate) outliers: Option<OutlierPolicy>,
    pub(crate) retry: RetryPlan,
    /// Whether a request may be sent again since its backend has said that it did not look at it (HTTP/2), which holds for
    /// any method.
    pub(crate) may_refuse_unseen: bool,
    /// Whether its connections may be shared ones (HTTP/2).
    pub(crate) may_share: bool,
    pub(crate) budget: RefCell<RetryBudget>,
    /// What it had left when that was told last.
    budget_told: Cell<u64>,
    /// When a request is sent to a second endpoint as well, if ever.
    pub(crate) hedge: Option<HedgePolicy>,
    pub(crate) state: Arc<UpstreamState>,
    /// Whether there are limits or circuits, or there may be in what has taken its place.
    is_guarded: Cell<bool>,
    pub(crate) bounds: Bounds,
    /// Requests that it works on at once, of all workers.
    requests_max: Option<u32>,
    /// Where requests wait, if anything limits how many an endpoint has, or all together.
    pub(crate) queue: Option<QueuePlan>,
    pub(crate) line: Arc<Line>,
    /// When nothing is sent to any endpoint for a while.
    pub(crate) circuit: Option<BreakerPolicy>,
    pub(crate) call_limits: CallLimits,
    pub(crate) tries_max: u32,
    pub(crate) grpc_web: bool,
}

impl Upstream {
    /// The connections to an endpoint.
    #[inline]
    pub(crate) fn pool(&self, index: usize) -> &Rc<Pool> {
        self.pools[index].get_or_init(|| self.new_pool(index))
    }

    #[cold]
    fn new_pool(&self, index: usize) -> Rc<Pool> {
        let one = &self.part.endpoints[index];
        if let Some(pool) = self.newer().and_then(|newer| newer.pool_of(one)) {
            return pool;
        }
        let (endpoint, shard) = (Arc::clone(&one.endpoint), Arc::clone(&self.shard));
        let (seats, limits) = (Arc::clone(&one.seats), self.pool_limits);
        let pool = Pool::new(endpoint, one.address, one.id, shard, seats, limits);
        pool.set_connector(self.part.connector.clone());
        if self.is_retired.get() {
            // Nobody will ask for it again.
            pool.retire();
        }
        pool
    }

    /// The pools of those that were asked.
    fn made_pools(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.pools.iter().filter_map(OnceCell::get)
    }

    /// The states of the endpoints.
    #[inline]
    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.part.states
    }

    /// What the cookies of its sessions are sealed with.
    pub(crate) fn seal(&self) -> Option<&Seal> {
        self.part.seal.as_deref()
    }

    /// The lane of the line for a subset's places, which it keeps through all changes: whoever waits goes by what is in
    /// force when it looks.
    pub(crate) fn lane(&self, subset: u32) -> u64 {
        self.part.roster.lane(subset)
    }

    /// What an endpoint is known by in cookies.
    pub(crate) fn identity(&self, index: usize) -> u64 {
        self.part.roster.members()[index].id
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.tell_budget(0);
    }
}

impl Plan {
    /// Builds a worker's plan. What `before` has of upstreams that stay as they are is gone on with, down to whose turn
    /// it is; of the others endpoints that stay keep their pools. `seed` is the worker's, so that workers do not all
    /// begin with the same endpoint.
    pub fn build(
        parts: &PlanParts,
        before: Option<&Plan>,
        shard: &Arc<Shard>,
        seed: u64,
    ) -> Rc<Plan> {
        let snapshot = &parts.snapshot;
        let before = before.map_or(&[][..], |plan| &plan.upstreams);
        let by_name = LazyCell::new(|| -> HashMap<&str, &Rc<Upstream>> {
            before.iter().map(|one| (&*one.name, one)).collect()
        });
        let mut upstreams = Vec::with_capacity(parts.upstreams.len());
        for (number, (plan, part)) in snapshot.upstreams.iter().zip(&*parts.upstreams).enumerate() {
            // Most keep their place, so that few are looked for by name.
            let old = match before.get(number) {
                Some(same) if same.name == plan.name => Some(same),
                _ => by_name.get(&*plan.name).copied(),
            };
            upstreams.push(match old {
                Some(old) if Arc::ptr_eq(&old.part, part) => Rc::clone(old),
                old => upstream(snapshot, plan, part, old, shard, seed),
            });
        }
        Rc::new(Plan {
            snapshot: Arc::clone(snapshot),
            upstreams: upstreams.into(),
            routes: Arc::clone(&parts.routes),
            sites: Arc::clone(&parts.sites),
            passages: Arc::clone(&parts.passages),
            _parts: Arc::clone(&parts.upstreams),
        })
    }

    /// Lets go of the pools that `next`, which takes this plan's place, has no more use for: idle connections are
    /// closed, others when their exchanges end.
    pub fn give_way(&self, next: &Plan) {
        let stays: HashSet<*const Upstream> = next.upstreams.iter().map(Rc::as_ptr).collect();
        let gone: Vec<&Rc<Upstream>> = (self.upstreams.iter())
            .filter(|one| !stays.contains(&Rc::as_ptr(one)))
            .collect();
        if gone.is_empty() {
            return;
        }
        let before: HashSet<*const Upstream> = self.upstreams.iter().map(Rc::as_ptr).collect();
        let kept: HashSet<*const Pool> = (next.upstreams.iter())
            .filter(|one| !before.contains(&Rc::as_ptr(one)))
            .flat_map(|one| one.made_pools().map(Rc::as_ptr))
            .collect();
        for one in &next.upstreams {
            if !before.contains(&Rc::as_ptr(one)) {
                *one.newest.borrow_mut() = Rc::downgrade(one);
            }
        }
        gone.iter().for_each(|one| one.retire());
        for pool in gone.iter().flat_map(|one| one.made_pools()) {
            if !kept.contains(&Rc::as_ptr(pool)) {
                pool.retire();
            }
        }
        // Those who wait look among the endpoints that there are now.
        for one in gone {
            one.line.look_again();
            one.made_pools().for_each(|pool| pool.stir());
        }
    }

    /// Closes idle connections that are too old or were closed by their backends.
    pub fn sweep(&self, at: Moment) {
        for pool in self.upstreams.iter().flat_map(|one| one.made_pools()) {
            pool.sweep(at);
        }
        // Places come without anybody giving them back, too: endpoints recover, and limits grow.
        for upstream in &self.upstreams {
            upstream.line.look_again();
            upstream.tell_budget(upstream.budget_left(at));
        }
    }

    /// The route of this number.
    #[inline]
    pub(crate) fn route(&self, number: u32) -> &RoutePlan {
        &self.snapshot.routes[number as usize]
    }

    /// The cells of a listener that passes connections on.
    pub(crate) fn passage_id(&self, listener: u32) -> RouteId {
        let found = self.passages.iter().find(|(number, _)| *number == listener);
        found.map_or(RouteId::OTHER, |(_, id)| *id)
    }

    /// The TLS settings of a route's site.
    #[inline]
    pub(crate) fn secure_part(&self, route: &RoutePlan) -> SecurePart {
        self.sites[route.site_number as usize]
    }

    /// The cells of a route; those of requests without one when there is none.
    pub(crate) fn route_id(&self, number: Option<u32>) -> RouteId {
        number.map_or(RouteId::OTHER, |number| self.routes[number as usize])
    }

    /// The time limits of a target.
    pub(crate) fn time_limits(&self, target: &TargetPlan) -> TimeLimits {
        TimeLimits {
            connect: target.timeouts.connect,
            first_byte: target.timeouts.first_byte,
            between_bytes: target.timeouts.between_bytes,
            request: target.timeouts.request,
            per_try: target.timeouts.per_try,
            tunnel_idle: self.snapshot.client.tunnel_idle_timeout,
        }
    }
}

/// The pools of an upstream that may go on, by their endpoints' states: these stay the same for as long as an endpoint
/// is named.
struct Pools<'a>(HashMap<*const Endpoint, &'a Rc<Pool>>);

impl<'a> Pools<'a> {
    fn of(old: Option<&'a Rc<Upstream>>) -> Pools<'a> {
        let pools = old.into_iter().flat_map(|upstream| upstream.made_pools());
        let keyed = pools.map(|pool| (Arc::as_ptr(&pool.endpoint), pool));
        Pools(keyed.collect())
    }

    fn take(&mut self, part: &EndpointPart) -> Option<Rc<Pool>> {
        let pool = self.0.remove(&Arc::as_ptr(&part.endpoint))?;
        (pool.address.get() == part.address).then(|| Rc::clone(pool))
    }
}

fn upstream(
    snapshot: &Snapshot,
    plan: &UpstreamPlan,
    part: &Arc<UpstreamPart>,
    old: Option<&Rc<Upstream>>,
    shard: &Arc<Shard>,
    seed: u64,
) -> Rc<Upstream> {
    let limits = pool_limits(snapshot, plan);
    let mut known = Pools::of(old);
    let pools = (part.endpoints.iter()).map(|one| match known.take(one) {
        Some(pool) => {
            pool.set_limits(limits);
            pool.set_connector(part.connector.clone());
            OnceCell::from(pool)
        }
        None => OnceCell::new(),
    });
    let pools = pools.collect();
    let is_guarded = plan.has_queue()
        || plan.balancing.bounds.is_guarded()
        || plan.circuit.is_some()
        || plan.retry.retries_max.is_some();
    let may_share = may_share(limits.protocol, part);
    let upstream = Rc::new(Upstream {
        part: Arc::clone(part),
        name: Arc::clone(&plan.name),
        is_keyed: plan.balancing.algorithm.is_keyed(),
        is_timed: plan.balancing.algorithm.is_timed(),
        picker: RefCell::new(Picker::new(Arc::clone(&part.roster), seed)),
        pools,
        pool_limits: limits,
        is_retired: Cell::new(false),
        newest: old.map_or_else(Rc::default, |old| Rc::clone(&old.newest)),
        shard: Arc::clone(shard),
        ejection: plan.ejection,
        outliers: plan.outliers,
        retry: plan.retry.clone(),
        may_refuse_unseen: plan.retry.refused && may_share,
        may_share,
        hedge: plan.hedge,
        state: Arc::clone(&part.state),
        is_guarded: Cell::new(is_guarded),
        requests_max: plan.requests_max,
        bounds: plan.balancing.bounds,
        queue: plan.has_queue().then_some(plan.queue),
        line: Arc::clone(&part.line),
        circuit: plan.circuit,
        budget: RefCell::new(RetryBudget::new(&plan.retry.budget, recent().millis())),
        budget_told: Cell::default(),
        call_limits: call_limits(snapshot, plan),
        tries_max: plan.tries_max,
        grpc_web: plan.grpc_web,
    });
    upstream.tell_budget(upstream.budget_left(recent()));
    if old.is_none() {
        *upstream.newest.borrow_mut() = Rc::downgrade(&upstream);
    }
    upstream
}

/// Whether connections may turn out to be shared ones.
fn may_share(protocol: Protocol, part: &UpstreamPart) -> bool {
    match protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        Protocol::Auto => part.connector.is_some(),
    }
}

pub(crate) fn call_limits(snapshot: &Snapshot, plan: &UpstreamPlan) -> CallLimits {
    CallLimits {
        head: HeadLimits {
            head_bytes_max: plan.response_head_bytes_max,
            fields_max: plan.response_fields_max,
            target_bytes_max: 0,
        },
        body: BodyLimits {
            body_bytes_max: None,
            chunk_extension_bytes_max: snapshot.client.chunk_extension_bytes_max,
            trailer_bytes_max: snapshot.client.trailer_bytes_max,
            trailer_fields_max: plan.response_fields_max,
        },
    }
}

pub(crate) fn pool_limits(snapshot: &Snapshot, plan: &UpstreamPlan) -> PoolLimits {
    let http2 = &snapshot.client.http2;
    let ack_timeout_ms = http2.ack_timeout.as_millis() as u64;
    PoolLimits {
        idle_max: plan.connections_idle_max,
        is_bounded: plan.connections_max.is_some(),
        pending_max: plan.requests_pending_max,
        idle_timeout: plan.idle_timeout,
        keep_alive: plan.keep_alive,
        congestion: plan.congestion,
        requests_max: plan.requests_per_connection_max,
        proxy_protocol: plan.proxy_protocol,
        protocol: match plan.protocol.protocol {
            WantedProtocol::Http1 => Protocol::Http1,
            WantedProtocol::Http2 => Protocol::Http2,
            WantedProtocol::Auto => Protocol::Auto,
        },
        // What holds for clients holds for backends too; only their heads, and what they may do in vain, have limits of
        // their own: their connection is that of many clients.
        http2: Http2Limits {
            head: HeadLimits {
                head_bytes_max: plan.response_head_bytes_max,
                fields_max: plan.response_fields_max,
                target_bytes_max: 0,
            },
            trailer_bytes_max: snapshot.client.trailer_bytes_max,
            trailer_fields_max: plan.response_fields_max,
            streams_max: plan.protocol.streams_per_connection_max,
            stream_window_bytes: http2.stream_window_bytes,
            connection_window_bytes: http2.connection_window_bytes,
            abuse_points_max: plan.abuse_points_per_minute_max,
            settings_timeout_ms: ack_timeout_ms,
            ping_timeout_ms: ack_timeout_ms,
            window_stall_ms: u64::MAX,
        },
    }
}

impl Exchange {
    /// The plan of the route that was found.
    #[inline]
    pub(crate) fn route_plan<'p>(&self, plan: &'p Plan) -> &'p RoutePlan {
        let number = self
            .route
            .expect("stages behind `route` run only once a route is found");
        plan.route(number)
    }

    /// How the request goes to a backend.
    #[inline]
    pub(crate) fn proxy<'p>(&self, plan: &'p Plan) -> &'p ProxyPlan {
        match &self.route_plan(plan).action {
            Action::Proxy(proxy) => proxy,
            Action::Redirect(_) | Action::Respond(_) => {
                unreachable!("`policies` answers the routes that go to no backend")
            }
        }
    }

    /// Where the request goes.
    #[inline]
    pub(crate) fn destination<'p>(&self, plan: &'p Plan) -> &'p TargetPlan {
        let proxy = self.proxy(plan);
        match (proxy.targets.get(self.chosen as usize), &proxy.mirror) {
            (Some(target), _) => target,
            (None, Some(mirror)) => &mirror.target,
            (None, None) => unreachable!("only copies choose no target, and only of mirrors"),
        }
    }

    /// The upstream that it goes to: the plan's, or what has taken its place while the request waited.
    #[inline]
    pub(crate) fn upstream<'p>(&'p self, plan: &'p Plan) -> &'p Rc<Upstream> {
        let moved = self.guarded.as_ref().and_then(|guarded| guarded.moved());
        match moved {
            Some(upstream) => upstream,
            None => &plan.upstreams[self.destination(plan).upstream as usize],
        }
    }

    /// What header rules and redirects may name. Copies, as rules change the fields that they are read from.
    pub(crate) fn facts(&self, peer: &Peer, head: &RequestHead) -> OwnFacts {
        let target = Target::parse(&head.method, head.target()).ok();
        let received = target.map_or(&b""[..], |target| target.path);
        let path = match self.normal {
            Normal::Verbatim => received,
            Normal::Equivalent | Normal::Changed => &self.path,
        };
        OwnFacts {
            client: if self.client == peer.address.ip() {
                peer.description().client.clone()
            } else {
                self.client.to_string().into()
            },
            host: host_without_port(self.host(&head.fields)).into(),
            scheme: self.scheme,
            path: path.into(),
            query: target.and_then(|target| target.query).map(Into::into),
        }
    }
}

/// [`Facts`] of one request, but for its id.
#[derive(Debug)]
pub(crate) struct OwnFacts {
    client: Box<str>,
    host: Box<[u8]>,
    scheme: Scheme,
    path: Box<[u8]>,
    query: Option<Box<[u8]>>,
}

impl OwnFacts {
    pub(crate) fn of<'a>(&'a self, request_id: &'a [u8]) -> Facts<'a> {
        Facts {
            client: self.client.as_bytes(),
            host: &self.host,
            request_id,
            scheme: self.scheme,
            path: &self.path,
            query: self.query.as_deref(),
        }
    }
}
