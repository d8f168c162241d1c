//! The PROXY protocol header in front of a connection.

use crate::connection::Connection;
use foregate_message::Peer;
use foregate_telemetry::clock::now;
use foregate_wire::proxy::{self, ProxyHeader};
use std::future::poll_fn;
use std::task::Poll;

/// Reads the header and takes its word for who the client is; false when there is none, it is malformed, or it does
/// not come in time. The caller has made sure that the sender is trusted.
pub(crate) async fn read(connection: &mut Connection) -> bool {
    let timeout = connection.worker.limits().head_timeout;
    connection.deadline.set(now().plus(timeout));
    let header = poll_fn(|cx| {
        loop {
            match proxy::parse(connection.input.as_slice()) {
                Ok(Some((bytes, header))) => {
                    connection.input.consume(bytes);
                    return Poll::Ready(Some(header));
                }
                Ok(None) => {}
                Err(_) => return Poll::Ready(None),
            }
            match connection.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => return connection.deadline.poll_expired(cx).map(|()| None),
            }
        }
    })
    .await;
    match header {
        Some(ProxyHeader::Addresses {
            source,
            destination,
        }) => {
            let peer = &connection.peer;
            // Who the header names did not write it, so its own claims are not believed.
            let named = Peer::new(source, destination, peer.listener, false);
            connection.peer = named;
            true
        }
        Some(ProxyHeader::Local | ProxyHeader::Unknown) => true,
        None => false,
    }
}
