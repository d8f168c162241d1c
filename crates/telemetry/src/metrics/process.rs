//! What the system says about this process.

/// Resident memory in bytes, if the system tells.
///
/// Taken from `VmRSS` of `/proc/self/status`, which counts in KiB whatever the page size is (`statm` counts pages).
pub(super) fn resident_bytes() -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "scrapes run on the control plane, and /proc is memory"
    )]
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    resident_of(&status)
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_files_are_read() {
        let status = "Name:\tx\nVmHWM:\t    2000 kB\nVmRSS:\t    1234 kB\nThreads:\t3\n";
        assert_eq!(resident_of(status), Some(1_263_616));
        assert_eq!(resident_of("VmRSS:\tmuch kB\n"), None);
        assert_eq!(resident_of(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_memory() {
        assert!(resident_bytes().unwrap() > 100_000);
    }
}
