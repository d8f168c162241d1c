//! What became of a change of an endpoint.

use super::*;

fn send(admin: &Admin, method: &str, path: &str, body: &str) -> (u16, String) {
    let (status, _, answer) = admin.ask(&format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    (status, answer)
}

#[test]
fn an_upstream_that_went_meanwhile_is_not_shown_as_nothing() {
    let admin = Admin::start();
    let add = r#"{"address":"a:1"}"#;
    let (status, answer) = send(&admin, "POST", "/upstreams/fleeting/endpoints", add);
    assert_eq!(status, 404, "{answer}");
    assert!(answer.contains("\"not-found\""), "{answer}");
    let one = "/upstreams/fleeting/endpoints/a:1";
    let (status, answer) = send(&admin, "PATCH", one, r#"{"weight":2}"#);
    assert_eq!(status, 404, "{answer}");
    assert_eq!(send(&admin, "DELETE", one, ""), (204, String::new()));
}

#[test]
fn a_change_that_is_noted_and_not_in_force_yet_is_no_failure() {
    let admin = Admin::start();
    let one = "/upstreams/slow/endpoints/a:1";
    for (method, body) in [("PATCH", r#"{"weight":2}"#), ("DELETE", "")] {
        let (status, answer) = send(&admin, method, one, body);
        assert_eq!(status, 504, "{answer}");
        assert!(answer.contains("\"pending\""), "{answer}");
    }
}
