//! View: what the admin API shows.

mod upstreams;

use crate::certificates;
use crate::connections::Connections;
use crate::discovery::Statuses;
use crate::fleet::{Fleet, Group};
use crate::ledger::Ledger;
use crate::overload::Overload;
use crate::probing::Known;
use crate::sockets::Listening;
use foregate_acme::Agent;
use foregate_admin::{
    CertificatesView, ConfigView, ConnectionsAsked, ConnectionsPage, DiscoveryView,
    EndpointSummary, ListenerView, RouteSummary, RouteView, StatusView, TargetView,
    UpstreamSummary, UpstreamView, ValueView, VersionDetail, VersionView,
};
use foregate_balance::is_panic;
use foregate_snapshot::{Action, RouteNote, RoutePlan, Snapshot, TargetNote, TargetPlan};
use foregate_telemetry::clock::{self, UnixTime, now};
use foregate_telemetry::metrics::Registry;
use foregate_tls::CertificateStore;
use foregate_upstream::Prober;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What is known about the server, for reading.
pub(crate) struct Facts {
    registry: Arc<Registry>,
    fleet: Arc<Fleet>,
    prober: Arc<Prober>,
    connections: Connections,
    draining: AtomicBool,
    present: Mutex<Present>,
    store: Arc<CertificateStore>,
    discovery: Arc<Statuses>,
    agent: OnceLock<Agent>,
    ledger: Arc<Ledger>,
    overload: Arc<Overload>,
}

/// What a reload changes.
struct Present {
    snapshot: Arc<Snapshot>,
    origin: String,
    loaded: UnixTime,
    listeners: Vec<(String, Vec<String>)>,
}

impl Present {
    fn new(snapshot: Arc<Snapshot>, origin: String, listening: &[Listening]) -> Present {
        let texts = |one: &Listening| one.bound.iter().map(ToString::to_string).collect();
        Present {
            snapshot,
            origin,
            loaded: clock::unix_now(),
            listeners: listening
                .iter()
                .map(|one| (one.plan.name.to_string(), texts(one)))
                .collect(),
        }
    }
}

impl Facts {
    pub(crate) fn new(
        (registry, overload): (Arc<Registry>, Arc<Overload>),
        (fleet, prober, connections): (Arc<Fleet>, Arc<Prober>, Connections),
        snapshot: Arc<Snapshot>,
        origin: String,
        listening: &[Listening],
        store: Arc<CertificateStore>,
        (discovery, ledger): (Arc<Statuses>, Arc<Ledger>),
    ) -> Facts {
        Facts {
            ledger,
            store,
            discovery,
            agent: OnceLock::new(),
            overload,
            registry,
            fleet,
            prober,
            connections,
            draining: AtomicBool::new(false),
            present: Mutex::new(Present::new(snapshot, origin, listening)),
        }
    }

    /// What the admin listener demands.
    pub(crate) fn token(&self) -> Option<String> {
        let snapshot = Arc::clone(&self.present().snapshot);
        let token = snapshot.admin.as_ref()?.token.as_ref()?;
        Some(token.reveal().to_owned())
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Those of clients.
    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Who says what is given up when there is too much to do.
    pub(crate) fn overload(&self) -> &Overload {
        &self.overload
    }

    /// There is someone who issues certificates. Told again: nothing, since there is one for the life of the process.
    pub(crate) fn issued_by(&self, agent: &Agent) {
        if self.agent.set(agent.clone()).is_ok() {
            let gauges = Arc::new(agent.clone());
            self.registry.register("certificates", gauges);
        }
    }

    /// Has a certificate issued anew.
    pub(crate) fn renew(&self, name: &str) -> Result<String, String> {
        match self.agent.get() {
            Some(agent) => agent.renew(name),
            None => Err("this gateway issues no certificates; those from files are renewed by whoever writes the files".to_owned()),
        }
    }

    pub(crate) fn reloaded(
        &self,
        snapshot: &Arc<Snapshot>,
        origin: String,
        listening: &[Listening],
    ) {
        self.overload.reloaded(snapshot, listening);
        *self.present() = Present::new(Arc::clone(snapshot), origin, listening);
    }

    fn present(&self) -> std::sync::MutexGuard<'_, Present> {
        // Replaced whole, so a panic elsewhere leaves nothing half changed.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl foregate_admin::View for Facts {
    fn metrics(&self) -> String {
        self.registry.render()
    }

    fn certificates(&self) -> CertificatesView {
        let snapshot = Arc::clone(&self.present().snapshot);
        certificates::view(&snapshot, &self.store, self.agent.get())
    }

    fn upstreams(&self) -> Vec<UpstreamView> {
        let groups = self.fleet.groups();
        let known = Known::of(&self.prober);
        groups
            .values()
            .map(|group| self.upstream_view(group, &known))
            .collect()
    }

    fn upstream(&self, name: &str) -> Option<UpstreamView> {
        let group = self.fleet.group(name)?;
        Some(self.upstream_view(&group, &Known::of(&self.prober)))
    }

    fn config(&self) -> ConfigView {
        self.ledger.config()
    }

    fn history(&self) -> Vec<VersionView> {
        self.ledger.versions()
    }

    fn values(&self) -> Vec<ValueView> {
        self.ledger.values()
    }

    fn connections(&self, asked: &ConnectionsAsked) -> ConnectionsPage {
        self.connections.list(asked)
    }

    fn routes(&self) -> Vec<RouteView> {
        let snapshot = Arc::clone(&self.present().snapshot);
        snapshot.listing().into_iter().map(route_view).collect()
    }

    fn version(&self, id: u64) -> Option<VersionDetail> {
        self.ledger.version(id)
    }

    fn ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    fn status(&self) -> StatusView {
        let (snapshot, origin, loaded, listeners) = {
            let present = self.present();
            (
                Arc::clone(&present.snapshot),
                present.origin.clone(),
                present.loaded,
                present.listeners.clone(),
            )
        };
        let now_ms = now().millis();
        let is_draining = self.draining.load(Ordering::Relaxed);
        let routes = snapshot.routes.iter().take(ROUTES_SHOWN_MAX);
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if is_draining { "draining" } else { "serving" }.to_owned(),
            overload: self.overload.view(),
            uptime_seconds: now_ms / 1000,
            configuration: self.ledger.status(origin, loaded.seconds()),
            listeners: (listeners.into_iter())
                .map(|(name, addresses)| ListenerView { name, addresses })
                .collect(),
            routes_total: snapshot.routes.len() as u64,
            routes: routes
                .map(|route| route_summary(&snapshot, route))
                .collect(),
            endpoints: self.endpoint_summaries(now_ms),
            upstreams: upstream_summaries(&self.fleet, now_ms),
        }
    }
}

