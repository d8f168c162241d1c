//! Stories of WebSocket: the library `websockets` on both ends, over HTTP/1.1 and, by RFC 8441, over HTTP/2.

use foregate_testkit::Gateway;
use foregate_tests::foreign::{Program, run_python};

/// Plays a story over both protocols; returns what the server saw of the ends.
fn both_ways(story: &str) -> Vec<String> {
    let mut server = Program::python("websocket/server.py", &[]);
    let backend = format!("127.0.0.1:{}", server.line("port "));
    let gateway = Gateway::new(
        "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{backend}\"]\n",
    )
    .fill("backend", backend)
    .start();
    let address = gateway.address().to_string();
    let mut ends = Vec::new();
    for protocol in ["h1", "h2"] {
        run_python("websocket/client.py", &[story, protocol, &address]);
        ends.push(server.line("closed "));
    }
    for line in gateway.log_lines(2) {
        assert_eq!(line.reason(), "upgraded", "{}", line.value());
    }
    gateway.assert_no_leaks();
    ends
}

#[test]
fn messages_of_both_kinds() {
    both_ways("messages");
}

#[test]
fn large_messages() {
    both_ways("large_messages");
}

#[test]
fn messages_in_fragments() {
    both_ways("fragments");
}

#[test]
fn pings_of_either_side() {
    both_ways("pings");
}

#[test]
fn a_close_of_the_server_reaches_the_client_with_its_code() {
    assert_eq!(both_ways("closed_by_server"), ["4001 enough"; 2]);
}

#[test]
fn a_close_of_the_client_reaches_the_server_with_its_code() {
    assert_eq!(both_ways("closed_by_client"), ["4002 going"; 2]);
}
