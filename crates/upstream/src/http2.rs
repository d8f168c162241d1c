//! One connection of HTTP/2, shared by the exchanges of a worker with one endpoint.
//!
//! ```text
//!  call ─┐                                   ┌─ wakes ─► call
//!  call ─┼─► engine ─► Driver ─► socket ─────┤
//!  call ─┘                                   └─ wakes ─► call
//! ```
//! The driver is a task of its own, which alone touches the socket; calls queue in the engine and wake it. It runs
//! behind all of them, so that one write takes what all of them have queued.

use crate::pool::{Pool, Ticket};
use foregate_message::{Chunk, Reason, Scheme};
use foregate_telemetry::clock::{Deadline, Moment, now, recent};
use foregate_tls::{PeerAlert, Stream};
use foregate_wire::h2::{self, StreamKey};
use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;

/// With streams under way and nothing heard for so long, the backend is asked whether it is there: once in a silence,
/// since many take more for abuse. What is lost later in it is found out by the keep-alive of TCP.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// SETTINGS have not come for so long: who gives up then leaves nobody else waiting for them.
const SETTINGS_WITHIN: Duration = Duration::from_secs(1);

/// How often a connection that is alone looks at the time.
const ALONE_TICK: Duration = Duration::from_secs(1);

/// A connection and who waits for what on it.
#[derive(Debug)]
pub(crate) struct Http2 {
    engine: RefCell<h2::Connection>,
    /// By the engine's slots.
    wakers: RefCell<Vec<Option<Waker>>>,
    /// Those who wait for the backend's SETTINGS; no more than there are places.
    unsettled: RefCell<Vec<Waker>>,
    driver: RefCell<Option<Waker>>,
    driver_is_woken: Cell<bool>,
    /// Places that were promised to requests which have not opened their streams.
    promised: Cell<usize>,
    requests: Cell<u64>,
    /// Whether the backend has sent anything since the connection last began to carry streams after it was idle.
    has_spoken: Cell<bool>,
    scheme: Scheme,
    /// It speaks for one client and is not shared.
    exclusive: bool,
    /// Whether its pool does not look after it: it has let go of it, or never had it. Then its driver does.
    is_alone: Cell<bool>,
    idle_since: Cell<Moment>,
    heard: Cell<Moment>,
    gone: Cell<bool>,
    /// Whether others wait until the backend has said how many streams it takes.
    dialling: Cell<bool>,
    pool: Weak<Pool>,
}

/// The promise of a stream.
#[derive(Debug)]
pub(crate) struct Lease {
    /// `None` only while it is kept or given back.
    shared: Option<Rc<Http2>>,
    /// Whether the connection carried a request before.
    pub(crate) reused: bool,
}

impl Lease {
    pub(crate) fn shared(&self) -> &Rc<Http2> {
        let shared = self.shared.as_ref();
        shared.expect("only keeping it and giving it back take it, and both consume the lease")
    }

    /// The stream is being opened: the promise is kept, and no place comes free by that.
    pub(crate) fn keep(mut self) {
        if let Some(shared) = self.shared.take() {
            shared.promised.set(shared.promised.get() - 1);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.promised.set(shared.promised.get() - 1);
            // Nobody else will ever use it.
            if shared.exclusive && shared.streams() == 0 {
                shared.retire();
            }
            shared.forsake_if_unknown();
            shared.place_is_free();
        }
    }
}

