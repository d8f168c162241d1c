//! What is queued towards a peer: text (heads, framing), one piece of body, and the framing behind it.

use super::{BodyEncoder, BodyMismatch};
use foregate_message::{Chunk, Fields};
use std::cell::RefCell;
use std::io::IoSlice;

/// Bodies up to this size are copied behind their head, which lets both leave in one plain write.
const COPY_BYTES_MAX: usize = 8 * 1024;

/// Text buffers that a thread keeps for the next texts, and how large they may be.
const STOCK_MAX: usize = 256;
const TEXT_BYTES: usize = 2 * 1024;
const KEPT_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    static STOCK: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for a usual head: the one that was given back last, so it is warm.
fn lend() -> Vec<u8> {
    let kept = STOCK.try_with(|stock| stock.borrow_mut().pop());
    kept.ok()
        .flatten()
        .unwrap_or_else(|| Vec::with_capacity(TEXT_BYTES))
}

/// Takes a buffer's room away, for whoever needs one next.
fn give_back(text: &mut Vec<u8>) {
    let mut text = std::mem::take(text);
    if !(TEXT_BYTES..=KEPT_BYTES_MAX).contains(&text.capacity()) {
        return;
    }
    text.clear();
    // At the thread's end the stock may be gone, and then the buffer is simply freed.
    let _ = STOCK.try_with(|stock| {
        let mut stock = stock.borrow_mut();
        if stock.len() < STOCK_MAX {
            stock.push(text);
        }
    });
}

/// Bytes waiting to be written, in order: text, data, tail. It holds buffers only while something waits, so that many
/// exchanges that wait for somebody share a few.
#[derive(Debug, Default)]
pub struct Outbox {
    text: Vec<u8>,
    /// How much of `text` has been written.
    text_written: usize,
    data: Chunk,
    tail: Vec<u8>,
}

impl Outbox {
    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Whether a piece of body waits, which must leave before the next one is queued.
    #[inline]
    pub fn holds_data(&self) -> bool {
        !self.data.is_empty()
    }

    /// Where the next text goes.
    #[inline]
    pub fn text(&mut self) -> &mut Vec<u8> {
        let text = if self.data.is_empty() {
            &mut self.text
        } else {
            &mut self.tail
        };
        if text.capacity() == 0 {
            *text = lend();
        }
        text
    }

    /// Queues a piece of body in the encoder's framing.
    ///
    /// # Errors
    /// The body would be longer than announced; nothing is queued then.
    #[inline]
    pub fn push(&mut self, chunk: Chunk, encoder: &mut BodyEncoder) -> Result<(), BodyMismatch> {
        // What writes nothing borrows nothing.
        let is_plain = encoder.is_plain();
        if is_plain {
            encoder.count(chunk.len())?;
        } else {
            encoder.prefix(chunk.len(), self.text())?;
        }
        let text_waits = !self.text.is_empty();
        if self.holds_data() || text_waits && chunk.len() <= COPY_BYTES_MAX {
            self.text().extend_from_slice(chunk.as_slice());
        } else {
            self.data = chunk;
        }
        if !is_plain {
            encoder.suffix(self.text());
        }
        Ok(())
    }

    /// Queues the end of the body.
    ///
    /// # Errors
    /// The body is shorter than announced: the connection must be closed to tell the peer.
    #[inline]
    pub fn finish(
        &mut self,
        trailers: Option<&Fields>,
        encoder: &mut BodyEncoder,
    ) -> Result<(), BodyMismatch> {
        if encoder.is_plain() {
            encoder.end()
        } else {
            encoder.finish(trailers, self.text())
        }
    }

