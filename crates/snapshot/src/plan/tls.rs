//! What TLS, certificates and protocols compile to. Files are named, not read: that is for whoever uses them.

use foregate_config::settings::{
    Challenge, HostPattern, Issuer, Protocol, SiteCertificate, TlsProfile,
};
use foregate_message::FieldName;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What holds for all TLS listeners.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsPlan {
    /// Versions and cipher suites.
    pub profile: TlsProfile,
    /// From accepting a connection to the end of its handshake.
    pub handshake_timeout: Duration,
    /// The name of the certificate for clients that ask for a name that no certificate covers, or for none; without one
    /// they are refused.
    pub default_certificate: Option<Arc<str>>,
    /// Whether clients get tickets to resume sessions with.
    pub session_tickets: bool,
    /// Keys for tickets that several machines share.
    pub ticket_keys_file: Option<PathBuf>,
    /// How often own ticket keys are replaced.
    pub ticket_rotation: Duration,
    /// Sessions that are remembered for clients that take no tickets.
    pub session_cache_max: usize,
    /// Whether requests are taken from early data.
    pub early_data: bool,
}

/// Certificates from files, by the name that sites know them by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificatePlan {
    /// The name.
    pub name: Arc<str>,
    /// Where they are.
    pub source: CertificateFiles,
}

/// Where certificates are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertificateFiles {
    /// One certificate.
    Pair {
        /// PEM: the certificate and its chain.
        certificate: PathBuf,
        /// PEM: its private key.
        key: PathBuf,
        /// DER: an OCSP response.
        ocsp: Option<PathBuf>,
    },
    /// All pairs of a folder.
    Folder(PathBuf),
}

/// How a site is served over TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteTlsPlan {
    /// Where its certificate comes from.
    pub source: SiteCertificate,
    /// Names of the certificates from files that it may use; empty for all.
    pub certificates: Box<[Arc<str>]>,
    /// The hosts, and who issues certificates for those that no file covers.
    pub hosts: Box<[(HostPattern, Issuer)]>,
    /// Numbers of the TLS listeners that it is served on; empty if it has no certificate.
    pub listeners: Box<[u32]>,
    /// Where clients in cleartext are sent, if they are.
    pub redirect: Option<HttpsRedirect>,
    /// Strict-Transport-Security on answers over TLS.
    pub hsts: Option<Arc<HstsPlan>>,
    /// What is asked of clients' certificates.
    pub client: Option<Arc<ClientCertificatePlan>>,
}

/// What browsers are told about coming in cleartext.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HstsPlan {
    /// The value of the field.
    pub value: Box<str>,
    /// Whether it takes the place of what the backend says.
    pub replaces: bool,
}

/// Where clients in cleartext are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HttpsRedirect {
    /// The number of the listener that they are sent to.
    pub listener: u32,
    /// Its port for clients; `None` for the one that it listens on.
    pub port: Option<u16>,
}

/// What is asked of clients' certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificatePlan {
    /// Whether clients without one are refused.
    pub required: bool,
    /// PEM: the authorities that issue them.
    pub ca_file: PathBuf,
    /// What they revoked.
    pub crl_files: Box<[PathBuf]>,
    /// The field that tells backends the subject.
    pub subject_field: Option<FieldName>,
    /// The field that tells backends the fingerprint.
    pub fingerprint_field: Option<FieldName>,
}

/// How certificates of public names are had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcmePlan {
    /// Where the authority may write to.
    pub email: Option<Box<str>>,
    /// URL of the authority's directory.
    pub directory: Box<str>,
    /// PEM: roots to trust for the authority's own HTTPS.
    pub ca_file: Option<PathBuf>,
    /// How names are proved.
    pub challenge: Challenge,
    /// How records are set.
    pub dns: Option<DnsPlan>,
    /// The key's name and the key, in base64url, of the account that the ACME account is bound to.
    pub eab: Option<(Box<str>, SecretText)>,
    /// Which further names get certificates when a client first asks for them.
    pub on_demand: Option<OnDemandPlan>,
}

/// How TXT records are set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsPlan {
    /// Who sets them.
    pub provider: DnsProviderPlan,
    /// How long a record may take to be seen; nobody looks without.
    pub propagation_timeout: Option<Duration>,
}

/// Who sets TXT records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DnsProviderPlan {
    /// A command and its arguments.
    Hook(Vec<String>),
    /// Dynamic updates.
    Rfc2136 {
        /// `host:port` of the name server.
        server: Box<str>,
        /// The key's name.
        key_name: Box<str>,
        /// The key, in base64.
        key_secret: SecretText,
        /// Its algorithm.
        key_algorithm: &'static str,
    },
}

/// Certificates for names that no site writes out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OnDemandPlan {
    /// Names that may have one: hosts, or `*.` and a domain.
    pub allow: Vec<String>,
    /// A URL that is asked.
    pub ask: Option<String>,
    /// Orders an hour.
    pub issues_per_hour_max: u32,
}

/// A text that is never shown.
pub type SecretText = foregate_config::settings::Secret;

/// How backends are spoken to by TLS.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UpstreamTlsPlan {
    /// The name to ask for; `None` for the endpoint's own.
    pub server_name: Option<Box<str>>,
    /// Whether the handshake tells it.
    pub send_sni: bool,
    /// PEM: the authorities to trust; `None` for the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate to show, and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether certificates are verified.
    pub verify: bool,
    /// Whether HTTP/1.1 is offered.
    pub http1: bool,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtocolPlan {
    /// The protocol.
    pub protocol: Protocol,
    /// With HTTP/2: requests at once on one connection.
    pub streams_per_connection_max: u32,
}

/// What clients may do that speak HTTP/2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Http2Plan {
    /// Requests at once on one connection.
    pub streams_max: u32,
    /// Bytes of body that a client may send ahead on one stream.
    pub stream_window_bytes: u32,
    /// Bytes of bodies that a client may send ahead on all streams of a connection.
    pub connection_window_bytes: u32,
    /// How long a client may take to acknowledge settings.
    pub ack_timeout: Duration,
}

/// What is done with a listener's connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ModePlan {
    /// They carry requests.
    Http {
        /// Whether TLS is ended here.
        tls: bool,
        /// Whether HTTP/1.1 is spoken.
        http1: bool,
        /// Whether HTTP/2 is spoken.
        http2: bool,
    },
    /// Their bytes go to the upstream of this name.
    Tcp(Arc<str>),
    /// Their bytes go to the upstream of the name that TLS asks for.
    TlsPassthrough(Arc<SniRoutes>),
}

/// Upstreams by the name that TLS asks for.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SniRoutes {
    /// By host.
    pub exact: std::collections::BTreeMap<Box<str>, Arc<str>>,
    /// By the domain below which hosts are, longest first.
    pub wildcards: Vec<(Box<str>, Arc<str>)>,
    /// For every other name, and none.
    pub any: Option<Arc<str>>,
}

impl SniRoutes {
    /// The upstream for a name in lower case; `None` asks for nobody.
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<str>> {
        let Some(name) = name else {
            return self.any.as_ref();
        };
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let below = |suffix: &str| {
            name.strip_suffix(suffix)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        let wildcard = self.wildcards.iter().find(|(suffix, _)| below(suffix));
        wildcard.map(|(_, upstream)| upstream).or(self.any.as_ref())
    }
}
