//! Handshakes cost a thousand times what a request costs, and anybody can begin one. So there is a bound on how many are
//! unfinished, and on how many are worked on before the connections that are established have their turn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

/// How many handshakes a worker computes in one turn of its loop: a millisecond at most.
const HANDSHAKES_PER_TURN_MAX: usize = 2;

/// Bounds how many handshakes are unfinished, over all workers.
#[derive(Debug)]
pub struct HandshakeGate {
    unfinished: AtomicUsize,
    unfinished_max: AtomicUsize,
}

impl HandshakeGate {
    /// A gate for so many.
    pub fn new(unfinished_max: usize) -> Arc<HandshakeGate> {
        Arc::new(HandshakeGate {
            unfinished: AtomicUsize::new(0),
            unfinished_max: AtomicUsize::new(unfinished_max),
        })
    }

    /// Takes a new configuration's bound.
    pub fn set_max(&self, unfinished_max: usize) {
        self.unfinished_max.store(unfinished_max, Ordering::Relaxed);
    }

    /// How many are unfinished.
    pub fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Lets a handshake begin, if there is room for one.
    pub fn enter(self: &Arc<Self>) -> Option<Pass> {
        let before = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let pass = Pass(Arc::clone(self));
        (before < self.unfinished_max.load(Ordering::Relaxed)).then_some(pass)
    }
}

/// A handshake's place, until it is dropped.
#[derive(Debug)]
pub struct Pass(Arc<HandshakeGate>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.unfinished.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One worker's turns.
struct Turns {
    left: usize,
    waiting: VecDeque<Waker>,
    /// Whether somebody waits for the loop to come around.
    counting: bool,
}

thread_local! {
    static TURNS: RefCell<Turns> = const {
        RefCell::new(Turns {
            left: HANDSHAKES_PER_TURN_MAX,
            waiting: VecDeque::new(),
            counting: false,
        })
    };
}

/// Waits for a turn to compute. Must run on a worker's local tasks.
pub(crate) async fn turn() {
    poll_fn(|cx| {
        TURNS.with_borrow_mut(|turns| {
            if !turns.counting {
                turns.counting = true;
                tokio::task::spawn_local(count());
            }
            if turns.left > 0 {
                turns.left -= 1;
                return Poll::Ready(());
            }
            turns.waiting.push_back(cx.waker().clone());
            Poll::Pending
        })
    })
    .await;
}

/// Hands out turns, each time the loop has come around, until nobody asks for any.
async fn count() {
    loop {
        // Comes back when sockets have been looked at and every task that was ready has run.
        tokio::task::yield_now().await;
        let idle = TURNS.with_borrow_mut(|turns| {
            let idle = turns.left == HANDSHAKES_PER_TURN_MAX && turns.waiting.is_empty();
            turns.left = HANDSHAKES_PER_TURN_MAX;
            let next = turns.waiting.len().min(HANDSHAKES_PER_TURN_MAX);
            turns.waiting.drain(..next).for_each(Waker::wake);
            turns.counting = !idle;
            idle
        });
        if idle {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn the_gate_closes_and_opens_again() {
        let gate = HandshakeGate::new(2);
        let first = gate.enter().unwrap();
        let _second = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        assert_eq!(gate.unfinished(), 2);
        drop(first);
        assert!(gate.enter().is_some());
    }

    #[test]
    fn other_tasks_run_between_many_handshakes() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        let computed = Rc::new(Cell::new(0));
        let all = Rc::clone(&computed);
        runtime.block_on(local.run_until(async move {
            let handshakes: Vec<_> = (0..100)
                .map(|_| {
                    let computed = Rc::clone(&all);
                    tokio::task::spawn_local(async move {
                        turn().await;
                        computed.set(computed.get() + 1);
                    })
                })
                .collect();
            // What an established connection sees: between any two of its turns only a few were computed.
            let mut before = 0;
            while all.get() < 100 {
                tokio::task::yield_now().await;
                assert!(
                    all.get() - before <= 2 * HANDSHAKES_PER_TURN_MAX,
                    "{before}"
                );
                before = all.get();
            }
            for handshake in handshakes {
                handshake.await.unwrap();
            }
        }));
        assert_eq!(computed.get(), 100);
    }
}
