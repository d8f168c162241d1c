//! The line of requests that wait for a place at an endpoint, shared by all workers.
//!
//! It is looked at only where endpoints have a limit, and its lock is taken only while somebody waits.

use foregate_balance::WaitingLine;
use foregate_telemetry::metrics::{Histogram, HistogramSnapshot};
use std::sync::atomic::{AtomicUsize, Ordering, fence};
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
    line: WaitingLine<Waker>,
    /// How long those waited who have left. Written under the lock.
    waited: Histogram,
}

impl Line {
    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
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

    /// A place has come free, or may have: the first who waits tries.
    #[inline]
    pub fn call(&self) {
        // The place was given back before; who joins counts itself before it looks for a place. One of both sees the other.
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            wake(self.lock().line.call());
        }
    }

    /// Stands at the end; `None` when as many as may be wait already.
    pub fn join(self: &Arc<Line>, subset: u32, length_max: usize) -> Option<Waiting> {
        let mut state = self.lock();
        let ticket = state.line.join(subset, length_max)?;
        self.waiting.store(state.line.len(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Some(Waiting {
            line: Arc::clone(self),
            ticket,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole after each statement, so a panic elsewhere leaves nothing half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A place in the line, given up when dropped.
#[derive(Debug)]
pub struct Waiting {
    line: Arc<Line>,
    ticket: u64,
}

impl Waiting {
    /// Whether nobody before it waits for the same subset, so that it may try at once.
    pub fn is_first(&self) -> bool {
        self.line.lock().line.is_first(self.ticket)
    }

    /// Ready when there may be a place.
    pub fn poll_called(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        match self.line.lock().line.is_called(self.ticket, waker) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// There was none: whoever wants another subset tries.
    pub fn pass_on(&mut self) {
        wake(self.line.lock().line.pass_on(self.ticket));
    }

    /// It leaves, `micros` after it came; `served` when it has a place. Then the next looks, too: there may be more.
    pub fn leave(self, micros: u64, served: bool) {
        self.line.lock().waited.observe(micros);
        let line = Arc::clone(&self.line);
        drop(self);
        if served {
            line.call();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        let next = state.line.leave(self.ticket);
        let length = state.line.len();
        self.line.waiting.store(length, Ordering::SeqCst);
        drop(state);
        wake(next);
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
