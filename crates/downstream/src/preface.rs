//! The PROXY protocol header in front of a connection.

use crate::arrived::Arrived;
use foregate_message::Peer;
use foregate_telemetry::clock::{Deadline, now};
use foregate_telemetry::log::process::{self, Level};
use foregate_telemetry::metrics::Refusal;
use foregate_wire::proxy::{self, BadHeader, ProxyHeader};
use std::net::SocketAddr;
use std::time::Duration;

mod seldom;

use seldom::Seldom;

/// Reads the header and takes its word for who the client is. The caller has made sure that the sender is trusted.
///
/// # Errors
/// There is none, it is malformed or does not come in time, or the client has as many connections as it may.
pub(crate) async fn read(arrived: &mut Arrived, timeout: Duration) -> Result<(), Refusal> {
    let mut deadline = Deadline::new();
    deadline.set(now().plus(timeout));
    let header = tokio::select! {
        header = header(arrived) => header,
        () = deadline.expired() => Err(Refusal::ProxyHeaderTimeout),
    };
    match header? {
        ProxyHeader::Addresses {
            source,
            destination,
        } => {
            let counted = arrived.admitted.count_client(source.ip());
            counted.map_err(|_| Refusal::ConnectionsPerClientMax)?;
            arrived.enrolled.set_client(source);
            // What it says for others is believed if it is a trusted proxy itself, not because the sender is one.
            arrived.peer = Peer::new(source, destination, arrived.peer.listener);
            Ok(())
        }
        // The sender speaks for somebody whom it does not name.
        ProxyHeader::Unknown => {
            let Peer {
                address,
                local,
                listener,
                ..
            } = arrived.peer;
            arrived.peer = Peer::new(address, local, listener).unnamed();
            Ok(())
        }
        // It speaks for itself.
        ProxyHeader::Local => Ok(()),
    }
}

async fn header(arrived: &mut Arrived) -> Result<ProxyHeader, Refusal> {
    loop {
        match proxy::parse(arrived.input.as_slice()) {
            Ok(Some((bytes, header))) => {
                arrived.input.consume(bytes);
                if arrived.input.is_empty() {
                    arrived.input = foregate_message::Chunk::default();
                }
                return Ok(header);
            }
            Ok(None) => {}
            Err(BadHeader) => return Err(Refusal::ProxyHeaderBad),
        }
        if !arrived.read_more().await {
            return Err(Refusal::ProxyHeaderTruncated);
        }
    }
}

/// Tells the operator of a connection that was refused for its PROXY protocol header, now and then: a load balancer that is
/// not trusted would otherwise only see a port that is dead. Metrics count them all.
pub(crate) fn tell(why: Refusal, address: SocketAddr) {
    // One for the whole process and each reason, so that strangers can neither keep the workers writing nor hide what befalls
    // the load balancer.
    static TOLD: [Seldom; 4] = [const { Seldom::new() }; 4];
    let (told, message) = match why {
        Refusal::ProxyUntrusted => (
            &TOLD[0],
            "a connection was refused: it needs a PROXY protocol header, and its address is not in trusted_proxies",
        ),
        Refusal::ProxyHeaderBad => (
            &TOLD[1],
            "a connection was refused: its PROXY protocol header is missing or malformed",
        ),
        Refusal::ProxyHeaderTruncated => (
            &TOLD[2],
            "a connection was refused: it ended within its PROXY protocol header",
        ),
        Refusal::ProxyHeaderTimeout => (
            &TOLD[3],
            "a connection was refused: its PROXY protocol header did not come in time",
        ),
        _ => return,
    };
    // Whoever looks whether the port is open ends so.
    let is_usual = why == Refusal::ProxyHeaderTruncated;
    let level = if is_usual { Level::Debug } else { Level::Warn };
    if !process::is_on(level) {
        return;
    }
    if let Some(untold) = told.ask(now()) {
        let values: [process::Value<'_>; 3] = [
            ("client", &address),
            ("reason", &why.name()),
            ("others_since", &untold),
        ];
        process::log(level, message, &values);
    }
}
