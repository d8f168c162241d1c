//! A coarse timer wheel, pure: ticks in, due slots out.
//!
//! A deadline that moves later (the common case: every request of a connection pushes it on) is one store; the
//! wheel finds the new time when the old tick comes round and links the slot again there. Only a deadline that
//! moves earlier is linked at once. Links are threaded through the slots themselves (a doubly linked list per
//! bucket), so a slot is in at most one bucket, nothing is ever stale, nothing is allocated after a slot was first
//! made, and memory is slots × 32 bytes plus the buckets, whatever is set in whatever order.
//!
//! Deadlines further away than one rotation wait in their bucket for more rotations.

/// Buckets of the wheel; a power of two. One rotation is this many ticks.
pub const BUCKETS: usize = 1_024;

const NONE: u32 = u32::MAX;
const UNLINKED: u64 = u64::MAX;
const UNSET: u64 = u64::MAX;

/// A slot of a [`Wheel`]. An id of a slot that was freed, and perhaps given out again, is recognised and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId {
    index: u32,
    generation: u32,
}

impl SlotId {
    /// The slot's place in the slab: below the greatest number of slots that were ever in use at once.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug)]
struct Slot {
    /// The tick at which it is due, or `UNSET`.
    due: u64,
    /// The tick under which it is linked, or `UNLINKED`. Never later than `due` while that is set.
    linked: u64,
    /// Neighbours in the bucket; of a free slot `next` leads on through the free ones.
    next: u32,
    previous: u32,
    generation: u32,
    expired: bool,
    in_use: bool,
}

/// The wheel. See the module's documentation.
#[derive(Debug)]
pub struct Wheel {
    /// First slot of each bucket; empty until the first slot is made.
    heads: Vec<u32>,
    slots: Vec<Slot>,
    free: u32,
    tick: u64,
    armed: usize,
    linked: usize,
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel::new()
    }
}

impl Wheel {
    /// A wheel without slots at tick 0. Allocates nothing.
    #[must_use]
    pub const fn new() -> Wheel {
        Wheel {
            heads: Vec::new(),
            slots: Vec::new(),
            free: NONE,
            tick: 0,
            armed: 0,
            linked: 0,
        }
    }

