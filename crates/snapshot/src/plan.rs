//! What a configuration compiles to.

mod tls;

pub use tls::{
    AcmePlan, CertificateFiles, CertificatePlan, ClientCertificatePlan, DnsPlan, DnsProviderPlan,
    HstsPlan, Http2Plan, HttpsRedirect, ModePlan, OnDemandPlan, ProtocolPlan, SecretText,
    SiteTlsPlan, SniRoutes, TlsPlan, UpstreamTlsPlan,
};

use crate::overload::OverloadPlan;
use foregate_balance::{
    Attributes, Balancing, BreakerPolicy, BudgetPolicy, EjectionPolicy, HedgePolicy, OutlierPolicy,
    ProbePlan, Statuses,
};
use foregate_config::settings::{CookieSecure, DnsLookup, Docker, LogLevel, ServerAddress};
use foregate_message::forwarded::ForwardingPolicy;
use foregate_message::path::PathPolicy;
use foregate_message::{Congestion, FieldName};
use foregate_policy::anonymise::ServerHeader;
use foregate_policy::client_address::Networks;
use foregate_policy::header_rules::HeaderRules;
use foregate_policy::host_header::HostRule;
use foregate_policy::overload::Importance;
use foregate_policy::redirect::Redirect;
use foregate_policy::request_key::RequestKey;
use foregate_policy::respond::Respond;
use foregate_policy::rewrite::Rewrite;
use foregate_route::{Match, Miss, Question, Router, SiteSpec, Trace};
use foregate_wire::h1::HeadLimits;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A whole configuration, compiled and immutable. Requests hold the one they began with.
#[derive(Debug)]
pub struct Snapshot {
    /// Where clients connect.
    pub listeners: Box<[ListenerPlan]>,
    /// The sites, in the order of the configuration.
    pub sites: Box<[SitePlan]>,
    /// The routes of all sites, site by site; a route's number is its place here.
    pub routes: Box<[RoutePlan]>,
    /// The upstreams; an upstream's number is its place here.
    pub upstreams: Box<[UpstreamPlan]>,
    /// What clients may do.
    pub client: ClientPlan,
    /// What is given up when there is too much to do.
    pub overload: OverloadPlan,
    /// How odd paths are treated.
    pub paths: PathPolicy,
    /// What backends are told about the client.
    pub forwarding: ForwardingPolicy,
    /// Peers whose claims are believed.
    pub trusted: Networks,
    /// The field that carries the request id to backends and clients; `None` to carry it nowhere.
    pub request_id: Option<FieldName>,
    /// What clients see in Server.
    pub server_header: ServerHeader,
    /// The log of requests, if it is on.
    pub access_log: Option<AccessLogPlan>,
    /// The least severe messages of the process' own log.
    pub log_level: LogLevel,
    /// What holds for all TLS listeners.
    pub tls: TlsPlan,
    /// The certificates from files.
    pub certificates: Box<[CertificatePlan]>,
    /// How certificates of public names are had.
    pub acme: AcmePlan,
    /// Where certificates and keys are kept that the gateway makes itself.
    pub state_dir: PathBuf,
    /// Fields that tell backends of clients' certificates; no client may send them.
    pub certificate_fields: Box<[FieldName]>,
    /// Where the admin listener listens, if there is one.
    pub admin: Option<AdminPlan>,
    /// How many workers serve requests; `None` for one per available core.
    pub workers: Option<NonZeroU16>,
    /// How long running requests may finish after TERM, QUIT or the removal of their listener.
    pub drain_timeout: Duration,
    /// How long the old process finishes what runs after an upgrade.
    pub upgrade_drain_timeout: Duration,
    pub(crate) router: Router,
    /// What the router was built from: explanations name conditions by it.
    pub(crate) specs: Box<[SiteSpec]>,
    /// The number that the next new listener gets.
    pub(crate) next_listener: u32,
}

impl Snapshot {
    /// The number and the plan of the route that takes a request.
    ///
    /// # Errors
    /// No site, or no route of the site, takes it.
    #[inline]
    pub fn find(
        &self,
        question: &Question<'_>,
        trace: Option<&mut Trace>,
    ) -> Result<(u32, &RoutePlan), Miss> {
        let number = self.number(self.router.find(question, trace)?);
        Ok((number, &self.routes[number as usize]))
    }

    /// The number of a route that the router found.
    #[inline]
    pub(crate) fn number(&self, found: Match) -> u32 {
        self.sites[found.site as usize].first_route + found.route
    }

    /// The listener of this number. Numbers are not places: they stay with a name through reloads.
    pub fn listener(&self, number: u32) -> Option<&ListenerPlan> {
        self.listeners
            .iter()
            .find(|listener| listener.number == number)
    }
}

