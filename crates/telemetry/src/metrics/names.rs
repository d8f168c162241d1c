//! Slots of dynamic names: each pair of names gets a number once and keeps it, across reloads, for good.

use std::collections::HashMap;
use std::sync::Arc;

/// Two names that together stand for a slot: site and route, upstream and address.
pub(super) type Pair = [Arc<str>; 2];

/// A bounded table from pairs of names to slot numbers. Slot 0 is "other".
#[derive(Debug)]
pub(super) struct Names {
    slots: HashMap<Pair, u32>,
    list: Vec<Pair>,
    slots_max: u32,
    refused: u64,
}

impl Names {
    /// A table that holds up to `slots_max` names besides "other".
    pub(super) fn new(slots_max: u32) -> Names {
        Names {
            slots: HashMap::new(),
            list: vec![["".into(), "other".into()]],
            slots_max,
            refused: 0,
        }
    }

    /// The slot of a pair: its own, or 0 when the table is full.
    pub(super) fn intern(&mut self, first: &str, second: &str) -> u32 {
        let pair: Pair = [first.into(), second.into()];
        if let Some(slot) = self.slots.get(&pair) {
            return *slot;
        }
        let slot = self.list.len() as u32;
        if slot > self.slots_max {
            self.refused += 1;
            return 0;
        }
        self.slots.insert(pair.clone(), slot);
        self.list.push(pair);
        slot
    }

    /// All names by slot, "other" first.
    pub(super) fn list(&self) -> Vec<Pair> {
        self.list.clone()
    }

    /// How often a name found the table full.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_slots_and_the_table_its_bound() {
        let mut names = Names::new(2);
        assert_eq!(names.intern("a", "x"), 1);
        assert_eq!(names.intern("a", "y"), 2);
        assert_eq!(names.intern("a", "x"), 1);
        assert_eq!(names.refused(), 0);
        assert_eq!(names.intern("b", "x"), 0);
        assert_eq!(names.intern("a", "y"), 2);
        assert_eq!(names.refused(), 1);
        assert_eq!(names.list().len(), 3);
    }
}
