//! Settle: the figures and the log line of an exchange that is over.

use crate::Road;
use crate::exchange::Exchange;
use crate::passage::Journey;
use foregate_balance::{HedgeNote, RetryRefusal};
use foregate_message::{Client, Reason, RequestHead};
use foregate_snapshot::Action;
use foregate_telemetry::clock::{now, unix_at};
use foregate_telemetry::log::Record;
use foregate_telemetry::metrics::RequestFigures;

/// Counts the exchange and writes its line.
pub(crate) fn settle<C: Client>(
    road: &Road,
    exchange: &Exchange,
    client: &C,
    head: &RequestHead,
    outcome: Reason,
) {
    let (bytes_in, bytes_out) = client.transferred();
    let end = now();
    let duration_micros = end.micros_since(exchange.at);
    let figures = RequestFigures {
        status: exchange.status,
        reason: outcome.index() as u16,
        bytes_in,
        bytes_out,
        duration_micros,
    };
    let plan = &exchange.plan;
    road.shard.request(plan.route_id(exchange.route), &figures);
    if let Some(session) = exchange.session {
        road.shard.balancing.session(session.note as usize);
    }
    let mut log = road.log.borrow_mut();
    if !log.is_on() {
        return;
    }
    let fields = &head.fields;
    let target = head.target();
    let question = target.iter().position(|&byte| byte == b'?');
    let route = exchange.route.map(|number| plan.route(number));
    let upstream = match (&exchange.endpoint, route.map(|route| &route.action)) {
        (Some(_), Some(Action::Proxy(_))) => Some(exchange.destination(plan).upstream),
        _ => None,
    };
    // Costs nothing while nothing failed.
    let retries = exchange.retries();
    log.record(&Record {
        time: unix_at(end),
        client: exchange.client,
        method: head.method_name(),
        target,
        path: &target[..question.unwrap_or(target.len())],
        query: question.map_or(b"", |at| &target[at + 1..]),
        host: exchange.host(fields),
        protocol: head.version.as_str(),
        status: exchange.status,
        bytes_out,
        bytes_in,
        duration_micros,
        upstream_micros: exchange.upstream_micros,
        site: route.map_or("", |route| &route.site),
        route: route.map_or("", |route| &route.name),
        upstream: upstream.map_or("", |number| &plan.upstreams[number as usize].name),
        endpoint: exchange
            .endpoint
            .as_ref()
            .map_or("", |pool| pool.endpoint.label()),
        tries: exchange.tries,
        retries: &retries,
        retry_refused: (exchange.retry_refused).map_or("", RetryRefusal::name),
        queued_micros: exchange.queued_micros(),
        pick: exchange.pick.map_or("", |pick| pick.reason.name()),
        session: exchange.session.map_or("", |session| session.note.name()),
        hedge: exchange.hedge.map_or("", HedgeNote::name),
        reason: outcome.name(),
        request_id: exchange.request_id.as_bytes(),
        referer: fields.at(&exchange.referer),
        user_agent: fields.at(&exchange.user_agent),
    });
}

/// Counts a connection that was passed on and writes its line.
pub(crate) fn settle_passage<C: Client>(
    road: &Road,
    journey: &Journey,
    client: &C,
    outcome: Reason,
) {
    let (bytes_in, bytes_out) = client.transferred();
    let end = now();
    let duration_micros = end.micros_since(journey.at);
    let status = outcome.status().code();
    let figures = RequestFigures {
        status,
        reason: outcome.index() as u16,
        bytes_in,
        bytes_out,
        duration_micros,
    };
    let plan = &journey.plan;
    road.shard
        .request(plan.passage_id(journey.listener), &figures);
    let mut log = road.log.borrow_mut();
    if !log.is_on() {
        return;
    }
    let name = journey.server_name.as_bytes();
    let listener = plan.snapshot.listener(journey.listener);
    log.record(&Record {
        time: unix_at(end),
        client: journey.client,
        method: b"CONNECT",
        target: name,
        path: b"",
        query: b"",
        host: name,
        protocol: "TCP",
        status,
        bytes_out,
        bytes_in,
        duration_micros,
        upstream_micros: None,
        site: "",
        route: listener.map_or("", |listener| &listener.name),
        upstream: journey
            .upstream
            .map_or("", |number| &plan.upstreams[number].name),
        endpoint: journey
            .endpoint
            .as_ref()
            .map_or("", |pool| pool.endpoint.label()),
        tries: journey.tries,
        retries: "",
        retry_refused: "",
        queued_micros: 0,
        pick: "",
        session: "",
        hedge: "",
        reason: outcome.name(),
        request_id: journey.request_id.as_bytes(),
        referer: b"",
        user_agent: b"",
    });
}
