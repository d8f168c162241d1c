//! Whether two routes can match the same request, and whether one matches everything that another does.

use super::automaton::Steps;
use super::patterns::Patterns;
use crate::sections::literal_prefix;
use crate::settings::{FieldMatch, PathMatch, Route, ValueMatch};
use ipnet::IpNet;

/// Whether two routes can match the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meeting {
    /// No request matches both.
    Never,
    /// Too much was compared before to tell.
    Unchecked,
    /// Their patterns are not compared, or too large for it.
    Perhaps,
    /// Some requests match both.
    Sometimes,
}

/// Whether two routes of one rank can match the same request.
pub(super) fn meeting<'s>(
    one: &'s Route,
    other: &'s Route,
    patterns: &mut Patterns<'s>,
    steps: &mut Steps,
) -> Meeting {
    if !methods_overlap(one, other) || !clients_overlap(one, other) {
        return Meeting::Never;
    }
    let mut least = Meeting::Sometimes;
    for (one, other) in [(&one.headers, &other.headers), (&one.query, &other.query)] {
        least = least.min(fields_meeting(one, other, patterns, steps));
        if least == Meeting::Never {
            return least;
        }
    }
    least.min(paths_meeting(&one.path, &other.path, patterns, steps))
}

/// True only if every request that matches `narrow` also matches `wide`.
pub(super) fn covers<'s>(
    wide: &'s Route,
    narrow: &'s Route,
    patterns: &mut Patterns<'s>,
    steps: &mut Steps,
) -> bool {
    (wide.methods.is_empty()
        || !narrow.methods.is_empty()
            && narrow
                .methods
                .iter()
                .all(|method| wide.methods.contains(method)))
        && (wide.clients.is_empty()
            || !narrow.clients.is_empty()
                && narrow
                    .clients
                    .iter()
                    .all(|range| wide.clients.iter().any(|wide| wide.contains(range))))
        && fields_cover(&wide.headers, &narrow.headers, patterns, steps)
        && fields_cover(&wide.query, &narrow.query, patterns, steps)
        && path_covers(&wide.path, &narrow.path, patterns, steps)
}

/// How much work [`meeting`] and [`covers`] are for these routes, in comparisons of texts; steps of automata not counted.
pub(super) fn cost(one: &Route, other: &Route) -> usize {
    let conditions = |route: &Route| {
        1 + route.headers.len() + route.query.len() + route.clients.len() + route.methods.len()
    };
    let globs = match (&one.path, &other.path) {
        (PathMatch::Glob(one), PathMatch::Glob(other)) => one.len() * other.len() / 16,
        _ => 0,
    };
    conditions(one) * conditions(other) + globs
}

fn methods_overlap(one: &Route, other: &Route) -> bool {
    one.methods.is_empty()
        || other.methods.is_empty()
        || one
            .methods
            .iter()
            .any(|method| other.methods.contains(method))
}

fn clients_overlap(one: &Route, other: &Route) -> bool {
    let touch = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
    one.clients.is_empty()
        || other.clients.is_empty()
        || one
            .clients
            .iter()
            .any(|a| other.clients.iter().any(|b| touch(a, b)))
}

/// Conditions are sorted by name. Of several values that a field or parameter has, the first counts: so two exact values
/// exclude each other, as do being there and not being there.
fn fields_meeting<'s>(
    one: &'s [FieldMatch],
    other: &'s [FieldMatch],
    patterns: &mut Patterns<'s>,
    steps: &mut Steps,
) -> Meeting {
    let mut least = Meeting::Sometimes;
    for a in one {
        let first = other.partition_point(|b| b.name < a.name);
        for b in other[first..].iter().take_while(|b| b.name == a.name) {
            least = least.min(values_meeting(&a.value, &b.value, patterns, steps));
        }
    }
    least
}

