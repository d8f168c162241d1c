//! `[acme]`: certificates that are issued and renewed by themselves.

use super::{HostPattern, NamedFile, Secret, ServerAddress};
use crate::Origin;
use std::time::Duration;

/// How certificates of public names are had.
#[derive(Debug, Clone, PartialEq)]
pub struct Acme {
    /// Where its table was written.
    pub origin: Origin,
    /// Where the authority may write to.
    pub email: Option<String>,
    /// URL of the authority's directory.
    pub directory: String,
    /// Roots to trust for the authority's own HTTPS; `None` for the system's.
    pub ca_file: Option<NamedFile>,
    /// How names are proved.
    pub challenge: Challenge,
    /// How records are set for dns-01.
    pub dns: Option<Dns>,
    /// An account at the authority that the ACME account is bound to (RFC 8555 section 7.3.4).
    pub eab: Option<Eab>,
    /// Which further names get certificates when a client first asks for them.
    pub on_demand: Option<OnDemand>,
}

/// How the control of a name is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// Whatever works: dns-01 for wildcards and where it is configured, else tls-alpn-01 or http-01, as the listeners allow.
    Auto,
    /// A file under `/.well-known/acme-challenge/` (RFC 8555 section 8.3).
    Http01,
    /// A certificate in a handshake (RFC 8737).
    TlsAlpn01,
    /// A TXT record (RFC 8555 section 8.4).
    Dns01,
}

/// How TXT records come about.
#[derive(Debug, Clone, PartialEq)]
pub struct Dns {
    /// Who sets them.
    pub provider: DnsProvider,
    /// How long a record may take to be seen; nobody looks without.
    pub propagation_timeout: Option<Duration>,
}

/// Who sets TXT records.
#[derive(Debug, Clone, PartialEq)]
pub enum DnsProvider {
    /// A command and its arguments; `present` or `cleanup`, the record's name and its value follow.
    Hook(Vec<String>),
    /// Dynamic updates (RFC 2136), signed with a key (RFC 8945).
    Rfc2136 {
        /// The name server.
        server: ServerAddress,
        /// The key's name.
        key_name: String,
        /// The key, in base64.
        key_secret: Secret,
        /// Its algorithm: `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
        key_algorithm: &'static str,
    },
}

/// An account at the authority.
#[derive(Debug, Clone, PartialEq)]
pub struct Eab {
    /// The key's name.
    pub key_id: String,
    /// The key, in base64url.
    pub hmac_key: Secret,
}

/// Certificates for names that no site writes out.
#[derive(Debug, Clone, PartialEq)]
pub struct OnDemand {
    /// Names that may have one.
    pub allow: Vec<HostPattern>,
    /// A URL that is asked with `?domain=`; 200 means yes.
    pub ask: Option<String>,
    /// Orders an hour.
    pub issues_per_hour_max: u32,
}
