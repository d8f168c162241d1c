//! The line of requests that wait for a place at an endpoint, shared by all workers.
//!
//! It is looked at only where endpoints have a limit, and its lock is taken only while somebody waits.

use foregate_balance::{Joined, Look, Ticket, WaitingLine};
use foregate_telemetry::metrics::{Histogram, HistogramSnapshot};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Lives as long as any configuration names the upstream.
#[derive(Debug, Default)]
pub struct Line {
    /// How many wait, so that whoever has a place to give needs no lock when nobody does.
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    line: WaitingLine<Arc<Bell>>,
    /// How long those waited who have left. Written under the lock.
    waited: Histogram,
}

/// How one who waits is told that it is called. It is rung outside the line's lock, for that may cost a system call.
#[derive(Debug, Default)]
struct Bell {
    rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        let waker = self.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it has rung since it was asked last; otherwise the task is woken when it does.
    fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rung.swap(false, Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut waker = self.lock();
        if !(waker.as_ref()).is_some_and(|known| known.will_wake(cx.waker())) {
            let before = waker.replace(cx.waker().clone());
            drop(waker);
            drop(before);
        }
        // It may have rung before there was anybody to wake.
        match self.rung.swap(false, Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Whether nobody waits for the places of a lane, so that whoever comes passes nobody.
    pub fn is_free(&self, lane: u64) -> bool {
        self.is_empty() || self.lock().line.is_free(lane)
    }

    /// How many wait.
    pub fn length(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How long those waited who have left.
    pub fn waited(&self) -> HistogramSnapshot {
        let mut snapshot = HistogramSnapshot::default();
        snapshot.add(&self.lock().waited);
        snapshot
    }

    /// A place has come free: the first who waits looks.
    #[inline]
    pub fn call(&self) {
        self.tell(WaitingLine::call);
    }

    /// There may be places that nobody has given back: whoever is first looks, unless somebody is called already.
    pub fn look_again(&self) {
        self.tell(WaitingLine::look_again);
    }

    #[inline]
    fn tell(&self, next: impl FnOnce(&mut WaitingLine<Arc<Bell>>) -> Option<Arc<Bell>>) {
        // The place was given back before; who joins counts itself before it looks for a place. One of both sees the other.
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.change(next);
        }
    }

    /// Changes the line, and tells whoever is called for it once the lock is given back.
    fn change(&self, change: impl FnOnce(&mut WaitingLine<Arc<Bell>>) -> Option<Arc<Bell>>) {
        let mut state = self.lock();
        let next = change(&mut state.line);
        self.waiting.store(state.line.len(), Ordering::SeqCst);
        drop(state);
        if let Some(next) = next {
            next.ring();
        }
    }

    /// Stands at the end of a lane; `None` when `length_max` wait already, whatever for.
    pub fn join(self: &Arc<Line>, lane: u64, length_max: usize) -> Option<Waiting> {
        let bell = Arc::new(Bell::default());
        let mut state = self.lock();
        let Joined { ticket, look } = state.line.join(lane, length_max, Arc::clone(&bell))?;
        self.waiting.store(state.line.len(), Ordering::SeqCst);
        drop(state);
        fence(Ordering::SeqCst);
        Some(Waiting {
            line: Arc::clone(self),
            bell,
            ticket,
            look,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole after each statement, so a panic elsewhere leaves nothing half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, given up when dropped. A call that it has not made use of goes to the next.
#[derive(Debug)]
pub struct Waiting {
    line: Arc<Line>,
    bell: Arc<Bell>,
    ticket: Ticket,
    /// Its right to look for a place, until it says that there was none.
    look: Option<Look>,
}

impl Waiting {
    /// Ready when it may look for a place: it has been called, or has just come and nobody else waits for the same.
    /// Then it either leaves or says that it [`Waiting::found_nothing`].
    pub fn poll_called(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.look.is_none() {
            // The lock is for those who have something to do.
            if self.bell.poll_rung(cx).is_pending() {
                return Poll::Pending;
            }
            let ticket = self.ticket;
            let mut look = None;
            self.line.change(|line| {
                let (own, other) = line.take_call(ticket);
                look = own;
                other
            });
            self.look = look;
        }
        Poll::Ready(())
    }

    /// There was none: it waits on where it stood, and those who want another place look.
    pub fn found_nothing(&mut self) {
        if let Some(look) = self.look.take() {
            let ticket = self.ticket;
            self.line.change(|line| line.found_nothing(ticket, look));
        }
    }

    /// It leaves, `micros` after it came, with a place or without.
    pub fn leave(self, micros: u64) {
        self.line.lock().waited.observe(micros);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (ticket, has_looked) = (self.ticket, self.look.is_some());
        self.line.change(|line| line.leave(ticket, has_looked));
    }
}

/// A place at an endpoint that others may wait for; whoever waits is called when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Line>);

impl Place {
    /// The place of a request that an endpoint counts.
    pub fn new(line: &Arc<Line>) -> Place {
        Place(Arc::clone(line))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    /// Notes how often it is woken, and whether the line could be used meanwhile.
    struct Watch {
        line: Arc<Line>,
        woken: AtomicU32,
    }

    impl Wake for Watch {
        fn wake(self: Arc<Self>) {
            assert!(self.line.state.try_lock().is_ok(), "the lock is given back");
            self.woken.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn watch(line: &Arc<Line>) -> Arc<Watch> {
        Arc::new(Watch {
            line: Arc::clone(line),
            woken: AtomicU32::new(0),
        })
    }

    fn polls(waiting: &mut Waiting, watch: &Arc<Watch>) -> bool {
        let waker = Waker::from(Arc::clone(watch));
        let mut cx = Context::from_waker(&waker);
        waiting.poll_called(&mut cx).is_ready()
    }

    #[test]
    fn who_is_called_is_woken_outside_the_lock() {
        let line: Arc<Line> = Arc::default();
        let (first_watch, second_watch) = (watch(&line), watch(&line));
        let mut first = line.join(0, 9).unwrap();
        let mut second = line.join(1, 9).unwrap();
        assert!(polls(&mut first, &first_watch), "it looks at once");
        first.found_nothing();
        assert!(polls(&mut second, &second_watch));
        second.found_nothing();
        assert!(!polls(&mut first, &first_watch));
        assert!(!polls(&mut second, &second_watch));
        drop(Place::new(&line));
        assert_eq!(first_watch.woken.load(Ordering::SeqCst), 1);
        assert!(polls(&mut first, &first_watch));
        // It gives up with its call in hand, as when all circuits of its lane are open.
        first.leave(5);
        assert_eq!(second_watch.woken.load(Ordering::SeqCst), 1);
        assert!(polls(&mut second, &second_watch));
        second.leave(5);
        assert!(line.is_empty() && line.is_free(0));
        assert_eq!(line.waited().count(), 2);
    }

    #[test]
    fn a_poll_takes_no_lock_while_nobody_calls() {
        let line: Arc<Line> = Arc::default();
        let watch = watch(&line);
        let mut waiting = line.join(0, 9).unwrap();
        assert!(polls(&mut waiting, &watch));
        waiting.found_nothing();
        let state = line.state.lock().unwrap();
        assert!(!polls(&mut waiting, &watch));
        assert!(!polls(&mut waiting, &watch));
        drop(state);
        line.look_again();
        assert!(polls(&mut waiting, &watch));
    }
}
