//! The order of routes: which goes first, which are ambiguous, which are never reached.

use crate::settings::Route;
use crate::tests::{APP, codes, load};
use crate::{Outcome, render};
use std::cmp::Ordering;

fn site(routes: &[&str]) -> Outcome {
    let routes: String = routes
        .iter()
        .map(|route| format!("[[sites.'x.example'.routes]]\nupstream = 'app'\n{route}\n"))
        .collect();
    load(&format!("{APP}[sites.'x.example']\n{routes}"))
}

/// The order of two routes, from the configuration text.
fn order(first: &str, second: &str) -> Ordering {
    // Different sites, so that nothing is said about them beside each other.
    let outcome = load(&format!(
        "{APP}
        [[sites.'a.example'.routes]]\nupstream = 'app'\n{first}
        [[sites.'b.example'.routes]]\nupstream = 'app'\n{second}"
    ));
    let settings = outcome
        .settings
        .as_ref()
        .unwrap_or_else(|| panic!("{}", render(&outcome, false)));
    let route = |name: &str| -> &Route {
        &settings
            .sites
            .iter()
            .find(|site| site.name == name)
            .unwrap()
            .routes[0]
    };
    route("a.example").rank().cmp(&route("b.example").rank())
}

#[test]
fn the_documented_order() {
    // Each goes before the next.
    let ladder = [
        "priority = 1",
        "path = { exact = '/a' }",
        "path = { regex = '^/abcdef' }",
        "path = { regex = '^/[abcdef]' }",
        "path = { glob = '/a/*/b' }",
        "path = { glob = '/a/*' }",
        "path = '/abc'\nmethods = ['GET']",
        "path = '/abc'\nheaders = { a = '1', b = '!' }",
        "path = '/abc'\nheaders = { a = '1' }\nquery = { a = '1' }",
        "path = '/abc'\nheaders = { a = '1' }",
        "path = '/abc'\nquery = { a = '1', b = '2' }",
        "path = '/abc'\nquery = { a = '1' }\nclients = ['10.0.0.0/8']",
        "path = '/abc'\nquery = { a = '1' }",
        "path = '/abc'\nclients = ['2001:db8::/32', '::1']",
        "path = '/abc'\nclients = ['10.0.0.0/24']",
        "path = '/abc'\nclients = ['10.0.0.0/8', '11.0.0.0/8']",
        "path = '/abc'\nclients = ['0.0.0.0/0']",
        "path = '/abc'",
        "path = '/ab'",
        "",
        "priority = -1\npath = { exact = '/a' }",
    ];
    for (index, higher) in ladder.iter().enumerate() {
        for lower in &ladder[index + 1..] {
            assert_eq!(
                order(higher, lower),
                Ordering::Greater,
                "{higher:?} before {lower:?}"
            );
        }
    }
}

#[test]
fn ambiguous_routes() {
    let check = |first: &str, second: &str, is_ambiguous: bool| {
        let expected: &[&str] = if is_ambiguous {
            &["ambiguous-route"]
        } else {
            &[]
        };
        for routes in [[first, second], [second, first]] {
            let outcome = site(&routes);
            assert_eq!(
                codes(&outcome),
                expected,
                "{routes:?}\n{}",
                render(&outcome, false)
            );
        }
    };
    check("path = '/a'", "path = '/a'", true);
    check("path = '/a'", "path = '/b'", false);
    check("path = '/a'", "path = '/a/b'", false);
    check("path = '/%61'", "path = '/a'", true);
    check("methods = ['GET']", "methods = ['POST']", false);
    check(
        "methods = ['GET', 'HEAD']",
        "methods = ['POST', 'HEAD']",
        true,
    );
    check("headers = { a = '1' }", "headers = { a = '2' }", false);
    check("headers = { a = '1' }", "headers = { A = '1' }", true);
    check("headers = { a = '1' }", "headers = { b = '1' }", true);
    check("headers = { a = '1' }", "headers = { a = '*' }", true);
    check("headers = { a = '!' }", "headers = { a = '*' }", false);
    check("query = { a = '1' }", "query = { a = '2' }", false);
    check(
        "clients = ['10.0.0.0/8']",
        "clients = ['11.0.0.0/8']",
        false,
    );
    check(
        "clients = ['10.0.0.0/8', '12.0.0.0/8']",
        "clients = ['11.0.0.0/8', '12.0.0.0/8']",
        true,
    );
    check("path = { glob = '/a/*' }", "path = { glob = '/*/b' }", true);
    check("path = { glob = '/a/*' }", "path = { glob = '/*/a' }", true);
    check(
        "path = { glob = '/a/*' }",
        "path = { glob = '/b/*' }",
        false,
    );
    check(
        "path = { glob = '/aa/*' }",
        "path = { glob = '/*/bb' }",
        true,
    );
    check(
        "path = { regex = '^/a/[0-9]$' }",
        "path = { regex = '^/b/[0-9]$' }",
        false,
    );
    check(
        "path = { regex = '^/a/[0-9]' }",
        "path = { regex = '/a/[0-9]$' }",
        true,
    );
    check(
        "path = { glob = '/a/b' }",
        "path = { exact = '/a/b' }",
        false,
    );
}

