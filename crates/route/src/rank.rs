//! The order in which the routes of a site are considered.

use crate::spec::{PathMatch, RouteSpec};
use ipnet::IpNet;

/// A route's place in the documented order of its site; of two routes that both match, the greater rank takes the
/// request. Fields are compared in the order they are declared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Rank {
    /// The priority that the operator gave.
    pub priority: i32,
    /// 3 exact, 2 regex, 1 glob, 0 prefix.
    pub path_kind: u8,
    /// Literal characters of the path's pattern.
    pub path_literals: u32,
    /// Whether there is a condition on the method.
    pub has_methods: bool,
    /// Number of conditions on fields.
    pub headers: u32,
    /// Number of conditions on query parameters.
    pub query: u32,
    /// Length of the longest client range, plus one; 0 without one. IPv4 ranges count as IPv4-mapped IPv6 ranges.
    pub client_bits: u8,
}

impl Rank {
    /// The rank of `route`.
    pub fn of(route: &RouteSpec) -> Rank {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (path_kind, literals) = match &route.path {
            PathMatch::Exact(path) => (3, path.len()),
            PathMatch::Regex(pattern) => (2, regex_literals(pattern)),
            PathMatch::Glob(pattern) => (1, glob_literals(pattern)),
            PathMatch::Prefix(path) => (0, path.len()),
        };
        Rank {
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

/// The routes' indices, best first. Equal ranks go by the text of the path, then by name, then by position, so that
/// the order is total.
pub fn order(routes: &[RouteSpec]) -> Vec<u32> {
    let ranks: Vec<Rank> = routes.iter().map(Rank::of).collect();
    let mut order: Vec<u32> = (0..).take(routes.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (a as usize, b as usize);
        ranks[b]
            .cmp(&ranks[a])
            .then_with(|| text(&routes[a].path).cmp(text(&routes[b].path)))
            .then_with(|| routes[a].name.cmp(&routes[b].name))
    });
    order
}

fn text(path: &PathMatch) -> &str {
    match path {
        PathMatch::Exact(text)
        | PathMatch::Prefix(text)
        | PathMatch::Glob(text)
        | PathMatch::Regex(text) => text,
    }
}

fn client_bits(range: &IpNet) -> u8 {
    match range {
        IpNet::V4(range) => range.prefix_len() + 97,
        IpNet::V6(range) => range.prefix_len() + 1,
    }
}

fn glob_literals(pattern: &str) -> usize {
    pattern
        .bytes()
        .filter(|byte| !matches!(byte, b'*' | b'?'))
        .count()
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
                let stands = escaped.is_some_and(|e| e.is_ascii_punctuation());
                literals += usize::from(inside.is_none() && stands);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, path: PathMatch) -> RouteSpec {
        RouteSpec {
            name: name.into(),
            priority: 0,
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            clients: Vec::new(),
        }
    }

    fn check(routes: Vec<RouteSpec>, expected: &[&str]) {
        let found: Vec<&str> = order(&routes)
            .into_iter()
            .map(|at| routes[at as usize].name.as_str())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn kinds_then_literals_then_conditions() {
        let prefix = |name: &str, path: &str| route(name, PathMatch::Prefix(path.into()));
        let mut urgent = prefix("urgent", "/");
        urgent.priority = 1;
        let mut with_method = prefix("method", "/a");
        with_method.methods = vec!["GET".into()];
        let mut wide = prefix("wide", "/a");
        wide.clients = vec!["10.0.0.0/8".parse().unwrap()];
        let mut narrow = prefix("narrow", "/a");
        narrow.clients = vec!["10.1.0.0/16".parse().unwrap(), "::/0".parse().unwrap()];
        check(
            vec![
                prefix("z", "/a"),
                wide,
                prefix("long", "/abc"),
                route("glob", PathMatch::Glob("/*".into())),
                narrow,
                prefix("b", "/a"),
                route("exact", PathMatch::Exact("/".into())),
                with_method,
                urgent,
                route("regex", PathMatch::Regex("^/".into())),
            ],
            &[
                "urgent", "exact", "regex", "glob", "long", "method", "narrow", "wide", "b", "z",
            ],
        );
    }

    #[test]
    fn literals_of_regular_expressions() {
        for (pattern, expected) in [
            ("^/v1/(.*)$", 4),
            (r"^/a\.b$", 4),
            ("[abc]+x{2,3}", 1),
            (r"\d+", 0),
        ] {
            assert_eq!(regex_literals(pattern), expected, "{pattern}");
        }
    }
}
