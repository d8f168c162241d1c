//! What a trusted proxy claims about the client: what it added last is read as it meant it, and backends find the same
//! client, scheme and host in both forms, from whichever end they read, and nothing that is not believed.
//!
//! An input is lines: each a letter for the field (`x` X-Forwarded-For, `f` Forwarded, `p` -Proto, `h` -Host, `o` -Port)
//! and its value.

use crate::Dice;
use foregate_message::forwarded::{ForwardingPolicy, claims as claimed, describe};
use foregate_message::{FieldId, Fields, Peer, Version, split_authority};
use std::net::{IpAddr, SocketAddr};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

/// 10.0.0.0/8 is trusted.
fn is_trusted(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

fn fields(input: &[u8]) -> Fields {
    let mut fields = Fields::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some((letter, value)) = line.split_first() else {
            continue;
        };
        let id = match letter {
            b'x' => FieldId::XForwardedFor,
            b'f' => FieldId::Forwarded,
            b'p' => FieldId::XForwardedProto,
            b'h' => FieldId::XForwardedHost,
            b'o' => FieldId::XForwardedPort,
            _ => continue,
        };
        // No other bytes come out of a head that was parsed.
        let value: Vec<u8> = value
            .iter()
            .copied()
            .filter(|byte| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f)
            .collect();
        fields.append(id, value.trim_ascii());
    }
    fields
}

/// Forwarding fields of trusted proxies.
pub fn claims(input: &[u8]) {
    let fields = fields(input);
    for (id, added) in [
        (FieldId::XForwardedFor, "203.0.113.9:80, 10.0.0.2"),
        (FieldId::Forwarded, "for=\"203.0.113.9:80\", for=10.0.0.2"),
    ] {
        let mut alone = Fields::new();
        for value in fields.all(id) {
            alone.append(id, value);
        }
        for joins in [false, true] {
            let mut added_to = alone.clone();
            if joins {
                let mut line = alone.all(id).collect::<Vec<_>>().join(&b", "[..]);
                line.extend_from_slice(format!(", {added}").as_bytes());
                added_to.set(id, &line);
            } else {
                added_to.append(id, added.as_bytes());
            }
            assert_eq!(claimed(&added_to, is_trusted).client, Some(CLIENT));
        }
    }
    passes_on(fields);
}

fn passes_on(mut fields: Fields) {
    let policy = ForwardingPolicy {
        x_forwarded: true,
        forwarded: true,
        via: None,
    };
    let local = SocketAddr::from(([192, 0, 2, 1], 8080));
    let peer = Peer::new(SocketAddr::from(([10, 0, 0, 1], 1)), local, 0);
    peer.judge(|_| true);
    let said = claimed(&fields, is_trusted).client;
    let believed = said.unwrap_or(peer.address.ip());
    let names_by_x = fields.tokens(FieldId::XForwardedFor).next().is_some();
    describe(
        &mut fields,
        &policy,
        &peer,
        &(0..0),
        Version::Http11,
        is_trusted,
    );
    let mut standard = Fields::new();
    for value in fields.all(FieldId::Forwarded) {
        standard.append(FieldId::Forwarded, value);
    }
    let mut x = fields.clone();
    x.remove(FieldId::Forwarded);
    assert_eq!(claimed(&x, is_trusted).client, Some(believed));
    assert_eq!(claimed(&standard, is_trusted).client, Some(believed));
    if let Some(scheme) = claimed(&standard, is_trusted).scheme {
        let told = claimed(&x, is_trusted).scheme.unwrap_or_default();
        assert!(told.eq_ignore_ascii_case(scheme));
    }
    let list = fields.get(FieldId::Forwarded).expect("we are told of");
    let elements = from_the_front(list);
    // The last one is our own.
    for (at, element) in elements[..elements.len() - 1].iter().enumerate() {
        says_what_is_believed(element, at == 0, names_by_x, &x);
    }
}

/// The elements of a list, by their pairs, as a backend reads them that begins at its front.
fn from_the_front(list: &[u8]) -> Vec<Vec<&[u8]>> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut ends = |byte: u8, separator: u8| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match byte {
            b'"' if !was_escaped => is_quoted = !is_quoted,
            b'\\' if is_quoted && !was_escaped => is_escaped = true,
            _ => return byte == separator && !is_quoted,
        }
        false
    };
    let elements: Vec<&[u8]> = list.split(|byte| ends(*byte, b',')).collect();
    let mut pairs = Vec::new();
    for element in elements {
        pairs.push(element.split(|byte| ends(*byte, b';')).collect());
    }
    assert!(!is_quoted && !is_escaped, "a string is left open");
    pairs
}

/// An element that was passed on. The first one tells of the client.
fn says_what_is_believed(element: &[&[u8]], is_first: bool, names_by_x: bool, x: &Fields) {
    let mut names = 0;
    for pair in element.iter().map(|pair| pair.trim_ascii()) {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            assert!(pair.is_empty(), "no pair");
            continue;
        };
        let value = pair[at + 1..].trim_ascii();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        let told = |id: FieldId| {
            let told = x.get(id).unwrap_or_default();
            assert!(!is_first || told.eq_ignore_ascii_case(value), "{element:?}");
        };
        match pair[..at].trim_ascii().to_ascii_lowercase().as_slice() {
            b"for" => names += 1,
            _ if names_by_x && !is_first => panic!("nobody believed has said {element:?}"),
            b"proto" => {
                assert!([&b"http"[..], b"https"].contains(&&*value.to_ascii_lowercase()));
                told(FieldId::XForwardedProto);
            }
            b"host" => {
                assert!(split_authority(value).is_some());
                told(FieldId::XForwardedHost);
            }
            _ => assert!(!names_by_x, "nobody believed has said {element:?}"),
        }
    }
    assert!(is_first || names == 1, "{element:?}");
}

const PIECES: &[&str] = &[
    "for=1.1.1.1",
    "for=10.0.0.2",
    "for=\"[2001:db8::1]:80\"",
    "for=[::1]",
    "for=unknown",
    "for=_x",
    "proto=https",
    "proto=http",
    "proto=gopher",
    "host=evil/x",
    "host=a.example",
    "host=\"a:8443\"",
    "by=10.0.0.1",
    "1.1.1.1",
    "1.1.1.1:80",
    "10.0.0.2",
    "[2001:db8::1]:80",
    "unknown",
    "https",
    "443",
    "secret=\"a, b;c\"",
    "\"",
    "\\\"",
    "\\",
];

pub(crate) fn generate(dice: &mut Dice) -> Vec<u8> {
    let mut out = String::new();
    for _ in 0..1 + dice.below(4) {
        out.push_str(dice.pick(&["x", "f", "f", "f", "p", "h", "o"]));
        for _ in 0..dice.below(6) {
            out.push_str(dice.pick(PIECES));
            out.push_str(dice.pick(&[", ", ";", ",", " ", ""]));
        }
        out.push('\n');
    }
    out.into_bytes()
}
