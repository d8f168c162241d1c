//! `[access_log]`: one line per request.

use super::file::NamedFile;
use super::template::{Placeholder, Template};

/// The log of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// Where lines go.
    pub to: LogTarget,
    /// How a line looks.
    pub format: LogFormat,
    /// Bytes of lines that may wait for the disk; beyond it lines are dropped and counted, requests never wait.
    pub queue_bytes_max: u64,
}

/// Where access log lines go.
#[derive(Debug, Clone, PartialEq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to, reopened on USR1.
    File(NamedFile),
}

/// How an access log line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// The Combined Log Format of Apache and nginx.
    Combined,
    /// One JSON object per line.
    Json,
    /// The operator's own template.
    Template(Template<LogField>),
}

/// What a template for the access log may name, as `{name}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogField {
    /// `{client}`: the client's address (behind trusted proxies: as they tell it).
    Client,
    /// `{method}`: the request's method.
    Method,
    /// `{path}`: the path without query as the client sent it.
    Path,
    /// `{query}`: the query without `?`.
    Query,
    /// `{target}`: the request target as the client sent it.
    Target,
    /// `{protocol}`: `HTTP/1.0` or `HTTP/1.1`.
    Protocol,
    /// `{status}`: status of the answer.
    Status,
    /// `{bytes_out}`: body bytes sent to the client.
    BytesOut,
    /// `{bytes_in}`: body bytes received from the client.
    BytesIn,
    /// `{duration_ms}`: from the first byte of the request to the last byte of the answer, milliseconds.
    DurationMs,
    /// `{upstream_ms}`: from the choice of a backend to the head of its answer, milliseconds.
    UpstreamMs,
    /// `{site}`: name of the site.
    Site,
    /// `{route}`: name of the route.
    Route,
    /// `{upstream}`: name of the upstream.
    Upstream,
    /// `{endpoint}`: address of the backend that answered.
    Endpoint,
    /// `{tries}`: how many backends were tried.
    Tries,
    /// `{retries}`: which backends failed before, and why.
    Retries,
    /// `{retry_refused}`: why the request was not tried on another backend, when it could have been.
    RetryRefused,
    /// `{queued_ms}`: how long the request waited for a place at a backend, milliseconds.
    QueuedMs,
    /// `{pick}`: why this backend was chosen.
    Pick,
    /// `{session}`: what became of the request's session.
    Session,
    /// `{hedge}`: what became of the try at a second backend, or why there was none.
    Hedge,
    /// `{reason}`: the outcome's kebab-case name.
    Reason,
    /// `{request_id}`: the request id.
    RequestId,
    /// `{referer}`: the `Referer` header.
    Referer,
    /// `{user_agent}`: the `User-Agent` header.
    UserAgent,
    /// `{host}`: the host asked for.
    Host,
    /// `{time_iso}`: when the request began, RFC 3339 with milliseconds.
    TimeIso,
    /// `{time_unix}`: when the request began, seconds since 1970.
    TimeUnix,
    /// `{time_common}`: when the request began, as in the Common Log Format.
    TimeCommon,
}

impl Placeholder for LogField {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("client", Self::Client),
        ("method", Self::Method),
        ("path", Self::Path),
        ("query", Self::Query),
        ("target", Self::Target),
        ("protocol", Self::Protocol),
        ("status", Self::Status),
        ("bytes_out", Self::BytesOut),
        ("bytes_in", Self::BytesIn),
        ("duration_ms", Self::DurationMs),
        ("upstream_ms", Self::UpstreamMs),
        ("site", Self::Site),
        ("route", Self::Route),
        ("upstream", Self::Upstream),
        ("endpoint", Self::Endpoint),
        ("tries", Self::Tries),
        ("retries", Self::Retries),
        ("retry_refused", Self::RetryRefused),
        ("queued_ms", Self::QueuedMs),
        ("pick", Self::Pick),
        ("session", Self::Session),
        ("hedge", Self::Hedge),
        ("reason", Self::Reason),
        ("request_id", Self::RequestId),
        ("referer", Self::Referer),
        ("user_agent", Self::UserAgent),
        ("host", Self::Host),
        ("time_iso", Self::TimeIso),
        ("time_unix", Self::TimeUnix),
        ("time_common", Self::TimeCommon),
    ];
}

impl LogField {
    /// Its name in a template, without braces.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, field)| *field == self);
        found.map_or("", |(name, _)| name)
    }
}