/// Begins to speak HTTP/2 on a fresh connection, with a place for the one who asked for it. Others get places once the
/// backend has said how many streams it takes: what it refuses could not always be sent again.
pub(crate) fn begin(
    pool: &Rc<Pool>,
    stream: Stream,
    ticket: Ticket,
    limits: h2::Limits,
    exclusive: bool,
    dialling: bool,
) -> (Rc<Http2>, Lease) {
    let at = now();
    let shared = Rc::new(Http2 {
        engine: RefCell::new(h2::Connection::client(limits, at.millis())),
        wakers: RefCell::default(),
        unsettled: RefCell::default(),
        driver: RefCell::default(),
        driver_is_woken: Cell::new(false),
        promised: Cell::new(0),
        requests: Cell::new(0),
        has_spoken: Cell::new(false),
        scheme: match stream {
            Stream::Plain(_) => Scheme::Http,
            Stream::Tls(_) => Scheme::Https,
        },
        exclusive,
        is_alone: Cell::new(exclusive),
        idle_since: Cell::new(at),
        heard: Cell::new(at),
        gone: Cell::new(false),
        dialling: Cell::new(dialling),
        pool: Rc::downgrade(pool),
    });
    let lease = shared.promise();
    let mut driver = Driver {
        shared: Rc::clone(&shared),
        stream,
        input: Chunk::default(),
        alone: None,
        _ticket: ticket,
    };
    foregate_eventloop::spawn_local(
        async move { std::future::poll_fn(|cx| driver.poll(cx)).await },
    );
    (shared, lease)
}

impl Http2 {
    /// A place for a request, if there is one.
    pub(crate) fn lease(self: &Rc<Http2>, requests_max: Option<u64>) -> Option<Lease> {
        self.has_place(requests_max).then(|| self.promise())
    }

    /// Whether there is a place. A connection that has carried `requests_max` carries no more.
    pub(crate) fn has_place(&self, requests_max: Option<u64>) -> bool {
        let spent = requests_max.is_some_and(|max| self.requests.get() >= max);
        if spent || self.gone.get() {
            return false;
        }
        let engine = self.engine.borrow();
        engine.is_peer_known() && engine.streams_free() > self.promised.get()
    }

    fn promise(self: &Rc<Http2>) -> Lease {
        let requests = self.requests.get();
        if self.streams() == 0 {
            self.has_spoken.set(false);
        }
        self.promised.set(self.promised.get() + 1);
        self.requests.set(requests + 1);
        Lease {
            shared: Some(Rc::clone(self)),
            reused: requests > 0,
        }
    }

