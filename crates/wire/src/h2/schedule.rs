//! Whose DATA leaves next (RFC 9218 §10).

use super::priority::Priority;
use super::streams::StreamKey;
use std::collections::VecDeque;

/// Every so many turns one goes first that is not the most urgent, each of those urgencies after the other, so that nobody
/// starves.
const FAIR_TURN: u32 = 16;
/// So much of an answer that is of no use in parts leaves before the next in its urgency has a turn.
const BURST_BYTES: u32 = 256 * 1024;

/// Streams with something to send, by urgency; within one in order, incremental ones by turns.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    queues: [VecDeque<StreamKey>; 8],
    /// A bit for each urgency whose queue is not empty.
    waiting: u8,
    turns: u32,
    /// The urgency that had the last such turn.
    fair: u8,
    /// What the stream at the front of each queue has sent in a row.
    burst_bytes: [u32; 8],
}

impl Schedule {
    /// Whether nobody has.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// A stream has something to send.
    #[inline]
    pub(crate) fn push(&mut self, key: StreamKey, priority: Priority) {
        let urgency = usize::from(priority.urgency & 7);
        self.queues[urgency].push_back(key);
        self.waiting |= 1 << urgency;
    }

    /// The urgency whose turn it is, and the stream at its front.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(usize, StreamKey)> {
        if self.waiting == 0 {
            return None;
        }
        self.turns = self.turns.wrapping_add(1);
        let most_urgent = self.waiting.trailing_zeros() as usize;
        let urgency = match self.turns.is_multiple_of(FAIR_TURN) {
            true => self.next_in_fairness().unwrap_or(most_urgent),
            false => most_urgent,
        };
        let key = self.queues[urgency].front()?;
        Some((urgency, *key))
    }

    /// Who waits behind the most urgent has its turn: the next urgency above the last one that had, from the least urgent on.
    fn next_in_fairness(&mut self) -> Option<usize> {
        let behind = self.waiting & (self.waiting - 1);
        let above_last = behind & ((1 << self.fair) - 1);
        let among = if above_last == 0 { behind } else { above_last };
        let urgency = among.checked_ilog2()?;
        self.fair = urgency as u8;
        Some(urgency as usize)
    }

    /// The stream whose turn it was has sent `bytes` and has more.
    #[inline]
    pub(crate) fn sent(&mut self, urgency: usize, incremental: bool, bytes: u32) {
        self.burst_bytes[urgency] += bytes;
        if incremental || self.burst_bytes[urgency] >= BURST_BYTES {
            self.burst_bytes[urgency] = 0;
            let queue = &mut self.queues[urgency];
            if queue.len() > 1 {
                queue.rotate_left(1);
            }
        }
    }

    /// The stream whose turn it was has nothing more to send now.
    #[inline]
    pub(crate) fn done(&mut self, urgency: usize) {
        self.burst_bytes[urgency] = 0;
        let queue = &mut self.queues[urgency];
        queue.pop_front();
        if queue.is_empty() {
            self.waiting &= !(1 << urgency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn priority(urgency: u8, incremental: bool) -> Priority {
        Priority {
            urgency,
            incremental,
        }
    }

    /// The order in which streams send, each frame 16 KiB, `frames` frames each.
    fn order(streams: &[(u8, bool)], frames: u32, turns: usize) -> Vec<usize> {
        let mut schedule = Schedule::default();
        let mut left = vec![frames; streams.len()];
        for (slot, &(urgency, incremental)) in streams.iter().enumerate() {
            let slot = slot as u32;
            let key = StreamKey { slot, id: 1 };
            schedule.push(key, priority(urgency, incremental));
        }
        let mut order = Vec::new();
        while let Some((urgency, key)) = schedule.next() {
            let slot = key.slot();
            order.push(slot);
            left[slot] -= 1;
            if left[slot] == 0 {
                schedule.done(urgency);
            } else {
                schedule.sent(urgency, streams[slot].1, 16 * 1024);
            }
            if order.len() == turns {
                break;
            }
        }
        order
    }

    #[test]
    fn the_urgent_go_first_and_incremental_ones_take_turns() {
        let order = order(&[(3, true), (1, false), (3, true)], 2, 15);
        assert_eq!(order, [1, 1, 0, 2, 0, 2]);
    }

    #[test]
    fn answers_that_are_of_no_use_in_parts_leave_in_order() {
        assert_eq!(order(&[(3, false), (3, false)], 3, 9), [0, 0, 0, 1, 1, 1]);
    }

    /// With 4 of an urgency, a turn for each of 7 urgencies every 16 turns, and 16 frames in a row.
    const TURNS: usize = 4 * 7 * 16 * 16;

    proptest! {
        #[test]
        fn nobody_starves(streams in prop::collection::vec((0_u8..8, any::<bool>()), 1..5)) {
            let order = order(&streams, u32::MAX, TURNS);
            for slot in 0..streams.len() {
                prop_assert!(order.contains(&slot), "{}", slot);
            }
            let most_urgent = streams.iter().map(|&(urgency, _)| urgency).min();
            let first = order.iter().filter(|&&slot| Some(streams[slot].0) == most_urgent);
            prop_assert!(first.count() >= TURNS / 16 * 15);
        }
    }

    #[test]
    fn those_behind_the_most_urgent_have_their_turns_alike() {
        let order = order(
            &[(0, true), (3, true), (5, true), (7, true)],
            u32::MAX,
            16 * 9,
        );
        let fair: Vec<usize> = order.into_iter().filter(|&slot| slot != 0).collect();
        assert_eq!(fair, [3, 2, 1, 3, 2, 1, 3, 2, 1]);
    }
}
