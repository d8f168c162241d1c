//! What can be wrong with a route.

use super::*;

type Case<'c> = (&'c str, &'c [&'c str]);

/// Checks routes by the rest of their table.
fn check_routes(cases: &[Case<'_>]) {
    for (body, expected) in cases {
        let route = format!("[sites.'x.example']\n[[sites.'x.example'.routes]]\n{body}");
        check_codes(&route, expected);
    }
}

#[test]
fn rewrites_fit_their_paths() {
    check_routes(&[
        (
            "upstream = 'app'\npath = '/api'\nstrip_prefix = '/api'",
            &[],
        ),
        (
            "upstream = 'app'\npath = '/api/v1'\nstrip_prefix = '/api/'",
            &[],
        ),
        (
            "upstream = 'app'\npath = { glob = '/api/*' }\nstrip_prefix = '/api'",
            &[],
        ),
        (
            "upstream = 'app'\npath = '/apis'\nstrip_prefix = '/api'",
            &["conflicting-keys"],
        ),
        (
            "upstream = 'app'\npath = '/'\nstrip_prefix = '/api'",
            &["conflicting-keys"],
        ),
        (
            "upstream = 'app'\npath = { glob = '/v1/*' }\nstrip_prefix = '/api'",
            &["conflicting-keys"],
        ),
        ("upstream = 'app'\nstrip_prefix = '/'", &["bad-path"]),
        (
            "upstream = 'app'\npath = '/a'\nstrip_prefix = '/a'\nreplace_path = '/b'",
            &["conflicting-keys"],
        ),
        (
            "upstream = 'app'\nreplace_path = { regex = '^/(a)', with = '/$1' }",
            &[],
        ),
        (
            "upstream = 'app'\nreplace_path = { regex = '^/(?<x>a)', with = '/${x}$$' }",
            &[],
        ),
        (
            "upstream = 'app'\nreplace_path = { regex = '^/(a)', with = '/$2' }",
            &["bad-value"],
        ),
        (
            "upstream = 'app'\nreplace_path = { regex = '^/(a)', with = '/$1a' }",
            &["bad-value"],
        ),
    ]);
}

#[test]
fn conditions_of_a_route() {
    check_routes(&[
        (
            "upstream = 'app'\npath = { exact = '/a', prefix = '/b' }",
            &["conflicting-keys"],
        ),
        ("upstream = 'app'\npath = {}", &["missing-key"]),
        ("path = '/'", &["no-action"]),
        (
            "upstream = 'app'\nheaders = { 'X' = '~(?=a)' }",
            &["bad-regex"],
        ),
        ("upstream = 'app'\npath = { glob = '/[ab]' }", &["bad-glob"]),
        ("upstream = 'app'\npath = '/a?b=1'", &["bad-path"]),
        ("upstream = 'app'\npath = '/a/../b'", &["bad-path"]),
        ("upstream = 'app'\nname = 'a b'", &["bad-name"]),
    ]);
}

#[test]
fn answers_and_rules_of_a_route() {
    check_routes(&[
        (
            "upstream = 'app'\nredirect = { to = '/' }",
            &["several-actions"],
        ),
        (
            "redirect = { to = '/' }\nhost = 'x'\ntimeouts = {}",
            &["conflicting-keys", "conflicting-keys"],
        ),
        ("redirect = { to = 'x.example' }", &["bad-value"]),
        ("redirect = { to = '/', status = 304 }", &["bad-value"]),
        ("redirect = {}", &["missing-key"]),
        (
            "respond = { status = 204, body = 'x' }",
            &["conflicting-keys"],
        ),
        (
            "respond = { headers = { 'Content-Length' = '1' } }",
            &["bad-header"],
        ),
        (
            "respond = { headers = { 'X' = \"a\\nb\" } }",
            &["bad-header"],
        ),
        (
            "upstream = 'app'\nrequest_headers = { set = { Host = 'x' } }",
            &["bad-header"],
        ),
        (
            "upstream = 'app'\nrequest_headers = { set = { 'X-A' = '1', 'x-a' = '2' } }",
            &["duplicate-key"],
        ),
        (
            "upstream = 'app'\nrequest_headers = { set = { 'X-A' = '{user}' } }",
            &["bad-template"],
        ),
        (
            "upstream = 'app'\nresponse_headers = { set = { 'Report-To' = '{{\"a\":{{\"b\":1}}}}' } }",
            &[],
        ),
        (
            "upstream = 'app'\nresponse_headers = { set = { 'Report-To' = '{\"a\":{\"b\":1}}' } }",
            &["bad-template"],
        ),
        (
            "upstream = 'app'\nresponse_headers = { set = { Host = 'x' } }",
            &["bad-header"],
        ),
        (
            "upstream = 'app'\nrequest_headers = { set = { expect = 'x', HTTP2-Settings = 'x' } }",
            &["bad-header", "bad-header"],
        ),
        (
            "upstream = 'app'\nrequest_headers = { set = { 'X-*' = '1' }, add = { 'X-*' = '1' }, remove = ['X-*'] }",
            &["bad-header", "bad-header", "bad-header"],
        ),
        (
            "upstream = 'app'\nheaders = { 'X-*' = '1' }\nmethods = ['*']",
            &["bad-header", "bad-method"],
        ),
        ("redirect = { to = '/x{path' }", &["bad-template"]),
        (
            "upstream = 'app'\nresponse_headers = { remove = ['X A'] }",
            &["bad-header"],
        ),
    ]);
}
