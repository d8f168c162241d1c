//! What the connections of one worker share.

use crate::roll::{Closing, ConnectionNote, Roll, Survey, Which};
use foregate_telemetry::clock::{Moment, deadlines};
use foregate_telemetry::metrics::Registry;
use foregate_wire::h1::{BodyLimits, HeadLimits};
use foregate_wire::h2;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

/// What clients may do.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Of each request's head.
    pub head: HeadLimits,
    /// Of each request's body, unless its route says otherwise.
    pub body: BodyLimits,
    /// After how many requests a connection is closed; `None` for no limit.
    pub requests_per_connection_max: Option<u32>,
    /// From a request's first byte to its complete head, and from a connection's start to its first request's.
    pub head_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Bytes of body a second that a client must keep up, averaged over `body_rate_grace`; `None` for any rate.
    pub body_rate_min: Option<u64>,
    /// Over how long the rate is averaged.
    pub body_rate_grace: Duration,
    /// How long a client may leave an answer unread.
    pub write_timeout: Duration,
    /// How long a client that has closed its sending side still waits for an answer, or for more of it.
    pub half_close_timeout: Duration,
    /// Points that a connection of HTTP/1 may spend on abuse, at once and in a minute; `http2` says it for one of HTTP/2.
    pub abuse_points_max: u32,
    /// How long a client whose request was not read to its end has to take the answer and close.
    pub linger_timeout: Duration,
    /// Of connections that speak HTTP/2; its limits on heads and trailers are those of above.
    pub http2: h2::Limits,
}

/// Whether an address is a trusted proxy's.
pub type Trusts = Box<dyn Fn(IpAddr) -> bool>;

/// The state that all connections of one worker share. Settings are replaced at reload; a connection takes them up
/// with its next request.
pub struct Worker {
    limits: RefCell<Rc<ClientLimits>>,
    trusts: RefCell<Trusts>,
    /// Another number with each change of settings.
    edition: Cell<u32>,
    roll: Roll,
    /// Who waits for the last connection to close.
    empty_waker: RefCell<Option<Waker>>,
    registry: Arc<Registry>,
    random: Cell<u64>,
    patient: Cell<bool>,
    trimming: Cell<bool>,
    pause_above: OnceCell<Arc<AtomicUsize>>,
    /// Whether somebody who waits for the pause to end has not been woken.
    held: Cell<bool>,
}

impl Worker {
    /// A worker without connections. `seed` is where its random numbers begin.
    pub fn new(
        limits: ClientLimits,
        trusts: Trusts,
        registry: Arc<Registry>,
        seed: u64,
    ) -> Rc<Worker> {
        Rc::new(Worker {
            limits: RefCell::new(Rc::new(limits)),
            trusts: RefCell::new(trusts),
            edition: Cell::new(0),
            roll: Roll::default(),
            empty_waker: RefCell::default(),
            registry,
            random: Cell::new(seed),
            patient: Cell::new(false),
            trimming: Cell::new(false),
            pause_above: OnceCell::new(),
            held: Cell::new(false),
        })
    }

    /// The limits in force.
    #[inline]
    pub fn limits(&self) -> Rc<ClientLimits> {
        Rc::clone(&self.limits.borrow())
    }

