//! The PROXY protocol header in front of a connection.

use crate::arrived::Arrived;
use crate::listener::ListenerRules;
use foregate_message::Peer;
use foregate_telemetry::clock::{Deadline, now};
use foregate_telemetry::metrics::Refusal;
use foregate_wire::proxy::{self, ProxyHeader};
use std::cell::RefCell;
use std::time::Duration;

/// Reads the header and takes its word for who the client is. The caller has made sure that the sender is trusted.
///
/// # Errors
/// There is none, it is malformed or does not come in time, or the client has as many connections as it may.
pub(crate) async fn read(
    arrived: &mut Arrived,
    rules: &RefCell<ListenerRules>,
    timeout: Duration,
) -> Result<(), Refusal> {
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
            let counted = arrived.admitted.count_client(source.ip());
            counted.map_err(|_| Refusal::ConnectionsPerClientMax)?;
            // What it says for others is believed if it is a trusted proxy itself, not because the sender is one.
            let is_trusted = (rules.borrow().trusts)(source.ip().to_canonical());
            arrived.enrolled.set_client(source);
            arrived.peer = Peer::new(source, destination, arrived.peer.listener, is_trusted);
            Ok(())
        }
        // The sender speaks for somebody whom it does not name.
        Some(ProxyHeader::Unknown) => {
            let Peer {
                address,
                local,
                listener,
                ..
            } = arrived.peer;
            arrived.peer = Peer::new(address, local, listener, false);
            Ok(())
        }
        // It speaks for itself.
        Some(ProxyHeader::Local) => Ok(()),
        None => Err(Refusal::ProxyProtocol),
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
