//! From queues to bytes: DATA within both windows, many frames in one write (RFC 9113 §6.9).

use super::{Connection, Role};
use crate::h2::error::ErrorCode;
use crate::h2::frame::{FRAME_BYTES_DEFAULT, FRAME_HEADER_BYTES, data, headers};
use crate::h2::heads;
use crate::h2::state::State;
use foregate_message::Chunk;
use std::cell::RefCell;
use std::collections::VecDeque;

/// DATA is framed until so many bytes wait to be written.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// With so many bytes waiting, nothing more is read: a peer that makes us answer must also read.
const CONGESTED_BYTES: usize = 2 * OUTPUT_BYTES_MAX;

/// Buffers that a thread keeps for its connections, and how large they may be.
const STOCK_MAX: usize = 64;
const BUFFER_BYTES: usize = 16 * 1024;
const KEPT_BYTES_MAX: usize = 4 * OUTPUT_BYTES_MAX;

thread_local! {
    static STOCK: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(super) fn lend() -> Vec<u8> {
    let kept = STOCK.try_with(|stock| stock.borrow_mut().pop());
    let kept = kept.ok().flatten();
    kept.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
}

/// Keeps a buffer for the next connection.
pub(super) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > KEPT_BYTES_MAX {
        return;
    }
    buffer.clear();
    // At the thread's end the stock may be gone, and then the buffer is simply freed.
    let _ = STOCK.try_with(|stock| {
        let mut stock = stock.borrow_mut();
        if stock.len() < STOCK_MAX {
            stock.push(buffer);
        }
    });
}

impl Connection {
    /// The bytes to write next; none if nothing is queued or all of it waits for a window. Streams whose last piece
    /// was framed are named by [`Connection::next_ready`].
    #[inline]
    pub fn output(&mut self) -> &[u8] {
        if self.schedule.is_some() {
            self.frame_queued();
        }
        &self.out[self.written..]
    }

