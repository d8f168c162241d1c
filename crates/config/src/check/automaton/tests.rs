//! Automata against the matcher that the routes are searched with.

use super::{Automaton, Steps};
use crate::settings::PathMatch;
use proptest::prelude::*;

fn regex(text: &str) -> PathMatch {
    PathMatch::Regex(text.into())
}

fn glob(text: &str) -> PathMatch {
    PathMatch::Glob(text.into())
}

fn build(path: &PathMatch) -> Automaton {
    Automaton::of(path, &mut Steps(usize::MAX)).unwrap()
}

fn meet(one: &PathMatch, other: &PathMatch) -> bool {
    let paths = Automaton::of_all_paths();
    let (one, other) = (build(one), build(other));
    let found = one.meets(&other, &paths, &mut Steps(usize::MAX));
    assert_eq!(found, other.meets(&one, &paths, &mut Steps(usize::MAX)));
    found.unwrap()
}

fn covers(wide: &PathMatch, narrow: &PathMatch) -> bool {
    let paths = Automaton::of_all_paths();
    let mut steps = Steps(usize::MAX);
    let covers = build(wide).covers(&build(narrow), &paths, &mut steps);
    covers.unwrap()
}

#[test]
fn the_form_of_paths() {
    let paths = Automaton::of_all_paths();
    for path in [
        "/",
        "/a",
        "//",
        "/%C3%A9",
        "/%2F%20%5B%7B%3A",
        "/[a]{b}|^`\\",
    ] {
        assert!(paths.takes(path, &mut Steps(usize::MAX)), "{path}");
    }
    for path in [
        "", "a", "/é", "/%c3", "/%41", "/%2E", "/%7E", "/%7F", "/%0A", "/%", "/%2", "/a b", "/a?b",
        "/a#b", "/\"", "/a\n",
    ] {
        assert!(!paths.takes(path, &mut Steps(usize::MAX)), "{path}");
    }
}

#[test]
fn patterns_that_meet() {
    for (one, other, expected) in [
        (r"\.jpg$", r"\.png$", false),
        (r"\.jpg", r"\.png", true),
        ("^/a(b|c)$", "^/a(d|e)$", false),
        ("^/a(b|c)$", "^/a(c|d)$", true),
        ("^/r/(.*)$", "^/é/[0-9]+$", false),
        ("x", "y", true),
        ("^/[a-c]$", "^/[c-e]$", true),
        ("^/[a-c]$", "^/[d-e]$", false),
        // What only the query or other bytes tell apart is no path.
        (r"^/a\?", "^/a", false),
        ("^/(a|é)$", "^/(b|é)$", false),
        ("^/a$|^é", "^/b$|^é", false),
        (r"^/\w+$", "^/-$", false),
        (r"\bab\b", r"^/ab/$", true),
        (r"\bab\b", r"^/[^/]ab$", true),
        (r"^/xab$", r"\bab\b", false),
        ("(?i)^/API$", "^/api$", true),
        // The long s is the letter s where case does not matter.
        ("(?i)^/\u{17f}$", "^/s$", true),
        (r"(?i)^/\x{17f}$", "^/s$", true),
    ] {
        assert_eq!(meet(&regex(one), &regex(other)), expected, "{one} {other}");
    }
    assert!(meet(&regex(r"\.jpg$"), &glob("/a/*")));
    assert!(!meet(&regex(r"\.jpg$"), &glob("/*.png")));
}

