//! Values that mean nothing are told where they stand.

use super::*;

/// Values that no backend and no client can be sent, and a mistake of another kind.
const UNSENDABLE: &str = "[[sites.x.routes]]
redirect = { to = 'https://x:99999/é' }
[[sites.x.routes]]
path = '/a'
upstream = 'app'
replace_path = { regex = '^/(.*)$', with = '/x?y=$2' }
[[sites.x.routes]]
path = '/b'
upstream = 'app'
strip_prefix = '/b?c'
[[sites.x.routes]]
path = '/c'
upstream = 'app'
replace_path = { regex = '(', with = '/a b/$1' }
[[sites.x.routes]]
path = '/d'
redirect = { to = 'http://' }
[[sites.x.routes]]
path = '/e'
redirect = { to = 'https://x:99999/' }
[[sites.x.routes]]
path = '/f'
redirect = { to = 'https://x{query}.example' }
[[sites.x.routes]]
path = '/g'
redirect = { to = '{path}/' }
APP
balance = 'least_conn'";

const UNSENDABLE_TOLD: &str = "
error[bad-value]: a URL has `é`
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
   |           ^^^^^^^^^^^^ one of: round-robin, least-requests, power-of-two, peak-ewma, random, hash-ring, hash-maglev";

#[test]
fn what_a_backend_or_client_cannot_be_sent_is_told_at_its_place_with_everything_else() {
    check(&UNSENDABLE.replace("APP\n", APP), UNSENDABLE_TOLD);
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
   = help: known keys: servers, discovery, balance, hash_by, hash_load_max, primary_fit_min, zone_fit_min, slow_start, panic_threshold, requests_max, upstream_requests_max, queue, adaptive_concurrency, circuit, upstream_circuit, sticky, host, proxy_protocol, connections_idle_max, connections_max, requests_pending_max, idle_timeout, tcp_keepalive, congestion_control, requests_per_connection_max, tries_max, retry, hedge, timeouts, response, ejection, probe, tls, protocol, streams_per_connection_max, grpc_web",
    );
}

#[test]
fn a_congestion_control_has_a_name_that_the_kernel_could_have() {
    check(
        "[listeners.a]
address = '127.0.0.1:80'
congestion_control = 'bbr v3'
[sites.x]
upstream = 'app'
[upstreams.app]
servers = ['127.0.0.1:1']",
        "
error[bad-value]: `bbr v3` is not a congestion control
  --> foregate.toml:3:22
3 | congestion_control = 'bbr v3'
  |                      ^^^^^^^^
  = cause: the kernel's have names of 1 to 15 letters, digits, `_` and `-`
  = help: \"auto\", \"system\", or one of `cat /proc/sys/net/ipv4/tcp_available_congestion_control`",
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
fn a_value_of_no_form_that_a_key_takes_is_shown_all_of_them() {
    check(
        &format!("[sites.'a']\nupstream = 'app'\nhttps_redirect = false\n{APP}"),
        "
error[wrong-type]: \"auto\", \"off\", or a port belongs here
  --> foregate.toml:3:18
3 | https_redirect = false
  |                  ^^^^^ this is a boolean",
    );
}

#[test]
fn what_is_told_to_backends_has_a_name_of_its_own() {
    check(
        &format!("[forwarding]\nrequest_id_header = 'Host'\n{APP}"),
        "
error[bad-header]: `Host` cannot tell anything else
  --> foregate.toml:2:21
2 | request_id_header = 'Host'
  |                     ^^^^^^
  = cause: requests would lose the host that they are for
  = help: use a field of your own, such as \"X-Client-Subject\"",
    );
}
