//! Names and what stands for them: a table that is asked for every request.
//!
//! One slot is one cache line with the name itself in it, so a choice among thousands of names costs one look into
//! memory that the processor has not kept.

use foldhash::fast::FixedState;
use std::hash::BuildHasher;
use std::ops::Range;

/// How much of a name stands in its slot. Few are longer.
const INLINE_BYTES: usize = 46;

/// No site.
const NONE: u32 = u32::MAX;

/// A name, and what stands for it.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Slot {
    /// The name's length; 0 where there is none.
    length: u16,
    /// Its first bytes.
    text: [u8; INLINE_BYTES],
    /// The place in [`Names::long`] of a name that is longer.
    long: u32,
    value: Value,
}

/// What stands for a name.
#[derive(Clone, Debug)]
struct Value {
    first: u32,
    count: u32,
    everywhere: u32,
}

/// What a name leads to.
#[derive(Debug)]
pub(crate) struct Found {
    /// The places of its patterns.
    pub(crate) places: Range<u32>,
    /// The first one's site, if that is on every listener.
    pub(crate) everywhere: Option<u32>,
}

/// Names that are not empty and their patterns' places.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// A power of two of them, half of which are free; none when there are no names.
    slots: Box<[Slot]>,
    long: Vec<Box<[u8]>>,
}

impl Names {
    /// A table of `names`, each of which comes once: with its patterns' places, and the first one's site if that is on
    /// every listener.
    pub(crate) fn new(names: &[(&[u8], Range<u32>, Option<u32>)]) -> Names {
        let size = match names.len() {
            0 => return Names::default(),
            count => (count * 2).next_power_of_two(),
        };
        let free = Slot {
            length: 0,
            text: [0; INLINE_BYTES],
            long: NONE,
            value: Value {
                first: 0,
                count: 0,
                everywhere: NONE,
            },
        };
        let mut table = Names {
            slots: vec![free; size].into(),
            long: Vec::new(),
        };
        for (name, places, everywhere) in names {
            if !name.is_empty() {
                table.insert(name, places, *everywhere);
            }
        }
        table
    }

    fn insert(&mut self, name: &[u8], places: &Range<u32>, everywhere: Option<u32>) {
        let mut at = self.home(name);
        while self.slots[at].length != 0 {
            at = self.next(at);
        }
        let slot = &mut self.slots[at];
        slot.length = name.len() as u16;
        let inline = name.len().min(INLINE_BYTES);
        slot.text[..inline].copy_from_slice(&name[..inline]);
        if name.len() > INLINE_BYTES {
            slot.long = self.long.len() as u32;
            self.long.push(name.into());
        }
        slot.value = Value {
            first: places.start,
            count: places.end - places.start,
            everywhere: everywhere.unwrap_or(NONE),
        };
    }

    /// Where the search for a name begins.
    #[inline]
    fn home(&self, name: &[u8]) -> usize {
        FixedState::default().hash_one(name) as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// What stands for a name of at most as many bytes as a host has.
    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<Found> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(name);
        // Half of the slots are free, so this ends.
        loop {
            let slot = &self.slots[at];
            if slot.length == 0 {
                return None;
            }
            if usize::from(slot.length) == name.len() && self.holds(slot, name) {
                let Value {
                    first,
                    count,
                    everywhere,
                } = slot.value;
                return Some(Found {
                    places: first..first + count,
                    everywhere: (everywhere != NONE).then_some(everywhere),
                });
            }
            at = self.next(at);
        }
    }

    #[inline]
    fn holds(&self, slot: &Slot, name: &[u8]) -> bool {
        match slot.text.get(..name.len()) {
            Some(text) => text == name,
            None => *self.long[slot.long as usize] == *name,
        }
    }

    /// Whether there are no names.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn finds_what_a_map_finds(
            names in proptest::collection::hash_set("[a-c.]{1,3}|[ab]{45,49}", 0..60),
            asked in proptest::collection::vec("[a-c.]{0,3}|[ab]{45,49}", 0..60),
        ) {
            let map: HashMap<&[u8], u32> = names.iter().map(|name| name.as_bytes()).zip(0..).collect();
            let listed: Vec<_> = map
                .iter()
                .map(|(&name, &at)| (name, at..at + 1, (at % 2 == 0).then_some(at + 7)))
                .collect();
            let table = Names::new(&listed);
            prop_assert_eq!(table.is_empty(), names.is_empty());
            for name in names.iter().chain(&asked) {
                let found = table.get(name.as_bytes());
                let expected = map.get(name.as_bytes());
                prop_assert_eq!(found.as_ref().map(|found| found.places.start), expected.copied());
                if let (Some(found), Some(&at)) = (found, expected) {
                    prop_assert_eq!(found.everywhere, (at % 2 == 0).then_some(at + 7));
                }
            }
        }
    }
}
