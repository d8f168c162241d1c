//! A loop as other threads see it: where they leave word whom to wake.

use crate::task::Handle;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The queue of wake-ups from elsewhere.
#[derive(Debug)]
pub(crate) struct Remote {
    /// Each task once.
    woken: Mutex<Vec<Arc<Handle>>>,
    /// Whether the loop has been told that there are some.
    told: AtomicBool,
    /// What it is told by. Never read: each write is an event of its own to who watches for edges (epoll(7)).
    bell: OwnedFd,
}

impl Remote {
    pub(crate) fn new() -> io::Result<Remote> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Remote {
            woken: Mutex::default(),
            told: AtomicBool::new(false),
            bell,
        })
    }

    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Has a task of the loop woken, from any thread.
    pub(crate) fn wake(&self, task: Arc<Handle>) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.push(task);
        drop(woken);
        if !self.told.swap(true, Ordering::AcqRel) {
            // It counts to more than there will ever be of these.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Takes who is to be woken. What comes from here on is told anew.
    pub(crate) fn take(&self) -> Vec<Arc<Handle>> {
        self.told.store(false, Ordering::SeqCst);
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *woken)
    }
}
