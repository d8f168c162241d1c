//! Those who wait, in every order of steps, at a real pool with real connections.

use super::*;
use crate::pool::tests::{NOBODY, before, wide, within};
use crate::pool::{Carrier, Connection, PoolLimits};
use crate::seats::Seats;
use foregate_eventloop::yield_now;
use proptest::prelude::*;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

/// Those who were woken, in their order: as a worker runs them.
type Woken = Arc<Mutex<Vec<u32>>>;

/// How one who waits is woken.
struct Alarm {
    who: u32,
    rung: AtomicBool,
    woken: Woken,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.woken.lock().unwrap().push(self.who);
        }
    }
}

/// A pool of a few connections, and who wants them.
struct World {
    pool: Rc<Pool>,
    seats: Arc<Seats>,
    _listener: TcpListener,
    pending_max: usize,
    busy: Vec<Connection>,
    /// In the order they came.
    waiting: Vec<(u32, Place, Arc<Alarm>)>,
    woken: Woken,
    count: u32,
}

impl World {
    fn new(connections_max: usize, pending_max: usize) -> World {
        let listener = TcpListener::bind(NOBODY).unwrap();
        let seats: Arc<Seats> = Arc::default();
        seats.set_max(Some(connections_max));
        let limits = PoolLimits {
            is_bounded: true,
            pending_max,
            ..wide()
        };
        World {
            pool: before(&listener, &seats, limits),
            seats,
            _listener: listener,
            pending_max,
            busy: Vec::new(),
            waiting: Vec::new(),
            woken: Woken::default(),
            count: 0,
        }
    }

    /// It has what the pool gave it; false when that was nothing.
    async fn takes(&mut self, offer: Checkout) -> bool {
        let connection = match offer {
            Checkout::Full => return false,
            Checkout::Reused(connection) => connection,
            Checkout::Connect(ticket) => {
                let connecting = Pool::connect(ticket, Use::Requests, NOBODY, NOBODY);
                connecting.await.unwrap()
            }
        };
        self.busy.push(connection);
        true
    }

    async fn comes(&mut self) {
        let offer = self.pool.checkout(Use::Requests, false);
        if self.takes(offer).await {
            assert!(self.waiting.is_empty(), "nobody is passed");
            return;
        }
        self.count += 1;
        match self.pool.join(Use::Requests) {
            Ok(mut place) => {
                let alarm = Arc::new(Alarm {
                    who: self.count,
                    rung: AtomicBool::new(false),
                    woken: Arc::clone(&self.woken),
                });
                let waker = Waker::from(Arc::clone(&alarm));
                let polled = place.poll_turn(&mut Context::from_waker(&waker));
                assert!(polled.is_pending(), "there was nothing just now");
                self.waiting.push((self.count, place, alarm));
            }
            Err(reason) => {
                assert_eq!(reason, Reason::PendingFull);
                assert_eq!(self.waiting.len(), self.pending_max, "a place is kept");
            }
        }
    }

    /// A request has ended: its connection is kept, or closed.
    fn ends(&mut self, which: usize, is_kept: bool) {
        if self.busy.is_empty() {
            return;
        }
        let connection = self.busy.remove(which % self.busy.len());
        match connection.0 {
            Carrier::Http1(connection) if is_kept => Pool::check_in(connection),
            Carrier::Http1(connection) => drop(connection),
            Carrier::Http2(lease) => drop(lease),
        }
    }

    fn leaves(&mut self, which: usize) {
        if !self.waiting.is_empty() {
            self.waiting.remove(which % self.waiting.len());
        }
    }

