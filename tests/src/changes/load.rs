//! Load by a program that is not ours: h2load, HTTP/2 over TLS, one short run after the other.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use super::Tally;

/// Requests of a run, connections, and streams at a time on each.
const RUN: [&str; 6] = ["-n", "200", "-c", "2", "-m", "8"];
/// Streams that its two connections may have queued and not yet sent when GOAWAY comes.
const QUEUED_MAX: u64 = 2 * 8;

/// Runs until the end.
pub(super) fn h2load(url: &str, tally: &Tally) {
    while tally.runs() {
        let done = Command::new("h2load")
            .args(RUN)
            .arg(url)
            .stdin(Stdio::null())
            .output();
        match done {
            Ok(done) => judge(&String::from_utf8_lossy(&done.stdout), tally),
            Err(error) => return tally.fail(("h2load can't be run", error)),
        }
    }
}

/// What h2load has counted. It opens no second connection when it is told GOAWAY and gives up what it has not yet sent,
/// which it says and counts as failed; it does not say so of those that it calls started, since they were queued when GOAWAY
/// came, and near the end of its run there may be no others. That no request which went out is among them is seen by the
/// backend, which must have had just as many as were answered well.
fn judge(said: &str, tally: &Tally) {
    let Some(counts) = Counts::of(said) else {
        return tally.fail(("h2load", said.to_owned()));
    };
    let unanswered = counts.total - counts.succeeded;
    let gave_up = said.matches("Process Request Failure").count();
    let is_good = counts.succeeded > 0
        && counts.failed == unanswered
        && counts.started - counts.succeeded <= QUEUED_MAX
        && (counts.started == counts.total || gave_up > 0);
    if is_good {
        tally.loaded.fetch_add(counts.succeeded, Ordering::SeqCst);
    } else {
        tally.fail(("h2load", said.to_owned()));
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Counts {
    total: u64,
    started: u64,
    succeeded: u64,
    failed: u64,
}

impl Counts {
    /// From the line `requests: 200 total, 200 started, 200 done, 200 succeeded, 0 failed, 0 errored, 0 timeout`.
    fn of(said: &str) -> Option<Counts> {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix("requests: "))?;
        let count = |name: &str| {
            let mut parts = line.split(", ").filter_map(|part| part.split_once(' '));
            parts.find(|(_, word)| *word == name)?.0.parse().ok()
        };
        Some(Counts {
            total: count("total")?,
            started: count("started")?,
            succeeded: count("succeeded")?,
            failed: count("failed")?,
        })
    }
}
