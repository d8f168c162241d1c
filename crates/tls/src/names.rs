//! What is special about the names that clients ask for.

use crate::plan::NamePlan;
use foldhash::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The settings that a name's handshakes are held under.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct NameSettings {
    /// The number of what is asked of clients; 0 when nothing is.
    pub(crate) trust: u32,
    /// The certificates that may be shown, if not all.
    pub(crate) only: Option<Box<[Arc<str>]>>,
}

/// Settings by name, found as sites are found by the road: the very name, then the longest wildcard, then all others.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    exact: HashMap<Box<str>, NameSettings>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, NameSettings>,
    others: NameSettings,
}

impl NameTable {
    pub(crate) fn new(plans: &[NamePlan], trust_of: impl Fn(&NamePlan) -> u32) -> NameTable {
        let mut table = NameTable::default();
        for plan in plans {
            let only = plan.certificates.as_ref();
            let settings = NameSettings {
                trust: trust_of(plan),
                only: only.map(|ids| ids.iter().map(|id| id.as_str().into()).collect()),
            };
            let name = plain(&plan.name);
            if name == "*" {
                table.others = settings;
            } else if let Some(parent) = name.strip_prefix("*.") {
                table.wildcards.insert(parent.into(), settings);
            } else {
                table.exact.insert(name.into(), settings);
            }
        }
        table
    }

    /// The settings of a host in lower case.
    pub(crate) fn of(&self, host: &str) -> &NameSettings {
        if let Some(settings) = self.exact.get(host) {
            return settings;
        }
        if !self.wildcards.is_empty() {
            let mut rest = host;
            while let Some((_, parent)) = rest.split_once('.') {
                if let Some(settings) = self.wildcards.get(parent) {
                    return settings;
                }
                rest = parent;
            }
        }
        &self.others
    }

    /// The settings of who asks for no name, and came to this address.
    pub(crate) fn of_address(&self, local: Option<IpAddr>) -> &NameSettings {
        match local {
            Some(address) => self.of(&address.to_string()),
            None => &self.others,
        }
    }
}

/// A host as it is compared: in lower case, without a last dot.
pub(crate) fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_name_counts() {
        let plan = |name: &str, trust: u32| NamePlan {
            name: name.to_owned(),
            certificates: Some(vec![trust.to_string()]),
            client: None,
        };
        let plans = [
            plan("*", 1),
            plan("*.example.com", 2),
            plan("*.api.example.com", 3),
            plan("Www.Example.com.", 4),
        ];
        let trust = |plan: &NamePlan| plan.certificates.as_ref().unwrap()[0].parse().unwrap();
        let table = NameTable::new(&plans, trust);
        let check =
            |host: &str, expected: u32| assert_eq!(table.of(host).trust, expected, "{host}");
        check("example.org", 1);
        check("example.com", 1);
        check("shop.example.com", 2);
        check("a.b.example.com", 2);
        check("v1.api.example.com", 3);
        check("x.v1.api.example.com", 3);
        check("api.example.com", 2);
        check("www.example.com", 4);
    }
}
