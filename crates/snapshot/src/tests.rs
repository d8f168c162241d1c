//! From configuration text to decisions.

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
        certified: true,
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

fn check(inquiry: &Inquiry, expected: &str) {
    let explained = explain(&snapshot(CONFIG), inquiry, &|_, _| None).unwrap();
    let shown: Vec<String> = explained
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
    assert_eq!(
        shown.iter().map(|line| line.trim()).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_proxied_request_is_explained() {
    let mut asked = inquiry("http://www.example.com:8080/api/./users?a=b");
    asked.headers = vec![
        ("X-Forwarded-For".into(), "198.51.100.1".into()),
        ("Cookie".into(), "c".into()),
    ];
    asked.client = "10.0.0.1".parse().unwrap();
    check(
        &asked,
        "request     GET http://www.example.com:8080/api/./users?a=b
         listener    public
         client      198.51.100.1 (named by a trusted proxy)
         path        /api/users (received as /api/./users; backends are sent this form)
         not         site inner.test: host (wants host inner.test)
         not         route beta: header(x-beta) (wants path exactly /api/users, header x-beta = 1)
         site        example.com
         route       api (path prefix /api, method GET)
         forwards    /users?a=b (rewritten)
         host        backend.test:8080
         rule        remove Cookie
         rule        set X-Client: 198.51.100.1 www.example.com/api/users
         upstream    app, least-requests
                     10.1.0.1:80  weight 1  available  0 in flight
                     backend.test:8080  weight 3  available  0 in flight  <- a fresh worker's choice
                     [::1]:81  weight 1  available  0 in flight
         timeouts    connect 5000 ms, first byte 5000 ms, between bytes 60000 ms, request off
         retries     3 tries, on connect, refused, reset; idempotent requests once a backend was reached, bodies up to 65536 bytes, budget 20 % and 10 a second (else budget)
         response    add X-Id: 00000000000000000000000000000001",
    );
}

#[test]
fn other_outcomes_are_explained() {
    let mut inner = inquiry("http://inner.test/a?b");
    inner.listener = Some("inner".into());
    check(
        &inner,
        "request     GET http://inner.test/a?b
         listener    inner
         client      192.0.2.1
         path        /a
         site        inner.test
         route       away (path prefix /)
         redirect    307 to https://example.org/a?b
         body        at most 1048576 bytes",
    );
    check(
        &inquiry("http://inner.test/a"),
        "request     GET http://inner.test/a
         listener    public (assumed: none listens on that port)
         client      192.0.2.1
         path        /a
         not         site inner.test: listener (wants host inner.test)
         not         site example.com: host (wants host example.com or *.example.com)
         refused     404, no-site",
    );
    check(
        &inquiry("http://example.com:8080/a%5Cb"),
        "request     GET http://example.com:8080/a%5Cb
         listener    public
         client      192.0.2.1
         refused     400, path-refused (backslash)",
    );
    let mut beta = inquiry("http://example.com:8080/api/users");
    beta.headers = vec![("x-beta".into(), "1".into())];
    let explained = explain(&snapshot(CONFIG), &beta, &|_, _| None).unwrap();
    assert_eq!(
        explained.outcome,
        Outcome::Responded {
            status: 503,
            body_bytes: 4
        }
    );
    beta.method = "TRACE".into();
    let explained = explain(&snapshot(CONFIG), &beta, &|_, _| None).unwrap();
    assert_eq!(
        explained.outcome,
        Outcome::Refused {
            reason: "trace-refused",
            status: 405,
            detail: None
        }
    );
}

#[test]
fn what_comes_several_times_is_told() {
    let text = "[sites.\"*\"]\n[[sites.\"*\".routes]]\nname = \"one\"\nquery = { v = \"1\" }\nrespond = { status = 201 }\n\
        [[sites.\"*\".routes]]\nname = \"two\"\nquery = { v = \"2\" }\nrespond = { status = 202 }\n";
    let explained = explain(
        &snapshot(text),
        &inquiry("http://a:8080/?v=2&v=1"),
        &|_, _| None,
    );
    let told = explained.unwrap().to_string();
    for expected in [
        "repeated    query(v) comes 2 times: the first counts\n",
        "not         route one: query(v) (wants path prefix /, query v = 1)\n",
        "route       two ",
    ] {
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn known_endpoints_are_asked_for_their_state() {
    let endpoint = Arc::new(foregate_balance::Endpoint::new("10.1.0.1:80", 1));
    endpoint.set_admin(foregate_balance::AdminState::Disabled);
    let states = |upstream: &str, authority: &str| {
        (upstream == "app" && authority == "10.1.0.1:80").then(|| Arc::clone(&endpoint))
    };
    let explained = explain(
        &snapshot(CONFIG),
        &inquiry("http://example.com:8080/"),
        &states,
    )
    .unwrap();
    let Outcome::Proxied(proxy) = explained.outcome else {
        panic!("not proxied")
    };
    assert_eq!(proxy.candidates[0].standing, "disabled");
    assert_eq!(proxy.candidates[1].standing, "available");
}

#[test]
fn what_is_not_one_request_is_not_explained() {
    let snapshot = snapshot(CONFIG);
    let error = |inquiry: &Inquiry| explain(&snapshot, inquiry, &|_, _| None).unwrap_err();
    for url in [
        "",
        "/a",
        "ftp://a/",
        "http://",
        "http:///a",
        "http://a/\r\nX: y",
        "http://a\n/",
    ] {
        assert_eq!(error(&inquiry(url)), InquiryError::Url(url.into()));
    }
    let good = inquiry("http://a/");
    assert_eq!(
        error(&Inquiry {
            method: "G T".into(),
            ..good.clone()
        }),
        InquiryError::Method("G T".into())
    );
    assert_eq!(
        error(&Inquiry {
            listener: Some("x".into()),
            ..good.clone()
        }),
        InquiryError::Listener("x".into())
    );
    let headers = vec![("X-A".to_owned(), "a\r\nb".to_owned())];
    assert_eq!(
        error(&Inquiry { headers, ..good }),
        InquiryError::Header("X-A".into())
    );
}

#[test]
fn what_is_malformed_or_over_a_limit_is_explained() {
    let text = "[listeners.public]\naddress = \"127.0.0.1:80\"\n[client]\ntarget_bytes_max = \"64B\"\nfields_max = 4\nhead_bytes_max = \"512B\"\n\
        [sites.\"a.test\"]\n[[sites.\"a.test\".routes]]\nbody_bytes_max = \"10B\"\nrespond = { status = 200 }\n";
    let snapshot = snapshot(text);
    let told = |url: &str, headers: &[(&str, &str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let inquiry = Inquiry {
            headers,
            ..inquiry(url)
        };
        match explain(&snapshot, &inquiry, &|_, _| None).unwrap().outcome {
            Outcome::Refused {
                reason,
                status,
                detail,
            } => format!("{status} {reason} {}", detail.unwrap_or_default()),
            other => format!("{other:?}"),
        }
    };
    let long = format!("http://a.test/{}", "x".repeat(64));
    assert_eq!(
        told(&long, &[]),
        "414 request-target-too-long target_bytes_max is 64"
    );
    assert_eq!(
        told("http://a.test/", &[("A", "1"); 5]),
        "431 request-too-many-fields fields_max is 4"
    );
    assert_eq!(
        told("http://a.test/", &[("A", &"1".repeat(512))]),
        "431 request-head-too-large head_bytes_max is 512"
    );
    assert_eq!(
        told("http://a.test/", &[("Content-Length", "11")]),
        "413 request-body-too-large body_bytes_max is 10"
    );
    assert_eq!(
        told("http://a.test?x", &[("Content-Length", "ten")]),
        "400 request-bad-length "
    );
    for (url, reason) in [
        ("http://a b/", "bad-host"),
        ("http://u@a/", "bad-host"),
        ("http://a.test:x/", "bad-host"),
        ("http://a.test/ b", "bad-start-line"),
        ("http://a.test#b", "bad-target"),
        ("http://a.test/\u{e9}", "bad-target"),
    ] {
        assert_eq!(told(url, &[]), format!("400 request-{reason} "), "{url}");
    }
}

#[test]
fn a_trusted_proxy_that_ended_tls_is_believed_in_explanations_too() {
    let text = "[forwarding]\ntrusted_proxies = [\"192.0.2.1\"]\n[sites.\"a.test\"]\n\
        [[sites.\"a.test\".routes]]\nclients = [\"10.0.0.0/8\"]\nrespond = { status = 200 }\n\
        [[sites.\"a.test\".routes]]\nrespond = { status = 203 }\n";
    let snapshot = snapshot(text);
    let status = |forwarded: &str| {
        let inquiry = Inquiry {
            headers: vec![("Forwarded".into(), forwarded.into())],
            ..inquiry("http://a.test/")
        };
        match explain(&snapshot, &inquiry, &|_, _| None).unwrap().outcome {
            Outcome::Responded { status, .. } | Outcome::Redirected { status, .. } => status,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(status("for=10.1.1.1;proto=https"), 200);
    assert_eq!(status("for=203.0.113.9;proto=https"), 203);
    assert_eq!(status("for=10.1.1.1;proto=http"), 308);
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
