//! Which site serves a host.

use crate::names::{Found, Names};
use crate::spec::{HostMatch, SiteSpec};
use crate::trace::Cause;
use std::io::Write;
use std::net::Ipv6Addr;
use std::ops::Range;

/// No name that DNS knows is longer, with its last dot.
const HOST_BYTES_MAX: usize = 255;

/// A host as it is compared: in lower case, without the last dot, IPv6 addresses in their one short form.
struct Host {
    bytes: [u8; HOST_BYTES_MAX],
    length: usize,
}

impl Host {
    /// `None` when the text is longer than any host.
    #[inline]
    fn of(text: &[u8]) -> Option<Host> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let mut host = Host {
            bytes: [0; HOST_BYTES_MAX],
            length: text.len(),
        };
        let room = host.bytes.get_mut(..text.len())?;
        room.copy_from_slice(text);
        room.make_ascii_lowercase();
        if text.first() == Some(&b'[') {
            host.shorten();
        }
        Some(host)
    }

    /// Rewrites an IPv6 address in the form of RFC 5952; leaves anything else.
    fn shorten(&mut self) {
        let inner = self
            .as_slice()
            .strip_prefix(b"[")
            .and_then(|text| text.strip_suffix(b"]"));
        let address =
            inner.and_then(|text| std::str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok());
        if let Some(address) = address {
            let mut room = &mut self.bytes[..];
            // The longest form has 41 bytes, so this can't fail.
            let written = write!(room, "[{address}]");
            let left = room.len();
            if written.is_ok() {
                self.length = HOST_BYTES_MAX - left;
            }
        }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A kind of pattern; the smaller one goes first. Wildcards carry how much their suffix lacks to the longest there
/// can be, so that longer ones go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Exact,
    Wildcard { short_of_longest: usize },
    Any,
}

#[derive(Debug)]
struct Pattern {
    kind: Kind,
    text: Box<[u8]>,
    site: u32,
}

/// All hosts of all sites.
#[derive(Debug)]
pub(crate) struct Hosts {
    exact: Names,
    /// By the suffix without its leading dot.
    wildcard: Names,
    /// The lengths of the suffixes in `wildcard`, longest first: only these are looked up, however many labels a
    /// client sends.
    suffix_lengths: Box<[usize]>,
    any: Range<u32>,
    /// The listeners of each site; empty for all.
    listeners: Box<[Box<[u32]>]>,
    /// Sorted by kind and text; the maps' ranges are places here. Only sites on different listeners share a text.
    patterns: Box<[Pattern]>,
}

impl Hosts {
    pub(crate) fn compile(sites: &[SiteSpec]) -> Hosts {
        let mut patterns = Vec::new();
        for (site, spec) in (0..).zip(sites) {
            for host in &spec.hosts {
                let (kind, text) = match host {
                    HostMatch::Exact(text) => (Kind::Exact, normal(text)),
                    HostMatch::Wildcard(text) => {
                        let text = normal(text);
                        let short_of_longest = HOST_BYTES_MAX.saturating_sub(text.len());
                        (Kind::Wildcard { short_of_longest }, text)
                    }
                    HostMatch::Any => (Kind::Any, Box::default()),
                };
                patterns.push(Pattern { kind, text, site });
            }
        }
        patterns.sort_by(|a, b| (a.kind, &a.text, a.site).cmp(&(b.kind, &b.text, b.site)));
        let mut hosts = Hosts {
            exact: Names::default(),
            wildcard: Names::default(),
            suffix_lengths: Box::default(),
            any: 0..0,
            listeners: sites
                .iter()
                .map(|spec| spec.listeners.as_slice().into())
                .collect(),
            patterns: Box::default(),
        };
        let (mut exact, mut wildcard) = (Vec::new(), Vec::new());
        let mut start = 0;
        for run in patterns.chunk_by(|a, b| (a.kind, &a.text) == (b.kind, &b.text)) {
            let range = start..start + run.len() as u32;
            start = range.end;
            let everywhere = hosts.listeners[run[0].site as usize]
                .is_empty()
                .then_some(run[0].site);
            match run[0].kind {
                Kind::Exact => exact.push((&*run[0].text, range, everywhere)),
                Kind::Wildcard { .. } => wildcard.push((&*run[0].text, range, everywhere)),
                Kind::Any => hosts.any = range,
            }
        }
        hosts.exact = Names::new(&exact);
        hosts.wildcard = Names::new(&wildcard);
        let mut lengths: Vec<usize> = wildcard.iter().map(|(suffix, ..)| suffix.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        hosts.suffix_lengths = lengths.into();
        hosts.patterns = patterns.into();
        hosts
    }

    /// The site that serves `host` on `listener`.
    #[inline]
    pub(crate) fn find(&self, host: &[u8], listener: u32) -> Option<u32> {
        let found = self.look(host, |found| {
            let place = || self.first_on(&found.places, listener);
            found
                .everywhere
                .or_else(|| place().map(|at| self.patterns[at].site))
        });
        found.or_else(|| {
            self.first_on(&self.any, listener)
                .map(|at| self.patterns[at].site)
        })
    }

    /// The place of the best pattern that matches.
    fn find_place(&self, host: &[u8], listener: u32) -> Option<usize> {
        self.look(host, |found| self.first_on(&found.places, listener))
            .or_else(|| self.first_on(&self.any, listener))
    }

    /// The first that `take` takes of what is known by name: exact ones, then wildcards from the longest.
    #[inline]
    fn look<T>(&self, host: &[u8], take: impl Fn(Found) -> Option<T>) -> Option<T> {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return None;
        }
        let host = Host::of(host)?;
        let host = host.as_slice();
        if let Some(taken) = self.exact.get(host).and_then(&take) {
            return Some(taken);
        }
        self.suffix_lengths.iter().find_map(|&length| {
            let suffix = below(host, length)?;
            self.wildcard.get(suffix).and_then(&take)
        })
    }

