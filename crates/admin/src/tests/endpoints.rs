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

#[test]
fn endpoints_are_shown_and_changed() {
    let admin = Admin::start();
    let (status, _, body) = admin.get("/upstreams");
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &shown["upstreams"][0]["name"]),
        (200, &json!("app"))
    );
    assert_eq!(admin.get("/upstreams/app").0, 200);
    assert_eq!(admin.get("/upstreams/nobody").0, 404);
    let send = |method: &str, path: &str, body: &str| {
        let (status, _, answer) = admin.ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        (status, answer)
    };
    let list = "/upstreams/app/endpoints";
    let one = "/upstreams/app/endpoints/10.0.0.1:80";
    assert_eq!(
        send("POST", list, r#"{"address":"10.0.0.2:80","weight":3}"#).0,
        201
    );
    assert_eq!(send("PATCH", one, r#"{"state":"draining"}"#).0, 200);
    assert_eq!(
        send("DELETE", "/upstreams/app/endpoints/%5B::1%5D:80", ""),
        (204, String::new())
    );
    let told = admin.gateway.changes.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            "10.0.0.2:80 added weight 3",
            "10.0.0.1:80 draining",
            "[::1]:80 removed"
        ]
    );
    for (method, path, body, status, error) in [
        ("POST", list, "", 400, "invalid-body"),
        (
            "POST",
            list,
            r#"{"address":"a:1","wieght":1}"#,
            400,
            "invalid-body",
        ),
        ("PATCH", one, "{}", 400, "invalid-body"),
        ("PATCH", one, r#"{"state":"asleep"}"#, 400, "invalid-body"),
        (
            "DELETE",
            "/upstreams/nobody/endpoints/a:1",
            "",
            404,
            "not-found",
        ),
        ("PUT", one, "", 405, "method-not-allowed"),
    ] {
        let (got, answer) = send(method, path, body);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            (got, &answer["error"]),
            (status, &json!(error)),
            "{method} {path} {body}"
        );
        assert!(answer["detail"].is_string());
    }
    assert_eq!(admin.gateway.changes.lock().unwrap().len(), 3);
}

#[test]
fn a_foreign_page_changes_no_endpoint() {
    let admin = Admin::start();
    let request = "DELETE /upstreams/app/endpoints/10.0.0.1:80 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(admin.ask(request).0, 403);
    assert!(admin.gateway.changes.lock().unwrap().is_empty());
}
