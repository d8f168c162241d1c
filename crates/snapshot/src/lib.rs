//! **Purpose:** compiles `Settings` into a `Snapshot`, tells what a reload changes, and explains what becomes of a request.
//! **Never knows:** configuration text, sockets, clocks, the state of endpoints.
//! **Next on the road:** `exchange`, which serves every request by the snapshot it began with.
//!
//! A [`Snapshot`] is immutable and complete: names are numbers, patterns are compiled, defaults are merged, so that
//! nothing is left to do while a request waits. What must survive a reload (endpoint health, pools, counters) lives
//! elsewhere, keyed by the names that plans carry; [`diff`] says which of it to add and which to let go.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod access_log;
mod compile;
mod diff;
mod explain;
mod listeners;
mod listing;
mod overload;
mod plan;
mod probes;
mod render;
mod routes;
mod targets;
mod tls;
mod upstreams;

#[cfg(test)]
mod tests;

pub use compile::{compile, compile_after};
pub use diff::{Change, EndpointKey, ListenerChange, diff};
pub use explain::{
    CandidateNote, CertificateStanding, Explanation, Inquiry, InquiryError, Known, MirrorNote,
    Outcome, PathNote, ProxyNote, RepeatedNote, SkippedNote, SplitNote, TlsNote, explain,
};
pub use listing::{RouteNote, TargetNote};
pub use overload::{MemoryLimit, OverloadPlan};
pub use plan::{
    AccessLogPlan, AcmePlan, Action, AdminPlan, AdminSocketPlan, CertificateFiles, CertificatePlan,
    ClientCertificatePlan, ClientPlan, ConsulPlan, DiscoveryPlan, DnsPlan, DnsProviderPlan,
    EndpointPlan, HistoryPlan, HstsPlan, Http2Plan, HttpsRedirect, ListenerPlan, LogTarget,
    MirrorPlan, ModePlan, OnDemandPlan, ProtocolPlan, ProxyPlan, QueuePlan, RetryPlan, RoutePlan,
    SecretText, SitePlan, SiteTlsPlan, Snapshot, SniRoutes, SourcePlan, SplitPlan, StickyPlan,
    TargetPlan, TimeoutPlan, TlsPlan, UpstreamPlan, UpstreamTlsPlan,
};

/// The levels of the process' own log, as [`Snapshot::log_level`] has them.
pub use foregate_config::settings::LogLevel;

/// What discovery is told, as plans have it.
pub use foregate_config::settings::{DnsLookup, ServerAddress, ServerHost};

/// What sites and protocols are told apart by, as plans have them.
pub use foregate_config::settings::{
    Challenge, CookieSecure, HostPattern, Issuer, Protocol, SiteCertificate, TlsProfile,
};