/// A named set of addresses that clients connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerPlan {
    /// The number that connections and routes know it by. A name keeps its number through reloads and no other name
    /// ever gets it, so that a connection that outlives a reload still means the same listener.
    pub number: u32,
    /// Its name.
    pub name: Box<str>,
    /// The addresses to listen on.
    pub addresses: Box<[SocketAddr]>,
    /// Nobody wrote it, it is the default: addresses of a family that the machine lacks are left out.
    pub implied: bool,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Open connections over all workers.
    pub connections_max: usize,
    /// Open connections of one client address; `None` for no limit.
    pub connections_per_client_max: Option<usize>,
    /// Connections that the system may queue before they are accepted.
    pub backlog: u32,
    /// After how long a silence clients are probed by the keep-alive of TCP, if they are.
    pub keep_alive: Option<Duration>,
    /// What controls how fast clients are sent to.
    pub congestion: Congestion,
    /// What is done with connections.
    pub mode: ModePlan,
    /// Unfinished TLS handshakes over all workers.
    pub handshakes_max: usize,
}

impl ListenerPlan {
    /// Whether TLS is ended here.
    pub fn is_tls(&self) -> bool {
        matches!(self.mode, ModePlan::Http { tls: true, .. })
    }
}

/// The admin listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminPlan {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// What everybody must show who asks for more than health, if anything.
    pub token: Option<SecretText>,
    /// The entry of the certificate that its address is served with; without one it is in cleartext.
    pub certificate: Option<Box<str>>,
    /// The file that keeps what was changed through the API, if anything is kept.
    pub state_file: Option<PathBuf>,
    /// A socket in the file system that is listened on as well.
    pub socket: Option<AdminSocketPlan>,
    /// What is remembered of configurations.
    pub history: HistoryPlan,
}

/// A socket in the file system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminSocketPlan {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the file's group may open it, too.
    pub is_for_group: bool,
}

/// What is remembered of the configurations that were in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPlan {
    /// How many.
    pub versions_max: usize,
    /// Bytes of text that they may have together.
    pub bytes_max: usize,
    /// The file that keeps them, if they are kept.
    pub file: Option<PathBuf>,
    /// Whether one that came through the API is in force again after a restart.
    pub keeps_applied: bool,
}

/// A site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SitePlan {
    /// Its first host.
    pub name: Arc<str>,
    /// The number of its first route; its others follow.
    pub first_route: u32,
    /// How it is served over TLS.
    pub tls: Arc<SiteTlsPlan>,
}

/// What is done with the requests of a route.
///
/// Among thousands of routes, the one that a request takes is in no cache of the processor: what every request looks at
/// stands in the plan's first cache line, in this order, and what is rare is behind a pointer that is not followed.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct RoutePlan {
    /// What is done.
    pub action: Action,
    /// Bytes that a request's body may have; `None` for no limit.
    pub body_bytes_max: Option<u64>,
    /// Rules for the fields of the answer, if there are any.
    pub response_rules: Option<Box<HeaderRules>>,
    /// What is asked of clients' certificates: the site's.
    pub client: Option<Arc<ClientCertificatePlan>>,
    /// Strict-Transport-Security on answers over TLS: the site's.
    pub hsts: Option<Arc<HstsPlan>>,
    /// The site's number.
    pub site_number: u32,
    /// How much its requests matter when there is too much to do.
    pub importance: Importance,
    /// How the site is served over TLS.
    pub tls: Arc<SiteTlsPlan>,
    /// The site's name.
    pub site: Arc<str>,
    /// The route's name, unique in its site.
    pub name: Arc<str>,
    /// `site/route`: what metrics and counters are kept by.
    pub key: Arc<str>,
}

/// The end of what every request looks at.
const _: () = assert!(std::mem::offset_of!(RoutePlan, tls) <= 64);

/// What is done with a request.
#[derive(Debug)]
pub enum Action {
    /// It goes to a backend. Routes that send their requests the same way share the plan of it.
    Proxy(Arc<ProxyPlan>),
    /// The client is sent elsewhere.
    Redirect(Box<Redirect>),
    /// It is answered with a fixed answer.
    Respond(Box<Respond>),
}

/// How a request goes to a backend.
#[derive(Debug)]
pub struct ProxyPlan {
    /// Where to, at least one; which of several, `split` says.
    pub targets: Box<[TargetPlan]>,
    /// How several targets share the requests.
    pub split: Option<SplitPlan>,
    /// Who gets copies.
    pub mirror: Option<MirrorPlan>,
    /// What happens to the path.
    pub rewrite: Rewrite,
    /// Rules for the request's fields.
    pub request_rules: HeaderRules,
}

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TargetPlan {
    /// The upstream's number.
    pub upstream: u32,
    /// The subset's number in the upstream; 0 = every endpoint.
    pub subset: u32,
    /// The Host that the backend sees.
    pub host: HostRule,
    /// How long the backend may take.
    pub timeouts: TimeoutPlan,
    /// Requests may be repeated whatever their method.
    pub idempotent: bool,
}

