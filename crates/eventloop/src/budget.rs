//! How much a task may do before it is the others' turn.

use crate::task;
use std::cell::Cell;
use std::task::{Context, Poll};

/// Reads and accepted connections of one turn of a task. A socket that always has more would keep all others waiting.
const READS_PER_TURN_MAX: u32 = 128;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(READS_PER_TURN_MAX) };
}

/// A task's turn begins.
#[inline]
pub(crate) fn renew() {
    LEFT.set(READS_PER_TURN_MAX);
}

/// Whether the task may go on; if not, it has its next turn once the loop has come around.
#[inline]
pub(crate) fn poll_spend(cx: &Context<'_>) -> Poll<()> {
    match LEFT.get().checked_sub(1) {
        Some(left) => {
            LEFT.set(left);
            Poll::Ready(())
        }
        None => {
            task::defer(cx.waker().clone());
            Poll::Pending
        }
    }
}
