//! An endpoint's state, shared by all workers. All of it is atomics: nobody waits for anybody.

use crate::breaker::Breaker;
use crate::concurrency::AdaptiveLimit;
use crate::ejection::EjectionCause;
use crate::outlier::Window;
use crate::probe::Health;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::latency::{FAILURE_MICROS, Latency};

/// What an operator wants of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AdminState {
    /// It takes requests.
    Enabled = 0,
    /// It finishes what it has and takes nothing new.
    Draining = 1,
    /// It takes nothing.
    Disabled = 2,
}

impl AdminState {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            AdminState::Enabled => "enabled",
            AdminState::Draining => "draining",
            AdminState::Disabled => "disabled",
        }
    }
}

/// What requests change, on a cache line of its own so that the state that every pick reads stays where it is.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Load {
    in_flight: AtomicU32,
    latency: Latency,
}

/// One address of an upstream. Lives as long as any configuration names it, so its state survives reloads.
#[derive(Debug)]
#[repr(align(64))]
pub struct Endpoint {
    label: Box<str>,
    weight: AtomicU32,
    admin: AtomicU8,
    /// What probes say of it, a [`Health`].
    health: AtomicU8,
    /// Failures since the last success.
    pub(crate) failures: AtomicU32,
    /// Gateway errors since the last success.
    pub(crate) gateway_errors: AtomicU32,
    /// Why it was ejected last, an [`EjectionCause`].
    pub(crate) ejection_cause: AtomicU8,
    /// How many doublings the next ejection's time has had.
    pub(crate) ejections: AtomicU32,
    /// When the present or last ejection ends, 0 = there was none.
    pub(crate) ejected_until_ms: AtomicU64,
    /// When it came or came back, 0 = it was there from the start.
    pub(crate) since_ms: AtomicU64,
    /// What outliers are found by.
    pub(crate) window: Window,
    /// Its circuit breaker, for upstreams that want one.
    pub breaker: Breaker,
    /// How much it bears, for upstreams that find that out.
    pub adaptive: AdaptiveLimit,
    load: Load,
}

/// A copy of an endpoint's state at one time, for explanations and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointState {
    /// Its address as configured.
    pub label: Box<str>,
    /// Its share relative to its siblings'.
    pub weight: u32,
    /// What the operator wants.
    pub admin: AdminState,
    /// What probes say of it.
    pub health: Health,
    /// Requests it works on.
    pub in_flight: u32,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Gateway errors since the last success.
    pub consecutive_gateway_errors: u32,
    /// When its ejection ends, if it is ejected.
    pub ejected_until_ms: Option<u64>,
    /// Why it is ejected, if it is.
    pub ejection_cause: Option<EjectionCause>,
    /// How many doublings the next ejection's time has had.
    pub ejections: u32,
    /// How long it is expected to take to begin an answer, where that is measured.
    pub latency_micros: Option<u64>,
}

impl Endpoint {
    /// An enabled endpoint. The label is its address as an operator wrote it.
    #[must_use]
    pub fn new(label: impl Into<Box<str>>, weight: u32) -> Endpoint {
        Endpoint {
            label: label.into(),
            weight: AtomicU32::new(weight),
            admin: AtomicU8::new(AdminState::Enabled as u8),
            health: AtomicU8::new(Health::Unknown as u8),
            failures: AtomicU32::new(0),
            gateway_errors: AtomicU32::new(0),
            ejection_cause: AtomicU8::new(0),
            ejections: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            since_ms: AtomicU64::new(0),
            window: Window::default(),
            breaker: Breaker::default(),
            adaptive: AdaptiveLimit::default(),
            load: Load::default(),
        }
    }

    /// Its address as configured.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its share relative to its siblings'; 0 takes no requests.
    #[must_use]
    #[inline]
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Changes its share. Pickers see it when they are built or refreshed.
    pub fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// What the operator wants of it.
    #[must_use]
    #[inline]
    pub fn admin(&self) -> AdminState {
        match self.admin.load(Ordering::Relaxed) {
            0 => AdminState::Enabled,
            1 => AdminState::Draining,
            _ => AdminState::Disabled,
        }
    }

    /// Changes what the operator wants of it.
    pub fn set_admin(&self, admin: AdminState) {
        self.admin.store(admin as u8, Ordering::Relaxed);
    }

