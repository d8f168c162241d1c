//! The dynamic table (RFC 7541 §2.3.2, §4).
//!
//! All lines stand one behind the other in a buffer that new ones are written to the end of and old ones leave at the
//! front; when the end is reached, what is left moves to the front. So there is no allocation a line, and each line is
//! moved once while as much is written behind it as the table may hold.

use super::LINE_BYTES_EXTRA;
use super::names::Kind;
use foregate_message::Fault;
use std::collections::VecDeque;

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where its text begins, counted from the first byte that ever was in the buffer.
    start: u32,
    pub(super) name_len: u32,
    pub(super) value_len: u32,
    pub(super) kind: Kind,
    pub(super) value_fault: Option<Fault>,
}

impl Entry {
    /// What the line counts (RFC 7541 §4.1).
    #[inline]
    fn bytes(&self) -> usize {
        self.name_len as usize
            + self.value_len as usize
            + self.kind.shortened_by()
            + LINE_BYTES_EXTRA
    }
}

/// The lines of the table; the newest has the number 0.
#[derive(Debug)]
pub(super) struct Table {
    text: Vec<u8>,
    /// How many bytes have left the buffer at its front.
    moved: u32,
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
}

impl Table {
    pub(super) fn new(bytes_max: usize) -> Table {
        Table {
            text: Vec::new(),
            moved: 0,
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The line of a number and its text, `name: value\r\n`.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<(&Entry, &[u8])> {
        let newest = self.entries.len().checked_sub(1)?;
        let entry = self.entries.get(newest.checked_sub(number)?)?;
        let start = entry.start.wrapping_sub(self.moved) as usize;
        let len = entry.name_len as usize + entry.value_len as usize + 4;
        Some((entry, self.text.get(start..start + len)?))
    }

    /// Sets the size, for which lines may have to go (RFC 7541 §4.3).
    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.evict_down_to(bytes_max);
        self.move_to_front();
        self.text.shrink_to(2 * bytes_max);
    }

    /// Gives back what was borrowed for lines to come.
    pub(super) fn rest(&mut self) {
        self.move_to_front();
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    fn evict_down_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
        if self.entries.is_empty() {
            self.moved = self.moved.wrapping_add(self.text.len() as u32);
            self.text.clear();
        }
    }

    /// Adds a line, for which others may have to go; one that is larger than the table only empties it
    /// (RFC 7541 §4.4). `text` is `name: value\r\n`. Whether it was added.
    pub(super) fn insert(
        &mut self,
        kind: Kind,
        name_len: usize,
        text: &[u8],
        value_fault: Option<Fault>,
    ) -> bool {
        let mut entry = Entry {
            start: 0,
            name_len: name_len as u32,
            value_len: (text.len() - name_len - 4) as u32,
            kind,
            value_fault,
        };
        let bytes = entry.bytes();
        let Some(left) = self.bytes_max.checked_sub(bytes) else {
            self.evict_down_to(0);
            return false;
        };
        self.evict_down_to(left);
        // Text is less than what it counts, so both halves have room for all of it.
        if self.text.len() + text.len() > 2 * self.bytes_max {
            self.move_to_front();
        }
        entry.start = self.moved.wrapping_add(self.text.len() as u32);
        self.text.extend_from_slice(text);
        self.bytes += bytes;
        self.entries.push_back(entry);
        true
    }

    fn move_to_front(&mut self) {
        let Some(oldest) = self.entries.front() else {
            return;
        };
        let gone = oldest.start.wrapping_sub(self.moved);
        self.text.drain(..gone as usize);
        self.moved = self.moved.wrapping_add(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_message::FieldId;
    use proptest::prelude::*;

    proptest! {
        /// Against the plainest model: a list of texts, newest first.
        #[test]
        fn behaves_like_a_list(
            size in 0_usize..300,
            steps in proptest::collection::vec((0_u8..12, "[a-z]{0,90}", 0_usize..300), 0..200),
        ) {
            let mut table = Table::new(size);
            let mut model: VecDeque<String> = VecDeque::new();
            let mut size = size;
            for (step, value, new_size) in steps {
                if step == 0 {
                    size = new_size;
                    table.resize(size);
                } else {
                    let text = format!("x: {value}\r\n");
                    table.insert(Kind::Field(FieldId::Other), 1, text.as_bytes(), None);
                    model.push_front(text);
                }
                while model.iter().map(|text| text.len() - 4 + 32).sum::<usize>() > size {
                    model.pop_back();
                }
                prop_assert_eq!(table.len(), model.len());
                for (number, text) in model.iter().enumerate() {
                    prop_assert_eq!(table.get(number).unwrap().1, text.as_bytes());
                }
                prop_assert!(table.get(model.len()).is_none());
                prop_assert!(table.text.len() <= 2 * size);
            }
        }
    }
}
