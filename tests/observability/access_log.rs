//! The access log and its formats.

use foregate_testkit::{Backend, Echo, Gateway};

const GET: &str =
    "GET /p/a?q=1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: story/1\r\nReferer: http://r/\r\n\r\n";

fn logging(access_log: &str) -> (Gateway, Backend) {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(&format!(
        r#"
        [access_log]
        {access_log}
        [sites."*"]
        [[sites."*".routes]]
        name = "everything"
        upstream = "app"
        [upstreams.app]
        servers = ["{}"]
        "#,
        backend.address()
    ))
    .start();
    (gateway, backend)
}

#[test]
fn json_tells_the_whole_story_of_a_request() {
    let (gateway, backend) = logging("to = \"{log}\"\nformat = \"json\"");
    let request = "POST /p/a?q=1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: story/1\r\nContent-Length: 5\r\n\r\nhello";
    let response = gateway.connect_from("127.0.0.7").exchange(request);
    let line = gateway.only_log_line();
    for (name, expected) in [
        ("client", "127.0.0.7"),
        ("method", "POST"),
        ("host", "a.example"),
        ("path", "/p/a"),
        ("query", "q=1"),
        ("protocol", "HTTP/1.1"),
        ("status", "200"),
        ("reason", "proxied"),
        ("bytes_in", "5"),
        ("bytes_out", &response.body.len().to_string()),
        ("site", "*"),
        ("route", "everything"),
        ("upstream", "app"),
        ("endpoint", &backend.address().to_string()),
        ("tries", "1"),
        ("user_agent", "story/1"),
        ("referer", ""),
    ] {
        assert_eq!(line.text(name), expected, "{name} in {}", line.value());
    }
    assert!(
        line.number("duration_ms") >= line.number("upstream_ms"),
        "{}",
        line.value()
    );
    assert_eq!(
        Some(line.text("request_id").as_str()),
        response.field("x-request-id")
    );
}

#[test]
fn combined_is_what_log_readers_know() {
    let (gateway, _backend) = logging("to = \"{log}\"\nformat = \"combined\"");
    let response = gateway.exchange(GET);
    let line = gateway.raw_log_lines(1).remove(0);
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let expected = format!(
        "] \"GET /p/a?q=1 HTTP/1.1\" 200 {} \"http://r/\" \"story/1\"",
        response.body.len()
    );
    assert!(line.ends_with(&expected), "{line}");
}

#[test]
fn a_template_is_filled_in() {
    let (gateway, _backend) =
        logging("to = \"{log}\"\nformat = '{client} {status} {route} {reason} {method}'");
    assert_eq!(gateway.exchange(GET).status, 200);
    assert_eq!(
        gateway.raw_log_lines(1),
        ["127.0.0.1 200 everything proxied GET"]
    );
}

#[test]
fn it_can_go_to_standard_output() {
    let (gateway, _backend) = logging("to = \"stdout\"\nformat = '{status} {reason} logged'");
    assert_eq!(gateway.exchange(GET).status, 200);
    foregate_testkit::eventually("the line is printed", || {
        gateway
            .stdout()
            .contains("200 proxied logged")
            .then_some(())
    });
}

#[test]
fn it_can_be_off() {
    let (gateway, _backend) = logging("to = \"off\"");
    assert_eq!(gateway.exchange(GET).status, 200);
    gateway.wait_metric(
        foregate_tests::metric::OUTCOMES,
        &[("reason", "proxied")],
        1.0,
    );
    assert!(!gateway.log_path().exists());
    assert!(!gateway.stdout().contains("proxied"));
}

#[test]
fn nobody_writes_lines_of_their_own_into_it() {
    let (gateway, _backend) = logging("to = \"{log}\"\nformat = \"combined\"");
    let request = "GET /\"%0a?\" HTTP/1.1\r\nHost: a\r\nUser-Agent: \" 200 1 \"\u{e9}\\\r\nConnection: close\r\n\r\n";
    gateway.exchange(request);
    let lines = gateway.raw_log_lines(1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        lines[0].matches('"').count(),
        6,
        "quotes of the client are escaped: {}",
        lines[0]
    );
}

