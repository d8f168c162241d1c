//! Roll: which connections of a worker are open, for operators who look at them and who end them.
//!
//! A connection is entered when it is accepted and struck out when it is dropped. What changes with each request are
//! plain cells of its entry: nobody pays for being looked at until somebody looks.

mod note;

pub use note::{
    Closing, ConnectionNote, ConnectionState, ExchangeNote, Protocol, Survey, TlsNote, Which,
};

use crate::worker::Worker;
use foregate_message::{FieldId, Reason, ResponseHead, TlsFacts};
use foregate_telemetry::clock::{Moment, now};
use foregate_telemetry::metrics::ListenerId;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Exchanges that are shown of one connection; how many there are is always whole.
const EXCHANGES_SHOWN_MAX: usize = 8;

/// What a connection is about, beside its requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The PROXY protocol header is read.
    ProxyHeader,
    /// The TLS handshake is held.
    Handshake,
    /// The name that TLS asks for is read.
    Hello,
    /// Requests or bytes come and go.
    Open,
    /// The client has time to take its last answer.
    Lingering,
}

/// Where an exchange goes, by the numbers of those who count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) route: u32,
    pub(crate) endpoint: u32,
}

impl Place {
    /// Nowhere yet.
    pub(crate) const NONE: Place = Place {
        route: u32::MAX,
        endpoint: u32::MAX,
    };
}

/// An exchange that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) began: Moment,
    pub(crate) place: Place,
}

impl Running {
    /// An exchange of which nothing is known but its beginning.
    fn since(began: Moment) -> Running {
        Running {
            began,
            place: Place::NONE,
        }
    }
}

/// The exchanges of a connection.
#[derive(Debug)]
struct Exchanges {
    /// The last one of HTTP/1, or the bytes that are passed on.
    own: Running,
    /// Those of HTTP/2, by the engine's slots.
    streams: Vec<Option<Running>>,
}

impl Default for Exchanges {
    fn default() -> Exchanges {
        Exchanges {
            own: Running::since(Moment::NEVER),
            streams: Vec::new(),
        }
    }
}

/// A client's address in as few bytes as it has. Of a link-local one the interface is not kept.
#[derive(Clone, Copy)]
struct ClientAddress {
    /// An IPv4 address as one of IPv6 (RFC 4291 §2.5.5.2).
    ip: [u8; 16],
    port: u16,
}

impl ClientAddress {
    fn of(address: SocketAddr) -> ClientAddress {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        ClientAddress {
            ip: ip.octets(),
            port: address.port(),
        }
    }

    fn address(self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.ip).to_canonical(), self.port)
    }
}

/// An open connection, as operators see it. There is one for each that rests, so that it is small: with what counts the
/// references to it, and what the allocator adds, 112 bytes, which is what lies free between two of the aligned blocks that
/// the runtime has for each socket and task.
pub(crate) struct Entry {
    sequence: u64,
    /// Its place among the entries.
    slot: u32,
    listener: ListenerId,
    /// The listener's number in the snapshot.
    number: u32,
    opened: Moment,
    client: Cell<ClientAddress>,
    phase: Cell<Phase>,
    protocol: Cell<Protocol>,
    closing: Cell<Closing>,
    /// Twice the requests that were served, and one more while HTTP/1 serves another.
    steps: Cell<u32>,
    /// Whether the head of the next request is here in part.
    is_in_head: Cell<bool>,
    /// A word, and nothing more at rest.
    exchanges: Cell<Option<Box<Exchanges>>>,
    tls: OnceCell<Box<TlsNote>>,
    waker: OnceCell<Waker>,
}

impl Entry {
    /// Whether the connection is to come to its end.
    #[inline]
    pub(crate) fn closing(&self) -> Closing {
        self.closing.get()
    }

