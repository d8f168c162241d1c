//! One worker's cells. Only that worker writes them; scrapes read them from elsewhere.

use std::sync::OnceLock;

use super::balancing::BalancingCells;
use super::cell::{Counter, Latest, Level};
use super::histogram::Histogram;
use super::pages::Pages;
use super::{EndpointId, Limits, ListenerId, RouteId};

/// Status classes: none (no answer was sent), 1xx, 2xx, 3xx, 4xx, 5xx. A status that no class has, 600 to 999, is one of 5xx,
/// which clients treat it as (RFC 9110 §15).
pub const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Why an attempt at an endpoint failed. Names are stable: metrics carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EndpointFailure {
    /// The connection was refused, unreachable or reset while connecting.
    Connect,
    /// The connection was not there in time.
    ConnectTimeout,
    /// The connection broke while the request was being sent or its answer read.
    Closed,
    /// The answer's head or its next bytes did not come in time.
    Timeout,
    /// The answer broke the protocol or a limit.
    BrokenResponse,
    /// The answer was a status that counts as failure: 502, 503, 504.
    Status,
    /// No connection could be had: too many requests were waiting already.
    PendingFull,
}

impl EndpointFailure {
    /// Every kind, in the order of their cells.
    pub const ALL: [EndpointFailure; 7] = [
        EndpointFailure::Connect,
        EndpointFailure::ConnectTimeout,
        EndpointFailure::Closed,
        EndpointFailure::Timeout,
        EndpointFailure::BrokenResponse,
        EndpointFailure::Status,
        EndpointFailure::PendingFull,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EndpointFailure::Connect => "connect",
            EndpointFailure::ConnectTimeout => "connect-timeout",
            EndpointFailure::Closed => "closed",
            EndpointFailure::Timeout => "timeout",
            EndpointFailure::BrokenResponse => "broken-response",
            EndpointFailure::Status => "status",
            EndpointFailure::PendingFull => "pending-full",
        }
    }
}

/// Why a listener turned a connection away. Names are stable: metrics carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The listener has as many connections as it may.
    ConnectionsMax,
    /// The client has as many connections as it may.
    ConnectionsPerClientMax,
    /// A PROXY protocol header was due, from an address that is no trusted proxy's.
    ProxyUntrusted,
    /// The PROXY protocol header was missing or malformed.
    ProxyHeaderBad,
    /// The connection ended within its PROXY protocol header.
    ProxyHeaderTruncated,
    /// The PROXY protocol header did not come in time.
    ProxyHeaderTimeout,
    /// The TLS handshake came to nothing.
    Handshake,
    /// The listener takes no more connections, and this one was within its handshake or its PROXY protocol header for too long.
    Draining,
    /// The system could not hand the connection over (out of descriptors or memory).
    AcceptError,
}

impl Refusal {
    /// Every reason, in the order of their cells.
    pub const ALL: [Refusal; 9] = [
        Refusal::ConnectionsMax,
        Refusal::ConnectionsPerClientMax,
        Refusal::ProxyUntrusted,
        Refusal::ProxyHeaderBad,
        Refusal::ProxyHeaderTruncated,
        Refusal::ProxyHeaderTimeout,
        Refusal::Handshake,
        Refusal::Draining,
        Refusal::AcceptError,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::ConnectionsMax => "connections-max",
            Refusal::ConnectionsPerClientMax => "connections-per-client-max",
            Refusal::ProxyUntrusted => "proxy-untrusted",
            Refusal::ProxyHeaderBad => "proxy-header-bad",
            Refusal::ProxyHeaderTruncated => "proxy-header-truncated",
            Refusal::ProxyHeaderTimeout => "proxy-header-timeout",
            Refusal::Handshake => "handshake",
            Refusal::Draining => "draining",
            Refusal::AcceptError => "accept-error",
        }
    }
}

/// How TLS handshakes with clients end. `done` is the ordinary end; the others are faults. Names are stable: metrics carry
/// them.
pub const HANDSHAKES: [&str; 20] = [
    "done",
    "busy",
    "timeout",
    "client-closed",
    "cleartext-http",
    "not-tls",
    "malformed",
    "protocol-version",
    "no-shared-cipher",
    "no-shared-protocol",
    "unknown-name",
    "client-certificate-missing",
    "client-certificate-unknown",
    "client-certificate-expired",
    "client-certificate-revoked",
    "client-certificate-unlisted",
    "client-certificate-invalid",
    "client-refused",
    "challenge-answered",
    "internal",
];

