//! What a trusted proxy said, made ready to be added to: both forms say the same of the client and its request, and
//! `Forwarded` nothing else.

use super::chain::{Chain, Hop, Node, default_port};
use super::{ForwardingPolicy, is_plain};
use crate::fields::FieldSet;
use crate::{FieldId, Fields, Peer, split_authority};
use std::io::Write;
use std::net::IpAddr;

/// What `X-Forwarded-*` says.
const X: FieldSet = FieldSet::of(&[
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
]);

/// Brings both forms into line with what is believed, and removes a form that is not sent. The host is what came as Host.
pub(super) fn settle(
    fields: &mut Fields,
    policy: &ForwardingPolicy,
    peer: &Peer,
    host: &[u8],
    trusted: impl Fn(IpAddr) -> bool,
) {
    for id in [
        FieldId::XForwardedProto,
        FieldId::XForwardedHost,
        FieldId::XForwardedPort,
    ] {
        // Whoever says nothing has not said anything.
        if fields.get(id) == Some(b"") {
            fields.remove(id);
        }
    }
    let said = Said::by(fields, trusted);
    let elements = policy.forwarded.then(|| said.elements());
    let missing = policy.x_forwarded.then(|| said.missing(fields, peer, host));
    match elements {
        Some(elements) if !elements.is_empty() => fields.set(FieldId::Forwarded, &elements),
        _ => fields.remove(FieldId::Forwarded),
    }
    match missing {
        Some(missing) => missing.add(fields),
        None => fields.remove_any(X),
    }
}

/// What is believed of the way up to the trusted proxy.
struct Said<'a> {
    /// The client's first.
    hops: Vec<Hop<'a>>,
    /// Whether `X-Forwarded-For` stays as it came: it named them, or nobody did.
    keeps_x: bool,
    proto: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn by(fields: &'a Fields, trusted: impl Fn(IpAddr) -> bool) -> Said<'a> {
        let Chain { mut hops, is_x } = Chain::of(fields, trusted);
        let keeps_x = is_x || hops.is_empty();
        let client = hops.first();
        let proto = fields
            .get(FieldId::XForwardedProto)
            .or(client.and_then(|hop| hop.proto));
        let host = fields
            .get(FieldId::XForwardedHost)
            .or(client.and_then(|hop| hop.host));
        if hops.is_empty() && (proto.is_some() || host.is_some()) {
            // Of somebody it is told how they came, and not who they are.
            hops.push(Hop::of(Node::Hidden));
        }
        Said {
            hops,
            keeps_x,
            proto,
            host,
        }
    }

    /// The elements of `Forwarded` that say it: each as it came where it is believed as it stands, else written anew.
    fn elements(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let proto = self.proto.filter(|proto| default_port(proto).is_some());
        let host = self.host.filter(|host| split_authority(host).is_some());
        for (at, hop) in self.hops.iter().enumerate() {
            let believed = match at {
                0 => Hop {
                    proto,
                    host,
                    ..*hop
                },
                _ => *hop,
            };
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            match hop.written {
                Some(written)
                    if is_same(hop.proto, believed.proto) && is_same(hop.host, believed.host) =>
                {
                    out.extend_from_slice(written);
                }
                _ => write_element(&mut out, &believed),
            }
        }
        out
    }

    /// What `X-Forwarded-*` does not say yet.
    fn missing(&self, fields: &Fields, peer: &Peer, host: &[u8]) -> Missing {
        let unless_there = |id: FieldId, value: Option<&[u8]>| match fields.has(id) {
            true => None,
            false => value.map(<[u8]>::to_vec),
        };
        let is_told = self.proto.is_some() || self.host.is_some();
        Missing {
            names: (!self.keeps_x).then(|| self.names()),
            proto: unless_there(FieldId::XForwardedProto, self.proto),
            host: unless_there(FieldId::XForwardedHost, self.host),
            port: (is_told && !fields.has(FieldId::XForwardedPort))
                .then(|| self.port(peer, host))
                .flatten(),
        }
    }

    /// The elements of `X-Forwarded-For`.
    fn names(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        for (at, hop) in self.hops.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            match hop.node {
                Node::Address(ip) => write_to(&mut out, format_args!("{ip}")),
                Node::Hidden => out.extend_from_slice(b"unknown"),
            }
        }
        out
    }

    /// The port that the client asked for, where the proxy did not say: that of the host it named, else its scheme's. Ours
    /// is nothing that the client has ever seen.
    fn port(&self, peer: &Peer, host: &[u8]) -> Option<u16> {
        let host = self.host.unwrap_or(host);
        let proto = self.proto.unwrap_or(peer.scheme.as_str().as_bytes());
        let (_, port) = split_authority(host)?;
        port.or(default_port(proto))
    }
}

