//! What a trusted proxy said, made ready to be added to: both forms name the same hops, and say the same of the client's
//! request.

use super::ForwardingPolicy;
use super::chain::{self, Chain, Hop, Node};
use crate::fields::FieldSet;
use crate::{FieldId, Fields, Peer, split_authority};
use std::net::IpAddr;

/// What `X-Forwarded-*` says.
const X: FieldSet = FieldSet::of(&[
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
]);

/// Brings the form that is not believed into line with the one that is, and removes a form that is not sent. The host is
/// what came as Host.
#[cold]
pub(super) fn settle(
    fields: &mut Fields,
    policy: &ForwardingPolicy,
    peer: &Peer,
    host: &[u8],
    trusted: &dyn Fn(IpAddr) -> bool,
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
    if !policy.forwarded {
        fields.remove(FieldId::Forwarded);
    } else if !said.is_in(&chain::forwarded(fields)) {
        let elements = said.elements();
        fields.remove(FieldId::Forwarded);
        if !elements.is_empty() {
            fields.append(FieldId::Forwarded, &elements);
        }
    }
    if policy.x_forwarded {
        said.complete(fields, peer, host);
    } else {
        fields.remove_any(X);
    }
}

/// What is believed of the way up to the trusted proxy.
struct Said {
    nodes: Vec<Node>,
    /// Whether `X-Forwarded-For` stays as it came: it named them, or nobody did.
    keeps_x: bool,
    /// The place of the one that tells of the client, if there is any.
    client_at: Option<usize>,
    proto: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
}

impl Said {
    fn by(fields: &Fields, trusted: &dyn Fn(IpAddr) -> bool) -> Said {
        let chain = Chain::of(fields);
        let client_at = chain.client_at(trusted);
        let hop = client_at.map(|at| chain.hops[at]);
        let proto = fields
            .get(FieldId::XForwardedProto)
            .or(hop.and_then(|hop| hop.proto));
        let host = fields
            .get(FieldId::XForwardedHost)
            .or(hop.and_then(|hop| hop.host));
        let mut said = Said {
            nodes: chain.hops.iter().map(|hop| hop.node).collect(),
            keeps_x: chain.is_x || chain.hops.is_empty(),
            client_at,
            proto: proto.map(<[u8]>::to_vec),
            host: host.map(<[u8]>::to_vec),
        };
        if said.nodes.is_empty() && (proto.is_some() || host.is_some()) {
            // Of somebody it is told how they came, and not who they are.
            said.nodes.push(Node::Hidden);
            said.client_at = Some(0);
        }
        said
    }

    /// Whether the elements of `Forwarded` are well written and say the same, so that they can be passed on as they are.
    fn is_in(&self, hops: &[Hop<'_>]) -> bool {
        let agrees = |one: Option<&[u8]>, other: &Option<Vec<u8>>| {
            one.is_none_or(|one| {
                other
                    .as_ref()
                    .is_some_and(|it| it.eq_ignore_ascii_case(one))
            })
        };
        hops.len() == self.nodes.len()
            && hops
                .iter()
                .zip(&self.nodes)
                .all(|(hop, node)| hop.is_sound && hop.node == *node)
            && self.client_at.is_none_or(|at| {
                agrees(hops[at].proto, &self.proto) && agrees(hops[at].host, &self.host)
            })
    }

    /// The elements of `Forwarded` that say it.
    fn elements(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        for (at, node) in self.nodes.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            match node {
                Node::Address(IpAddr::V4(ip)) => out.extend(format!("for={ip}").bytes()),
                Node::Address(IpAddr::V6(ip)) => out.extend(format!("for=\"[{ip}]\"").bytes()),
                Node::Hidden => out.extend_from_slice(b"for=unknown"),
            }
            if self.client_at != Some(at) {
                continue;
            }
            if let Some(host) = self
                .host
                .as_ref()
                .filter(|host| split_authority(host).is_some())
            {
                out.extend_from_slice(b";host=\"");
                out.extend_from_slice(host);
                out.push(b'"');
            }
            if let Some(proto) = self
                .proto
                .as_ref()
                .filter(|proto| default_port(proto).is_some())
            {
                out.extend_from_slice(b";proto=");
                out.extend_from_slice(proto);
            }
        }
        out
    }

    /// Says in `X-Forwarded-*` what only `Forwarded` said.
    fn complete(&self, fields: &mut Fields, peer: &Peer, host: &[u8]) {
        if !self.keeps_x {
            let mut names = Vec::with_capacity(64);
            for (at, node) in self.nodes.iter().enumerate() {
                if at > 0 {
                    names.extend_from_slice(b", ");
                }
                match node {
                    Node::Address(ip) => names.extend(ip.to_string().bytes()),
                    Node::Hidden => names.extend_from_slice(b"unknown"),
                }
            }
            fields.set(FieldId::XForwardedFor, &names);
        }
        for (id, value) in [
            (FieldId::XForwardedProto, &self.proto),
            (FieldId::XForwardedHost, &self.host),
        ] {
            if let Some(value) = value
                && !fields.has(id)
            {
                fields.append(id, value);
            }
        }
        if (self.proto.is_some() || self.host.is_some())
            && !fields.has(FieldId::XForwardedPort)
            && let Some(port) = self.port(peer, host)
        {
            fields.append(FieldId::XForwardedPort, port.to_string().as_bytes());
        }
    }

