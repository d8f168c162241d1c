//! A listener of its own for tests of what no story reaches from outside.

use crate::handler::Handler;
use crate::{
    Admission, AdmissionLimits, ClientLimits, Listener, ListenerMode, ListenerRules, Protocols,
    Worker,
};
use foregate_eventloop::block_on;
use foregate_telemetry::metrics::{ListenerId, Registry};
use foregate_wire::h1::{BodyLimits, HeadLimits};
use foregate_wire::h2;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Limits that nobody reaches.
pub(crate) fn limits() -> ClientLimits {
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
        abuse_points_max: 1_000,
        linger_timeout: second,
        http2: h2::Limits::default(),
    }
}

/// Serves on a thread of its own for as long as the test runs, with the handler that `handler` makes for the worker.
pub(crate) fn served<H: Handler + 'static>(
    limits: ClientLimits,
    registry: Arc<Registry>,
    handler: impl FnOnce(Rc<Worker>) -> H + Send + 'static,
) -> SocketAddr {
    let socket = crate::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 16).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        block_on(async move {
            let worker = Worker::new(limits, Box::new(|_| false), Arc::clone(&registry), 1);
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
                worker: Rc::clone(&worker),
                shard: registry.shard(),
                id: ListenerId::OTHER,
                closing: Rc::new(Cell::new(false)),
                handler: Rc::new(handler(worker)),
            };
            listener.accept(socket).await
        })
    });
    address
}
