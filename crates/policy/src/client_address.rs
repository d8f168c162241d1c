//! Which peers are believed, and who the client is behind them.

use foregate_message::{Fields, forwarded};
use ipnet::IpNet;
use std::net::IpAddr;

/// A set of address ranges. Membership costs a binary search over ranges that were sorted and merged.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The union of `ranges`; ranges of IPv4-mapped IPv6 addresses count as IPv4 ranges.
    pub fn new(ranges: &[IpNet]) -> Networks {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match (
                range.network().to_canonical(),
                range.broadcast().to_canonical(),
            ) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                _ => {
                    if let IpNet::V6(range) = range {
                        v6.push((range.network().to_bits(), range.broadcast().to_bits()));
                    }
                }
            }
        }
        Networks {
            v4: merged(v4),
            v6: merged(v6),
        }
    }

    /// Whether `address` is in one of the ranges. IPv4-mapped addresses are IPv4 addresses.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }

    /// Whether there is no range at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(open) if first <= open.1 => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

#[inline]
fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    behind > 0 && address <= ranges[behind - 1].1
}

/// The client that a request comes from: the peer, or whom a trusted peer speaks for in X-Forwarded-For or Forwarded.
#[inline]
pub fn client(peer: IpAddr, is_trusted: bool, fields: &Fields, trusted: &Networks) -> IpAddr {
    if !is_trusted {
        return peer;
    }
    forwarded::claimed_client(fields, |address| trusted.contains(address)).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_message::FieldId;
    use proptest::prelude::*;

    fn networks(ranges: &[&str]) -> Networks {
        let ranges: Vec<IpNet> = ranges.iter().map(|range| range.parse().unwrap()).collect();
        Networks::new(&ranges)
    }

    #[test]
    fn membership() {
        let set = networks(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.1/32",
            "2001:db8::/32",
            "::ffff:172.16.0.0/108",
        ]);
        for (address, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.1", true),
            ("::ffff:10.1.2.3", true),
            ("172.16.9.9", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::1", false),
        ] {
            assert_eq!(
                set.contains(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert!(networks(&[]).is_empty() && !networks(&[]).contains("::1".parse().unwrap()));
    }

    #[test]
    fn only_trusted_peers_speak_for_others() {
        let set = networks(&["10.0.0.0/8"]);
        let peer = "10.0.0.1".parse().unwrap();
        let mut fields = Fields::new();
        assert_eq!(client(peer, true, &fields, &set), peer);
        fields.append(FieldId::XForwardedFor, b"1.1.1.1, 2.2.2.2, 10.0.0.2");
        assert_eq!(client(peer, true, &fields, &set).to_string(), "2.2.2.2");
        assert_eq!(client(peer, false, &fields, &set), peer);
        let mut fields = Fields::new();
        fields.append(
            FieldId::Forwarded,
            b"for=1.1.1.1, for=\"2.2.2.2:80\", for=10.0.0.2",
        );
        assert_eq!(client(peer, true, &fields, &set).to_string(), "2.2.2.2");
        assert_eq!(client(peer, false, &fields, &set), peer);
        fields.append(FieldId::XForwardedFor, b"unknown");
        assert_eq!(client(peer, true, &fields, &set), peer);
    }

    proptest! {
        #[test]
        fn holds_what_any_range_holds(
            ranges in proptest::collection::vec((any::<u32>(), 0..=32u8), 0..20),
            address: u32,
            near in any::<proptest::sample::Index>(),
        ) {
            let ranges: Vec<IpNet> = ranges
                .into_iter()
                .map(|(bits, length)| IpNet::new(IpAddr::V4(bits.into()), length).unwrap())
                .collect();
            let set = Networks::new(&ranges);
            let mut addresses = vec![IpAddr::V4(address.into())];
            if !ranges.is_empty() {
                addresses.push(near.get(&ranges).broadcast());
                addresses.push(near.get(&ranges).network());
            }
            for address in addresses {
                prop_assert_eq!(set.contains(address), ranges.iter().any(|range| range.contains(&address)));
            }
        }
    }
}
