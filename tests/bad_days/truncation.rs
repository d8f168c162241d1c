//! Connections that end as if their wire were cut: without close_notify, nothing says that the peer meant it
//! (RFC 8446 §6.1), and somebody in between may have shortened what it sent.

use foregate_testkit::{Answer, BlackHole, Echo, Trouble, Visit};
use foregate_tests::assert_outcome;

use crate::backends::{cut_off, impatient};
use crate::clients;
use crate::road::{self, GET};

/// A body that the end of the connection ends.
const UNTIL_CLOSE: &str = "HTTP/1.0 200 OK\r\n\r\nand they lived happily";

#[test]
fn a_body_that_only_the_end_ends_is_whole_with_a_farewell_alone() {
    for road in [road::tls(), road::http2_tls()] {
        cut_off(
            &road,
            |visit: &mut Visit| {
                visit.next_request()?;
                visit.connection.cut_on_close();
                visit.send(UNTIL_CLOSE)
            },
            "upstream-truncated",
        );
        let backend = road.backend(|visit: &mut Visit| {
            visit.next_request()?;
            visit.send(UNTIL_CLOSE)
        });
        let gateway = impatient(&road, backend.address());
        assert_eq!(road.get(&gateway).text(), "and they lived happily");
        assert_outcome(&gateway, 200, "proxied");
    }
}

#[test]
fn an_answer_that_tells_its_own_end_needs_no_farewell() {
    let road = road::tls();
    let backend = road.backend(|visit: &mut Visit| {
        if let Some(request) = visit.next_request()? {
            visit.connection.cut_on_close();
            visit.answer(&request, &Answer::ok("whole"))?;
        }
        Ok(())
    });
    let gateway = impatient(&road, backend.address());
    let mut client = road.connect(&gateway);
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "whole");
    }
    drop(client);
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn an_answer_cut_short_is_no_answer() {
    let road = road::tls();
    cut_off(
        &road,
        |visit: &mut Visit| {
            visit.next_request()?;
            visit.connection.cut_on_close();
            visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        },
        "upstream-truncated",
    );
}

#[test]
fn a_client_that_is_cut_off_while_it_waits_is_gone() {
    let road = road::tls();
    let backend = road.backend(BlackHole);
    let gateway = clients::impatient(&road, &backend);
    let mut client = gateway.connect();
    client.send(GET);
    backend.wait_requests(1);
    client.into_connection().cut();
    assert_eq!(gateway.only_log_line().reason(), "client-gone");
    backend.wait_connections_open(0);
    gateway.assert_no_leaks();
}

#[test]
fn a_request_cut_short_is_no_request() {
    let road = road::tls();
    let backend = road.backend(Echo);
    let bodies = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    for request in bodies {
        let gateway = clients::impatient(&road, &backend);
        let mut client = gateway.connect();
        client.send(request);
        client.connection().cut_on_close();
        drop(client);
        let reason = gateway.only_log_line().reason();
        assert!(
            ["client-gone", "request-truncated"].contains(&reason.as_str()),
            "{request:?}: {reason}"
        );
        gateway.assert_no_leaks();
    }
    assert_eq!(backend.requests_total(), 0);
    backend.wait_connections_open(0);
}

#[test]
fn an_idle_connection_may_be_cut() {
    let road = road::tls();
    let backend = road.backend(Echo);
    let gateway = clients::impatient(&road, &backend);
    for _ in 0..5 {
        let mut client = gateway.connect();
        assert_eq!(client.exchange(GET).status, 200);
        client.into_connection().cut();
    }
    gateway.assert_no_leaks();
    let lines = gateway.log_lines(5);
    assert!(lines.iter().all(|line| line.reason() == "proxied"));
}

#[test]
fn a_client_whose_answer_is_cut_short_is_told() {
    let road = road::tls();
    let backend = road.backend(|visit: &mut Visit| {
        visit.next_request()?;
        visit.connection.cut_on_close();
        visit.send(UNTIL_CLOSE)
    });
    let gateway = clients::impatient(&road, &backend);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let trouble = client.try_response(false);
    assert!(
        matches!(trouble, Err(Trouble::Closed | Trouble::Reset)),
        "{trouble:?}"
    );
}
