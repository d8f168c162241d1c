//! Route: which site and route take the request.

use crate::Road;
use crate::exchange::Exchange;
use foregate_message::path::{self, Normal};
use foregate_message::{Fault, Peer, Reason, RequestHead, Target, TargetForm, host_without_port};
use foregate_route::{Miss, Question};

/// Normalises the path once, and finds the route for it.
pub(crate) fn find(
    exchange: &mut Exchange,
    road: &Road,
    peer: &Peer,
    head: &RequestHead,
) -> Result<(), Reason> {
    let snapshot = &exchange.plan.snapshot;
    let target = Target::parse(&head.method, head.target()).map_err(Reason::Request)?;
    exchange.normal = match target.form {
        TargetForm::Origin | TargetForm::Absolute => {
            path::normalize(target.path, &snapshot.paths, &mut exchange.path)
                .map_err(|_| Reason::PathRefused)?
        }
        TargetForm::Asterisk => Normal::Verbatim,
        TargetForm::Authority => return Err(Reason::Request(Fault::Target)),
    };
    let question = Question {
        listener: peer.listener,
        host: host_without_port(exchange.host(&head.fields)),
        path: exchange.matched(target.path),
        query: target.query,
        head,
        client: exchange.client,
    };
    let (route, _) = match snapshot.find(&question, None) {
        Ok(found) => found,
        Err(miss) => {
            if let Miss::NoRoute { site } = miss {
                exchange.missed_site = Some(site);
            }
            return Err(miss.reason());
        }
    };
    exchange.route = Some(route);
    road.shard.expect(exchange.plan.route_id(exchange.route));
    Ok(())
}
