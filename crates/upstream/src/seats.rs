//! The seats of an endpoint, shared by the pools of all workers.
//!
//! Only pools with a bound have anything to do with them, and only when a connection is opened or closed, or while somebody
//! waits for one. What stays for each request of theirs is a look at whether anybody is short.

use foregate_balance::seats::{self, Calls};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Who has how many connections to one endpoint. Lives as long as any configuration names it.
#[derive(Debug, Default)]
pub struct Seats {
    /// Whether anybody waits that others must give to.
    is_anybody_short: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seats: seats::Seats,
    /// By member, how its pool is told that it should look, and whether it has been.
    ears: Vec<Ear>,
}

#[derive(Debug, Default)]
struct Ear {
    called: bool,
    waker: Option<Waker>,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole after each statement, so a panic elsewhere leaves nothing half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and tells those whom it concerns once the lock is free again.
    fn change(&self, change: impl FnOnce(&mut seats::Seats) -> Calls) {
        let mut state = self.lock();
        let calls = change(&mut state.seats);
        self.settle(state, calls);
    }

    fn settle(&self, mut state: MutexGuard<'_, State>, calls: Calls) {
        let is_anybody_short = state.seats.is_anybody_short();
        self.is_anybody_short
            .store(is_anybody_short, Ordering::Relaxed);
        let mut wakers = Vec::new();
        for number in calls {
            if let Some(ear) = state.ears.get_mut(number) {
                ear.called = true;
                wakers.extend(ear.waker.take());
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A pool's membership, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    number: usize,
}

impl Seat {
    /// The membership of a pool that has so many connections open already.
    pub(crate) fn join(seats: &Arc<Seats>, open: usize, max: usize) -> Seat {
        let mut state = seats.lock();
        let number = state.seats.join(open);
        if state.ears.len() <= number {
            state.ears.resize_with(number + 1, Ear::default);
        }
        state.ears[number] = Ear::default();
        let calls = state.seats.set_max(max);
        seats.settle(state, calls);
        Seat {
            seats: Arc::clone(seats),
            number,
        }
    }

    pub(crate) fn set_max(&self, max: usize) {
        self.seats.change(|seats| seats.set_max(max));
    }

    /// Takes a seat for a new connection, if there is one.
    pub(crate) fn take(&self) -> bool {
        self.seats.lock().seats.take(self.number)
    }

    /// Connections are closed.
    pub(crate) fn close(&self, count: usize) {
        for _ in 0..count {
            self.seats.change(|seats| seats.close(self.number));
        }
    }

    /// Requests wait here for a connection.
    pub(crate) fn wait(&self) {
        self.seats.change(|seats| seats.wait(self.number));
    }

    /// No request waits here any more.
    pub(crate) fn stop_waiting(&self) {
        self.seats.change(|seats| {
            seats.stop_waiting(self.number);
            Calls::new()
        });
    }

    /// Whether a seat was granted that is not taken up yet.
    pub(crate) fn is_granted(&self) -> bool {
        self.seats.lock().seats.granted(self.number) > 0
    }

    /// Gives a seat back that was granted.
    pub(crate) fn decline(&self) {
        self.seats.change(|seats| seats.decline(self.number));
    }

    /// Whether a connection that is not needed this moment is to be closed for another worker's sake.
    #[inline]
    pub(crate) fn must_give(&self) -> bool {
        self.seats.is_anybody_short.load(Ordering::Relaxed)
            && self.seats.lock().seats.must_give(self.number)
    }

    /// Ready when there is something to look at.
    pub(crate) fn poll_called(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.seats.lock();
        let ear = &mut state.ears[self.number];
        if std::mem::take(&mut ear.called) {
            return Poll::Ready(());
        }
        ear.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.lock();
        let calls = state.seats.leave(self.number);
        // Who listened finds that there is nothing to listen for.
        let own = std::mem::take(&mut state.ears[self.number]).waker;
        self.seats.settle(state, calls);
        if let Some(own) = own {
            own.wake();
        }
    }
}