impl Facts {
    fn endpoint_summaries(&self, now_ms: u64) -> Vec<EndpointSummary> {
        let known = Known::of(&self.prober);
        let mut endpoints = Vec::new();
        self.fleet.each(|upstream, endpoint, address| {
            let state = endpoint.state(now_ms);
            let ejected = state.ejected_until_ms;
            endpoints.push(EndpointSummary {
                upstream: upstream.to_owned(),
                endpoint: endpoint.label().to_owned(),
                address: address.map(|address| address.to_string()),
                weight: state.weight,
                admin: state.admin.name().to_owned(),
                in_flight: state.in_flight,
                consecutive_failures: state.consecutive_failures,
                consecutive_gateway_errors: state.consecutive_gateway_errors,
                ejected_for_ms: ejected.map(|until| until.saturating_sub(now_ms)),
                ejection_cause: state.ejection_cause.map(|cause| cause.name().to_owned()),
                health: state.health.name().to_owned(),
                probe: known.view(endpoint, now_ms),
            });
        });
        endpoints
    }

    fn upstream_view(&self, group: &Group, known: &Known) -> UpstreamView {
        let mut view = upstreams::view(group, known, &self.registry);
        let found = self.discovery.of(&group.plan().name);
        view.discovery = found.map(|(source, status)| DiscoveryView {
            source: source.to_owned(),
            endpoints: status.endpoints(),
            answers: status.answers(),
            errors: status.errors(),
            last_success_unix: status.last_success(),
            trouble: status.trouble(),
        });
        view
    }
}

fn route_view(note: RouteNote) -> RouteView {
    let target = |target: TargetNote| TargetView {
        upstream: target.upstream,
        is_subset: target.is_subset,
        weight: target.weight,
    };
    RouteView {
        site: note.site,
        hosts: note.hosts,
        route: note.route,
        position: note.position as u64,
        conditions: note.conditions,
        action: note.action.to_owned(),
        targets: note.targets.into_iter().map(target).collect(),
        mirror: note.mirror,
    }
}

fn route_summary(snapshot: &Snapshot, route: &RoutePlan) -> RouteSummary {
    let (action, upstream) = match &route.action {
        Action::Proxy(proxy) => {
            let name = |target: &TargetPlan| &*snapshot.upstreams[target.upstream as usize].name;
            let names: Vec<&str> = proxy.targets.iter().map(name).collect();
            ("proxy", Some(names.join(", ")))
        }
        Action::Redirect(_) => ("redirect", None),
        Action::Respond(_) => ("respond", None),
    };
    RouteSummary {
        site: route.site.to_string(),
        route: route.name.to_string(),
        action: action.to_owned(),
        upstream,
    }
}

/// What is to be known of whole upstreams at a glance.
fn upstream_summaries(fleet: &Fleet, now_ms: u64) -> Vec<UpstreamSummary> {
    let summary = |(name, group): (&Arc<str>, &Group)| {
        let states = group.endpoints().map(|(_, endpoint)| endpoint);
        let threshold = group.plan().balancing.panic_threshold_percent;
        let circuit = group.plan().circuit;
        let breaker = &group.part.state.breaker;
        UpstreamSummary {
            upstream: name.to_string(),
            panic: is_panic(states, now_ms, threshold),
            circuit: circuit.map(|_| breaker.state(now_ms).name().to_owned()),
            queued: group.part.line.length() as u64,
        }
    };
    fleet.groups().iter().map(summary).collect()
}

/// Routes that a status names; their count is always whole.
const ROUTES_SHOWN_MAX: usize = 1000;
