//! What a worker counts of balancing beside endpoints: sessions, copies, and picks that were not the ordinary ones.

use super::cell::Counter;
use super::exposition::{Exposition, Kind};
use super::shard::Shard;
use std::sync::Arc;

/// What became of requests' sessions. Names are stable: metrics carry them.
pub const SESSIONS: [&str; 5] = ["new", "kept", "moved", "expired", "forged"];

/// Why a request did not go where the algorithm alone would have had it. Names are stable: metrics carry them.
pub const PICKS_ASIDE: [&str; 6] = [
    "hash-next",
    "hash-relief",
    "no-key",
    "panic",
    "other-zone",
    "backup",
];

/// What became of the copy of a request. Names are stable: metrics carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mirrored {
    /// It was answered.
    Answered,
    /// It could not be sent, or its answer did not come whole.
    Failed,
    /// There is none: the body is larger than what is copied.
    BodyTooLarge,
    /// There is none: as many as may be were under way.
    TooMany,
    /// There is none: the request was over before all of its body had come.
    Incomplete,
}

impl Mirrored {
    const NAMES: [&str; 5] = [
        "answered",
        "failed",
        "body-too-large",
        "too-many",
        "incomplete",
    ];
}

/// A worker's counts.
#[derive(Debug, Default)]
pub struct BalancingCells {
    sessions: [Counter; SESSIONS.len()],
    picks_aside: [Counter; PICKS_ASIDE.len()],
    mirrored: [Counter; Mirrored::NAMES.len()],
}

impl BalancingCells {
    /// Counts a request with a session, by the number of its name in [`SESSIONS`].
    pub fn session(&self, number: usize) {
        self.sessions[number.min(SESSIONS.len() - 1)].one();
    }

    /// Counts the copy of a request.
    pub fn mirrored(&self, result: Mirrored) {
        self.mirrored[result as usize].one();
    }

    /// Counts a pick, if its reason is one of [`PICKS_ASIDE`].
    pub fn pick(&self, reason: &str) {
        if let Some(number) = PICKS_ASIDE.iter().position(|other| *other == reason) {
            self.picks_aside[number].one();
        }
    }
}

pub(super) fn scrape(out: &mut Exposition, shards: &[Arc<Shard>]) {
    let sum = |counter: &dyn Fn(&BalancingCells) -> &Counter| -> u64 {
        let cells = shards.iter().map(|shard| &shard.balancing);
        cells.map(|cells| counter(cells).read()).sum()
    };
    let sessions = out.family(
        "foregate_sessions_total",
        Kind::Counter,
        "Requests to sticky upstreams by what became of their session.",
    );
    for (number, name) in SESSIONS.iter().enumerate() {
        let count = sum(&|cells| &cells.sessions[number]);
        out.count(sessions, &[("result", name)], count);
    }
    let mirrored = out.family(
        "foregate_mirrored_total",
        Kind::Counter,
        "Copies of requests by what became of them, those that were not made included.",
    );
    for (number, name) in Mirrored::NAMES.iter().enumerate() {
        let count = sum(&|cells| &cells.mirrored[number]);
        out.count(mirrored, &[("result", name)], count);
    }
    let picks = out.family(
        "foregate_picks_aside_total",
        Kind::Counter,
        "Picks that went elsewhere than the algorithm alone would have had them, by reason.",
    );
    for (number, name) in PICKS_ASIDE.iter().enumerate() {
        let count = sum(&|cells| &cells.picks_aside[number]);
        out.count(picks, &[("reason", name)], count);
    }
}
