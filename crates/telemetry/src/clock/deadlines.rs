//! Deadlines for tasks of one thread: the shell around [`Wheel`].
//!
//! Each thread has a wheel of its own. A [`Deadline`] is a slot of it; setting one is a store in most cases, and
//! costs no system call, allocation or clock reading. The thread's event loop drives them: it asks [`next_look`] how long it
//! may sleep and has [`expire`] wake the tasks whose deadlines have passed. A deadline fires not before its time and within a
//! [`TICK_MS`] after, or as soon as the loop comes round.

use std::cell::RefCell;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::task::{Context, Poll, Waker};

use super::Moment;
use super::wheel::{SlotId, Wheel};

/// The wheel's grain in milliseconds.
pub const TICK_MS: u64 = 25;
const TICK_MICROS: u64 = TICK_MS * 1_000;

struct Timers {
    wheel: Wheel,
    /// By slot index.
    wakers: Vec<Option<Waker>>,
    /// The tick at which there may be something to do, `u64::MAX` while nothing is linked.
    look_at: u64,
    /// Room for wakers between being found due and being woken; kept for its capacity.
    due: Vec<Waker>,
}

thread_local! {
    static TIMERS: RefCell<Timers> = const {
        RefCell::new(Timers {
            wheel: Wheel::new(),
            wakers: Vec::new(),
            look_at: u64::MAX,
            due: Vec::new(),
        })
    };
}

/// A time by which something must have happened on this thread. Starts unset; dropping it frees its slot.
#[derive(Debug)]
pub struct Deadline {
    slot: SlotId,
    /// The slot lives in this thread's wheel, so a deadline can't leave the thread.
    thread: PhantomData<*const ()>,
}

impl Default for Deadline {
    fn default() -> Deadline {
        Deadline::new()
    }
}

impl Deadline {
    /// A deadline without a time.
    #[must_use]
    pub fn new() -> Deadline {
        let slot = TIMERS.with_borrow_mut(|timers| {
            let slot = timers.wheel.insert();
            if timers.wakers.len() <= slot.index() {
                timers.wakers.resize_with(slot.index() + 1, || None);
            }
            slot
        });
        Deadline {
            slot,
            thread: PhantomData,
        }
    }

    /// Sets the time, be it earlier or later than before. [`Moment::NEVER`] clears. The deadline is not expired
    /// afterwards, even if `at` has passed: that shows at the next tick.
    #[inline]
    pub fn set(&mut self, at: Moment) {
        if at == Moment::NEVER {
            return self.clear();
        }
        let due = at.micros().div_ceil(TICK_MICROS);
        TIMERS.with_borrow_mut(|timers| {
            let linked = timers.wheel.set(self.slot, due);
            timers.look_at = timers.look_at.min(linked);
        });
    }

    /// Takes the time away. The deadline is not expired afterwards.
    #[inline]
    pub fn clear(&mut self) {
        TIMERS.with_borrow_mut(|timers| timers.wheel.clear(self.slot));
    }

    /// Whether the time has passed (as the driver saw it at the last tick) since it was last set.
    #[must_use]
    #[inline]
    pub fn is_expired(&self) -> bool {
        TIMERS.with_borrow(|timers| timers.wheel.is_expired(self.slot))
    }

    /// Ready once the time has passed, and until it is set or cleared again. Pending keeps the task's waker, also
    /// across later calls of [`Deadline::set`], so a task that polled once need not poll again after setting.
    #[inline]
    pub fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (poll, replaced) = TIMERS.with_borrow_mut(|timers| {
            if timers.wheel.is_expired(self.slot) {
                return (Poll::Ready(()), None);
            }
            match &mut timers.wakers[self.slot.index()] {
                Some(known) if known.will_wake(context.waker()) => (Poll::Pending, None),
                waker => (Poll::Pending, waker.replace(context.waker().clone())),
            }
        });
        // Outside the borrow: the last waker of a task may run the task's own code when dropped.
        drop(replaced);
        poll
    }

    /// Waits for the time to pass.
    pub async fn expired(&mut self) {
        poll_fn(|context| self.poll_expired(context)).await;
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // At the thread's end the wheel may be gone before the last deadline, and then there is nothing to free.
        let waker = TIMERS.try_with(|timers| {
            let mut timers = timers.borrow_mut();
            timers.wheel.remove(self.slot);
            timers.wakers[self.slot.index()].take()
        });
        drop(waker);
    }
}

/// How many deadlines of this thread have a time.
#[must_use]
pub fn armed() -> usize {
    TIMERS.with_borrow(|timers| timers.wheel.armed())
}

/// When there may be a deadline to come: until then the thread may sleep, for good if it is [`Moment::NEVER`].
#[must_use]
#[inline]
pub fn next_look() -> Moment {
    let tick = TIMERS.with_borrow(|timers| timers.look_at);
    Moment::from_micros(tick.saturating_mul(TICK_MICROS))
}

