//! Active probes: what they ask, when they ask, and when what they hear makes an endpoint unhealthy.
//!
//! ```text
//!             first answer good          `fall` bad ones in a row
//!  unknown ─────────────────────► healthy ────────────────────► unhealthy
//!     │                             ▲                              │ ▲
//!     │ first answer bad            └── `rise` good ones in a row ─┘ │
//!     └──────────────────────────────────────────────────────────────┘
//! ```
//! An endpoint of which nothing is known yet takes requests; its first probe decides at once. While anything is wrong
//! the next probe comes sooner.

mod expect;

pub use expect::{BodyMatch, Expectation, STATUS_RANGES_MAX, Statuses};

use crate::candidates::Draws;

/// How many results of an endpoint are kept.
pub const PROBE_HISTORY_MAX: usize = 16;

/// The share of an interval by which probes are early or late at most, in percent, so that those of many endpoints
/// spread out.
const JITTER_PERCENT: u64 = 10;

/// What is known about an endpoint from probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Health {
    /// There are no probes, or none has ended yet.
    #[default]
    Unknown = 0,
    /// It answers as it should.
    Healthy = 1,
    /// It does not.
    Unhealthy = 2,
}

impl Health {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        }
    }
}

/// How the endpoints of an upstream are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// What is asked.
    pub question: Question,
    /// The port that is asked, if not the endpoint's own.
    pub port: Option<u16>,
    /// When, and what follows from the answers.
    pub rhythm: Rhythm,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it takes a connection.
    Tcp,
    /// Whether it completes a TLS handshake.
    Tls,
    /// An HTTP request, in the protocol that requests use.
    Http(Box<HttpQuestion>),
    /// `grpc.health.v1.Health/Check` for a service; the empty name asks for the whole server.
    Grpc {
        /// The service's name.
        service: Box<str>,
    },
}

impl Question {
    /// The stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Question::Tcp => "tcp",
            Question::Tls => "tls",
            Question::Http(_) => "http",
            Question::Grpc { .. } => "grpc",
        }
    }
}

/// An HTTP request and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    /// Its method.
    pub method: Box<str>,
    /// Path and query.
    pub target: Box<str>,
    /// The Host; the endpoint's own address where there is none.
    pub host: Option<Box<str>>,
    /// Further fields, valid as such.
    pub fields: Box<[(Box<str>, Box<str>)]>,
    /// What its answer must be.
    pub expectation: Expectation,
}

/// When probes are sent, and what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// From one probe to the next while all is well.
    pub interval_ms: u64,
    /// The same while anything is wrong.
    pub failing_interval_ms: u64,
    /// How long one probe may take.
    pub timeout_ms: u64,
    /// Good answers in a row that make an unhealthy endpoint healthy.
    pub rise: u32,
    /// Bad answers in a row that make a healthy endpoint unhealthy.
    pub fall: u32,
}

/// What was wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeFault {
    /// The endpoint's name has no address.
    Unresolved,
    /// The connection was refused or could not be made.
    Connect,
    /// There was no answer in time.
    Timeout,
    /// The TLS handshake came to nothing.
    Tls,
    /// The connection was closed before there was an answer.
    Closed,
    /// The answer broke the protocol or a limit.
    Protocol,
    /// The answer has another status than those expected.
    Status(u16),
    /// The answer's body does not hold what is expected.
    Body,
    /// The gRPC health service says that it is not serving.
    NotServing,
    /// The gRPC health service answered with an error, of this `grpc-status`.
    GrpcStatus(u32),
    /// No descriptor or port was free here: the endpoint is not to blame, and nothing follows.
    Exhausted,
}

