//! What is told of an open connection.

use super::{EXCHANGES_SHOWN_MAX, Entry, Phase, Place};
use foregate_message::{TlsFacts, TlsVersion};
use foregate_telemetry::clock::Moment;
use foregate_telemetry::metrics::ListenerId;
use std::net::SocketAddr;
use std::time::Duration;

/// What a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Nobody has said a word yet.
    Unknown,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// WebSocket, which HTTP/1 was switched to.
    WebSocket,
    /// Another protocol that HTTP/1 was switched to.
    Tunnel,
    /// Bytes that are passed on as they are.
    Tcp,
}

impl Protocol {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Unknown => "unknown",
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
            Protocol::WebSocket => "websocket",
            Protocol::Tunnel => "tunnel",
            Protocol::Tcp => "tcp",
        }
    }
}

/// What a connection does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionState {
    /// It waits for its PROXY protocol header.
    ProxyHeader,
    /// It holds its TLS handshake.
    Handshake,
    /// It waits for the name that its TLS asks for.
    TlsHello,
    /// It waits for a request.
    Waiting,
    /// A request's head is here in part.
    ReadingHead,
    /// It is served.
    InExchange,
    /// Its bytes are passed on.
    Tunnel,
    /// It ends after what runs on it.
    Draining,
    /// Its last answer is written, and the client has a moment to take it.
    Lingering,
}

impl ConnectionState {
    /// Every state.
    pub const ALL: [ConnectionState; 9] = [
        ConnectionState::ProxyHeader,
        ConnectionState::Handshake,
        ConnectionState::TlsHello,
        ConnectionState::Waiting,
        ConnectionState::ReadingHead,
        ConnectionState::InExchange,
        ConnectionState::Tunnel,
        ConnectionState::Draining,
        ConnectionState::Lingering,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            ConnectionState::ProxyHeader => "proxy-header",
            ConnectionState::Handshake => "handshake",
            ConnectionState::TlsHello => "tls-hello",
            ConnectionState::Waiting => "waiting",
            ConnectionState::ReadingHead => "reading-head",
            ConnectionState::InExchange => "in-exchange",
            ConnectionState::Tunnel => "tunnel",
            ConnectionState::Draining => "draining",
            ConnectionState::Lingering => "lingering",
        }
    }
}

/// Why, and how soon, a connection is to end: what comes later is sooner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Closing {
    /// It is not.
    No,
    /// Its listener takes no more connections.
    Listener,
    /// An operator said so; what runs on it is finished.
    Operator,
    /// Its listener is gone, and the time is over that what runs on it had.
    Drained,
    /// An operator said so, whatever runs on it.
    Now,
}

/// What the handshake of a connection came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsNote {
    /// The protocol version.
    pub version: TlsVersion,
    /// The cipher suite's registered name.
    pub cipher: &'static str,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

impl TlsNote {
    pub(super) fn of(facts: &TlsFacts) -> TlsNote {
        TlsNote {
            version: facts.version,
            cipher: facts.cipher,
            server_name: facts.server_name.clone(),
            resumed: facts.resumed,
        }
    }
}

/// What is told of an exchange that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeNote {
    /// How long it has taken so far.
    pub age: Duration,
    /// The numbers in the metrics of its route and of the endpoint that was asked last; `None` until one is.
    pub place: Option<(u32, u32)>,
}

/// What is told of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionNote {
    /// Its number among those of its worker.
    pub sequence: u64,
    /// Who accepted it.
    pub listener: ListenerId,
    /// The client, as a trusted PROXY protocol header has it if there is one.
    pub client: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// What it does.
    pub state: ConnectionState,
    /// Whether it is to end.
    pub closing: Closing,
    /// Its handshake, if there was one.
    pub tls: Option<TlsNote>,
    /// Since when it has been open.
    pub age: Duration,
    /// Requests that were served.
    pub requests: u32,
    /// Exchanges that run.
    pub running: usize,
    /// The first of them.
    pub exchanges: Vec<ExchangeNote>,
}

/// Which connections are asked for.
#[derive(Clone, Copy, Default, Debug)]
pub struct Which {
    /// Those of this listener.
    pub listener: Option<ListenerId>,
    /// Those in this state.
    pub state: Option<ConnectionState>,
    /// How many of them to pass over.
    pub skip: usize,
    /// How many of them to tell of.
    pub take: usize,
}

/// What was found.
#[derive(Default, Debug)]
pub struct Survey {
    /// How many there are that are meant.
    pub total: usize,
    /// Those that are told of, oldest first.
    pub items: Vec<ConnectionNote>,
}

impl Entry {
    pub(super) fn is_meant(&self, which: &Which) -> bool {
        which
            .listener
            .is_none_or(|listener| listener == self.listener)
            && which.state.is_none_or(|state| state == self.state())
    }

    pub(super) fn state(&self) -> ConnectionState {
        match self.phase.get() {
            Phase::ProxyHeader => return ConnectionState::ProxyHeader,
            Phase::Handshake => return ConnectionState::Handshake,
            Phase::Hello => return ConnectionState::TlsHello,
            Phase::Lingering => return ConnectionState::Lingering,
            Phase::Open => {}
        }
        match self.protocol.get() {
            Protocol::Tcp | Protocol::WebSocket | Protocol::Tunnel => ConnectionState::Tunnel,
            _ if self.closing.get() != Closing::No => ConnectionState::Draining,
            Protocol::Http2 if !self.running().is_empty() => ConnectionState::InExchange,
            Protocol::Http2 => ConnectionState::Waiting,
            _ if self.is_begun() => ConnectionState::InExchange,
            _ if self.is_in_head.get() => ConnectionState::ReadingHead,
            _ => ConnectionState::Waiting,
        }
    }

    pub(super) fn note(&self, at: Moment) -> ConnectionNote {
        let running = self.running();
        let shown = running.iter().take(EXCHANGES_SHOWN_MAX);
        let exchanges = shown.map(|one| ExchangeNote {
            age: at.since(one.began),
            place: (one.place != Place::NONE).then_some((one.place.route, one.place.endpoint)),
        });
        ConnectionNote {
            sequence: self.sequence,
            listener: self.listener,
            client: self.client.get().address(),
            protocol: self.protocol.get(),
            state: self.state(),
            closing: self.closing.get(),
            tls: self.tls.get().map(|tls| TlsNote::clone(tls)),
            age: at.since(self.opened),
            requests: self.steps.get() / 2,
            running: running.len(),
            exchanges: exchanges.collect(),
        }
    }
}
