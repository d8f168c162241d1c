//! Handshakes cost ten times what a request costs and more, and anybody can begin one. So there is a bound on how many are
//! unfinished, and on how long they are worked on before the connections that are established have their turn.

use foregate_eventloop::{spawn_local, yield_now};
use foregate_telemetry::clock::{Moment, now};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long a worker computes handshakes in one turn of its loop, but for the rest of the last one: some seven with keys of
/// elliptic curves, and one where a signature takes longer. Fewer in a turn make the loop come around more often for the
/// same work.
const COMPUTED_PER_TURN_MAX: Duration = Duration::from_micros(500);

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
    /// How long handshakes have been computed since the loop came around.
    spent: Duration,
    /// Whether one is being computed.
    busy: bool,
    /// Who waits, first come first: each with its number.
    waiting: VecDeque<(u64, Waker)>,
    /// The number of whoever asks next.
    next: u64,
    /// Whether somebody waits for the loop to come around.
    counting: bool,
}

impl Turns {
    fn may_compute(&self) -> bool {
        !self.busy && self.spent < COMPUTED_PER_TURN_MAX
    }

    /// Has the one who waits longest look whether it may.
    fn call(&self) {
        if self.may_compute()
            && let Some((_, waker)) = self.waiting.front()
        {
            waker.wake_by_ref();
        }
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        self.waiting
            .binary_search_by_key(&number, |place| place.0)
            .ok()
    }
}

thread_local! {
    static TURNS: RefCell<Turns> = const {
        RefCell::new(Turns {
            spent: Duration::ZERO,
            busy: false,
            waiting: VecDeque::new(),
            next: 0,
            counting: false,
        })
    };
}

/// A place among those who wait. Whoever leaves gives it up.
struct Place(Option<u64>);

impl Place {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        TURNS.with_borrow_mut(|turns| {
            if !turns.counting {
                turns.counting = true;
                spawn_local(count());
            }
            let place = self.0.and_then(|number| turns.place_of(number));
            let is_first = place.unwrap_or(turns.waiting.len()) == 0;
            if is_first && turns.may_compute() {
                turns.busy = true;
                return Poll::Ready(());
            }
            if let Some(place) = place {
                turns.waiting[place].1.clone_from(cx.waker());
                return Poll::Pending;
            }
            let number = turns.next;
            turns.next += 1;
            turns.waiting.push_back((number, cx.waker().clone()));
            self.0 = Some(number);
            Poll::Pending
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(number) = self.0 else {
            return;
        };
        TURNS.with_borrow_mut(|turns| {
            if let Some(place) = turns.place_of(number) {
                turns.waiting.remove(place);
                turns.call();
            }
        });
    }
}

/// The time in which a handshake is computed, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Moment);

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.with_borrow_mut(|turns| {
            turns.spent += now().since(self.0);
            turns.busy = false;
            turns.call();
        });
    }
}

/// Waits for a turn to compute, behind those who wait already. Nobody else computes while it is held, so nothing may be
/// waited for meanwhile. Must run on a worker's loop.
pub(crate) async fn turn() -> Turn {
    let mut place = Place(None);
    poll_fn(|cx| place.poll(cx)).await;
    Turn(now())
}

/// Hands out turns, each time the loop has come around, until nobody asks for any.
async fn count() {
    loop {
        // Comes back when sockets have been looked at and every task that was ready has run.
        yield_now().await;
        let idle = TURNS.with_borrow_mut(|turns| {
            let idle = turns.spent.is_zero() && turns.waiting.is_empty();
            turns.spent = Duration::ZERO;
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
    use foregate_eventloop::{Task, block_on};
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

    /// What `run` does on a worker's loop.
    fn on_a_worker(run: impl Future<Output = ()>) {
        block_on(run).unwrap();
    }

    async fn are_over(tasks: Vec<Task>) {
        while !tasks.iter().all(|task| task.is_finished()) {
            yield_now().await;
        }
    }

    /// How long a handshake is computed here, at least.
    const COST: Duration = Duration::from_micros(50);
    /// How many of them fit between two looks at other tasks.
    const PER_TURN_MAX: usize = (COMPUTED_PER_TURN_MAX.as_micros() / COST.as_micros()) as usize;

    async fn compute() {
        let turn = turn().await;
        while now().since(turn.0) < COST {
            std::hint::spin_loop();
        }
    }

    /// Handshakes under way, and how many of them were computed.
    fn a_hundred() -> (Rc<Cell<usize>>, Vec<Task>) {
        let computed = Rc::new(Cell::new(0));
        let begin = |_| {
            let computed = Rc::clone(&computed);
            spawn_local(async move {
                compute().await;
                computed.set(computed.get() + 1);
            })
        };
        let handshakes = (0..100).map(begin).collect();
        (computed, handshakes)
    }

    #[test]
    fn other_tasks_run_between_many_handshakes() {
        on_a_worker(async move {
            let (computed, handshakes) = a_hundred();
            // What an established connection sees: between any two of its turns only a few were computed.
            let mut before = 0;
            while computed.get() < 100 {
                yield_now().await;
                assert!(computed.get() - before <= 2 * PER_TURN_MAX, "{before}");
                before = computed.get();
            }
            are_over(handshakes).await;
        });
    }

    #[test]
    fn nobody_is_overtaken() {
        on_a_worker(async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let mut handshakes = Vec::new();
            // More come in each turn of the loop than can be computed in one.
            for number in 0..200_usize {
                let order = Rc::clone(&order);
                handshakes.push(spawn_local(async move {
                    compute().await;
                    order.borrow_mut().push(number);
                }));
                if number % (2 * PER_TURN_MAX) == 0 {
                    yield_now().await;
                }
            }
            are_over(handshakes).await;
            assert_eq!(*order.borrow(), (0..200).collect::<Vec<_>>());
        });
    }

    #[test]
    fn who_leaves_keeps_nobody_waiting() {
        on_a_worker(async {
            let (computed, handshakes) = a_hundred();
            yield_now().await;
            for handshake in handshakes.iter().step_by(2) {
                handshake.abort();
            }
            are_over(handshakes).await;
            assert!((50..100).contains(&computed.get()));
            TURNS.with_borrow(|turns| assert!(turns.waiting.is_empty() && !turns.busy));
        });
    }
}
