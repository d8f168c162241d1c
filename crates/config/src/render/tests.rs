//! What people and editors read when something is wrong.

use crate::tests::{APP, codes, load};
use crate::{Format, MemoryFiles, parse_str, render, render_in_full, to_json};

/// Compares the whole rendering, without the count at its end.
fn check(text: &str, expected: &str) {
    let found = render_in_full(&load(text), false);
    let (found, _) = found.trim_end().rsplit_once("\n\n").unwrap_or((&found, ""));
    assert_eq!(found, expected.trim(), "\n{found}\n");
}

/// Compares what a log gets, too.
fn check_log(text: &str, expected: &str) {
    check(text, expected);
    let outcome = load(text);
    assert_eq!(render(&outcome, false), render_in_full(&outcome, false));
}

/// Compares the codes of what is wrong beside a faultless site.
fn check_codes(text: &str, expected: &[&str]) {
    let outcome = load(&format!("{text}\n{APP}"));
    assert_eq!(
        codes(&outcome),
        expected,
        "{text}\n{}",
        render(&outcome, false)
    );
}

#[test]
fn an_unknown_key_has_a_suggestion() {
    check(
        &format!("[client]\nhead_byte_max = \"8KiB\"\n{APP}"),
        "
error[unknown-key]: there is no key `head_byte_max` in `[client]`
  --> foregate.toml:2:1
2 | head_byte_max = \"8KiB\"
  | ^^^^^^^^^^^^^ unknown key
  = help: did you mean `head_bytes_max`?",
    );
}

#[test]
fn a_dangling_reference_has_a_suggestion() {
    check(
        "[sites.'*']\nupstream = 'ap'\n\n\n\n\n\n\n[upstreams.app]\nservers = ['127.0.0.1:1']",
        "
error[unknown-upstream]: there is no upstream `ap`
  --> foregate.toml:2:12
2 | upstream = 'ap'
  |            ^^^^ not defined
  = help: did you mean `app`?

warning[unused-upstream]: no route uses the upstream `app`
  --> foregate.toml:9:12
9 | [upstreams.app]
  |            ^^^ never used
  = help: remove it, or send a route to it",
    );
}

#[test]
fn two_places_are_both_shown() {
    check(
        &format!(
            "[sites.'a.example']
hosts = ['b.example']
upstream = 'app'

[sites.'b.example']
upstream = 'app'
{APP}"
        ),
        "
error[duplicate-host]: the host `b.example` is served by the sites `a.example` and `b.example`
  --> foregate.toml:5:8
5 | [sites.'b.example']
  |        ^^^^^^^^^^^ served again
  ::: foregate.toml:2:10
2 | hosts = ['b.example']
  |          ----------- first served here
  = help: keep one of them, or serve them on different `listeners`",
    );
}

#[test]
fn a_missing_quote_and_a_missing_value() {
    check(
        "[sites.'*']\nupstream = app\n[upstreams.app]\nservers =\n",
        "
error[syntax]: not valid TOML: string values must be quoted
  --> foregate.toml:2:12
2 | upstream = app
  |            ^^^
  = help: put it in quotes

error[syntax]: not valid TOML: string values must be quoted
  --> foregate.toml:4:10
4 | servers =
  |          ^
  = help: write a value after `=`",
    );
}

#[test]
fn a_place_inside_a_text() {
    check(
        &format!(
            "[sites.'x.example']
[[sites.'x.example'.routes]]
path = {{ regex = '^/(a|b' }}
redirect = {{ to = '/new{{quary}}' }}
{APP}"
        ),
        "
error[bad-regex]: `^/(a|b` is not a regular expression
  --> foregate.toml:3:21
3 | path = { regex = '^/(a|b' }
  |                     ^ unclosed group

error[bad-template]: there is no placeholder {quary} here
  --> foregate.toml:4:24
4 | redirect = { to = '/new{quary}' }
  |                        ^^^^^^^ unknown placeholder
  = help: did you mean {query}?",
    );
}