#[test]
fn regular_expressions_are_compared_by_what_they_match() {
    let check = |first: &str, second: &str, expected: Option<&str>| {
        for paths in [[first, second], [second, first]] {
            let [a, b] = paths.map(|path| format!("path = {{ regex = '{path}' }}"));
            let outcome = site(&[&a, &b]);
            let ambiguous: Vec<_> = outcome
                .diagnostics
                .iter()
                .filter(|it| it.code.name() == "ambiguous-route")
                .map(|it| it.message.as_str())
                .collect();
            let expected = Vec::from_iter(expected);
            assert_eq!(
                ambiguous,
                expected,
                "{paths:?}\n{}",
                render(&outcome, false)
            );
        }
    };
    let certain = Some("the routes `route-1` and `route-2` can match the same request");
    let unknown = Some("the routes `route-1` and `route-2` may match the same request");
    check(r"\.jpg$", r"\.png$", None);
    check("^/a(b|c)$", "^/a(d|e)$", None);
    check("^/r/(.*)$", "^/é/[0-9]+$", None);
    check(r"\.jpg", r"\.png", certain);
    check("^/a(b|c)$", "^/a(c|d)$", certain);
    check("^/(a|b)*a(a|b){24}$", "^/(a|b)*b(a|b){24}$", unknown);
}

#[test]
fn values_are_compared_with_regular_expressions() {
    let check = |first: &str, second: &str, message: Option<&str>| {
        for values in [[first, second], [second, first]] {
            for key in ["headers", "query"] {
                let [a, b] = values.map(|value| format!("{key} = {{ a = '{value}' }}"));
                let outcome = site(&[&a, &b]);
                let messages: Vec<_> = outcome.diagnostics.iter().map(|it| &it.message).collect();
                assert_eq!(messages, Vec::from_iter(message), "{values:?}");
            }
        }
    };
    let certain = "the routes `route-1` and `route-2` can match the same request";
    let unknown = "the routes `route-1` and `route-2` may match the same request";
    check("~^[2-9]$", "1", None);
    check("~^[1-9]$", "1", Some(certain));
    check("~^é$", "é", Some(certain));
    check("~^a", "~^a", Some(certain));
    check("~^a", "~^b", Some(unknown));
}

#[test]
fn unreachable_routes() {
    let check = |wide: &str, narrow: &str, is_unreachable: bool| {
        let expected: &[&str] = if is_unreachable {
            &["unreachable-route"]
        } else {
            &[]
        };
        for routes in [[wide, narrow], [narrow, wide]] {
            let outcome = site(&routes);
            assert_eq!(
                codes(&outcome),
                expected,
                "{routes:?}\n{}",
                render(&outcome, false)
            );
            assert!(outcome.settings.is_some(), "this is a warning only");
        }
    };
    check("priority = 1", "path = '/a'", true);
    check("", "path = '/a'", false);
    check("priority = 1\nmethods = ['GET']", "path = '/a'", false);
    check(
        "priority = 1\nmethods = ['GET', 'PUT']",
        "path = '/a'\nmethods = ['GET']",
        true,
    );
    check(
        "priority = 1\npath = '/a'",
        "path = { exact = '/a/b' }",
        true,
    );
    check("priority = 1\npath = '/a'", "path = { exact = '/a' }", true);
    check(
        "priority = 1\npath = '/a/'",
        "path = { exact = '/a' }",
        false,
    );
    check(
        "priority = 1\npath = '/a'",
        "path = { exact = '/ab' }",
        false,
    );
    check("path = { glob = '/**' }", "path = '/a'", true);
    check("path = { regex = '^/' }", "path = { glob = '/a' }", true);
    check(
        "priority = 1\nheaders = { a = '*' }",
        "headers = { a = '1', b = '2' }",
        true,
    );
    check(
        "priority = 1\nheaders = { a = '1' }",
        "headers = { a = '*' }",
        false,
    );
    check(
        "priority = 1\nheaders = { a = '~.' }",
        "headers = { a = '1' }",
        true,
    );
    check(
        "priority = 1\nquery = { a = '~^[2-9]$' }",
        "query = { a = '1' }",
        false,
    );
    check("priority = 1\nquery = { a = '1' }", "", false);
    check(
        "priority = 1\nclients = ['10.0.0.0/8']",
        "clients = ['10.1.0.0/16', '10.2.0.1']",
        true,
    );
    check(
        "priority = 1\nclients = ['10.1.0.0/16']",
        "clients = ['10.0.0.0/8']",
        false,
    );
}

