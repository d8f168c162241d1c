//! The tasks of a thread.

use crate::group::{self, GroupId};
use crate::remote::Remote;
use crate::{budget, source};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// A task of one loop. An id whose task is over is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskId {
    slot: u32,
    generation: u32,
}

/// The future that [`crate::block_on`] waits for, which lives on its stack.
pub(crate) const ROOT: TaskId = TaskId {
    slot: u32::MAX,
    generation: 0,
};

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// What there is to do, and by what it is told to go on.
struct Ready {
    work: Work,
    waker: Waker,
}

#[derive(Default)]
struct Slot {
    /// `None` while it runs, and when it is free.
    ready: Option<Ready>,
    generation: u32,
    group: GroupId,
    is_used: bool,
    /// Whether it stands in the queue.
    is_queued: bool,
}

/// All tasks of the thread.
struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u32>,
    queue: VecDeque<TaskId>,
    root_is_woken: bool,
    /// Those who let the loop come around before they go on.
    deferred: Vec<Waker>,
}

thread_local! {
    static TASKS: RefCell<Tasks> = const {
        RefCell::new(Tasks {
            slots: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            root_is_woken: false,
            deferred: Vec::new(),
        })
    };
    /// By which other threads reach this one's loop; its address tells it from others.
    static HERE: Cell<*const Remote> = const { Cell::new(std::ptr::null()) };
}

/// What a waker of a task holds.
#[derive(Debug)]
pub(crate) struct Handle {
    id: TaskId,
    /// Whether another thread has left word for it.
    is_told: AtomicBool,
    remote: Arc<Remote>,
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let is_here = HERE.try_with(|here| here.get() == Arc::as_ptr(&self.remote));
        if is_here == Ok(true) {
            // At the thread's end there is nobody to wake.
            let _ = TASKS.try_with(|tasks| tasks.borrow_mut().wake(self.id));
        } else if !self.is_told.swap(true, Ordering::AcqRel) {
            self.remote.wake(Arc::clone(self));
        }
    }
}

/// A waker of a task of this thread.
pub(crate) fn waker_of(id: TaskId) -> Waker {
    let remote = source::remote();
    HERE.set(Arc::as_ptr(&remote));
    Waker::from(Arc::new(Handle {
        id,
        is_told: AtomicBool::new(false),
        remote,
    }))
}

impl Tasks {
    #[inline]
    fn wake(&mut self, id: TaskId) {
        if id == ROOT {
            self.root_is_woken = true;
            return;
        }
        if let Some(slot) = self.slots.get_mut(id.slot as usize)
            && slot.is_used
            && slot.generation == id.generation
            && !std::mem::replace(&mut slot.is_queued, true)
        {
            self.queue.push_back(id);
        }
    }

    /// A slot of its own, in which there is nothing yet.
    fn reserve(&mut self, group: GroupId) -> TaskId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer tasks than u32 counts")
        });
        let place = &mut self.slots[slot as usize];
        place.is_used = true;
        place.group = group;
        TaskId {
            slot,
            generation: place.generation,
        }
    }

    fn slot(&mut self, id: TaskId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        (slot.is_used && slot.generation == id.generation).then_some(slot)
    }

    /// Ends a task. What it held is the caller's to drop, once nothing is borrowed.
    fn remove(&mut self, id: TaskId) -> Option<Ready> {
        let slot = self.slot(id)?;
        let ready = slot.ready.take();
        slot.generation = slot.generation.wrapping_add(1);
        slot.is_used = false;
        slot.is_queued = false;
        self.free.push(id.slot);
        ready
    }
}

/// A task that was begun. It goes on without whoever holds this.
#[derive(Clone, Copy, Debug)]
pub struct Task(TaskId);

impl Task {
    /// Ends it: what it holds is dropped, at once unless it is the one that runs.
    pub fn abort(self) {
        let ended = TASKS.with_borrow_mut(|tasks| tasks.remove(self.0));
        if let Some(ended) = ended {
            end(ended);
        }
    }

    /// Whether it is over.
    pub fn is_finished(self) -> bool {
        TASKS.with_borrow_mut(|tasks| tasks.slot(self.0).is_none())
    }
}

