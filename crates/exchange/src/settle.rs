//! Settle: the figures and the log line of an exchange that is over.

use crate::Road;
use crate::exchange::Exchange;
use crate::passage::Journey;
use crate::plan::Plan;
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
    let (path, query) = path_and_query(target);
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
        path,
        query,
        host: exchange.host(fields),
        protocol: head.version.as_str(),
        status: exchange.status,
        bytes_out,
        bytes_in,
        duration_micros,
        upstream_micros: exchange.upstream_micros,
        site: exchange.site(plan),
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

impl Exchange {
    /// The name of the site that took the request, if only to find that it has no route for it.
    fn site<'p>(&self, plan: &'p Plan) -> &'p str {
        match (self.route, self.missed_site) {
            (Some(route), _) => &plan.route(route).site,
            (None, Some(site)) => &plan.snapshot.sites[site as usize].name,
            (None, None) => "",
        }
    }
}

/// The parts of a target as it came, also of one that names scheme and host. One that is only a host has neither.
fn path_and_query(target: &[u8]) -> (&[u8], &[u8]) {
    let question = target.iter().position(|&byte| byte == b'?');
    let path = &target[..question.unwrap_or(target.len())];
    let query = question.map_or(&b""[..], |at| &target[at + 1..]);
    if path.starts_with(b"/") || path == b"*" {
        return (path, query);
    }
    let Some(authority) = path.windows(3).position(|part| part == b"://") else {
        return (b"", query);
    };
    let behind = &path[authority + 3..];
    let slash = behind.iter().position(|&byte| byte == b'/');
    (slash.map_or(&b"/"[..], |at| &behind[at..]), query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_any_form_of_target() {
        let parts = |target: &str| {
            let (path, query) = path_and_query(target.as_bytes());
            [path, query].map(|part| String::from_utf8(part.to_vec()).unwrap())
        };
        assert_eq!(parts("/a/b?c=d?e"), ["/a/b", "c=d?e"]);
        assert_eq!(parts("http://a.test/abs?x"), ["/abs", "x"]);
        assert_eq!(parts("http://a.test?x"), ["/", "x"]);
        assert_eq!(parts("http://a.test"), ["/", ""]);
        assert_eq!(parts("/x?u=http://b/c"), ["/x", "u=http://b/c"]);
        assert_eq!(parts("*"), ["*", ""]);
        assert_eq!(parts("a.test:443"), ["", ""]);
        assert_eq!(parts(""), ["", ""]);
    }
}
