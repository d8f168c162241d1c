//! What a route does with a request.

use super::HashBy;
use super::template::{Template, UrlPlaceholder};
use crate::Origin;
use std::time::Duration;

/// What a route does with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send it to a backend.
    Proxy(Proxy),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer with a fixed response.
    Respond(Respond),
}

/// How a request is sent to a backend, with the upstream's defaults merged in.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// Where to, each a part by its weight; at least one.
    pub targets: Vec<Target>,
    /// What decides which of several targets takes a request; drawn at random otherwise.
    pub split_by: Option<HashBy>,
    /// Who gets copies of the requests.
    pub mirror: Option<Box<Mirror>>,
    /// What happens to the path.
    pub rewrite: Rewrite,
    /// Where that was written.
    pub rewrite_origin: Origin,
}

/// Where a request is sent to.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name of the upstream, known to exist.
    pub upstream: String,
    /// Its share of the requests relative to other targets'.
    pub weight: u32,
    /// Labels that a server must have, in the order of their names.
    pub subset: Vec<(String, String)>,
    /// The `Host` that the backend sees.
    pub host: HostHeader,
    /// How long the backend may take.
    pub timeouts: Timeouts,
    /// Requests may be repeated whatever their method.
    pub idempotent: bool,
    /// Where it was written.
    pub origin: Origin,
}

/// Copies of requests for another upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// Who gets them.
    pub target: Target,
    /// Percent of the requests.
    pub share_percent: u8,
    /// Bytes of a body that is copied.
    pub body_bytes_max: u32,
    /// Copies of a worker that may be under way.
    pub requests_max: u32,
}

/// What happens to the path of a proxied request; the query always stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// It stays.
    Keep,
    /// This prefix is removed, segment-aware; what remains begins with `/`.
    StripPrefix(String),
    /// It becomes this path.
    Replace(String),
    /// The first match of `regex` becomes `with`.
    ReplaceRegex {
        /// A regular expression, known to be valid.
        regex: String,
        /// The replacement: `$1`, `${1}`, `$name` are capture groups, `$$` is a dollar sign.
        with: String,
    },
}

/// The `Host` that the backend sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client asked for.
    Pass,
    /// The endpoint's address as written in `servers`.
    Upstream,
    /// This host, with or without a port.
    Fixed(String),
}

/// How long a backend may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the end of the request to the first byte of the response.
    pub first_byte: Option<Duration>,
    /// Between two reads of the response, and without progress writing the request.
    pub between_bytes: Option<Duration>,
    /// The whole exchange, retries included.
    pub request: Option<Duration>,
    /// One try, up to the first byte of its answer.
    pub per_try: Option<Duration>,
}

/// An answer that sends the client elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// Where to.
    pub to: Template<UrlPlaceholder>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where the target was written.
    pub origin: Origin,
}

/// A fixed answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// The body; empty for statuses that have none (204, 205, 304).
    pub body: String,
    /// Its fields, names as written, in order of names.
    pub headers: Vec<(String, String)>,
    /// Where it was written.
    pub origin: Origin,
}