    /// How many slots have a deadline set.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.armed
    }

    /// How many slots are linked into buckets: at most one link each.
    #[must_use]
    pub fn links(&self) -> usize {
        self.linked
    }

    /// The next tick at which there may be something to do, at most a rotation away; `None` while nothing is linked.
    ///
    /// Work is a look at the head of each bucket before it.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        if self.linked == 0 {
            return None;
        }
        let following = self.tick + 1..self.tick + 1 + BUCKETS as u64;
        following
            .into_iter()
            .find(|&tick| self.heads[bucket_of(tick)] != NONE)
    }

    /// How many slots there are, free ones among them.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// A slot without a deadline. Allocates only when more are in use than ever before.
    ///
    /// # Panics
    /// When four thousand million slots are in use.
    pub fn insert(&mut self) -> SlotId {
        if self.heads.is_empty() {
            self.heads = vec![NONE; BUCKETS];
        }
        if self.free != NONE {
            let index = self.free;
            let slot = &mut self.slots[index as usize];
            self.free = slot.next;
            slot.next = NONE;
            slot.in_use = true;
            let generation = slot.generation;
            return SlotId { index, generation };
        }
        let index = u32::try_from(self.slots.len()).expect("fewer slots than u32 counts");
        assert!(index != NONE, "fewer slots than u32 counts");
        self.slots.push(Slot {
            due: UNSET,
            linked: UNLINKED,
            next: NONE,
            previous: NONE,
            generation: 0,
            expired: false,
            in_use: true,
        });
        SlotId {
            index,
            generation: 0,
        }
    }

    /// Frees a slot; its deadline is forgotten and its id is worth nothing from here on.
    pub fn remove(&mut self, id: SlotId) {
        if self.slot(id).is_none() {
            return;
        }
        self.clear(id);
        self.unlink(id.index);
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.in_use = false;
        slot.next = self.free;
        self.free = id.index;
    }

    /// Sets a slot's deadline to `due` (a tick) and forgets that it was expired.
    ///
    /// A tick that has already passed is due at the next [`Wheel::advance`] that moves on; `u64::MAX` clears. Returns the
    /// tick under which the slot was linked anew, `u64::MAX` if it was not: [`Wheel::next`] may be that from now on.
    #[inline]
    pub fn set(&mut self, id: SlotId, due: u64) -> u64 {
        if due == UNSET {
            self.clear(id);
            return UNLINKED;
        }
        let earliest = self.tick + 1;
        let Some(slot) = self.slot(id) else {
            return UNLINKED;
        };
        self.armed += usize::from(slot.due == UNSET);
        let slot = &mut self.slots[id.index as usize];
        slot.due = due;
        slot.expired = false;
        let link = due.max(earliest);
        if link >= slot.linked {
            return UNLINKED;
        }
        self.unlink(id.index);
        self.link(id.index, link);
        link
    }

    /// Takes a slot's deadline away and forgets that it was expired. Its link is dropped when its tick comes.
    #[inline]
    pub fn clear(&mut self, id: SlotId) {
        let Some(slot) = self.slot(id) else { return };
        self.armed -= usize::from(slot.due != UNSET);
        let slot = &mut self.slots[id.index as usize];
        slot.due = UNSET;
        slot.expired = false;
    }

    /// Whether the slot's deadline has come since it was last set.
    #[must_use]
    #[inline]
    pub fn is_expired(&self, id: SlotId) -> bool {
        self.slot(id).is_some_and(|slot| slot.expired)
    }

    /// Moves on to tick `now` and reports every slot whose deadline has come, by its index, once. Does nothing
    /// when `now` is not later than before.
    ///
    /// Work is one look at each bucket passed (no bucket twice, however long the pause) and at each slot in it.
    pub fn advance(&mut self, now: u64, mut expire: impl FnMut(usize)) {
        if now <= self.tick {
            return;
        }
        let first = self.tick + 1;
        self.tick = now;
        if self.linked == 0 {
            return;
        }
        let buckets = (now - first + 1).min(BUCKETS as u64);
        for step in 0..buckets {
            let mut index = self.heads[bucket_of(first + step)];
            while index != NONE {
                let slot = &mut self.slots[index as usize];
                let (next, due) = (slot.next, slot.due);
                if slot.linked <= now {
                    let expired = due <= now;
                    if expired {
                        slot.due = UNSET;
                        slot.expired = true;
                    }
                    self.unlink(index);
                    if expired {
                        self.armed -= 1;
                        expire(index as usize);
                    } else if due != UNSET {
                        self.link(index, due);
                    }
                }
                index = next;
            }
        }
    }

    #[inline]
    fn slot(&self, id: SlotId) -> Option<&Slot> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.in_use && slot.generation == id.generation).then_some(slot)
    }

    fn link(&mut self, index: u32, tick: u64) {
        let head = &mut self.heads[bucket_of(tick)];
        let next = std::mem::replace(head, index);
        if next != NONE {
            self.slots[next as usize].previous = index;
        }
        let slot = &mut self.slots[index as usize];
        slot.next = next;
        slot.previous = NONE;
        slot.linked = tick;
        self.linked += 1;
    }

    fn unlink(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.linked == UNLINKED {
            return;
        }
        let (next, previous) = (slot.next, slot.previous);
        let bucket = bucket_of(slot.linked);
        slot.linked = UNLINKED;
        slot.next = NONE;
        slot.previous = NONE;
        self.linked -= 1;
        if previous == NONE {
            self.heads[bucket] = next;
        } else {
            self.slots[previous as usize].next = next;
        }
        if next != NONE {
            self.slots[next as usize].previous = previous;
        }
    }
}

