//! What a peer may ask of us without getting anything done: a leaky budget of points for each connection, whichever
//! version of HTTP it speaks. A point stands for about a microsecond of ours.
//!
//! Every cheap thing that makes us work (a reset, an acknowledgement to be written, a frame without content) costs
//! points; time and useful work give them back. A peer that has spent its budget is told to calm down, with the
//! offence that spent the last of it as the reason. The sum of all offences counts: an attacker that mixes them gains
//! nothing over one that keeps to a single kind.
//!
//! What gives points back must cost the peer more than what it pays for. Body pays for the small frames that go with
//! it, by what was moved and not by how many frames that took. It never pays for streams that came to nothing: behind
//! each of them stood a request of which only requests that were served, and time, make up.

use foregate_message::Reason;

/// Something a peer does that costs it little and us more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Offence {
    /// It cancelled a request soon after it had sent it (CVE-2023-44487).
    RapidReset,
    /// It made us reset a stream (CVE-2025-8671).
    ProvokedReset,
    /// It opened more streams than it may.
    StreamOverLimit,
    /// SETTINGS, which must be acknowledged.
    Settings,
    /// PING, which must be answered.
    Ping,
    /// DATA without a byte, or with hardly any; in HTTP/1 so many chunks like that as cost us as much, or a piece of a head.
    TinyData,
    /// PRIORITY or PRIORITY_UPDATE.
    Priority,
    /// WINDOW_UPDATE.
    WindowUpdate,
    /// CONTINUATION, of which one or two are usual.
    Continuation,
    /// A frame that has no effect: of an unknown type, or for a stream that has ended.
    IdleFrame,
}

impl Offence {
    /// Every offence, in the order of its number.
    pub const ALL: [Offence; 10] = [
        Offence::RapidReset,
        Offence::ProvokedReset,
        Offence::StreamOverLimit,
        Offence::Settings,
        Offence::Ping,
        Offence::TinyData,
        Offence::Priority,
        Offence::WindowUpdate,
        Offence::Continuation,
        Offence::IdleFrame,
    ];

    /// What it costs.
    pub const fn points(self) -> u32 {
        match self {
            // A request had been routed, perhaps sent to a backend.
            Offence::RapidReset | Offence::ProvokedReset => 10,
            Offence::StreamOverLimit | Offence::Settings => 10,
            Offence::Ping | Offence::Continuation => 3,
            Offence::TinyData | Offence::Priority | Offence::WindowUpdate | Offence::IdleFrame => 1,
        }
    }

    /// Whether a stream came to nothing by it, for which no body makes up.
    const fn is_of_a_stream(self) -> bool {
        matches!(
            self,
            Offence::RapidReset | Offence::ProvokedReset | Offence::StreamOverLimit
        )
    }

    /// The reason that a connection ends with when this was too much.
    pub const fn reason(self) -> Reason {
        match self {
            Offence::RapidReset => Reason::RapidReset,
            Offence::ProvokedReset => Reason::ProvokedResets,
            Offence::StreamOverLimit => Reason::StreamFlood,
            Offence::Settings => Reason::SettingsFlood,
            Offence::Ping => Reason::PingFlood,
            Offence::TinyData => Reason::TinyDataFlood,
            Offence::Priority => Reason::PriorityFlood,
            Offence::WindowUpdate => Reason::WindowUpdateFlood,
            Offence::Continuation => Reason::ContinuationFlood,
            Offence::IdleFrame => Reason::IdleFrameFlood,
        }
    }
}

/// With fewer bytes than this a piece is tiny: of DATA, a chunk, what a read brings of a head.
pub(crate) const PIECE_BYTES_MIN: u32 = 8;

/// So many tiny chunks of HTTP/1 cost a point. Unlike a frame, a chunk has no stream to be looked up and no window, and is
/// put together with those beside it: 15 nanoseconds each.
const CHUNKS_PER_POINT: u32 = 64;

/// What a finished request gives back, and a full piece of body.
const REQUEST_POINTS: u32 = 4;
const DATA_POINTS: u32 = 2;
/// What all that there was to send gives back, however little it is: one PING and two WINDOW_UPDATE frames. grpc-go
/// answers DATA with that, to measure the delay and the width of a connection.
const MESSAGE_POINTS: u32 = Offence::Ping.points() + 2 * Offence::WindowUpdate.points();
/// A full piece of body. Clients there are that send two WINDOW_UPDATE frames for so much.
const PIECE_BYTES: u32 = 4 * 1024;

