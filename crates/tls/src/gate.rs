//! Handshakes cost a thousand times what a request costs, and anybody can begin one. So there is a bound on how many are
//! unfinished, and on how many are worked on before the connections that are established have their turn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

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
    /// How many handshakes may still be computed before the loop comes around.
    left: usize,
    /// Who waits, first come first: each with its number.
    waiting: VecDeque<(u64, Waker)>,
    /// The number of whoever asks next.
    next: u64,
    /// Whoever waits with a number below this has its turn.
    called: u64,
    /// Whether somebody waits for the loop to come around.
    counting: bool,
}

impl Turns {
    /// Has those who wait longest compute, as many as may.
    fn call(&mut self) {
        while self.left > 0
            && let Some((number, waker)) = self.waiting.pop_front()
        {
            self.left -= 1;
            self.called = number + 1;
            waker.wake();
        }
    }
}

thread_local! {
    static TURNS: RefCell<Turns> = const {
        RefCell::new(Turns {
            left: HANDSHAKES_PER_TURN_MAX,
            waiting: VecDeque::new(),
            next: 0,
            called: 0,
            counting: false,
        })
    };
}

/// A place among those who wait. Whoever leaves early gives it up.
struct Place(Option<u64>);

impl Place {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        TURNS.with_borrow_mut(|turns| match self.0 {
            Some(number) if number < turns.called => Poll::Ready(()),
            Some(number) => {
                if let Ok(at) = turns.waiting.binary_search_by_key(&number, |place| place.0) {
                    turns.waiting[at].1.clone_from(cx.waker());
                }
                Poll::Pending
            }
            None => {
                if !turns.counting {
                    turns.counting = true;
                    tokio::task::spawn_local(count());
                }
                if turns.left > 0 {
                    turns.left -= 1;
                    return Poll::Ready(());
                }
                let number = turns.next;
                turns.next += 1;
                turns.waiting.push_back((number, cx.waker().clone()));
                self.0 = Some(number);
                Poll::Pending
            }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(number) = self.0 else {
            return;
        };
        TURNS.with_borrow_mut(|turns| {
            if let Ok(at) = turns.waiting.binary_search_by_key(&number, |place| place.0) {
                turns.waiting.remove(at);
            }
        });
    }
}

/// Waits for a turn to compute, behind those who wait already. Must run on a worker's local tasks.
pub(crate) async fn turn() {
    let mut place = Place(None);
    poll_fn(|cx| place.poll(cx)).await;
}

/// Hands out turns, each time the loop has come around, until nobody asks for any.
async fn count() {
    loop {
        // Comes back when sockets have been looked at and every task that was ready has run.
        tokio::task::yield_now().await;
        let idle = TURNS.with_borrow_mut(|turns| {
            let idle = turns.left == HANDSHAKES_PER_TURN_MAX && turns.waiting.is_empty();
            turns.left = HANDSHAKES_PER_TURN_MAX;
            // Whoever comes while others wait finds nothing left.
            turns.call();
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
        let computed = Rc::new(Cell::new(0));
        let all = Rc::clone(&computed);
        on_a_worker(async move {
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
        });
        assert_eq!(computed.get(), 100);
    }

    /// What `run` does on a worker's local tasks.
    fn on_a_worker(run: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(run));
    }

    #[test]
    fn nobody_is_overtaken() {
        on_a_worker(async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let mut handshakes = Vec::new();
            // More come in each turn of the loop than can be computed in one.
            for number in 0..100_usize {
                let order = Rc::clone(&order);
                handshakes.push(tokio::task::spawn_local(async move {
                    turn().await;
                    order.borrow_mut().push(number);
                }));
                if number % (HANDSHAKES_PER_TURN_MAX + 1) == 0 {
                    tokio::task::yield_now().await;
                }
            }
            for handshake in handshakes {
                handshake.await.unwrap();
            }
            // But for those who have their turn together.
            for (place, number) in order.borrow().iter().enumerate() {
                assert!(place.abs_diff(*number) <= 2 * HANDSHAKES_PER_TURN_MAX);
            }
        });
    }

    #[test]
    fn who_leaves_keeps_nobody_waiting() {
        on_a_worker(async {
            let computed = Rc::new(Cell::new(0));
            let handshakes: Vec<_> = (0..40)
                .map(|_| {
                    let computed = Rc::clone(&computed);
                    tokio::task::spawn_local(async move {
                        turn().await;
                        computed.set(computed.get() + 1);
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            for handshake in handshakes.iter().step_by(2) {
                handshake.abort();
            }
            for (number, handshake) in handshakes.into_iter().enumerate() {
                assert!(handshake.await.is_ok() || number % 2 == 0, "{number}");
            }
            assert!(computed.get() >= 20);
            TURNS.with_borrow(|turns| assert!(turns.waiting.is_empty()));
        });
    }
}
