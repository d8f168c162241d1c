//! The streams of a connection: slots that are used again, found by number without hashing.

use super::stream::Stream;
use super::window::{ReceiveWindow, SendWindow};

/// Names a stream to the application. A key whose stream is gone does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct StreamKey {
    pub(crate) slot: u32,
    pub(crate) id: u32,
}

impl StreamKey {
    /// The stream's number on its connection.
    pub fn id(self) -> u32 {
        self.id
    }

    /// A small number that no other stream has at the same time: the place for what an application keeps of it.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// All streams that the application or the peer may still ask about.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// The number of the stream in each slot, 0 if free: 32 of them are a line or two of cache, so that looking
    /// through all of them is faster than a hash.
    ids: Vec<u32>,
    slots: Vec<Stream>,
    free: Vec<u32>,
    /// The slot that was found last: frames of one stream come in runs.
    last: u32,
    /// How many are neither idle nor closed (RFC 9113 §5.1.2).
    open: u32,
    /// Numbers of streams that we reset and whose late frames are let pass; older ones are taken as ended in order.
    resets: Vec<u32>,
    resets_at: usize,
    resets_max: usize,
}

impl Streams {
    /// For an end that remembers so many resets.
    pub(crate) fn remembering(resets_max: usize) -> Streams {
        Streams {
            resets_max,
            ..Streams::default()
        }
    }

    /// How many are open by the protocol's count.
    pub(crate) fn open(&self) -> u32 {
        self.open
    }

    /// How many slots are in use.
    pub(crate) fn held(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The slot of a stream.
    #[inline]
    pub(crate) fn find(&mut self, id: u32) -> Option<usize> {
        if self.ids.get(self.last as usize) == Some(&id) {
            return Some(self.last as usize);
        }
        let slot = self.ids.iter().position(|&other| other == id)?;
        self.last = slot as u32;
        Some(slot)
    }

    /// The slot that a key names, while its stream is there.
    #[inline]
    pub(crate) fn slot(&self, key: StreamKey) -> Option<usize> {
        let slot = key.slot as usize;
        (key.id != 0 && self.ids.get(slot) == Some(&key.id)).then_some(slot)
    }

    #[inline]
    pub(crate) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.slot(key).map(|slot| &self.slots[slot])
    }

    #[inline]
    pub(crate) fn at(&mut self, slot: usize) -> &mut Stream {
        &mut self.slots[slot]
    }

    #[inline]
    pub(crate) fn key(&self, slot: usize) -> StreamKey {
        StreamKey {
            slot: slot as u32,
            id: self.ids[slot],
        }
    }

    /// Every stream's slot.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = usize> + use<> {
        let used: Vec<usize> = (0..self.ids.len())
            .filter(|&slot| self.ids[slot] != 0)
            .collect();
        used.into_iter()
    }

    /// Takes a slot for a new stream.
    pub(crate) fn insert(&mut self, id: u32, send: SendWindow, receive: ReceiveWindow) -> usize {
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None => {
                self.ids.push(0);
                self.slots.push(Stream::new());
                self.slots.len() - 1
            }
        };
        self.ids[slot] = id;
        self.last = slot as u32;
        let stream = &mut self.slots[slot];
        stream.id = id;
        stream.send_window = send;
        stream.receive_window = receive;
        stream.flags.counted = true;
        self.open += 1;
        slot
    }

    /// The stream in `slot` has closed: it no longer counts.
    pub(crate) fn closed(&mut self, slot: usize) {
        let flags = &mut self.slots[slot].flags;
        if std::mem::take(&mut flags.counted) {
            self.open -= 1;
        }
    }

    /// Frees a slot.
    pub(crate) fn remove(&mut self, slot: usize) {
        self.closed(slot);
        self.slots[slot].clear();
        self.ids[slot] = 0;
        self.free.push(slot as u32);
    }

    /// Remembers that we reset a stream, so that what the peer had sent before it knew is let pass.
    pub(crate) fn remember_reset(&mut self, id: u32) {
        if self.resets.len() < self.resets_max {
            self.resets.push(id);
        } else if let Some(oldest) = self.resets.get_mut(self.resets_at) {
            *oldest = id;
            self.resets_at = (self.resets_at + 1) % self.resets_max;
        }
    }

    /// Whether we reset that stream not long ago.
    pub(crate) fn was_reset(&self, id: u32) -> bool {
        self.resets.contains(&id)
    }

    /// Gives memory back while no stream is there.
    pub(crate) fn rest(&mut self) {
        if self.held() == 0 {
            self.ids = Vec::new();
            self.slots = Vec::new();
            self.free = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn insert(streams: &mut Streams, id: u32) -> usize {
        streams.insert(id, SendWindow::new(0), ReceiveWindow::new(0, 0))
    }

    #[test]
    fn old_keys_lead_nowhere() {
        let mut streams = Streams::default();
        let slot = insert(&mut streams, 1);
        let key = streams.key(slot);
        streams.remove(slot);
        assert_eq!(insert(&mut streams, 3), slot);
        assert!(streams.get(key).is_none());
        assert_eq!(streams.find(1), None);
        assert_eq!(streams.find(3), Some(slot));
    }

    #[test]
    fn the_memory_of_resets_is_bounded() {
        let mut forgetful = Streams::default();
        forgetful.remember_reset(1);
        assert!(!forgetful.was_reset(1));
        let mut streams = Streams::remembering(64);
        for id in 0..1_000 {
            streams.remember_reset(id);
        }
        assert_eq!(streams.resets.len(), 64);
        assert!(streams.was_reset(999) && streams.was_reset(1_000 - 64));
        assert!(!streams.was_reset(1_000 - 65));
    }

    proptest! {
        /// Against a set of numbers.
        #[test]
        fn finds_what_is_there(ops in proptest::collection::vec((0u8..3, 1u32..20), 0..100)) {
            let mut streams = Streams::default();
            let mut model = BTreeSet::new();
            for (op, id) in ops {
                match op {
                    0 => if model.insert(id) { insert(&mut streams, id); },
                    1 => if model.remove(&id) {
                        let slot = streams.find(id).unwrap();
                        streams.remove(slot);
                    },
                    _ => prop_assert_eq!(streams.find(id).is_some(), model.contains(&id)),
                }
                prop_assert_eq!(streams.held(), model.len());
                prop_assert_eq!(streams.open() as usize, model.len());
            }
            streams.rest();
        }
    }
}
