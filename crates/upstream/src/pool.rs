//! Connections to one endpoint, kept by one worker.

mod bounded;
mod waiting;

use crate::call::Http1;
use crate::connect::{self, ConnectFault, SocketOptions};
use crate::http2::{self, Http2, Lease};
use crate::seats::{Seat, Seats};
use foregate_balance::Endpoint;
use foregate_message::Congestion;
use foregate_telemetry::clock::{Moment, recent};
use foregate_telemetry::metrics::{EndpointCells, EndpointId, Shard};
use foregate_tls::{Alpn, Connector, Stream};
use foregate_wire::h2::Limits as Http2Limits;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
pub use waiting::Place;
use waiting::Waiting;

/// How long an endpoint that wants HTTP/1.1 is spoken to by nothing else; then it is asked again.
const HTTP1_REQUIRED_FOR: Duration = Duration::from_secs(600);

/// What the endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: agreed on in the TLS handshake, or known beforehand on cleartext (RFC 9113 §3.3).
    Http2,
    /// What the TLS handshake agrees on; HTTP/1.1 on cleartext.
    Auto,
}

/// What a new connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Requests.
    Requests,
    /// A request that asks for another protocol: where nothing was said against it, one of HTTP/1.1, since few
    /// backends take such requests in HTTP/2 (RFC 8441).
    Upgrade,
    /// Bytes that are passed on as they are.
    Bytes,
}

/// What bounds a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Idle connections kept.
    pub idle_max: usize,
    /// Whether there is a limit of open connections of all workers, idle ones included; it is kept with their [`Seats`].
    pub is_bounded: bool,
    /// Requests of this worker that may wait for a connection when as many as may be are busy.
    pub pending_max: usize,
    /// How long a connection may stay idle.
    pub idle_timeout: Duration,
    /// After how long a silence a backend is probed by the keep-alive of TCP, if it is.
    pub keep_alive: Option<Duration>,
    /// What controls how fast a backend is sent to.
    pub congestion: Congestion,
    /// After how many requests a connection is closed; `None` for no limit.
    pub requests_max: Option<u64>,
    /// The PROXY protocol version to open each connection with. Such a connection speaks for one client and is
    /// never kept.
    pub proxy_protocol: Option<u8>,
    /// What the endpoint is spoken to.
    pub protocol: Protocol,
    /// What bounds its connections of HTTP/2.
    pub http2: Http2Limits,
}

/// The connections of one worker to one endpoint. Outlives configurations: only its limits change.
#[derive(Debug)]
pub struct Pool {
    /// The endpoint's state, shared by all workers.
    pub endpoint: Arc<Endpoint>,
    /// Where it listens; `None` while its name does not resolve.
    pub address: Cell<Option<SocketAddr>>,
    id: EndpointId,
    shard: Arc<Shard>,
    /// How many connections all workers have, and who waits for one.
    seats: Arc<Seats>,
    /// This pool's part in that, while there is a bound.
    seat: RefCell<Option<Rc<Seat>>>,
    /// Whether a shared connection ends for another worker's sake.
    gives: Cell<bool>,
    limits: Cell<PoolLimits>,
    /// How TLS is spoken with the endpoint, if it is.
    connector: RefCell<Option<Arc<Connector>>>,
    /// In which way connections are made: another number with each change of that.
    way: Cell<u32>,
    idle: RefCell<Vec<Idle>>,
    /// Connections of HTTP/2 that may take requests.
    shared: RefCell<Vec<Rc<Http2>>>,
    open: Cell<usize>,
    /// Connections that are being opened and may turn out to be shared.
    dialling: Cell<usize>,
    /// Whether the last connection turned out to be shared, if one was opened.
    shares: Cell<Option<bool>>,
    /// Until when it is spoken to over HTTP/1.1 alone, since it has asked for that.
    http1_until: Cell<Option<Moment>>,
    waiting: Waiting,
    /// Nobody will ask for connections any more but exchanges that began before.
    is_retired: Cell<bool>,
    /// Whether the last answer's body was one to leave in the kernel: the next one's is likely to be.
    pub(crate) passes: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Http1>,
    since: Moment,
}

/// The right to one connection of a pool, given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    /// `None` once the connection has gone back to the idle ones, which stay counted.
    pool: Option<Rc<Pool>>,
    /// Whether a connection is being opened that others wait for.
    dialling: bool,
    /// In which way the connection is made: see [`Pool::way`].
    way: u32,
}