    /// The port that the client asked for, where the proxy did not say: that of the host it named, else its scheme's. Ours
    /// is nothing that the client has ever seen.
    fn port(&self, peer: &Peer, host: &[u8]) -> Option<u16> {
        let host = self.host.as_deref().unwrap_or(host);
        let proto = self
            .proto
            .as_deref()
            .unwrap_or(peer.scheme.as_str().as_bytes());
        let (_, port) = split_authority(host)?;
        port.or(default_port(proto))
    }
}

/// The port of a scheme that is known.
fn default_port(scheme: &[u8]) -> Option<u16> {
    if scheme.eq_ignore_ascii_case(b"https") {
        Some(443)
    } else {
        scheme.eq_ignore_ascii_case(b"http").then_some(80)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;
    use crate::forwarded::{claimed_client, claimed_scheme, describe};
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
        let peer = Peer::new("10.0.0.1:1".parse().unwrap(), local, 0, true);
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
                "unknown, 2001:db8::1, 10.0.0.2, 10.0.0.1",
                "https",
                "a:8443",
                "8443",
                &format!(
                    "for=_x, for=\"[2001:db8::1]:80\";host=\"a:8443\";proto=https, for=10.0.0.2, {OWN}"
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
                    "for=unknown, for=1.1.1.1, for=\"[2001:db8::1]\";host=\"pub.example:8443\";proto=https, \
                     for=10.0.0.2, {OWN}"
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
    fn what_contradicts_the_form_that_is_believed_is_said_anew() {
        let x = |forwarded: &str, expected: &str| {
            check(
                &[
                    ("Forwarded", forwarded),
                    ("X-Forwarded-For", "2.2.2.2"),
                    ("X-Forwarded-Proto", "http"),
                    ("X-Forwarded-Port", "81"),
                ],
                [
                    "2.2.2.2, 10.0.0.1",
                    "http",
                    "inner",
                    "81",
                    &format!("{expected}, {OWN}"),
                ],
            );
        };
        x(
            "for=2.2.2.2:80;proto=http;by=_p",
            "for=2.2.2.2:80;proto=http;by=_p",
        );
        x("for=2.2.2.2;proto=https", "for=2.2.2.2;proto=http");
        x("for=2.2.2.2;host=evil", "for=2.2.2.2;proto=http");
        x("for=6.6.6.6", "for=2.2.2.2;proto=http");
        x("for=6.6.6.6, for=2.2.2.2", "for=2.2.2.2;proto=http");
        x("for=\"2.2.2.2", "for=2.2.2.2;proto=http");
        // What a client left open would swallow what is added.
        check(
            &[("Forwarded", "for=\"6.6.6.6, for=2.2.2.2")],
            [
                "unknown, 2.2.2.2, 10.0.0.1",
                "http",
                "inner",
                "8080",
                &format!("for=unknown, for=2.2.2.2, {OWN}"),
            ],
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

    proptest! {
        /// Whoever reads one form takes the same client and scheme from it as whoever reads the other.
        #[test]
        fn both_forms_say_the_same(
            x in proptest::option::of("([0-9.:, ]|1\\.1\\.1\\.1|10\\.0\\.0\\.2|unknown|, ){0,6}"),
            forwarded in proptest::option::of(
                "(for=1\\.1\\.1\\.1|for=10\\.0\\.0\\.2|for=_x|;proto=https|;host=a|, |[;\",=\\\\x]){0,6}"
            ),
            proto in proptest::option::of("https?|"),
        ) {
            let mut claims = Vec::new();
            claims.extend(x.as_ref().map(|value| ("X-Forwarded-For", value.trim())));
            claims.extend(forwarded.as_ref().map(|value| ("Forwarded", value.trim())));
            claims.extend(proto.as_ref().map(|value| ("X-Forwarded-Proto", value.as_str())));
            let described = described(&claims, true, true);
            let (x, standard) = (only(&described, X), only(&described, FieldSet::of(&[FieldId::Forwarded])));
            let client = claimed_client(&x, trusted);
            prop_assert_eq!(claimed_client(&described, trusted), client);
            prop_assert_eq!(claimed_client(&standard, trusted), client);
            prop_assert!(chain::forwarded(&standard).iter().all(|hop| hop.is_sound));
            if let Some(scheme) = claimed_scheme(&standard, trusted) {
                let told = claimed_scheme(&x, trusted).unwrap_or_default();
                prop_assert!(told.eq_ignore_ascii_case(scheme), "{:?} {:?}", claims, described);
            }
        }
    }
}
