//! What a gateway says about the client to the backend: `Forwarded` (RFC 7239), `X-Forwarded-*` and `Via`.

mod chain;
mod passed_on;

use crate::fields::FieldSet;
use crate::{FieldId, Fields, Peer, Scheme, Version, reads_alike};
use chain::Node;
use std::net::IpAddr;
use std::ops::Range;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardingPolicy {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    pub x_forwarded: bool,
    /// `Forwarded`.
    pub forwarded: bool,
    /// This gateway's pseudonym in `Via`; `None` leaves the field as it is.
    pub via: Option<Box<str>>,
}

const CLAIMS: FieldSet = FieldSet::of(&[
    FieldId::Forwarded,
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
    FieldId::XRealIp,
]);

/// What one form or the other says of the way to the gateway.
const SAID: FieldSet = FieldSet::of(&[
    FieldId::Forwarded,
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
]);

/// Everything that is added here.
const TOLD: FieldSet = FieldSet::of(&[
    FieldId::Forwarded,
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
    FieldId::Via,
]);

/// Tells the backend who asked, and by which way. `host` is the place of what the client sent as Host, `received` the
/// version it spoke. A trusted proxy's claims are kept and extended, in both forms alike; anybody else's are replaced, even
/// when nothing is sent in their place. `trusted` are the proxies that are believed further on.
#[inline]
pub fn describe(
    fields: &mut Fields,
    policy: &ForwardingPolicy,
    peer: &Peer,
    host: &Range<u32>,
    received: Version,
    trusted: impl Fn(IpAddr) -> bool,
) {
    if !peer.is_trusted() {
        remove_claims(fields);
    }
    let mut told = peer.told.borrow_mut();
    let told = told.get_or_insert_default();
    let host = fields.at(host);
    let is_new = *told.host != *host || told.version != received;
    if is_new {
        told.host.clear();
        told.host.extend_from_slice(host);
        told.version = received;
        told.lines = None;
    }
    if is_new || fields.has_any(TOLD) {
        if peer.is_trusted() && fields.has_any(SAID) {
            passed_on::settle(fields, policy, peer, &told.host, &trusted);
        }
        return tell(fields, policy, peer, &told.host, received);
    }
    // Nobody has said anything: the fields are the connection's own, and the same for each request to a host.
    if !matches!(&told.lines, Some((under, _)) if under == policy) {
        let mut lines = Fields::default();
        tell(&mut lines, policy, peer, &told.host, received);
        told.lines = Some((policy.clone(), lines));
    }
    if let Some((_, lines)) = &told.lines {
        fields.append_all(lines);
    }
}

/// Removes what only a proxy can know, as somebody says it who is not believed.
#[inline]
pub fn remove_claims(fields: &mut Fields) {
    fields.remove_any(CLAIMS);
    fields.remove_unknown(is_claim);
}

/// Whether an unknown field claims something that only a proxy can know: the scheme, the path's prefix or the server that a
/// client is said to have asked for, or what is told here, spelled as many backends read it too (`_` for `-`).
fn is_claim(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    const ADDRESS: &[u8] = b"x-real-ip";
    let begins = |name: &[u8]| {
        name.get(..PREFIX.len())
            .is_some_and(|it| reads_alike(it, PREFIX))
    };
    matches!(name, [b'x' | b'X', ..]) && (reads_alike(name, ADDRESS) || begins(name))
}

fn tell(
    fields: &mut Fields,
    policy: &ForwardingPolicy,
    peer: &Peer,
    host: &[u8],
    received: Version,
) {
    if policy.x_forwarded {
        describe_x(fields, peer, host);
    }
    if policy.forwarded {
        describe_standard(fields, peer, host);
    }
    if let Some(pseudonym) = &policy.via {
        add_via(fields, pseudonym, received);
    }
}

