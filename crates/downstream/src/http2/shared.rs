//! What the tasks of one connection share. All of them run on one thread.

use super::lane::Request;
use crate::roll::Entry;
use foregate_message::Peer;
use foregate_wire::h2::{self, StreamKey};
use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The engine, and who waits for what.
pub(super) struct Shared {
    peer: Peer,
    /// What operators see of the connection.
    entry: Rc<Entry>,
    engine: RefCell<h2::Connection>,
    slots: RefCell<Vec<Slot>>,
    driver: RefCell<Option<Waker>>,
    /// Whether the driver will run anyway.
    driver_is_woken: Cell<bool>,
    /// Requests that are being served.
    serving: Cell<usize>,
    /// Lanes that have not ended.
    lanes: Cell<usize>,
    /// Lanes without a request are to end.
    going_home: Cell<bool>,
    /// A defect has left the engine in an unknown state.
    is_broken: Cell<bool>,
}

/// The engine's slot of the same number.
#[derive(Default)]
struct Slot {
    /// A request that its lane has not taken yet.
    request: Option<Request>,
    /// Its lane's waker.
    waker: Option<Waker>,
    has_lane: bool,
}

impl Shared {
    pub(super) fn new(peer: Peer, engine: h2::Connection, entry: Rc<Entry>) -> Shared {
        Shared {
            peer,
            entry,
            engine: RefCell::new(engine),
            slots: RefCell::default(),
            driver: RefCell::default(),
            driver_is_woken: Cell::new(false),
            serving: Cell::new(0),
            lanes: Cell::new(0),
            going_home: Cell::new(false),
            is_broken: Cell::new(false),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The engine. No borrow is held across a call that could take it again.
    #[inline]
    pub(super) fn engine(&self) -> RefMut<'_, h2::Connection> {
        self.engine.borrow_mut()
    }

    /// The driver runs: whoever wants it from now on wakes it by this waker.
    #[inline]
    pub(super) fn attend(&self, cx: &mut Context<'_>) {
        self.driver_is_woken.set(false);
        keep(&mut self.driver.borrow_mut(), cx);
    }

    /// Has the driver look at what was queued.
    #[inline]
    pub(super) fn wake_driver(&self) {
        if !self.driver_is_woken.replace(true)
            && let Some(driver) = &*self.driver.borrow()
        {
            driver.wake_by_ref();
        }
    }

    /// Wakes whoever serves the streams about which something has changed.
    #[inline]
    pub(super) fn wake_ready(&self) {
        let mut engine = self.engine();
        while let Some(key) = engine.next_ready() {
            if let Some(waker) = self
                .slots
                .borrow()
                .get(key.slot())
                .and_then(|slot| slot.waker.as_ref())
            {
                waker.wake_by_ref();
            }
        }
    }

    /// Has the stream's lane woken when something changes about the stream.
    #[inline]
    pub(super) fn watch(&self, key: StreamKey, cx: &mut Context<'_>) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key.slot()) {
            keep(&mut slot.waker, cx);
        }
    }

    /// Gives a request to its slot's lane; true when that must be made first.
    pub(super) fn assign(&self, request: Request) -> bool {
        self.serving.set(self.serving.get() + 1);
        self.going_home.set(false);
        let number = request.key.slot();
        let mut slots = self.slots.borrow_mut();
        if slots.len() <= number {
            slots.resize_with(number + 1, Slot::default);
        }
        let slot = &mut slots[number];
        slot.request = Some(request);
        if slot.has_lane {
            if let Some(waker) = &slot.waker {
                waker.wake_by_ref();
            }
            return false;
        }
        slot.has_lane = true;
        self.lanes.set(self.lanes.get() + 1);
        true
    }

    /// The next request of a lane; `None` when it is to end.
    #[inline]
    pub(super) fn poll_request(
        &self,
        number: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Request>> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(number) else {
            return Poll::Ready(None);
        };
        if let Some(request) = slot.request.take() {
            return Poll::Ready(Some(request));
        }
        if self.going_home.get() || self.is_broken.get() {
            return Poll::Ready(None);
        }
        keep(&mut slot.waker, cx);
        Poll::Pending
    }

    /// A request has been served.
    #[inline]
    pub(super) fn served(&self) {
        self.serving.set(self.serving.get() - 1);
        self.wake_driver();
    }

    /// A lane has ended; the last one has the driver look at what can be freed.
    pub(super) fn left(&self, number: usize) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(number) {
            slot.has_lane = false;
            slot.waker = None;
        }
        self.lanes.set(self.lanes.get() - 1);
        if self.lanes.get() == 0 {
            self.wake_driver();
        }
    }

    #[inline]
    pub(super) fn is_serving(&self) -> bool {
        self.serving.get() > 0
    }

    /// Whether nothing is left that only a busy connection needs.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        self.lanes.get() == 0 && self.slots.borrow().capacity() == 0
    }

    /// Frees what a connection without lanes does not need.
    pub(super) fn rest(&mut self) {
        self.slots = RefCell::default();
        self.entry.rest();
        self.peer.rest();
    }

    /// Ends the lanes that have no request.
    pub(super) fn send_lanes_home(&self) {
        self.going_home.set(true);
        self.wake_lanes();
    }

    /// Lets go of the engine after a defect: whoever still serves a stream finds the client gone.
    pub(super) fn break_off(&self) {
        self.is_broken.set(true);
        self.wake_lanes();
    }

    #[inline]
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    fn wake_lanes(&self) {
        for slot in self.slots.borrow().iter() {
            if let Some(waker) = &slot.waker {
                waker.wake_by_ref();
            }
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
