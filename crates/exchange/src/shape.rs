//! Shape: what the client will see of the answer.

use crate::apology;
use crate::exchange::Exchange;
use crate::forward::Answer;
use crate::secure;
use crate::session;
use foregate_message::{
    BodyLength, FieldId, Fields, Method, Peer, RequestHead, Status, Version, hop,
};
use foregate_telemetry::clock;

/// Turns the backend's head into the one that the client gets.
pub(crate) fn shape(
    exchange: &mut Exchange,
    peer: &Peer,
    request: &RequestHead,
    answer: &mut Answer<'_>,
) {
    if exchange.session.is_some() {
        session::tell(exchange, &mut answer.head.fields);
    }
    let snapshot = &exchange.plan.snapshot;
    let fields = &mut answer.head.fields;
    if fields.has(FieldId::Upgrade) {
        strip_but_upgrade(fields, answer.length, answer.head.status);
    } else {
        hop::strip(fields);
    }
    snapshot.server_header.apply(fields);
    if !fields.has(FieldId::Date) {
        // RFC 9110 §6.6.1: who has a clock dates what came without.
        fields.append(FieldId::Date, clock::http_date().as_bytes());
    }
    if let Some(name) = &snapshot.request_id {
        fields.set_named(name, exchange.request_id.as_bytes());
    }
    secure::tell(exchange, fields);
    if let Some(rules) = &exchange.route_plan(&exchange.plan).response_rules {
        let facts = exchange.facts(peer, request);
        let mut scratch = Vec::new();
        rules.apply(
            fields,
            &facts.of(exchange.request_id.as_bytes()),
            &mut scratch,
        );
    }
    // Every call of gRPC is a POST.
    if request.method == Method::Post && (request.version == Version::Http2 || exchange.translated)
    {
        exchange.is_answered_in_grpc = apology::is_grpc(&answer.head.fields);
    }
}

/// Removes what belongs to the backend's connection, but for the protocol that the client's switches to or is to switch to.
#[cold]
fn strip_but_upgrade(fields: &mut Fields, length: BodyLength, status: Status) {
    let protocol = match (length, status.code()) {
        (BodyLength::Tunnel, _) => fields.get(FieldId::Upgrade).map(<[u8]>::to_vec),
        (_, 426) => hop::required_upgrade(fields),
        _ => None,
    };
    hop::strip(fields);
    if let Some(protocol) = protocol {
        fields.append(FieldId::Upgrade, &protocol);
    }
}