impl Ticket {
    #[inline]
    pub(crate) fn pool(&self) -> &Rc<Pool> {
        self.pool
            .as_ref()
            .expect("only check_in takes the pool, and it consumes the ticket")
    }

    /// The connection was opened, or won't be.
    fn dialled(&mut self) {
        if std::mem::take(&mut self.dialling)
            && let Some(pool) = &self.pool
        {
            pool.dialled();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.dialled();
        if let Some(pool) = &self.pool {
            pool.count_closed(1);
        }
    }
}

/// An open connection, ready for a request.
#[derive(Debug)]
pub struct Connection(pub(crate) Carrier);

/// What carries a request.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A connection of its own.
    Http1(Box<Http1>),
    /// A stream of a shared one.
    Http2(Lease),
}

/// What a pool can offer at once.
#[derive(Debug)]
pub enum Checkout {
    /// A connection that was idle, or has a place free.
    Reused(Connection),
    /// Room for a new one.
    Connect(Ticket),
    /// All are busy: wait.
    Full,
}

impl Pool {
    /// An empty pool.
    pub fn new(
        endpoint: Arc<Endpoint>,
        address: Option<SocketAddr>,
        id: EndpointId,
        shard: Arc<Shard>,
        seats: Arc<Seats>,
        limits: PoolLimits,
    ) -> Rc<Pool> {
        let pool = Rc::new(Pool {
            endpoint,
            address: Cell::new(address),
            id,
            shard,
            seats,
            seat: RefCell::default(),
            gives: Cell::new(false),
            limits: Cell::new(limits),
            connector: RefCell::default(),
            way: Cell::new(0),
            idle: RefCell::default(),
            shared: RefCell::default(),
            dialling: Cell::new(0),
            shares: Cell::new(None),
            http1_until: Cell::new(None),
            open: Cell::new(0),
            waiting: Waiting::default(),
            is_retired: Cell::new(false),
            passes: Cell::new(false),
        });
        if limits.is_bounded {
            pool.share(true);
        }
        pool
    }

    /// Takes a new configuration's limits.
    pub fn set_limits(self: &Rc<Pool>, limits: PoolLimits) {
        let before = self.limits.replace(limits);
        if before.is_bounded != limits.is_bounded {
            self.share(limits.is_bounded);
        }
        // Connections of another protocol, with other limits of their own, or opened with another header are not kept.
        let way = |limits: &PoolLimits| (limits.protocol, limits.http2, limits.proxy_protocol);
        if way(&before) != way(&limits) {
            self.shares.set(None);
            self.go_another_way();
        }
    }

    /// Takes a new configuration's way to speak TLS, or none. Connections that were made another way are not kept.
    pub fn set_connector(&self, connector: Option<Arc<Connector>>) {
        let before = self.connector.replace(connector);
        let is = |one: &Option<Arc<Connector>>| one.as_ref().map(Arc::as_ptr);
        if is(&before) != is(&self.connector.borrow()) {
            self.go_another_way();
        }
    }

    /// Keeps no connection that was made, or is being made, as they were until now.
    fn go_another_way(&self) {
        self.http1_until.set(None);
        self.way.set(self.way.get().wrapping_add(1));
        self.close_idle();
    }

    /// The endpoint's slot in the metrics.
    #[inline]
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// The endpoint's cells in this worker's shard.
    #[inline]
    pub fn cells(&self) -> &EndpointCells {
        self.shard.endpoint(self.id)
    }

    /// The most recently used idle connection that is still good, else the right to open one. `verify` asks the
    /// kernel too, for requests that could not be sent again. Nothing while others wait for the same: see [`Pool::join`].
    pub fn checkout(self: &Rc<Pool>, purpose: Use, verify: bool) -> Checkout {
        if !self.waiting.is_empty() && !self.waiting.is_free(self.lane(purpose)) {
            return Checkout::Full;
        }
        self.offer(purpose, verify)
    }

