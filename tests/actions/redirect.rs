//! Routes that send the client elsewhere.

use foregate_testkit::Gateway;
use foregate_tests::assert_outcome;

fn redirecting(redirect: &str) -> Gateway {
    Gateway::new(&format!(
        "[sites.\"*\"]\n[[sites.\"*\".routes]]\nredirect = {redirect}\n"
    ))
    .start()
}

fn check(redirect: &str, target: &str, expected_status: u16, expected_location: &str) {
    let gateway = redirecting(redirect);
    let response = gateway.get("old.example", target);
    assert_eq!(
        (response.status, response.field("location")),
        (expected_status, Some(expected_location)),
        "{redirect} {target}"
    );
    assert_outcome(&gateway, expected_status, "redirected");
}

#[test]
fn to_another_host_with_path_and_query() {
    check(
        r#"{ to = "https://example.org{path}{query}" }"#,
        "/a/b?x=1&y",
        308,
        "https://example.org/a/b?x=1&y",
    );
}

#[test]
fn without_a_query_no_question_mark_is_left() {
    check(
        r#"{ to = "https://example.org{path}{query}" }"#,
        "/a",
        308,
        "https://example.org/a",
    );
}

#[test]
fn to_the_same_host_under_another_scheme() {
    check(
        r#"{ to = "https://{host}{path}", status = 301 }"#,
        "/a",
        301,
        "https://old.example/a",
    );
}

#[test]
fn a_posted_body_does_not_spoil_the_connection() {
    let gateway = redirecting(r#"{ to = "/new", status = 303 }"#);
    let mut client = gateway.connect();
    let post = "POST /old HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    for _ in 0..3 {
        let response = client.exchange(post);
        assert_eq!(
            (response.status, response.field("location")),
            (303, Some("/new"))
        );
    }
    drop(client);
    gateway.assert_no_leaks();
}

/// A proxy in front that ends TLS: its visitors come by HTTPS, and must not be sent to cleartext.
#[test]
fn who_came_by_https_to_a_trusted_proxy_stays_there() {
    let gateway = Gateway::new(
        r#"
        [forwarding]
        trusted_proxies = ["127.0.0.2/32"]
        [sites."*"]
        hsts = { max_age = "1h" }
        [[sites."*".routes]]
        redirect = { to = "{scheme}://{host}{path}" }
        [[sites."*".routes]]
        path = "/told"
        respond = { status = 200 }
        response_headers = { set = { "X-Scheme" = "{scheme}" } }
        "#,
    )
    .start();
    for (from, claim, scheme) in [
        ("127.0.0.2", "X-Forwarded-Proto: https\r\n", "https"),
        (
            "127.0.0.2",
            "Forwarded: for=192.0.2.7;proto=https\r\n",
            "https",
        ),
        ("127.0.0.2", "X-Forwarded-Proto: http\r\n", "http"),
        ("127.0.0.2", "", "http"),
        ("127.0.0.9", "X-Forwarded-Proto: https\r\n", "http"),
    ] {
        let mut client = gateway.connect_from(from);
        let mut ask =
            |path: &str| client.exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{claim}\r\n"));
        let location = format!("{scheme}://a/x");
        assert_eq!(
            ask("/x").field("location"),
            Some(location.as_str()),
            "{from} {claim}"
        );
        let told = ask("/told");
        assert_eq!(told.field("x-scheme"), Some(scheme));
        assert_eq!(
            told.fields.has("strict-transport-security"),
            scheme == "https"
        );
    }
}
