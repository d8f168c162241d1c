//! Tasks, wake-ups and deadlines of a loop.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use foregate_eventloop::{block_on, grouped, spawn_local, timeout, yield_now};
use foregate_telemetry::clock::{Deadline, deadlines, now};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::mpsc::sync_channel;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Tells that it was dropped.
struct Falls(Rc<Cell<u32>>);

impl Drop for Falls {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn tasks_run_in_the_order_in_which_they_are_woken() {
    let order = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        for number in 0..200 {
            let order = Rc::clone(&order);
            spawn_local(async move {
                order.borrow_mut().push(number);
                yield_now().await;
                order.borrow_mut().push(number);
            });
        }
        while order.borrow().len() < 400 {
            yield_now().await;
        }
    })
    .unwrap();
    let all: Vec<_> = (0..200).chain(0..200).collect();
    assert_eq!(*order.borrow(), all);
}

/// A worker's orders are taken by what its loop is run for, its requests by tasks.
#[test]
fn what_the_loop_is_run_for_comes_first() {
    block_on(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::new(Notify::new());
        for number in 0..3 {
            let (order, told) = (Rc::clone(&order), Rc::clone(&told));
            spawn_local(async move {
                order.borrow_mut().push(number);
                // They are ready before it is.
                yield_now().await;
                told.notify_one();
                order.borrow_mut().push(number);
                yield_now().await;
                order.borrow_mut().push(number);
            });
        }
        told.notified().await;
        order.borrow_mut().push(9);
        while order.borrow().len() < 10 {
            yield_now().await;
        }
        assert_eq!(*order.borrow(), [0, 1, 2, 0, 1, 2, 9, 0, 1, 2]);
    })
    .unwrap();
}

#[test]
fn a_task_that_is_woken_again_and_again_runs_once() {
    block_on(async {
        let waker = Rc::new(RefCell::new(None::<Waker>));
        let turns = Rc::new(Cell::new(0));
        let (theirs, counted) = (Rc::clone(&waker), Rc::clone(&turns));
        spawn_local(poll_fn(move |cx| {
            theirs.replace(Some(cx.waker().clone()));
            counted.set(counted.get() + 1);
            Poll::Pending
        }));
        yield_now().await;
        assert_eq!(turns.get(), 1);
        for _ in 0..5 {
            waker.borrow().as_ref().unwrap().wake_by_ref();
        }
        yield_now().await;
        assert_eq!(turns.get(), 2);
    })
    .unwrap();
}

#[test]
fn a_panic_ends_one_task_and_what_it_holds() {
    let fallen = Rc::new(Cell::new(0));
    block_on(async {
        let held = Falls(Rc::clone(&fallen));
        let panics = spawn_local(async move {
            let _held = held;
            yield_now().await;
            panic!("as is expected of it");
        });
        let lives = spawn_local(pending());
        while !panics.is_finished() {
            yield_now().await;
        }
        assert_eq!(fallen.get(), 1);
        assert!(!lives.is_finished());
    })
    .unwrap();
}

#[test]
fn a_task_that_is_aborted_is_dropped_at_once_and_its_wakers_wake_nobody() {
    block_on(async {
        let fallen = Rc::new(Cell::new(0));
        let held = Falls(Rc::clone(&fallen));
        let waker = Rc::new(RefCell::new(None::<Waker>));
        let theirs = Rc::clone(&waker);
        let task = spawn_local(poll_fn(move |cx| {
            let _ = &held;
            theirs.replace(Some(cx.waker().clone()));
            Poll::Pending
        }));
        yield_now().await;
        task.abort();
        assert_eq!(fallen.get(), 1);
        assert!(task.is_finished());
        // Another one may have its place by now.
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let other = spawn_local(poll_fn(move |_| {
            counted.set(counted.get() + 1);
            Poll::Pending
        }));
        yield_now().await;
        waker.borrow().as_ref().unwrap().wake_by_ref();
        yield_now().await;
        assert_eq!(turns.get(), 1);
        task.abort();
        assert!(!other.is_finished());
    })
    .unwrap();
}

