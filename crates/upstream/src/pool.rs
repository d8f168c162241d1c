//! Connections to one endpoint, kept by one worker.

use crate::connect::{self, ConnectFault};
use foregate_balance::Endpoint;
use foregate_message::Reason;
use foregate_telemetry::clock::{Moment, recent};
use foregate_telemetry::metrics::{EndpointCells, EndpointId, Shard};
use foregate_tls::{Connector, Stream};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What bounds a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Idle connections kept.
    pub idle_max: usize,
    /// Open connections, idle ones included; `None` for no limit.
    pub open_max: Option<usize>,
    /// Requests that may wait for a connection when `open_max` are busy.
    pub pending_max: usize,
    /// How long a connection may stay idle.
    pub idle_timeout: Duration,
    /// After how many requests a connection is closed; `None` for no limit.
    pub requests_max: Option<u64>,
    /// The PROXY protocol version to open each connection with. Such a connection speaks for one client and is
    /// never kept.
    pub proxy_protocol: Option<u8>,
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
    limits: Cell<PoolLimits>,
    /// How TLS is spoken with the endpoint, if it is.
    connector: RefCell<Option<Arc<Connector>>>,
    idle: RefCell<Vec<Idle>>,
    open: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Moment,
    requests: u64,
}

#[derive(Debug, Default)]
struct Waiter {
    woken: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The right to one connection of a pool, given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    /// `None` once the connection has gone back to the idle ones, which stay counted.
    pool: Option<Rc<Pool>>,
}

impl Ticket {
    fn pool(&self) -> &Rc<Pool> {
        self.pool
            .as_ref()
            .expect("only check_in takes the pool, and it consumes the ticket")
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.count_closed(1);
        }
    }
}

/// An open connection, ready for a request.
#[derive(Debug)]
pub struct Connection {
    pub(crate) stream: Stream,
    pub(crate) ticket: Ticket,
    pub(crate) requests: u64,
    /// Whether an earlier request used it, so that its end may have come unseen.
    pub(crate) reused: bool,
}

impl Connection {
    /// Whether an earlier request used it, so that the backend may have closed it unseen.
    pub fn is_reused(&self) -> bool {
        self.reused
    }
}

