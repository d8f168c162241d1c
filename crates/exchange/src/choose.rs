//! Choose: which of the route's targets takes the request, and what its upstream places it by.

use crate::Road;
use crate::exchange::Exchange;
use crate::session;
use foregate_balance::{hash, split};
use foregate_message::path::Normal;
use foregate_message::{RequestHead, Target};
use foregate_policy::request_key::{Keyed, RequestKey};

/// Chooses, while the fields are still as the client sent them. Most routes have one target and place by nothing.
#[inline]
pub(crate) fn choose(exchange: &mut Exchange, road: &Road, head: &RequestHead) {
    let plan = &exchange.plan;
    let proxy = exchange.proxy(plan);
    if let Some(split_plan) = &proxy.split {
        let by = split_plan.by.as_ref();
        let number = by.and_then(|by| key(exchange, by, head));
        let number = number.unwrap_or_else(|| road.random.next());
        exchange.chosen = split(&split_plan.weights, number) as u32;
    }
    let plan = &exchange.plan;
    let number = exchange.destination(plan).upstream as usize;
    let upstream = &plan.snapshot.upstreams[number];
    if let Some(sticky) = &upstream.sticky {
        let session = session::read(&plan.upstreams[number], sticky, &head.fields);
        exchange.session = Some(session);
    }
    let plan = &exchange.plan;
    let upstream = &plan.snapshot.upstreams[number];
    if let Some(by) = &upstream.hash_by {
        exchange.key = key(exchange, by, head);
    }
}

#[cold]
fn key(exchange: &Exchange, by: &RequestKey, head: &RequestHead) -> Option<u64> {
    let target = Target::parse(&head.method, head.target()).ok()?;
    let keyed = Keyed {
        client: exchange.client,
        path: match exchange.normal {
            Normal::Verbatim => target.path,
            Normal::Equivalent | Normal::Changed => &exchange.path,
        },
        query: target.query,
        fields: &head.fields,
    };
    by.of(&keyed, hash)
}