fn describe_x(fields: &mut Fields, peer: &Peer, host: &[u8]) {
    let description = peer.description();
    join(
        fields,
        FieldId::XForwardedFor,
        &[description.client.as_bytes()],
    );
    for (id, value) in [
        (FieldId::XForwardedProto, peer.scheme.as_str().as_bytes()),
        (FieldId::XForwardedPort, description.local_port.as_bytes()),
        (FieldId::XForwardedHost, host),
    ] {
        // What the trusted proxy in front saw is closer to the client than what we see.
        if !fields.has(id) && !value.is_empty() {
            fields.append(id, value);
        }
    }
}

fn describe_standard(fields: &mut Fields, peer: &Peer, host: &[u8]) {
    let client = peer.description().forwarded_for.as_bytes();
    let scheme: &[u8] = match peer.scheme {
        Scheme::Http => b";proto=http",
        Scheme::Https => b";proto=https",
    };
    match (host.is_empty(), is_plain(host)) {
        (true, _) => join(fields, FieldId::Forwarded, &[client, scheme]),
        (false, true) => join(
            fields,
            FieldId::Forwarded,
            &[client, b";host=", host, scheme],
        ),
        (false, false) => {
            let parts = [client, b";host=\"", host, b"\"", scheme];
            join(fields, FieldId::Forwarded, &parts);
        }
    }
}

/// Whether a host may stand without quotes: one with a port, or an IPv6 one, is no token.
fn is_plain(host: &[u8]) -> bool {
    host.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Adds this gateway to `Via` (RFC 9110 §7.6.3). `received` is the version that the message came in.
fn add_via(fields: &mut Fields, pseudonym: &str, received: Version) {
    let parts = [
        received.via().as_bytes(),
        b" ".as_slice(),
        pseudonym.as_bytes(),
    ];
    join(fields, FieldId::Via, &parts);
}

/// Adds an element to a list-valued field, behind what all its lines have already.
fn join(fields: &mut Fields, id: FieldId, parts: &[&[u8]]) {
    if !fields.has(id) {
        return fields.append_parts(id, parts);
    }
    let mut value: Vec<u8> = Vec::with_capacity(64);
    for line in fields.all(id).filter(|line| !line.is_empty()) {
        value.extend_from_slice(line);
        value.extend_from_slice(b", ");
    }
    for part in parts {
        value.extend_from_slice(part);
    }
    fields.set(id, &value);
}

/// What a trusted proxy says of the client.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Claims<'a> {
    /// The nearest address on the way to the client that is known; `None` when none is.
    pub client: Option<IpAddr>,
    /// How the client came, as it was written: `X-Forwarded-Proto`, or where there is neither that nor `X-Forwarded-For`,
    /// what `Forwarded` says of the client's request.
    pub scheme: Option<&'a [u8]>,
}

