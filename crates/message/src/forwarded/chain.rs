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
    /// The element of `Forwarded` as it came, if it is written as RFC 7239 §4 has it and nothing in it was left aside
    /// above: only then everybody reads the same in it.
    pub(super) written: Option<&'a [u8]>,
}

impl Hop<'_> {
    pub(super) const fn of(node: Node) -> Self {
        Hop {
            node,
            proto: None,
            host: None,
            written: None,
        }
    }
}

/// The hops from the client's on, that one first. What stands before it was written by somebody who is not believed, and
/// is not even read.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    pub(super) hops: Vec<Hop<'a>>,
    /// Whether X-Forwarded-For named them.
    pub(super) is_x: bool,
}

impl<'a> Chain<'a> {
    pub(super) fn of(fields: &'a Fields, trusted: impl Fn(IpAddr) -> bool) -> Chain<'a> {
        let mut hops = Vec::new();
        let is_x = walk(fields, trusted, |hop| hops.push(hop));
        hops.reverse();
        Chain { hops, is_x }
    }
}

/// Visits the hops on the way to the client, the nearest first, and says whether X-Forwarded-For named them. That is what
/// is believed of a trusted proxy, and only if it names nobody, Forwarded: a proxy that knows one of them passes the other
/// on as any client wrote it, and far more know X-Forwarded-For.
pub(super) fn walk<'a>(
    fields: &'a Fields,
    trusted: impl Fn(IpAddr) -> bool,
    mut visit: impl FnMut(Hop<'a>),
) -> bool {
    let mut is_x = false;
    for hop in up_to_client(x_forwarded(fields), &trusted) {
        is_x = true;
        visit(hop);
    }
    if !is_x {
        up_to_client(forwarded(fields), &trusted).for_each(visit);
    }
    is_x
}

/// The hops up to the one that tells of the client: the nearest that is no trusted proxy, or that hides who it is, or the
/// last one that there is.
fn up_to_client<'a>(
    mut hops: impl Iterator<Item = Hop<'a>>,
    trusted: impl Fn(IpAddr) -> bool,
) -> impl Iterator<Item = Hop<'a>> {
    let mut is_found = false;
    std::iter::from_fn(move || {
        if is_found {
            return None;
        }
        let hop = hops.next()?;
        is_found = !matches!(hop.node, Node::Address(address) if trusted(address));
        Some(hop)
    })
}

/// The elements of `X-Forwarded-For`, the last one first.
fn x_forwarded(fields: &Fields) -> impl Iterator<Item = Hop<'_>> {
    let elements = fields.tokens(FieldId::XForwardedFor).rev();
    elements.map(|element| Hop::of(node(element)))
}

/// The elements of `Forwarded`, the last one first.
fn forwarded(fields: &Fields) -> impl Iterator<Item = Hop<'_>> {
    let lines = fields.all(FieldId::Forwarded).rev();
    lines
        .flat_map(|line| parts(line, b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| hop(element).unwrap_or(Hop::of(Node::Hidden)))
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
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let place = if is(b"for") {
            &mut from
        } else if is(b"proto") {
            &mut proto
        } else if is(b"host") {
            &mut host
        } else if is(b"by") {
            &mut by
        } else if !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte)) {
            continue;
        } else {
            return None;
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let hop = Hop {
        node: from.map_or(Node::Hidden, node),
        proto: proto.filter(|proto| default_port(proto).is_some()),
        host: host.filter(|host| split_authority(host).is_some()),
        written: None,
    };
    let is_whole = hop.proto == proto
        && hop.host == host
        && (hop.node != Node::Hidden || from.is_none_or(hides));
    Some(Hop {
        written: is_whole.then_some(element),
        ..hop
    })
}

/// The port of a scheme that is known.
pub(super) fn default_port(scheme: &[u8]) -> Option<u16> {
    if scheme.eq_ignore_ascii_case(b"https") {
        Some(443)
    } else {
        scheme.eq_ignore_ascii_case(b"http").then_some(80)
    }
}

/// Whether a node is hidden by the rules (RFC 7239 §6.2 and §6.3).
fn hides(node: &[u8]) -> bool {
    node.eq_ignore_ascii_case(b"unknown") || node.starts_with(b"_")
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
    use crate::forwarded::claims;
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
        claims(&fields, trusted).client.map(|ip| ip.to_string())
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
            let hop = Chain::of(&fields, trusted).hops[0];
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
            let chain = Chain::of(&fields, trusted);
            prop_assert_eq!(chain.hops.len(), hops + 1);
            prop_assert_eq!(chain.hops[0].node, Node::Address(IpAddr::from([203, 0, 113, 9])));
            if !is_x {
                prop_assert_eq!(chain.hops[0].proto, Some(&b"https"[..]));
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
