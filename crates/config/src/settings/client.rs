//! `[client]`: what clients may do.

use std::time::Duration;

/// Limits and timeouts towards clients, for all listeners.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// Bytes of a request head (request line and fields).
    pub head_bytes_max: u32,
    /// Fields in a request head or trailer section.
    pub fields_max: u32,
    /// Bytes of a request target.
    pub target_bytes_max: u32,
    /// Bytes of a request body; already merged into every [`Route`](super::Route).
    pub body_bytes_max: Option<u64>,
    /// Bytes of chunk extensions in one body.
    pub chunk_extension_bytes_max: u32,
    /// Bytes of a trailer section.
    pub trailer_bytes_max: u32,
    /// Requests on one connection; the last is answered with `Connection: close`.
    pub requests_per_connection_max: Option<u32>,
    /// From the first byte of a head (or from accepting the connection) to the complete head.
    pub head_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// The slowest body upload that is tolerated.
    pub body_rate_min: Option<BodyRate>,
    /// How long writing an answer may make no progress.
    pub write_timeout: Duration,
    /// How long nothing of an answer may come after the client shut its sending side.
    pub half_close_timeout: Duration,
    /// How long an upgraded connection may be silent in both directions.
    pub tunnel_idle_timeout: Option<Duration>,
    /// Points that a connection may spend a minute on asking without getting anything done.
    pub abuse_points_per_minute_max: u32,
    /// What clients may do that speak HTTP/2.
    pub http2: Http2,
}

/// What clients may do that speak HTTP/2 (RFC 9113).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Requests at once on one connection.
    pub streams_max: u32,
    /// Bytes of body that a client may send ahead on one stream.
    pub stream_window_bytes: u32,
    /// Bytes of bodies that a client may send ahead on all streams of a connection.
    pub connection_window_bytes: u32,
    /// How long a client may take to acknowledge settings.
    pub ack_timeout: Duration,
}

/// The slowest upload that is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRate {
    /// Bytes per second, averaged over `grace`.
    pub bytes_per_second: u32,
    /// The window of the average; also how long a body may be silent.
    pub grace: Duration,
}
