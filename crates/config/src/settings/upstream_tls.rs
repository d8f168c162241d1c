//! TLS and protocols towards backends.

use super::NamedFile;
use crate::Origin;

/// How backends are spoken to in secret.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamTls {
    /// Where it was written.
    pub origin: Origin,
    /// The name that their certificates must have, and that they are asked for; `None` for the one in `servers`.
    pub server_name: Option<String>,
    /// The authorities to trust; `None` for the system's.
    pub ca_file: Option<NamedFile>,
    /// The certificate to show them, and its key.
    pub client_certificate: Option<(NamedFile, NamedFile)>,
    /// Whether their certificates are verified.
    pub verify: bool,
}

/// The protocol that backends are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 if the backend chooses it in the handshake, else HTTP/1.1.
    Auto,
}