#[test]
fn a_name_is_no_pattern() {
    check(
        &format!(
            "[[sites.x.routes]]
upstream = 'app'
request_headers = {{ remove = ['X-Internal-*'] }}
{APP}"
        ),
        "
error[bad-header]: `X-Internal-*` names no header
  --> foregate.toml:3:31
3 | request_headers = { remove = ['X-Internal-*'] }
  |                               ^^^^^^^^^^^^^^ `*` is no wildcard here
  = cause: a header is named as it is sent, in whatever case; nothing would match this
  = help: write the whole name, and each further header with its own",
    );
}

#[test]
fn braces_are_told_where_they_stand() {
    check(
        &format!("[access_log]\nformat = '{{status {{}} {{\"a\": {{client}}}}'\n{APP}"),
        "
error[bad-template]: a placeholder that is not closed
  --> foregate.toml:2:11
2 | format = '{status {} {\"a\": {client}}'
  |           ^^^^^^^ `}` is missing
  = help: write {status}; a brace itself is written twice: {{ or }}

error[bad-template]: a placeholder without a name
  --> foregate.toml:2:19
2 | format = '{status {} {\"a\": {client}}'
  |                   ^^ names nothing
  = help: known here: {client} {method} {path} {query} {target} {protocol} {status} {bytes_out} {bytes_in} {duration_ms} {upstream_ms} {site} {route} {upstream} {endpoint} {tries} {retries} {retry_refused} {queued_ms} {pick} {session} {hedge} {reason} {request_id} {referer} {user_agent} {host} {time_iso} {time_unix} {time_common}; a brace itself is written twice: {{ or }}

error[bad-template]: a brace that belongs to no placeholder
  --> foregate.toml:2:22
2 | format = '{status {} {\"a\": {client}}'
  |                      ^ stands alone
  ::: foregate.toml:2:36
2 | format = '{status {} {\"a\": {client}}'
  |                                    - this one, too
  = help: a brace itself is written twice: {{ or }}",
    );
}

