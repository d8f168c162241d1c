//! From configuration text to decisions.

mod agreement;
mod explained;
mod order;

use crate::*;
use foregate_config::settings::Settings;
use foregate_config::{Format, MemoryFiles, parse_str};
use foregate_message::RequestHead;
use foregate_route::Question;
use proptest::prelude::*;
use std::sync::Arc;

pub(crate) fn settings(text: &str) -> Settings {
    let outcome = parse_str("foregate.toml", text, Format::Toml, &MemoryFiles::default());
    outcome
        .settings
        .unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics))
}

pub(crate) fn snapshot(text: &str) -> Snapshot {
    compile(&settings(text)).unwrap()
}

const CONFIG: &str = r#"
[listeners.public]
address = "127.0.0.1:8080"
[listeners.inner]
address = "127.0.0.1:8081"
connections_per_client_max = "off"

[forwarding]
trusted_proxies = ["10.0.0.0/8"]
server_header = "web"

[client]
body_bytes_max = "1MiB"

[access_log]
to = "/var/log/foregate.log"
format = 'a "{client}" {status}'

[sites."example.com"]
hosts = ["*.example.com"]
upstream = "app"

[[sites."example.com".routes]]
name = "api"
path = "/api"
methods = ["GET"]
strip_prefix = "/api"
host = "upstream"
upstream = "app"
request_headers = { set = { "X-Client" = "{client} {host}{path}" }, remove = ["Cookie"] }
response_headers = { add = { "X-Id" = "{request_id}" } }
body_bytes_max = "off"
[sites."example.com".routes.timeouts]
first_byte = "5s"

[[sites."example.com".routes]]
name = "beta"
path = { exact = "/api/users" }
headers = { "X-Beta" = "1" }
respond = { status = 503, body = "soon" }

[sites."inner.test"]
listeners = ["inner"]
[[sites."inner.test".routes]]
name = "away"
redirect = { to = "https://example.org{path}{query}", status = 307 }

[upstreams.app]
servers = ["10.1.0.1:80", { address = "backend.test:8080", weight = 3 }, "[::1]:81"]
balance = "least-requests"
[upstreams.app.ejection]
consecutive_failures = "off"
"#;

pub(crate) fn inquiry(url: &str) -> Inquiry {
    Inquiry {
        method: "GET".into(),
        url: url.into(),
        headers: Vec::new(),
        client: "192.0.2.1".parse().unwrap(),
        listener: None,
        now_ms: 0,
        random: 1,
    }
}

#[test]
fn a_configuration_is_compiled_whole() {
    let snapshot = snapshot(CONFIG);
    let keys: Vec<&str> = snapshot.routes.iter().map(|route| &*route.key).collect();
    assert_eq!(
        keys,
        [
            "example.com/api",
            "example.com/beta",
            "example.com/default",
            "inner.test/away"
        ]
    );
    let upstream = &snapshot.upstreams[0];
    let endpoints: Vec<_> = upstream
        .endpoints
        .iter()
        .map(|one| (&*one.host, one.port, &*one.authority, one.weight))
        .collect();
    assert_eq!(
        endpoints,
        [
            ("10.1.0.1", 80, "10.1.0.1:80", 1),
            ("backend.test", 8080, "backend.test:8080", 3),
            ("::1", 81, "[::1]:81", 1)
        ],
    );
    assert_eq!(upstream.balancing.algorithm.name(), "least-requests");
    assert_eq!(upstream.ejection.consecutive_failures, None);
    let log = snapshot.access_log.as_ref().unwrap();
    assert_eq!(
        (&log.to, &*log.format),
        (
            &LogTarget::File("/var/log/foregate.log".into()),
            "a \"{client}\" {status}"
        )
    );
    assert!(snapshot.trusted.contains("10.9.9.9".parse().unwrap()));
    assert_eq!(
        snapshot.listener(1).unwrap().connections_per_client_max,
        None
    );
    assert_eq!(snapshot.routes[1].body_bytes_max, Some(1 << 20));
    let Action::Proxy(proxy) = &snapshot.routes[0].action else {
        panic!("not a proxy")
    };
    assert_eq!(proxy.targets[0].timeouts.first_byte.unwrap().as_secs(), 5);
    assert_eq!(proxy.targets[0].timeouts.connect.as_secs(), 5);
}

