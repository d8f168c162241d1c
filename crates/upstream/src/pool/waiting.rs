//! Requests that wait for a connection.

use super::Pool;
use foregate_message::Reason;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
pub(super) struct Waiter {
    woken: Cell<bool>,
    pub(super) waker: RefCell<Option<Waker>>,
}

impl Pool {
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
        self.stand_in_line();
        let mut place = Place {
            pool: Rc::clone(self),
            waiter,
            served: false,
        };
        std::future::poll_fn(|cx| place.poll(cx)).await;
        Ok(())
    }

    pub(super) fn wake_all(&self) {
        let waiting = self.waiting.borrow().len();
        for _ in 0..waiting {
            self.wake_one();
        }
    }

    pub(super) fn wake_one(&self) {
        let Some(waiter) = self.waiting.borrow_mut().pop_front() else {
            return;
        };
        waiter.woken.set(true);
        if let Some(waker) = waiter.waker.take() {
            waker.wake();
        }
        self.leave_line();
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
            drop(waiting);
            self.pool.leave_line();
        }
    }
}
