//! **Purpose:** choosing an endpoint for a request, and knowing which endpoints are fit to be chosen.
//! **Never knows:** sockets, names and how they resolve, requests: it is handed times, random numbers and outcomes.
//! **Next on the road:** `upstream`, which connects to the endpoint that was picked.
//!
//! [`Endpoint`]s are shared by all workers and hold their state in atomics. A [`Roster`] arranges them by subset, tier
//! and zone, with the tables that algorithms need; all workers share it, and each has a [`Picker`] of its own over it.
//! Every algorithm is a file that answers one question: which of these [`Candidates`]? What makes a candidate fit
//! ([`Standing`]) is asked in one place, so a new verdict (probes, slow start) is a file more and a line in that place.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod answer_times;
mod breaker;
mod budget;
mod candidates;
mod concurrency;
mod ejection;
mod endpoint;
mod fit;
mod hash;
mod hashing;
mod hedge;
mod latency;
mod least_requests;
mod levels;
mod maglev;
mod memory;
mod outlier;
mod panic_threshold;
mod peak_ewma;
mod pick;
mod power_of_two;
mod probe;
mod random;
mod retry_refusal;
mod ring;
mod roster;
mod round_robin;
pub mod seats;
mod session;
#[cfg(test)]
mod simulation;
mod slow_start;
mod split;
mod upstream_state;
mod waiting_line;

pub use answer_times::{ANSWERS_MIN, AnswerTimes};
pub use breaker::{Admission, Breaker, BreakerChange, BreakerPolicy, BreakerState};
pub use budget::{BudgetPolicy, RetryBudget, SAVED_TRIES_MAX};
pub use candidates::{Candidates, Need, Standing, Tried};
pub use concurrency::{AdaptiveLimit, AdaptivePolicy};
pub use ejection::{EjectionCause, EjectionPolicy, Outcome, Verdict, acquit, observe};
pub use endpoint::{AdminState, Endpoint, EndpointState, InFlight};
pub use hash::hash;
pub use hedge::{HedgeNote, HedgePolicy};
pub use memory::Memory;
pub use outlier::{OutlierClock, OutlierPolicy, PEERS_MIN, compare, note_latency, note_outcome};
pub use panic_threshold::is_panic;
pub use pick::{Algorithm, CandidateNote, NoEndpoint, Pick, PickReason, Picker, Spill};
pub use probe::{
    BodyMatch, Expectation, Health, HttpQuestion, PROBE_HISTORY_MAX, ProbeFault, ProbePlan,
    ProbeRecord, ProbeResult, Question, Rhythm, STATUS_RANGES_MAX, Statuses,
};
pub use retry_refusal::RetryRefusal;
pub use roster::{Attributes, Balancing, Bounds, Member, Roster, Subset};
pub use session::{SessionNote, SessionToken};
pub use slow_start::SLOW_START_PERCENT_MIN;
pub use split::split;
pub use upstream_state::{Shared, Taken, UpstreamState};
pub use waiting_line::{Joined, Look, Ticket, WaitingLine};
