//! What a trusted proxy claims about the client: what it added last is read as it meant it, and backends find the same
//! client in both forms.
//!
//! An input is lines: each a letter for the field (`x` X-Forwarded-For, `f` Forwarded, `p` -Proto, `h` -Host, `o` -Port)
//! and its value.

use crate::Dice;
use foregate_message::forwarded::{ForwardingPolicy, claimed_client, claimed_scheme, describe};
use foregate_message::{FieldId, Fields, Peer, Version};
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
            assert_eq!(claimed_client(&added_to, is_trusted), Some(CLIENT));
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
    let peer = Peer::new(SocketAddr::from(([10, 0, 0, 1], 1)), local, 0, true);
    let believed = claimed_client(&fields, is_trusted).unwrap_or(peer.address.ip());
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
    assert_eq!(claimed_client(&x, is_trusted), Some(believed));
    assert_eq!(claimed_client(&standard, is_trusted), Some(believed));
    if let Some(scheme) = claimed_scheme(&standard, is_trusted) {
        let told = claimed_scheme(&x, is_trusted).unwrap_or_default();
        assert!(told.eq_ignore_ascii_case(scheme));
    }
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
