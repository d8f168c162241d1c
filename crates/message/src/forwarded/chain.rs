//! What trusted proxies say of those they speak for: `X-Forwarded-For` and `Forwarded` (RFC 7239), read from the right.

use crate::field::is_token_byte;
use crate::{FieldId, Fields, split_authority};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whoever sent a request to a proxy, as that proxy has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Node {
    /// It came from this address.
    Address(IpAddr),
    /// It is not told (`unknown`), told under a name that says nothing (`_hidden`), or not told as the grammar has it.
    Hidden,
}

/// One proxy's account of the request that it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hop<'a> {
    pub(super) node: Node,
    /// The scheme of that request: `http` or `https`.
    pub(super) proto: Option<&'a [u8]>,
    /// Its Host: a host and an optional port.
    pub(super) host: Option<&'a [u8]>,
    /// Whether it was written as RFC 7239 §4 has it.
    pub(super) is_sound: bool,
}

impl Hop<'_> {
    const fn of(node: Node) -> Self {
        Hop {
            node,
            proto: None,
            host: None,
            is_sound: true,
        }
    }

    const MALFORMED: Self = Hop {
        is_sound: false,
        ..Hop::of(Node::Hidden)
    };
}

/// The hops that a request names, the client's end first.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    pub(super) hops: Vec<Hop<'a>>,
    /// Whether X-Forwarded-For named them.
    pub(super) is_x: bool,
}

impl<'a> Chain<'a> {
    /// What is believed of a trusted proxy: X-Forwarded-For, and only if that names nobody, Forwarded. A proxy that
    /// knows one of them passes the other on as any client wrote it, and far more know X-Forwarded-For.
    pub(super) fn of(fields: &'a Fields) -> Chain<'a> {
        let hops = x_forwarded(fields);
        match hops.is_empty() {
            false => Chain { hops, is_x: true },
            true => Chain {
                hops: forwarded(fields),
                is_x: false,
            },
        }
    }

    /// The place of the hop that tells of the client: the nearest that is no trusted proxy, or that hides who it is, or
    /// the last one that there is. What stands before it was written by somebody who is not believed.
    pub(super) fn client_at(&self, trusted: impl Fn(IpAddr) -> bool) -> Option<usize> {
        let ends = |hop: &Hop<'_>| !matches!(hop.node, Node::Address(address) if trusted(address));
        let last = self.hops.len().checked_sub(1)?;
        let passed = self.hops.iter().rev().take_while(|hop| !ends(hop)).count();
        Some(last.saturating_sub(passed))
    }

    /// The nearest address on the way to the client that is known.
    pub(super) fn client(&self, trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let at = self.client_at(trusted)?;
        self.hops[at..].iter().find_map(|hop| match hop.node {
            Node::Address(address) => Some(address),
            Node::Hidden => None,
        })
    }
}

/// The elements of `X-Forwarded-For`.
fn x_forwarded(fields: &Fields) -> Vec<Hop<'_>> {
    fields
        .tokens(FieldId::XForwardedFor)
        .map(|element| Hop::of(node(element)))
        .collect()
}

/// The elements of `Forwarded`.
pub(super) fn forwarded(fields: &Fields) -> Vec<Hop<'_>> {
    let lines: Vec<&[u8]> = fields.all(FieldId::Forwarded).collect();
    let elements = lines.iter().rev().flat_map(|line| parts(line, b','));
    let mut hops: Vec<Hop<'_>> = elements
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| hop(element).unwrap_or(Hop::MALFORMED))
        .collect();
    hops.reverse();
    hops
}

/// The parts of `text` between separators that stand in no quoted string, the last one first: what a trusted proxy has
/// added is read as it meant it, even if a client has left a quote open before it.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut is_quoted = false;
        for at in (0..text.len()).rev() {
            match text[at] {
                b'"' if !is_escaped(&text[..at]) => is_quoted = !is_quoted,
                byte if byte == separator && !is_quoted => {
                    rest = Some(&text[..at]);
                    return Some(&text[at + 1..]);
                }
                _ => {}
            }
        }
        rest = None;
        Some(text)
    })
}

/// Whether what follows `before` is a quoted pair's second half (RFC 9110 §5.6.4).
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// An element: pairs of which each name comes once. `None` for anything else.
fn hop(element: &[u8]) -> Option<Hop<'_>> {
    let (mut from, mut proto, mut host, mut by) = (None, None, None, None);
    let pairs = parts(element, b';').map(<[u8]>::trim_ascii);
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, written) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let value = value(written)?;
        let place = match name.to_ascii_lowercase().as_slice() {
            b"for" => &mut from,
            b"proto" => &mut proto,
            b"host" => &mut host,
            b"by" => &mut by,
            name if !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte)) => continue,
            _ => return None,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let is_scheme = |proto: &&[u8]| {
        [&b"http"[..], b"https"]
            .iter()
            .any(|scheme| proto.eq_ignore_ascii_case(scheme))
    };
    Some(Hop {
        node: from.map_or(Node::Hidden, node),
        proto: proto.filter(is_scheme),
        host: host.filter(|host| split_authority(host).is_some()),
        is_sound: true,
    })
}