    /// Whether an address is a trusted proxy's.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        (self.trusts.borrow())(address)
    }

    /// Which settings are in force: a connection that took up others has to look again at what it made of them.
    #[inline]
    pub(crate) fn edition(&self) -> u32 {
        self.edition.get()
    }

    /// Takes new settings.
    pub fn set(&self, limits: ClientLimits, trusts: Trusts) {
        *self.limits.borrow_mut() = Rc::new(limits);
        *self.trusts.borrow_mut() = trusts;
        self.edition.set(self.edition.get().wrapping_add(1));
    }

    /// Whether a connection that waits for a request while its listener closes may bring one more, whose answer tells
    /// its client to connect anew. Else it is closed at once; a request that is on its way just then is lost.
    pub fn set_patient(&self, patient: bool) {
        self.patient.set(patient);
    }

    pub(crate) fn is_patient(&self) -> bool {
        self.patient.get()
    }

    /// Whether connections that wait for a request are closed. The worker's deadlines must be woken when that changes
    /// (`deadlines::wake_all`).
    pub fn set_trimming(&self, trimming: bool) {
        self.trimming.set(trimming);
    }

    /// Above how many open connections new ones are left to wait in the system's queue: read before each is accepted, so
    /// that a flood is stopped at once. [`Worker::end_pause`] must be called when it rises.
    pub fn heed_pause(&self, above: Arc<AtomicUsize>) {
        // Told a second time: the first is kept, since there is one for the life of the process.
        let _ = self.pause_above.set(above);
    }

    /// Whether new connections are left to wait. Who hears so is woken by [`Worker::end_pause`].
    pub(crate) fn holds_back(&self) -> bool {
        let paused = self.is_paused();
        if paused {
            self.held.set(true);
        }
        paused
    }

    /// Lets those go on who were held back by a pause that has ended; called now and then, since nobody else may notice
    /// its end.
    pub fn end_pause(&self) {
        if !self.is_paused() && self.held.replace(false) {
            deadlines::wake_all();
        }
    }

    pub(crate) fn is_trimming(&self) -> bool {
        self.trimming.get()
    }

    pub(crate) fn is_paused(&self) -> bool {
        let above = self.pause_above.get();
        above.is_some_and(|above| self.roll.len() > above.load(Ordering::Relaxed))
    }

    /// Waits until no client connection is open.
    pub async fn emptied(&self) {
        poll_fn(|cx| {
            if self.roll.len() == 0 {
                return Poll::Ready(());
            }
            *self.empty_waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// How many client connections are open.
    pub fn connections(&self) -> usize {
        self.roll.len()
    }

    /// The open connections that are asked for.
    pub fn survey(&self, which: &Which) -> Survey {
        self.roll.survey(which)
    }

    /// Has the connection of this number end: after what runs on it, or `at_once`. How it was until then; `None` when it
    /// is not open.
    pub fn close(&self, sequence: u64, at_once: bool) -> Option<ConnectionNote> {
        let how = match at_once {
            true => Closing::Now,
            false => Closing::Operator,
        };
        self.roll.close(sequence, how)
    }

    /// Has some of a listener's connections that wait for a request look whether what they take is wanted for others:
    /// `count` at most, others with each call.
    pub fn look_for_spare(&self, listener: u32, count: usize) {
        self.roll.wake_waiting(listener, count);
    }

    /// Has the connections of a listener end as they come to rest. The worker's deadlines must be woken then
    /// (`deadlines::wake_all`).
    pub fn end_connections(&self, listener: u32) {
        self.roll.end_listener(listener);
    }

    /// Breaks off what still runs on a listener's connections that were opened until then and told to end.
    pub fn cut_connections(&self, listener: u32, opened_until: Moment) {
        self.roll.cut_listener(listener, opened_until);
    }

    /// Breaks off connections on which no request has begun to be served: half handshakes and half heads, of which the latter
    /// are answered.
    pub fn cut_beginnings(&self) {
        self.roll.cut_beginnings();
    }

    pub(crate) fn roll(&self) -> &Roll {
        &self.roll
    }

    /// No connection is open any more.
    pub(crate) fn is_emptied(&self) {
        if let Some(waker) = self.empty_waker.take() {
            waker.wake();
        }
    }

    /// Random enough for what must differ and need not be secret (SplitMix64).
    pub(crate) fn random(&self) -> [u64; 2] {
        [(); 2].map(|()| {
            let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.random.set(state);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    /// Counts a panic, which ended one connection and nothing else.
    pub(crate) fn panicked(&self) {
        self.registry.panic_caught();
    }
}