/// How targets share the requests of a route.
#[derive(Clone, Debug)]
pub struct SplitPlan {
    /// Each target's part.
    pub weights: Box<[u32]>,
    /// What decides; drawn at random otherwise.
    pub by: Option<RequestKey>,
}

/// Copies of requests.
#[derive(Clone, Debug)]
pub struct MirrorPlan {
    /// Who gets them.
    pub target: TargetPlan,
    /// Percent of the requests.
    pub share_percent: u32,
    /// Bytes of a body that is copied.
    pub body_bytes_max: usize,
    /// Copies of a worker that may be under way.
    pub requests_max: u32,
}

/// How long a backend may take; `None` is for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimeoutPlan {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Between two reads of the answer, and without progress in sending the request.
    pub between_bytes: Option<Duration>,
    /// The whole exchange, retries included.
    pub request: Option<Duration>,
    /// One try, up to the first byte of its answer.
    pub per_try: Option<Duration>,
}

/// When a request is tried on another endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryPlan {
    /// After a connection that did not come about.
    pub connect: bool,
    /// After the endpoint has said that it did not look at the request.
    pub refused: bool,
    /// After a connection that was closed or reset before any byte of an answer.
    pub reset: bool,
    /// After the first byte did not come in time.
    pub timeout: bool,
    /// After answers with one of these.
    pub statuses: Statuses,
    /// Bytes of a body that are kept so that it can be sent again.
    pub body_bytes_max: usize,
    /// How much of that there may be.
    pub budget: BudgetPolicy,
    /// How many requests may be at their second or later try at once, over all workers.
    pub retries_max: Option<u32>,
}

impl UpstreamPlan {
    /// Whether requests can come to wait for a place.
    pub fn has_queue(&self) -> bool {
        self.requests_max.is_some() || self.balancing.bounds.is_counted()
    }
}

/// A named set of backends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpstreamPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Its endpoints, as far as they are configured.
    pub endpoints: Box<[EndpointPlan]>,
    /// Where further ones are found.
    pub discovery: Option<DiscoveryPlan>,
    /// How one is chosen.
    pub balancing: Balancing,
    /// What of a request decides where it goes, with a hash.
    pub hash_by: Option<RequestKey>,
    /// Sessions that stay with their endpoint, if they do.
    pub sticky: Option<StickyPlan>,
    /// Requests that it works on at once, over all workers.
    pub requests_max: Option<u32>,
    /// Where requests wait while it, or every endpoint, is full.
    pub queue: QueuePlan,
    /// When nothing is sent to any of them for a while, if ever.
    pub circuit: Option<BreakerPolicy>,
    /// When one is left out.
    pub ejection: EjectionPolicy,
    /// When one is left out for what it is beside its peers, if ever.
    pub outliers: Option<OutlierPolicy>,
    /// How they are asked how they are, if they are.
    pub probe: Option<Arc<ProbePlan>>,
    /// Pooled idle connections per worker and endpoint.
    pub connections_idle_max: usize,
    /// Open connections per worker and endpoint; `None` for no limit.
    pub connections_max: Option<usize>,
    /// Requests of a worker that may wait for a connection.
    pub requests_pending_max: usize,
    /// How long a pooled connection may be idle.
    pub idle_timeout: Duration,
    /// After how long a silence backends are probed by the keep-alive of TCP, if they are.
    pub keep_alive: Option<Duration>,
    /// What controls how fast backends are sent to.
    pub congestion: Congestion,
    /// Requests on one connection; `None` for no limit.
    pub requests_per_connection_max: Option<u64>,
    /// The version of the PROXY protocol that connections begin with.
    pub proxy_protocol: Option<u8>,
    /// Endpoints tried per request, at least 1.
    pub tries_max: u32,
    /// When a request is tried on another.
    pub retry: RetryPlan,
    /// When it is sent to a second one as well, if ever.
    pub hedge: Option<HedgePolicy>,
    /// Bytes of a response's head.
    pub response_head_bytes_max: usize,
    /// Fields of a response's head or trailers.
    pub response_fields_max: usize,
    /// Points of misbehaviour on one connection of HTTP/2, at once and in a minute.
    pub abuse_points_per_minute_max: u32,
    /// Until a connection stands, where no route says otherwise.
    pub connect_timeout: Duration,
    /// How endpoints are spoken to by TLS, if they are.
    pub tls: Option<UpstreamTlsPlan>,
    /// The protocol that they are spoken to.
    pub protocol: ProtocolPlan,
    /// Whether gRPC-Web is translated to gRPC and back.
    pub grpc_web: bool,
}

/// Where requests wait while all endpoints are full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuePlan {
    /// Requests that may wait.
    pub length_max: usize,
    /// How long one may.
    pub time_max: Duration,
}

