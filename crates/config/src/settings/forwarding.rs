//! `[forwarding]`: what is told about the way a message took.

use ipnet::IpNet;

/// What is told to backends and clients about the way a message took.
#[derive(Debug, Clone, PartialEq)]
pub struct Forwarding {
    /// Peers whose forwarding fields, request ids and PROXY protocol heads are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether `X-Forwarded-For`, `-Proto`, `-Host` and `-Port` are sent.
    pub x_forwarded: bool,
    /// Whether `Forwarded` (RFC 7239) is sent.
    pub forwarded: bool,
    /// The pseudonym in `Via` (RFC 9110 section 7.6.3), a token.
    pub via: Option<String>,
    /// The header that carries the request id to the backend and to the client, as written.
    pub request_id_header: Option<String>,
    /// What clients see in `Server`.
    pub server_header: ServerHeader,
}

/// What clients see in the `Server` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerHeader {
    /// Nothing: the backend's is removed.
    Remove,
    /// The backend's.
    Pass,
    /// This text, whatever the backend says.
    Fixed(String),
}
