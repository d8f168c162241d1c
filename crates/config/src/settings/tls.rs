//! `[tls]` and `[certificates.<name>]`: how clients are spoken to in secret, and with which certificates from files.

use super::NamedFile;
use crate::Origin;
use std::time::Duration;

/// What holds for all TLS listeners.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Versions and cipher suites.
    pub profile: TlsProfile,
    /// From accepting a connection to the end of its handshake.
    pub handshake_timeout: Duration,
    /// The certificate for clients that ask for a name that no certificate covers, or for none, known to exist; without one
    /// they are refused.
    pub default_certificate: Option<NamedCertificate>,
    /// Whether clients get tickets to resume sessions with.
    pub session_tickets: bool,
    /// Keys for tickets that several machines share; `None` for own ones.
    pub ticket_keys_file: Option<NamedFile>,
    /// How often own ticket keys are replaced.
    pub ticket_rotation: Duration,
    /// Sessions that are remembered for clients that take no tickets.
    pub session_cache_max: u32,
    /// Whether requests are taken from early data, which anyone can replay.
    pub early_data: bool,
}

/// Versions and cipher suites of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsProfile {
    /// TLS 1.2 and 1.3, cipher suites with forward secrecy and AEAD only.
    Intermediate,
    /// TLS 1.3 only.
    Modern,
}

/// An entry of `certificates` that is known to exist and holds one certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedCertificate {
    /// Its name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
}

/// Certificates from files, by a name of one's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// The name, unique.
    pub name: String,
    /// Where its table was written.
    pub origin: Origin,
    /// Where they are.
    pub source: CertificateSource,
}

/// Where certificates are.
#[derive(Debug, Clone, PartialEq)]
pub enum CertificateSource {
    /// One certificate.
    Files {
        /// PEM: the certificate and its chain, leaf first.
        certificate: NamedFile,
        /// PEM: its private key.
        key: NamedFile,
        /// DER: an OCSP response to staple.
        ocsp: Option<NamedFile>,
    },
    /// All pairs of a folder.
    Folder(NamedFile),
}
