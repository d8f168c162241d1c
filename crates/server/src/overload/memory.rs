//! How much memory the process takes, and how much there is.

use foregate_snapshot::MemoryLimit;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The part of what there is that the process may take by itself.
const SHARE_PERCENT: u64 = 80;

/// The limit in bytes; `None` for none.
pub(super) fn limit(limit: MemoryLimit) -> Option<u64> {
    match limit {
        MemoryLimit::None => None,
        MemoryLimit::Bytes(bytes) => Some(bytes),
        MemoryLimit::Auto => {
            let machine = read("/proc/meminfo").and_then(|text| field(&text, "MemTotal:"));
            let there_is = machine.into_iter().chain(control_groups()).min()?;
            Some(there_is / 100 * SHARE_PERCENT)
        }
    }
}

/// How much the process takes, asked often: the file stays open.
#[derive(Debug)]
pub(super) struct Taken {
    statm: Option<File>,
    page_bytes: u64,
}

impl Taken {
    pub(super) fn new() -> Taken {
        Taken {
            statm: open("/proc/self/statm"),
            page_bytes: rustix::param::page_size() as u64,
        }
    }

    /// Bytes that are not mapped from files; `None` where the system does not tell.
    pub(super) fn bytes(&self) -> Option<u64> {
        let mut text = [0; 128];
        let read = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        Some(pages(text.get(..read)?)? * self.page_bytes)
    }
}

/// Pages in memory less those mapped from files: the second number and the third (proc_pid_statm(5)).
fn pages(statm: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(statm).ok()?;
    let mut numbers = text.split(' ').map(|number| number.trim().parse::<u64>());
    let (resident, shared) = (numbers.nth(1)?.ok()?, numbers.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

/// The limits of the process' control group and of those that it is in (`memory.max`, control groups version 2).
fn control_groups() -> Vec<u64> {
    let Some(groups) = read("/proc/self/cgroup") else {
        return Vec::new();
    };
    limits_of(group(&groups), read)
}

/// The path of the group; version 2 has one line, `0::/path`.
fn group(text: &str) -> &str {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    path.unwrap_or("").trim_end_matches('/')
}

fn limits_of(group: &str, read: impl Fn(&str) -> Option<String>) -> Vec<u64> {
    let mut limits = Vec::new();
    let mut path = group;
    loop {
        let text = read(&format!("/sys/fs/cgroup{path}/memory.max"));
        limits.extend(text.and_then(|text| text.trim().parse::<u64>().ok()));
        match path.rfind('/') {
            Some(at) => path = &path[..at],
            None => return limits,
        }
    }
}

/// A field in KiB, as `/proc` writes them; in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[expect(
    clippy::disallowed_methods,
    reason = "opened by the front's thread, and /proc is memory"
)]
fn open(path: &str) -> Option<File> {
    File::open(path).ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "read by the front's thread, and /proc and /sys are memory"
)]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_around_counts() {
        assert_eq!(group("1:name=x:/old\n0::/a/b\n"), "/a/b");
        assert_eq!(group("0::/\n"), "");
        let read = |path: &str| {
            let text = match path {
                "/sys/fs/cgroup/a/b/memory.max" => "max\n",
                "/sys/fs/cgroup/a/memory.max" => "1048576\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(limits_of("/a/b", read), [1_048_576]);
        assert!(limits_of("", read).is_empty());
    }

    #[test]
    fn fields_are_in_bytes() {
        let meminfo = "MemTotal:       12 kB\nMemFree:        1 kB\n";
        assert_eq!(field(meminfo, "MemTotal:"), Some(12_288));
        assert_eq!(field(meminfo, "SwapTotal:"), None);
    }

    #[test]
    fn files_that_are_mapped_do_not_count() {
        assert_eq!(pages(b"1000 300 100 50 0 200 0\n"), Some(200));
        assert_eq!(pages(b"1000 300"), None);
        assert_eq!(pages(b""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_memory_and_this_process_takes_some() {
        let limit = limit(MemoryLimit::Auto).unwrap();
        assert!(Taken::new().bytes().unwrap() < limit);
    }
}
