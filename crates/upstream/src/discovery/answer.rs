//! What was found.

use foregate_balance::Attributes;
use std::collections::BTreeMap;
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
    /// What else is known of it.
    pub attributes: Attributes,
}

/// Weights are what the configuration allows.
pub(super) const WEIGHT_MAX: u32 = 65_535;

/// Bytes of the name of a zone or label.
const NAME_BYTES_MAX: usize = 64;

/// Bytes of a label's value.
const VALUE_BYTES_MAX: usize = 128;

/// Labels of one endpoint.
const LABELS_MAX: usize = 32;

/// What somebody says of an endpoint beside its address and weight, in the forms that a configuration would take.
#[derive(Default, Debug)]
pub(super) struct Described {
    backup: bool,
    zone: Option<Box<str>>,
    labels: BTreeMap<Box<str>, Box<str>>,
}

impl Described {
    /// Of whom nothing is known but whether it is a backup.
    pub(super) fn new(backup: bool) -> Described {
        Described {
            backup,
            ..Described::default()
        }
    }

    /// It takes requests only when others don't, or not.
    pub(super) fn backup(&mut self, backup: bool) {
        self.backup = backup;
    }

    /// Where it stands.
    pub(super) fn zone(&mut self, zone: &str) -> Result<(), String> {
        if !is_name(zone) {
            return Err(format!("`{}` is not the name of a zone", shown(zone)));
        }
        self.zone = Some(zone.into());
        Ok(())
    }

    /// What it is, by name. Said again, the last counts.
    pub(super) fn label(&mut self, name: &str, value: &str) -> Result<(), String> {
        let is_value = (1..=VALUE_BYTES_MAX).contains(&value.len())
            && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_name(name) || !is_value {
            let (name, value) = (shown(name), shown(value));
            return Err(format!("`{name}` with the value `{value}` is not a label"));
        }
        if self.labels.len() >= LABELS_MAX && !self.labels.contains_key(name) {
            return Err(format!("an endpoint has more than {LABELS_MAX} labels"));
        }
        self.labels.insert(name.into(), value.into());
        Ok(())
    }
}

impl From<Described> for Attributes {
    fn from(described: Described) -> Attributes {
        Attributes {
            backup: described.backup,
            zone: described.zone,
            labels: described.labels.into_iter().collect(),
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && (text.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// A foreign text as it may stand in a message.
fn shown(text: &str) -> String {
    text.escape_debug().take(2 * NAME_BYTES_MAX).collect()
}

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
            attributes: Attributes::default(),
        }
    }

    /// The same with what else is said of it.
    pub(super) fn described(self, described: Described) -> FoundEndpoint {
        FoundEndpoint {
            attributes: described.into(),
            ..self
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

    #[test]
    fn what_is_said_of_an_endpoint_has_the_forms_of_a_configuration() {
        let mut said = Described::default();
        said.zone("eu-1a").unwrap();
        for zone in ["", "a b", "é", &"z".repeat(65)] {
            assert!(said.zone(zone).is_err(), "{zone}");
        }
        for (name, value) in [("", "x"), ("a b", "x"), ("a", ""), ("a", "\n"), ("a", "é")] {
            assert!(said.label(name, value).is_err(), "{name}={value}");
        }
        said.label("version", "v1").unwrap();
        said.label("version", "v2").unwrap();
        for number in 1..LABELS_MAX {
            said.label(&number.to_string(), "x").unwrap();
        }
        assert!(said.label("one-more", "x").is_err());
        said.label("version", "v3").unwrap();
        let attributes = Attributes::from(said);
        assert_eq!(attributes.zone.as_deref(), Some("eu-1a"));
        assert_eq!(attributes.labels.len(), LABELS_MAX);
        assert!(attributes.labels.contains(&("version".into(), "v3".into())));
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