    /// The first of those who were woken runs.
    async fn runs(&mut self) {
        let first = {
            let mut woken = self.woken.lock().unwrap();
            if woken.is_empty() {
                return;
            }
            woken.remove(0)
        };
        let at = self.waiting.iter().position(|one| one.0 == first);
        let Some(at) = at else {
            return;
        };
        let (_, place, alarm) = &mut self.waiting[at];
        alarm.rung.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(alarm));
        let mut cx = Context::from_waker(&waker);
        if place.poll_turn(&mut cx).is_pending() {
            return;
        }
        let offer = place.checkout(false);
        if matches!(offer, Checkout::Full) {
            assert!(place.poll_turn(&mut cx).is_pending());
            return;
        }
        let woken = self.woken.lock().unwrap().clone();
        let mut before = self.waiting[..at].iter();
        assert!(
            before.all(|one| woken.contains(&one.0)),
            "who came before has a connection coming to it, too"
        );
        self.waiting.remove(at);
        assert!(self.takes(offer).await);
    }

    async fn step(&mut self, kind: u8, which: usize) {
        match kind {
            0..=3 => self.comes().await,
            4 | 5 => self.ends(which, true),
            6 => self.ends(which, false),
            7 => self.leaves(which),
            // Nobody knows what for.
            8 => self.pool.wake_all(),
            9 => self.pool.stir(),
            _ => self.runs().await,
        }
        // Seats are handed out by a task of the pool's own.
        if !which.is_multiple_of(3) {
            yield_now().await;
        }
    }

    /// All who were woken run, until nobody has anything to do.
    async fn settle(&mut self) {
        for _ in 0..1_000 {
            yield_now().await;
            yield_now().await;
            if self.woken.lock().unwrap().is_empty() {
                break;
            }
            self.runs().await;
        }
        assert!(self.woken.lock().unwrap().is_empty(), "it comes to an end");
        assert!(
            self.waiting.is_empty() || self.pool.is_busy(),
            "nobody sleeps beside a connection"
        );
    }
}

/// A backend may have one connection, and one request may wait. When the one that has it ends, two new ones are there
/// before the one that waits has run.
#[test]
fn who_waits_is_not_passed_by_those_who_come_while_it_is_called() {
    within(|| async {
        let mut world = World::new(1, 1);
        world.comes().await;
        world.comes().await;
        assert_eq!((world.busy.len(), world.waiting.len()), (1, 1));
        world.ends(0, true);
        world.comes().await;
        world.comes().await;
        assert_eq!(world.waiting[0].0, 1, "it has kept its place");
        world.runs().await;
        assert_eq!((world.busy.len(), world.waiting.len()), (1, 0));
    });
}

#[test]
fn a_call_in_vain_costs_nobody_its_place() {
    within(|| async {
        let mut world = World::new(1, 3);
        for _ in 0..4 {
            world.comes().await;
        }
        world.pool.wake_all();
        world.settle().await;
        let order: Vec<u32> = world.waiting.iter().map(|one| one.0).collect();
        assert_eq!(order, [1, 2, 3]);
        for left in [2, 1, 0] {
            world.ends(0, left != 1);
            world.settle().await;
            assert_eq!(world.waiting.len(), left);
        }
    });
}

#[test]
fn more_connections_serve_those_who_wait() {
    within(|| async {
        let mut world = World::new(1, 9);
        for _ in 0..4 {
            world.comes().await;
        }
        world.seats.set_max(Some(3));
        world.settle().await;
        assert_eq!((world.busy.len(), world.waiting.len()), (3, 1));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Requests that come, end in order or not, leave, and are called for nothing.
    #[test]
    fn first_come_first_served(
        steps in proptest::collection::vec((0..16_u8, 0..1_000_usize), 1..120),
        connections_max in 1..4_usize,
        pending_max in 0..6_usize,
    ) {
        within(|| async move {
            let mut world = World::new(connections_max, pending_max);
            for (number, (kind, which)) in steps.into_iter().enumerate() {
                world.step(kind, which).await;
                assert!(world.busy.len() <= connections_max);
                if number % 15 == 14 {
                    world.settle().await;
                }
            }
            world.settle().await;
        });
    }
}
