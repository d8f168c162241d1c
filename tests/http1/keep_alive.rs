//! One connection, many requests.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use foregate_testkit::{
    Answer, Backend, Echo, Gateway, PATIENCE, Signal, Trouble, Visit, eventually,
};

const GET: &str = "GET /n HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_connection_serves_many_requests() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..20 {
        let response = client.exchange(GET);
        assert_eq!(response.status, 200);
        assert!(!response.says_close());
    }
    assert_eq!(
        backend.connections_accepted(),
        1,
        "the backend connection is reused too"
    );
    drop(client);
    assert_eq!(
        gateway
            .log_lines(20)
            .iter()
            .filter(|line| line.reason() == "proxied")
            .count(),
        20
    );
    gateway.assert_no_leaks();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let pipeline: String = (0..50)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    client.send(pipeline);
    for n in 0..50 {
        assert_eq!(client.response().json()["target"], format!("/{n}"));
    }
    drop(client);
    gateway.assert_no_leaks();
}

/// A backend that believes that there is a body where there can be none sends it, sooner or later: whoever was given the
/// connection then would be told what somebody else asked for.
#[test]
fn a_connection_whose_last_body_is_in_doubt_is_not_used_again() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    let fine = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
    let length = format!("Content-Length: {}\r\n\r\n", evil.len());
    let coding = "Transfer-Encoding: chunked\r\n\r\n";
    for first in [
        format!("HTTP/1.1 204 No Content\r\n{length}"),
        format!("HTTP/1.1 204 No Content\r\n{coding}"),
        format!("HTTP/1.1 304 Not Modified\r\n{coding}"),
        format!("HTTP/1.1 103 Early Hints\r\n{length}{fine}"),
        format!("HTTP/1.1 103 Early Hints\r\n{coding}{fine}"),
    ] {
        let text = first.clone();
        let backend = Backend::start(move |visit: &mut Visit| {
            let Some(request) = visit.next_request()? else {
                return Ok(());
            };
            if request.target != "/first" {
                return visit.answer(&request, &Answer::ok("fine"));
            }
            visit.send(&text)?;
            // The body comes when it is taken for an answer: with the next request, if one comes here.
            if visit.next_head()?.is_some() {
                visit.send(evil)?;
            }
            Ok(())
        });
        let gateway = Gateway::new(
            r#"
            workers = 1
            [sites."*"]
            upstream = "app"
            [upstreams.app]
            servers = ["{backend}"]
            "#,
        )
        .fill("backend", backend.address())
        .start();
        gateway.get("a", "/first");
        assert_eq!(gateway.get("a", "/second").text(), "fine", "{first:?}");
        assert_eq!(backend.connections_accepted(), 2, "{first:?}");
    }
}