/// What a pool can offer at once.
#[derive(Debug)]
pub enum Checkout {
    /// A connection that was idle.
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
        limits: PoolLimits,
    ) -> Rc<Pool> {
        Rc::new(Pool {
            endpoint,
            address: Cell::new(address),
            id,
            shard,
            limits: Cell::new(limits),
            connector: RefCell::default(),
            idle: RefCell::default(),
            open: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// Takes a new configuration's limits.
    pub fn set_limits(&self, limits: PoolLimits) {
        self.limits.set(limits);
    }

    /// Takes a new configuration's way to speak TLS, or none. Connections that were made another way are not kept.
    pub fn set_connector(&self, connector: Option<Arc<Connector>>) {
        let before = self.connector.replace(connector);
        let same = match (&before, &*self.connector.borrow()) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !same {
            self.close_idle();
        }
    }

    /// The endpoint's cells in this worker's shard.
    #[inline]
    pub fn cells(&self) -> &EndpointCells {
        self.shard.endpoint(self.id)
    }

    /// The most recently used idle connection that is still good, else the right to open one. `verify` asks the
    /// kernel too, for requests that could not be sent again.
    pub fn checkout(self: &Rc<Pool>, verify: bool) -> Checkout {
        loop {
            let Some(mut idle) = self.idle.borrow_mut().pop() else {
                break;
            };
            let ticket = Ticket {
                pool: Some(Rc::clone(self)),
            };
            if !idle.is_good(verify) {
                continue;
            }
            self.cells().pool_hits.one();
            return Checkout::Reused(Connection {
                stream: idle.stream,
                ticket,
                requests: idle.requests,
                reused: true,
            });
        }
        self.fresh().map_or(Checkout::Full, Checkout::Connect)
    }

    fn ticket(self: &Rc<Pool>) -> Ticket {
        self.open.set(self.open.get() + 1);
        self.cells().connections.up();
        Ticket {
            pool: Some(Rc::clone(self)),
        }
    }

    /// Waits until a connection has come free; then `checkout` is worth another try.
    ///
    /// # Errors
    /// [`Reason::PendingFull`] when too many wait already.
    pub async fn wait(self: &Rc<Pool>) -> Result<(), Reason> {
        if self.waiting.borrow().len() >= self.limits.get().pending_max {
            return Err(Reason::PendingFull);
        }
        let waiter = Rc::new(Waiter::default());
        self.waiting.borrow_mut().push_back(Rc::clone(&waiter));
        let mut place = Place {
            pool: Rc::clone(self),
            waiter,
            served: false,
        };
        std::future::poll_fn(|cx| place.poll(cx)).await;
        Ok(())
    }

    fn wake_one(&self) {
        if let Some(waiter) = self.waiting.borrow_mut().pop_front() {
            waiter.woken.set(true);
            if let Some(waker) = waiter.waker.take() {
                waker.wake();
            }
        }
    }

    /// The right to a new connection, past the idle ones; `None` when the pool is full.
    pub fn fresh(self: &Rc<Pool>) -> Option<Ticket> {
        let full = (self.limits.get().open_max).is_some_and(|max| self.open.get() >= max);
        (!full).then(|| {
            self.cells().pool_misses.one();
            self.ticket()
        })
    }

    /// Opens a connection. `client` and `local` are the two ends of the client's own connection, for the PROXY
    /// protocol. The caller keeps the time.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub async fn connect(
        ticket: Ticket,
        client: SocketAddr,
        local: SocketAddr,
    ) -> Result<Connection, ConnectFault> {
        let pool = ticket.pool();
        let address = pool.address.get().ok_or(ConnectFault::Unresolved)?;
        pool.cells().connects.one();
        let proxy_protocol = pool.limits.get().proxy_protocol;
        let connector = pool.connector.borrow().clone();
        let label = pool.endpoint.label();
        let host = label.rsplit_once(':').map_or(label, |(host, _)| host);
        let tls = connector.as_deref().map(|connector| (connector, host));
        let stream = connect::connect(address, proxy_protocol, tls, client, local).await?;
        Ok(Connection {
            stream,
            ticket,
            requests: 0,
            reused: false,
        })
    }

    /// Takes a connection back whose last exchange ended in order.
    pub(crate) fn check_in(connection: Connection) {
        let Connection {
            stream,
            mut ticket,
            requests,
            ..
        } = connection;
        let Some(pool) = ticket.pool.take() else {
            return;
        };
        let limits = pool.limits.get();
        let requests = requests + 1;
        let spent = limits.requests_max.is_some_and(|max| requests >= max);
        if spent || limits.proxy_protocol.is_some() || pool.idle.borrow().len() >= limits.idle_max {
            return pool.count_closed(1);
        }
        pool.idle.borrow_mut().push(Idle {
            stream,
            since: recent(),
            requests,
        });
        pool.wake_one();
    }

    /// Closes idle connections that are too old or that the backend has closed; called now and then.
    pub fn sweep(&self, at: Moment) {
        let timeout = self.limits.get().idle_timeout;
        let before = self.idle.borrow().len();
        self.idle
            .borrow_mut()
            .retain_mut(|idle| at.since(idle.since) < timeout && idle.is_good(false));
        self.count_closed(before - self.idle.borrow().len());
    }

    /// Closes all idle connections.
    pub fn close_idle(&self) {
        let closed = std::mem::take(&mut *self.idle.borrow_mut()).len();
        self.count_closed(closed);
    }

    fn count_closed(&self, closed: usize) {
        self.open.set(self.open.get() - closed);
        for _ in 0..closed {
            self.cells().connections.down();
            self.wake_one();
        }
    }

    /// How many connections are idle.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
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
    /// the reactor has seen something, or `verify` asks for one.
    fn is_good(&mut self, verify: bool) -> bool {
        self.stream.is_quiet(verify)
    }
}

/// A place in the queue for a connection.
struct Place {
    pool: Rc<Pool>,
    waiter: Rc<Waiter>,
    served: bool,
}

impl Place {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiter.woken.get() {
            self.served = true;
            return Poll::Ready(());
        }
        *self.waiter.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.served {
            return;
        }
        // Who leaves the queue passes a turn that came too late on to the next.
        if self.waiter.woken.get() {
            self.pool.wake_one();
        } else {
            let mut waiting = self.pool.waiting.borrow_mut();
            waiting.retain(|other| !Rc::ptr_eq(other, &self.waiter));
        }
    }
}
