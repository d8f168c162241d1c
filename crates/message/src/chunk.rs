//! Buffers for bytes on their way through, lent from a small stock of each thread.

use std::cell::RefCell;
use std::ops::Range;

/// The size of a usual buffer: what one read from a socket takes at most. An answer of 64 KiB fits in with its head.
pub const CHUNK_BYTES: usize = 72 * 1024;

/// The size of a buffer for a body that is known to be long: a quarter of the system calls.
pub const LARGE_CHUNK_BYTES: usize = 256 * 1024;

/// How many idle buffers of each size a thread keeps: some 4 MiB.
const STOCK_MAX: usize = 56;
const LARGE_STOCK_MAX: usize = 16;

thread_local! {
    static STOCK: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static LARGE_STOCK: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A run of bytes in a lent buffer, which goes back to the stock of the thread that drops it.
#[derive(Debug, Default)]
pub struct Chunk {
    buffer: Option<Box<[u8]>>,
    start: u32,
    end: u32,
}

impl Chunk {
    /// An empty run with a whole buffer to fill.
    #[inline]
    pub fn lend() -> Chunk {
        let buffer = STOCK
            .try_with(|stock| stock.borrow_mut().pop())
            .ok()
            .flatten()
            .unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice());
        Chunk {
            buffer: Some(buffer),
            start: 0,
            end: 0,
        }
    }

    /// [`Chunk::lend`] with a large buffer.
    pub fn lend_large() -> Chunk {
        let buffer = LARGE_STOCK
            .try_with(|stock| stock.borrow_mut().pop())
            .ok()
            .flatten()
            .unwrap_or_else(|| vec![0; LARGE_CHUNK_BYTES].into_boxed_slice());
        Chunk {
            buffer: Some(buffer),
            start: 0,
            end: 0,
        }
    }

    /// An empty run with room for `bytes` at least: a lent buffer, unless much less is needed.
    pub fn with_room(bytes: usize) -> Chunk {
        if bytes > CHUNK_BYTES {
            return match bytes {
                ..=LARGE_CHUNK_BYTES => Chunk::lend_large(),
                _ => Chunk::of_size(bytes),
            };
        }
        if bytes > CHUNK_BYTES / 8 {
            return Chunk::lend();
        }
        Chunk::of_size(bytes)
    }

    fn of_size(bytes: usize) -> Chunk {
        Chunk {
            buffer: Some(vec![0; bytes].into_boxed_slice()),
            start: 0,
            end: 0,
        }
    }

    /// A run that holds a copy of `bytes` in a buffer of just that size.
    pub fn copy_of(bytes: &[u8]) -> Chunk {
        if bytes.is_empty() {
            return Chunk::default();
        }
        Chunk {
            end: bytes.len() as u32,
            start: 0,
            buffer: Some(bytes.into()),
        }
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer[self.start as usize..self.end as usize],
            None => &[],
        }
    }

    /// Adds `bytes` at the end as far as there is room for them: how many those were.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let taken = bytes.len().min(room.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.filled(taken);
        taken
    }

    /// How many bytes the run has.
    #[inline]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the run has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The free room behind the run.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        match &mut self.buffer {
            Some(buffer) => &mut buffer[self.end as usize..],
            None => &mut [],
        }
    }

    /// Counts `bytes` of the room as filled.
    #[inline]
    pub fn filled(&mut self, bytes: usize) {
        let size = self.buffer.as_ref().map_or(0, |buffer| buffer.len());
        self.end = (self.end as usize + bytes).min(size) as u32;
    }

    /// Drops `bytes` from the front. A run that has none left gives its buffer back at once: a connection that waits
    /// holds none, and the next one finds it still warm.
    #[inline]
    pub fn consume(&mut self, bytes: usize) {
        self.start = (self.start as usize + bytes).min(self.end as usize) as u32;
        if self.start == self.end {
            *self = Chunk::default();
        }
    }

    /// Keeps only `range` of the run.
    #[inline]
    pub fn narrow(&mut self, range: Range<usize>) {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        self.end = self.start + range.end as u32;
        self.start += range.start as u32;
    }

    /// The bytes, to be changed in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.buffer {
            Some(buffer) => &mut buffer[self.start as usize..self.end as usize],
            None => &mut [],
        }
    }

    /// Parts the run: `range` of it is returned, what stands at `rest` and behind it remains. The buffer goes with
    /// the returned part; a remainder is copied into another one.
    #[inline]
    pub fn split(&mut self, range: Range<usize>, rest: usize) -> Chunk {
        let remainder = &self.as_slice()[rest..];
        let remainder = if remainder.is_empty() {
            Chunk::default()
        } else {
            let mut copy = if remainder.len() <= CHUNK_BYTES {
                Chunk::lend()
            } else {
                Chunk::lend_large()
            };
            copy.room()[..remainder.len()].copy_from_slice(remainder);
            copy.filled(remainder.len());
            copy
        };
        let mut part = std::mem::replace(self, remainder);
        part.narrow(range);
        part
    }

    /// Moves the run to the front of its buffer, so that the room behind it is as large as can be.
    pub fn compact(&mut self) {
        if let Some(buffer) = &mut self.buffer
            && self.start > 0
        {
            buffer.copy_within(self.start as usize..self.end as usize, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Sees to it that there is room behind the run: at the front of its buffer where there is some, else in one of twice
    /// the size. Whoever fills it bounds how far it grows.
    pub fn make_room(&mut self) {
        self.compact();
        if self.room().is_empty() {
            let mut larger = Chunk::with_room((self.len() * 2).max(CHUNK_BYTES));
            larger.append(self.as_slice());
            *self = larger;
        }
    }

    /// Whether a buffer is held at all.
    pub fn is_lent(&self) -> bool {
        self.buffer.is_some()
    }
}

impl Drop for Chunk {
    /// Most that are dropped hold no buffer, which must cost no call.
    #[inline(always)]
    fn drop(&mut self) {
        if self.buffer.is_some() {
            give_back(&mut self.buffer);
        }
    }
}

#[inline(never)]
fn give_back(buffer: &mut Option<Box<[u8]>>) {
    let Some(buffer) = buffer.take() else {
        return;
    };
    let (stock, max) = match buffer.len() {
        CHUNK_BYTES => (&STOCK, STOCK_MAX),
        LARGE_CHUNK_BYTES => (&LARGE_STOCK, LARGE_STOCK_MAX),
        _ => return,
    };
    // When the thread is ending its stock is gone, and the buffer is simply freed.
    let _ = stock.try_with(|stock| {
        let mut stock = stock.borrow_mut();
        if stock.len() < max {
            stock.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_to_the_stock() {
        let mut chunk = Chunk::lend();
        chunk.room()[..3].copy_from_slice(b"abc");
        chunk.filled(3);
        let at = chunk.as_slice().as_ptr();
        drop(chunk);
        assert_eq!(Chunk::lend().room().as_ptr(), at);
    }

    #[test]
    fn a_run_grows_as_far_as_its_room() {
        let mut chunk = Chunk::with_room(4);
        assert_eq!(chunk.append(b"abc"), 3);
        assert_eq!(chunk.append(b"def"), 1);
        assert_eq!(chunk.as_slice(), b"abcd");
        assert_eq!(Chunk::with_room(CHUNK_BYTES).room().len(), CHUNK_BYTES);
        assert!(Chunk::with_room(CHUNK_BYTES + 1).room().len() > CHUNK_BYTES);
        assert_eq!(Chunk::default().append(b"x"), 0);
    }

    #[test]
    fn a_run_that_fills_its_buffer_moves_to_a_larger_one() {
        let mut chunk = Chunk::lend();
        let size = chunk.room().len();
        chunk.room().fill(b'x');
        chunk.filled(size);
        chunk.consume(3);
        chunk.make_room();
        assert_eq!((chunk.len(), chunk.room().len()), (size - 3, 3));
        chunk.append(b"abc");
        chunk.make_room();
        assert!(chunk.room().len() >= size);
        assert!(chunk.as_slice().ends_with(b"xabc") && chunk.len() == size);
    }

    #[test]
    fn a_run_is_consumed_narrowed_and_compacted() {
        let mut chunk = Chunk::copy_of(b"0123456789");
        chunk.consume(2);
        chunk.narrow(1..6);
        assert_eq!(chunk.as_slice(), b"34567");
        chunk.compact();
        assert_eq!(chunk.as_slice(), b"34567");
        assert_eq!(chunk.room().len(), 5);
        chunk.consume(99);
        assert!(chunk.is_empty());
    }
}