    /// The engine. No borrow is held across a call that could take it again.
    #[inline]
    pub(crate) fn engine(&self) -> RefMut<'_, h2::Connection> {
        self.engine.borrow_mut()
    }

    /// Whether the backend has said that it takes extended CONNECT.
    pub(crate) fn takes_upgrades(&self) -> bool {
        self.engine.borrow().takes_extended_connect()
    }

    /// How many streams it carries or has promised.
    pub(crate) fn streams(&self) -> usize {
        self.engine.borrow().streams_held() + self.promised.get()
    }

    /// Whether a request is about to open a stream on it.
    pub(crate) fn is_promised(&self) -> bool {
        self.promised.get() > 0
    }

    /// Since when it has been idle, if it is.
    pub(crate) fn idle_since(&self) -> Option<Moment> {
        (self.streams() == 0).then(|| self.idle_since.get())
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether the backend has said nothing since the connection was idle: it may have been closed before that ended.
    pub(crate) fn is_silent_since_rest(&self) -> bool {
        !self.has_spoken.get()
    }

    /// Whether the connection is closed.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// A stream was opened.
    pub(crate) fn opened(&self, key: StreamKey) {
        let mut wakers = self.wakers.borrow_mut();
        if wakers.len() <= key.slot() {
            wakers.resize(key.slot() + 1, None);
        }
        self.wake_driver();
    }

    /// Has the task woken when something changes about the stream.
    #[inline]
    pub(crate) fn watch(&self, key: StreamKey, cx: &mut Context<'_>) {
        if let Some(place) = self.wakers.borrow_mut().get_mut(key.slot()) {
            keep(place, cx);
        }
    }

    /// Has the task woken when the backend's SETTINGS have come, or never will.
    pub(crate) fn wait_for_settings(&self, cx: &mut Context<'_>) {
        let mut unsettled = self.unsettled.borrow_mut();
        if !unsettled.iter().any(|waker| waker.will_wake(cx.waker())) {
            unsettled.push(cx.waker().clone());
        }
    }

    /// Lets go of a stream.
    pub(crate) fn release(self: &Rc<Http2>, key: StreamKey) {
        if let Some(place) = self.wakers.borrow_mut().get_mut(key.slot()) {
            *place = None;
        }
        let (is_idle, is_ending) = {
            let mut engine = self.engine();
            engine.release(key);
            let is_idle = engine.streams_held() == 0;
            if is_idle && self.exclusive {
                engine.drain(recent().millis());
            }
            (is_idle, engine.is_ending())
        };
        if is_idle {
            self.idle_since.set(recent());
        }
        if is_ending || !self.engine().is_written() {
            self.wake_driver();
        }
        self.forsake_if_unknown();
        self.place_is_free();
    }

    /// There may be room for another request, or none is needed any more.
    pub(crate) fn place_is_free(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.place_is_free();
        }
    }

    /// Has the driver look at what was queued.
    #[inline]
    pub(crate) fn wake_driver(&self) {
        if !self.driver_is_woken.replace(true)
            && let Some(driver) = &*self.driver.borrow()
        {
            driver.wake_by_ref();
        }
    }

    /// The backend wants HTTP/1.1. Whether its pool may speak that to it.
    pub(crate) fn require_http1(&self) -> bool {
        let pool = self.pool.upgrade();
        pool.is_some_and(|pool| pool.require_http1())
    }

    /// Opens no more streams, and closes once those that are open have ended; until then it looks after itself.
    pub(crate) fn retire(&self) {
        self.is_alone.set(true);
        self.engine().drain(recent().millis());
        self.wake_driver();
    }

    /// When the backend was last heard: another moment with whatever comes of it.
    #[inline]
    pub(crate) fn heard(&self) -> Moment {
        self.heard.get()
    }

    /// Nobody is heard on it: those who come get another one, and what is under way on it goes on.
    #[cold]
    pub(crate) fn forsake(self: &Rc<Http2>) {
        if self.is_alone.get() {
            return;
        }
        self.retire();
        if let Some(pool) = self.pool.upgrade() {
            pool.forget(self);
        }
        self.dialled();
    }

    /// [`Http2::forsake`] for a connection whose backend has said nothing since it was dialled, now that the request for
    /// which it was is gone. A client that leaves at once says nothing about its backend.
    #[inline]
    fn forsake_if_unknown(self: &Rc<Http2>) {
        if self.dialling.get() && now().since(self.heard.get()) >= SETTINGS_WITHIN {
            self.forsake();
        }
    }

    /// [`Http2::retire`] for a connection that has carried as many requests as it may.
    pub(crate) fn retire_if_spent(&self, requests_max: u64) {
        if self.requests.get() >= requests_max && !self.engine().is_ending() {
            self.retire();
        }
    }

    /// Closes a connection that has been idle for too long, and asks a quiet one whether it is alive; called about once a
    /// second, by its pool or its driver.
    pub(crate) fn sweep(&self, at: Moment, idle_timeout: Duration) {
        {
            let mut engine = self.engine();
            let is_idle = engine.streams_held() == 0 && self.promised.get() == 0;
            if engine.tick(at.millis()).is_ok() {
                if is_idle && at.since(self.idle_since.get()) >= idle_timeout {
                    engine.drain(at.millis());
                } else if is_idle {
                    engine.rest();
                } else if at.since(self.heard.get()) >= QUIET_MAX {
                    engine.ping(at.millis());
                }
            }
        }
        self.wake_ready();
        self.wake_driver();
    }

    /// Wakes the calls about whose streams something has changed.
    fn wake_ready(&self) {
        let mut engine = self.engine();
        let wakers = self.wakers.borrow();
        while let Some(key) = engine.next_ready() {
            if let Some(Some(waker)) = wakers.get(key.slot()) {
                waker.wake_by_ref();
            }
        }
    }

    /// How many streams the backend takes is known, or will never be.
    fn dialled(&self) {
        if self.dialling.replace(false)
            && let Some(pool) = self.pool.upgrade()
        {
            pool.dialled();
        }
    }

    fn wake_unsettled(&self) {
        for waker in std::mem::take(&mut *self.unsettled.borrow_mut()) {
            waker.wake();
        }
    }
}