#[test]
fn a_snapshot_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Snapshot>();
}

#[test]
fn what_can_not_be_compiled_is_told_with_its_place() {
    // `check` passes these by: each is valid text for its key.
    let text = r#"
[sites."a.test"]
upstream = "app"
[[sites."a.test".routes]]
name = "one"
path = { regex = "^/(\\w{200}){200}" }
upstream = "app"
[upstreams.app]
servers = ["10.0.0.1:80"]
"#;
    let mut settings = settings(text.replace(r"(\\w{200}){200}", "x").as_str());
    for route in &mut settings.sites[0].routes {
        if route.name == "one" {
            route.path = foregate_config::settings::PathMatch::Regex(r"^/(\w{200}){200}".into());
        }
    }
    let diagnostics = compile(&settings).unwrap_err();
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].code.name(), "bad-regex");
    let written = &text.replace(r"(\\w{200}){200}", "x")
        [diagnostics[0].origin.start as usize..diagnostics[0].origin.end as usize];
    assert!(written.contains("^/x"), "{written}");
}

#[test]
fn listeners_keep_their_numbers() {
    let old = snapshot(CONFIG);
    let text = CONFIG
        .replace("[listeners.public]", "[listeners.another]")
        .replace("8080\"\n[listeners.inner]", "9090\"\n[listeners.inner]");
    let new = compile_after(&settings(&text), &old).unwrap();
    let numbers: Vec<_> = new
        .listeners
        .iter()
        .map(|listener| (&*listener.name, listener.number))
        .collect();
    assert_eq!(
        numbers.iter().find(|(name, _)| *name == "inner"),
        Some(&("inner", 1))
    );
    assert_eq!(
        numbers.iter().find(|(name, _)| *name == "another"),
        Some(&("another", 2))
    );
    let again = compile_after(&settings(CONFIG), &new).unwrap();
    assert_eq!(
        again
            .listeners
            .iter()
            .find(|one| &*one.name == "public")
            .unwrap()
            .number,
        3
    );
}

#[test]
fn a_reload_is_a_diff() {
    let old = snapshot(CONFIG);
    let same = compile_after(&settings(CONFIG), &old).unwrap();
    assert!(diff(&old, &same).is_empty());
    assert_eq!(diff(&old, &same).to_string(), "nothing added or removed");
    let text = CONFIG
        .replace("127.0.0.1:8080", "127.0.0.1:8082")
        .replace("weight = 3", "weight = 4")
        .replace("\"10.1.0.1:80\"", "\"10.1.0.2:80\"")
        .replace("least-requests", "random")
        .replace("name = \"beta\"", "name = \"gamma\"")
        .replace("'a \"{client}\" {status}'", "'json'")
        + "[upstreams.spare]\nservers = [\"10.2.0.1:80\"]\n";
    let new = compile_after(&settings(&format!("workers = 3\n{text}")), &old).unwrap();
    let change = diff(&old, &new);
    let key = |upstream: &str, authority: &str| EndpointKey {
        upstream: upstream.into(),
        authority: authority.into(),
    };
    let expected = Change {
        listeners_changed: vec![ListenerChange {
            number: 0,
            addresses_added: vec!["127.0.0.1:8082".parse().unwrap()],
            addresses_removed: vec!["127.0.0.1:8080".parse().unwrap()],
            limits: false,
            proxy_protocol: false,
            backlog: false,
            keep_alive: false,
            congestion: false,
            mode: false,
        }],
        upstreams_added: vec!["spare".into()],
        upstreams_changed: vec!["app".into()],
        endpoints_added: vec![key("app", "10.1.0.2:80"), key("spare", "10.2.0.1:80")],
        endpoints_removed: vec![key("app", "10.1.0.1:80")],
        endpoints_changed: vec![key("app", "backend.test:8080")],
        routes_added: vec!["example.com/gamma".into()],
        routes_removed: vec!["example.com/beta".into()],
        access_log: true,
        restart_needed: vec!["workers"],
        ..Change::default()
    };
    assert_eq!(change, expected);
    assert_eq!(
        change.to_string(),
        "1 listener changed, 1 upstream added, 1 upstream changed, 2 endpoints added, 1 endpoint removed, 1 endpoint \
         changed, 1 route added, 1 route removed, access log changed, workers changed, which needs a restart",
    );
}

