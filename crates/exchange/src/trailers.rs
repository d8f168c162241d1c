//! Trailers: what of them passes. Whoever gets them may merge them into the head (RFC 9110 §6.5.1), so what is not passed
//! on there is not passed on behind the body either, nor before the head (RFC 8297 §2).

use crate::describe;
use crate::exchange::Exchange;
use crate::secure;
use foregate_message::{FieldId, Fields, Frame, forwarded};
use foregate_policy::anonymise::ServerHeader;
use foregate_policy::header_rules::HeaderRules;
use foregate_snapshot::Snapshot;

/// The end of a request's body, with what passes of its trailers. `trusted` when its sender is believed.
#[cold]
pub(crate) fn of_request(exchange: &Exchange, trusted: bool, mut trailers: Box<Fields>) -> Frame {
    let plan = &exchange.plan;
    let fields = &mut *trailers;
    secure::remove_forged(&plan.snapshot.certificate_fields, fields);
    if !trusted {
        forwarded::remove_claims(fields);
    }
    let rules = &exchange.proxy(plan).request_rules;
    describe::remove_misspelled(fields, &plan.snapshot, rules);
    remove_ruled(&plan.snapshot, Some(rules), fields);
    match trailers.is_empty() {
        true => Frame::End,
        false => Frame::Trailers(trailers),
    }
}

/// Leaves of an answer's trailers, or of an interim head, what passes. Each answer of gRPC has trailers.
pub(crate) fn of_answer(exchange: &Exchange, fields: &mut Fields) {
    let plan = &exchange.plan;
    if plan.snapshot.server_header != ServerHeader::Pass {
        fields.remove(FieldId::Server);
    }
    let rules = exchange.route_plan(plan).response_rules.as_deref();
    remove_ruled(&plan.snapshot, rules, fields);
}

/// Removes what the gateway writes into heads of either kind, and what rules remove or replace there.
fn remove_ruled(snapshot: &Snapshot, rules: Option<&HeaderRules>, fields: &mut Fields) {
    secure::remove_forged(snapshot.request_id.as_slice(), fields);
    if let Some(rules) = rules {
        rules.take_out(fields);
    }
}
