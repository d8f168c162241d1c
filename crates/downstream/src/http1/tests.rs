//! What no story reaches from outside: an answer of which everything is queued, and not all is taken.

use crate::handler::{Arrival, Handler, Passage};
use crate::served::{limits, served};
use crate::{ClientLimits, Which, Worker};
use foregate_message::{BodyLength, Chunk, Client, ResponseHead, Status};
use foregate_telemetry::clock::now;
use foregate_telemetry::metrics::Registry;
use foregate_testkit::{RawClient, Trouble};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::task::Poll;
use std::time::Duration;

/// More than the kernel holds for a client that does not read.
const BYTES: usize = 32 * 1024 * 1024;

/// Answers with a body that lasts until close. Once the client takes no more, ends it as the target says.
struct Stalled {
    worker: Rc<Worker>,
    reasons: SyncSender<&'static str>,
}

impl Handler for Stalled {
    async fn serve<C: Client>(&self, client: &mut C, arrival: Arrival<'_>) {
        client.respond(&ResponseHead::new(Status::OK), BodyLength::Unknown);
        client.send(Chunk::copy_of(&vec![b'x'; BYTES]));
        client.finish(None);
        poll_fn(|cx| {
            assert!(client.poll_flush(cx).is_pending(), "it is not taken");
            Poll::Ready(())
        })
        .await;
        match arrival.head.target() {
            b"/drained" => {
                self.worker.end_connections(0);
                self.worker.cut_connections(0, now());
            }
            b"/closed" => {
                let all = Which {
                    take: 1,
                    ..Which::default()
                };
                for note in self.worker.survey(&all).items {
                    self.worker.close(note.sequence, true);
                }
            }
            _ => {}
        }
        let ended = poll_fn(|cx| client.poll_flush(cx)).await;
        client.abort();
        let _ = self
            .reasons
            .send(ended.expect_err("it is never taken").name());
    }

    async fn pass<C: Client>(&self, client: &mut C, _: Passage) {
        client.abort();
    }
}

/// Once the gateway had ended the body, dropping what was left of it closed the connection in order.
#[test]
fn a_part_of_an_answer_that_lasts_until_close_never_looks_whole() {
    let (reasons, heard) = sync_channel(1);
    let limits = ClientLimits {
        write_timeout: Duration::from_millis(200),
        ..limits()
    };
    let stalled = move |worker| Stalled { worker, reasons };
    let address = served(limits, Registry::new(&["fine"]), stalled);
    for (target, expected) in [
        ("/late", "write-timeout"),
        ("/drained", "draining"),
        ("/closed", "closed-by-operator"),
    ] {
        let mut client = RawClient::connect_narrow(address, 4096);
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert_eq!(heard.recv().as_deref(), Ok(expected));
        let taken = client.connection().take_rest().map(|bytes| bytes.len());
        assert_eq!(taken, Err(Trouble::Reset), "{target}");
    }
}