/// What only `Forwarded` said, for `X-Forwarded-*`.
struct Missing {
    names: Option<Vec<u8>>,
    proto: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    port: Option<u16>,
}

impl Missing {
    fn add(self, fields: &mut Fields) {
        if let Some(names) = self.names {
            fields.set(FieldId::XForwardedFor, &names);
        }
        if let Some(proto) = self.proto {
            fields.append(FieldId::XForwardedProto, &proto);
        }
        if let Some(host) = self.host {
            fields.append(FieldId::XForwardedHost, &host);
        }
        if let Some(port) = self.port {
            fields.append(FieldId::XForwardedPort, port.to_string().as_bytes());
        }
    }
}

fn is_same(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (one, other) => one == other,
    }
}

fn write_element(out: &mut Vec<u8>, hop: &Hop<'_>) {
    match hop.node {
        Node::Address(IpAddr::V4(ip)) => write_to(out, format_args!("for={ip}")),
        Node::Address(IpAddr::V6(ip)) => write_to(out, format_args!("for=\"[{ip}]\"")),
        Node::Hidden => out.extend_from_slice(b"for=unknown"),
    }
    if let Some(host) = hop.host {
        let quote: &[u8] = if is_plain(host) { b"" } else { b"\"" };
        for part in [b";host=", quote, host, quote] {
            out.extend_from_slice(part);
        }
    }
    if let Some(proto) = hop.proto {
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(proto);
    }
}