/// Begins a task on this thread's loop. A panic ends it and no other.
pub fn spawn_local(work: impl Future<Output = ()> + 'static) -> Task {
    let work: Work = Box::pin(work);
    let id = TASKS.with_borrow_mut(|tasks| tasks.reserve(group::current()));
    let waker = waker_of(id);
    TASKS.with_borrow_mut(|tasks| {
        if let Some(slot) = tasks.slot(id) {
            slot.ready = Some(Ready { work, waker });
        }
        tasks.wake(id);
    });
    Task(id)
}

/// Has a task go on once the loop has come around.
pub(crate) fn defer(waker: Waker) {
    TASKS.with_borrow_mut(|tasks| tasks.deferred.push(waker));
}

/// Wakes those who have let the loop come around.
pub(crate) fn wake_deferred() {
    let deferred = TASKS.with_borrow_mut(|tasks| std::mem::take(&mut tasks.deferred));
    for waker in deferred {
        waker.wake();
    }
}

/// Wakes those for whom other threads have left word.
pub(crate) fn wake_told(remote: &Remote) {
    for handle in remote.take() {
        handle.is_told.store(false, Ordering::Release);
        TASKS.with_borrow_mut(|tasks| tasks.wake(handle.id));
    }
}

/// Whether a task is ready, or only lets the loop come around.
pub(crate) fn is_busy() -> bool {
    TASKS.with_borrow(|tasks| {
        tasks.root_is_woken || !tasks.queue.is_empty() || !tasks.deferred.is_empty()
    })
}

/// Whether the future that the loop is run for is ready. It has the first turn each time that the loop comes around, before
/// whoever was woken earlier: a worker takes its orders before it looks at requests that may have come later.
pub(crate) fn take_root() -> bool {
    TASKS.with_borrow_mut(|tasks| std::mem::take(&mut tasks.root_is_woken))
}

/// Gives the next task that is ready its turn; false when there is none.
#[inline]
pub(crate) fn run_next() -> bool {
    let next = TASKS.with_borrow_mut(|tasks| {
        loop {
            let id = tasks.queue.pop_front()?;
            // Who has ended meanwhile still stands there, and who runs is not run again.
            if let Some(slot) = tasks.slot(id) {
                slot.is_queued = false;
                if let Some(ready) = slot.ready.take() {
                    return Some((id, slot.group, ready));
                }
            }
        }
    });
    if let Some((id, group, ready)) = next {
        run(id, group, ready);
        return true;
    }
    false
}

#[inline]
fn run(id: TaskId, group: GroupId, mut ready: Ready) {
    budget::renew();
    let polled = group::within(group, || {
        // Dropped after a panic, so that nobody sees what it left half done.
        catch_unwind(AssertUnwindSafe(|| {
            let mut cx = Context::from_waker(&ready.waker);
            ready.work.as_mut().poll(&mut cx).is_pending()
        }))
    });
    let over = TASKS.with_borrow_mut(|tasks| {
        if let (Ok(true), Some(slot)) = (&polled, tasks.slot(id)) {
            slot.ready = Some(ready);
            return None;
        }
        // It may have been aborted by its own doing.
        tasks.remove(id);
        Some(ready)
    });
    if let Some(over) = over {
        end(over);
    }
}

/// Drops what a task held; what panics there harms nobody else.
fn end(ready: Ready) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(ready)));
}

/// Ends all tasks that `which` chooses by their group.
pub(crate) fn end_all(which: impl Fn(GroupId) -> bool) {
    let mut from = 0;
    // What one holds may end others, or begin some, as it is dropped.
    loop {
        let ended = TASKS.with_borrow_mut(|tasks| {
            let used = |slot: &Slot| slot.is_used && slot.ready.is_some() && which(slot.group);
            let place = from + tasks.slots.get(from..)?.iter().position(used)?;
            let id = TaskId {
                slot: place as u32,
                generation: tasks.slots[place].generation,
            };
            from = place + 1;
            tasks.remove(id)
        });
        match ended {
            Some(ready) => end(ready),
            None => return,
        }
    }
}