/// What a trusted proxy claims. The client is the nearest address in `X-Forwarded-For`, from the right, that is not a trusted
/// proxy's; where that names nobody, the nearest in `Forwarded`. Who is hidden (`unknown`, `_name`, or no address at all)
/// ends the chain.
pub fn claims(fields: &Fields, trusted: impl Fn(IpAddr) -> bool) -> Claims<'_> {
    let mut claims = Claims::default();
    if !fields.has_any(SAID) {
        return claims;
    }
    chain::walk(fields, trusted, |hop| {
        if let Node::Address(address) = hop.node {
            claims.client = Some(address);
        }
        claims.scheme = hop.proto;
    });
    let said = fields.get(FieldId::XForwardedProto);
    claims.scheme = said.filter(|it| !it.is_empty()).or(claims.scheme);
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> ForwardingPolicy {
        ForwardingPolicy {
            x_forwarded: true,
            forwarded: true,
            via: Some("foregate".into()),
        }
    }

    /// Where a Host is that is no line of its own.
    fn place_of(fields: &mut Fields, host: &str) -> Range<u32> {
        fields.append(FieldId::Host, host.as_bytes());
        let place = fields.place(FieldId::Host);
        fields.remove(FieldId::Host);
        place
    }

    fn check(client: &str, trusted: bool, host: &str, claims: &[(&str, &str)], expected: &str) {
        let local = "192.0.2.1:8080".parse().unwrap();
        let peer = Peer::new(client.parse().unwrap(), local, 0);
        peer.judge(|_| trusted);
        let mut fields = Fields::new();
        for (name, value) in claims {
            fields.append_line(name.as_bytes(), value.as_bytes());
        }
        let host = place_of(&mut fields, host);
        describe(
            &mut fields,
            &policy(),
            &peer,
            &host,
            Version::Http11,
            |_| false,
        );
        let mut out = Vec::new();
        fields.write_http1(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap().replace("\r\n", "\n"),
            expected
        );
    }

    #[test]
    fn an_untrusted_client_is_described_afresh() {
        check(
            "198.51.100.7:1234",
            false,
            "example.com",
            &[
                ("X-Forwarded-For", "6.6.6.6"),
                ("Forwarded", "for=6.6.6.6"),
                ("X-Forwarded-Proto", "https"),
                ("X-Real-IP", "6"),
                ("X-Forwarded-Ssl", "on"),
                ("x-forwarded-scheme", "https"),
                ("X-Forwarded-Prefix", "/evil"),
                ("X_Forwarded_For", "127.0.0.1"),
                ("X-Real_IP", "127.0.0.1"),
                ("X-Forwarded", "kept"),
            ],
            "X-Forwarded: kept\nX-Forwarded-For: 198.51.100.7\nX-Forwarded-Proto: http\nX-Forwarded-Port: 8080\n\
             X-Forwarded-Host: example.com\nForwarded: for=198.51.100.7;host=example.com;proto=http\nVia: 1.1 foregate\n",
        );
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to() {
        check(
            "[2001:db8::1]:1234",
            true,
            "example.com:8080",
            &[
                ("X-Forwarded-For", "203.0.113.9"),
                ("X-Forwarded-Proto", "https"),
                ("Forwarded", "for=203.0.113.9"),
                ("X-Forwarded-Prefix", "/app"),
            ],
            "X-Forwarded-For: 203.0.113.9, 2001:db8::1\nX-Forwarded-Proto: https\n\
             Forwarded: for=203.0.113.9;proto=https, for=\"[2001:db8::1]\";host=\"example.com:8080\";proto=http\n\
             X-Forwarded-Prefix: /app\nX-Forwarded-Port: 8080\nX-Forwarded-Host: example.com:8080\nVia: 1.1 foregate\n",
        );
    }

    #[test]
    fn what_was_told_is_told_again_only_to_the_same_host_under_the_same_policy() {
        let local = "192.0.2.1:80".parse().unwrap();
        let peer = Peer::new("192.0.2.7:1".parse().unwrap(), local, 0);
        let told = |policy: &ForwardingPolicy, host: &str, version: Version| {
            let mut fields = Fields::new();
            let host = place_of(&mut fields, host);
            describe(&mut fields, policy, &peer, &host, version, |_| false);
            let mut out = Vec::new();
            fields.write_http1(&mut out);
            String::from_utf8(out).unwrap()
        };
        let first = told(&policy(), "a", Version::Http11);
        assert_eq!(told(&policy(), "a", Version::Http11), first);
        assert!(told(&policy(), "b", Version::Http11).contains("host=b;"));
        assert!(told(&policy(), "a", Version::Http10).contains("Via: 1.0 foregate"));
        let quiet = ForwardingPolicy {
            x_forwarded: false,
            forwarded: false,
            via: None,
        };
        assert_eq!(told(&quiet, "a", Version::Http11), "");
    }

    #[test]
    fn via_grows() {
        let mut fields = Fields::new();
        fields.append(FieldId::Via, b"1.0 a");
        add_via(&mut fields, "foregate", Version::Http11);
        assert_eq!(fields.get(FieldId::Via), Some(&b"1.0 a, 1.1 foregate"[..]));
    }
}
