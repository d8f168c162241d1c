//! The prober: asks endpoints how they are, one prober a process.
//!
//! Each endpoint has a task of its own, which asks, notes what it heard and waits. What was heard is kept by endpoint, so
//! that a new configuration forgets nothing about the endpoints that stay. No worker ever waits for a probe.

mod ask;
mod grpc;

use crate::call::CallLimits;
use crate::pool::PoolLimits;
use foregate_balance::{Endpoint, Health, ProbePlan, ProbeRecord, ProbeResult, acquit};
use foregate_eventloop::{Task, spawn_local};
use foregate_telemetry::clock::{Deadline, now};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::{Exposition, Gauges, Kind, Registry, Shard};
use foregate_tls::Connector;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// Probes under way at the same time; further ones wait, which costs them no part of their timeout.
pub const PROBES_MAX: usize = 256;

/// An endpoint that is to be probed.
#[derive(Clone, Debug)]
pub struct ProbeTarget {
    /// Its upstream's name.
    pub upstream: Arc<str>,
    /// Its state.
    pub endpoint: Arc<Endpoint>,
    /// Where it listens; `None` while its name does not resolve.
    pub address: Option<SocketAddr>,
    /// What it is asked.
    pub plan: Arc<ProbePlan>,
    /// How requests are sent to it: protocol, PROXY protocol.
    pub pool_limits: PoolLimits,
    /// What it may answer.
    pub call_limits: CallLimits,
    /// How TLS is spoken with it, if it is.
    pub connector: Option<Arc<Connector>>,
}

impl ProbeTarget {
    /// Whether it is asked the same in the same way.
    fn is_asked_as(&self, other: &ProbeTarget) -> bool {
        let same_connector = match (&self.connector, &other.connector) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_connector
            && self.address == other.address
            && self.plan == other.plan
            && self.pool_limits == other.pool_limits
    }
}

/// What is known of one endpoint from its probes.
#[derive(Debug)]
pub struct Watched {
    /// Its upstream's name.
    pub upstream: Arc<str>,
    /// Its state.
    pub endpoint: Arc<Endpoint>,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    record: Mutex<ProbeRecord>,
}

impl Watched {
    /// A copy of what is known.
    pub fn record(&self) -> ProbeRecord {
        lock(&self.record).clone()
    }
}

/// The handle to the prober of a process.
#[derive(Debug, Default)]
pub struct Prober {
    /// What to probe from now on, until it is taken up.
    wanted: Mutex<Option<Vec<ProbeTarget>>>,
    told: Notify,
    watched: Mutex<Arc<[Arc<Watched>]>>,
}

/// A lock that a panic elsewhere does not take away: what it guards is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Prober {
    /// Probes these endpoints from now on and no others. What is known of those that stay is kept.
    pub fn set(&self, targets: Vec<ProbeTarget>) {
        *lock(&self.wanted) = Some(targets);
        self.told.notify_one();
    }

    /// What is known of each endpoint that is probed.
    pub fn watched(&self) -> Arc<[Arc<Watched>]> {
        Arc::clone(&lock(&self.watched))
    }

    /// Probes, for as long as it is polled; on the event loop of a thread of its own.
    pub async fn run(&self) {
        // What probes do is counted as theirs, not among the connections of requests.
        let shard = Registry::new(&["probe"]).shard();
        let room = Rc::new(Semaphore::new(PROBES_MAX));
        let mut running: HashMap<*const Endpoint, Running> = HashMap::new();
        loop {
            self.told.notified().await;
            let Some(targets) = lock(&self.wanted).take() else {
                continue;
            };
            running = take_up(targets, running, &shard, &room);
            let watched = running.values().map(|one| Arc::clone(&one.watched));
            let mut watched: Vec<Arc<Watched>> = watched.collect();
            watched.sort_by(|one, other| {
                let key = |one: &Watched| {
                    (
                        Arc::clone(&one.upstream),
                        one.endpoint.label().to_owned(),
                        one.address,
                    )
                };
                key(one).cmp(&key(other))
            });
            *lock(&self.watched) = watched.into();
        }
    }
}

/// An endpoint that is being probed. Holds the endpoint, so its address as a key stays its own.
struct Running {
    target: Rc<ProbeTarget>,
    watched: Arc<Watched>,
    task: Task,
}

