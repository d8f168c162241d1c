//! Accepting connections.

use crate::admission::{Admission, Refused};
use crate::arrived::Arrived;
use crate::handler::Handler;
use crate::preface;
use crate::roll::Enrolled;
use crate::worker::Worker;
use foregate_eventloop::{TcpListener, TcpStream, spawn_local};
use foregate_message::{Chunk, Peer};
use foregate_telemetry::clock::{Deadline, now};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::{ListenerId, Refusal, Shard};
use foregate_tls::Acceptor;
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long to wait when the system has no descriptor or memory left for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Which versions of HTTP clients may speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protocols {
    /// HTTP/1.
    pub http1: bool,
    /// HTTP/2; in cleartext a client begins with it at once (RFC 9113 §3.3).
    pub http2: bool,
}

/// What a listener does with its connections. Replaced at reload.
pub struct ListenerRules {
    /// The listener's number in the snapshot.
    pub number: u32,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// What connections carry.
    pub mode: ListenerMode,
    /// What clients may speak where they carry requests.
    pub protocols: Protocols,
}

/// What the connections of a listener carry.
#[derive(Clone, Debug)]
pub enum ListenerMode {
    /// Requests in cleartext.
    Cleartext,
    /// Requests in TLS, which ends here.
    Tls(TlsRules),
    /// Bytes that are passed on as they are.
    Tcp,
    /// TLS that is passed on by the name that it asks for.
    TlsPassthrough {
        /// How long a client may take to say it.
        hello_timeout: Duration,
    },
}

/// How handshakes are held.
#[derive(Clone, Debug)]
pub struct TlsRules {
    /// Who holds them.
    pub acceptor: Arc<Acceptor>,
    /// How long they may take.
    pub handshake_timeout: Duration,
}

/// One worker's share of a listener.
pub struct Listener<H> {
    /// What to do with connections.
    pub rules: Rc<RefCell<ListenerRules>>,
    /// How many there may be.
    pub admission: Arc<Admission>,
    /// The worker that serves them.
    pub worker: Rc<Worker>,
    /// Its cells.
    pub shard: Arc<Shard>,
    /// The listener's number in the cells.
    pub id: ListenerId,
    /// Set to take no more connections; those that are open end by [`Worker::end_connections`]. The worker's deadlines
    /// must be woken then (`deadlines::wake_all`).
    pub closing: Rc<Cell<bool>>,
    /// Who answers.
    pub handler: Rc<H>,
}

impl<H: Handler> Listener<H> {
    /// Accepts connections until `closing` is set; what the kernel has queued by then is still taken, so that nobody
    /// who was let in is dropped.
    ///
    /// # Errors
    /// The socket can't be used at all.
    pub async fn accept(&self, socket: std::net::TcpListener) -> io::Result<()> {
        let socket = TcpListener::from_std(socket)?;
        let at = only_address(&socket);
        // Never expires: it is what `deadlines::wake_all` reaches this task by.
        let mut deadline = Deadline::new();
        loop {
            let accepted = poll_fn(|cx| match self.poll_accept(&socket, cx) {
                Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
                Poll::Pending if self.closing.get() => Poll::Ready(None),
                Poll::Pending => deadline.poll_expired(cx).map(|()| None),
            });
            match accepted.await {
                Some(Ok((stream, address))) => self.admit(stream, address, at),
                Some(Err(error)) => self.pause_after(&error).await,
                None => return Ok(()),
            }
        }
    }

    /// Takes nobody while there is too much to do, but for those who must not be dropped.
    fn poll_accept(
        &self,
        socket: &TcpListener,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        if !self.closing.get() && self.worker.holds_back() {
            return Poll::Pending;
        }
        socket.poll_accept(cx)
    }

    async fn pause_after(&self, error: &io::Error) {
        self.shard.listener(self.id).refused(Refusal::AcceptError);
        // Errors of the one connection that was to be accepted are nobody else's business (accept(2)).
        if matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105)) {
            process::warn(
                "accepting pauses: the system is out of room",
                &[("error", error)],
            );
            let mut deadline = Deadline::new();
            deadline.set(now().plus(EXHAUSTED_PAUSE));
            deadline.expired().await;
        }
    }

    /// `at` is the local address, if it is known.
    fn admit(&self, stream: TcpStream, address: SocketAddr, at: Option<SocketAddr>) {
        let cells = self.shard.listener(self.id);
        let rules = self.rules.borrow();
        let proxy_protocol = rules.proxy_protocol;
        // Where a header names the client, that is who is counted, and not the proxy that all come through.
        let known = (!proxy_protocol).then(|| address.ip());
        let admitted = match self.admission.admit(known) {
            Ok(admitted) => admitted,
            Err(Refused::Listener) => return cells.refused(Refusal::ConnectionsMax),
            Err(Refused::Client) => return cells.refused(Refusal::ConnectionsPerClientMax),
        };
        let Ok(local) = at.map_or_else(|| stream.local_addr(), Ok) else {
            return cells.refused(Refusal::AcceptError);
        };
        if proxy_protocol && !self.worker.trusts(address.ip().to_canonical()) {
            preface::tell(Refusal::ProxyUntrusted, address);
            return cells.refused(Refusal::ProxyUntrusted);
        }
        cells.accepted.one();
        // Whether it is trusted is looked at when it is known who it is.
        let peer = Peer::new(address, local, rules.number);
        let (listener, client) = ((self.id, rules.number), peer.address);
        let enrolled = Enrolled::enter(&self.worker, listener, client, self.closing.get());
        let arrived = Arrived {
            socket: stream,
            peer,
            input: Chunk::default(),
            shard: Arc::clone(&self.shard),
            id: self.id,
            enrolled,
            admitted,
            protocols: rules.protocols,
        };
        let handler = Rc::clone(&self.handler);
        match &rules.mode {
            // The usual way, whose task is to be small.
            ListenerMode::Cleartext if !proxy_protocol => {
                spawn_local(arrived.in_cleartext().run(handler));
            }
            mode => {
                spawn_local(arrived.establish(proxy_protocol, mode.clone(), handler));
            }
        }
    }
}

/// The address that all connections to a listening socket have, so that none need be asked for it. There is none if it
/// listens on every address, or takes connections to addresses that are not its own (`IP_TRANSPARENT`, ip(7)).
fn only_address(socket: &TcpListener) -> Option<SocketAddr> {
    let address = socket.local_addr().ok()?;
    let options = SockRef::from(socket);
    let is_transparent = match address {
        SocketAddr::V4(_) => options.ip_transparent_v4(),
        SocketAddr::V6(_) => options.ip_transparent_v6(),
    };
    let is_only = !address.ip().is_unspecified() && is_transparent.is_ok_and(|on| !on);
    is_only.then_some(address)
}
