//! The seats of an endpoint, shared by the pools of all workers.
//!
//! Only pools with a bound have anything to do with them, and only when a connection is opened or closed, or while somebody
//! waits for one. What stays for each request of theirs is a look at whether anybody waits.

use foregate_balance::seats::{self, Calls};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Who has how many connections to one endpoint. Lives as long as any configuration names it.
#[derive(Debug, Default)]
pub struct Seats {
    /// Whether anybody waits.
    does_anybody_wait: AtomicBool,
    /// Whether anybody waits that others must give to what is busy, too.
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
    /// Sets how many connections there may be, `None` for any number. That is for whoever knows what is in force: the
    /// pools may be those of a configuration that is not any more.
    pub fn set_max(&self, max: Option<usize>) {
        self.change(|seats| seats.set_max(max.unwrap_or(usize::MAX)));
    }

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
        let (waits, short) = (
            state.seats.does_anybody_wait(),
            state.seats.is_anybody_short(),
        );
        self.does_anybody_wait.store(waits, Ordering::Relaxed);
        self.is_anybody_short.store(short, Ordering::Relaxed);
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
    pub(crate) fn join(seats: &Arc<Seats>, open: usize) -> Seat {
        let mut state = seats.lock();
        let number = state.seats.join(open);
        if state.ears.len() <= number {
            state.ears.resize_with(number + 1, Ear::default);
        }
        state.ears[number] = Ear::default();
        seats.settle(state, Calls::new());
        Seat {
            seats: Arc::clone(seats),
            number,
        }
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

    /// Whether a connection that is idle is to be closed since another worker waits for one.
    #[inline]
    pub(crate) fn must_spare(&self) -> bool {
        self.seats.does_anybody_wait.load(Ordering::Relaxed)
            && self.seats.lock().seats.must_spare(self.number)
    }

    /// Whether there is a seat that nobody waits for.
    pub(crate) fn is_any_free(&self) -> bool {
        self.seats.lock().seats.is_any_free()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joins_late_changes_nothing_about_how_many_there_may_be() {
        let seats: Arc<Seats> = Arc::default();
        let before = Seat::join(&seats, 0);
        assert!(before.take() && before.is_any_free(), "nothing is bounded");
        seats.set_max(Some(2));
        assert!(before.take() && !before.take());
        // Such as a pool of a configuration that is in force no more.
        let late = Seat::join(&seats, 0);
        assert!(!late.take() && !late.is_any_free());
        seats.set_max(None);
        assert!(late.take() && before.take());
    }
}
