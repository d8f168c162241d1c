//! What was found.

use std::net::SocketAddr;

/// An endpoint that was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FoundEndpoint {
    /// `host:port` as it is shown and sent as Host; IPv6 in brackets.
    pub authority: Box<str>,
    /// Where it listens, if whoever found it knows; otherwise its host is an address or a name to look up.
    pub address: Option<SocketAddr>,
    /// Its share relative to its siblings'.
    pub weight: u32,
}

/// Weights are what the configuration allows.
pub(super) const WEIGHT_MAX: u32 = 65_535;

impl FoundEndpoint {
    /// An endpoint whose host may be anything that a configuration takes.
    pub(super) fn new(host: &str, port: u16, weight: u32) -> FoundEndpoint {
        let authority = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        FoundEndpoint {
            authority: authority.into(),
            address: None,
            weight: weight.clamp(1, WEIGHT_MAX),
        }
    }
}

/// Addresses of both families by turns, each family in the order of its addresses, IPv6 first (RFC 8305 §4): who goes
/// through them meets the other family soon when one of them is broken.
pub(super) fn interleaved(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort();
    addresses.dedup();
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    let mut by_turns = Vec::with_capacity(v4.len() + v6.len());
    loop {
        let (six, four) = (v6.next(), v4.next());
        if six.is_none() && four.is_none() {
            return by_turns;
        }
        by_turns.extend(six);
        by_turns.extend(four);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn families_take_turns() {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let given = [
            "10.0.0.2:1",
            "10.0.0.1:1",
            "[::2]:1",
            "10.0.0.3:1",
            "10.0.0.1:1",
        ];
        let expected = ["[::2]:1", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];
        assert_eq!(interleaved(parse(&given)), parse(&expected));
    }

    #[test]
    fn authorities_have_brackets_where_they_need_them() {
        assert_eq!(&*FoundEndpoint::new("::1", 80, 0).authority, "[::1]:80");
        assert_eq!(&*FoundEndpoint::new("a.b", 80, 0).authority, "a.b:80");
        assert_eq!(FoundEndpoint::new("a", 1, 0).weight, 1);
        assert_eq!(FoundEndpoint::new("a", 1, u32::MAX).weight, WEIGHT_MAX);
    }

    proptest! {
        #[test]
        fn no_address_is_lost(given: Vec<(std::net::IpAddr, u16)>) {
            let given: Vec<SocketAddr> = given.into_iter().map(SocketAddr::from).collect();
            let mut expected = given.clone();
            expected.sort();
            expected.dedup();
            let mut got = interleaved(given);
            got.sort();
            prop_assert_eq!(got, expected);
        }
    }
}