#[test]
fn lines_come_in_bulk_too() {
    let (gateway, _backend) = logging("to = \"{log}\"\nformat = \"json\"");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000));
    for _ in 0..1000 {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(gateway.log_lines(1000).len(), 1000);
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    let (gateway, _backend) = logging("to = \"/dev/full\"\nformat = \"json\"");
    for _ in 0..100 {
        assert_eq!(gateway.get("a", "/").status, 200);
    }
    gateway.assert_no_leaks();
}

/// A line that says what was never asked leads whoever reads it astray.
#[test]
fn a_refused_request_is_told_as_it_came() {
    let format = "format = \"\\\"{method} {target} {protocol}\\\" {status}\"";
    let (gateway, backend) = logging(&format!("to = \"{{log}}\"\n{format}"));
    let long = format!("PUT /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    let requests = [
        (
            "POST /secret HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
            "\"POST /secret HTTP/1.1\" 400",
        ),
        (
            "DELETE /a HTTP/1.0\r\nX\0: y\r\n\r\n",
            "\"DELETE /a HTTP/1.0\" 400",
        ),
        (
            "BREW /pot HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "\"BREW /pot HTTP/1.1\" 400",
        ),
        ("GET /x HTTP/3.0\r\nHost: a\r\n\r\n", "\"GET /x -\" 505"),
        (long.as_str(), "\"PUT - -\" 414"),
        ("\x16\x03\x01\x02\0\x01\0", "\"- - -\" 400"),
    ];
    let mut expected = Vec::new();
    for (request, line) in requests {
        // Behind another one, of which nothing must be left.
        let mut client = gateway.connect();
        assert_eq!(client.exchange(GET).status, 200);
        client.send_if_taken(request);
        let status = client.response().status;
        assert!(line.ends_with(&status.to_string()), "{request:?}: {status}");
        client.assert_closed();
        expected.extend(["\"GET /p/a?q=1 HTTP/1.1\" 200", line]);
    }
    assert_eq!(gateway.raw_log_lines(expected.len()), expected);
    drop(backend);
    gateway.assert_no_leaks();
}

#[test]
fn a_request_that_never_became_whole_is_told_as_far_as_it_came() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(
        r#"
        [client]
        head_timeout = "200ms"
        [access_log]
        to = "{log}"
        format = "{method} {target} {protocol} {status} {reason}"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut lines = Vec::new();
    for (request, line) in [
        (
            "POST /slow HTTP/1.1\r\nHos",
            "POST /slow HTTP/1.1 408 head-timeout",
        ),
        ("POST /slo", "POST - - 408 head-timeout"),
        ("PO", "- - - 408 head-timeout"),
    ] {
        let mut client = gateway.connect();
        client.send(request);
        assert_eq!(client.response().status, 408);
        client.assert_closed();
        lines.push(line);
        assert_eq!(gateway.raw_log_lines(lines.len()), lines);
    }
}

#[test]
fn a_path_is_one_whatever_form_the_target_has() {
    let (gateway, _backend) = logging("to = \"{log}\"\nformat = \"json\"");
    let mut client = gateway.connect();
    client.exchange("GET http://a.example/abs?x=1 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.exchange("GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.exchange("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    let lines = gateway.log_lines(3);
    let parts = |line: &foregate_testkit::LogLine| [line.text("path"), line.text("query")];
    assert_eq!(parts(&lines[0]), ["/abs", "x=1"]);
    assert_eq!(parts(&lines[1]), ["/", ""]);
    assert_eq!(parts(&lines[2]), ["", ""]);
}

#[test]
fn the_site_is_told_that_has_no_route() {
    let gateway = Gateway::new(
        r#"
        [access_log]
        to = "{log}"
        format = "json"
        [sites."a.example"]
        [[sites."a.example".routes]]
        path = "/only"
        respond = { status = 200 }
        "#,
    )
    .start();
    let mut client = gateway.connect();
    client.exchange("GET /other HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.exchange("GET /other HTTP/1.1\r\nHost: b.example\r\n\r\n");
    let lines = gateway.log_lines(2);
    let told = |line: &foregate_testkit::LogLine| [line.reason().to_owned(), line.text("site")];
    assert_eq!(told(&lines[0]), ["no-route", "a.example"]);
    assert_eq!(told(&lines[1]), ["no-site", ""]);
}
