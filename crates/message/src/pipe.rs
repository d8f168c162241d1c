//! Pieces of a body that stay in the kernel.

use std::cell::RefCell;
use std::os::fd::OwnedFd;

/// Empty pipes that a thread keeps for its next long bodies.
const STOCK_MAX: usize = 16;

thread_local! {
    static STOCK: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe of the kernel's. The rooms that own sockets move bytes through it; here it is only carried.
#[derive(Debug)]
pub struct Pipe {
    /// Where bytes come out.
    pub reader: OwnedFd,
    /// Where they go in.
    pub writer: OwnedFd,
}

impl Pipe {
    /// An empty pipe that an earlier body of this thread has left, if there is one.
    pub fn lend() -> Option<Pipe> {
        STOCK
            .try_with(|stock| stock.borrow_mut().pop())
            .ok()
            .flatten()
    }
}

/// Bytes of a body, in a pipe. One that is dropped empty leaves its pipe for the next.
#[derive(Debug)]
pub struct Piped {
    /// `None` only while it is dropped.
    pipe: Option<Pipe>,
    bytes: usize,
}

impl Piped {
    /// `pipe`, which holds exactly `bytes` bytes.
    pub fn new(pipe: Pipe, bytes: usize) -> Piped {
        Piped {
            pipe: Some(pipe),
            bytes,
        }
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether all have been taken out.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Where the bytes come out.
    pub fn reader(&self) -> &OwnedFd {
        let pipe = self.pipe.as_ref();
        &pipe.expect("only drop takes the pipe").reader
    }

    /// Takes note that `bytes` were taken out.
    pub fn took(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // Bytes that were never taken out must not become another body's: such a pipe is closed.
        let Some(pipe) = self.pipe.take().filter(|_| self.bytes == 0) else {
            return;
        };
        let _ = STOCK.try_with(|stock| {
            let mut stock = stock.borrow_mut();
            if stock.len() < STOCK_MAX {
                stock.push(pipe);
            }
        });
    }
}
