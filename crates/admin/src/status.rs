//! What `/status` and `/certificates` show, as types: the document of the API is made from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::ProbeView;

/// The gateway at a glance.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct StatusView {
    /// The program's version.
    pub version: String,
    /// `serving` or `draining`.
    pub state: String,
    /// How much there is to do, and what is given up for it.
    pub overload: OverloadView,
    /// Since when it runs.
    pub uptime_seconds: u64,
    /// The configuration in force.
    pub configuration: ConfigurationNote,
    /// Where it listens.
    pub listeners: Vec<ListenerView>,
    /// How many routes there are.
    pub routes_total: u64,
    /// The first 1,000 of them; all are in `GET /routes`.
    pub routes: Vec<RouteSummary>,
    /// Every endpoint.
    pub endpoints: Vec<EndpointSummary>,
    /// Every upstream.
    pub upstreams: Vec<UpstreamSummary>,
}

/// How much there is to do.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OverloadView {
    /// What is given up: `calm` for nothing, then more and more.
    pub rung: String,
    /// What is highest of what is measured; null while calm.
    pub cause: Option<String>,
    /// For how long it has been so.
    pub since_seconds: u64,
    /// How often it has changed.
    pub changes: u64,
    /// Memory in use; null where the system does not tell.
    pub memory_bytes: Option<u64>,
    /// The ceiling of memory; null for none.
    pub memory_max_bytes: Option<u64>,
    /// Requests that are being served.
    pub requests: u32,
    /// How many there may be; null for any number.
    pub requests_max: Option<u32>,
    /// How late the latest worker is.
    pub delay_ms: u64,
    /// How much of what may be is, by what is measured.
    pub pressure_percent: BTreeMap<String, u32>,
}

/// The configuration in force; `GET /config` tells more.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ConfigurationNote {
    /// Its number in the history.
    pub id: Option<u64>,
    /// How it came into force: `start`, `signal`, `reload`, `apply`, `rollback` or `expiry`.
    pub cause: Option<String>,
    /// The SHA-256 of its file.
    pub sha256: Option<String>,
    /// How the file on disk compares: `none`, `differs`, `unreadable` or `no-file`.
    pub drift: String,
    /// After which time the one before it comes back; null when it stays.
    pub unconfirmed_returns_in_ms: Option<u64>,
    /// Where it came from.
    pub from: String,
    /// When it was loaded, in seconds since 1970.
    pub loaded_unix: u64,
}

/// A listener.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ListenerView {
    /// Its name.
    pub name: String,
    /// Where it listens, with the ports that the system chose.
    pub addresses: Vec<String>,
}

/// A route in a few words.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct RouteSummary {
    /// The site's name.
    pub site: String,
    /// The route's name.
    pub route: String,
    /// `proxy`, `redirect` or `respond`.
    pub action: String,
    /// The upstreams that it sends requests to, with commas between them; null for none.
    pub upstream: Option<String>,
}

/// An endpoint in a few words; `GET /endpoints` tells more.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct EndpointSummary {
    /// The upstream's name.
    pub upstream: String,
    /// `host:port`, as it is written.
    pub endpoint: String,
    /// Where it listens; null while its name does not resolve.
    pub address: Option<String>,
    /// Its share of requests relative to its siblings.
    pub weight: u32,
    /// What operators want: `enabled`, `draining` or `disabled`.
    pub admin: String,
    /// Requests that it works on.
    pub in_flight: u32,
    /// Failures since its last success.
    pub consecutive_failures: u32,
    /// Gateway errors since its last success.
    pub consecutive_gateway_errors: u32,
    /// For how long it is still left out, if it is.
    pub ejected_for_ms: Option<u64>,
    /// Why it is left out, if it is.
    pub ejection_cause: Option<String>,
    /// What probes say: `unknown`, `healthy` or `unhealthy`.
    pub health: String,
    /// What probes heard; null where there are none.
    pub probe: Option<ProbeView>,
}

/// An upstream in a few words.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct UpstreamSummary {
    /// Its name.
    pub upstream: String,
    /// Whether so few of its endpoints are healthy that all are used.
    pub panic: bool,
    /// Its circuit: `closed`, `open` or `half-open`; null where it has none.
    pub circuit: Option<String>,
    /// Requests that wait since every endpoint has as many as it may have.
    pub queued: u64,
}

/// Every certificate.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct CertificatesView {
    /// Those that are issued first, then those from files.
    pub certificates: Vec<CertificateView>,
    /// The internal authority's own certificate, as PEM; null where there is none.
    pub internal_root: Option<String>,
}

/// A certificate and how it is. Times are in seconds since 1970.
#[derive(Clone, Default, PartialEq, Debug, Serialize, JsonSchema)]
pub struct CertificateView {
    /// The names that it is for.
    pub names: Vec<String>,
    /// Who issues it: `acme`, `internal` or `files`.
    pub source: String,
    /// How it is called in the configuration; null for one that is issued.
    pub certificate: Option<String>,
    /// How it stands: `waiting`, `ordering`, `active`, `renewing`, `renewal-failed`, `renewed-not-active`, `failed`,
    /// `not-yet-valid` or `expired`.
    pub state: String,
    /// Whether a client asked for it first; null for one from files.
    pub on_demand: Option<bool>,
    /// The ACME directory that it is ordered from; null for others.
    pub directory: Option<String>,
    /// Who signed it, once it is there.
    pub issuer: Option<String>,
    /// When its life begins.
    pub not_before: Option<i64>,
    /// When its life ends.
    pub not_after: Option<i64>,
    /// Its key's type.
    pub key_type: Option<String>,
    /// The SHA-256 of it, in hexadecimal digits.
    pub fingerprint: Option<String>,
    /// When it is renewed, or tried again; null for one from files.
    pub next_renewal: Option<u64>,
    /// Failures in a row; null for one from files.
    pub failures: Option<u32>,
    /// The last failure, if no success has followed.
    pub last_error: Option<CertificateErrorView>,
    /// The listeners on which clients may be shown it.
    pub listeners: Vec<String>,
}

/// What went wrong with a certificate.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct CertificateErrorView {
    /// The reason's name.
    pub reason: String,
    /// The story.
    pub detail: String,
    /// When it happened, in seconds since 1970.
    pub at: u64,
}