fn values_meeting<'s>(
    one: &'s ValueMatch,
    other: &'s ValueMatch,
    patterns: &mut Patterns<'s>,
    steps: &mut Steps,
) -> Meeting {
    let sometimes = |is_met: bool| {
        if is_met {
            Meeting::Sometimes
        } else {
            Meeting::Never
        }
    };
    match (one, other) {
        (ValueMatch::Absent, value) | (value, ValueMatch::Absent) => {
            sometimes(*value == ValueMatch::Absent)
        }
        (ValueMatch::Exact(a), ValueMatch::Exact(b)) => sometimes(a == b),
        (ValueMatch::Exact(value), ValueMatch::Regex(regex))
        | (ValueMatch::Regex(regex), ValueMatch::Exact(value)) => {
            match patterns.value_takes(regex, value, steps) {
                Some(is_taken) => sometimes(is_taken),
                None => undecided(steps),
            }
        }
        (ValueMatch::Regex(a), ValueMatch::Regex(b)) if a != b => Meeting::Perhaps,
        _ => Meeting::Sometimes,
    }
}

/// What is known of patterns that could not be compared.
fn undecided(steps: &Steps) -> Meeting {
    if steps.are_spent() {
        Meeting::Unchecked
    } else {
        Meeting::Perhaps
    }
}

fn fields_cover<'s>(
    wide: &'s [FieldMatch],
    narrow: &'s [FieldMatch],
    patterns: &mut Patterns<'s>,
    steps: &mut Steps,
) -> bool {
    wide.iter().all(|a| {
        narrow
            .iter()
            .any(|b| a.name == b.name && value_covers(&a.value, &b.value, patterns, steps))
    })
}

fn value_covers<'s>(
    wide: &'s ValueMatch,
    narrow: &'s ValueMatch,
    patterns: &mut Patterns<'s>,
    steps: &mut Steps,
) -> bool {
    match (wide, narrow) {
        (ValueMatch::Present, narrow) => *narrow != ValueMatch::Absent,
        (ValueMatch::Regex(regex), ValueMatch::Exact(value)) => {
            patterns.value_takes(regex, value, steps) == Some(true)
        }
        _ => wide == narrow,
    }
}

fn paths_meeting<'s>(
    one: &'s PathMatch,
    other: &'s PathMatch,
    patterns: &mut Patterns<'s>,
    steps: &mut Steps,
) -> Meeting {
    let may_meet = match (one, other) {
        // Of two prefixes or exact paths of one length, only equal ones take the same path; of different lengths the
        // longer goes first, so the question does not arise.
        (PathMatch::Exact(a), PathMatch::Exact(b))
        | (PathMatch::Prefix(a), PathMatch::Prefix(b)) => a == b,
        (PathMatch::Glob(a), PathMatch::Glob(b)) => globs_overlap(a.as_bytes(), b.as_bytes()),
        // Regular expressions follow. Of two kinds one always goes first.
        _ => true,
    };
    match (one, other) {
        _ if !may_meet => Meeting::Never,
        (PathMatch::Regex(a), PathMatch::Regex(b)) if a != b => {
            match patterns.meet(one, other, steps) {
                Some(true) => Meeting::Sometimes,
                Some(false) => Meeting::Never,
                None => undecided(steps),
            }
        }
        _ => Meeting::Sometimes,
    }
}

/// True if some path matches both globs. States are pairs of positions, visited row by row; a run may stay where it is
/// while the other glob moves on.
fn globs_overlap(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (tokens(one), tokens(other));
    // Which positions of `other` go with the current position of `one`, and with the next one.
    let mut row = vec![false; other.len() + 1];
    row[0] = true;
    for i in 0..=one.len() {
        let mut next = vec![false; row.len()];
        for j in 0..row.len() {
            if !row[j] {
                continue;
            }
            let (a, b) = (one.get(i).copied(), other.get(j).copied());
            if a.is_some_and(Token::may_be_empty) {
                next[j] = true;
            }
            if b.is_some_and(Token::may_be_empty) {
                row[j + 1] = true;
            }
            if let (Some(a), Some(b)) = (a, b)
                && a.shares_a_byte_with(b)
            {
                // A run stays where it is: the other side has taken one of its bytes.
                let j = j + usize::from(!b.may_be_empty());
                if a.may_be_empty() {
                    row[j] = true;
                } else {
                    next[j] = true;
                }
            }
        }
        if i == one.len() {
            break;
        }
        row = next;
    }
    row[other.len()]
}