#[test]
fn an_ordinary_304_keeps_its_connection() {
    let backend = Backend::start(|visit: &mut Visit| {
        while visit.next_request()?.is_some() {
            visit.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 42\r\n\r\n")?;
        }
        Ok(())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..5 {
        assert_eq!(client.exchange(GET).status, 304);
    }
    assert_eq!(backend.connections_accepted(), 1);
}

#[test]
fn a_slow_first_answer_is_not_overtaken() {
    let open = Arc::new((Mutex::new(false), Condvar::new()));
    let door = Arc::clone(&open);
    let backend = Backend::answering(move |request| {
        if request.target == "/slow" {
            let (open, opened) = &*door;
            let guard = open.lock().expect("no panics");
            let _ = opened.wait_timeout_while(guard, PATIENCE, |open| !*open);
        }
        Answer::ok(request.target.clone())
    });
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\nPOST /posted HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    client.assert_silent_for(std::time::Duration::from_millis(200));
    *open.0.lock().expect("no panics") = true;
    open.1.notify_all();
    for expected in ["/slow", "/posted", "/last"] {
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn requests_arriving_byte_by_byte_are_served() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for byte in
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            .bytes()
    {
        client.send([byte]);
    }
    let seen = client.response().json();
    assert_eq!(
        (&seen["target"], &seen["body_bytes"]),
        (&"/x".into(), &3.into())
    );
}

#[test]
fn an_empty_line_before_a_request_is_forgiven() {
    // RFC 9112 section 2.2: a server SHOULD ignore at least one empty line received prior to the request-line.
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    assert_eq!(client.exchange(GET).status, 200);
    client.send("\r\n");
    assert_eq!(client.exchange(GET).status, 200);
}

/// Old clients send an empty line behind a body. It was taken for the beginning of a request, which never came, and the
/// connection ended with a 408.
#[test]
fn an_empty_line_behind_a_body_begins_no_request() {
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n";
    let backend = Backend::start(Echo);
    let mut gateway = Gateway::new(&format!(
        "drain_timeout = \"1h\"\n[client]\nhead_timeout = \"300ms\"\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
        backend.address()
    ))
    .start();
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(client.exchange(POST).status, 200);
        client.assert_silent_for(Duration::from_millis(600));
    }
    assert_eq!(client.exchange(GET).status, 200);
    // The end of the client is none of a request either.
    let mut leaving = gateway.connect();
    assert_eq!(leaving.exchange(POST).status, 200);
    leaving.connection().finish_sending();
    leaving.assert_closed();
    // One is forgiven, and not any number of them.
    let mut silly = gateway.connect();
    silly.send("\r\n");
    silly.send("\r\n");
    assert_eq!(silly.response().status, 400);
    // Who has sent nothing else is not waited for.
    let mut waiting = gateway.connect();
    assert_eq!(waiting.exchange(POST).status, 200);
    gateway.signal(Signal::Term);
    waiting.assert_closed();
    gateway.wait_exit();
    let statuses: Vec<_> = gateway
        .log_lines(6)
        .iter()
        .map(|line| line.status())
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 400, 200]);
}

#[test]
fn connection_close_is_honoured() {
    let backend = Backend::start(Echo);
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    let response = client.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(response.says_close());
    client.assert_closed();
    gateway.assert_no_leaks();
}

#[test]
fn a_backends_close_is_not_the_clients() {
    let backend = Backend::answering(|_| Answer::ok("x").field("Connection", "close"));
    let gateway = Gateway::before(&[backend.address()]);
    let mut client = gateway.connect();
    for _ in 0..3 {
        let response = client.exchange(GET);
        assert_eq!((response.status, response.says_close()), (200, false));
    }
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn after_the_last_allowed_request_the_connection_closes() {
    let gateway = Gateway::new(
        r#"
        [client]
        requests_per_connection_max = 3
        [sites."*"]
        [[sites."*".routes]]
        respond = { status = 200, body = "x" }
        "#,
    )
    .start();
    let mut client = gateway.connect();
    assert!(!client.exchange(GET).says_close());
    assert!(!client.exchange(GET).says_close());
    assert!(client.exchange(GET).says_close());
    client.assert_closed();
    assert_eq!(
        client
            .try_response(false)
            .err()
            .map(|trouble| trouble != Trouble::Late),
        Some(true)
    );
}

/// A connection lives as long as its client wants; its limit is the one that is in force.
#[test]
fn a_reload_limits_the_requests_of_open_connections_too() {
    let limited = |max: &str, body: &str| {
        format!(
            r#"
            workers = 1
            [client]
            requests_per_connection_max = {max}
            [sites."*"]
            [[sites."*".routes]]
            respond = {{ status = 200, body = "{body}" }}
            "#
        )
    };
    let reload = |gateway: &mut Gateway, max: &str, body: &str| {
        gateway.rewrite_config(&limited(max, body), &[]);
        assert_eq!(gateway.admin_send("POST", "/reload", "").status, 200);
        eventually("the worker has it", || {
            (gateway.get("a", "/").text() == body).then_some(())
        });
    };
    let mut gateway = Gateway::new(&limited("2", "few")).start();
    let mut client = gateway.connect();
    assert!(!client.exchange(GET).says_close());
    reload(&mut gateway, "\"off\"", "many");
    for _ in 0..3 {
        assert!(!client.exchange(GET).says_close());
    }
    reload(&mut gateway, "3", "few again");
    assert!(client.exchange(GET).says_close());
    client.assert_closed();
}