    #[inline]
    fn first_on(&self, range: &Range<u32>, listener: u32) -> Option<usize> {
        let mut places = range.start as usize..range.end as usize;
        places.find(|&place| self.is_on(self.patterns[place].site, listener))
    }

    #[inline]
    fn is_on(&self, site: u32, listener: u32) -> bool {
        let listeners = &self.listeners[site as usize];
        listeners.is_empty() || listeners.contains(&listener)
    }

    /// Tells `tell` why each site that ranks better than the one found did not match: first those that serve the host
    /// on other listeners only, then those that serve other hosts. Sites that serve other hosts by exact name rank no
    /// better than one that serves this host so, and are not told of.
    pub(crate) fn explain(&self, host: &[u8], listener: u32, mut tell: impl FnMut(u32, Cause)) {
        let found = self.find_place(host, listener);
        let kind_found = found.map(|place| self.patterns[place].kind);
        let host = Host::of(host);
        let host = host.as_ref().map_or(&[][..], Host::as_slice);
        let mut told = vec![false; self.listeners.len()];
        if let Some(place) = found {
            told[self.patterns[place].site as usize] = true;
        }
        for cause in [Cause::Listener, Cause::Host] {
            for pattern in &self.patterns {
                // A pattern that fits and is better than the found one can only lack the listener.
                let fits = pattern.fits(host);
                let better = kind_found
                    .is_none_or(|found| pattern.kind < found || fits && pattern.kind == found);
                let site = pattern.site as usize;
                if better && fits == (cause == Cause::Listener) && !told[site] {
                    told[site] = true;
                    tell(pattern.site, cause.clone());
                }
            }
        }
    }
}

impl Pattern {
    fn fits(&self, host: &[u8]) -> bool {
        match self.kind {
            Kind::Exact => *self.text == *host,
            Kind::Wildcard { .. } => below(host, self.text.len()) == Some(&*self.text),
            Kind::Any => true,
        }
    }
}

fn normal(text: &str) -> Box<[u8]> {
    Host::of(text.as_bytes()).map_or_else(|| text.as_bytes().into(), |host| host.as_slice().into())
}

/// The last `length` bytes of `host`, when a dot and something before it stand in front of them.
#[inline]
fn below(host: &[u8], length: usize) -> Option<&[u8]> {
    let dot = host.len().checked_sub(length + 1).filter(|&dot| dot > 0)?;
    (host[dot] == b'.').then(|| &host[dot + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::HostMatch::{Any, Exact, Wildcard};

    fn site(hosts: &[HostMatch], listeners: &[u32]) -> SiteSpec {
        SiteSpec {
            hosts: hosts.to_vec(),
            listeners: listeners.to_vec(),
            routes: Vec::new(),
        }
    }

    fn sites() -> Hosts {
        Hosts::compile(&[
            site(
                &[Exact("Example.com.".into()), Exact("[0:0::1]".into())],
                &[],
            ),
            site(&[Wildcard("example.com".into())], &[]),
            site(&[Wildcard("deep.example.com".into())], &[1]),
            site(&[Any], &[0, 1]),
            site(&[Exact("only.test".into())], &[1]),
        ])
    }

    fn check(listener: u32, host: &str, expected: Option<u32>, skipped: &[(u32, Cause)]) {
        let hosts = sites();
        assert_eq!(hosts.find(host.as_bytes(), listener), expected, "{host}");
        let mut told = Vec::new();
        hosts.explain(host.as_bytes(), listener, |site, cause| {
            told.push((site, cause))
        });
        assert_eq!(told, skipped, "{host}");
    }

    #[test]
    fn exact_before_longer_before_shorter_before_any() {
        let exact = [(0, Cause::Host), (4, Cause::Host)];
        check(0, "EXAMPLE.com", Some(0), &[]);
        check(0, "example.com.", Some(0), &[]);
        check(0, "[::1]", Some(0), &[]);
        check(1, "a.deep.example.com", Some(2), &exact);
        check(
            1,
            "deep.example.com",
            Some(1),
            &[(0, Cause::Host), (4, Cause::Host), (2, Cause::Host)],
        );
        let elsewhere = [(2, Cause::Listener), (0, Cause::Host), (4, Cause::Host)];
        check(0, "a.deep.example.com", Some(1), &elsewhere);
        let all = [
            (4, Cause::Listener),
            (0, Cause::Host),
            (2, Cause::Host),
            (1, Cause::Host),
        ];
        check(0, "only.test", Some(3), &all);
        check(1, "only.test", Some(4), &[]);
    }

    #[test]
    fn hosts_that_nobody_serves() {
        let all = [
            (0, Cause::Host),
            (4, Cause::Host),
            (2, Cause::Host),
            (1, Cause::Host),
        ];
        for host in ["", ".", ".example.com", "example.org", &"a.".repeat(200)] {
            check(0, host, Some(3), &all);
        }
        let everyone = [
            (3, Cause::Listener),
            (0, Cause::Host),
            (4, Cause::Host),
            (2, Cause::Host),
            (1, Cause::Host),
        ];
        check(2, "example.org", None, &everyone);
    }
}
