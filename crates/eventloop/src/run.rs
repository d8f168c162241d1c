//! The loop.

use crate::budget;
use crate::source::{self, Events};
use crate::task::{self, ROOT};
use foregate_telemetry::clock::{Deadline, Moment, deadlines, now};
use rustix::event::Timespec;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Turns of tasks before sockets are looked at again: large enough that a burst of ready connections is served in one round.
const TURNS_MAX: u32 = 61;

/// Runs the thread's loop until `future` is over. Tasks that are not over by then end with it.
///
/// # Errors
/// The loop can't be had: no descriptor is left for it, or the kernel refuses to wait.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    struct Ending;
    impl Drop for Ending {
        fn drop(&mut self) {
            task::end_all(|_| true);
        }
    }
    let remote = source::open()?;
    let mut events = Events::new();
    let _ending = Ending;
    let mut future = pin!(future);
    let waker = task::waker_of(ROOT);
    let mut cx = Context::from_waker(&waker);
    waker.wake_by_ref();
    loop {
        if task::take_root() {
            budget::renew();
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return Ok(output);
            }
        }
        for _ in 0..TURNS_MAX {
            if !task::run_next() {
                break;
            }
        }
        let timeout = match task::is_busy() {
            true => Some(Duration::ZERO),
            false => time_left(),
        };
        if events.wait(timeout.map(timespec).as_ref())? {
            task::wake_told(&remote);
        }
        let now = now();
        if now >= deadlines::next_look() {
            deadlines::expire(now);
        }
        task::wake_deferred();
    }
}

/// How long the thread may sleep; `None` for good.
fn time_left() -> Option<Duration> {
    let next = deadlines::next_look();
    (next != Moment::NEVER).then(|| next.since(now()))
}

fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    }
}

/// Lets the loop come around: what else is ready has its turn, and sockets are looked at.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        task::defer(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

/// What a future comes to, unless that takes longer than `span`.
pub async fn timeout<F: Future>(span: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut deadline = Deadline::new();
    deadline.set(now().plus(span));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        deadline.poll_expired(cx).map(|()| None)
    })
    .await
}