/// Sessions that stay with their endpoint by a cookie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StickyPlan {
    /// The cookie's name.
    pub cookie: Box<str>,
    /// How long a session stays; `None` until the client forgets it.
    pub lifetime_seconds: Option<u64>,
    /// The cookie's attributes but for `Secure`: `; Path=/; HttpOnly`.
    pub attributes: Box<str>,
    /// Whether it is sent over TLS only.
    pub secure: CookieSecure,
    /// What cookies are sealed with, the first; the others open older ones. Empty for a key of the process' own.
    pub secrets: Box<[SecretText]>,
}

/// Where endpoints are found that the configuration does not list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoveryPlan {
    /// Who is asked.
    pub source: SourcePlan,
    /// Endpoints that are taken.
    pub endpoints_max: usize,
}

/// Who knows endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourcePlan {
    /// The addresses of a name.
    Dns(ServerAddress, DnsLookup),
    /// The SRV records of a name.
    Srv(Box<str>, DnsLookup),
    /// A file, or the files of a folder.
    File(PathBuf),
    /// A Consul agent.
    Consul(ConsulPlan),
    /// A Docker engine.
    Docker(Docker),
}

/// A Consul agent and what it is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsulPlan {
    /// The agent.
    pub address: ServerAddress,
    /// The service's name.
    pub service: Box<str>,
    /// The tag that instances must have.
    pub tag: Option<Box<str>>,
    /// The datacenter.
    pub datacenter: Option<Box<str>>,
    /// What the agent is shown.
    pub token: Option<SecretText>,
    /// How it is spoken to by TLS, if it is.
    pub tls: Option<UpstreamTlsPlan>,
}

impl SourcePlan {
    /// How whoever knows is spoken to by TLS, if that is so.
    pub fn tls(&self) -> Option<&UpstreamTlsPlan> {
        match self {
            SourcePlan::Consul(consul) => consul.tls.as_ref(),
            _ => None,
        }
    }

    /// The stable name of its kind, as configured.
    pub fn name(&self) -> &'static str {
        match self {
            SourcePlan::Dns(..) => "dns",
            SourcePlan::Srv(..) => "srv",
            SourcePlan::File(_) => "file",
            SourcePlan::Consul(_) => "consul",
            SourcePlan::Docker(_) => "docker",
        }
    }
}

/// One backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointPlan {
    /// A name to resolve or an address, IPv6 without brackets.
    pub host: Box<str>,
    /// The TCP port.
    pub port: u16,
    /// `host:port` as it is written and sent as Host, IPv6 in brackets; with the upstream's name it is what state
    /// that survives reloads is kept by.
    pub authority: Arc<str>,
    /// Its share relative to its siblings'.
    pub weight: u32,
    /// What else is known of it.
    pub attributes: Arc<Attributes>,
}

/// What clients may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientPlan {
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Fields of a request's head or trailers.
    pub fields_max: usize,
    /// Bytes of a request's target.
    pub target_bytes_max: usize,
    /// Bytes of a request's body where no route is known; a route's own limit stands in [`RoutePlan`].
    pub body_bytes_max: Option<u64>,
    /// Bytes of chunk extensions in one body.
    pub chunk_extension_bytes_max: usize,
    /// Bytes of a trailer section.
    pub trailer_bytes_max: usize,
    /// Requests on one connection; `None` for no limit.
    pub requests_per_connection_max: Option<u32>,
    /// From a request's first byte to its complete head, and from a connection's start to its first request's.
    pub head_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// Bytes of body per second, averaged over `body_rate_grace`; `None` for any rate.
    pub body_rate_min: Option<u64>,
    /// Over how long the rate is averaged.
    pub body_rate_grace: Duration,
    /// How long an answer may make no progress.
    pub write_timeout: Duration,
    /// How long nothing of an answer may come for a client that has shut its sending side.
    pub half_close_timeout: Duration,
    /// Points that a connection may spend a minute on asking without getting anything done.
    pub abuse_points_per_minute_max: u32,
    /// How long a tunnel may be silent; `None` for ever.
    pub tunnel_idle_timeout: Option<Duration>,
    /// What clients may do that speak HTTP/2.
    pub http2: Http2Plan,
}

impl ClientPlan {
    /// The limits of a request's head.
    pub const fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            head_bytes_max: self.head_bytes_max,
            fields_max: self.fields_max,
            target_bytes_max: self.target_bytes_max,
        }
    }
}

/// The log of requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessLogPlan {
    /// Where lines go.
    pub to: LogTarget,
    /// `combined`, `json`, or a template: placeholders in braces, and literal braces doubled.
    pub format: Box<str>,
    /// Bytes of lines that may wait; beyond it lines are dropped and counted.
    pub queue_bytes_max: usize,
}

/// Where access log lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}
