//! Which of many certificates may be valid for a host: thousands of sites are each asked about, and thousands of
//! certificates are each valid for few of them.

use super::covers;
use foregate_snapshot::HostPattern;
use foregate_tls::Served;
use foregate_tls::certificate::CertificateName;
use std::collections::HashMap;
use std::sync::Arc;

/// Certificates by what they are valid for.
pub(super) struct Coverage<'s> {
    served: &'s [Arc<Served>],
    /// Places of those with a name, as certificates write names.
    named: HashMap<String, Vec<usize>>,
    /// Places of those with the name of a host anywhere below this name.
    above: HashMap<&'s str, Vec<usize>>,
}

impl<'s> Coverage<'s> {
    pub(super) fn of(served: &'s [Arc<Served>]) -> Coverage<'s> {
        let mut coverage = Coverage {
            served,
            named: HashMap::new(),
            above: HashMap::new(),
        };
        for (at, one) in served.iter().enumerate() {
            for name in &one.certificate.names {
                let places = coverage.named.entry(name.to_string()).or_default();
                places.push(at);
                let CertificateName::Host(host) = name else {
                    continue;
                };
                let mut rest = &**host;
                while let Some((_, above)) = rest.split_once('.') {
                    coverage.above.entry(above).or_default().push(at);
                    rest = above;
                }
            }
        }
        coverage
    }

    /// Those that are valid for a host of a site, some perhaps twice.
    pub(super) fn covering(&self, host: &HostPattern) -> Vec<&'s Arc<Served>> {
        let named = |name: &str| self.named.get(name).into_iter().flatten();
        let places: Vec<usize> = match host {
            HostPattern::Default => (0..self.served.len()).collect(),
            HostPattern::Wildcard(suffix) => {
                let above = self.above.get(suffix.as_str()).into_iter().flatten();
                named(&format!("*.{suffix}"))
                    .chain(above)
                    .copied()
                    .collect()
            }
            HostPattern::Exact(host) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                // As certificates write it: addresses have several forms.
                let written = CertificateName::parse(bare).map(|name| name.to_string());
                let parent = bare
                    .split_once('.')
                    .map(|(_, parent)| format!("*.{parent}"));
                let names = written.iter().chain(&parent);
                names.flat_map(|name| named(name)).copied().collect()
            }
        };
        let candidates = places.into_iter().map(|at| &self.served[at]);
        candidates.filter(|served| covers(served, host)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(id: &str, names: &[&str]) -> Arc<Served> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let pem = made.cert.pem();
        let key = made.signing_key.serialize_pem();
        let loaded = foregate_tls::certificate::load(pem.as_bytes(), key.as_bytes()).unwrap();
        Arc::new(Served::new(id, loaded))
    }

    #[test]
    fn finds_what_a_look_at_each_finds() {
        let all = [
            served("a", &["a.example", "*.b.example"]),
            served("b", &["deep.er.b.example", "127.0.0.1"]),
            served("c", &["example", "*.example", "::1"]),
            served("d", &["x.a.example"]),
        ];
        let coverage = Coverage::of(&all);
        let exact = |host: &str| HostPattern::Exact(host.to_owned());
        let wild = |host: &str| HostPattern::Wildcard(host.to_owned());
        let hosts = [
            exact("a.example"),
            exact("x.b.example"),
            exact("x.y.b.example"),
            exact("er.b.example"),
            exact("example"),
            exact("127.0.0.1"),
            exact("[::1]"),
            exact("[0:0::1]"),
            exact("none.test"),
            wild("b.example"),
            wild("er.b.example"),
            wild("example"),
            wild("test"),
            HostPattern::Default,
        ];
        for host in hosts {
            let mut found: Vec<&str> = coverage
                .covering(&host)
                .iter()
                .map(|one| &*one.id)
                .collect();
            found.sort_unstable();
            found.dedup();
            let each: Vec<&str> = all
                .iter()
                .filter(|one| covers(one, &host))
                .map(|one| &*one.id)
                .collect();
            assert_eq!(found, each, "{host}");
        }
    }
}