#[test]
fn routes_that_patterns_go_before() {
    let check = |wide: &str, narrow: &str, is_unreachable: bool| {
        let expected: &[&str] = if is_unreachable {
            &["unreachable-route"]
        } else {
            &[]
        };
        for routes in [[wide, narrow], [narrow, wide]] {
            let routes = routes.map(|route| format!("path = {route}"));
            let outcome = site(&[&routes[0], &routes[1]]);
            let shown = render(&outcome, false);
            assert_eq!(codes(&outcome), expected, "{routes:?}\n{shown}");
        }
    };
    let first = |path: &str| format!("{path}\npriority = 1");
    check(&first("{ glob = '/x/*' }"), "{ exact = '/x/y' }", true);
    check(&first("{ glob = '/x/*' }"), "{ exact = '/x/y/z' }", false);
    check("{ glob = '/x/*' }", "{ exact = '/x/y' }", false);
    check(&first("{ glob = '/x/**' }"), "{ glob = '/x/*.jpg' }", true);
    check(&first("{ glob = '/x/*' }"), "{ glob = '/x/**.jpg' }", false);
    check("{ glob = '/x**' }", "'/x'", true);
    check("{ glob = '/x/**' }", "'/x'", false);
    check("{ glob = '/x/**' }", "'/x/'", true);
    check("{ regex = '^/x' }", "'/x'", true);
    check("{ regex = '^/x/?$' }", "'/x'", false);
    check("{ regex = '.jpg' }", "{ glob = '/**.jpg' }", true);
    check(r"{ regex = '\.jpg$' }", "{ glob = '/*.jp?' }", false);
    check(r"{ regex = '^/é|^/a' }", "'/a'", true);
    check(&first("'/x'"), "{ glob = '/x/*' }", true);
    check(&first("'/x'"), "{ glob = '/x*' }", false);
    check(&first("'/x/'"), "{ regex = '^/x/[0-9]' }", true);
    check(&first("'/x'"), "{ regex = '^/x' }", false);
    // Nothing is said of what is too large.
    check(
        "{ regex = '^/(a|b)*a(a|b){24}$' }",
        "{ glob = '/aaaaaaaaaaaaaaaaaaaaaaaaa' }",
        false,
    );
}

#[test]
fn what_matches_nothing_is_not_called_unreachable() {
    let outcome = site(&[
        "path = { glob = '/x/**' }\npriority = 1",
        "path = { regex = '^/x/é' }",
    ]);
    assert_eq!(codes(&outcome), ["unmatchable-regex"]);
}

#[test]
fn the_short_form_is_a_route_as_well() {
    let outcome = load(&format!(
        "{APP}[sites.'x.example']\nupstream = 'app'\n[[sites.'x.example'.routes]]\nname = 'all'\nredirect = {{ to = '/x' }}"
    ));
    assert_eq!(codes(&outcome), ["ambiguous-route"]);
    let outcome = load(&format!(
        "{APP}[sites.'x.example']\nupstream = 'app'\n[[sites.'x.example'.routes]]\nname = 'default'\npath = '/x'\nupstream = 'app'"
    ));
    assert_eq!(codes(&outcome), ["duplicate-route"]);
}

#[test]
fn a_faulty_route_is_not_compared() {
    let outcome = site(&["clients = ['10.0.0.0/33']", ""]);
    assert_eq!(codes(&outcome), ["bad-range"]);
}
