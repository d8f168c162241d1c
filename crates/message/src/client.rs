//! The seam between the road and whichever protocol a client speaks.

use crate::forwarded::ForwardingPolicy;
use crate::{BodyLength, Chunk, Fields, Frame, Piped, Reason, ResponseHead, TlsFacts, Version};
use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

/// How the client reached the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As URIs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Who is on the other end of a downstream connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address: the socket's, or what a trusted PROXY protocol header said.
    pub address: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// The listener's number in the snapshot.
    pub listener: u32,
    /// How it came.
    pub scheme: Scheme,
    /// Who the trusted proxies are may change while it is connected.
    trusted: Cell<bool>,
    /// It speaks for somebody whom it does not name.
    is_unnamed: bool,
    /// What the handshake told, if it came by TLS.
    pub tls: Option<Box<TlsFacts>>,
    description: OnceCell<Box<Description>>,
    /// What backends were told with the last request.
    pub(crate) told: RefCell<Option<Box<Told>>>,
}

/// The forwarding fields of a request, kept for the next one: most requests of a connection name the same host. They
/// are only put together once a host comes a second time in a row, so that a connection on which hosts alternate pays
/// for nothing but the comparison.
#[derive(Clone, Default, Debug)]
pub(crate) struct Told {
    pub(crate) host: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) lines: Option<(ForwardingPolicy, Fields)>,
}

/// The texts that describe a peer, made once for all of its requests.
#[derive(Clone, Debug)]
pub struct Description {
    /// The client's address without port, as `X-Forwarded-For` writes it.
    pub client: Box<str>,
    /// The same as the `for` parameter of `Forwarded` (RFC 7239 §6): IPv6 in brackets and quoted.
    pub forwarded_for: Box<str>,
    /// The port that the client connected to.
    pub local_port: Box<str>,
}

impl Peer {
    /// A peer that came by cleartext. It is not trusted until it was judged.
    pub fn new(address: SocketAddr, local: SocketAddr, listener: u32) -> Peer {
        Peer {
            address: SocketAddr::new(canonical(address.ip()), address.port()),
            local,
            listener,
            scheme: Scheme::Http,
            trusted: Cell::new(false),
            is_unnamed: false,
            tls: None,
            description: OnceCell::new(),
            told: RefCell::default(),
        }
    }

    /// The same peer, which speaks for somebody whom it does not name: it is never trusted.
    #[must_use]
    pub fn unnamed(mut self) -> Peer {
        self.trusted = Cell::new(false);
        self.is_unnamed = true;
        self
    }

    /// Whether its forwarding fields are believed: it is one of the trusted proxies.
    #[inline]
    pub fn is_trusted(&self) -> bool {
        self.trusted.get()
    }

    /// Looks again whether it is one of the trusted proxies.
    pub fn judge(&self, is_proxy: impl Fn(IpAddr) -> bool) {
        let is_trusted = !self.is_unnamed && is_proxy(self.address.ip());
        self.trusted.set(is_trusted);
    }

    /// The same peer once its TLS handshake is done.
    #[must_use]
    pub fn over_tls(mut self, facts: Box<TlsFacts>) -> Peer {
        self.scheme = Scheme::Https;
        self.tls = Some(facts);
        self
    }

    /// The texts that describe it.
    #[inline]
    pub fn description(&self) -> &Description {
        self.description.get_or_init(|| Box::new(self.describe()))
    }

    fn describe(&self) -> Description {
        let client = self.address.ip().to_string();
        Description {
            forwarded_for: match self.address.ip() {
                IpAddr::V4(ip) => format!("for={ip}").into(),
                IpAddr::V6(ip) => format!("for=\"[{ip}]\"").into(),
            },
            client: client.into(),
            local_port: self.local.port().to_string().into(),
        }
    }

    /// Frees the texts of a connection that comes to rest; they are made again when they are asked for.
    pub fn rest(&mut self) {
        self.description = OnceCell::new();
        self.told = RefCell::default();
    }
}

/// IPv4 clients of a dual-stack socket are IPv4 clients.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The client's half of one exchange, whatever its protocol.
///
/// Bodies are pulled with [`Client::poll_frame`]. The answer is queued with `inform`, `respond`, `send` and `finish`,
/// in that order, and leaves with [`Client::poll_flush`]; a caller that flushes before it queues more never has more
/// than one chunk waiting, which is the back-pressure.
pub trait Client {
    /// Who is asking.
    fn peer(&self) -> &Peer;

    /// The next frame of the request's body, or of the tunnel after [`BodyLength::Tunnel`]. After `End` or
    /// `Trailers` it must not be asked again. The first call answers `Expect: 100-continue`.
    ///
    /// # Errors
    /// The body broke a rule or a limit, or the client has gone.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Reason>>;

    /// Takes note of where the exchange goes, for whoever looks at the connection: the numbers of its route and of the
    /// endpoint that is asked.
    fn going_to(&mut self, route: u32, endpoint: u32) {
        let _ = (route, endpoint);
    }

    /// Sets whether pieces of the request's body may stay in the kernel: whoever takes them can pass such on.
    fn allow_pipes(&mut self, allowed: bool) {
        let _ = allowed;
    }

    /// Lets the request's body come as slowly as its sender likes, as a stream of messages does that waits for events.
    fn allow_pauses(&mut self) {}

    /// Sets how many bytes of body the request may have, `None` for any number: known once its route is.
    fn limit_body(&mut self, bytes_max: Option<u64>);

    /// Queues an interim answer (1xx except 101); dropped for a client that can't take one.
    fn inform(&mut self, head: &ResponseHead);

    /// Lets nothing follow the answer on a connection that is the request's alone; told before the answer is queued.
    fn close_behind(&mut self);

    /// Queues the final head. The implementation adds its protocol's own framing.
    fn respond(&mut self, head: &ResponseHead, length: BodyLength);

    /// Queues a piece of the body.
    fn send(&mut self, data: Chunk);

    /// Whether pieces of the answer's body may stay in the kernel; asked once the head is queued.
    fn takes_pipes(&self) -> bool {
        false
    }

    /// Queues a piece of the body that stayed in the kernel; only for a client that takes such.
    fn send_piped(&mut self, piped: Piped) {
        drop(piped);
        self.abort();
    }

    /// Ends the body, or the gateway's direction of a tunnel.
    fn finish(&mut self, trailers: Option<&Fields>);

    /// Moves what is queued towards the client.
    ///
    /// # Errors
    /// The client has gone or does not read.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>>;

    /// Ready once the client will not take an answer any more. Asked while everything else waits; until the request's
    /// body has been read to its end only a broken connection counts.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Reason>;

    /// Breaks the exchange off: what was answered can't be completed, so the client must not take it as whole.
    fn abort(&mut self);

    /// Bytes of body received and bytes of head and body sent, for the log.
    fn transferred(&self) -> (u64, u64);
}
