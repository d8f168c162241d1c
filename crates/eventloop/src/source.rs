//! What the kernel has said of the thread's sockets: edge-triggered readiness (epoll(7)).
//!
//! A socket is ready from the event that says so until a call on it found nothing, or less than it asked for.

use crate::budget;
use crate::remote::Remote;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Events that are taken at once.
const EVENTS: usize = 256;

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// The peer, or this side, has closed: reads will find the end. It stays so.
const READ_CLOSED: u8 = 4;
/// Writes will fail. It stays so.
const WRITE_CLOSED: u8 = 8;

/// A direction of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    In,
    Out,
}

impl Way {
    /// What says that a call finds something.
    const fn ready(self) -> u8 {
        match self {
            Way::In => READABLE | READ_CLOSED,
            Way::Out => WRITABLE | WRITE_CLOSED,
        }
    }

    /// What a call that found nothing takes back.
    const fn passing(self) -> u8 {
        match self {
            Way::In => READABLE,
            Way::Out => WRITABLE,
        }
    }
}

/// Who waits for a direction. The waker is kept for the next wait, which is mostly the same task's.
#[derive(Default)]
struct Waiter {
    waker: Cell<Option<Waker>>,
    waits: Cell<bool>,
}

impl Waiter {
    /// Has this task woken by the next event.
    #[inline]
    fn wait(&self, cx: &Context<'_>) {
        self.waits.set(true);
        let waker = match self.waker.take() {
            Some(known) if known.will_wake(cx.waker()) => known,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    #[inline]
    fn wake(&self) {
        if !self.waits.replace(false) {
            return;
        }
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            // Nobody who waits anew has had a turn meanwhile.
            self.waker.set(Some(waker));
        }
    }
}

/// What is known of a socket.
#[derive(Default)]
struct Place {
    index: u32,
    state: Cell<u8>,
    reader: Waiter,
    writer: Waiter,
}

/// A number that events are told by.
#[derive(Default)]
struct Seat {
    /// Who had it before: what is told of a socket that is closed by now is nobody's.
    generation: u32,
    place: Option<Rc<Place>>,
}

/// All sockets of the thread.
struct Reactor {
    epoll: OwnedFd,
    remote: Arc<Remote>,
    seats: Vec<Seat>,
    free: Vec<u32>,
}

thread_local! {
    static REACTOR: RefCell<Option<Reactor>> = const { RefCell::new(None) };
}

/// What the bell's events are told by; no seat has it.
const BELL: u64 = u64::MAX;

impl Reactor {
    fn open() -> io::Result<Reactor> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let remote = Arc::new(Remote::new()?);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(
            &epoll,
            remote.bell(),
            epoll::EventData::new_u64(BELL),
            flags,
        )?;
        Ok(Reactor {
            epoll,
            remote,
            seats: Vec::new(),
            free: Vec::new(),
        })
    }

    /// Watches a socket as what has this number.
    fn add(&self, socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
        let generation = self.seats[index as usize].generation;
        let token = u64::from(generation) << 32 | u64::from(index);
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        Ok(epoll::add(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(token),
            flags,
        )?)
    }
}

/// Does something with the thread's reactor, which its first use makes.
fn with<T>(act: impl FnOnce(&mut Reactor) -> io::Result<T>) -> io::Result<T> {
    REACTOR.with_borrow_mut(|reactor| match reactor {
        Some(reactor) => act(reactor),
        None => act(reactor.insert(Reactor::open()?)),
    })
}

/// Makes the thread's reactor, if it has none yet.
///
/// # Errors
/// No descriptor is left for it.
pub(crate) fn open() -> io::Result<Arc<Remote>> {
    with(|reactor| Ok(Arc::clone(&reactor.remote)))
}

/// A socket among those of the thread, which it can't leave.
pub(crate) struct Source(Rc<Place>);

impl Source {
    /// Watches a socket. One of which nothing is known but that it is connected can be written to.
    ///
    /// # Errors
    /// The kernel takes no more of them.
    pub(crate) fn watch(socket: BorrowedFd<'_>, is_connected: bool) -> io::Result<Source> {
        with(|reactor| {
            let index = reactor.free.pop().unwrap_or_else(|| {
                reactor.seats.push(Seat::default());
                u32::try_from(reactor.seats.len() - 1).expect("fewer sockets than u32 counts")
            });
            if let Err(error) = reactor.add(socket, index) {
                reactor.free.push(index);
                return Err(error);
            }
            let place = Rc::new(Place {
                index,
                state: Cell::new(if is_connected { WRITABLE } else { 0 }),
                reader: Waiter::default(),
                writer: Waiter::default(),
            });
            reactor.seats[index as usize].place = Some(Rc::clone(&place));
            Ok(Source(place))
        })
    }

    /// No longer watches it. A socket that nobody else holds need not be told so: the kernel forgets it as it is closed.
    pub(crate) fn forget(&self, socket: BorrowedFd<'_>) {
        let _ = with(|reactor| Ok(epoll::delete(&reactor.epoll, socket)?));
    }