#[test]
fn what_a_backend_or_client_cannot_be_sent_is_told_at_its_place_with_everything_else() {
    check(
        &format!(
            "[[sites.x.routes]]
redirect = {{ to = 'https://x:99999/é' }}
[[sites.x.routes]]
path = '/a'
upstream = 'app'
replace_path = {{ regex = '^/(.*)$', with = '/x?y=$2' }}
[[sites.x.routes]]
path = '/b'
upstream = 'app'
strip_prefix = '/b?c'
[[sites.x.routes]]
path = '/c'
upstream = 'app'
replace_path = {{ regex = '(', with = '/a b/$1' }}
[[sites.x.routes]]
path = '/d'
redirect = {{ to = 'http://' }}
[[sites.x.routes]]
path = '/e'
redirect = {{ to = 'https://x:99999/' }}
[[sites.x.routes]]
path = '/f'
redirect = {{ to = 'https://x{{query}}.example' }}
[[sites.x.routes]]
path = '/g'
redirect = {{ to = '{{path}}/' }}
{APP}balance = 'least_conn'"
        ),
        "
error[bad-path]: a URL has `é`
  --> foregate.toml:2:36
2 | redirect = { to = 'https://x:99999/é' }
  |                                    ^ cannot be sent as it is
  = cause: a URL consists of visible characters of ASCII, and not of all of them (RFC 3986 section 2)
  = help: percent-encoded: %C3%A9

error[bad-path]: `/x?y=$2` has a query, which is no part of a path
  --> foregate.toml:6:47
6 | replace_path = { regex = '^/(.*)$', with = '/x?y=$2' }
  |                                               ^^^^^
  = help: only the path is changed; the query stays as the client sent it

error[bad-value]: the expression has no group `2`
  --> foregate.toml:6:50
6 | replace_path = { regex = '^/(.*)$', with = '/x?y=$2' }
  |                                                  ^^ would become nothing
  = help: the expression has 1 groups; $$ is a dollar sign

error[bad-path]: `/b?c` has a query, which is no part of a path
   --> foregate.toml:10:19
10 | strip_prefix = '/b?c'
   |                   ^^
   = help: only the path is changed; the query stays as the client sent it

error[bad-regex]: `(` is not a regular expression
   --> foregate.toml:14:27
14 | replace_path = { regex = '(', with = '/a b/$1' }
   |                           ^ unclosed group

error[bad-path]: the new path has a space
   --> foregate.toml:14:41
14 | replace_path = { regex = '(', with = '/a b/$1' }
   |                                         ^ cannot be sent as it is
   = cause: a URL consists of visible characters of ASCII, and not of all of them (RFC 3986 section 2)
   = help: percent-encoded: %20

error[bad-value]: `http://` has no host
   --> foregate.toml:17:19
17 | redirect = { to = 'http://' }
   |                   ^^^^^^^^^
   = help: a URL such as \"https://example.org{path}{query}\", or a path such as \"/new{query}\"

error[bad-value]: `99999` is not a port
   --> foregate.toml:20:28
20 | redirect = { to = 'https://x:99999/' }
   |                            ^^^^^^^ after the colon
   = cause: a port is a number up to 65535
   = help: a URL such as \"https://example.org{path}{query}\", or a path such as \"/new{query}\"

error[bad-value]: a client could choose the host that it is sent to
   --> foregate.toml:23:28
23 | redirect = { to = 'https://x{query}.example' }
   |                            ^^^^^^^^^^^^^^^^
   = cause: what it asks for would stand where the host does
   = help: a URL such as \"https://example.org{path}{query}\", or a path such as \"/new{query}\"

error[bad-value]: `{path}/` is not where a client can be sent
   --> foregate.toml:26:19
26 | redirect = { to = '{path}/' }
   |                   ^^^^^^^^^
   = cause: a target begins with `/`, `http://`, `https://` or `{scheme}://`
   = help: write \"/{path}/\"

error[bad-value]: `least_conn` is not one of the values taken here
   --> foregate.toml:32:11
32 | balance = 'least_conn'
   |           ^^^^^^^^^^^^ one of: round-robin, least-requests, power-of-two, peak-ewma, random, hash-ring, hash-maglev",
    );
}

