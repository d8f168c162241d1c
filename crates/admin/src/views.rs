//! What is shown, as types: the document of the API is made from them.

use crate::EndpointState;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// An upstream and what it has at present.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct UpstreamView {
    /// Its name.
    pub name: String,
    /// How an endpoint is chosen.
    pub balance: String,
    /// Its endpoints, in the order that they are picked by.
    pub endpoints: Vec<EndpointView>,
    /// Whether so few of them are healthy that all are used.
    pub panic: bool,
    /// The circuit of the upstream as a whole: `closed`, `open` or `half-open`; null where it has none.
    pub circuit: Option<String>,
    /// Requests that it works on. Where that is not limited those of its endpoints, where one that is hedged counts twice.
    pub requests: u32,
    /// Requests that it may have at once (`upstream_requests_max`); null where that is not limited.
    pub requests_max: Option<u32>,
    /// Connections open to its endpoints, idle ones included.
    pub connections: u64,
    /// Connections that there may be to each of them (`connections_max`); null where that is not limited.
    pub connections_max: Option<u64>,
    /// Requests at their second or later try, hedges included; null where that is not limited.
    pub retries: Option<u32>,
    /// Requests that may be at their second or later try at once (`retry.retries_max`); null where that is not limited.
    pub retries_max: Option<u32>,
    /// What the retry budget has left.
    pub retry_budget: RetryBudgetView,
    /// Requests that could have been tried again and were not, by reason: `tries-max`, `no-other-endpoint`, `retries-max`
    /// and `budget`.
    pub retries_refused: BTreeMap<String, u64>,
    /// Requests that wait since every endpoint has as many as it may have, or the upstream.
    pub queued: usize,
    /// Requests that may wait (`queue.length_max`); null where there is nothing to wait for.
    pub queue_length_max: Option<u64>,
    /// How the seeking of further endpoints goes, where it is configured.
    pub discovery: Option<DiscoveryView>,
}

/// How much may be tried again.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct RetryBudgetView {
    /// Tries that all workers have left together, up to a second ago. Each has a budget of its own.
    pub tries_left: u64,
    /// Tries for every hundred requests (`retry.budget_percent`).
    pub percent: u32,
    /// Tries of each worker that are free in a second (`retry.budget_per_second`).
    pub per_second: u32,
}

/// How the seeking of endpoints goes.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct DiscoveryView {
    /// Who is asked: `dns`, `srv`, `file`, `consul` or `docker`.
    pub source: String,
    /// Endpoints in the last answer.
    pub endpoints: usize,
    /// Answers so far.
    pub answers: u64,
    /// Attempts so far that came to nothing.
    pub errors: u64,
    /// When the last answer came, in seconds since 1970; null for never.
    pub last_success_unix: Option<u64>,
    /// What is in the way at present: then what was found last is still in force.
    pub trouble: Option<String>,
}

/// An endpoint and how it is.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct EndpointView {
    /// `host:port`, as it is written.
    pub endpoint: String,
    /// Where it listens; null while its name does not resolve. A name with several addresses is as many endpoints.
    pub address: Option<String>,
    /// Who says that it is there: `config`, `api`, or the kind of discovery.
    pub origin: String,
    /// Whether it takes requests, as far as operators are asked.
    pub state: EndpointState,
    /// Whether it can be chosen at present.
    pub available: bool,
    /// Its share of requests relative to its siblings.
    pub weight: u32,
    /// Where it stands, where that is known.
    pub zone: Option<String>,
    /// Whether it takes requests only when too few of the others are fit.
    pub backup: bool,
    /// What it is, by name.
    pub labels: BTreeMap<String, String>,
    /// Requests that it works on.
    pub in_flight: u32,
    /// Connections open to it, idle ones included; to a name with several addresses, those to all of them.
    pub connections: u64,
    /// Failures since its last success.
    pub consecutive_failures: u32,
    /// For how long it is still left out, if it failed too often.
    pub ejected_for_ms: Option<u64>,
    /// Its circuit: `closed`, `open` or `half-open`; null where it has none.
    pub circuit: Option<String>,
    /// Requests that it may have at once, if that is limited.
    pub requests_max: Option<u32>,
    /// The percent of its share that it takes, while that is less than all.
    pub slow_start_percent: Option<u32>,
    /// What probes say: `unknown`, `healthy` or `unhealthy`.
    pub health: String,
    /// What probes heard; null where there are none.
    pub probe: Option<ProbeView>,
}

/// What probes of an endpoint heard.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ProbeView {
    /// For how long its health has been what it is.
    pub for_ms: u64,
    /// Probes that have ended.
    pub probes: u64,
    /// How many of them ended badly.
    pub failures: u64,
    /// The last results, oldest first.
    pub history: Vec<ProbeResultView>,
}

/// What one probe heard.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ProbeResultView {
    /// How long ago it ended.
    pub ago_ms: u64,
    /// How long it took.
    pub took_us: u64,
    /// What was wrong; null when nothing was.
    pub fault: Option<String>,
    /// The status that came, where that was what was wrong.
    pub status: Option<u32>,
}

/// A route.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct RouteView {
    /// The site's name.
    pub site: String,
    /// The hosts that it serves.
    pub hosts: String,
    /// The route's name.
    pub route: String,
    /// Its place among the routes of its site, from 1: the first whose conditions hold takes a request.
    pub position: u64,
    /// What it asks of requests.
    pub conditions: String,
    /// `proxy`, `redirect` or `respond`.
    pub action: String,
    /// Where it sends requests.
    pub targets: Vec<TargetView>,
    /// The upstream that gets copies.
    pub mirror: Option<String>,
}

/// Where a route sends requests.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct TargetView {
    /// The upstream's name.
    pub upstream: String,
    /// Whether only some of its endpoints are meant.
    pub is_subset: bool,
    /// Its part, beside its siblings; null for the only one.
    pub weight: Option<u32>,
}

/// A value of the configuration in force.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ValueView {
    /// Its keys, as TOML writes them.
    pub path: String,
    /// The value as it is written: references such as `${ENV:NAME}` stay, secrets are left out.
    pub value: serde_json::Value,
    /// `file`, `api` for a configuration that was applied, or `default`.
    pub from: String,
    /// The file where it is written; null for a default.
    pub file: Option<String>,
    /// The line where it is written, from 1.
    pub line: Option<u64>,
    /// The column where it is written, from 1.
    pub column: Option<u64>,
}