    /// What to write next: the slices and how many of them are used.
    #[inline]
    pub fn slices(&self) -> ([IoSlice<'_>; 3], usize) {
        let mut slices = [IoSlice::new(&[]); 3];
        let mut count = 0;
        let text = &self.text[self.text_written..];
        for part in [text, self.data.as_slice(), &self.tail] {
            if !part.is_empty() {
                slices[count] = IoSlice::new(part);
                count += 1;
            }
        }
        (slices, count)
    }

    /// Takes `bytes` off the front: they were written.
    #[inline]
    pub fn wrote(&mut self, bytes: usize) {
        let mut left = bytes;
        let text = (self.text.len() - self.text_written).min(left);
        self.text_written += text;
        left -= text;
        if self.text_written == self.text.len() {
            give_back(&mut self.text);
            self.text_written = 0;
        }
        let data = self.data.len().min(left);
        self.data.consume(data);
        left -= data;
        if self.data.is_empty() {
            self.data = Chunk::default();
            if !self.tail.is_empty() {
                self.tail.drain(..left.min(self.tail.len()));
                // What is left of the tail is the next text.
                std::mem::swap(&mut self.text, &mut self.tail);
                if self.text.is_empty() {
                    give_back(&mut self.text);
                }
            }
        }
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        give_back(&mut self.text);
        self.text_written = 0;
        self.data = Chunk::default();
        give_back(&mut self.tail);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.text.capacity() > 0 {
            give_back(&mut self.text);
        }
        if self.tail.capacity() > 0 {
            give_back(&mut self.tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(outbox: &mut Outbox, steps: &[usize]) -> Vec<u8> {
        let mut written = Vec::new();
        let mut steps = steps.iter().copied().cycle();
        while !outbox.is_empty() {
            let (slices, count) = outbox.slices();
            let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
            let step = steps.next().unwrap_or(1).clamp(1, all.len());
            written.extend_from_slice(&all[..step]);
            outbox.wrote(step);
        }
        written
    }

    proptest! {
        /// However the writes are cut, the bytes leave whole and in order.
        #[test]
        fn order_survives_short_writes(
            pieces in proptest::collection::vec(1usize..20_000, 0..5),
            steps in proptest::collection::vec(1usize..9_000, 1..6),
        ) {
            let mut outbox = Outbox::default();
            let mut encoder = BodyEncoder::chunked();
            let mut expected = b"head".to_vec();
            outbox.text().extend_from_slice(b"head");
            for (at, &len) in pieces.iter().enumerate() {
                let piece = vec![b'a' + at as u8; len];
                expected.extend_from_slice(format!("{len:x}\r\n").as_bytes());
                expected.extend_from_slice(&piece);
                expected.extend_from_slice(b"\r\n");
                prop_assert!(outbox.push(Chunk::copy_of(&piece), &mut encoder).is_ok());
            }
            prop_assert!(outbox.finish(None, &mut encoder).is_ok());
            expected.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(drain(&mut outbox, &steps), expected);
        }
    }

    #[test]
    fn what_has_left_leaves_its_buffers_to_others() {
        let mut outboxes: Vec<Outbox> = (0..4).map(|_| Outbox::default()).collect();
        let mut rooms = Vec::new();
        for outbox in &mut outboxes {
            outbox.text().extend_from_slice(b"head");
            let mut encoder = BodyEncoder::chunked();
            let long = Chunk::copy_of(&[b'x'; 2 * COPY_BYTES_MAX]);
            assert!(outbox.push(long, &mut encoder).is_ok());
            rooms.push((outbox.text.as_ptr(), outbox.tail.as_ptr()));
            drain(outbox, &[1_000, 17_000]);
            assert_eq!((outbox.text.capacity(), outbox.tail.capacity()), (0, 0));
        }
        // All four were served by the same two.
        rooms.dedup_by_key(|(text, tail)| (*text).min(*tail));
        assert_eq!(rooms.len(), 1);
        // A rest that waits keeps its buffer.
        outboxes[0].text().extend_from_slice(b"head");
        outboxes[0].wrote(1);
        assert_eq!(outboxes[0].slices().0[0].len(), 3);
    }

    #[test]
    fn framing_that_is_nothing_takes_no_buffer() {
        for mut encoder in [BodyEncoder::tunnel(), BodyEncoder::known(20_000)] {
            let mut outbox = Outbox::default();
            let long = Chunk::copy_of(&[b'x'; 20_000]);
            assert!(outbox.push(long, &mut encoder).is_ok());
            assert_eq!(drain(&mut outbox, &[1_000]).len(), 20_000);
            assert!(outbox.finish(None, &mut encoder).is_ok());
            assert_eq!((outbox.text.capacity(), outbox.tail.capacity()), (0, 0));
        }
    }

    #[test]
    fn a_body_longer_than_announced_is_not_queued() {
        let mut outbox = Outbox::default();
        let mut encoder = BodyEncoder::known(2);
        assert!(outbox.push(Chunk::copy_of(b"abc"), &mut encoder).is_err());
        assert!(outbox.is_empty());
    }
}