    /// Takes note that `bytes` of [`Connection::output`] were written.
    #[inline]
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        debug_assert!(self.written <= self.out.len());
        if self.written >= self.out.len() {
            self.out.clear();
            self.written = 0;
        } else if self.written >= OUTPUT_BYTES_MAX {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Takes a buffer again after [`Connection::rest`].
    #[inline]
    pub(super) fn lend_output(&mut self) {
        if self.out.capacity() == 0 {
            self.out = lend();
        }
    }

    /// Whether nothing waits to be written but what waits for a window.
    #[inline]
    pub fn is_written(&self) -> bool {
        self.written == self.out.len()
    }

    /// Whether [`Connection::output`] may have something: bytes, or DATA that has windows and is not framed yet.
    #[inline]
    pub fn has_output(&self) -> bool {
        let schedule = self.schedule.as_ref();
        !self.is_written() || schedule.is_some_and(|schedule| !schedule.is_empty())
    }

    /// Whether so much waits to be written that nothing more is read: the application needs not read either.
    #[inline]
    pub fn is_congested(&self) -> bool {
        self.out.len() - self.written >= CONGESTED_BYTES
    }

    /// A stream has something to send, or a window for it.
    #[inline]
    pub(super) fn schedule(&mut self, slot: usize) {
        let stream = self.streams.at(slot);
        if stream.flags.scheduled || !stream.has_outgoing() {
            return;
        }
        if !stream.outgoing.is_empty() && stream.send_window.free() == 0 {
            stream.blocked_ms.get_or_insert(self.now_ms);
            return;
        }
        stream.flags.scheduled = true;
        let priority = stream.priority;
        let key = self.streams.key(slot);
        let schedule = self.schedule.get_or_insert_default();
        schedule.push(key, priority);
    }

    /// The connection's window has grown.
    pub(super) fn unstall(&mut self) {
        for key in std::mem::take(&mut self.stalled) {
            if let Some(slot) = self.streams.slot(key) {
                self.streams.at(slot).flags.scheduled = false;
                self.schedule(slot);
            }
        }
    }

    fn frame_queued(&mut self) {
        while self.out.len() - self.written < OUTPUT_BYTES_MAX {
            let Some(schedule) = &mut self.schedule else {
                return;
            };
            let Some((urgency, key)) = schedule.next() else {
                return;
            };
            let Some(slot) = self.streams.slot(key) else {
                schedule.done(urgency);
                continue;
            };
            let stream = self.streams.at(slot);
            let incremental = stream.priority.incremental;
            let outcome = if !stream.has_outgoing() {
                Framed::Done
            } else if stream.outgoing.is_empty() {
                self.frame_end(slot);
                Framed::Done
            } else {
                self.frame_data(slot)
            };
            let Some(schedule) = &mut self.schedule else {
                return;
            };
            match outcome {
                Framed::More(bytes) => {
                    schedule.sent(urgency, incremental, bytes);
                    continue;
                }
                Framed::Done => schedule.done(urgency),
                Framed::Stalled => {
                    schedule.done(urgency);
                    self.stalled.push(key);
                    continue;
                }
            }
            // Its end may have freed the slot.
            if let Some(slot) = self.streams.slot(key) {
                self.streams.at(slot).flags.scheduled = false;
                self.after_framing(slot);
            }
        }
    }

    /// One DATA frame, as large as both windows allow.
    fn frame_data(&mut self, slot: usize) -> Framed {
        let now_ms = self.now_ms;
        let stream = self.streams.at(slot);
        let id = stream.id;
        let own = stream.send_window.free();
        let free = own.min(self.send_window.free());
        if free == 0 {
            stream.blocked_ms.get_or_insert(now_ms);
            return if own == 0 {
                Framed::Done
            } else {
                Framed::Stalled
            };
        }
        stream.blocked_ms = None;
        // Larger frames than every peer must take gain nothing, and one of them could hold up all other streams.
        let max = FRAME_BYTES_DEFAULT.min(free) as usize;
        let at = self.out.len();
        data::write_header(id, 0, false, &mut self.out);
        let stream = self.streams.at(slot);
        let bytes = move_bytes(&mut stream.outgoing, max, &mut self.out);
        let emptied = stream.outgoing.is_empty();
        let ends = emptied && stream.flags.end_queued && stream.outgoing_trailers.is_none();
        let bytes = bytes as u32;
        stream.send_window.take(bytes);
        self.send_window.take(bytes);
        match emptied {
            true => self.budget.moved_all(bytes),
            false => self.budget.moved(bytes),
        }
        let header = data::header(id, bytes, ends).bytes();
        self.out[at..at + FRAME_HEADER_BYTES].copy_from_slice(&header);
        if ends {
            self.sent_end(slot);
            return Framed::Done;
        }
        let stream = self.streams.at(slot);
        if emptied && !stream.flags.end_queued {
            return Framed::Done;
        }
        Framed::More(bytes)
    }

    /// What ends a body whose DATA is out: trailers, or DATA without payload, which needs no window.
    fn frame_end(&mut self, slot: usize) {
        let stream = self.streams.at(slot);
        let id = stream.id;
        match stream.outgoing_trailers.take() {
            Some(trailers) => {
                let at = headers::begin(&mut self.out);
                heads::write_trailers(&mut self.encoder, &trailers, &mut self.out);
                headers::seal(at, id, true, self.peer.frame_bytes_max, &mut self.out);
            }
            None => data::write_header(id, 0, true, &mut self.out),
        }
        self.sent_end(slot);
    }

    /// END_STREAM is in the output.
    pub(super) fn sent_end(&mut self, slot: usize) {
        let role = self.role;
        let stream = self.streams.at(slot);
        stream.state = stream.state.sent_end();
        match (role, stream.state) {
            (Role::Server, State::Closed) => self.budget.served(),
            // Nobody waits for the rest of the request any more (RFC 9113 §8.1).
            (Role::Server, State::HalfClosedLocal) if stream.flags.released => {
                return self.close_by_reset(slot, ErrorCode::NO_ERROR);
            }
            _ => {}
        }
        self.mark_ready(slot);
    }

    /// The stream has nothing more to send now: the application may queue more, or it is over.
    fn after_framing(&mut self, slot: usize) {
        if self.streams.at(slot).outgoing.is_empty() {
            self.mark_ready(slot);
        }
        self.settle(slot);
    }
}

/// What came of a stream's turn.
enum Framed {
    /// It has sent so many bytes and has more.
    More(u32),
    /// It has nothing more to send, or no window of its own.
    Done,
    /// The connection's window holds it back.
    Stalled,
}

/// Moves up to `max` bytes from the front of `queue`.
fn move_bytes(queue: &mut VecDeque<Chunk>, max: usize, out: &mut Vec<u8>) -> usize {
    let mut moved = 0;
    while moved < max {
        let Some(chunk) = queue.front_mut() else {
            break;
        };
        let bytes = chunk.len().min(max - moved);
        out.extend_from_slice(&chunk.as_slice()[..bytes]);
        moved += bytes;
        if bytes == chunk.len() {
            queue.pop_front();
        } else {
            chunk.consume(bytes);
        }
    }
    moved
}