/// The budget of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Points for frames, which body makes up for too.
    spent: u32,
    /// Points for streams, which it does not.
    streams_spent: u32,
    /// What may be spent at once, and what comes back in a minute.
    points_max: u32,
    /// Tiny chunks that have not made a point yet.
    chunks: u32,
    /// When points last came back.
    since_ms: u64,
}

impl Budget {
    /// A full budget: `points_max` may be spent at once, and come back in a minute.
    pub fn new(points_max: u32, now_ms: u64) -> Budget {
        Budget {
            spent: 0,
            streams_spent: 0,
            points_max,
            chunks: 0,
            since_ms: now_ms,
        }
    }

    /// Lets so many points be spent at once, and come back in a minute, from now on.
    pub fn limit(&mut self, points_max: u32) {
        self.points_max = points_max;
    }

    /// Charges an offence.
    ///
    /// # Errors
    /// The budget is spent: the connection ends with this reason.
    #[inline]
    pub fn charge(&mut self, offence: Offence, now_ms: u64) -> Result<(), Reason> {
        self.spend(offence, offence.points(), now_ms)
    }

    /// Charges tiny chunks of HTTP/1, which were read together.
    ///
    /// # Errors
    /// As those of [`Budget::charge`].
    pub fn charge_chunks(&mut self, chunks: u32, now_ms: u64) -> Result<(), Reason> {
        let chunks = self.chunks.saturating_add(chunks);
        self.chunks = chunks % CHUNKS_PER_POINT;
        self.spend(Offence::TinyData, chunks / CHUNKS_PER_POINT, now_ms)
    }

    /// Charges a read of HTTP/1 that brought so many more bytes of a head, if they are hardly any.
    ///
    /// # Errors
    /// As those of [`Budget::charge`].
    #[inline]
    pub fn charge_part_of_head(&mut self, bytes: usize, now_ms: u64) -> Result<(), Reason> {
        if bytes >= PIECE_BYTES_MIN as usize {
            return Ok(());
        }
        self.charge(Offence::TinyData, now_ms)
    }

    #[inline]
    fn spend(&mut self, offence: Offence, points: u32, now_ms: u64) -> Result<(), Reason> {
        let spent = match offence.is_of_a_stream() {
            true => &mut self.streams_spent,
            false => &mut self.spent,
        };
        *spent = spent.saturating_add(points);
        if self.is_spent() {
            self.leak(now_ms);
            if self.is_spent() {
                return Err(offence.reason());
            }
        }
        Ok(())
    }

    #[inline]
    fn is_spent(&self) -> bool {
        self.spent.saturating_add(self.streams_spent) > self.points_max
    }

    /// A request was served to its end.
    #[inline]
    pub fn served(&mut self) {
        if self.spent | self.streams_spent != 0 {
            self.pay(REQUEST_POINTS);
        }
    }

    /// So much body went one way or the other, for which a peer may well send WINDOW_UPDATE or PING. Only full pieces
    /// count, since a peer can cut small ones by its windows as it likes.
    #[inline]
    pub fn moved(&mut self, bytes: u32) {
        self.spent = self
            .spent
            .saturating_sub(DATA_POINTS * (bytes / PIECE_BYTES));
    }

    /// All of what there was to send has left, in a piece of `bytes`: that counts even if it is small, as it was not the
    /// peer that cut it.
    #[inline]
    pub fn moved_all(&mut self, bytes: u32) {
        let points = (DATA_POINTS * (bytes / PIECE_BYTES)).max(MESSAGE_POINTS);
        self.spent = self.spent.saturating_sub(points);
    }

    /// A piece of body was taken by whoever it is for. A peer whose small pieces are taken one by one talks; one that
    /// sends many before the first is taken floods.
    #[inline]
    pub fn taken(&mut self) {
        self.spent = self.spent.saturating_sub(1);
    }