fn write_to(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;
    use crate::forwarded::{claims, describe};
    use proptest::prelude::*;

    /// 10.0.0.0/8 is trusted, and so is the peer.
    fn trusted(address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
    }

    fn described(claims: &[(&str, &str)], x_forwarded: bool, forwarded: bool) -> Fields {
        let policy = ForwardingPolicy {
            x_forwarded,
            forwarded,
            via: None,
        };
        let local = "192.0.2.1:8080".parse().unwrap();
        let peer = Peer::new("10.0.0.1:1".parse().unwrap(), local, 0);
        peer.judge(|_| true);
        let mut fields = Fields::new();
        fields.append(FieldId::Host, b"inner");
        let host = fields.place(FieldId::Host);
        fields.remove(FieldId::Host);
        for (name, value) in claims {
            fields.append_line(name.as_bytes(), value.as_bytes());
        }
        describe(&mut fields, &policy, &peer, &host, Version::Http11, trusted);
        fields
    }

    #[track_caller]
    fn check(claims: &[(&str, &str)], expected: [&str; 5]) {
        let fields = described(claims, true, true);
        let found = [
            FieldId::XForwardedFor,
            FieldId::XForwardedProto,
            FieldId::XForwardedHost,
            FieldId::XForwardedPort,
            FieldId::Forwarded,
        ]
        .map(|id| {
            let lines: Vec<&[u8]> = fields.all(id).collect();
            String::from_utf8(lines.join(&b'|')).unwrap()
        });
        assert_eq!(found, expected, "{claims:?}");
    }

    const OWN: &str = "for=10.0.0.1;host=inner;proto=http";

    #[test]
    fn what_only_forwarded_says_is_said_in_the_other_form_too() {
        check(
            &[(
                "Forwarded",
                "for=1.1.1.1;proto=https;host=pub.example;by=_p",
            )],
            [
                "1.1.1.1, 10.0.0.1",
                "https",
                "pub.example",
                "443",
                &format!("for=1.1.1.1;proto=https;host=pub.example;by=_p, {OWN}"),
            ],
        );
        check(
            &[(
                "Forwarded",
                "for=_x, for=\"[2001:db8::1]:80\";host=\"a:8443\";proto=https, for=10.0.0.2",
            )],
            [
                "2001:db8::1, 10.0.0.2, 10.0.0.1",
                "https",
                "a:8443",
                "8443",
                &format!(
                    "for=\"[2001:db8::1]:80\";host=\"a:8443\";proto=https, for=10.0.0.2, {OWN}"
                ),
            ],
        );
        check(
            &[("Forwarded", "for=1.1.1.1")],
            [
                "1.1.1.1, 10.0.0.1",
                "http",
                "inner",
                "8080",
                &format!("for=1.1.1.1, {OWN}"),
            ],
        );
    }

    #[test]
    fn what_only_the_other_form_says_is_said_in_forwarded_too() {
        check(
            &[
                (
                    "X-Forwarded-For",
                    "junk, 1.1.1.1:5555, [2001:db8::1], 10.0.0.2",
                ),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "pub.example:8443"),
            ],
            [
                "junk, 1.1.1.1:5555, [2001:db8::1], 10.0.0.2, 10.0.0.1",
                "https",
                "pub.example:8443",
                "8443",
                &format!(
                    "for=\"[2001:db8::1]\";host=\"pub.example:8443\";proto=https, for=10.0.0.2, {OWN}"
                ),
            ],
        );
        check(
            &[("X-Forwarded-Proto", "https")],
            [
                "10.0.0.1",
                "https",
                "inner",
                "443",
                &format!("for=unknown;proto=https, {OWN}"),
            ],
        );
    }

    #[test]
    fn where_the_other_form_is_believed_forwarded_says_nothing_else() {
        let x = |forwarded: &str, expected: &str| {
            check(
                &[
                    ("Forwarded", forwarded),
                    ("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 10.0.0.2"),
                    ("X-Forwarded-Proto", "http"),
                    ("X-Forwarded-Port", "81"),
                ],
                [
                    "1.1.1.1, 2.2.2.2, 10.0.0.2, 10.0.0.1",
                    "http",
                    "inner",
                    "81",
                    &format!("{expected}, {OWN}"),
                ],
            );
        };
        for forwarded in [
            "for=2.2.2.2;proto=http, for=10.0.0.2",
            "for=2.2.2.2:80;proto=http;by=_p, for=10.0.0.2",
            "for=2.2.2.2;proto=https, for=10.0.0.2",
            "for=2.2.2.2;host=evil, for=10.0.0.2",
            "for=2.2.2.2;host=\"evil.example/x\";proto=gopher, for=10.0.0.2",
            "for=2.2.2.2, for=10.0.0.2;host=evil;proto=https",
            "for=1.1.1.1;host=evil;proto=https, for=2.2.2.2, for=10.0.0.2",
            "for=6.6.6.6",
            "for=6.6.6.6, for=2.2.2.2",
            "for=\"2.2.2.2",
        ] {
            x(forwarded, "for=2.2.2.2;proto=http, for=10.0.0.2");
        }
    }

    #[test]
    fn forwarded_is_passed_on_from_the_client_on_and_as_far_as_it_is_believed() {
        for (forwarded, expected) in [
            // Whoever reads the first element finds the client there, and not what the client made up.
            (
                "for=1.1.1.1;host=evil;proto=https, for=2.2.2.2",
                "for=2.2.2.2",
            ),
            // What a client left open would swallow what is added.
            ("for=\"6.6.6.6, for=2.2.2.2", "for=2.2.2.2"),
            (
                "for=2.2.2.2:80;by=_p;x=\"a, b\"",
                "for=2.2.2.2:80;by=_p;x=\"a, b\"",
            ),
            ("for=2.2.2.2;proto=gopher;by=_p", "for=2.2.2.2"),
            ("for=2.2.2.2;host=\"evil.example/x\"", "for=2.2.2.2"),
            (
                "for=2.2.2.2, for=10.0.0.3;proto=gopher;host=\"a\", for=10.0.0.2;proto=http",
                "for=2.2.2.2, for=10.0.0.3;host=a, for=10.0.0.2;proto=http",
            ),
            ("for=2.2.2.02", "for=unknown"),
            ("for=_x;by=_p", "for=_x;by=_p"),
            ("junk, for=10.0.0.2", "for=unknown, for=10.0.0.2"),
        ] {
            let fields = described(&[("Forwarded", forwarded)], false, true);
            let found = fields.get(FieldId::Forwarded).unwrap();
            let expected = format!("{expected}, {OWN}");
            assert_eq!(String::from_utf8_lossy(found), expected, "{forwarded}");
        }
        let claims = [
            ("Forwarded", "for=2.2.2.2;proto=http;by=_p"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "a:8443"),
        ];
        let fields = described(&claims, true, true);
        let expected = format!("for=2.2.2.2;host=\"a:8443\";proto=https, {OWN}");
        assert_eq!(fields.get(FieldId::Forwarded), Some(expected.as_bytes()));
    }

    /// Each of a client's empty hops became `for=unknown`, and a head of the size that is allowed ten times as large.
    #[test]
    fn a_long_list_of_nobodies_does_not_grow() {
        let list = "a,".repeat(10_000);
        let fields = described(&[("X-Forwarded-For", &list)], true, true);
        let expected = format!("for=unknown, {OWN}");
        assert_eq!(fields.get(FieldId::Forwarded), Some(expected.as_bytes()));
        let list = "a,".repeat(10_000) + "for=2.2.2.2";
        let fields = described(&[("Forwarded", &list)], true, true);
        let expected = format!("for=2.2.2.2, {OWN}");
        assert_eq!(fields.get(FieldId::Forwarded), Some(expected.as_bytes()));
        assert_eq!(
            fields.get(FieldId::XForwardedFor),
            Some(&b"2.2.2.2, 10.0.0.1"[..])
        );
    }

    #[test]
    fn what_is_off_is_not_passed_on_either() {
        let claims = [
            ("Forwarded", "for=1.1.1.1;proto=https"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Prefix", "/app"),
        ];
        let neither = described(&claims, false, false);
        assert!(!neither.has_any(super::super::SAID) && neither.len() == 1);
        let only = described(&claims, false, true);
        let expected = format!("for=1.1.1.1;proto=https, {OWN}");
        assert_eq!(only.get(FieldId::Forwarded), Some(expected.as_bytes()));
        assert!(!only.has_any(X));
        let only = described(&claims, true, false);
        assert_eq!(
            only.get(FieldId::XForwardedFor),
            Some(&b"1.1.1.1, 10.0.0.1"[..])
        );
        assert!(!only.has(FieldId::Forwarded));
    }

    fn only(fields: &Fields, kept: FieldSet) -> Fields {
        let mut out = Fields::new();
        for line in fields.iter().filter(|line| kept.holds(line.id)) {
            out.append(line.id, line.value);
        }
        out
    }

    /// The elements of a list as somebody reads them who begins at its front: their pairs, without quotes.
    fn read_from_the_front(list: &[u8]) -> Vec<Vec<(String, String)>> {
        let mut elements = vec![vec![String::new()]];
        let mut is_quoted = false;
        for c in std::str::from_utf8(list).unwrap().chars() {
            match c {
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => elements.push(vec![String::new()]),
                ';' if !is_quoted => elements.last_mut().unwrap().push(String::new()),
                c => elements.last_mut().unwrap().last_mut().unwrap().push(c),
            }
        }
        assert!(!is_quoted);
        let pair = |text: String| {
            let (name, value) = text.trim().split_once('=').unwrap_or_default();
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        };
        let pairs = |element: Vec<String>| element.into_iter().map(pair).collect();
        elements.into_iter().map(pairs).collect()
    }

    proptest! {
        /// Whoever reads one form, from whichever end, takes the same client, scheme and host from it as whoever reads
        /// the other, and nothing of `Forwarded` was made up by somebody who is not believed.
        #[test]
        fn both_forms_say_the_same(
            x in proptest::option::of("([0-9.:, ]|1\\.1\\.1\\.1|10\\.0\\.0\\.2|unknown|, ){0,6}"),
            forwarded in proptest::option::of(
                "(for=1\\.1\\.1\\.1|for=10\\.0\\.0\\.2|for=_x|;proto=https|;proto=gopher|;host=a|;host=\"b/c\"|, |\
                 [;\",=\\\\x]){0,8}"
            ),
            proto in proptest::option::of("https?|gopher|"),
            host in proptest::option::of("a|b/c|"),
        ) {
            let mut said = Vec::new();
            said.extend(x.as_ref().map(|value| ("X-Forwarded-For", value.trim())));
            said.extend(forwarded.as_ref().map(|value| ("Forwarded", value.trim())));
            said.extend(proto.as_ref().map(|value| ("X-Forwarded-Proto", value.as_str())));
            said.extend(host.as_ref().map(|value| ("X-Forwarded-Host", value.as_str())));
            let described = described(&said, true, true);
            let (x, standard) = (only(&described, X), only(&described, FieldSet::of(&[FieldId::Forwarded])));
            let believed = claims(&described, trusted);
            prop_assert_eq!(claims(&x, trusted), believed);
            prop_assert_eq!(claims(&standard, trusted).client, believed.client);

            let hops = Chain::of(&described, trusted).hops.len();
            let elements = read_from_the_front(described.get(FieldId::Forwarded).unwrap());
            // Of whom it is only told how they came, Forwarded has an element.
            prop_assert!(elements.len() == hops || (hops, elements.len()) == (1, 2), "{described:?}");
            let is_x = said.iter().any(|(id, it)| *id == "X-Forwarded-For" && it.contains(|c| !", ".contains(c)));
            for (at, element) in elements[..elements.len() - 1].iter().enumerate() {
                let all = |name: &str| -> Vec<&str> {
                    element.iter().filter(|pair| pair.0 == name).map(|pair| pair.1.as_str()).collect()
                };
                let told = |id| std::str::from_utf8(described.get(id).unwrap()).unwrap();
                prop_assert!(at == 0 || all("for").len() == 1);
                for (name, told) in [("proto", told(FieldId::XForwardedProto)), ("host", told(FieldId::XForwardedHost))] {
                    match all(name)[..] {
                        [] => {}
                        [it] if at == 0 => prop_assert_eq!(it, told),
                        [it] => prop_assert!(!is_x && ["https", "a"].contains(&it)),
                        _ => prop_assert!(false, "{described:?}"),
                    }
                }
                let is_said = |pair: &(String, String)| ["for", "proto", "host"].contains(&pair.0.as_str());
                prop_assert!(!is_x || element.iter().all(is_said));
            }
        }
    }
}