impl ProbeFault {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ProbeFault::Unresolved => "unresolved",
            ProbeFault::Connect => "connect",
            ProbeFault::Timeout => "timeout",
            ProbeFault::Tls => "tls",
            ProbeFault::Closed => "closed",
            ProbeFault::Protocol => "protocol",
            ProbeFault::Status(_) => "status",
            ProbeFault::Body => "body",
            ProbeFault::NotServing => "not-serving",
            ProbeFault::GrpcStatus(_) => "grpc-status",
            ProbeFault::Exhausted => "exhausted",
        }
    }

    /// The status that came, for those faults that have one.
    #[must_use]
    pub const fn status(self) -> Option<u32> {
        match self {
            ProbeFault::Status(status) => Some(status as u32),
            ProbeFault::GrpcStatus(status) => Some(status),
            _ => None,
        }
    }
}

/// What one probe heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// When it ended.
    pub at_ms: u64,
    /// How long it took.
    pub micros: u64,
    /// What was wrong, if anything.
    pub fault: Option<ProbeFault>,
}

/// What is known of one endpoint from its probes.
#[derive(Clone, Debug, Default)]
pub struct ProbeRecord {
    health: Health,
    /// Results in a row that speak against `health`.
    against: u32,
    /// A ring: the next result goes to `count % PROBE_HISTORY_MAX`.
    history: Vec<ProbeResult>,
    count: u64,
    failures: u64,
    /// When `health` last changed.
    since_ms: u64,
}

impl ProbeRecord {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> ProbeRecord {
        ProbeRecord::default()
    }

    /// Nothing was asked yet, but somebody else has found this.
    #[must_use]
    pub fn beginning_as(health: Health, at_ms: u64) -> ProbeRecord {
        ProbeRecord {
            health,
            since_ms: at_ms,
            ..ProbeRecord::default()
        }
    }

    /// The verdict.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// When the verdict was reached.
    #[must_use]
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// How many probes have ended, and how many of them badly.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.count, self.failures)
    }

    /// The last results, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &ProbeResult> {
        let split = match self.history.len() {
            PROBE_HISTORY_MAX => (self.count % PROBE_HISTORY_MAX as u64) as usize,
            _ => 0,
        };
        self.history[split..].iter().chain(&self.history[..split])
    }

    /// The last result.
    #[must_use]
    pub fn last(&self) -> Option<&ProbeResult> {
        let last = self.count.checked_sub(1)? % PROBE_HISTORY_MAX as u64;
        self.history.get(last as usize)
    }

    /// Takes note of a result; the new verdict if it changed.
    pub fn record(&mut self, result: ProbeResult, rhythm: &Rhythm) -> Option<Health> {
        let place = (self.count % PROBE_HISTORY_MAX as u64) as usize;
        match self.history.get_mut(place) {
            Some(old) => *old = result,
            None => self.history.push(result),
        }
        self.count += 1;
        self.failures += u64::from(result.fault.is_some());
        if result.fault == Some(ProbeFault::Exhausted) {
            return None;
        }
        let (heard, needed) = match (result.fault, self.health) {
            (None, Health::Unknown) => (Health::Healthy, 1),
            (None, _) => (Health::Healthy, rhythm.rise),
            (Some(_), Health::Unknown) => (Health::Unhealthy, 1),
            (Some(_), _) => (Health::Unhealthy, rhythm.fall),
        };
        if heard == self.health {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        if self.against < needed {
            return None;
        }
        self.health = heard;
        self.against = 0;
        self.since_ms = result.at_ms;
        Some(heard)
    }

    /// How long to wait before the next probe, from a fresh random number.
    #[must_use]
    pub fn wait_ms(&self, rhythm: &Rhythm, random: u64) -> u64 {
        let is_well = self.health == Health::Healthy && self.against == 0;
        let interval_ms = match is_well {
            true => rhythm.interval_ms,
            false => rhythm.failing_interval_ms.min(rhythm.interval_ms),
        };
        let spread_ms = interval_ms.saturating_mul(JITTER_PERCENT) / 100;
        let drawn_ms = Draws::new(random).below(spread_ms.saturating_mul(2).saturating_add(1));
        (interval_ms - spread_ms).saturating_add(drawn_ms).max(1)
    }
}

#[cfg(test)]
mod tests;
