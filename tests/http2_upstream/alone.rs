//! Connections that no pool has any more are looked after until they end.

use foregate_testkit::http2::{END_HEADERS, frame, greet, kind, take_frame};
use foregate_testkit::{Backend, Echo, Gateway, Visit, eventually};

/// Begins an answer, and then neither says nor acknowledges anything.
fn falls_silent() -> Backend {
    Backend::start(|visit: &mut Visit| {
        greet(&mut visit.connection)?;
        loop {
            let came = take_frame(&mut visit.connection)?;
            if came.kind == kind::HEADERS {
                visit.send(frame(kind::HEADERS, END_HEADERS, came.stream, &[0x88]))?;
            }
        }
    })
}

/// A long call whose upstream a reload has given other backends. Its host dies: nobody would ever know but for the
/// acknowledgement that is due.
#[test]
fn a_stream_that_a_reload_has_left_behind_is_not_waited_for_for_ever() {
    let (backend, other) = (falls_silent(), Backend::start(Echo));
    let mut gateway = Gateway::new(
        r#"
        workers = 1
        [client.http2]
        ack_timeout = "3s"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{backend}"]
        protocol = "h2"
        timeouts = { between_bytes = "off" }
        "#,
    )
    .fill("backend", backend.address())
    .start();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while !client.connection().line().expect("a head").is_empty() {}
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let address = |backend: &Backend| backend.address().to_string();
    let moved = text.replace(&address(&backend), &address(&other));
    gateway.rewrite_config(&moved, &[]);
    assert_eq!(gateway.admin_send("POST", "/reload", "").status, 200);
    assert_eq!(gateway.only_log_line().reason(), "upstream-silent");
    eventually("the connection is closed", || {
        (backend.connections_open() == 0).then_some(())
    });
}
