//! Slots of dynamic names: each pair of names gets a number once and keeps it, across reloads; one that was let go of
//! keeps it until the table is full and another pair needs it.

use std::collections::{HashMap, HashSet, VecDeque};
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
    /// Slots whose names are gone, and the same in the order in which they went; some of these have come back.
    gone: HashSet<u32>,
    order: VecDeque<u32>,
}

/// A pair's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) number: u32,
    /// Whether another pair had it before.
    pub(super) is_taken_over: bool,
}

impl Names {
    /// A table that holds up to `slots_max` names besides "other".
    pub(super) fn new(slots_max: u32) -> Names {
        Names {
            slots: HashMap::new(),
            list: vec![["".into(), "other".into()]],
            slots_max,
            refused: 0,
            gone: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// The slot of a pair: its own, or 0 when the table is full.
    pub(super) fn intern(&mut self, first: &str, second: &str) -> u32 {
        self.slot(first, second).number
    }

    /// The slot of a pair: its own, one of a pair that is gone when the table is full, or else 0.
    pub(super) fn slot(&mut self, first: &str, second: &str) -> Slot {
        let pair: Pair = [first.into(), second.into()];
        let own = |number| Slot {
            number,
            is_taken_over: false,
        };
        if let Some(slot) = self.slots.get(&pair) {
            self.gone.remove(slot);
            return own(*slot);
        }
        let slot = self.list.len() as u32;
        if slot > self.slots_max {
            return self.take_over(pair).unwrap_or_else(|| {
                self.refused += 1;
                own(0)
            });
        }
        self.slots.insert(pair.clone(), slot);
        self.list.push(pair);
        own(slot)
    }

    /// The slot that has been without its pair for longest.
    fn take_over(&mut self, pair: Pair) -> Option<Slot> {
        loop {
            let number = self.order.pop_front()?;
            if !self.gone.remove(&number) {
                continue;
            }
            let before = std::mem::replace(&mut self.list[number as usize], pair.clone());
            self.slots.remove(&before);
            self.slots.insert(pair, number);
            return Some(Slot {
                number,
                is_taken_over: true,
            });
        }
    }

    /// A pair is no longer there. It keeps its slot until another pair needs it.
    pub(super) fn let_go(&mut self, first: &str, second: &str) {
        let pair: Pair = [first.into(), second.into()];
        let Some(slot) = self.slots.get(&pair).copied() else {
            return;
        };
        if self.gone.insert(slot) {
            // Who came back and goes again stands in the list twice: now and then the earlier places are taken out.
            if self.order.len() > 2 * self.slots_max as usize {
                let mut seen = HashSet::new();
                let gone = &self.gone;
                let latest = (self.order.iter().rev()).filter(|other| {
                    **other != slot && gone.contains(other) && seen.insert(**other)
                });
                let latest: Vec<u32> = latest.copied().collect();
                self.order = latest.into_iter().rev().collect();
            }
            self.order.push_back(slot);
        }
    }

    /// Lets go of all pairs but these. Those of them that come back have their slots at once, before new ones look for any.
    pub(super) fn keep_only(&mut self, stay: &[(&str, &str)]) {
        let stay: HashSet<&(&str, &str)> = stay.iter().collect();
        let (back, leave): (Vec<_>, Vec<_>) = (0..)
            .zip(self.list.iter().cloned())
            .skip(1)
            .partition(|(_, [first, second])| stay.contains(&(&**first, &**second)));
        for (slot, _) in back {
            self.gone.remove(&slot);
        }
        for (_, [first, second]) in leave {
            self.let_go(&first, &second);
        }
    }

    /// The slots whose pairs are gone.
    pub(super) fn gone(&self) -> HashSet<u32> {
        self.gone.clone()
    }

    /// The names of a slot.
    pub(super) fn at(&self, slot: u32) -> Option<Pair> {
        self.list.get(slot as usize).cloned()
    }

    /// The slot of a pair that has one.
    pub(super) fn find(&self, first: &str, second: &str) -> Option<u32> {
        let pair: Pair = [first.into(), second.into()];
        self.slots.get(&pair).copied()
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

    #[test]
    fn a_full_table_has_room_for_those_who_come_when_others_have_gone() {
        let mut names = Names::new(2);
        names.intern("a", "x");
        names.intern("a", "y");
        names.let_go("a", "x");
        names.let_go("a", "x");
        names.let_go("nobody", "");
        let back = names.slot("a", "x");
        assert_eq!((back.number, back.is_taken_over), (1, false));
        assert_eq!(names.intern("b", "z"), 0);
        names.let_go("a", "y");
        names.let_go("a", "x");
        let taken = names.slot("b", "z");
        // The one that came back in between has gone first all the same, and only once.
        assert!(taken.is_taken_over);
        assert!(names.slot("c", "z").is_taken_over);
        assert_eq!(names.intern("d", "z"), 0);
        assert_eq!(names.list().len(), 3);
        assert!(names.gone().is_empty());
    }

    #[test]
    fn who_comes_back_is_before_those_who_are_new() {
        let mut names = Names::new(2);
        names.intern("a", "x");
        names.intern("a", "y");
        names.keep_only(&[]);
        // The new one comes first in the configuration, and what has gone first is not free any more.
        names.keep_only(&[("b", "z"), ("a", "x")]);
        let new = names.slot("b", "z");
        assert_eq!((new.number, new.is_taken_over), (2, true));
        let back = names.slot("a", "x");
        assert_eq!((back.number, back.is_taken_over), (1, false));
    }

    #[test]
    fn who_comes_and_goes_makes_nothing_grow() {
        let mut names = Names::new(3);
        for _ in 0..1_000 {
            names.intern("a", "x");
            names.let_go("a", "x");
        }
        assert!(names.order.len() <= 8, "{}", names.order.len());
    }
}
