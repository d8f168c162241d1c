//! What the backend is told about the client, and whom it is believed from.

use foregate_testkit::{Backend, Echo, Gateway, Request, eventually};

const CLAIMS: &str = concat!(
    "GET /p HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n",
    "X-Forwarded-Host: claimed.example\r\nX-Forwarded-Port: 443\r\nForwarded: for=192.0.2.1;proto=https\r\n",
    "Via: 1.0 front\r\n\r\n"
);

/// What a backend sees of the claims of a client at `from`, when `127.0.0.2` is a trusted proxy.
fn seen_from(from: &str, forwarding: &str) -> (Request, Gateway) {
    seen_of(CLAIMS, from, forwarding)
}

fn seen_of(request: &str, from: &str, forwarding: &str) -> (Request, Gateway) {
    let backend = Backend::start(Echo);
    let gateway = Gateway::new(&format!(
        r#"
        [forwarding]
        trusted_proxies = ["127.0.0.2/32"]
        {forwarding}
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{}"]
        "#,
        backend.address()
    ))
    .start();
    assert_eq!(gateway.connect_from(from).exchange(request).status, 200);
    (backend.only_request(), gateway)
}

#[test]
fn what_an_untrusted_client_claims_is_replaced() {
    let (seen, gateway) = seen_from("127.0.0.9", "");
    assert_eq!(seen.fields.all("x-forwarded-for"), ["127.0.0.9"]);
    assert_eq!(seen.fields.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.fields.all("x-forwarded-host"), ["a.example"]);
    assert_eq!(
        seen.fields.all("x-forwarded-port"),
        [gateway.address().port().to_string().as_str()]
    );
    let forwarded = seen.fields.all("forwarded").join(", ");
    assert!(forwarded.contains("for=127.0.0.9"), "{forwarded}");
    assert!(
        forwarded.contains("proto=http") && !forwarded.contains("https"),
        "{forwarded}"
    );
    assert!(!forwarded.contains("192.0.2.1"), "{forwarded}");
    assert_eq!(gateway.only_log_line().text("client"), "127.0.0.9");
}

#[test]
fn what_a_trusted_proxy_claims_is_kept_and_extended() {
    let (seen, gateway) = seen_from("127.0.0.2", "");
    assert_eq!(
        seen.fields.all("x-forwarded-for").join(", "),
        "192.0.2.1, 127.0.0.2"
    );
    assert_eq!(seen.fields.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.fields.all("x-forwarded-host"), ["claimed.example"]);
    let forwarded = seen.fields.all("forwarded").join(", ");
    assert!(
        forwarded.starts_with("for=192.0.2.1;host=claimed.example;proto=https, for=127.0.0.2;"),
        "{forwarded}"
    );
    assert_eq!(gateway.only_log_line().text("client"), "192.0.2.1");
}

/// What came in Forwarded alone was not believed, and backends were sent two forms that said different things.
#[test]
fn a_trusted_proxy_may_speak_in_forwarded_alone() {
    let request = concat!(
        "GET /p HTTP/1.1\r\nHost: a.example\r\n",
        "Forwarded: for=198.51.100.9, for=\"10.1.1.1:5555\";proto=https;host=pub.example\r\n\r\n"
    );
    let (seen, gateway) = seen_of(request, "127.0.0.2", "");
    let one = |name: &str| seen.fields.all(name).join(" | ");
    assert_eq!(one("x-forwarded-for"), "10.1.1.1, 127.0.0.2");
    assert_eq!(one("x-forwarded-proto"), "https");
    assert_eq!(one("x-forwarded-host"), "pub.example");
    assert_eq!(one("x-forwarded-port"), "443");
    assert_eq!(
        one("forwarded"),
        "for=\"10.1.1.1:5555\";proto=https;host=pub.example, \
         for=127.0.0.2;host=a.example;proto=http"
    );
    assert_eq!(gateway.only_log_line().text("client"), "10.1.1.1");
    let (seen, gateway) = seen_of(request, "127.0.0.9", "");
    assert_eq!(seen.fields.all("x-forwarded-for"), ["127.0.0.9"]);
    assert_eq!(gateway.only_log_line().text("client"), "127.0.0.9");
}

#[test]
fn of_two_forms_that_differ_x_forwarded_for_is_believed() {
    let request = concat!(
        "GET /p HTTP/1.1\r\nHost: a.example\r\nForwarded: for=10.6.6.6;proto=https\r\n",
        "X-Forwarded-For: [2001:db8::1]:5555\r\n\r\n"
    );
    let (seen, gateway) = seen_of(request, "127.0.0.2", "");
    let one = |name: &str| seen.fields.all(name).join(" | ");
    assert_eq!(one("x-forwarded-for"), "[2001:db8::1]:5555, 127.0.0.2");
    assert_eq!(one("x-forwarded-proto"), "http");
    assert_eq!(
        one("forwarded"),
        "for=\"[2001:db8::1]\", for=127.0.0.2;host=a.example;proto=http"
    );
    assert_eq!(gateway.only_log_line().text("client"), "2001:db8::1");
}

