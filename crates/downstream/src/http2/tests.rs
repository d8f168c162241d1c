//! What no story reaches from outside: a defect behind one stream.

use crate::handler::{Arrival, Handler, Passage};
use crate::{
    Admission, AdmissionLimits, ClientLimits, Listener, ListenerMode, ListenerRules, Protocols,
    Worker,
};
use foregate_message::{BodyLength, Chunk, Client, ResponseHead, Status};
use foregate_telemetry::clock::deadlines;
use foregate_telemetry::metrics::{ListenerId, Registry};
use foregate_testkit::Http2Client;
use foregate_testkit::http2::code::INTERNAL_ERROR;
use foregate_wire::h1::{BodyLimits, HeadLimits};
use foregate_wire::h2;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

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

fn limits() -> ClientLimits {
    let second = Duration::from_secs(1);
    ClientLimits {
        head: HeadLimits {
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            target_bytes_max: 8 * 1024,
        },
        body: BodyLimits {
            body_bytes_max: None,
            chunk_extension_bytes_max: 1024,
            trailer_bytes_max: 1024,
            trailer_fields_max: 10,
        },
        requests_per_connection_max: None,
        head_timeout: 10 * second,
        idle_timeout: 10 * second,
        body_rate_min: None,
        body_rate_grace: second,
        write_timeout: 10 * second,
        half_close_timeout: second,
        linger_timeout: second,
        http2: h2::Limits::default(),
    }
}

/// Serves on a thread of its own for as long as the test runs.
fn served(registry: Arc<Registry>) -> SocketAddr {
    let socket = crate::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 16).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        runtime.unwrap().block_on(async move {
            spawn_local(deadlines::drive());
            let listener = Listener {
                rules: Rc::new(RefCell::new(ListenerRules {
                    number: 0,
                    proxy_protocol: false,
                    mode: ListenerMode::Cleartext,
                    protocols: Protocols {
                        http1: true,
                        http2: true,
                    },
                })),
                admission: Admission::new(AdmissionLimits {
                    connections_max: 10,
                    connections_per_client_max: None,
                }),
                worker: Worker::new(limits(), Box::new(|_| false), Arc::clone(&registry), 1),
                shard: registry.shard(),
                id: ListenerId::OTHER,
                closing: Rc::new(Cell::new(false)),
                handler: Rc::new(Delicate),
            };
            listener.accept(socket).await
        })
    });
    address
}

#[test]
fn a_panic_resets_its_stream_and_harms_no_other() {
    let registry = Registry::new(&["fine"]);
    let address = served(Arc::clone(&registry));
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
