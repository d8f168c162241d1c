//! `foregate explain`: what would happen to a request, from the code that serves.

use foregate_testkit::{Gateway, RawClient, Run};
use foregate_tests::secure::curl;

const SITES: &str = r#"
[sites."a.example"]
[[sites."a.example".routes]]
name = "beta"
path = "/api"
headers = { "X-Beta" = "1" }
upstream = "next"
[[sites."a.example".routes]]
name = "api"
path = "/api"
upstream = "app"
strip_prefix = "/api"
[[sites."a.example".routes]]
name = "office"
path = "/office"
clients = ["10.0.0.0/8"]
upstream = "app"

[upstreams.app]
servers = ["127.0.0.1:1111", "127.0.0.1:2222"]
[upstreams.next]
servers = ["127.0.0.1:3333"]
"#;

fn explain(arguments: &[&str]) -> Run {
    let mut all = vec!["explain"];
    all.extend(arguments);
    Gateway::new(SITES).command(&all)
}

#[test]
fn it_names_the_route_the_rewrite_and_the_candidates() {
    let run = explain(&["GET", "http://a.example/api/users"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for expected in [
        "a.example",
        "api",
        "/users",
        "app",
        "127.0.0.1:1111",
        "127.0.0.1:2222",
    ] {
        assert!(
            run.stdout.contains(expected),
            "{expected} is missing:\n{}",
            run.stdout
        );
    }
}

#[test]
fn it_says_why_a_better_looking_route_did_not_match() {
    let run = explain(&["GET", "http://a.example/api"]);
    assert!(
        run.stdout.contains("beta") && run.stdout.to_lowercase().contains("x-beta"),
        "{}",
        run.stdout
    );
}

#[test]
fn fields_and_client_address_count() {
    let run = explain(&["GET", "http://a.example/api", "-H", "X-Beta: 1"]);
    assert!(run.stdout.contains("127.0.0.1:3333"), "{}", run.stdout);
    let run = explain(&["GET", "http://a.example/office", "--from", "10.1.2.3"]);
    assert!(run.stdout.contains("127.0.0.1:1111"), "{}", run.stdout);
    let run = explain(&["GET", "http://a.example/office", "--from", "192.0.2.1"]);
    assert!(
        !run.stdout.contains("127.0.0.1:1111") && run.stdout.contains("404"),
        "{}",
        run.stdout
    );
}

#[test]
fn an_unknown_host_is_explained_too() {
    let run = explain(&["GET", "http://b.example/"]);
    assert!(
        run.stdout.contains("404") && run.stdout.contains("no-site"),
        "{}",
        run.stdout
    );
}

/// Two lines imply HTTPS; a connection that carries no requests is nobody's to explain.
const SECURE: &str = r#"
[listeners.raw]
address = "127.0.0.1:80"
mode = "tcp"
upstream = "app"
[listeners.plain]
address = "127.0.0.2:80"
[listeners.secure]
address = "127.0.0.1:443"
tls = true
[sites."a.example"]
upstream = "app"
[upstreams.app]
servers = ["127.0.0.1:1111"]
"#;

#[test]
fn certificate_redirect_and_hsts_are_explained() {
    let explain = |url: &str| {
        Gateway::new(SECURE)
            .command(&["explain", "GET", url])
            .stdout
    };
    let secure = explain("https://a.example/x");
    for expected in [
        "listener    secure",
        "certificate ACME",
        "hsts        max-age=31536000",
        "127.0.0.1:1111",
    ] {
        assert!(
            secure.contains(expected),
            "{expected} is missing:\n{secure}"
        );
    }
    let plain = explain("http://a.example/x?y");
    for expected in [
        "listener    plain",
        "308 to https://a.example/x?y, once there is a certificate; served in cleartext until then",
    ] {
        assert!(plain.contains(expected), "{expected} is missing:\n{plain}");
    }
    let json = Gateway::new(SECURE).command(&["explain", "--json", "GET", "http://a.example/x?y"]);
    assert!(
        json.stdout.contains("\"awaits_certificate\": true"),
        "{json:?}"
    );
}

/// Nobody issues a certificate for these hosts: clients in cleartext are served, and those by TLS are not, which was explained
/// the other way round.
const UNCERTIFIED: &str = r#"
[listeners.public]
address = "127.0.0.1:0"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
[[sites."*.b.example".routes]]
respond = { status = 203 }
"#;

#[test]
fn what_has_no_certificate_is_explained_as_it_is_served() {
    let configuration = Gateway::new(UNCERTIFIED);
    let gateway = Gateway::new(UNCERTIFIED).start();
    let explain = |listener: &str, url: &str| -> serde_json::Value {
        let run = configuration.command(&["explain", "--json", "--listener", listener, "GET", url]);
        let whole: serde_json::Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        whole["outcome"].clone()
    };
    let host = "q.b.example";
    let served = gateway.get(host, "/x").status;
    let explained = explain("public", "http://q.b.example/x");
    assert_eq!((served, &explained["status"]), (203, &203.into()));
    let explained = explain("secure", "https://q.b.example/x");
    assert_eq!(
        (&explained["outcome"], &explained["fault"]),
        (&"handshake-failed".into(), &"unknown-name".into())
    );
    let secure = gateway.listener("secure");
    let resolve = format!("{host}:{}:{}", secure.port(), secure.ip());
    let url = format!("https://{host}:{}/x", secure.port());
    let refused = curl(&["--insecure", "--resolve", &resolve, &url]);
    assert_eq!(refused.status(), 0, "{}", refused.text());
    let counted = [("listener", "secure"), ("result", "unknown-name")];
    gateway.wait_metric("foregate_tls_handshakes_total", &counted, 1.0);
    let explained = explain("secure", "http://q.b.example/x");
    let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let served = RawClient::connect(secure).exchange(request).status;
    assert_eq!((served, &explained["status"]), (400, &400.into()));
    let explained = explain("public", "https://q.b.example/x");
    assert_eq!(explained["fault"], "not-tls");
}

/// What limits, framing, and rules for targets and hosts refuse was explained as if it were served.
const LIMITED: &str = r#"
[client]
target_bytes_max = "200B"
fields_max = 8
head_bytes_max = "1KiB"
[sites."a.test"]
[[sites."a.test".routes]]
path = "/small"
body_bytes_max = "10B"
respond = { status = 200 }
[[sites."a.test".routes]]
path = "/app"
upstream = "app"
[[sites."a.test".routes]]
respond = { status = 203 }
[upstreams.app]
servers = ["127.0.0.1:1"]
"#;

/// A row reads `status reason <- method url | field | field`; reasons are written without `request-`.
const ROWS: &[&str] = &[
    "200 <- GET a.test/small",
    "414 target-too-long <- GET a.test/{249}",
    "431 too-many-fields <- GET a.test/ | A: 1 | A: 1 | A: 1 | A: 1 | A: 1 | A: 1 | A: 1 | A: 1 | A: 1",
    "431 head-too-large <- GET a.test/ | X-Long: {1200}",
    "413 body-too-large <- POST a.test/small | Content-Length: 20",
    "200 <- POST a.test/small | Content-Length: 10",
    "203 <- POST a.test/ | Content-Length: 20",
    "400 bad-length <- POST a.test/small | Content-Length: x",
    "501 coding-unknown <- POST a.test/ | Transfer-Encoding: gzip",
    "400 length-and-coding <- POST a.test/ | Transfer-Encoding: chunked | Content-Length: 1",
    "417 bad-expectation <- GET a.test/ | Expect: wonders",
    "400 bad-target <- GET a.test/r1/a'\"<>`",
    "400 bad-target <- GET a.test/x#f",
    "400 path-refused <- GET a.test/a%00",
    "400 bad-host <- GET a.test../",
    "400 bad-host <- GET u@a.test/",
    "400 bad-host <- GET a.test/ | Host: a test",
    "400 host-several <- GET a.test/ | Host: a.test | host: a.test",
    "400 control-character <- GET a.test/ | X-A: a\u{1}",
    "400 space-before-colon <- GET a.test/ | X A: a",
    "405 trace-refused <- TRACE a.test/",
    "405 connect-refused <- CONNECT a.test/",
    "204 <- OPTIONS a.test/app | Max-Forwards: 0",
    "404 no-site <- GET b.test/",
];

#[test]
fn it_says_what_is_served_of_requests_that_limits_and_framing_refuse() {
    let configuration = Gateway::new(LIMITED);
    let gateway = Gateway::new(LIMITED).start();
    for (number, row) in ROWS.iter().enumerate() {
        let row = ["249", "1200"]
            .iter()
            .fold((*row).to_owned(), |row, length| {
                let run = "x".repeat(length.parse().expect("a length is a number"));
                row.replace(&format!("{{{length}}}"), &run)
            });
        let (expected, request) = row.split_once(" <- ").expect("a row has a request");
        let mut parts = request.split(" | ");
        let line = parts.next().and_then(|line| line.split_once(' '));
        let (method, url) = line.expect("a request has a method and a URL");
        let fields: Vec<&str> = parts.collect();
        let whole = format!("http://{url}");
        let mut arguments = vec!["explain", "--json", method, &whole];
        arguments.extend(fields.iter().flat_map(|field| ["-H", field]));
        let run = configuration.command(&arguments);
        let explained: serde_json::Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{row}: {run:?}"));
        let answer = served(&gateway, method, url, &fields);
        let logged = &gateway.log_lines(number + 1)[number];
        let outcome = &explained["outcome"];
        assert_eq!(outcome["status"], answer, "{row}");
        let mut told = answer.to_string();
        if let Some(reason) = outcome["reason"].as_str() {
            assert_eq!(reason, logged.reason(), "{row}");
            told += &format!(" {}", reason.trim_start_matches("request-"));
        }
        assert_eq!(told, expected, "{row}");
    }
}

/// The status that a request is answered with.
fn served(gateway: &Gateway, method: &str, url: &str, lines: &[&str]) -> u16 {
    let (host, target) = url.split_at(url.find('/').expect("a URL has a path"));
    let target = match method {
        "CONNECT" => format!("{host}:80"),
        _ => target.to_owned(),
    };
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !lines
        .iter()
        .any(|line| line.to_lowercase().starts_with("host:"))
    {
        head += &format!("Host: {host}\r\n");
    }
    for line in lines {
        head += &format!("{line}\r\n");
    }
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let body = "x".repeat(length.map_or(0, |length| length.parse().unwrap_or(0)));
    gateway
        .exchange(format!("{head}Connection: close\r\n\r\n{body}"))
        .status
}