/// Wakes the tasks of this thread whose deadlines have passed at `now`.
pub fn expire(now: Moment) {
    let mut due = TIMERS.with_borrow_mut(|timers| {
        let Timers {
            wheel,
            wakers,
            due,
            look_at,
        } = timers;
        wheel.advance(now.micros() / TICK_MICROS, |index| {
            due.extend(wakers[index].take());
        });
        *look_at = wheel.next().unwrap_or(u64::MAX);
        std::mem::take(due)
    });
    // Outside the borrow: a waker may run anything, a drop of another deadline for one.
    for waker in due.drain(..) {
        waker.wake();
    }
    TIMERS.with_borrow_mut(|timers| timers.due = due);
}

/// Wakes every task of this thread that waits for a deadline, passed or not, so that it looks around: how a worker
/// tells its connections that it drains.
pub fn wake_all() {
    let wakers: Vec<Waker> = TIMERS.with_borrow_mut(|timers| {
        let waiting = timers.wakers.iter_mut().flatten();
        waiting.map(|waker| waker.clone()).collect()
    });
    for waker in wakers {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted() -> (Arc<Counted>, Waker) {
        let count = Arc::new(Counted(AtomicUsize::new(0)));
        (Arc::clone(&count), Waker::from(count))
    }

    fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn fires_not_before_its_time_and_within_a_tick() {
        let (count, waker) = counted();
        let mut context = Context::from_waker(&waker);
        let mut deadline = Deadline::new();
        deadline.set(ms(110));
        assert!(deadline.poll_expired(&mut context).is_pending());
        expire(ms(109));
        assert!(!deadline.is_expired());
        expire(ms(125));
        assert!(deadline.is_expired());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(deadline.poll_expired(&mut context).is_ready());
        assert!(deadline.poll_expired(&mut context).is_ready());
        deadline.set(ms(200));
        assert!(deadline.poll_expired(&mut context).is_pending());
    }

    #[test]
    fn waking_all_reaches_tasks_whose_time_has_not_come() {
        let (count, waker) = counted();
        let mut context = Context::from_waker(&waker);
        let mut armed = Deadline::new();
        armed.set(ms(60_000));
        let mut unset = Deadline::new();
        assert!(armed.poll_expired(&mut context).is_pending());
        assert!(unset.poll_expired(&mut context).is_pending());
        wake_all();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert!(!armed.is_expired() && !unset.is_expired());
    }

    #[test]
    fn a_waker_outlives_setting_anew() {
        let (count, waker) = counted();
        let mut deadline = Deadline::new();
        assert!(
            deadline
                .poll_expired(&mut Context::from_waker(&waker))
                .is_pending()
        );
        deadline.set(ms(1_000));
        deadline.clear();
        expire(ms(2_000));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        deadline.set(ms(3_000));
        deadline.set(ms(2_100));
        expire(ms(2_100));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn polling_again_with_the_same_task_clones_no_waker() {
        let (count, waker) = counted();
        let mut deadline = Deadline::new();
        deadline.set(ms(1_000));
        let _ = deadline.poll_expired(&mut Context::from_waker(&waker));
        let held = Arc::strong_count(&count);
        let _ = deadline.poll_expired(&mut Context::from_waker(&waker));
        assert_eq!(Arc::strong_count(&count), held);
        drop(deadline);
        assert_eq!(Arc::strong_count(&count), held - 1);
    }

    #[test]
    fn a_waker_may_drop_deadlines() {
        struct DropsAnother(std::sync::Mutex<Option<std::thread::ThreadId>>);
        thread_local!(static OTHER: Cell<Option<Deadline>> = const { Cell::new(None) });
        impl Wake for DropsAnother {
            fn wake(self: Arc<Self>) {
                drop(OTHER.take());
                *self.0.lock().unwrap() = Some(std::thread::current().id());
            }
        }
        let wake = Arc::new(DropsAnother(std::sync::Mutex::new(None)));
        OTHER.set(Some(Deadline::new()));
        let mut deadline = Deadline::new();
        deadline.set(ms(50));
        let _ = deadline.poll_expired(&mut Context::from_waker(&Waker::from(Arc::clone(&wake))));
        expire(ms(75));
        assert!(wake.0.lock().unwrap().is_some());
        assert!(OTHER.take().is_none());
    }

    #[test]
    fn the_next_look_is_at_what_comes_first() {
        expire(ms(0));
        assert_eq!(next_look(), Moment::NEVER);
        let mut far = Deadline::new();
        far.set(ms(3_600_000));
        let first = next_look();
        assert!(first > ms(10_000) && first <= ms(3_600_000));
        let mut near = Deadline::new();
        near.set(ms(40));
        assert_eq!(next_look(), ms(50));
        expire(ms(50));
        assert!(near.is_expired() && !far.is_expired());
        assert!(next_look() > ms(10_000));
        far.set(ms(60));
        assert_eq!(next_look(), ms(75));
        far.clear();
        expire(ms(75));
        assert_eq!(next_look(), Moment::NEVER);
    }

    #[test]
    fn a_later_deadline_does_not_hold_an_earlier_one_up() {
        let mut early = Deadline::new();
        let mut late = Deadline::new();
        late.set(ms(60_000_000));
        early.set(ms(60_000_000));
        early.set(ms(100));
        expire(ms(100));
        assert!(early.is_expired() && !late.is_expired());
        expire(ms(59_999_975));
        assert!(!late.is_expired());
        expire(ms(60_000_000));
        assert!(late.is_expired());
    }
}
