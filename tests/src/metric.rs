//! The names of the metrics that stories look at.

/// Finished requests by `reason`.
pub const OUTCOMES: &str = "foregate_outcomes_total";
/// Finished requests by `site`, `route` and status `class`.
pub const REQUESTS: &str = "foregate_requests_total";
/// Body bytes received from clients by `site` and `route`.
pub const REQUEST_BODY_BYTES: &str = "foregate_request_body_bytes_total";
/// Body bytes sent to clients by `site` and `route`.
pub const RESPONSE_BODY_BYTES: &str = "foregate_response_body_bytes_total";
/// The latency histogram's count by `site` and `route`.
pub const REQUEST_SECONDS_COUNT: &str = "foregate_request_seconds_count";
/// Client connections open now, by `listener`.
pub const CONNECTIONS: &str = "foregate_connections";
/// Client connections taken, by `listener`.
pub const CONNECTIONS_ACCEPTED: &str = "foregate_connections_accepted_total";
/// Those of them that spoke HTTP/2, by `listener`.
pub const CONNECTIONS_HTTP2: &str = "foregate_connections_http2_total";
/// HTTP/2 connections ended for what the client did, by `reason`.
pub const HTTP2_CONNECTIONS_FAILED: &str = "foregate_http2_connections_failed_total";
/// Client connections turned away, by `listener` and `reason`.
pub const CONNECTIONS_REFUSED: &str = "foregate_connections_refused_total";
/// Attempts sent, by `upstream` and `endpoint`.
pub const ENDPOINT_REQUESTS: &str = "foregate_endpoint_requests_total";
/// Attempts that were a second or later try.
pub const ENDPOINT_RETRIES: &str = "foregate_endpoint_retries_total";
/// Attempts that found an idle connection.
pub const ENDPOINT_POOL_HITS: &str = "foregate_endpoint_pool_hits_total";
/// Connections dialled.
pub const ENDPOINT_CONNECTS: &str = "foregate_endpoint_connects_total";
/// Failed attempts by `kind`.
pub const ENDPOINT_FAILURES: &str = "foregate_endpoint_failures_total";
/// Reloads by `result`.
pub const CONFIG_RELOADS: &str = "foregate_config_reloads_total";
/// What is given up for want of room, from 0 for nothing to 4.
pub const OVERLOAD_RUNG: &str = "foregate_overload_rung";