/// A token or what a quoted string holds. Addresses with ports or brackets are taken without their quotes too, which
/// many leave out; a quoted pair has no place in any value that is looked at.
fn value(text: &[u8]) -> Option<&[u8]> {
    if let [b'"', inner @ .., b'"'] = text {
        let is_plain = inner.iter().all(|byte| !matches!(byte, b'"' | b'\\'));
        return is_plain.then_some(inner);
    }
    let may_stand = |byte: &u8| is_token_byte(*byte) || matches!(byte, b'[' | b']' | b':');
    (!text.is_empty() && text.iter().all(may_stand)).then_some(text)
}

fn node(text: &[u8]) -> Node {
    address(text).map_or(Node::Hidden, |address| {
        Node::Address(address.to_canonical())
    })
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(inner) = text.strip_prefix('[') {
        let (address, port) = inner.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return is_port(port).then_some(address.into());
    }
    let end = text.find(':').unwrap_or(text.len());
    match text[..end].parse::<Ipv4Addr>() {
        Ok(address) => is_port(&text[end..]).then_some(address.into()),
        Err(_) => Some(text.parse::<Ipv6Addr>().ok()?.into()),
    }
}

/// Nothing, or a colon and a number or a name that hides it (RFC 7239 §6).
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else {
        return text.is_empty();
    };
    let hides = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(hides),
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(lines: &[(FieldId, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (id, value) in lines {
            fields.append(*id, value.as_bytes());
        }
        fields
    }

    /// 10.0.0.0/8 is trusted.
    fn trusted(address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
    }

    fn client(lines: &[(FieldId, &str)]) -> Option<String> {
        let fields = fields(lines);
        Chain::of(&fields).client(trusted).map(|ip| ip.to_string())
    }

    #[test]
    fn nodes() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:5555", Some("192.0.2.1")),
            ("192.0.2.1:_p", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:5555", Some("2001:db8::1")),
            ("[2001:db8::1]:_x.y-z", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("[::ffff:192.0.2.1]:80", Some("192.0.2.1")),
            ("", None),
            ("unknown", None),
            ("_hidden", None),
            ("example.com", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:123456", None),
            ("192.0.2.1:+80", None),
            ("192.0.2.1:_", None),
            ("192.0.2.1 ", None),
            ("192.0.2", None),
            ("192.0.2.01", None),
            ("[192.0.2.1]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]5555", None),
            ("[2001:db8::1%1]", None),
            ("2001:db8::1]:80", None),
            ("\u{665}", None),
        ] {
            let found = address(text.as_bytes()).map(|ip| ip.to_canonical().to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_claimed_client_is_the_nearest_untrusted_one() {
        for (value, expected) in [
            ("1.1.1.1, 2.2.2.2, 10.0.0.1", Some("2.2.2.2")),
            ("10.0.0.2, 10.0.0.1", Some("10.0.0.2")),
            ("1.1.1.1:80, 10.0.0.1:5555", Some("1.1.1.1")),
            ("[2001:db8::1]:5555", Some("2001:db8::1")),
            ("junk, 10.0.0.1", Some("10.0.0.1")),
            ("1.1.1.1, unknown, 10.0.0.1", Some("10.0.0.1")),
            ("1.1.1.1, _x", None),
            ("junk", None),
            (" , ", None),
        ] {
            let found = client(&[(FieldId::XForwardedFor, value)]);
            assert_eq!(found.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn forwarded_is_walked_in_the_same_way() {
        for (value, expected) in [
            ("for=1.1.1.1", Some("1.1.1.1")),
            ("FOR=\"1.1.1.1:80\";proto=https", Some("1.1.1.1")),
            ("for=1.1.1.1:80", Some("1.1.1.1")),
            ("for=\"[2001:db8::1]:80\"", Some("2001:db8::1")),
            ("for=[2001:db8::1]", Some("2001:db8::1")),
            (";for=1.1.1.1; ;", Some("1.1.1.1")),
            (
                "for=1.1.1.1, for=2.2.2.2;by=10.0.0.1, for=10.0.0.1",
                Some("2.2.2.2"),
            ),
            ("for=10.0.0.2 ,, for = 10.0.0.1", Some("10.0.0.2")),
            ("for=1.1.1.1, for=unknown, for=10.0.0.1", Some("10.0.0.1")),
            ("for=1.1.1.1, for=_x, for=10.0.0.1", Some("10.0.0.1")),
            ("for=1.1.1.1, proto=https, for=10.0.0.1", Some("10.0.0.1")),
            ("for=1.1.1.1;for=2.2.2.2, for=10.0.0.1", Some("10.0.0.1")),
            ("for=1.1.1.1, junk, for=10.0.0.1", Some("10.0.0.1")),
            ("for=\"_\\\"x\", for=10.0.0.1", Some("10.0.0.1")),
            ("for=unknown", None),
            ("proto=https", None),
            ("for", None),
            ("", None),
            // A quote that a client left open does not hide what the proxy has added.
            ("for=\"1.1.1.1, for=2.2.2.2", Some("2.2.2.2")),
            ("x=\"\\, for=2.2.2.2, for=10.0.0.1", Some("2.2.2.2")),
            ("secret=\"a, b;for=3.3.3.3\";for=2.2.2.2", Some("2.2.2.2")),
        ] {
            let found = client(&[(FieldId::Forwarded, value)]);
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        let lines = [
            (FieldId::Forwarded, "for=\"1.1.1.1"),
            (FieldId::Forwarded, "for=2.2.2.2, for=10.0.0.2"),
            (FieldId::Forwarded, "for=10.0.0.1"),
        ];
        assert_eq!(client(&lines).as_deref(), Some("2.2.2.2"));
    }

    #[test]
    fn forwarded_counts_only_where_the_other_names_nobody() {
        let both = |x: &str| {
            client(&[
                (FieldId::Forwarded, "for=1.1.1.1"),
                (FieldId::XForwardedFor, x),
            ])
        };
        assert_eq!(both("2.2.2.2").as_deref(), Some("2.2.2.2"));
        assert_eq!(both("junk"), None);
        assert_eq!(both(" , ").as_deref(), Some("1.1.1.1"));
    }

    #[test]
    fn the_hop_that_tells_of_the_client_tells_of_its_request() {
        let told = |value: &str| {
            let fields = fields(&[(FieldId::Forwarded, value)]);
            let chain = Chain::of(&fields);
            let hop = chain.hops[chain.client_at(trusted).unwrap()];
            let text = |part: Option<&[u8]>| part.map(|it| String::from_utf8(it.to_vec()).unwrap());
            (text(hop.proto), text(hop.host))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told(
                "for=1.1.1.1;proto=http, for=2.2.2.2;host=\"a:80\";proto=HTTPS, for=10.0.0.1;proto=http"
            ),
            (some("HTTPS"), some("a:80"))
        );
        assert_eq!(
            told("for=unknown;proto=https, for=10.0.0.1"),
            (some("https"), None)
        );
        assert_eq!(told("for=1.1.1.1;proto=gopher;host=\"a b\""), (None, None));
        assert_eq!(told("for=1.1.1.1;proto=https;proto=http"), (None, None));
    }

    proptest! {
        /// Whatever stands before what a trusted proxy has added, that is read as it was meant.
        #[test]
        fn what_was_added_last_is_read_whatever_stands_before(
            before in "[a-z0-9:;,=\"\\\\ \\[\\].]{0,40}",
            is_x: bool,
            own_line: bool,
            hops in 0..3usize,
        ) {
            let (id, added) = match is_x {
                true => (FieldId::XForwardedFor, ["203.0.113.9:80", "10.0.0.1", "10.0.0.2"]),
                false => (FieldId::Forwarded, ["for=203.0.113.9;proto=https", "for=\"10.0.0.1:1\"", "for=10.0.0.2"]),
            };
            let added = added[..=hops].join(", ");
            let mut fields = Fields::new();
            match own_line {
                true => {
                    fields.append(id, before.trim().as_bytes());
                    fields.append(id, added.as_bytes());
                }
                false => fields.append(id, format!("{before}, {added}").as_bytes()),
            }
            let chain = Chain::of(&fields);
            prop_assert_eq!(chain.client(trusted), Some(IpAddr::from([203, 0, 113, 9])));
            if !is_x {
                let at = chain.client_at(trusted).unwrap();
                prop_assert_eq!(chain.hops[at].proto, Some(&b"https"[..]));
            }
        }

        #[test]
        fn addresses_are_read_as_they_are_written(bits: u128, is_v4: bool, port: Option<u16>) {
            let ip = match is_v4 {
                true => IpAddr::from(Ipv4Addr::from_bits(bits as u32)),
                false => IpAddr::from(Ipv6Addr::from_bits(bits)),
            };
            let text = match port {
                Some(port) => std::net::SocketAddr::new(ip, port).to_string(),
                None => ip.to_string(),
            };
            prop_assert_eq!(node(text.as_bytes()), Node::Address(ip.to_canonical()));
        }
    }
}
