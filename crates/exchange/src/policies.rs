//! Policies: whether the route lets the request pass, or answers it itself.

use crate::apology;
use crate::exchange::Exchange;
use foregate_message::{BodyLength, Client, Method, Reason, RequestHead, Version};
use foregate_policy::body_limit::BodyLimit;
use foregate_policy::{self as policy, Verdict, method};
use foregate_snapshot::Action;

/// Asks the route's policies in their order.
pub(crate) fn decide<C: Client>(
    exchange: &Exchange,
    client: &mut C,
    head: &RequestHead,
) -> Result<Option<Box<policy::Answer>>, Reason> {
    let route = exchange.route_plan(&exchange.plan);
    let limit = BodyLimit::new(route.body_bytes_max);
    if let Verdict::Refuse(reason) = limit.admit(exchange.outcome?) {
        return Err(reason);
    }
    client.limit_body(route.body_bytes_max);
    let verdict = match &route.action {
        Action::Proxy(_) if head.method == Method::Options => method::options(&head.fields),
        Action::Proxy(_) => {
            if may_pause(exchange, head) {
                client.allow_pauses();
            }
            Verdict::Continue
        }
        Action::Respond(respond) => respond.apply(),
        Action::Redirect(redirect) => {
            let facts = exchange.facts(client.peer(), head);
            redirect.apply(&facts.of(exchange.request_id.as_bytes()))
        }
    };
    match verdict {
        Verdict::Continue => Ok(None),
        Verdict::Respond(answer) => Ok(Some(answer)),
        Verdict::Refuse(reason) => Err(reason),
    }
}

/// Whether a request is a call of gRPC, which may be silent for as long as there is nothing to say. Only where both sides
/// are streams: else whoever claims to be one would hold a whole connection of a backend.
#[inline]
fn may_pause(exchange: &Exchange, head: &RequestHead) -> bool {
    head.version == Version::Http2
        && exchange.outcome == Ok(BodyLength::Unknown)
        && exchange.plan.upstreams[exchange.destination(&exchange.plan).upstream as usize].may_share
        && apology::is_grpc(&head.fields)
}