/// A balancer that knows X-Forwarded-For alone passes on what its client wrote as Forwarded, and backends that read the
/// first element of it believed the client.
#[test]
fn what_a_client_writes_as_forwarded_does_not_come_through_a_balancer() {
    for forged in [
        "for=192.0.2.1;host=evil.example;proto=https, for=192.0.2.2",
        "for=192.0.2.2;host=\"evil.example/x\";proto=gopher",
        "for=192.0.2.2;by=evil",
    ] {
        let request = format!(
            "GET /p HTTP/1.1\r\nHost: a.example\r\nForwarded: {forged}\r\n\
             X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n\r\n"
        );
        let (seen, _) = seen_of(&request, "127.0.0.2", "");
        assert_eq!(
            seen.fields.all("forwarded"),
            ["for=192.0.2.2, for=127.0.0.2;host=a.example;proto=http"]
        );
    }
}

/// Routes by the client's address believe the same proxies.
#[test]
fn whom_a_proxy_speaks_for_is_who_a_route_is_for() {
    let gateway = Gateway::new(
        r#"
        [forwarding]
        trusted_proxies = ["127.0.0.2/32"]
        [sites."*"]
        [[sites."*".routes]]
        clients = ["10.0.0.0/8"]
        respond = { status = 200, body = "inside" }
        [[sites."*".routes]]
        respond = { status = 200, body = "outside" }
        "#,
    )
    .start();
    for (from, said, expected) in [
        ("127.0.0.2", "Forwarded: for=10.1.1.1", "inside"),
        ("127.0.0.2", "X-Forwarded-For: 10.1.1.1:5555", "inside"),
        (
            "127.0.0.2",
            "X-Forwarded-For: [::ffff:10.1.1.1]:1",
            "inside",
        ),
        (
            "127.0.0.2",
            "Forwarded: for=10.1.1.1, for=192.0.2.1",
            "outside",
        ),
        (
            "127.0.0.2",
            "Forwarded: for=10.1.1.1, for=unknown",
            "outside",
        ),
        (
            "127.0.0.2",
            "Forwarded: for=\"10.1.1.1, for=192.0.2.1",
            "outside",
        ),
        ("127.0.0.9", "Forwarded: for=10.1.1.1", "outside"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{said}\r\n\r\n");
        let answer = gateway.connect_from(from).exchange(request);
        assert_eq!(answer.text(), expected, "{from} {said}");
    }
}

#[test]
fn via_names_the_gateway_and_the_version_it_was_spoken_to_in() {
    let (seen, _) = seen_from("127.0.0.9", "");
    assert_eq!(seen.fields.all("via").join(", "), "1.0 front, 1.1 foregate");
}

#[test]
fn each_of_them_can_be_switched_off() {
    let (seen, _) = seen_from(
        "127.0.0.9",
        "x_forwarded = false\nforwarded = false\nvia = \"off\"",
    );
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "forwarded",
    ] {
        assert_eq!(
            seen.field(name),
            None,
            "an untrusted claim is never passed on: {name}"
        );
    }
    assert_eq!(seen.fields.all("via"), ["1.0 front"]);
}

#[test]
fn what_is_off_is_not_passed_on_for_a_trusted_proxy_either() {
    let (seen, _) = seen_from("127.0.0.2", "x_forwarded = false");
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
    ] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    let forwarded = seen.fields.all("forwarded").join(", ");
    assert!(forwarded.starts_with("for=192.0.2.1;"), "{forwarded}");
    let (seen, _) = seen_from("127.0.0.2", "forwarded = false");
    assert_eq!(seen.field("forwarded"), None);
    assert_eq!(seen.fields.all("x-forwarded-for"), ["192.0.2.1, 127.0.0.2"]);
}

#[test]
fn another_pseudonym_can_be_chosen() {
    let (seen, _) = seen_from("127.0.0.9", "via = \"edge-7\"");
    assert_eq!(seen.fields.all("via").join(", "), "1.0 front, 1.1 edge-7");
}

/// The proxy in front had connections open when it was made a trusted one, and again when it was none any more.
#[test]
fn who_is_trusted_after_a_reload_is_so_on_open_connections_too() {
    let claim = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    let backend = Backend::start(Echo);
    let mut gateway = Gateway::new(&trusting("127.0.0.2/32"))
        .fill("backend", backend.address())
        .start();
    let mut client = gateway.connect_from("127.0.0.3");
    let mut told = || {
        assert_eq!(client.exchange(claim).status, 200);
        backend
            .last_request()
            .fields
            .all("x-forwarded-for")
            .join(", ")
    };
    assert_eq!(told(), "127.0.0.3");
    for (trusted, expected) in [
        ("127.0.0.3/32", "203.0.113.9, 127.0.0.3"),
        ("127.0.0.2/32", "127.0.0.3"),
    ] {
        gateway.rewrite_config(&trusting(trusted), &[]);
        assert_eq!(gateway.admin_send("POST", "/reload", "").status, 200);
        eventually("what the backend is told follows", || {
            (told() == expected).then_some(())
        });
    }
}

fn trusting(proxies: &str) -> String {
    format!(
        r#"
        [forwarding]
        trusted_proxies = ["{proxies}"]
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{{backend}}"]
        "#
    )
}