/// Cipher suites, by the version that has them.
pub const CIPHERS: [(&str, &str); 9] = [
    ("TLSv1.3", "TLS_AES_128_GCM_SHA256"),
    ("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
    ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"),
    ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("TLSv1.2", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

/// What is counted for a listener's TLS.
#[derive(Debug, Default)]
pub struct TlsCells {
    pub(super) handshakes: [Counter; HANDSHAKES.len()],
    /// By cipher suite, then whether an earlier session was resumed.
    pub(super) ciphers: [[Counter; 2]; CIPHERS.len()],
}

impl TlsCells {
    /// Counts a handshake that came to nothing, by its name in [`HANDSHAKES`].
    pub fn failed(&self, name: &str) {
        if let Some(number) = HANDSHAKES.iter().position(|other| *other == name) {
            self.handshakes[number].one();
        }
    }

    /// Counts a handshake that is done, by the name of its cipher suite in [`CIPHERS`].
    pub fn done(&self, cipher: &str, resumed: bool) {
        self.handshakes[0].one();
        if let Some(number) = CIPHERS.iter().position(|(_, other)| *other == cipher) {
            self.ciphers[number][usize::from(resumed)].one();
        }
    }
}

/// What is counted for a route. Among thousands of routes its cells are in no cache of the processor, so an ordinary
/// request writes two cache lines of them: this order's first, and its bucket's.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct RouteCells {
    pub(super) classes: [Counter; CLASSES.len()],
    pub(super) bytes_out: Counter,
    pub(super) latency: Histogram,
    pub(super) bytes_in: Counter,
}

/// The latency's sum ends the first line.
const _: () = assert!(std::mem::offset_of!(RouteCells, latency) == 56);

/// What is counted for an endpoint of an upstream.
#[derive(Debug, Default)]
pub struct EndpointCells {
    /// Attempts sent to it, first and later tries alike.
    pub requests: Counter,
    /// Attempts that were a request's second or later try.
    pub retries: Counter,
    /// Tries again that the budget did not allow, by the endpoint that had failed.
    pub retries_refused: Counter,
    /// Connections dialled, successfully or not.
    pub connects: Counter,
    /// Attempts that found an idle connection.
    pub pool_hits: Counter,
    /// Attempts that had to dial or wait.
    pub pool_misses: Counter,
    /// Connections open, idle and busy.
    pub connections: Level,
    pub(super) failures: [Counter; EndpointFailure::ALL.len()],
    pub(super) answers: Counter,
    pub(super) answer_micros: Counter,
}

impl EndpointCells {
    /// Counts a failed attempt.
    #[inline]
    pub fn failed(&self, failure: EndpointFailure) {
        self.failures[failure as usize].one();
    }

    /// Counts an answer whose head came `micros` after the request was sent.
    #[inline]
    pub fn answered(&self, micros: u64) {
        self.answers.one();
        self.answer_micros.add(micros);
    }
}

/// What is counted for a listener.
#[derive(Debug, Default)]
pub struct ListenerCells {
    /// Connections taken.
    pub accepted: Counter,
    /// Those of them that spoke HTTP/2.
    pub http2: Counter,
    /// Connections open.
    pub active: Level,
    /// Bytes read from clients, heads and framing included.
    pub bytes_in: Counter,
    /// Bytes written to clients, heads and framing included.
    pub bytes_out: Counter,
    pub(super) refused: [Counter; Refusal::ALL.len()],
    tls: OnceLock<Box<TlsCells>>,
}

impl ListenerCells {
    /// What is counted of its TLS; there is nothing while it has none.
    #[inline]
    pub fn tls(&self) -> &TlsCells {
        self.tls.get_or_init(Box::default)
    }

    /// The same, if anything was counted.
    pub(super) fn tls_if_any(&self) -> Option<&TlsCells> {
        self.tls.get().map(|cells| &**cells)
    }

    /// Counts a connection turned away.
    #[inline]
    pub fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].one();
    }
}

/// The figures of one finished request.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFigures {
    /// The status sent, 0 when none was.
    pub status: u16,
    /// The outcome's number: an index into the registry's reason names; 0 is the ordinary one.
    pub reason: u16,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// From the request's complete head to its end, in µs.
    pub duration_micros: u64,
}

/// One worker's cells.
#[derive(Debug)]
pub struct Shard {
    /// Connections this worker serves.
    pub connections: Level,
    /// What it counts of balancing.
    pub balancing: BalancingCells,
    pub(super) outcomes: Box<[Counter]>,
    /// Where the latency of the request that ended last was counted: the next one's is likely to be counted near it.
    latest_bucket: Latest,
    /// HTTP/2 connections that were ended for what the client did, by reason.
    pub(super) failed: Box<[Counter]>,
    pub(super) routes: Pages<RouteCells>,
    pub(super) endpoints: Pages<EndpointCells>,
    pub(super) listeners: Pages<ListenerCells>,
    /// Outcomes by route, for slots that keep them; slot 0 gathers all others.
    route_outcomes: Box<[OnceLock<Box<[Counter]>>]>,
}

