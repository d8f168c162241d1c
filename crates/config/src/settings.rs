//! The configuration as meant: every value checked, every default filled in, every reference known to exist.
//!
//! Conventions: `None` in an `Option` means the limit or feature is off; sizes are bytes; durations are
//! [`std::time::Duration`]; a list of conditions that is empty allows everything.

mod access_log;
mod acme;
mod action;
mod admin;
mod balancing;
mod bounds;
mod client;
mod discovery;
mod file;
mod forwarding;
mod listener;
mod log;
mod matching;
mod overload;
mod paths;
mod probe;
mod proxy;
mod retry;
mod rules;
mod site;
mod site_tls;
mod sticky;
mod template;
mod tls;
mod upstream;
mod upstream_tls;

pub use access_log::{AccessLog, LogField, LogFormat, LogTarget};
pub use acme::{Acme, Challenge, Dns, DnsProvider, Eab, OnDemand};
pub use action::{Action, HostHeader, Mirror, Proxy, Redirect, Respond, Rewrite, Target, Timeouts};
pub use admin::{Admin, AdminSocket, History};
pub use balancing::{Balance, FitMin, HashBy};
pub use bounds::{Adaptive, Bounds, Circuit, Queue};
pub use client::{BodyRate, Client, Http2};
pub use discovery::{Consul, Discovery, DiscoverySource, DnsLookup, Docker};
pub use file::{NamedFile, Secret};
pub use forwarding::{Forwarding, ServerHeader};
pub use listener::{CongestionControl, Listener, Mode};
pub use log::{Log, LogLevel};
pub use matching::{HostPattern, PathMatch, Rank, ValueMatch};
pub use overload::{Importance, MemoryMax, Overload};
pub use paths::{Backslash, DotSegments, DuplicateSlashes, EncodedSlash, PathParameters, Paths};
pub use probe::{Probe, ProbeBody, ProbeQuestion, ProbeRequest};
pub use retry::{Hedge, Retry, RetryOn};
pub use rules::{FieldRules, FieldValue, ValuePlaceholder};
pub use site::{FieldMatch, Route, Site, SiteHost};
pub use site_tls::{
    ClientCertificate, Hsts, HttpsRedirect, Issuer, SiteCertificate, SiteTls, is_local_name,
};
pub use sticky::{CookieSecure, SameSite, Sticky};
pub use template::{
    Piece, Placeholder, Template, TemplateFault, TemplateFaultKind, UrlPlaceholder,
};
pub use tls::{Certificate, CertificateSource, NamedCertificate, Tls, TlsProfile};
pub use upstream::{
    Ejection, ProxyProtocolVersion, ResponseLimits, Server, ServerAddress, ServerAddressError,
    ServerHost, Upstream,
};
pub use upstream_tls::{Protocol, UpstreamTls};

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

/// A whole configuration as meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many worker threads serve requests.
    pub workers: Workers,
    /// How long running requests may finish after TERM, QUIT or the removal of their listener.
    pub drain_timeout: Duration,
    /// How long the old process finishes what runs after an upgrade.
    pub upgrade_drain_timeout: Duration,
    /// Where certificates and keys are kept that the gateway makes itself.
    pub state_dir: PathBuf,
    /// The zone that this gateway stands in, if it is told.
    pub zone: Option<String>,
    /// Where clients connect; names are unique, never empty.
    pub listeners: Vec<Listener>,
    /// What holds for all TLS listeners.
    pub tls: Tls,
    /// The certificates from files; names are unique.
    pub certificates: Vec<Certificate>,
    /// How certificates of public names are had.
    pub acme: Acme,
    /// The admin listener, if there is one.
    pub admin: Option<Admin>,
    /// The log of requests, if it is on.
    pub access_log: Option<AccessLog>,
    /// The process' own log.
    pub log: Log,
    /// What clients may do.
    pub client: Client,
    /// What is given up when there is too much to do.
    pub overload: Overload,
    /// How odd paths are treated.
    pub paths: Paths,
    /// What is told to backends and clients about the way a message took.
    pub forwarding: Forwarding,
    /// The sites, in the order they were written (which means nothing).
    pub sites: Vec<Site>,
    /// The upstreams; names are unique.
    pub upstreams: Vec<Upstream>,
}

/// How many worker threads serve requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per core that the process may use.
    Auto,
    /// This many, 1 to 256.
    Count(NonZeroU16),
}

impl Settings {
    /// The upstream of this name. Linear in the number of upstreams: meant for start-up and tools.
    pub fn upstream(&self, name: &str) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.name == name)
    }

    /// Whether a site may have a certificate for any of its hosts; what files cover is not known here.
    pub fn may_have_certificate(&self, site: &Site) -> bool {
        let has_files = match site.tls.source {
            SiteCertificate::Auto | SiteCertificate::Files => !self.certificates.is_empty(),
            SiteCertificate::Off | SiteCertificate::Internal | SiteCertificate::Acme => false,
        };
        let dns = self.acme.dns.is_some();
        let is_issued = |host: &SiteHost| site.tls.issuer(&host.pattern, dns) != Issuer::Nobody;
        has_files || site.hosts.iter().any(is_issued)
    }

    /// The listener of this name. Linear in the number of listeners.
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}
