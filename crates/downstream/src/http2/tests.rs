//! What no story reaches from outside: a defect behind one stream.

use crate::handler::{Arrival, Handler, Passage};
use crate::served::{limits, served};
use foregate_message::{BodyLength, Chunk, Client, ResponseHead, Status};
use foregate_telemetry::metrics::Registry;
use foregate_testkit::Http2Client;
use foregate_testkit::http2::code::INTERNAL_ERROR;
use std::future::poll_fn;
use std::sync::Arc;

/// Answers with the target, unless that is what it can't bear.
struct Delicate;

impl Handler for Delicate {
    async fn serve<C: Client>(&self, client: &mut C, arrival: Arrival<'_>) {
        let target = arrival.head.target().to_vec();
        assert_ne!(target, b"/panic", "a defect");
        let length = BodyLength::Known(target.len() as u64);
        client.respond(&ResponseHead::new(Status::OK), length);
        client.send(Chunk::copy_of(&target));
        client.finish(None);
        let _ = poll_fn(|cx| client.poll_flush(cx)).await;
    }

    async fn pass<C: Client>(&self, client: &mut C, _: Passage) {
        client.abort();
    }
}

#[test]
fn a_panic_resets_its_stream_and_harms_no_other() {
    let registry = Registry::new(&["fine"]);
    let address = served(limits(), Arc::clone(&registry), |_| Delicate);
    let mut client = Http2Client::connect(address);
    let before = client.request("GET", "/before", &[], true);
    let broken = client.request("GET", "/panic", &[], true);
    let after = client.request("GET", "/after", &[], true);
    assert_eq!(client.answer(broken).reset, Some(INTERNAL_ERROR));
    assert_eq!(client.answer(before).text(), "/before");
    assert_eq!(client.answer(after).text(), "/after");
    // The task that panicked serves on.
    for _ in 0..5 {
        assert_eq!(client.get("/again").text(), "/again");
    }
    assert!(registry.render().contains("foregate_panics_total 1\n"));
}