    /// What there is for whoever is first.
    fn offer(self: &Rc<Pool>, purpose: Use, verify: bool) -> Checkout {
        if let Some(lease) = self.lease(purpose) {
            self.cells().pool_hits.one();
            return Checkout::Reused(Connection(Carrier::Http2(lease)));
        }
        loop {
            let Some(mut idle) = self.idle.borrow_mut().pop() else {
                break;
            };
            idle.connection.ticket.pool = Some(Rc::clone(self));
            if !idle.is_good(verify) {
                continue;
            }
            self.cells().pool_hits.one();
            return Checkout::Reused(Connection(Carrier::Http1(idle.connection)));
        }
        // One that is on its way may have room for all that wait.
        if self.is_served_by_dialling() && !self.wants_http1(purpose) {
            return Checkout::Full;
        }
        self.seat_for_new()
            .map_or(Checkout::Full, Checkout::Connect)
    }

    /// A place on a shared connection.
    fn lease(&self, purpose: Use) -> Option<Lease> {
        let shared = self.shared.borrow();
        if shared.is_empty() || self.is_http1_required() {
            return None;
        }
        let wants_http1 = self.wants_http1(purpose);
        let requests_max = self.limits.get().requests_max;
        let found = shared
            .iter()
            .filter(|one| !wants_http1 || one.takes_upgrades())
            .find_map(|one| one.lease(requests_max));
        if found.is_none()
            && let Some(max) = requests_max
        {
            // Those that have carried enough are closed once their streams have ended.
            shared.iter().for_each(|one| one.retire_if_spent(max));
        }
        found
    }

    /// Whether a new connection for that is one of HTTP/1.1 although HTTP/2 may be spoken.
    fn wants_http1(&self, purpose: Use) -> bool {
        let may_choose = self.limits.get().protocol == Protocol::Auto;
        may_choose && (purpose == Use::Upgrade || self.is_http1_required())
    }

    fn is_http1_required(&self) -> bool {
        let until = self.http1_until.get();
        until.is_some_and(|until| recent() < until)
    }

    /// The endpoint has said that it wants requests by HTTP/1.1 (RFC 9113 §7). Whether it gets them so.
    pub(crate) fn require_http1(&self) -> bool {
        if self.limits.get().protocol != Protocol::Auto {
            return false;
        }
        self.http1_until
            .set(Some(recent().plus(HTTP1_REQUIRED_FOR)));
        let shared = std::mem::take(&mut *self.shared.borrow_mut());
        shared.iter().for_each(|one| one.retire());
        // Who waited for a place on them may open connections now.
        self.wake_all();
        true
    }

