//! Whose DATA leaves next (RFC 9218 §10).

use super::priority::Priority;
use super::streams::StreamKey;
use std::collections::VecDeque;

/// Every so many turns the least urgent goes first, so that nobody starves.
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
        let urgency = if self.turns.is_multiple_of(FAIR_TURN) {
            7 - self.waiting.leading_zeros()
        } else {
            self.waiting.trailing_zeros()
        } as usize;
        let key = self.queues[urgency].front()?;
        Some((urgency, *key))
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

    #[test]
    fn nobody_starves() {
        let order = order(&[(0, false), (0, false), (7, false)], 1_000, 200);
        for slot in 0..3 {
            assert!(order.contains(&slot), "{slot}");
        }
    }
}
