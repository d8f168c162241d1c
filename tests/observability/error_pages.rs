//! What a client is told when the gateway itself answers.

use foregate_testkit::{Gateway, Refuser};

#[test]
fn an_error_page_names_the_request_and_nothing_inside() {
    let refuser = Refuser::start();
    let gateway = Gateway::before(&[refuser.address()]);
    let response = gateway.get("a", "/");
    assert_eq!(response.status, 502);
    let id = gateway.only_log_line().text("request_id");
    assert!(
        !id.is_empty() && response.text().contains(&id),
        "{id} in {}",
        response.text()
    );
    assert!(response.field("content-type").is_some());
    assert!(
        response.field("date").is_some(),
        "an origin with a clock sends Date (RFC 9110 section 6.6.1)"
    );
    let told = format!("{:?} {}", response.fields, response.text());
    assert!(
        !told.contains(&refuser.address().port().to_string()),
        "the backend's address is nobody's business: {told}"
    );
}

#[test]
fn a_malformed_request_cannot_write_into_its_error_page() {
    let gateway =
        Gateway::new("[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 200 }\n").start();
    let response =
        gateway.exchange("GET /<script>alert(1)</script> HTTP/9.9\r\nHost: <script>\r\n\r\n");
    assert_eq!(response.status, 505);
    assert!(
        !response.text().contains("<script>alert"),
        "{}",
        response.text()
    );
}

#[test]
fn a_grpc_client_is_told_in_its_own_terms() {
    let refuser = Refuser::start();
    let gateway = Gateway::before(&[refuser.address()]);
    let response = gateway.exchange(
        "POST /pets.Shop/Buy HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(response.status, 200);
    assert_eq!(
        response.field("content-type"),
        Some("application/grpc+proto")
    );
    assert_eq!(response.field("grpc-status"), Some("14"));
    let line = gateway.only_log_line();
    let message = format!("Bad Gateway request {}", line.text("request_id"));
    assert_eq!(response.field("grpc-message"), Some(message.as_str()));
    assert_eq!(response.body, b"");
    assert_eq!(
        (line.status(), line.reason()),
        (200, "connect-failed".into())
    );
}