/// An element of a glob.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// A percent-encoded character, by its two digits: one character for `?` and `*`.
    Encoded(u8, u8),
    /// `?`
    NotSlash,
    /// `*`
    RunWithoutSlash,
    /// `**`
    Run,
}

impl Token {
    fn may_be_empty(self) -> bool {
        matches!(self, Self::RunWithoutSlash | Self::Run)
    }

    fn shares_a_byte_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Byte(_) | Self::Encoded(..), Self::Byte(_) | Self::Encoded(..)) => self == other,
            (Self::Byte(b'/'), wild) | (wild, Self::Byte(b'/')) => wild == Self::Run,
            _ => true,
        }
    }
}

fn tokens(glob: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(glob.len());
    let mut rest = glob;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, tokens.last()) {
            (b'%', _) if rest.len() >= 2 => {
                tokens.push(Token::Encoded(rest[0], rest[1]));
                rest = &rest[2..];
            }
            (b'*', Some(Token::RunWithoutSlash)) => {
                tokens.pop();
                tokens.push(Token::Run);
            }
            (b'*', _) => tokens.push(Token::RunWithoutSlash),
            (b'?', _) => tokens.push(Token::NotSlash),
            (byte, _) => tokens.push(Token::Byte(*byte)),
        }
    }
    tokens
}

/// True if the pattern takes every path.
pub(super) fn takes_everything(path: &PathMatch) -> bool {
    match path {
        PathMatch::Exact(_) => false,
        PathMatch::Prefix(prefix) => prefix == "/",
        PathMatch::Glob(glob) => glob == "/**",
        PathMatch::Regex(regex) => matches!(
            regex.as_str(),
            "" | "^" | "/" | "^/" | ".*" | "^.*" | "^.*$" | "^/.*" | "^/.*$"
        ),
    }
}

fn path_covers<'s>(
    wide: &'s PathMatch,
    narrow: &'s PathMatch,
    patterns: &mut Patterns<'s>,
    steps: &mut Steps,
) -> bool {
    if wide == narrow || takes_everything(wide) {
        return true;
    }
    match (wide, narrow) {
        (PathMatch::Exact(_), _) => false,
        (PathMatch::Prefix(wide), PathMatch::Exact(_) | PathMatch::Prefix(_)) => {
            let narrow = literal_prefix(narrow);
            is_below(narrow, wide) || narrow == wide
        }
        (PathMatch::Prefix(wide), PathMatch::Glob(_) | PathMatch::Regex(_)) => {
            is_below(literal_prefix(narrow), wide)
        }
        (PathMatch::Glob(_) | PathMatch::Regex(_), _) => patterns.cover(wide, narrow, steps),
    }
}