impl Shard {
    pub(super) fn new(limits: Limits, reasons: usize) -> Shard {
        let kept = limits.routes_with_reasons_max.min(limits.routes_max) as usize + 1;
        Shard {
            connections: Level::default(),
            balancing: BalancingCells::default(),
            outcomes: counters(reasons),
            latest_bucket: Latest::default(),
            failed: counters(reasons),
            routes: Pages::new(limits.routes_max),
            endpoints: Pages::new(limits.endpoints_max),
            listeners: Pages::new(limits.listeners_max),
            route_outcomes: (0..kept).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Reads what [`Shard::request`] will write for this route, so that it comes from memory while the request is on its way:
    /// among thousands of routes it is in no cache of the processor.
    #[inline]
    pub fn expect(&self, route: RouteId) {
        let cells = self.routes.touch(route.0);
        std::hint::black_box(cells.bytes_out.read());
        std::hint::black_box(cells.latency.expect(self.latest_bucket.read()));
    }

    /// Counts a finished request.
    #[inline]
    pub fn request(&self, route: RouteId, figures: &RequestFigures) {
        let class = usize::from(figures.status / 100).min(CLASSES.len() - 1);
        let cells = self.routes.touch(route.0);
        cells.classes[class].one();
        if figures.bytes_in > 0 {
            cells.bytes_in.add(figures.bytes_in);
        }
        cells.bytes_out.add(figures.bytes_out);
        let bucket = cells.latency.observe(figures.duration_micros);
        self.latest_bucket.set(bucket);
        // A number beyond the names would be a mistake of the caller's; it is counted as the last name.
        let reason = usize::from(figures.reason).min(self.outcomes.len() - 1);
        self.outcomes[reason].one();
        if reason != 0 {
            self.route_outcome(route, reason);
        }
    }

    /// Counts an HTTP/2 connection that was ended for what its client did. `reason` is an outcome's number.
    #[cold]
    pub fn connection_failed(&self, reason: usize) {
        self.failed[reason.min(self.failed.len() - 1)].one();
    }

    #[cold]
    fn route_outcome(&self, route: RouteId, reason: usize) {
        let kept = self
            .route_outcomes
            .get(route.0 as usize)
            .unwrap_or(&self.route_outcomes[0]);
        kept.get_or_init(|| counters(self.outcomes.len()))[reason].one();
    }

    /// An endpoint's cells.
    #[inline]
    #[must_use]
    pub fn endpoint(&self, endpoint: EndpointId) -> &EndpointCells {
        self.endpoints.touch(endpoint.0)
    }

    /// A listener's cells.
    #[inline]
    #[must_use]
    pub fn listener(&self, listener: ListenerId) -> &ListenerCells {
        self.listeners.touch(listener.0)
    }

    /// A route's outcomes other than the ordinary one, if any happened.
    pub(super) fn route_outcomes(&self, route: u32) -> Option<&[Counter]> {
        let kept = self.route_outcomes.get(route as usize)?.get()?;
        Some(kept)
    }
}

fn counters(count: usize) -> Box<[Counter]> {
    (0..count.max(1)).map(|_| Counter::default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_refusals_stand_at_their_numbers() {
        for (number, failure) in EndpointFailure::ALL.iter().enumerate() {
            assert_eq!(*failure as usize, number);
        }
        for (number, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, number);
        }
    }

    #[test]
    fn odd_figures_are_counted_somewhere() {
        let shard = Shard::new(Limits::default(), 2);
        shard.request(
            RouteId(u32::MAX),
            &RequestFigures {
                status: 999,
                reason: 77,
                ..RequestFigures::default()
            },
        );
        assert_eq!(shard.outcomes[1].read(), 1);
        assert_eq!(shard.route_outcomes(0).unwrap()[1].read(), 1);
    }

    #[test]
    fn every_status_has_a_class() {
        for (status, class) in [
            (0, "none"),
            (100, "1xx"),
            (101, "1xx"),
            (299, "2xx"),
            (304, "3xx"),
            (499, "4xx"),
            (500, "5xx"),
            (599, "5xx"),
            (600, "5xx"),
            (999, "5xx"),
        ] {
            let shard = Shard::new(Limits::default(), 2);
            let figures = RequestFigures {
                status,
                ..RequestFigures::default()
            };
            shard.request(RouteId(0), &figures);
            let classes = &shard.routes.touch(0).classes;
            let counted = CLASSES
                .iter()
                .zip(classes)
                .filter(|(_, cell)| cell.read() == 1);
            let names: Vec<&str> = counted.map(|(name, _)| *name).collect();
            assert_eq!(names, [class], "{status}");
        }
    }
}