#[test]
fn a_panic_in_what_an_aborted_task_holds_harms_nobody() {
    struct Trap;
    impl Drop for Trap {
        fn drop(&mut self) {
            panic!("as is expected of it");
        }
    }
    block_on(async {
        let trap = Trap;
        let task = spawn_local(async move {
            let _trap = trap;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.is_finished());
    })
    .unwrap();
}

#[test]
fn a_task_may_abort_itself() {
    block_on(async {
        let fallen = Rc::new(Cell::new(0));
        let held = Falls(Rc::clone(&fallen));
        let own = Rc::new(Cell::new(None::<foregate_eventloop::Task>));
        let told = Rc::clone(&own);
        let task = spawn_local(async move {
            let _held = held;
            if let Some(own) = told.take() {
                own.abort();
            }
            yield_now().await;
            unreachable!("it is over");
        });
        own.set(Some(task));
        while fallen.get() == 0 {
            yield_now().await;
        }
        assert!(task.is_finished());
    })
    .unwrap();
}

#[test]
fn what_is_not_over_ends_with_the_loop() {
    let fallen = Rc::new(Cell::new(0));
    for round in 1..=3 {
        block_on(async {
            let held = Falls(Rc::clone(&fallen));
            spawn_local(async move {
                let _held = held;
                pending::<()>().await;
            });
            yield_now().await;
        })
        .unwrap();
        assert_eq!(fallen.get(), round);
    }
}

#[test]
fn a_group_ends_with_its_future() {
    block_on(async {
        let fallen = Rc::new(Cell::new(0));
        let outside = spawn_local(pending());
        let (first, second) = (Falls(Rc::clone(&fallen)), Falls(Rc::clone(&fallen)));
        grouped(async move {
            spawn_local(async move {
                let _first = first;
                // Whoever is begun by a member is one.
                spawn_local(async move {
                    let _second = second;
                    pending::<()>().await;
                });
                pending::<()>().await;
            });
            yield_now().await;
            yield_now().await;
        })
        .await;
        assert_eq!(fallen.get(), 2);
        assert!(!outside.is_finished());
    })
    .unwrap();
}

#[test]
fn other_threads_wake_a_loop_that_sleeps() {
    let (sender, mut receiver) = mpsc::channel(4);
    let sending = thread::spawn(move || {
        for number in 0..2_000 {
            sender.blocking_send(number).unwrap();
        }
    });
    let received = block_on(async move {
        let mut all = Vec::new();
        while let Some(number) = receiver.recv().await {
            all.push(number);
        }
        all
    });
    assert_eq!(received.unwrap(), (0..2_000).collect::<Vec<_>>());
    sending.join().unwrap();
}

#[test]
fn loops_wake_each_other() {
    let (there, back) = (
        std::sync::Arc::new(Notify::new()),
        std::sync::Arc::new(Notify::new()),
    );
    let (their_there, their_back) = (std::sync::Arc::clone(&there), std::sync::Arc::clone(&back));
    let other = thread::spawn(move || {
        block_on(async move {
            for _ in 0..1_000 {
                their_there.notified().await;
                their_back.notify_one();
            }
        })
    });
    block_on(async {
        for _ in 0..1_000 {
            there.notify_one();
            back.notified().await;
        }
    })
    .unwrap();
    other.join().unwrap().unwrap();
}

#[test]
fn a_waker_outlives_its_loop() {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        block_on(async move {
            spawn_local(poll_fn(move |cx| {
                let _ = sender.try_send(cx.waker().clone());
                Poll::Pending
            }));
            yield_now().await;
        })
    })
    .join()
    .unwrap()
    .unwrap();
    let waker = receiver.recv().unwrap();
    waker.wake_by_ref();
    waker.wake_by_ref();
    waker.wake();
}

#[test]
fn a_deadline_wakes_a_loop_that_sleeps_and_not_before_its_time() {
    block_on(async {
        for _ in 0..3 {
            let mut far = Deadline::new();
            far.set(now().plus_millis(3_600_000));
            let at = now().plus_millis(40);
            let mut near = Deadline::new();
            near.set(at);
            near.expired().await;
            assert!(now() >= at);
            assert!(now().since(at) < Duration::from_secs(5));
            assert!(!far.is_expired());
        }
        assert_eq!(deadlines::armed(), 0);
    })
    .unwrap();
}

#[test]
fn deadlines_come_though_tasks_are_always_ready() {
    block_on(async {
        let busy = spawn_local(async {
            loop {
                yield_now().await;
            }
        });
        assert_eq!(
            timeout(Duration::from_millis(30), pending::<()>()).await,
            None
        );
        assert_eq!(timeout(Duration::from_secs(60), async { 7 }).await, Some(7));
        assert!(!busy.is_finished());
    })
    .unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Begin,
    Wake(usize),
    Abort(usize),
    ComeAround,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Begin),
        4 => (0..16_usize).prop_map(Step::Wake),
        2 => (0..16_usize).prop_map(Step::Abort),
        2 => Just(Step::ComeAround),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A task as the test knows it.
struct Known {
    task: foregate_eventloop::Task,
    waker: Rc<RefCell<Option<Waker>>>,
    turns: Rc<Cell<u32>>,
    /// How often it must have run once the loop has come around.
    due: u32,
    is_woken: bool,
    is_aborted: bool,
}

fn begin() -> Known {
    let (waker, turns) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
    let (theirs, counted) = (Rc::clone(&waker), Rc::clone(&turns));
    let task = spawn_local(poll_fn(move |cx| {
        theirs.replace(Some(cx.waker().clone()));
        counted.set(counted.get() + 1);
        Poll::Pending
    }));
    Known {
        task,
        waker,
        turns,
        due: 0,
        is_woken: true,
        is_aborted: false,
    }
}

async fn follow(steps: Vec<Step>) {
    let mut all: Vec<Known> = Vec::new();
    for step in steps.into_iter().chain([Step::ComeAround]) {
        match step {
            Step::Begin => all.push(begin()),
            Step::Wake(number) => {
                if let Some(one) = all.get_mut(number)
                    && let Some(waker) = &*one.waker.borrow()
                {
                    waker.wake_by_ref();
                    one.is_woken = true;
                }
            }
            Step::Abort(number) => {
                if let Some(one) = all.get_mut(number) {
                    one.task.abort();
                    one.is_aborted = true;
                }
            }
            Step::ComeAround => {
                yield_now().await;
                for one in &mut all {
                    one.due += u32::from(one.is_woken && !one.is_aborted);
                    one.is_woken = false;
                    assert_eq!(one.turns.get(), one.due);
                    assert_eq!(one.task.is_finished(), one.is_aborted);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn whoever_is_woken_runs_once_and_nobody_else(steps in steps()) {
        block_on(follow(steps)).unwrap();
    }
}