    /// Whether it is to end whatever runs on it.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        self.closing.get() >= Closing::Drained
    }

    /// Why what runs on it is broken off, once [`Entry::is_cut`].
    #[cold]
    pub(crate) fn cut_reason(&self) -> Reason {
        match self.closing.get() {
            Closing::Drained => Reason::Draining,
            _ => Reason::ClosedByOperator,
        }
    }

    /// A request's head is complete.
    #[inline]
    pub(crate) fn begin(&self, at: Moment) {
        self.steps.set(self.steps.get().wrapping_add(1));
        self.is_in_head.set(false);
        let mut exchanges = self.exchanges.take().unwrap_or_default();
        exchanges.own = Running::since(at);
        self.exchanges.set(Some(exchanges));
    }

    /// The request was served.
    #[inline]
    pub(crate) fn end(&self) {
        self.steps.set(self.steps.get().wrapping_add(1));
    }

    /// The exchange goes there.
    #[inline]
    pub(crate) fn going_to(&self, place: Place) {
        let mut exchanges = self.exchanges.take();
        if let Some(exchanges) = &mut exchanges {
            exchanges.own.place = place;
        }
        self.exchanges.set(exchanges);
    }

    /// A head is here in part.
    #[cold]
    pub(crate) fn reads_head(&self) {
        self.is_in_head.set(true);
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.protocol.set(protocol);
    }

    /// The client is somebody else than who holds the socket.
    pub(crate) fn set_client(&self, client: SocketAddr) {
        self.client.set(ClientAddress::of(client));
    }

    pub(crate) fn set_tls(&self, facts: &TlsFacts) {
        // There is one handshake in a connection's life.
        let _ = self.tls.set(Box::new(TlsNote::of(facts)));
    }

    /// Bytes are passed on from now on, in a protocol that was switched to.
    pub(crate) fn became_tunnel(&self, answer: &ResponseHead) {
        let protocol = answer.fields.get(FieldId::Upgrade);
        let is_websocket =
            protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        self.protocol.set(match is_websocket {
            true => Protocol::WebSocket,
            false => Protocol::Tunnel,
        });
    }

    /// Passes bytes on from its beginning.
    pub(crate) fn passes(&self) {
        self.set_phase(Phase::Open);
        self.set_protocol(Protocol::Tcp);
        self.begin(now());
    }

    /// A stream's request is being served.
    pub(crate) fn begin_stream(&self, slot: usize, at: Moment) {
        let mut exchanges = self.exchanges.take().unwrap_or_default();
        let streams = &mut exchanges.streams;
        if streams.len() <= slot {
            streams.resize(slot + 1, None);
        }
        streams[slot] = Some(Running::since(at));
        self.exchanges.set(Some(exchanges));
    }

    /// The stream's request goes there.
    pub(crate) fn stream_going_to(&self, slot: usize, place: Place) {
        self.with_stream(slot, |stream| {
            if let Some(running) = stream {
                running.place = place;
            }
        });
    }

    /// The stream's request was served.
    pub(crate) fn end_stream(&self, slot: usize) {
        self.with_stream(slot, |stream| *stream = None);
        self.steps.set(self.steps.get().wrapping_add(2));
    }

    fn with_stream(&self, slot: usize, change: impl FnOnce(&mut Option<Running>)) {
        let mut exchanges = self.exchanges.take();
        if let Some(exchanges) = &mut exchanges
            && let Some(stream) = exchanges.streams.get_mut(slot)
        {
            change(stream);
        }
        self.exchanges.set(exchanges);
    }

    /// Whether an exchange of HTTP/1 runs, or bytes are passed on.
    fn is_begun(&self) -> bool {
        self.steps.get() % 2 == 1
    }

    /// The exchanges that run.
    fn running(&self) -> Vec<Running> {
        let exchanges = self.exchanges.take();
        let own = exchanges.iter().map(|exchanges| exchanges.own);
        let own = own.filter(|_| self.is_begun());
        let streams = exchanges.iter().flat_map(|exchanges| &exchanges.streams);
        let running = own.chain(streams.copied().flatten()).collect();
        self.exchanges.set(exchanges);
        running
    }

    /// Frees what only a busy connection needs.
    pub(crate) fn rest(&self) {
        self.exchanges.take();
    }

    /// Takes note of the task that serves the connection, which is the one that this is called by.
    pub(crate) async fn know_task(&self) {
        poll_fn(|cx| {
            self.waker.get_or_init(|| cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    }

    /// Has the connection end, unless it is to end sooner already.
    fn close(&self, how: Closing) {
        if self.closing.get() < how {
            self.closing.set(how);
        }
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

/// The entries of a worker.
#[derive(Default)]
pub(crate) struct Roll {
    entries: RefCell<Entries>,
    next: Cell<u64>,
    /// The slot that [`Roll::wake_waiting`] goes on with.
    waking: Cell<usize>,
}

/// Entries by their slots, and the slots that are free: as many words as there were connections at a time, and no more.
#[derive(Default)]
struct Entries {
    slots: Vec<Option<Rc<Entry>>>,
    free: Vec<u32>,
}

/// Slots that are kept when the last connection goes.
const SLOTS_KEPT: usize = 1024;

/// Slots that are looked at in one go for connections that wait: it is done between requests.
const LOOKED_AT_MAX: usize = 8192;

impl Entries {
    fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Rc<Entry>> {
        self.slots.iter().flatten()
    }

    fn strike(&mut self, slot: u32) {
        self.slots[slot as usize] = None;
        self.free.push(slot);
        if self.open() == 0 && self.slots.capacity() > SLOTS_KEPT {
            *self = Entries::default();
        }
    }
}

impl Roll {
    /// How many connections are open.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().open()
    }

    fn enter(
        &self,
        (listener, number): (ListenerId, u32),
        client: SocketAddr,
        closing: Closing,
    ) -> Rc<Entry> {
        let sequence = self.next.get() + 1;
        self.next.set(sequence);
        let mut entries = self.entries.borrow_mut();
        let slot = entries.free.pop().unwrap_or_else(|| {
            entries.slots.push(None);
            // A process has fewer descriptors than this counts.
            (entries.slots.len() - 1) as u32
        });
        let entry = Rc::new(Entry {
            sequence,
            slot,
            listener,
            number,
            opened: now(),
            client: Cell::new(ClientAddress::of(client)),
            phase: Cell::new(Phase::Open),
            protocol: Cell::new(Protocol::Unknown),
            closing: Cell::new(closing),
            steps: Cell::new(0),
            is_in_head: Cell::new(false),
            exchanges: Cell::default(),
            tls: OnceCell::new(),
            waker: OnceCell::new(),
        });
        entries.slots[slot as usize] = Some(Rc::clone(&entry));
        entry
    }

    fn strike(&self, entry: &Entry) {
        self.entries.borrow_mut().strike(entry.slot);
    }

    /// A page of those that are asked for, oldest first, and how many there are of them in all.
    pub(crate) fn survey(&self, which: &Which) -> Survey {
        let entries = self.entries.borrow();
        let meant = entries.iter().filter(|entry| entry.is_meant(which));
        let mut meant: Vec<(u64, &Entry)> = meant.map(|one| (one.sequence, &**one)).collect();
        let total = meant.len();
        let end = which.skip.saturating_add(which.take);
        if (1..total).contains(&end) {
            // The others need not be put in order.
            meant.select_nth_unstable_by_key(end - 1, |one| one.0);
            meant.truncate(end);
        }
        meant.sort_unstable_by_key(|one| one.0);
        let at = now();
        let page = meant.iter().skip(which.skip).take(which.take);
        Survey {
            items: page.map(|(_, entry)| entry.note(at)).collect(),
            total,
        }
    }

    /// Has a connection end; how it was until then.
    pub(crate) fn close(&self, sequence: u64, how: Closing) -> Option<ConnectionNote> {
        let entries = self.entries.borrow();
        let entry = (entries.iter().find(|entry| entry.sequence == sequence)).cloned()?;
        drop(entries);
        let note = entry.note(now());
        entry.close(how);
        Some(note)
    }

    /// Wakes so many of a listener's connections that wait for a request, beginning where the last call ended.
    pub(crate) fn wake_waiting(&self, listener: u32, count: usize) {
        let entries = self.entries.borrow();
        let slots = entries.slots.len();
        let mut woken = Vec::new();
        for _ in 0..slots.min(LOOKED_AT_MAX) {
            if woken.len() >= count {
                break;
            }
            let slot = self.waking.get() % slots;
            self.waking.set(slot + 1);
            let entry = entries.slots[slot].as_ref();
            let waits = |entry: &&Rc<Entry>| {
                entry.number == listener && entry.state() == ConnectionState::Waiting
            };
            let waker = entry.filter(waits).and_then(|entry| entry.waker.get());
            woken.extend(waker.cloned());
        }
        drop(entries);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Has all connections of a listener end in order; the worker's deadlines must be woken then.
    pub(crate) fn end_listener(&self, number: u32) {
        for entry in self.entries.borrow().iter() {
            if entry.number == number && entry.closing() == Closing::No {
                entry.closing.set(Closing::Listener);
            }
        }
    }

    /// Breaks off what still runs on connections of a listener that is gone. Another one may have its number by now: whose
    /// connections were opened later.
    pub(crate) fn cut_listener(&self, number: u32, opened_until: Moment) {
        let entries = self.entries.borrow();
        let is_meant = |entry: &&Rc<Entry>| {
            entry.number == number && entry.opened <= opened_until && entry.closing() != Closing::No
        };
        let meant: Vec<Rc<Entry>> = entries.iter().filter(is_meant).cloned().collect();
        drop(entries);
        meant.iter().for_each(|entry| entry.close(Closing::Drained));
    }

    /// Breaks off what has not become a request yet.
    pub(crate) fn cut_beginnings(&self) {
        let entries = self.entries.borrow();
        let is_meant = |entry: &&Rc<Entry>| match entry.phase.get() {
            Phase::ProxyHeader | Phase::Handshake | Phase::Hello => true,
            Phase::Open => entry.is_in_head.get(),
            Phase::Lingering => false,
        };
        let meant: Vec<Rc<Entry>> = entries.iter().filter(is_meant).cloned().collect();
        drop(entries);
        meant.iter().for_each(|entry| entry.close(Closing::Drained));
    }
}

/// A connection's place in the roll, for as long as it is open.
pub(crate) struct Enrolled {
    worker: Rc<Worker>,
    entry: Rc<Entry>,
}

impl Enrolled {
    /// Enters a connection. Its listener may have come to its end already.
    pub(crate) fn enter(
        worker: &Rc<Worker>,
        listener: (ListenerId, u32),
        client: SocketAddr,
        is_ending: bool,
    ) -> Enrolled {
        let closing = match is_ending {
            true => Closing::Listener,
            false => Closing::No,
        };
        Enrolled {
            entry: worker.roll().enter(listener, client, closing),
            worker: Rc::clone(worker),
        }
    }

    /// The worker that the connection is of.
    #[inline]
    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// The entry, for those who serve the connection beside its own task.
    pub(crate) fn entry(&self) -> Rc<Entry> {
        Rc::clone(&self.entry)
    }
}

impl Deref for Enrolled {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.worker.roll().strike(&self.entry);
        self.worker.end_pause();
        if self.worker.roll().len() == 0 {
            self.worker.is_emptied();
        }
    }
}

#[cfg(test)]
mod tests;
