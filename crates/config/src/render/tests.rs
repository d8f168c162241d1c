//! What people and editors read when something is wrong.

mod routes;
mod shown;
mod values;

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
    // One mistake is told once, and what follows from it is not.
    let misspelt = "[site.'x.example']\nupstream = 'app'\n[upstreams.app]\nservers = ['a:1']";
    assert_eq!(codes(&load(misspelt)), ["unknown-key"]);
    assert_eq!(codes(&load("[[sites]]\nupstream = 'app'")), ["wrong-type"]);
    let one = load(&APP.replace("['127.0.0.1:1']", "'127.0.0.1:1'"));
    let helps: Vec<&str> = (one.diagnostics.iter())
        .map(|one| one.help.as_deref().unwrap_or_default())
        .collect();
    assert_eq!(codes(&one), ["wrong-type"]);
    assert_eq!(helps, ["a list of one: [\"127.0.0.1:1\"]"]);
    for misspelt in [
        "[[sites.'b.example'.routes]]\npath = { prefx = '/x' }\nupstream = 'app'",
        "[upstreams.b]\nservers = ['b:1']\ntls = { client_key = 'a.key', client_certificat = 'a.pem' }",
    ] {
        assert_eq!(codes(&load(&format!("{APP}{misspelt}"))), ["unknown-key"]);
    }
    let restricted = "
        [listeners.a]\naddress = '127.0.0.1:1'\n[listeners.b]\naddress = '127.0.0.1:2'
        [sites.'x.example']\nlisteners = ['a']\nupstream = 'app'\n[upstreams.app]\nservers = ['a:1']";
    assert_eq!(codes(&load(restricted)), ["unused-listener"]);
    let apart = format!("{restricted}\n[sites.'X.example']\nlisteners = ['b']\nupstream = 'app'");
    assert_eq!(codes(&load(&apart)), [""; 0]);
}