fn take_up(
    targets: Vec<ProbeTarget>,
    mut old: HashMap<*const Endpoint, Running>,
    shard: &Arc<Shard>,
    room: &Rc<Semaphore>,
) -> HashMap<*const Endpoint, Running> {
    let mut running = HashMap::with_capacity(targets.len());
    for target in targets {
        let key = Arc::as_ptr(&target.endpoint);
        let before = old.remove(&key);
        if let Some(same) = before
            .as_ref()
            .filter(|one| one.target.is_asked_as(&target))
        {
            // Whoever else has been given limits anew need not be asked anew.
            let _ = same;
            running.extend(before.map(|one| (key, one)));
            continue;
        }
        let is_new = before.is_none();
        let known = before.map(|before| {
            before.task.abort();
            before.watched
        });
        let watched = known
            .filter(|known| known.address == target.address)
            .unwrap_or_else(|| {
                // One that a predecessor of this process has probed is known already.
                let known = match is_new {
                    true => target.endpoint.health(),
                    false => Health::Unknown,
                };
                Arc::new(Watched {
                    upstream: Arc::clone(&target.upstream),
                    endpoint: Arc::clone(&target.endpoint),
                    address: target.address,
                    record: Mutex::new(ProbeRecord::beginning_as(known, now().millis())),
                })
            });
        let target = Rc::new(target);
        let task = spawn_local(watch(
            Rc::clone(&target),
            Arc::clone(&watched),
            Arc::clone(shard),
            Rc::clone(room),
        ));
        running.insert(
            key,
            Running {
                target,
                watched,
                task,
            },
        );
    }
    for gone in old.into_values() {
        gone.task.abort();
        // Nobody would ever find it well again.
        gone.target
            .endpoint
            .set_health(Health::Unknown, now().millis());
    }
    running
}

/// Probes one endpoint for as long as the task lives.
async fn watch(
    target: Rc<ProbeTarget>,
    watched: Arc<Watched>,
    shard: Arc<Shard>,
    room: Rc<Semaphore>,
) {
    let rhythm = target.plan.rhythm;
    // Good answers in a row while requests leave it out.
    let mut good = 0;
    loop {
        let place = room.acquire().await;
        let began = now();
        let timeout = Duration::from_millis(rhythm.timeout_ms);
        let heard = ask::ask(&target, &shard, timeout).await;
        drop(place);
        let end = now();
        let result = ProbeResult {
            at_ms: end.millis(),
            micros: end.micros_since(began),
            fault: heard.err(),
        };
        let (changed, wait_ms) = {
            let mut record = lock(&watched.record);
            let changed = record.record(result, &rhythm);
            (changed, record.wait_ms(&rhythm, random()))
        };
        if let Some(health) = changed {
            target.endpoint.set_health(health, end.millis());
            tell(&target, health, &result);
        }
        let at_ms = end.millis();
        let is_ejected = target.endpoint.ejected_until_ms(at_ms).is_some();
        good = match is_ejected && result.fault.is_none() {
            true => good + 1,
            false => 0,
        };
        let is_mended = changed == Some(Health::Healthy);
        if (good >= rhythm.rise || is_mended) && acquit(&target.endpoint, is_mended, at_ms) {
            tell_back(&target);
        }
        let mut pause = Deadline::new();
        pause.set(now().plus_millis(wait_ms));
        pause.expired().await;
    }
}

fn tell(target: &ProbeTarget, health: Health, result: &ProbeResult) {
    let address = target.address.map_or_else(String::new, |at| at.to_string());
    let probe = target.plan.question.name();
    let place: [process::Value<'_>; 4] = [
        ("upstream", &target.upstream),
        ("endpoint", &target.endpoint.label()),
        ("address", &address),
        ("probe", &probe),
    ];
    let Some(fault) = result.fault else {
        debug_assert!(health == Health::Healthy, "only a fault makes unhealthy");
        return process::info("endpoint healthy", &place);
    };
    let mut values = place.to_vec();
    let name = fault.name();
    values.push(("fault", &name));
    let status = fault.status();
    if let Some(status) = &status {
        values.push(("status", status));
    }
    process::warn("endpoint unhealthy", &values);
}

fn tell_back(target: &ProbeTarget) {
    let values: [process::Value<'_>; 2] = [
        ("upstream", &target.upstream),
        ("endpoint", &target.endpoint.label()),
    ];
    process::info(
        "endpoint back before its time, probes find it well",
        &values,
    );
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness probes are merely not spread.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

impl Gauges for Prober {
    fn collect(&self, out: &mut Exposition) {
        let watched = self.watched();
        if watched.is_empty() {
            return;
        }
        let healthy = out.family(
            "foregate_endpoint_healthy",
            Kind::Gauge,
            "1 while probes find the endpoint well or none has ended yet, 0 while they don't.",
        );
        let probes = out.family(
            "foregate_endpoint_probes_total",
            Kind::Counter,
            "Probes of the endpoint, by what came of them.",
        );
        let seconds = out.family(
            "foregate_endpoint_probe_seconds",
            Kind::Gauge,
            "How long the last probe took.",
        );
        for one in watched.iter() {
            let record = lock(&one.record);
            let address = one.address.map_or_else(String::new, |at| at.to_string());
            let labels = [
                ("upstream", &*one.upstream),
                ("endpoint", one.endpoint.label()),
                ("address", address.as_str()),
            ];
            let is_well = record.health() != Health::Unhealthy;
            out.value(healthy, &labels, f64::from(u8::from(is_well)));
            let (all, failed) = record.counts();
            for (result, count) in [("good", all - failed), ("bad", failed)] {
                let [upstream, endpoint, address] = labels;
                out.count(
                    probes,
                    &[upstream, endpoint, address, ("result", result)],
                    count,
                );
            }
            if let Some(last) = record.last() {
                out.value(seconds, &labels, last.micros as f64 / 1e6);
            }
        }
    }
}