/// Whether everything that begins with the text is below the prefix.
fn is_below(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.starts_with('/') || prefix.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::super::automaton::Steps;
    use super::super::patterns::Patterns;
    use super::{Meeting, globs_overlap};
    use crate::settings::{Action, PathMatch, Respond, Route};
    use proptest::prelude::*;

    #[test]
    fn overlapping_globs() {
        for (one, other, expected) in [
            ("/a/*", "/*/b", true),
            ("/a/*", "/b/*", false),
            ("/a/*", "/a/b/c", false),
            ("/a/**", "/a/b/c", true),
            ("/**/x", "/a/**", true),
            ("/?", "/*", true),
            ("/??", "/?", false),
            ("/?", "//", false),
            ("/*.js", "/*.css", false),
            ("/**.js", "/a/*", true),
            ("/*", "/**", true),
            ("/a*", "/a", true),
            ("/?", "/%C3", true),
            ("/??", "/%C3", false),
            ("/%C3", "/%C4", false),
        ] {
            assert_eq!(
                globs_overlap(one.as_bytes(), other.as_bytes()),
                expected,
                "{one} {other}"
            );
            assert_eq!(
                globs_overlap(other.as_bytes(), one.as_bytes()),
                expected,
                "{other} {one}"
            );
        }
    }

    fn matcher(glob: &str) -> brute_force::Glob {
        brute_force::Glob(glob.to_owned())
    }

    /// A glob matcher by brute force, for comparison.
    mod brute_force {
        pub(super) struct Glob(pub(super) String);

        impl Glob {
            pub(super) fn matches(&self, path: &str) -> bool {
                run(self.0.as_bytes(), path.as_bytes())
            }
        }

        fn run(glob: &[u8], path: &[u8]) -> bool {
            match glob {
                [] => path.is_empty(),
                [b'*', b'*', rest @ ..] => (0..=path.len()).any(|n| run(rest, &path[n..])),
                [b'*', rest @ ..] => {
                    let end = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
                    (0..=end).any(|n| run(rest, &path[n..]))
                }
                [b'?', rest @ ..] => {
                    matches!(path, [first, tail @ ..] if *first != b'/' && run(rest, tail))
                }
                [byte, rest @ ..] => {
                    matches!(path, [first, tail @ ..] if first == byte && run(rest, tail))
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_path_that_two_globs_match_shows_that_they_overlap(
            one in "/[a/*?]{0,5}", other in "/[a/*?]{0,5}", path in "/[a/]{0,5}",
        ) {
            prop_assume!(!one.contains("***") && !other.contains("***"));
            if matcher(&one).matches(&path) && matcher(&other).matches(&path) {
                prop_assert!(globs_overlap(one.as_bytes(), other.as_bytes()), "{one} {other} {path}");
            }
        }

        #[test]
        fn globs_that_overlap_share_a_short_path(one in "/[a/*?]{0,3}", other in "/[a/*?]{0,3}") {
            prop_assume!(!one.contains("***") && !other.contains("***"));
            if globs_overlap(one.as_bytes(), other.as_bytes()) {
                let alphabet = ["a", "/"];
                let mut paths = vec!["/".to_owned()];
                let mut all = paths.clone();
                for _ in 0..7 {
                    paths = paths.iter().flat_map(|p| alphabet.map(|c| format!("{p}{c}"))).collect();
                    all.extend(paths.iter().cloned());
                }
                let (one, other) = (matcher(&one), matcher(&other));
                prop_assert!(all.iter().any(|path| one.matches(path) && other.matches(path)));
            }
        }
    }

    fn route(path: PathMatch) -> Route {
        let action = Action::Respond(Respond {
            origin: crate::Origin::NOWHERE,
            status: 200,
            body: String::new(),
            headers: Vec::new(),
        });
        let plain = crate::sections::plain_route("r", crate::Origin::NOWHERE, action, None);
        Route { path, ..plain }
    }

    fn covers(wide: &Route, narrow: &Route) -> bool {
        let mut steps = Steps(usize::MAX);
        super::covers(wide, narrow, &mut Patterns::default(), &mut steps)
    }

    #[test]
    fn covering() {
        let prefix = |path: &str| route(PathMatch::Prefix(path.into()));
        let exact = |path: &str| route(PathMatch::Exact(path.into()));
        let glob = |path: &str| route(PathMatch::Glob(path.into()));
        assert!(covers(&prefix("/"), &glob("/a*")));
        assert!(covers(&prefix("/a"), &exact("/a/b")));
        assert!(covers(&prefix("/a/"), &exact("/a/b")));
        assert!(!covers(&prefix("/a"), &exact("/ab")));
        assert!(!covers(&exact("/a"), &prefix("/a")));
        assert!(covers(&glob("/**"), &prefix("/x")));
        let get = Route {
            methods: vec!["GET".into()],
            ..prefix("/")
        };
        assert!(covers(&prefix("/"), &get));
        assert!(!covers(&get, &prefix("/")));
        let local = Route {
            clients: vec!["10.0.0.0/8".parse().unwrap()],
            ..prefix("/")
        };
        let host = Route {
            clients: vec!["10.1.0.0/16".parse().unwrap()],
            ..prefix("/")
        };
        assert!(covers(&local, &host));
        assert!(!covers(&host, &local));
        let mut steps = Steps(usize::MAX);
        let meeting = super::meeting(&host, &local, &mut Patterns::default(), &mut steps);
        assert_eq!(meeting, Meeting::Sometimes);
    }
}
