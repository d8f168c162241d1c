//! Tasks that end together.

use crate::task;
use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A group of tasks; the default one is that of all who are in no other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GroupId(u64);

thread_local! {
    static CURRENT: Cell<GroupId> = const { Cell::new(GroupId(0)) };
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// In which group the running task is.
pub(crate) fn current() -> GroupId {
    CURRENT.get()
}

/// Does something as a member of a group.
#[inline]
pub(crate) fn within<T>(group: GroupId, act: impl FnOnce() -> T) -> T {
    struct Back(GroupId);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _back = Back(CURRENT.replace(group));
    act()
}

struct Grouped<F> {
    future: Pin<Box<F>>,
    group: GroupId,
}

impl<F: Future> Future for Grouped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let group = self.group;
        within(group, || self.future.as_mut().poll(cx))
    }
}

impl<F> Drop for Grouped<F> {
    fn drop(&mut self) {
        let group = self.group;
        task::end_all(|one| one == group);
    }
}

/// A future whose tasks end with it: those that it begins, and those that they begin.
pub fn grouped<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let number = LAST.get() + 1;
    LAST.set(number);
    Grouped {
        future: Box::pin(future),
        group: GroupId(number),
    }
}
