//! What a site asks of TLS: its certificate, redirects, HSTS, client certificates.

use super::{HostPattern, NamedFile};
use crate::Origin;
use std::net::IpAddr;
use std::time::Duration;

/// How a site is served over TLS.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteTls {
    /// Where its certificate comes from.
    pub source: SiteCertificate,
    /// Where that was written; the site's own place if it was not.
    pub origin: Origin,
    /// The certificates from files that it may use, known to exist; empty for any that covers its hosts.
    pub certificates: Vec<String>,
    /// Whether clients that come in cleartext are sent to HTTPS.
    pub https_redirect: HttpsRedirect,
    /// What browsers are told about coming in cleartext.
    pub hsts: Hsts,
    /// Whether clients need certificates.
    pub client_certificate: Option<ClientCertificate>,
}

/// True for names that no public authority issues certificates for: names of the machine and the local network, names
/// without a dot, and addresses.
pub fn is_local_name(host: &str) -> bool {
    const SUFFIXES: [&str; 5] = [".localhost", ".local", ".internal", ".test", ".home.arpa"];
    host.starts_with('[')
        || host.parse::<IpAddr>().is_ok()
        || !host.contains('.')
        || SUFFIXES
            .iter()
            .any(|suffix| host.ends_with(suffix) || host == suffix.trim_start_matches('.'))
}

/// How a certificate for a host is had that no file covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// The internal authority issues it.
    Internal,
    /// ACME.
    Acme,
    /// Nobody.
    Nobody,
}

impl SiteTls {
    /// Who issues a certificate for a host of the site that no file covers. `dns` tells whether TXT records can be set,
    /// which wildcards from ACME need.
    pub fn issuer(&self, host: &HostPattern, dns: bool) -> Issuer {
        let (name, is_wildcard) = match host {
            HostPattern::Exact(name) => (name, false),
            HostPattern::Wildcard(suffix) => (suffix, true),
            HostPattern::Default => return Issuer::Nobody,
        };
        match self.source {
            SiteCertificate::Off | SiteCertificate::Files => Issuer::Nobody,
            SiteCertificate::Internal => Issuer::Internal,
            SiteCertificate::Auto if is_local_name(name) => Issuer::Internal,
            SiteCertificate::Acme if is_local_name(name) => Issuer::Nobody,
            SiteCertificate::Auto | SiteCertificate::Acme if is_wildcard && !dns => Issuer::Nobody,
            SiteCertificate::Auto | SiteCertificate::Acme => Issuer::Acme,
        }
    }
}

/// Where a site's certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteCertificate {
    /// Files that cover its hosts, else the internal authority for local names and ACME for all others.
    Auto,
    /// It has none.
    Off,
    /// The internal authority.
    Internal,
    /// ACME.
    Acme,
    /// Files.
    Files,
}

/// Whether clients that come in cleartext are sent to HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpsRedirect {
    /// Once the site has a certificate and a TLS listener, to that listener's port.
    Auto,
    /// The same, to this port.
    Port(u16),
    /// Never.
    Off,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hsts {
    /// A year, if the site redirects and its certificate is one that browsers trust.
    Auto,
    /// The field is not sent.
    Off,
    /// This.
    Written {
        /// How long browsers remember it.
        max_age: Duration,
        /// Whether it holds for every name below.
        include_subdomains: bool,
        /// Whether browsers may have it built in.
        preload: bool,
    },
}

/// What is asked of clients' certificates.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientCertificate {
    /// Where it was written.
    pub origin: Origin,
    /// Whether clients without one are refused.
    pub required: bool,
    /// The authorities that issue them.
    pub ca_file: NamedFile,
    /// What they revoked.
    pub crl_files: Vec<NamedFile>,
    /// The field that tells backends the certificate's subject.
    pub subject_field: Option<String>,
    /// The field that tells backends its SHA-256 fingerprint.
    pub fingerprint_field: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::is_local_name;

    #[test]
    fn local_names() {
        for (host, expected) in [
            ("localhost", true),
            ("app.localhost", true),
            ("printer.local", true),
            ("app.internal", true),
            ("internal", true),
            ("a.b.test", true),
            ("router.home.arpa", true),
            ("home.arpa", true),
            ("intranet", true),
            ("10.0.0.1", true),
            ("[::1]", true),
            ("example.com", false),
            ("notlocal.example", false),
            ("mylocal", true),
            ("my.notlocal", false),
        ] {
            assert_eq!(is_local_name(host), expected, "{host}");
        }
    }
}