#[test]
fn patterns_that_cover_others() {
    for (wide, narrow, expected) in [
        (glob("/x/**"), glob("/x/*.jpg"), true),
        (glob("/x/*"), glob("/x/**"), false),
        (glob("/x/?"), glob("/x/a"), true),
        (glob("/x/?"), glob("/x/%C3"), true),
        (glob("/x/??"), glob("/x/%C3"), false),
        (regex("^/x"), glob("/x*"), true),
        (regex("^/x/"), glob("/x*"), false),
        (regex("^/[a-z]+$"), regex("^/(ab|cd)+$"), true),
        (regex("^/[a-z]+$"), regex("^/(ab|c1)+$"), false),
        (regex("."), regex("/x"), true),
        (glob("/**"), regex(""), true),
        (regex(r"\.(jpg|png)$"), regex(r"\.jpg$"), true),
        // Paths have no other bytes.
        (regex("^/[!-~]*$"), regex("^/"), true),
        (regex("^/[A-~]*$"), regex("^/"), false),
    ] {
        assert_eq!(covers(&wide, &narrow), expected, "{wide:?} {narrow:?}");
    }
}

#[test]
fn patterns_that_cover_prefixes() {
    let paths = Automaton::of_all_paths();
    for (wide, prefix, expected) in [
        (glob("/x**"), "/x", true),
        (glob("/x/**"), "/x", false),
        (glob("/x/**"), "/x/", true),
        (glob("/x*"), "/x", false),
        (regex("^/x"), "/x", true),
        (regex("^/x/"), "/x", false),
        (regex("^/x(/|$)"), "/x", true),
        (regex("^/x(/.*)?$"), "/x", true),
        (regex("^/[^/]+$"), "/x", false),
        (regex("^/.*$"), "/", true),
        (regex("^/."), "/", false),
    ] {
        let covers = build(&wide).covers_prefix(prefix, &paths, &mut Steps(usize::MAX));
        assert_eq!(covers, Some(expected), "{wide:?} {prefix}");
    }
}

#[test]
fn what_is_too_large_stays_undecided() {
    let path = regex("^/(a|b)*a(a|b){24}$");
    assert!(Automaton::of(&path, &mut Steps(usize::MAX)).is_none());
    // Each is small; side by side they are not.
    let paths = Automaton::of_all_paths();
    let [one, other] = ["^/(a{211})*b$", "^/(a{223})*c$"].map(|text| build(&regex(text)));
    assert_eq!(one.meets(&other, &paths, &mut Steps(usize::MAX)), None);
    assert_eq!(one.takes_any(&paths, &mut Steps(3)), None);
}

/// A regular expression of few characters, so that many match.
fn few() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        "[ab/]",
        Just(".".into()),
        Just("[^a]".into()),
        Just("(a|/b)".into())
    ];
    let part = (atom, prop::sample::select(vec!["", "", "?", "*", "+"]));
    let parts = prop::collection::vec(part, 0..4);
    (any::<bool>(), parts, any::<bool>()).prop_map(|(start, parts, end)| {
        let middle: String = parts
            .into_iter()
            .map(|(atom, times)| atom + times)
            .collect();
        let (start, end) = (if start { "^/" } else { "" }, if end { "$" } else { "" });
        format!("{start}{middle}{end}")
    })
}

proptest! {
    #[test]
    fn what_is_told_is_true_of_every_path(
        one in prop_oneof![few().prop_map(PathMatch::Regex), "/[ab/*?]{0,4}".prop_map(PathMatch::Glob)],
        other in few(),
        paths in prop::collection::vec("/[ab/c]{0,5}", 40),
    ) {
        prop_assume!(!matches!(&one, PathMatch::Glob(glob) if glob.contains("***")));
        let compiled = regex::bytes::Regex::new(&other).unwrap();
        let other = regex(&other);
        let (mut steps, automaton, first) = (Steps(usize::MAX), build(&other), build(&one));
        let (meets, contains) = (meet(&one, &other), covers(&one, &other));
        for path in paths {
            let is_taken = compiled.is_match(path.as_bytes());
            prop_assert_eq!(automaton.takes(&path, &mut steps), is_taken, "{}", path);
            let by_one = first.takes(&path, &mut steps);
            prop_assert!(meets || !(is_taken && by_one), "{:?} {:?} {}", one, other, path);
            prop_assert!(!contains || !is_taken || by_one, "{:?} {:?} {}", one, other, path);
        }
    }
}
