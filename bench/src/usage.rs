//! CPU time of a process, its threads and all its descendants, from `/proc`.

use std::collections::BTreeMap;
use std::fs;

/// CPU time used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Time on a core, in nanoseconds: the scheduler's exact count over all threads.
    pub cpu_ns: u64,
    /// Clock ticks in user mode: sampled, good only for the ratio to `system_ticks`.
    pub user_ticks: u64,
    /// Clock ticks in the kernel: sampled.
    pub system_ticks: u64,
}

impl Usage {
    /// What `roots` and their descendants have used so far. Processes that are gone count nothing.
    #[must_use]
    pub fn of(roots: &[u32]) -> Self {
        let mut sum = Self::default();
        for pid in with_descendants(roots) {
            sum.cpu_ns += cpu_ns(pid);
            if let Some((user, system)) = ticks(pid) {
                sum.user_ticks += user;
                sum.system_ticks += system;
            }
        }
        sum
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }
}

fn with_descendants(roots: &[u32]) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in numbered_entries("/proc") {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = roots.to_vec();
    let mut next = 0;
    while next < found.len() {
        if let Some(more) = children.get(&found[next]) {
            found.extend(more);
        }
        next += 1;
    }
    found
}

fn numbered_entries(directory: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The fields of `/proc/PID/stat` after the command name, which may itself hold spaces and parentheses.
fn stat_fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit(')').next().unwrap_or("").split_whitespace()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat_fields(&stat).nth(1)?.parse().ok()
}

fn ticks(pid: u32) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat_fields(&stat).skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn cpu_ns(pid: u32) -> u64 {
    numbered_entries(&format!("/proc/{pid}/task"))
        .into_iter()
        .filter_map(|thread| {
            let line = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4194304 1 2 3 4 55 66 0 0";
        assert_eq!(stat_fields(stat).nth(1), Some("3"));
        assert_eq!(stat_fields(stat).nth(11), Some("55"));
    }

    #[test]
    fn own_usage_grows() {
        let before = Usage::of(&[std::process::id()]);
        let mut sum = 0_u64;
        for number in 0..3_000_000_u64 {
            sum = sum.wrapping_add(number).rotate_left(7);
        }
        assert_ne!(sum, 1);
        let used = Usage::of(&[std::process::id()]).since(before);
        assert!(used.cpu_ns > 0);
    }
}
