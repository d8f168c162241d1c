//! Which congestion control of TCP a socket is given.

use std::net::IpAddr;

/// The longest name that the kernel knows (`TCP_CA_NAME_MAX` less the NUL).
const NAME_BYTES_MAX: usize = 15;

/// What is asked of the congestion control of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Congestion {
    /// Within the machine the plainest, elsewhere the system's.
    #[default]
    Auto,
    /// The system's (`net.ipv4.tcp_congestion_control`).
    System,
    /// This one.
    Named(AlgorithmName),
}

/// The name of a congestion control.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmName {
    text: [u8; NAME_BYTES_MAX],
    bytes: u8,
}

impl Congestion {
    /// What to have connections of `address`, ours or the peer's, controlled by; `None` leaves it to the system.
    ///
    /// Within the machine there is no path to find out about: an algorithm that models one and spaces packets (BBR) costs
    /// time with every packet, and Reno, which every Linux has and every process may use, costs least.
    pub fn of(&self, address: IpAddr) -> Option<&str> {
        match self {
            Congestion::Auto => address.to_canonical().is_loopback().then_some("reno"),
            Congestion::System => None,
            Congestion::Named(name) => Some(name.as_str()),
        }
    }
}

impl AlgorithmName {
    /// `None` unless it is 1 to 15 letters, digits, `_` and `-`, as all that Linux has are named.
    pub fn new(name: &str) -> Option<AlgorithmName> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_part) {
            return None;
        }
        let mut text = [0; NAME_BYTES_MAX];
        text[..name.len()].copy_from_slice(name.as_bytes());
        Some(AlgorithmName {
            text,
            bytes: name.len() as u8,
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // ASCII by construction, so it is never the empty one.
        std::str::from_utf8(&self.text[..usize::from(self.bytes)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for AlgorithmName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: Congestion, address: &str, wanted: Option<&str>) {
        assert_eq!(asked.of(address.parse().unwrap()), wanted);
    }

    #[test]
    fn only_within_the_machine_something_is_asked_for_unasked() {
        check(Congestion::Auto, "127.0.0.1", Some("reno"));
        check(Congestion::Auto, "127.9.0.1", Some("reno"));
        check(Congestion::Auto, "::1", Some("reno"));
        check(Congestion::Auto, "::ffff:127.0.0.1", Some("reno"));
        check(Congestion::Auto, "0.0.0.0", None);
        check(Congestion::Auto, "::", None);
        check(Congestion::Auto, "10.0.0.1", None);
        check(Congestion::System, "127.0.0.1", None);
    }

    #[test]
    fn what_is_named_holds_everywhere() {
        let cubic = Congestion::Named(AlgorithmName::new("cubic").unwrap());
        check(cubic, "127.0.0.1", Some("cubic"));
        check(cubic, "2001:db8::1", Some("cubic"));
    }

    #[test]
    fn names_are_those_that_the_kernel_may_have() {
        for good in ["x", "bbr", "tcp_dctcp-2", "fifteen_letters"] {
            assert_eq!(AlgorithmName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "sixteen__letters", "b b", "bbr\0", "größe"] {
            assert_eq!(AlgorithmName::new(bad), None, "{bad:?}");
        }
    }
}