    /// What probes say of it.
    #[must_use]
    #[inline]
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Unknown,
            1 => Health::Healthy,
            _ => Health::Unhealthy,
        }
    }

    /// Takes over what probes say of it. One that was unwell begins slowly.
    pub fn set_health(&self, health: Health, now_ms: u64) {
        if self.health() == Health::Unhealthy && health != Health::Unhealthy {
            self.begin_slowly(now_ms);
        }
        self.health.store(health as u8, Ordering::Relaxed);
    }

    /// It joins others, or comes back to them, and takes only a part of its share for a while, where its upstream wants
    /// that.
    pub fn begin_slowly(&self, now_ms: u64) {
        self.since_ms.fetch_max(now_ms.max(1), Ordering::Relaxed);
    }

    /// When it came or came back; 0 when it was there from the start.
    #[must_use]
    #[inline]
    pub fn since_ms(&self) -> u64 {
        self.since_ms.load(Ordering::Relaxed)
    }

    /// Requests it works on, of all workers.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.load.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request that is being sent to it. For callers that hold the endpoint anyway and spare themselves the
    /// guard of [`Endpoint::begin`]; each must be followed by one [`Endpoint::leave`].
    #[inline]
    pub fn enter(&self) {
        self.load.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends what [`Endpoint::enter`] began.
    #[inline]
    pub fn leave(&self) {
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a request that is being sent to it, until the guard is dropped.
    #[must_use]
    #[inline]
    pub fn begin(self: &Arc<Endpoint>) -> InFlight {
        self.enter();
        InFlight {
            endpoint: Arc::clone(self),
        }
    }

    /// The same, unless it works on as many as `most` already.
    #[must_use]
    pub fn try_begin(self: &Arc<Endpoint>, most: u32) -> Option<InFlight> {
        // Never counted above the limit, not even for a moment: another would find the last place taken by somebody who
        // does not have it, and nobody would call it again.
        let order = Ordering::SeqCst;
        let one_more = |count: u32| (count < most).then_some(count + 1);
        let begun = self.load.in_flight.fetch_update(order, order, one_more);
        begun.ok().map(|_| InFlight {
            endpoint: Arc::clone(self),
        })
    }

    /// Takes note of how long it took to begin an answer.
    #[inline]
    pub fn answered(&self, micros: u64, now_ms: u64) {
        self.load.latency.observe(micros, now_ms);
    }

    /// Takes note of an attempt that failed after so long.
    pub fn failed(&self, micros: u64, now_ms: u64) {
        self.load
            .latency
            .observe(micros.max(FAILURE_MICROS), now_ms);
    }

    /// How long it is expected to take to begin an answer; `None` when nothing is known.
    #[must_use]
    #[inline]
    pub fn latency_micros(&self, now_ms: u64) -> Option<u64> {
        self.load.latency.micros(now_ms)
    }

    /// When its ejection ends, if it is ejected at `now_ms`.
    #[must_use]
    #[inline]
    pub fn ejected_until_ms(&self, now_ms: u64) -> Option<u64> {
        let until = self.ejected_until_ms.load(Ordering::Relaxed);
        (until > now_ms).then_some(until)
    }

    /// A copy of its state at `now_ms`.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> EndpointState {
        EndpointState {
            label: self.label.clone(),
            weight: self.weight(),
            admin: self.admin(),
            health: self.health(),
            in_flight: self.in_flight(),
            consecutive_failures: self.failures.load(Ordering::Relaxed),
            consecutive_gateway_errors: self.gateway_errors.load(Ordering::Relaxed),
            ejected_until_ms: self.ejected_until_ms(now_ms),
            ejection_cause: self
                .ejected_until_ms(now_ms)
                .and_then(|_| EjectionCause::of(self.ejection_cause.load(Ordering::Relaxed))),
            ejections: self.ejections.load(Ordering::Relaxed),
            latency_micros: self.latency_micros(now_ms),
        }
    }
}

/// One request in flight to an endpoint; ends when dropped.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
}

impl InFlight {
    /// The endpoint that works on it.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    #[inline]
    fn drop(&mut self) {
        self.endpoint.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_in_flight_are_counted_until_dropped() {
        let endpoint = Arc::new(Endpoint::new("10.0.0.1:80", 3));
        let first = endpoint.begin();
        let second = endpoint.begin();
        assert_eq!(endpoint.in_flight(), 2);
        drop(first);
        assert_eq!(second.endpoint().in_flight(), 1);
        drop(second);
        assert_eq!(endpoint.in_flight(), 0);
    }

    #[test]
    fn who_finds_no_place_is_not_counted() {
        let endpoint = Arc::new(Endpoint::new("a", 1));
        let last = endpoint.try_begin(1).unwrap();
        let other = Arc::clone(&endpoint);
        let asking = std::thread::spawn(move || {
            (0..200_000).all(|_| other.try_begin(1).is_none() && other.in_flight() == 1)
        });
        for _ in 0..200_000 {
            assert!(endpoint.try_begin(1).is_none());
            assert_eq!(endpoint.in_flight(), 1);
        }
        assert!(asking.join().unwrap());
        drop(last);
        assert!(endpoint.try_begin(1).is_some());
    }

    #[test]
    fn a_state_is_a_copy() {
        let endpoint = Endpoint::new("a", 3);
        let before = endpoint.state(5);
        endpoint.set_weight(7);
        endpoint.set_admin(AdminState::Draining);
        endpoint.ejected_until_ms.store(10, Ordering::Relaxed);
        let after = endpoint.state(5);
        assert_eq!((before.weight, before.admin), (3, AdminState::Enabled));
        assert_eq!((after.weight, after.admin), (7, AdminState::Draining));
        assert_eq!(before.ejected_until_ms, None);
        assert_eq!(after.ejected_until_ms, Some(10));
        assert_eq!(endpoint.state(10).ejected_until_ms, None);
        endpoint.set_admin(AdminState::Disabled);
        assert_eq!(endpoint.admin().name(), "disabled");
    }
}
