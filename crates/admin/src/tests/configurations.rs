//! Whole configurations by the admin API.

use super::*;

#[test]
fn configurations_are_applied_with_what_is_said_of_them() {
    let admin = Admin::start();
    let body = "workers = 1\n";
    let (status, _, answer) = admin.ask(&format!(
        "PUT /config?note=a+b&confirm=60s&name=x.toml HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(status, 200, "{answer}");
    let told = admin.gateway.changes.lock().unwrap().join(" ");
    for part in ["workers = 1", "Some(\"a b\")", "Some(60s)", "x.toml"] {
        assert!(told.contains(part), "{told}");
    }
    for (request, status) in [
        ("PUT /config?confirm=never", 400),
        ("PUT /config?colour=red", 400),
        ("POST /config/confirm", 409),
        ("POST /config/rollback", 200),
        ("GET /config/history/1", 200),
        ("GET /config/history/2", 404),
        ("GET /config/history/x", 404),
        ("GET /config", 200),
    ] {
        let (answered, _, told) = admin.ask(&format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(answered, status, "{request}: {told}");
    }
}