#[test]
fn one_mistake_is_told_once_with_a_way_out() {
    check(
        &format!(
            "[sites.x]
respond = {{ body = 'hello' }}
[[sites.x.routes]]
redirect = '/foo'
body_bytes_max = '99999999999TiB'
{APP}request_timeout = '1s'"
        ),
        "
error[unknown-key]: there is no key `respond` in `[sites.\"<host>\"]`
  --> foregate.toml:2:1
2 | respond = { body = 'hello' }
  | ^^^^^^^ unknown key
  = help: it belongs to a route: [[sites.\"x\".routes]]

error[wrong-type]: a table belongs here
  --> foregate.toml:4:12
4 | redirect = '/foo'
  |            ^^^^^^ this is a text
  = help: write { to = \"/foo\" }

error[bad-size]: `99999999999TiB` is not a size that is taken here
  --> foregate.toml:5:18
5 | body_bytes_max = '99999999999TiB'
  |                  ^^^^^^^^^^^^^^^^
  = help: at most 1048576TiB

error[unknown-key]: there is no key `request_timeout` in `[upstreams.<name>]`
   --> foregate.toml:11:1
11 | request_timeout = '1s'
   | ^^^^^^^^^^^^^^^ unknown key
   = help: known keys: servers, discovery, balance, hash_by, hash_load_max, primary_fit_min, zone_fit_min, slow_start, panic_threshold, requests_max, upstream_requests_max, queue, adaptive_concurrency, circuit, upstream_circuit, sticky, host, proxy_protocol, connections_idle_max, connections_max, requests_pending_max, idle_timeout, requests_per_connection_max, tries_max, retry, hedge, timeouts, response, ejection, probe, tls, protocol, streams_per_connection_max, grpc_web",
    );
}

#[test]
fn of_a_value_that_could_not_be_had_nothing_more_is_said() {
    let text = "workers = '${ENV:NONE}'
state_dir = '${ENV:NONE}'
[sites.'*']
https_redirect = '${ENV:NONE}'
hsts = '${ENV:NONE}'
[[sites.'*'.routes]]
path = '${ENV:NONE}'
upstream = '${ENV:NONE}'
replace_path = '${ENV:NONE}'
body_bytes_max = '${ENV:NONE}'
[[sites.'*'.routes]]
path = '/a'
redirect = '${ENV:NONE}'
[upstreams.app]
servers = ['${ENV:NONE}', '${FILE:/nope}']
connections_max = '${ENV:NONE}'
grpc_web = '${ENV:NONE}'
balance = '${ENV:NONE}'
probe = { path = '/', body = '${ENV:NONE}' }
";
    let outcome = load(text);
    let mut expected = ["unset-variable"; 15];
    expected[10] = "unreadable-file";
    assert_eq!(codes(&outcome), expected, "{}", render(&outcome, false));
}

#[test]
fn lines_that_cannot_be_read_are_shown() {
    check_log(
        "server {
    listen 80;
}",
        "
error[syntax]: not valid TOML: key with no value
  --> foregate.toml:1:8
1 | server {
  |        ^ expected `=`

error[syntax]: not valid TOML: key with no value
  --> foregate.toml:2:12
2 |     listen 80;
  |            ^ expected `=`

error[syntax]: not valid TOML: invalid key-value pair
  --> foregate.toml:3:1
3 | }
  | ^ expected key",
    );
    for (text, line) in [
        ("[sites.'*'\nupstream = 'app'", "1 | [sites.'*'\n"),
        ("[sites.'*']\nupstream = 'app\n", "2 | upstream = 'app\n"),
        (
            "sites:\n  a.example:\n    upstream: app\n",
            "3 |     upstream: app\n",
        ),
        (
            "a.example {\n  reverse_proxy localhost:80\n}\n",
            "2 |   reverse_proxy localhost:80\n",
        ),
    ] {
        let shown = render(&load(text), false);
        assert!(shown.contains(line), "{shown}");
    }
    check_log(
        "[sites.'*']
upstream = 'app'
upstream = 'b'
[upstreams.app]
servers = ['127.0.0.1:1']",
        "
error[duplicate-key]: `upstream` is written twice
  --> foregate.toml:3:1
3 | upstream = 'b'
  | ^^^^^^^^ already defined above
  = help: keep one of them, or merge the two",
    );
}

#[test]
fn what_can_never_match_is_warned_of() {
    check(
        "[sites._]
[[sites._.routes]]
methods = ['GET', 'TRACE']
upstream = 'app'
[upstreams.app]
servers = ['127.0.0.1:1']",
        "
warning[unlikely-host]: only requests for the host `_` go here
  --> foregate.toml:1:8
1 | [sites._]
  |        ^ an ordinary name
  = help: for every host that no other site serves, write \"*\"

warning[useless-method]: no request with `TRACE` comes to a route
  --> foregate.toml:3:19
3 | methods = ['GET', 'TRACE']
  |                   ^^^^^^^ never matches
  = cause: such requests are answered with 405 before a route is chosen: one would open tunnels, the other shows fields that the gateway adds
  = help: remove it",
    );
}

#[test]
fn a_log_without_a_folder_is_told_at_its_place() {
    let text = format!("[access_log]\nto = 'log/x.log'\n{APP}");
    let files = MemoryFiles::default().missing_folder("/etc/log");
    let outcome = parse_str("/etc/a.toml", &text, Format::Toml, &files);
    let expected =
        "error[missing-folder]: the access log cannot be written: its folder does not exist
  --> /etc/a.toml:2:6
2 | to = 'log/x.log'
  |      ^^^^^^^^^^^ in /etc/log
  = help: make the folder, or write the log elsewhere: \"stdout\", or another file

1 error, 0 warnings
";
    assert_eq!(render(&outcome, false), expected);
    let elsewhere = MemoryFiles::default().missing_folder("/var/log");
    let outcome = parse_str("/etc/a.toml", &text, Format::Toml, &elsewhere);
    assert!(!outcome.has_errors(), "{}", render(&outcome, false));
}

#[test]
fn syntax_errors_hide_nothing_that_is_certain_and_invent_nothing() {
    // The unreadable line may have been the site's upstream: that it is missing is not told, the bad size is.
    let outcome = load(
        "[sites.'*']\nupstream 'app'\n[client]\nhead_bytes_max = '1'\n[upstreams.app]\nservers = ['127.0.0.1:1']",
    );
    assert_eq!(
        codes(&outcome),
        ["syntax", "bad-size"],
        "{}",
        render(&outcome, false)
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = "
workers = 0
drain_timeout = '3 minutes'
[listeners.a]
address = ':80'
[listeners.b]
addresses = []
[log]
level = 'warning'
[forwarding]
trusted_proxies = ['10.0.0.1/8', 'x']
via = 'two words'
request_id_header = 'Connection'
[sites.'x.example:80']
upstream = 'nobody'
listeners = ['c']
[[sites.'x.example:80'.routes]]
path = 'api'
methods = ['get']
clients = [1]
[upstreams.app]
servers = []
tries_max = 'many'
[upstreams.b]
servers = ['http://b', 'b:0', '[::1]', '::1', 'a b:1']
";
    let outcome = load(text);
    let expected = [
        "bad-value",
        "bad-duration",
        "bad-address",
        "bad-value",
        "bad-value",
        "bad-range",
        "bad-range",
        "bad-value",
        "bad-header",
        "bad-host",
        "unknown-upstream",
        "unknown-listener",
        "no-action",
        "bad-path",
        "bad-method",
        "wrong-type",
        "unused-upstream",
        "empty-upstream",
        "wrong-type",
        "unused-upstream",
        "bad-address",
        "bad-address",
        "bad-address",
        "bad-address",
        "bad-address",
    ];
    assert_eq!(codes(&outcome), expected, "{}", render(&outcome, false));
    assert!(outcome.settings.is_none());
}

#[test]
fn what_is_written_twice_hides_nothing_else() {
    let twice = "[sites.a]\nupstream = 'nobody'\n[sites.a]\nupstream = 'app'\n";
    let text = format!("{twice}[upstreams.app]\nservers = ['127.0.0.1:1']");
    let expected = ["unknown-upstream", "duplicate-key", "duplicate-key"];
    let outcome = load(&text);
    assert_eq!(codes(&outcome), expected, "{}", render(&outcome, false));
}

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

#[test]
fn conflicts_between_sections() {
    for (text, expected) in [
        (
            "[listeners.a]\naddress = '127.0.0.1:80'\naddresses = []",
            &["conflicting-keys"][..],
        ),
        (
            "[listeners.a]\naddress = '127.0.0.1:80'\n[listeners.b]\naddress = '127.0.0.1:80'",
            &["duplicate-address"],
        ),
        (
            "[listeners.a]\naddress = '127.0.0.1:0'\n[listeners.b]\naddress = '127.0.0.1:0'",
            &[],
        ),
        (
            "[listeners.a]\naddress = '127.0.0.1:9180'",
            &["duplicate-address"],
        ),
        (
            "[listeners.a]\naddress = '127.0.0.1:9180'\n[admin]\nenabled = false",
            &[],
        ),
        (
            "[listeners.a]\naddress = '127.0.0.1:1'\nproxy_protocol = 'accept'",
            &["conflicting-keys"],
        ),
        (
            "[listeners.a]\n[listeners.b]\nadress = 'x'",
            &["missing-key", "unknown-key"],
        ),
        ("[sites.'a.example']", &["empty-site"]),
        ("[sites.'a.example']\nroutes = []", &["empty-site"]),
        ("[sites.example.org]\nupstream = 'app'", &["unknown-key"]),
        (
            "[sites.'a.example']\nhosts = ['A.example.']\nupstream = 'app'",
            &["duplicate-host"],
        ),
        (
            "[sites.'APP.example']\nupstream = 'app'",
            &["duplicate-host"],
        ),
        (
            "[upstreams.b]\nservers = ['a:1', 'A:1']",
            &["unused-upstream", "duplicate-server"],
        ),
        ("[upstreams.b]", &["missing-key", "unused-upstream"]),
        ("[access_log]\nto = 'stout'", &["bad-value"]),
        ("[access_log]\nformat = '{clint}'", &["bad-template"]),
        ("[access_log]\nformat = '{status'", &["bad-template"]),
        ("[access_log]\nformat = 'status}'", &["bad-template"]),
        (
            "[access_log]\nformat = '{} {{{status}}}'",
            &["bad-template"],
        ),
        ("[access_log]\nformat = '{{{status}}}'", &[]),
        ("[access_log]\nformat = 'jsn'", &["bad-template"]),
        ("x = 1979-05-27", &["unknown-key"]),
        ("workers = 1979-05-27", &["wrong-type"]),
        ("workers = 99999999999999999999", &["syntax"]),
        ("import = 5", &["wrong-type"]),
    ] {
        check_codes(text, expected);
    }
    let ejection = format!("{APP}[upstreams.app.ejection]\nbase_time = '10m'");
    assert_eq!(codes(&load(&ejection)), ["conflicting-keys"]);
    assert_eq!(codes(&load("")), ["no-sites"]);
    let restricted = "
        [listeners.a]\naddress = '127.0.0.1:1'\n[listeners.b]\naddress = '127.0.0.1:2'
        [sites.'x.example']\nlisteners = ['a']\nupstream = 'app'\n[upstreams.app]\nservers = ['a:1']";
    assert_eq!(codes(&load(restricted)), ["unused-listener"]);
    let apart = format!("{restricted}\n[sites.'X.example']\nlisteners = ['b']\nupstream = 'app'");
    assert_eq!(codes(&load(&apart)), [""; 0]);
}

#[test]
fn colours_are_only_added() {
    let outcome = load("x = 1");
    let coloured = render(&outcome, true);
    assert!(coloured.contains("\x1b[1;31m"));
    let mut plain = coloured;
    for code in ["1;31", "1;33", "34", "1", "0"] {
        plain = plain.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(plain, render(&outcome, false));
}

#[test]
fn long_lines_and_tabs_are_shown_around_the_fault() {
    let outcome = load(&format!(
        "[sites.'*']\nhosts = [{}\t'!']\nupstream = 'app'",
        "'a.example', ".repeat(1000)
    ));
    let bad = outcome
        .diagnostics
        .iter()
        .find(|d| d.code.name() == "bad-host")
        .unwrap();
    let only = crate::Outcome {
        diagnostics: vec![bad.clone()],
        ..outcome.clone()
    };
    let rendered = render(&only, false);
    let lines: Vec<&str> = rendered.lines().collect();
    let column = lines[3].find('^').unwrap();
    assert_eq!(lines[3].chars().filter(|c| *c == '^').count(), 3);
    assert!(
        lines[2]
            .chars()
            .skip(column)
            .collect::<String>()
            .starts_with("'!'"),
        "{rendered}"
    );
    assert!(lines[2].chars().count() < 200);
}

#[test]
fn json_for_editors() {
    let outcome = parse_str(
        "a.toml",
        "drain_timeout = 3",
        Format::Toml,
        &MemoryFiles::default(),
    );
    let json: serde_json::Value = serde_json::from_str(&to_json(&outcome)).unwrap();
    let duration = json
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["code"] == "wrong-type")
        .unwrap();
    let expected = serde_json::json!({
        "file": "a.toml", "line": 1, "column": 17, "end_line": 1, "end_column": 18,
        "severity": "error", "code": "wrong-type", "message": "a duration needs a unit", "label": "this is an integer",
        "cause": null, "help": "\"3s\" for seconds, \"3ms\" for milliseconds", "related": [],
    });
    assert_eq!(*duration, expected);
}

#[test]
fn where_backends_are_found_is_said_once_and_whole() {
    let found =
        |discovery: &str| format!("[sites.'*']\nupstream = 'app'\n[upstreams.app]\n{discovery}");
    for (discovery, expected) in [
        (
            "discovery = { dns = { name = 'app.internal:80' } }",
            &[][..],
        ),
        ("discovery = { file = 'x' }\nservers = []", &[]),
        ("discovery = {}", &["missing-key"]),
        (
            "discovery = { file = 'x', dns = { name = 'a:1' } }",
            &["conflicting-keys"],
        ),
        ("discovery = { dns = {} }", &["missing-key"]),
        (
            "discovery = { dns = { name = '10.0.0.1:80' } }",
            &["bad-value"],
        ),
        (
            "discovery = { dns = { name = 'a:1', ttl_min = '9s', ttl_max = '1s' } }",
            &["conflicting-keys"],
        ),
        ("discovery = { srv = { name = 'a b' } }", &["bad-value"]),
        ("discovery = { consul = { service = '' } }", &["bad-value"]),
        ("discovery = { docker = { label = 'a b' } }", &["bad-value"]),
        ("servers = []", &["empty-upstream"]),
        ("balance = 'random'", &["missing-key"]),
    ] {
        let outcome = load(&found(discovery));
        assert_eq!(
            codes(&outcome),
            expected,
            "{discovery}\n{}",
            render(&outcome, false)
        );
    }
    check(
        &found("discovery = { file = 'x', dns = { name = 'a:1' } }"),
        "
error[conflicting-keys]: `dns` and `file` cannot stand together
  --> foregate.toml:4:15
4 | discovery = { file = 'x', dns = { name = 'a:1' } }
  |               ^^^^
  ::: foregate.toml:4:27
4 | discovery = { file = 'x', dns = { name = 'a:1' } }
  |                           --- `dns` is here
  = help: an upstream has one source of backends beside `servers`: keep one of them",
    );
}

#[test]
fn secrets_are_shown_on_nobodys_terminal_but_the_operators() {
    let secret = "s3cr3t-of-mine";
    for (text, shown) in [
        (
            "[admin]\ntoken = \"s3cr3t-of-mine\" # ours",
            "2 | token = \"…\" # ours\n  |         ^^^",
        ),
        (
            "[admin]\ntokn = \"s3cr3t-of-mine\"",
            "2 | tokn = \"…\"\n  | ^^^^ unknown key\n",
        ),
        ("[admin]\ntoken = \"s3cr3t-of-mine", "2 | token = \"…\"\n"),
        (
            "[admin]\ntoken = s3cr3t-of-mine",
            "2 | token = \"…\"\n  |         ^^^\n",
        ),
        (
            "[admin]\ntoken = \"s3cr3t-of-mine\"\ntoken = \"s3cr3t-of-mine\"",
            "3 | token = \"…\"\n  | ^^^^^ already defined above\n",
        ),
        (
            "[[sites.a.routes]]\nupstream = \"b\"\nrequest_headers = { set = { Authorization = \"s3cr3t-of-mine\\u0001\" } }",
            "= cause: it has the control character",
        ),
        (
            "[admin]\ntoken = \"s3cr3t-of-mine${ENV:A\"",
            "2 | token = \"…\"\n",
        ),
        (
            "[upstreams.a.discovery.consul]\nservice = \"a\"\ntoken = \"s3cr3t-of-mine ä\"",
            "3 | token = \"…\"\n",
        ),
    ] {
        let outcome = load(text);
        let rendered = render(&outcome, false);
        assert!(rendered.contains(shown), "{text}: {rendered}");
        assert!(!rendered.contains(secret), "{text}: {rendered}");
        let json = to_json(&outcome);
        assert!(!json.contains(secret), "{text}: {json}");
        assert!(render_in_full(&outcome, false).contains(secret), "{text}");
    }
}