/// Keeps the waker of a task, which hardly ever is another than before.
#[inline]
fn keep(place: &mut Option<Waker>, cx: &mut Context<'_>) {
    match place {
        Some(known) if known.will_wake(cx.waker()) => {}
        place => *place = Some(cx.waker().clone()),
    }
}

/// The task that moves the bytes of a connection.
struct Driver {
    shared: Rc<Http2>,
    stream: Stream,
    input: Chunk,
    /// When it is to look at the time next, once nobody else does.
    alone: Option<Box<Deadline>>,
    /// Given back when the connection is closed.
    _ticket: Ticket,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.driver_is_woken.set(false);
        keep(&mut self.shared.driver.borrow_mut(), cx);
        if self.shared.is_alone.get() {
            self.look_after(cx);
        }
        let ended = self.advance(cx);
        self.shared.wake_ready();
        let finished = self.shared.engine().is_finished();
        match ended {
            Poll::Pending if !finished => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Streams of a connection that its pool has let go of may be under way for long: a backend that is silent or gone is
    /// found out all the same.
    #[cold]
    fn look_after(&mut self, cx: &mut Context<'_>) {
        let deadline = match &mut self.alone {
            Some(deadline) => deadline,
            None => {
                let mut deadline = Box::new(Deadline::new());
                deadline.set(now().plus(ALONE_TICK));
                self.alone.insert(deadline)
            }
        };
        if deadline.poll_expired(cx).is_ready() {
            let at = now();
            self.shared.sweep(at, Duration::MAX);
            deadline.set(at.plus(ALONE_TICK));
            // To be woken by it.
            let _ = deadline.poll_expired(cx);
        }
    }

    /// Reads and writes as far as the socket goes; ready once it goes no further.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.write(cx).is_err() {
                return Poll::Ready(());
            }
            // GOAWAY is out, or the backend does not read: it is not waited for (RFC 9113 §5.4.1).
            if self.shared.engine().failure().is_some() {
                return Poll::Ready(());
            }
            if self.shared.engine().is_congested() {
                return Poll::Pending;
            }
            if self.receive() {
                continue;
            }
            match ready!((self.stream).poll_fill(&mut self.input, false, usize::MAX, cx)) {
                Ok(1..) => {
                    self.shared.heard.set(recent());
                    self.shared.has_spoken.set(true);
                    self.receive();
                    self.shared.wake_ready();
                }
                Err(error) if PeerAlert::of(&error).is_some() => {
                    self.shared.engine().lost(Reason::UpstreamTlsFailed);
                    return Poll::Ready(());
                }
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Takes what has come; whether anything was taken.
    fn receive(&mut self) -> bool {
        let before = self.input.len();
        if before == 0 {
            return false;
        }
        let at_ms = now().millis();
        loop {
            let event = self.shared.engine().receive(&mut self.input, at_ms);
            match event {
                Ok(Some(h2::Event::Settings)) => {
                    self.shared.wake_unsettled();
                    self.shared.dialled();
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                // GOAWAY is queued, and the streams know; nothing more is read.
                Err(_) => self.input = Chunk::default(),
            }
            if self.shared.engine().failure().is_some() {
                break;
            }
        }
        self.input.len() < before
    }

    /// Writes what is queued, as far as the socket takes it.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut engine = self.shared.engine();
        loop {
            let output = engine.output();
            if output.is_empty() {
                return Ok(());
            }
            match Pin::new(&mut self.stream).poll_write(cx, output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(bytes)) => engine.wrote(bytes),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.gone.set(true);
        self.shared.engine().closed_by_peer();
        self.shared.wake_ready();
        self.shared.wake_unsettled();
        if let Some(pool) = self.shared.pool.upgrade() {
            pool.forget(&self.shared);
        }
        self.shared.dialled();
    }
}
