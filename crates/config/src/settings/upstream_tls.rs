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
    /// Whether the handshake tells them the name.
    pub send_sni: bool,
    /// The authorities to trust; `None` for the system's.
    pub ca_file: Option<NamedFile>,
    /// The certificate to show them, and its key.
    pub client_certificate: Option<(NamedFile, NamedFile)>,
    /// Whether their certificates are verified.
    pub verify: bool,
}

impl UpstreamTls {
    /// What a bare `true` stands for.
    pub(crate) fn usual(origin: Origin) -> UpstreamTls {
        UpstreamTls {
            origin,
            server_name: None,
            send_sni: true,
            ca_file: None,
            client_certificate: None,
            verify: true,
        }
    }
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
