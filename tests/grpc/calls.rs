//! Calls of every kind, as grpcio makes and serves them.

use foregate_testkit::Authority;
use foregate_tests::foreign::run_python;
use foregate_tests::secure::Certificates;
use foregate_tests::{assert_outcome, metric};

use crate::{Server, configured, configured_by, play};

/// One story in cleartext and over TLS; every stream is over afterwards.
fn both_ways(story: &str) {
    let (server, certificates) = (Server::start(), Certificates::new());
    let gateway = configured(&certificates, &server.address, "").start();
    play(&gateway, story);
    let secure = gateway.listener("secure").to_string();
    let ca = certificates.path("ca.pem");
    run_python("grpc/client.py", &[story, &secure, &ca]);
    gateway.assert_no_leaks();
}

/// What has servers spoken to by TLS, if the authority of the story has certified them.
fn trusting(certificates: &Certificates) -> String {
    let ca = certificates.path("ca.pem");
    format!("tls = {{ ca_file = \"{ca}\", server_name = \"server.example\" }}")
}

/// From clients in cleartext and over TLS to a server that speaks TLS only, whether HTTP/2 is demanded or agreed on.
#[test]
fn a_server_that_speaks_tls_is_called_as_any_other() {
    let certificates = Certificates::new();
    certificates.issue("server", &["server.example"]);
    let server = Server::secure(&certificates, "server");
    let (trusting, ca) = (trusting(&certificates), certificates.path("ca.pem"));
    for (protocol, listener, more) in [("h2", "public", None), ("auto", "secure", Some(&*ca))] {
        let gateway = configured_by(protocol, &certificates, &server.address, &trusting).start();
        let address = gateway.listener(listener).to_string();
        let arguments: Vec<&str> = ["all_over_tls", &address].into_iter().chain(more).collect();
        run_python("grpc/client.py", &arguments);
        let connects = [("upstream", "app")];
        assert_eq!(gateway.metric(metric::ENDPOINT_CONNECTS, &connects), 1.0);
        let calls = gateway.metric(metric::OUTCOMES, &[("reason", "proxied")]);
        assert!(calls > 300.0, "{calls}");
        gateway.assert_no_leaks();
    }
}

/// Nothing of a call is sent to a server that is not who it should be.
#[test]
fn a_server_of_a_stranger_is_unavailable() {
    let certificates = Certificates::new();
    let stranger = Authority::new("Stranger").issue(&["server.example"]);
    certificates.put_pair("server", &stranger);
    let server = Server::secure(&certificates, "server");
    let gateway = configured(&certificates, &server.address, &trusting(&certificates)).start();
    play(&gateway, "expect:UNAVAILABLE");
    assert_outcome(&gateway, 200, "upstream-untrusted");
}

#[test]
fn unary_calls_one_by_one_and_many_at_a_time() {
    both_ways("unary_calls");
}

#[test]
fn metadata_before_and_behind_the_message() {
    both_ways("metadata");
}

#[test]
fn a_stream_of_answers() {
    both_ways("server_streaming");
}

#[test]
fn a_stream_of_requests() {
    both_ways("client_streaming");
}

#[test]
fn a_conversation_in_which_each_waits_for_the_other() {
    both_ways("both_streaming");
}

#[test]
fn who_streams_may_be_silent_for_longer_than_other_bodies_may() {
    let (server, certificates) = (Server::start(), Certificates::new());
    let short = "[client]\nbody_rate_grace = \"200ms\"";
    let gateway = configured(&certificates, &server.address, short).start();
    play(&gateway, "pauses");
}

#[test]
fn statuses_keep_their_code_and_text() {
    both_ways("statuses");
}

#[test]
fn a_deadline_reaches_the_server_and_ends_the_call_there() {
    both_ways("deadlines");
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_server() {
    both_ways("cancellation");
}
