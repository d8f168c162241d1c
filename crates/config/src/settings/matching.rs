//! What requests a site or a route takes.

use super::Route;
use std::fmt;

/// Hosts, without port. Names are ASCII in lower case without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host: a name, an IPv4 address, or an IPv6 address in brackets.
    Exact(String),
    /// `*.suffix`: every host below `suffix`, at any depth, but not `suffix` itself. Holds the part after `*.`.
    Wildcard(String),
    /// `*`: every host that no other site serves.
    Default,
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Default => f.write_str("*"),
        }
    }
}

/// Paths, matched in their normalised form. The texts here are normalised too: unreserved characters are not
/// percent-encoded, everything that must be encoded is, with upper-case digits (RFC 3986 section 6.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// Exactly this path.
    Exact(String),
    /// This path and everything below it: `/api` takes `/api` and `/api/x`, not `/apix`. `/api/` takes only what
    /// begins with `/api/`.
    Prefix(String),
    /// The whole path: `*` is any run of characters but `/`, `**` any run of characters, `?` one character but `/`; a
    /// percent-encoded character is one character.
    Glob(String),
    /// A regular expression that is searched for in the path (anchor it with `^` and `$`), known to be valid.
    Regex(String),
}

/// The value of a header or a query parameter. Of several values the first one counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueMatch {
    /// Exactly this value.
    Exact(String),
    /// `*`: there, whatever the value.
    Present,
    /// `!`: not there.
    Absent,
    /// `~...`: a regular expression that is searched for in the value, known to be valid.
    Regex(String),
}

/// A route's place in the documented order of its site. Greater goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// `priority`.
    pub priority: i32,
    /// 3 exact, 2 regex, 1 glob, 0 prefix.
    pub path_kind: u8,
    /// Literal characters of the path's pattern.
    pub path_literals: u32,
    /// Whether there is a condition on the method.
    pub has_methods: bool,
    /// Number of conditions on headers.
    pub headers: u32,
    /// Number of conditions on query parameters.
    pub query: u32,
    /// Length of the longest client range, plus one; 0 without one. IPv4 ranges count as the IPv4-mapped IPv6 range.
    pub client_bits: u8,
}

impl Rank {
    pub(super) fn of(route: &Route) -> Self {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (path_kind, literals) = match &route.path {
            PathMatch::Exact(path) => (3, path.len()),
            PathMatch::Regex(pattern) => (2, regex_literals(pattern)),
            PathMatch::Glob(pattern) => (
                1,
                pattern
                    .bytes()
                    .filter(|b| !matches!(b, b'*' | b'?'))
                    .count(),
            ),
            PathMatch::Prefix(path) => (0, path.len()),
        };
        Self {
            priority: route.priority,
            path_kind,
            path_literals: count(literals),
            has_methods: !route.methods.is_empty(),
            headers: count(route.headers.len()),
            query: count(route.query.len()),
            client_bits: route.clients.iter().map(client_bits).max().unwrap_or(0),
        }
    }
}

fn client_bits(range: &ipnet::IpNet) -> u8 {
    match range {
        ipnet::IpNet::V4(range) => range.prefix_len() + 97,
        ipnet::IpNet::V6(range) => range.prefix_len() + 1,
    }
}

/// Characters of a regular expression that stand for themselves: letters, digits, `/`, `-`, `_`, escaped punctuation;
/// nothing inside `[...]` or `{...}`.
fn regex_literals(pattern: &str) -> usize {
    let mut literals = 0;
    let mut inside: Option<char> = None;
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match (inside, c) {
            (_, '\\') => {
                let escaped = characters.next();
                literals += usize::from(
                    inside.is_none() && escaped.is_some_and(|e| e.is_ascii_punctuation()),
                );
            }
            (Some(end), c) if c == end => inside = None,
            (Some(_), _) => {}
            (None, '[') => inside = Some(']'),
            (None, '{') => inside = Some('}'),
            (None, '^' | '$' | '.' | '*' | '+' | '?' | '(' | ')' | '|') => {}
            (None, _) => literals += 1,
        }
    }
    literals
}
