//! Which peers are believed, and who the client is behind them, and how it came.

use foregate_message::{Fields, Scheme, forwarded};
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

/// Where a request comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The client's address.
    pub client: IpAddr,
    /// How the client came.
    pub scheme: Scheme,
}

impl Origin {
    /// The peer itself, and how it came; or if the peer is a trusted proxy, whom that one speaks for in `X-Forwarded-*` or
    /// `Forwarded`, by HTTPS also if the proxy has ended TLS. `proxies` are those that are believed, of which the peer may be
    /// one.
    #[inline]
    pub fn of(
        peer: IpAddr,
        scheme: Scheme,
        is_trusted: bool,
        fields: &Fields,
        proxies: &Networks,
    ) -> Origin {
        let seen = Origin {
            client: peer,
            scheme,
        };
        match is_trusted {
            true => seen.as_claimed(fields, proxies),
            false => seen,
        }
    }

    #[inline(never)]
    fn as_claimed(self, fields: &Fields, proxies: &Networks) -> Origin {
        let claims = forwarded::claims(fields, |address| proxies.contains(address));
        let is_https = |scheme: &[u8]| scheme.trim_ascii().eq_ignore_ascii_case(b"https");
        Origin {
            client: claims.client.unwrap_or(self.client),
            scheme: match claims.scheme.is_some_and(is_https) {
                true => Scheme::Https,
                false => self.scheme,
            },
        }
    }
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

    fn origin(peer: IpAddr, is_trusted: bool, lines: &[(FieldId, &str)]) -> Origin {
        let proxies = networks(&["10.0.0.0/8"]);
        let mut fields = Fields::new();
        for (id, value) in lines {
            fields.append(*id, value.as_bytes());
        }
        Origin::of(peer, Scheme::Http, is_trusted, &fields, &proxies)
    }

    #[test]
    fn only_trusted_peers_speak_for_others() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let client = |is_trusted, lines: &[_]| origin(peer, is_trusted, lines).client;
        let other: IpAddr = "2.2.2.2".parse().unwrap();
        let x = (FieldId::XForwardedFor, "1.1.1.1, 2.2.2.2, 10.0.0.2");
        let standard = (
            FieldId::Forwarded,
            "for=1.1.1.1, for=\"2.2.2.2:80\", for=10.0.0.2",
        );
        let unknown = (FieldId::XForwardedFor, "unknown");
        assert_eq!(client(true, &[]), peer);
        assert_eq!(client(true, &[x]), other);
        assert_eq!(client(false, &[x]), peer);
        assert_eq!(client(true, &[standard]), other);
        assert_eq!(client(false, &[standard]), peer);
        assert_eq!(client(true, &[standard, unknown]), peer);
    }

    #[test]
    fn a_trusted_proxy_may_have_ended_tls() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let is_https =
            |is_trusted, lines: &[_]| origin(peer, is_trusted, lines).scheme == Scheme::Https;
        let x = (FieldId::XForwardedProto, "https");
        let standard = (FieldId::Forwarded, "for=1.1.1.1;proto=https, for=10.0.0.2");
        assert!(!is_https(true, &[]));
        assert!(is_https(true, &[x]) && is_https(true, &[standard]));
        assert!(!is_https(false, &[x]) && !is_https(false, &[standard]));
        // A proxy that says who the client is in the other form may pass this one on as any client wrote it.
        assert!(!is_https(
            true,
            &[standard, (FieldId::XForwardedFor, "1.1.1.1")]
        ));
        assert!(!is_https(
            true,
            &[standard, (FieldId::XForwardedProto, "http")]
        ));
        assert!(!is_https(
            true,
            &[(FieldId::Forwarded, "for=1.1.1.1;proto=https, for=2.2.2.2")]
        ));
        // What it has ended itself, no proxy can take back.
        let fields = Fields::new();
        let seen = Origin::of(peer, Scheme::Https, true, &fields, &networks(&[]));
        assert_eq!(seen.scheme, Scheme::Https);
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