    /// Whether a connection that is being opened may turn out to be shared.
    fn may_share(&self) -> bool {
        let limits = self.limits.get();
        let may = match limits.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => {
                let may_agree = self.connector.borrow().is_some() && !self.is_http1_required();
                may_agree && self.shares.get() != Some(false)
            }
        };
        may && limits.proxy_protocol.is_none() && !self.is_retired.get()
    }

    fn ticket(self: &Rc<Pool>) -> Ticket {
        self.open.set(self.open.get() + 1);
        self.cells().connections.up();
        let dialling = self.may_share();
        if dialling {
            self.dialling.set(self.dialling.get() + 1);
        }
        Ticket {
            pool: Some(Rc::clone(self)),
            dialling,
            way: self.way.get(),
        }
    }

    /// A connection that others waited for is there, or won't be.
    pub(crate) fn dialled(&self) {
        self.dialling.set(self.dialling.get() - 1);
        self.wake_all();
    }

    /// A stream of a shared connection has ended.
    pub(crate) fn place_is_free(&self) {
        self.wake_one();
        self.give();
    }

    /// A shared connection is closed.
    pub(crate) fn forget(&self, gone: &Rc<Http2>) {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|one| !Rc::ptr_eq(one, gone));
    }

    /// Opens a connection. `client` and `local` are the two ends of the client's own connection, for the PROXY
    /// protocol. The caller keeps the time.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub async fn connect(
        mut ticket: Ticket,
        purpose: Use,
        client: SocketAddr,
        local: SocketAddr,
    ) -> Result<Connection, ConnectFault> {
        let pool = Rc::clone(ticket.pool());
        let address = pool.address.get().ok_or(ConnectFault::Unresolved)?;
        pool.cells().connects.one();
        let limits = pool.limits.get();
        let connector = pool.connector.borrow().clone();
        let label = pool.endpoint.label();
        let host = label.rsplit_once(':').map_or(label, |(host, _)| host);
        let tls = connector.as_deref().map(|connector| (connector, host));
        let http1_only = pool.wants_http1(purpose);
        let stream = connect::connect(
            address,
            SocketOptions {
                probed_after: limits.keep_alive,
                congestion: limits.congestion,
            },
            limits.proxy_protocol,
            tls,
            http1_only,
            client,
            local,
        )
        .await?;
        let shares = purpose != Use::Bytes && limits.protocol.shares(&stream)?;
        if !shares {
            if purpose == Use::Requests {
                pool.shares.set(Some(false));
            }
            ticket.dialled();
            return Ok(Connection(Carrier::Http1(Http1::new(stream, ticket))));
        }
        pool.shares.set(Some(true));
        // Nobody would look after a shared one of a pool that is kept no more; and others may want another way.
        let is_kept = !pool.is_retired.get() && ticket.way == pool.way.get();
        let exclusive = limits.proxy_protocol.is_some() || !is_kept;
        let dialling = std::mem::take(&mut ticket.dialling);
        let (shared, lease) =
            http2::begin(&pool, stream, ticket, limits.http2, exclusive, dialling);
        if !exclusive {
            pool.shared.borrow_mut().push(shared);
        }
        Ok(Connection(Carrier::Http2(lease)))
    }

    /// Takes a connection back whose last exchange ended in order.
    pub(crate) fn check_in(mut connection: Box<Http1>) {
        let Some(pool) = connection.ticket.pool.take() else {
            return;
        };
        let limits = pool.limits.get();
        let spent = (limits.requests_max).is_some_and(|max| connection.requests >= max);
        let is_given = limits.is_bounded && pool.must_give();
        let is_old = connection.ticket.way != pool.way.get();
        let is_kept = !spent && !is_given && !is_old && limits.proxy_protocol.is_none();
        if !is_kept || pool.idle.borrow().len() >= limits.idle_max {
            // Closed before it is counted out: another worker may open one at once.
            drop(connection);
            return pool.count_closed(1);
        }
        pool.idle.borrow_mut().push(Idle {
            connection,
            since: recent(),
        });
        pool.wake_one();
    }

    /// Closes idle connections that are too old or that the backend has closed; called now and then.
    pub fn sweep(&self, at: Moment) {
        let timeout = self.limits.get().idle_timeout;
        let before = self.idle.borrow().len();
        self.idle.borrow_mut().retain_mut(|idle| {
            let stays = at.since(idle.since) < timeout && idle.is_good(false);
            if !stays {
                idle.connection.stream.close_now();
            }
            stays
        });
        self.count_closed(before - self.idle.borrow().len());
        let shared: Vec<Rc<Http2>> = self.shared.borrow().clone();
        for one in shared {
            one.sweep(at, timeout);
        }
        self.spare(at);
    }

    /// Nobody will ask for connections any more: idle ones are closed now, the others when their exchanges end.
    pub fn retire(&self) {
        self.is_retired.set(true);
        let mut limits = self.limits.get();
        limits.idle_max = 0;
        self.limits.set(limits);
        self.close_idle();
    }

    /// Closes all idle connections, and shared ones once their streams have ended.
    pub fn close_idle(&self) {
        let shared = std::mem::take(&mut *self.shared.borrow_mut());
        shared.iter().for_each(|one| one.retire());
        let mut idle = std::mem::take(&mut *self.idle.borrow_mut());
        for idle in &mut idle {
            idle.connection.stream.close_now();
        }
        let count = idle.len();
        drop(idle);
        self.count_closed(count);
    }

    /// How many connections are idle.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }
}

impl Protocol {
    /// Whether a new connection is shared by streams.
    fn shares(self, stream: &Stream) -> Result<bool, ConnectFault> {
        let agreed = match stream {
            Stream::Plain(_) => self == Protocol::Http2,
            Stream::Tls(_) => stream.alpn() == Alpn::Http2,
        };
        if self == Protocol::Http2 && !agreed {
            return Err(ConnectFault::NoHttp2);
        }
        Ok(agreed && self != Protocol::Http1)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A pool that a reload has let go of may still be given connections back by exchanges that began before.
        self.close_idle();
    }
}

impl Idle {
    /// Whether the backend has neither closed the connection nor sent anything on it. Costs no system call unless
    /// the loop has seen something, or `verify` asks for one.
    fn is_good(&mut self, verify: bool) -> bool {
        self.connection.stream.is_quiet(verify)
    }
}

#[cfg(test)]
mod tests;
