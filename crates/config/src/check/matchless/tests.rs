//! Which regular expressions match no path, and what is told of them.

use crate::render;
use crate::tests::{APP, codes, load};

fn check(regex: &str, help: Option<&str>) {
    let outcome = load(&format!(
        "{APP}[[sites.'x.example'.routes]]\nupstream = 'app'\npath = {{ regex = '{regex}' }}"
    ));
    let expected: &[&str] = if help.is_some() {
        &["unmatchable-regex"]
    } else {
        &[]
    };
    assert_eq!(
        codes(&outcome),
        expected,
        "{regex}\n{}",
        render(&outcome, false)
    );
    assert!(outcome.settings.is_some(), "this is a warning only");
    if let Some(help) = help {
        assert_eq!(
            outcome.diagnostics[0].help.as_deref(),
            Some(help),
            "{regex}"
        );
    }
}

#[test]
fn expressions_that_no_path_matches() {
    check("^/é/[0-9]+$", Some("write `%C3%A9` for `é`"));
    check("^/a b", Some("write `%20` for ` `"));
    check("^/%c3%a9$", Some("write `%C3` for `%c3`"));
    check("^api/", Some("begin the expression with `^/`"));
    check(r"^/a\?b=1", Some("conditions on the query go into `query`"));
    check(
        "^/%7Euser",
        Some("compare with the path that `foregate explain` tells"),
    );
    check(
        "a^/",
        Some("compare with the path that `foregate explain` tells"),
    );
}

#[test]
fn expressions_that_a_path_matches() {
    for regex in [
        "",
        "^/",
        "api/",
        "^/(a|é)$",
        "[^a]é?",
        r"^\S+$",
        "^/%C3%A9$",
        "^/a%2Fb",
        "(^/a|^/b)$",
        "^[/a]b",
        r"^/\pL",
        r"\bx\b",
        "(?i)^/É?$",
        // Too large to tell.
        "^/é?(a|b)*a(a|b){24}$",
    ] {
        check(regex, None);
    }
}