    #[inline]
    fn is_ready(&self, way: Way) -> bool {
        self.0.state.get() & way.ready() != 0
    }

    /// The next call waits for an event.
    #[inline]
    fn has_no_more(&self, way: Way) {
        let state = &self.0.state;
        state.set(state.get() & !way.passing());
    }

    /// Ready once a call may find something.
    #[inline]
    pub(crate) fn poll_ready(&self, way: Way, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_ready(way) {
            return budget::poll_spend(cx);
        }
        match way {
            Way::In => self.0.reader.wait(cx),
            Way::Out => self.0.writer.wait(cx),
        }
        Poll::Pending
    }

    /// Calls if the socket is thought ready.
    ///
    /// # Errors
    /// The call's; [`ErrorKind::WouldBlock`], from it or because it was not called, when the next one is to wait for an event.
    #[inline]
    pub(crate) fn call<T>(&self, way: Way, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if !self.is_ready(way) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let called = call();
        if matches!(&called, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            self.has_no_more(way);
        }
        called
    }

    /// Calls once if the socket is thought ready; pending, without a wake-up to come, if it is not or nothing moved. The call
    /// returns how many bytes moved, and how many were wanted to.
    ///
    /// Less moved than wanted says that the kernel has no more (or room for no more) now: the next call waits for an event
    /// instead of asking in vain. That holds for edge-triggered readiness (epoll(7), question 9).
    #[inline]
    pub(crate) fn call_once(
        &self,
        way: Way,
        call: impl FnOnce() -> io::Result<(usize, usize)>,
    ) -> Poll<io::Result<usize>> {
        if !self.is_ready(way) {
            return Poll::Pending;
        }
        match call() {
            Ok((bytes, wanted)) => {
                if bytes > 0 && bytes < wanted {
                    self.has_no_more(way);
                }
                Poll::Ready(Ok(bytes))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.has_no_more(way);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // At the thread's end the reactor may be gone first.
        let place = REACTOR.try_with(|reactor| {
            let mut reactor = reactor.borrow_mut();
            let reactor = reactor.as_mut()?;
            let seat = &mut reactor.seats[self.0.index as usize];
            seat.generation = seat.generation.wrapping_add(1);
            reactor.free.push(self.0.index);
            seat.place.take()
        });
        // Not while anything is borrowed: whose wakers these are may do anything as they are dropped.
        drop(place);
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.0.index).finish()
    }
}

/// What one event says.
fn state_of(flags: epoll::EventFlags) -> u8 {
    use epoll::EventFlags;
    let mut state = 0;
    if flags.intersects(EventFlags::IN | EventFlags::PRI) {
        state |= READABLE;
    }
    if flags.contains(EventFlags::OUT) {
        state |= WRITABLE;
    }
    if flags.contains(EventFlags::HUP) || flags.contains(EventFlags::IN | EventFlags::RDHUP) {
        state |= READ_CLOSED;
    }
    if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
        state |= WRITE_CLOSED;
    }
    if flags.contains(EventFlags::ERR) {
        state |= READ_CLOSED;
    }
    state
}

/// Notes an event; wakes whoever waits for it.
#[inline]
fn note(token: u64, state: u8) {
    let (index, generation) = (token as u32 as usize, (token >> 32) as u32);
    let place = REACTOR.with_borrow(|reactor| {
        let seat = reactor.as_ref()?.seats.get(index)?;
        let is_it = seat.generation == generation;
        seat.place.as_ref().filter(|_| is_it).map(Rc::clone)
    });
    let Some(place) = place else { return };
    // Nothing is borrowed while wakers run.
    place.state.set(place.state.get() | state);
    if state & Way::In.ready() != 0 {
        place.reader.wake();
    }
    if state & Way::Out.ready() != 0 {
        place.writer.wake();
    }
}

/// The events of one look.
pub(crate) struct Events(Vec<epoll::Event>);

impl Events {
    pub(crate) fn new() -> Events {
        Events(Vec::with_capacity(EVENTS))
    }

    /// Sleeps until there are events, or for no longer than `timeout`, and notes them. Whether other threads have left word.
    ///
    /// # Errors
    /// The reactor can't be used, which it always can.
    pub(crate) fn wait(&mut self, timeout: Option<&Timespec>) -> io::Result<bool> {
        let Events(events) = self;
        events.clear();
        let taken = REACTOR.with_borrow(|reactor| match reactor {
            Some(reactor) => epoll::wait(
                &reactor.epoll,
                rustix::buffer::spare_capacity(events),
                timeout,
            ),
            None => Err(Errno::BADF),
        });
        match taken {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        let mut is_told = false;
        for event in events.iter() {
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                BELL => is_told = true,
                token => note(token, state_of(flags)),
            }
        }
        Ok(is_told)
    }
}

/// How other threads reach this one's loop.
pub(crate) fn remote() -> Arc<Remote> {
    open().expect("a thread's loop has its reactor before it has tasks")
}
