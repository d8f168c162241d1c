//! What `/proc` tells about a running process.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

/// A TCP socket of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketState {
    /// This side.
    pub local: SocketAddr,
    /// The other side; port 0 for a listener.
    pub remote: SocketAddr,
    /// The kernel's state number: 1 established, 8 close-wait, 10 listening.
    pub state: u8,
    /// When the kernel will ask the other side whether it is still there, if it will (keep-alive of TCP).
    pub probed_in: Option<Duration>,
}

impl SocketState {
    /// Whether it listens.
    pub fn listens(&self) -> bool {
        self.state == 10
    }

    /// What congestion control the kernel has for it, as `ss` tells it: the last of the words that stand before the figures.
    pub fn congestion(&self) -> Option<String> {
        let (local, remote) = (self.local.to_string(), self.remote.to_string());
        let words = ["-tinH", "src", &local, "dst", &remote];
        let told = Command::new("ss").args(words).output().ok()?;
        let told = String::from_utf8(told.stdout).ok()?;
        let facts = told.lines().nth(1)?.split_ascii_whitespace();
        let words = facts.take_while(|fact| !fact.contains(':'));
        words.last().map(str::to_owned)
    }
}

/// What the file descriptors of process `pid` stand for.
pub(crate) fn fd_targets(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let links = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| fs::read_link(entry.path()));
    links
        .flatten()
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}

/// How many sockets and files process `pid` has open. What the kernel made for its threads' event loops is left out: it
/// comes with the threads, not with requests.
pub(crate) fn open_fds(pid: u32) -> usize {
    let targets = fd_targets(pid);
    targets
        .iter()
        .filter(|target| !target.starts_with("anon_inode:") && !target.starts_with("pipe:"))
        .count()
}

/// How many pipes process `pid` has open.
pub(crate) fn open_pipes(pid: u32) -> usize {
    let targets = fd_targets(pid).into_iter();
    let pipes: HashSet<String> = targets
        .filter(|target| target.starts_with("pipe:"))
        .collect();
    pipes.len()
}

/// Resident memory of process `pid` in KiB.
pub(crate) fn rss_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

/// The part of it that is not mapped from files, in KiB.
pub(crate) fn anonymous_kib(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:")
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}

/// The IPv4 TCP sockets of process `pid`.
pub(crate) fn sockets(pid: u32) -> Vec<SocketState> {
    let inode = |target: String| {
        let inside = target.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some(inside.to_owned())
    };
    let inodes: HashSet<String> = fd_targets(pid).into_iter().filter_map(inode).collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    table
        .lines()
        .skip(1)
        .filter_map(|line| socket(line, &inodes))
        .collect()
}

fn socket(line: &str, inodes: &HashSet<String>) -> Option<SocketState> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    if !inodes.contains(*columns.get(9)?) {
        return None;
    }
    Some(SocketState {
        local: address(columns[1])?,
        remote: address(columns[2])?,
        state: u8::from_str_radix(columns[3], 16).ok()?,
        probed_in: columns[5].strip_prefix("02:").and_then(ticks),
    })
}

/// A time in hundredths of a second, as the kernel writes it.
fn ticks(text: &str) -> Option<Duration> {
    let ticks = u64::from_str_radix(text, 16).ok()?;
    Some(Duration::from_millis(10 * ticks))
}

/// `0100007F:1F90` as the kernel writes it: the address in host order, the port in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
    Some(SocketAddr::from((
        Ipv4Addr::from(address),
        u16::from_str_radix(port, 16).ok()?,
    )))
}

#[cfg(test)]
mod tests {
    use super::{address, sockets};
    use std::net::TcpListener;

    #[test]
    fn an_own_listener_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let local = listener.local_addr().expect("bound");
        assert!(
            sockets(std::process::id())
                .iter()
                .any(|socket| socket.local == local && socket.listens())
        );
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        assert_eq!(address("0100007F:1F90"), "127.0.0.1:8080".parse().ok());
        assert_eq!(address("nonsense"), None);
    }
}
