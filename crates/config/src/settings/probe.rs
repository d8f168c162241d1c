//! `[upstreams.<name>.probe]`: how backends are asked how they are.

use std::time::Duration;

/// How the backends of an upstream are probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What is asked.
    pub question: ProbeQuestion,
    /// The port that is asked; `None` for the backend's own.
    pub port: Option<u16>,
    /// From one probe to the next while all is well.
    pub interval: Duration,
    /// The same while anything is wrong; at most `interval`.
    pub failing_interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Good answers in a row that make a backend healthy again.
    pub rise: u32,
    /// Bad answers in a row that make it unhealthy.
    pub fall: u32,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeQuestion {
    /// Whether the backend takes a connection.
    Tcp,
    /// Whether it completes a TLS handshake.
    Tls,
    /// An HTTP request.
    Http(ProbeRequest),
    /// The gRPC health service, for this service; empty for the whole server.
    Grpc(String),
}

/// The request of a probe, and what its answer must be.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeRequest {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The `Host`; `None` for the backend's address.
    pub host: Option<String>,
    /// Further fields.
    pub headers: Vec<(String, String)>,
    /// The good statuses, as inclusive ranges; never none.
    pub statuses: Vec<(u16, u16)>,
    /// What the body must hold.
    pub body: Option<ProbeBody>,
}

/// What a body must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeBody {
    /// This text.
    Contains(String),
    /// Something that this regular expression finds; its syntax is valid.
    Matches(String),
}
