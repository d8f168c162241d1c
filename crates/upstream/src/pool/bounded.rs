//! What a pool does about a bound that it shares with the pools of other workers.

use super::{Pool, Ticket};
use crate::http2::Http2;
use crate::seats::Seat;
use foregate_telemetry::clock::{Moment, now};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// For so long at least a connection was idle that is closed for those who have their fair share already.
const SPARE_IDLE_MIN: Duration = Duration::from_millis(20);

impl Pool {
    /// Takes part in a bound, or no more.
    pub(super) fn share(self: &Rc<Pool>, is_bounded: bool) {
        let mut seat = self.seat.borrow_mut();
        if !is_bounded {
            *seat = None;
        } else if seat.is_none() {
            let joined = Rc::new(Seat::join(&self.seats, self.open.get()));
            foregate_eventloop::spawn_local(listen(Rc::downgrade(self), Rc::downgrade(&joined)));
            *seat = Some(joined);
        }
        drop(seat);
        if !is_bounded {
            // Nothing is in the way of those who waited.
            self.wake_all();
        }
    }

    /// Whether a request would have to wait until another one has ended, whichever worker has that.
    pub fn is_busy(&self) -> bool {
        let seat = self.seat.borrow();
        let is_full = seat.as_ref().is_some_and(|seat| !seat.is_any_free());
        is_full && self.idle.borrow().is_empty() && !self.has_shared_place()
    }

    fn has_shared_place(&self) -> bool {
        let requests_max = self.limits.get().requests_max;
        let shared = self.shared.borrow();
        !self.is_http1_required() && shared.iter().any(|one| one.has_place(requests_max))
    }

    pub(super) fn seat(&self) -> Option<Rc<Seat>> {
        self.seat.borrow().clone()
    }

    /// The right to a new connection, past the idle ones; `None` when the pool is full, or others wait for what comes free.
    pub fn fresh(self: &Rc<Pool>) -> Option<Ticket> {
        let is_bounded = self.seat.borrow().is_some();
        match is_bounded && !self.waiting.is_empty() {
            true => None,
            false => self.seat_for_new(),
        }
    }

    /// The right to a new connection for whoever is first.
    pub(super) fn seat_for_new(self: &Rc<Pool>) -> Option<Ticket> {
        let full = self.seat.borrow().as_ref().is_some_and(|seat| !seat.take());
        (!full).then(|| {
            self.cells().pool_misses.one();
            self.ticket()
        })
    }

    /// Has the pool stand in line, now that requests wait which nothing else is on its way for.
    pub(super) fn stand_in_line(&self) {
        if !self.is_served_by_dialling()
            && !self.waiting.is_empty()
            && let Some(seat) = self.seat()
        {
            seat.wait();
        }
    }

    /// Whether a connection that is being opened may have room for all that wait.
    pub(super) fn is_served_by_dialling(&self) -> bool {
        self.dialling.get() > 0 && self.may_share()
    }

    /// No request waits any more, if that is so.
    pub(super) fn leave_line(&self) {
        if self.waiting.is_empty()
            && let Some(seat) = self.seat()
        {
            seat.stop_waiting();
        }
    }

    /// Whether a connection that is not needed this moment is to be closed for another worker's sake.
    #[inline]
    pub(super) fn must_give(&self) -> bool {
        let seat = self.seat.borrow();
        seat.as_ref().is_some_and(|seat| seat.must_give())
    }

    /// Whether a connection that is idle is to be closed, as another worker waits for one and nobody here does.
    #[inline]
    pub(super) fn must_spare(&self) -> bool {
        let seat = self.seat.borrow();
        seat.as_ref().is_some_and(|seat| seat.must_spare()) && self.waiting.is_empty()
    }

    /// So many connections are closed.
    pub(super) fn count_closed(&self, closed: usize) {
        self.open.set(self.open.get() - closed);
        for _ in 0..closed {
            self.cells().connections.down();
        }
        let seat = if closed > 0 { self.seat() } else { None };
        match seat {
            // Who waits longest is granted it, wherever that is.
            Some(seat) => {
                self.gives.set(false);
                seat.close(closed);
                self.stand_in_line();
            }
            None => (0..closed).for_each(|_| self.wake_one()),
        }
    }

    /// Closes connections that another worker is short of, as far as they are not needed this moment.
    pub(super) fn give(&self) {
        while self.must_give() {
            let Some(newest) = self.idle.borrow().len().checked_sub(1) else {
                // One that a request is about to open a stream on would fail it: its turn comes when the stream has ended.
                return self.give_shared(|one| !one.is_promised());
            };
            self.close_idle_at(newest);
        }
    }

    /// Closes connections beyond the fair share that have been idle for a while and that another worker waits for. Those
    /// that rest between two requests stay: they would change hands for each.
    pub(super) fn spare(&self, at: Moment) {
        let rests = |since: Moment| at.since(since) < SPARE_IDLE_MIN;
        while self.must_spare() {
            // The first one has been idle for longest.
            let oldest = self.idle.borrow().first().map(|idle| idle.since);
            match oldest {
                None => {
                    return self.give_shared(|one| one.idle_since().is_some_and(|at| !rests(at)));
                }
                Some(since) if rests(since) => return,
                Some(_) => self.close_idle_at(0),
            }
        }
    }

    fn close_idle_at(&self, index: usize) {
        let mut idle = self.idle.borrow_mut().remove(index);
        idle.connection.stream.close_now();
        drop(idle);
        self.count_closed(1);
    }

    /// Has one shared connection that may be given end after its streams, unless one does already.
    fn give_shared(&self, may: impl Fn(&Http2) -> bool) {
        if self.gives.get() {
            return;
        }
        let mut shared = self.shared.borrow_mut();
        let fewest = (0..shared.len())
            .filter(|&index| may(&shared[index]))
            .min_by_key(|&index| shared[index].streams());
        let given = fewest.map(|index| shared.swap_remove(index));
        drop(shared);
        if let Some(given) = given {
            self.gives.set(true);
            given.retire();
        }
    }

    /// Looks what the other workers have brought about; true when that is to be done once more.
    fn attend(&self, seat: &Seat) -> bool {
        let granted = seat.is_granted();
        if granted {
            let is_needless = self.waiting.is_empty() || self.is_served_by_dialling();
            match is_needless {
                true => seat.decline(),
                false => self.wake_one(),
            }
        } else {
            self.stand_in_line();
        }
        self.give();
        self.spare(now());
        granted
    }
}

/// Attends to what other workers bring about, for as long as the pool has a bound.
async fn listen(pool: Weak<Pool>, seat: Weak<Seat>) {
    // A seat that was granted is taken up by the request that was woken for it: it has run when this looks again.
    let mut again = false;
    poll_fn(|cx| {
        let (Some(pool), Some(seat)) = (pool.upgrade(), seat.upgrade()) else {
            return Poll::Ready(());
        };
        listen_once(&pool, &seat, &mut again, cx);
        Poll::Pending
    })
    .await;
}

fn listen_once(pool: &Pool, seat: &Seat, again: &mut bool, cx: &mut Context<'_>) {
    let called = seat.poll_called(cx).is_ready();
    if !called && !*again {
        return;
    }
    *again = pool.attend(seat);
    if called || *again {
        cx.waker().wake_by_ref();
    }
}
