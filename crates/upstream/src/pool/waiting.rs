//! Requests that wait for a connection: first come, first served.
//!
//! Whoever waits keeps its place until it is served or leaves, however often it is called in vain; and whoever comes while
//! others wait for the same stands behind them, whatever the pool has just then: that is for those who were called.

use super::{Checkout, Pool, Use};
use foregate_balance::{Look, Ticket as Number, WaitingLine};
use foregate_message::Reason;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// So many are called when there may be room for all who wait. Each of them who is served calls the next.
const CALLED_AT_ONCE_MAX: usize = 100;

/// Those who wait at one pool.
#[derive(Debug, Default)]
pub(super) struct Waiting(RefCell<WaitingLine<Rc<Bell>>>);

/// How one who waits is woken.
#[derive(Debug, Default)]
struct Bell(RefCell<Option<Waker>>);

impl Bell {
    fn ring(&self) {
        let waker = self.0.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Waiting {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Whether nobody waits for what those of a lane may have, so that whoever comes passes nobody.
    #[inline]
    pub(super) fn is_free(&self, lane: u64) -> bool {
        self.0.borrow().is_free(lane)
    }

    /// Changes the line, and rings for whoever is called by that once the line is free again.
    fn change(&self, change: impl FnOnce(&mut WaitingLine<Rc<Bell>>) -> Option<Rc<Bell>>) -> bool {
        let called = change(&mut self.0.borrow_mut());
        if let Some(bell) = &called {
            bell.ring();
        }
        called.is_some()
    }
}

impl Pool {
    /// Stands in line for a connection, since there is none.
    ///
    /// # Errors
    /// [`Reason::PendingFull`] when too many wait already.
    pub fn join(self: &Rc<Pool>, purpose: Use) -> Result<Place, Reason> {
        let (bell, lane) = (Rc::default(), self.lane(purpose));
        let length_max = self.limits.get().pending_max;
        let mut line = self.waiting.0.borrow_mut();
        let joined = line.join(lane, length_max, Rc::clone(&bell));
        drop(line);
        let joined = joined.ok_or(Reason::PendingFull)?;
        let place = Place {
            pool: Rc::clone(self),
            purpose,
            bell,
            number: joined.ticket,
            look: None,
            is_served: false,
        };
        // It has looked already.
        if let Some(look) = joined.look {
            (self.waiting).change(|line| line.found_nothing(place.number, look));
        }
        self.stand_in_line();
        Ok(place)
    }

    /// Those of a lane may have the same: where either protocol may be spoken, some want only one of them.
    pub(super) fn lane(&self, purpose: Use) -> u64 {
        u64::from(self.wants_http1(purpose))
    }

    /// There may be room for all who wait.
    pub(super) fn wake_all(&self) {
        for _ in 0..CALLED_AT_ONCE_MAX {
            if self.waiting.is_empty() || !self.waiting.change(WaitingLine::call) {
                return;
            }
        }
    }

    /// A connection or a place on one has come free.
    #[inline]
    pub(super) fn wake_one(&self) {
        if !self.waiting.is_empty() {
            self.waiting.change(WaitingLine::call);
        }
    }

    /// Has all who wait for a connection look whether they still do. They keep their places.
    pub fn stir(&self) {
        let line = self.waiting.0.borrow();
        let bells: Vec<Rc<Bell>> = line.bells().cloned().collect();
        drop(line);
        bells.iter().for_each(|bell| bell.ring());
    }
}

/// A place in the line for a connection, given up when dropped.
#[derive(Debug)]
pub struct Place {
    pool: Rc<Pool>,
    purpose: Use,
    bell: Rc<Bell>,
    number: Number,
    /// Its right to look what there is.
    look: Option<Look>,
    is_served: bool,
}

impl Place {
    /// Ready when it is its turn: then there may be a connection for it.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.look.is_none() {
            let (number, look) = (self.number, &mut self.look);
            (self.pool.waiting).change(|line| {
                let (own, other) = line.take_call(number);
                *look = own;
                other
            });
        }
        if self.look.is_some() {
            return Poll::Ready(());
        }
        *self.bell.0.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// What the pool has for it, once it is its turn; [`Pool::checkout`] for whoever has waited. With [`Checkout::Full`] it
    /// waits on where it stands.
    pub fn checkout(&mut self, verify: bool) -> Checkout {
        let Some(look) = self.look.take() else {
            return Checkout::Full;
        };
        let offer = self.pool.offer(self.purpose, verify);
        let number = self.number;
        if matches!(offer, Checkout::Full) {
            (self.pool.waiting).change(|line| line.found_nothing(number, look));
            self.pool.stand_in_line();
        } else {
            self.is_served = true;
            // There may be more.
            self.leave(!self.pool.is_busy());
        }
        offer
    }

    fn leave(&self, calls_next: bool) {
        let number = self.number;
        (self.pool.waiting).change(|line| line.leave(number, calls_next));
        self.pool.leave_line();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever leaves in its turn passes that on.
        if !self.is_served {
            self.leave(self.look.is_some());
        }
    }
}

#[cfg(test)]
mod tests;
