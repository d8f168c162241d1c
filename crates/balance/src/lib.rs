//! **Purpose:** choosing an endpoint for a request, and knowing which endpoints are fit to be chosen.
//! **Never knows:** sockets, names and how they resolve, requests: it is handed times, random numbers and outcomes.
//! **Next on the road:** `upstream`, which connects to the endpoint that was picked.
//!
//! [`Endpoint`]s are shared by all workers and hold their state in atomics; a [`Picker`] is a worker's own. Every
//! algorithm is a file that answers one question: which of these [`Candidates`]? What makes a candidate fit
//! ([`Standing`]) is asked in one place, so a new verdict (probes, slow start) or a new order (tiers, zones, hashes)
//! is a file more and a line in that place.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod candidates;
mod ejection;
mod endpoint;
mod least_requests;
mod pick;
mod power_of_two;
mod probe;
mod random;
mod round_robin;

pub use candidates::{Candidates, Standing, Tried};
pub use ejection::{EjectionPolicy, Outcome, Verdict, observe};
pub use endpoint::{AdminState, Endpoint, EndpointState, InFlight};
pub use pick::{Algorithm, CandidateNote, NoEndpoint, Pick, PickReason, Picker};
pub use probe::{
    BodyMatch, Expectation, Health, HttpQuestion, PROBE_HISTORY_MAX, ProbeFault, ProbePlan,
    ProbeRecord, ProbeResult, Question, Rhythm, STATUS_RANGES_MAX, Statuses,
};