    /// Lets points come back for the time that has passed.
    #[cold]
    fn leak(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.since_ms);
        let back = passed.saturating_mul(u64::from(self.points_max)) / 60_000;
        if back > 0 {
            self.since_ms = now_ms;
            self.pay(back.min(u64::from(u32::MAX)) as u32);
        }
    }

    /// Points come back: first those that nothing else brings back.
    #[inline(never)]
    fn pay(&mut self, points: u32) {
        let rest = points.saturating_sub(self.streams_spent);
        self.streams_spent = self.streams_spent.saturating_sub(points);
        self.spent = self.spent.saturating_sub(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_offence_alone_spends_the_budget_and_has_a_reason_of_its_own() {
        let mut reasons = HashSet::new();
        for offence in Offence::ALL {
            let mut budget = Budget::new(100, 0);
            let mut charged = 0;
            let reason = loop {
                match budget.charge(offence, 0) {
                    Ok(()) => charged += 1,
                    Err(reason) => break reason,
                }
            };
            assert_eq!(charged, 100 / offence.points(), "{offence:?}");
            assert!(reasons.insert(reason), "{reason:?}");
        }
    }

    #[test]
    fn mixing_offences_gains_nothing() {
        let mut budget = Budget::new(100, 0);
        let mut spent = 0;
        let outcome = Offence::ALL.iter().cycle().find_map(|&offence| {
            spent += offence.points();
            budget.charge(offence, 0).err()
        });
        assert!(outcome.is_some() && spent <= 110);
    }

    #[test]
    fn time_gives_points_back() {
        let mut budget = Budget::new(60, 1_000);
        for _ in 0..60 {
            budget.charge(Offence::TinyData, 1_000).unwrap();
        }
        assert!(budget.charge(Offence::TinyData, 1_999).is_err());
        let mut budget = Budget::new(60, 1_000);
        for second in 0..600 {
            let now = 1_000 + second * 1_000;
            assert_eq!(budget.charge(Offence::TinyData, now), Ok(()));
        }
    }

    #[test]
    fn useful_work_gives_points_back() {
        let mut budget = Budget::new(20, 0);
        for _ in 0..1_000 {
            budget.charge(Offence::WindowUpdate, 0).unwrap();
            budget.charge(Offence::WindowUpdate, 0).unwrap();
            budget.moved(PIECE_BYTES);
            budget.charge(Offence::WindowUpdate, 0).unwrap();
            budget.charge(Offence::WindowUpdate, 0).unwrap();
            budget.moved_all(100);
            budget.charge(Offence::Priority, 0).unwrap();
            budget.served();
        }
    }

    #[test]
    fn small_pieces_give_nothing_back() {
        let mut budget = Budget::new(20, 0);
        let charged = (0..1_000).take_while(|_| {
            budget.moved(PIECE_BYTES - 1);
            budget.charge(Offence::WindowUpdate, 0).is_ok()
        });
        assert_eq!(charged.count(), 20);
    }

    #[test]
    fn tiny_chunks_cost_together_what_a_tiny_frame_does() {
        let mut budget = Budget::new(100, 0);
        let chunks = (0..1_000_000).take_while(|_| budget.charge_chunks(1, 0).is_ok());
        assert_eq!(chunks.count(), 101 * 64 - 1);
        let mut budget = Budget::new(100, 0);
        assert_eq!(budget.charge_chunks(101 * 64 - 1, 0), Ok(()));
        assert_eq!(budget.charge_chunks(1, 0), Err(Reason::TinyDataFlood));
        // Each read is taken before the next one comes, and brings no more than it pays for.
        let mut budget = Budget::new(100, 0);
        for _ in 0..10_000 {
            assert_eq!(budget.charge_chunks(64, 0), Ok(()));
            budget.taken();
        }
        assert_eq!(
            budget.charge_chunks(u32::MAX, 0),
            Err(Reason::TinyDataFlood)
        );
    }

    #[test]
    fn a_head_may_come_in_parts_but_not_in_crumbs() {
        let mut budget = Budget::new(100, 0);
        for _ in 0..1_000 {
            assert_eq!(budget.charge_part_of_head(8, 0), Ok(()));
        }
        let crumbs = (0..1_000).take_while(|_| budget.charge_part_of_head(7, 0).is_ok());
        assert_eq!(crumbs.count(), 100);
    }

    #[test]
    fn a_new_limit_holds_for_what_is_spent_already() {
        let mut budget = Budget::new(100, 0);
        for _ in 0..50 {
            budget.charge(Offence::TinyData, 0).unwrap();
        }
        budget.limit(40);
        assert!(budget.charge(Offence::TinyData, 0).is_err());
        budget.limit(1_000);
        assert_eq!(budget.charge(Offence::TinyData, 0), Ok(()));
    }

    #[test]
    fn no_body_makes_up_for_streams_that_came_to_nothing() {
        for offence in [
            Offence::RapidReset,
            Offence::ProvokedReset,
            Offence::StreamOverLimit,
        ] {
            let mut budget = Budget::new(100, 0);
            let charged = (0..1_000).take_while(|_| {
                budget.moved(1 << 20);
                budget.moved_all(1);
                budget.taken();
                budget.charge(offence, 0).is_ok()
            });
            assert_eq!(charged.count(), 10);
        }
    }

    #[test]
    fn served_requests_make_up_for_streams_that_came_to_nothing() {
        let mut budget = Budget::new(20, 0);
        for _ in 0..1_000 {
            budget.charge(Offence::RapidReset, 0).unwrap();
            for _ in 0..3 {
                budget.served();
            }
        }
    }
}