const fn bucket_of(tick: u64) -> usize {
    tick as usize & (BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Step {
        Insert,
        Remove(usize),
        Set(usize, i64),
        Clear(usize),
        Advance(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Insert),
            1 => (0..64_usize).prop_map(Step::Remove),
            8 => (0..64_usize, prop_oneof![-3..40_i64, 0..3_000_i64, 1_020..1_030_i64])
                .prop_map(|(slot, after)| Step::Set(slot, after)),
            1 => (0..64_usize).prop_map(Step::Clear),
            4 => prop_oneof![4 => 1..4_u64, 1 => 1..1_500_u64, 1 => Just(5_000_u64)]
                .prop_map(Step::Advance),
        ];
        proptest::collection::vec(step, 1..400)
    }

    /// What the wheel must do, said plainly.
    #[derive(Default)]
    struct Model {
        now: u64,
        slots: Vec<(SlotId, Option<u64>, bool)>,
    }

    fn run(steps: Vec<Step>) {
        let mut wheel = Wheel::new();
        let mut model = Model::default();
        let mut freed: Vec<SlotId> = Vec::new();
        let mut in_use_max = 0;
        // What a driver does that asks for the next tick after each advance and is told of earlier links.
        let mut sleeps_until = u64::MAX;
        for step in steps {
            match step {
                Step::Insert => model.slots.push((wheel.insert(), None, false)),
                Step::Remove(pick) if !model.slots.is_empty() => {
                    let at = pick % model.slots.len();
                    let (id, ..) = model.slots.swap_remove(at);
                    wheel.remove(id);
                    freed.push(id);
                }
                Step::Set(pick, after) if !model.slots.is_empty() => {
                    let at = pick % model.slots.len();
                    let due = model.now.saturating_add_signed(after);
                    sleeps_until = sleeps_until.min(wheel.set(model.slots[at].0, due));
                    model.slots[at].1 = Some(due);
                    model.slots[at].2 = false;
                }
                Step::Clear(pick) if !model.slots.is_empty() => {
                    let at = pick % model.slots.len();
                    wheel.clear(model.slots[at].0);
                    model.slots[at].1 = None;
                    model.slots[at].2 = false;
                }
                Step::Advance(ticks) => {
                    model.now += ticks;
                    let mut found = Vec::new();
                    wheel.advance(model.now, |index| found.push(index));
                    let mut expected = BTreeSet::new();
                    for (id, due, expired) in &mut model.slots {
                        if due.is_some_and(|due| due <= model.now) {
                            expected.insert(id.index());
                            *due = None;
                            *expired = true;
                        }
                    }
                    assert_eq!(found.len(), expected.len(), "each once");
                    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
                    sleeps_until = wheel.next().unwrap_or(u64::MAX);
                    assert!(sleeps_until > model.now);
                }
                _ => {}
            }
            // A freed slot's id moves nothing.
            if let Some(id) = freed.last() {
                wheel.set(*id, model.now + 1);
                assert!(!wheel.is_expired(*id));
            }
            in_use_max = in_use_max.max(model.slots.len());
            for (id, _, expired) in &model.slots {
                assert_eq!(wheel.is_expired(*id), *expired);
            }
            let dues = model.slots.iter().filter_map(|slot| slot.1);
            let first = dues.map(|due| due.max(model.now + 1)).min();
            assert!(
                first.is_none_or(|first| sleeps_until <= first),
                "it oversleeps"
            );
            let armed = model.slots.iter().filter(|slot| slot.1.is_some()).count();
            assert_eq!(wheel.armed(), armed);
            assert!(wheel.links() >= armed && wheel.links() <= model.slots.len());
            assert_eq!(wheel.slots(), in_use_max, "slots are used again");
            check_lists(&wheel);
        }
    }

    /// Every link is in its bucket, both ways, and none is elsewhere.
    fn check_lists(wheel: &Wheel) {
        let mut seen = 0;
        for (bucket, head) in wheel.heads.iter().enumerate() {
            let (mut index, mut previous) = (*head, NONE);
            while index != NONE {
                let slot = &wheel.slots[index as usize];
                assert!(slot.in_use && slot.linked != UNLINKED);
                assert_eq!(bucket_of(slot.linked), bucket);
                assert_eq!(slot.previous, previous);
                assert!(slot.linked > wheel.tick && slot.linked <= slot.due.max(wheel.tick + 1));
                seen += 1;
                assert!(seen <= wheel.slots.len(), "no circle");
                previous = index;
                index = slot.next;
            }
        }
        assert_eq!(seen, wheel.links());
    }

    proptest! {
        #[test]
        fn every_deadline_comes_once_and_in_its_tick(steps in steps()) {
            run(steps);
        }
    }

    #[test]
    fn setting_ever_earlier_and_later_costs_one_link_a_slot() {
        let mut wheel = Wheel::new();
        let ids: Vec<_> = (0..10).map(|_| wheel.insert()).collect();
        let mut now = 0;
        for _ in 0..200 {
            for id in &ids {
                for after in (1..1_500).rev().step_by(7) {
                    wheel.set(*id, now + after);
                    wheel.set(*id, now + 40_000);
                }
            }
            now += 1;
            wheel.advance(now, |_| panic!("all are far away"));
            assert!(wheel.links() <= ids.len());
            assert_eq!(wheel.slots(), ids.len());
        }
    }

    #[test]
    fn moving_later_keeps_the_link_where_it_was() {
        let mut wheel = Wheel::new();
        let id = wheel.insert();
        wheel.set(id, 10);
        wheel.set(id, 500);
        assert_eq!(wheel.slots[0].linked, 10);
        wheel.advance(10, |_| panic!("not yet"));
        assert_eq!(wheel.slots[0].linked, 500);
        let mut due = 0;
        wheel.advance(499, |_| due += 1);
        assert_eq!(due, 0);
        wheel.advance(500, |_| due += 1);
        assert_eq!(due, 1);
    }

    #[test]
    fn a_slot_is_thirty_two_bytes_or_little_more() {
        assert!(size_of::<Slot>() <= 40);
    }
}
