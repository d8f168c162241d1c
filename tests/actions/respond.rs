//! Routes with a fixed answer.

use foregate_testkit::{Framing, Gateway};
use foregate_tests::assert_outcome;

const HELLO: &str = r#"
[sites."*"]
[[sites."*".routes]]
respond = { status = 418, body = "short and stout", headers = { "Content-Type" = "text/plain", "X-Pot" = "tea" } }
"#;

#[test]
fn the_answer_is_as_configured() {
    let gateway = Gateway::new(HELLO).start();
    let response = gateway.get("a.example", "/");
    assert_eq!(
        (response.status, response.text().as_str()),
        (418, "short and stout")
    );
    assert_eq!(response.field("content-type"), Some("text/plain"));
    assert_eq!(response.field("x-pot"), Some("tea"));
    assert_eq!(response.framing, Framing::Length(15));
    assert_outcome(&gateway, 418, "responded");
}

#[test]
fn head_gets_the_length_without_the_body() {
    let gateway = Gateway::new(HELLO).start();
    let mut client = gateway.connect();
    let response = client.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (response.status, response.field("content-length")),
        (418, Some("15"))
    );
    let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        response.text(),
        "short and stout",
        "the connection is still in step"
    );
}

#[test]
fn an_answer_without_content_has_no_length() {
    let gateway =
        Gateway::new("[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 204 }\n").start();
    let response = gateway.get("a.example", "/");
    assert_eq!(
        (response.status, response.field("content-length")),
        (204, None)
    );
    assert_outcome(&gateway, 204, "responded");
}

#[test]
fn field_rules_hold_for_fixed_answers_too() {
    let gateway = Gateway::new(
        r#"
        [sites."*"]
        [[sites."*".routes]]
        respond = { status = 200, body = "x" }
        response_headers = { set = { "X-Frame-Options" = "DENY" } }
        "#,
    )
    .start();
    assert_eq!(
        gateway.get("a.example", "/").field("x-frame-options"),
        Some("DENY")
    );
}
