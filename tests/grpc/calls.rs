//! Calls of every kind, as grpcio makes and serves them.

use foregate_tests::foreign::run_python;
use foregate_tests::secure::Certificates;

use crate::{Server, configured, play};

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