#[test]
fn a_thousand_hosts_are_told_apart() {
    let mut text = String::new();
    for host in 0..1000 {
        text.push_str(&format!("[sites.\"host-{host}.test\"]\n"));
        for route in 0..10 {
            text.push_str(&format!(
                "[[sites.\"host-{host}.test\".routes]]\nname = \"r{route}\"\npath = \"/r{route}\"\nupstream = \"app\"\n"
            ));
        }
    }
    text.push_str("[upstreams.app]\nservers = [\"10.0.0.1:80\"]\n");
    let snapshot = snapshot(&text);
    let head = RequestHead::with("GET", b"/");
    for (host, route) in [(0, 0), (7, 3), (999, 9)] {
        let (name, path) = (format!("host-{host}.test"), format!("/r{route}/x"));
        let question = Question {
            listener: 0,
            host: name.as_bytes(),
            path: path.as_bytes(),
            query: None,
            head: &head,
            client: "192.0.2.1".parse().unwrap(),
        };
        let (number, plan) = snapshot.find(&question, None).unwrap();
        assert_eq!(*plan.key, *format!("{name}/r{route}"));
        assert_eq!(number, host * 10 + route);
    }
}

/// A route with one part made of pieces that are odd in many ways.
fn odd_route() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "//",
        "a",
        "b.example",
        "http://",
        "https://",
        "{scheme}://",
        "{host}",
        "{path}",
        "{query}",
        "{{",
        "}}",
        ":",
        ":80",
        ":99999",
        ":000080",
        "@",
        "?x=1",
        "#f",
        " ",
        "é",
        "%41",
        "\\",
        "$1",
        "$2",
        "${n}",
        "$$",
        "[::1]",
        ".",
        "..",
        "-",
        "|",
        "^",
        "<",
        "\t",
        "1.2.3",
        "_",
        "[",
        "]",
        "\u{1}",
    ]);
    let text =
        prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("{:?}", pieces.concat()));
    let text = text.prop_map(|text| text.replace("\\u{1}", "\\u0001"));
    let form = prop::sample::select(vec![
        "redirect = { to = TEXT }",
        "redirect = { to = TEXT, status = 301 }",
        "upstream = \"app\"\nstrip_prefix = TEXT",
        "upstream = \"app\"\nreplace_path = TEXT",
        "upstream = \"app\"\nreplace_path = { regex = \"^/(?<n>a)\", with = TEXT }",
        "upstream = \"app\"\nrequest_headers = { set = { X-A = TEXT } }",
        "upstream = \"app\"\nresponse_headers = { add = { TEXT = \"1\" }, remove = [TEXT] }",
        "respond = { body = TEXT, headers = { TEXT = TEXT } }",
        "upstream = \"app\"\npath = TEXT",
        "upstream = \"app\"\npath = { exact = TEXT }",
        "upstream = \"app\"\npath = { glob = TEXT }",
        "upstream = \"app\"\npath = { regex = TEXT }",
        "upstream = \"app\"\nheaders = { TEXT = TEXT }\nquery = { TEXT = TEXT }",
        "upstream = \"app\"\nhost = TEXT\n[forwarding]\nserver_header = TEXT\nrequest_id_header = TEXT",
    ]);
    (form, text).prop_map(|(form, text)| form.replace("TEXT", &text))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    // What only the compiler would find is found late, after everything else, and far from its place.
    #[test]
    fn what_the_check_of_a_text_takes_can_be_compiled(route in odd_route()) {
        let text = format!(
            "[[sites.\"*\".routes]]\n{route}\n[sites.b]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"127.0.0.1:1\"]\n"
        );
        let outcome = parse_str("foregate.toml", &text, Format::Toml, &MemoryFiles::default());
        prop_assert!(outcome.diagnostics.iter().all(|one| one.code.name() != "syntax"), "{}", text);
        if let Some(settings) = outcome.settings {
            prop_assert!(compile(&settings).is_ok(), "{text} {:?}", compile(&settings).err());
        }
    }
}
