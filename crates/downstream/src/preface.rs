//! The PROXY protocol header in front of a connection.

use crate::arrived::Arrived;
use foregate_message::Peer;
use foregate_telemetry::clock::{Deadline, now};
use foregate_wire::proxy::{self, ProxyHeader};
use std::time::Duration;

/// Reads the header and takes its word for who the client is; false when there is none, it is malformed, or it does
/// not come in time. The caller has made sure that the sender is trusted.
pub(crate) async fn read(arrived: &mut Arrived, timeout: Duration) -> bool {
    let mut deadline = Deadline::new();
    deadline.set(now().plus(timeout));
    let header = tokio::select! {
        header = header(arrived) => header,
        () = deadline.expired() => None,
    };
    match header {
        Some(ProxyHeader::Addresses {
            source,
            destination,
        }) => {
            // Who the header names did not write it, so its own claims are not believed.
            arrived.enrolled.set_client(source);
            arrived.peer = Peer::new(source, destination, arrived.peer.listener, false);
            true
        }
        Some(ProxyHeader::Local | ProxyHeader::Unknown) => true,
        None => false,
    }
}

async fn header(arrived: &mut Arrived) -> Option<ProxyHeader> {
    loop {
        match proxy::parse(arrived.input.as_slice()) {
            Ok(Some((bytes, header))) => {
                arrived.input.consume(bytes);
                if arrived.input.is_empty() {
                    arrived.input = foregate_message::Chunk::default();
                }
                return Some(header);
            }
            Ok(None) => {}
            Err(_) => return None,
        }
        if !arrived.read_more().await {
            return None;
        }
    }
}
