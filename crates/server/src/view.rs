//! View: what the admin API shows.

use crate::fleet::Fleet;
use crate::sockets::Listening;
use foregate_snapshot::{Action, Snapshot};
use foregate_telemetry::clock::{self, UnixTime, now};
use foregate_telemetry::metrics::Registry;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is known about the server, for reading.
pub(crate) struct Facts {
    registry: Arc<Registry>,
    fleet: Arc<Fleet>,
    draining: AtomicBool,
    present: Mutex<Present>,
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
        registry: Arc<Registry>,
        fleet: Arc<Fleet>,
        snapshot: Arc<Snapshot>,
        origin: String,
        listening: &[Listening],
    ) -> Facts {
        Facts {
            registry,
            fleet,
            draining: AtomicBool::new(false),
            present: Mutex::new(Present::new(snapshot, origin, listening)),
        }
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn reloaded(
        &self,
        snapshot: &Arc<Snapshot>,
        origin: String,
        listening: &[Listening],
    ) {
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

    fn ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    fn status(&self) -> Value {
        let present = self.present();
        let now_ms = now().millis();
        let mut endpoints = Vec::new();
        self.fleet.each(|upstream, endpoint, address| {
            let state = endpoint.state(now_ms);
            let ejected_ms = state
                .ejected_until_ms
                .map(|until| until.saturating_sub(now_ms));
            endpoints.push(json!({
                "upstream": upstream,
                "endpoint": endpoint.label(),
                "address": address.map(|address| address.to_string()),
                "weight": state.weight,
                "admin": state.admin.name(),
                "in_flight": state.in_flight,
                "consecutive_failures": state.consecutive_failures,
                "ejected_for_ms": ejected_ms,
            }));
        });
        let routes: Vec<Value> = present
            .snapshot
            .routes
            .iter()
            .take(ROUTES_SHOWN_MAX)
            .map(|route| {
                let (action, upstream) = match &route.action {
                    Action::Proxy(proxy) => {
                        let upstream = &present.snapshot.upstreams[proxy.upstream as usize];
                        ("proxy", Some(&*upstream.name))
                    }
                    Action::Redirect(_) => ("redirect", None),
                    Action::Respond(_) => ("respond", None),
                };
                json!({ "site": &*route.site, "route": &*route.name, "action": action, "upstream": upstream })
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "state": if self.draining.load(Ordering::Relaxed) { "draining" } else { "serving" },
            "uptime_seconds": now_ms / 1000,
            "configuration": { "from": present.origin, "loaded_unix": present.loaded.seconds() },
            "listeners": present.listeners.iter().map(|(name, addresses)| {
                json!({ "name": name, "addresses": addresses })
            }).collect::<Vec<_>>(),
            "routes_total": present.snapshot.routes.len(),
            "routes": routes,
            "endpoints": endpoints,
        })
    }
}

/// Routes that a status names; their count is always whole.
const ROUTES_SHOWN_MAX: usize = 1000;
