//! Passage: a connection that carries no requests here; its bytes go to a backend as they are.

use crate::attempt::{self, Failure};
use crate::download::Download;
use crate::forward;
use crate::guard::{self, Held};
use crate::patience::{Patience, TimeLimits, Timer};
use crate::plan::{Plan, Upstream};
use crate::relay::{self, Traffic};
use crate::upload::Upload;
use crate::{Road, settle};
use foregate_balance::{InFlight, Need, NoEndpoint, Outcome, Pick, Tried, hash};
use foregate_message::{Client, Peer, Reason};
use foregate_policy::request_id::RequestId;
use foregate_snapshot::{ModePlan, UpstreamPlan};
use foregate_telemetry::clock::{Moment, recent};
use foregate_upstream::{Call, Pool, Use};
use std::net::IpAddr;
use std::rc::Rc;

/// A connection that is to be passed on.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// The name that the client's TLS asks for, in lower case; `None` when it names nobody or speaks no TLS.
    pub server_name: Option<&'a str>,
    /// Why it is refused before anybody looked where it goes.
    pub outcome: Result<(), Reason>,
    /// When it was ready to be passed on.
    pub at: Moment,
}

/// What is known of it, from its first step to its log line.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(crate) plan: Rc<Plan>,
    pub(crate) at: Moment,
    pub(crate) client: IpAddr,
    pub(crate) listener: u32,
    pub(crate) request_id: RequestId,
    pub(crate) server_name: Box<str>,
    /// The upstream's number in the plan.
    pub(crate) upstream: Option<usize>,
    /// The endpoint that took it or failed last.
    pub(crate) endpoint: Option<Rc<Pool>>,
    pub(crate) tries: u32,
}

/// What it holds of the endpoint that it is at. The count comes first: it is given back before whoever waits is called.
#[derive(Debug)]
struct Lent {
    _in_flight: InFlight,
    held: Option<Held>,
}

impl Lent {
    /// A connection's place at an endpoint. It does not stand in the line for it.
    fn of(upstream: &Upstream, index: usize) -> Result<Lent, NoEndpoint> {
        if !upstream.is_guarded() {
            return Ok(Lent {
                _in_flight: upstream.endpoints()[index].begin(),
                held: None,
            });
        }
        let (in_flight, held) = guard::hold(upstream, index)?;
        Ok(Lent {
            _in_flight: in_flight,
            held: Some(held),
        })
    }
}

impl Road {
    /// Passes a connection on to a backend, as its listener's plan says.
    pub async fn pass<C: Client>(&self, client: &mut C, passage: Passage<'_>) {
        let peer = client.peer();
        let mut journey = Journey {
            plan: Rc::clone(&self.plan.borrow()),
            at: passage.at,
            client: peer.address.ip(),
            listener: peer.listener,
            request_id: RequestId::choose(None, false, self.random.next_wide()),
            server_name: passage.server_name.unwrap_or_default().into(),
            upstream: None,
            endpoint: None,
            tries: 0,
        };
        let outcome = match journey.travel(self, client, passage).await {
            Ok(()) => Reason::Relayed,
            Err(reason) => {
                client.abort();
                reason
            }
        };
        settle::settle_passage(self, &journey, client, outcome);
    }
}

impl Journey {
    async fn travel<C: Client>(
        &mut self,
        road: &Road,
        client: &mut C,
        passage: Passage<'_>,
    ) -> Result<(), Reason> {
        passage.outcome?;
        let plan = Rc::clone(&self.plan);
        let number = destination(&plan, client.peer(), passage.server_name)?;
        self.upstream = Some(number);
        let upstream = &plan.upstreams[number];
        let limits = time_limits(&plan, &plan.snapshot.upstreams[number]);
        let mut patience = Patience::new(limits, Timer::own(), self.at, &road.cut);
        // A connection counts as one request of the upstream for as long as it is there.
        let seat = guard::seat(upstream).map_err(guard::reason)?;
        let (mut call, lent) = self.connect(road, client, upstream, &mut patience).await?;
        client.allow_pipes(call.takes_pipes());
        call.allow_pipes(client.takes_pipes());
        let mut upload = Upload::default();
        upload.become_tunnel();
        patience.tunnel();
        let traffic = Traffic {
            exchange: None,
            upload: &mut upload,
            download: &mut Download::default(),
            patience: &mut patience,
        };
        let outcome = relay::move_both_ways(client, &mut call, traffic, true).await;
        drop(lent);
        drop(seat);
        outcome
    }

    /// An endpoint is asked.
    fn ask<C: Client>(&self, client: &mut C, pool: &Pool) {
        let listener = self.plan.passage_id(self.listener);
        client.going_to(listener.number(), pool.id().number());
        pool.cells().requests.one();
        if self.tries > 1 {
            pool.cells().retries.one();
        }
    }

    /// Tries endpoints until one takes the connection.
    async fn connect<C: Client>(
        &mut self,
        road: &Road,
        client: &mut C,
        upstream: &Upstream,
        patience: &mut Patience<'_>,
    ) -> Result<(Call, Lent), Reason> {
        let mut tried = Tried::default();
        let mut last = Reason::NoEndpoint;
        while self.tries < upstream.tries_max {
            // All that is known of such a connection is who makes it.
            let need = Need {
                key: upstream.is_keyed.then(|| client_key(self.client)),
                ..forward::need(road, &tried)
            };
            let picked = upstream.picker.borrow_mut().pick(&need);
            let index = match picked {
                Ok(Pick { index, .. }) => index,
                Err(none) if self.tries == 0 => return Err(guard::reason(none)),
                Err(_) => break,
            };
            tried.insert(index);
            self.tries += 1;
            let pool = upstream.pool(index);
            self.endpoint = Some(Rc::clone(pool));
            let mut lent = match Lent::of(upstream, index) {
                Ok(lent) => lent,
                Err(none) => {
                    last = guard::reason(none);
                    continue;
                }
            };
            self.ask(client, pool);
            // Kept connections are those of requests.
            let connected = match pool.fresh() {
                Some(ticket) => attempt::dial(client, ticket, Use::Bytes, patience).await,
                None => Err(attempt::full()),
            };
            match connected {
                Ok(connection) => {
                    forward::observed(upstream, pool, Outcome::Success, recent());
                    if let Some(held) = &mut lent.held {
                        held.conclude(upstream, &pool.endpoint, Outcome::Success);
                    }
                    let call = Call::tunnel(connection, &upstream.call_limits);
                    return Ok((call, lent));
                }
                Err(Failure { reason, give, kind }) => {
                    if let Some(kind) = kind {
                        forward::fail(upstream, pool, kind);
                        if let (Some(held), Some(outcome)) = (&mut lent.held, forward::blame(kind))
                        {
                            held.conclude(upstream, &pool.endpoint, outcome);
                        }
                    }
                    last = reason;
                    if give == attempt::Give::Up {
                        return Err(reason);
                    }
                }
            }
        }
        Err(last)
    }
}

fn client_key(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(ip) => hash(&ip.octets()),
        IpAddr::V6(ip) => hash(&ip.octets()),
    }
}

/// The number of the upstream that a connection goes to.
fn destination(plan: &Plan, peer: &Peer, server_name: Option<&str>) -> Result<usize, Reason> {
    let listener = plan.snapshot.listener(peer.listener);
    let name = match listener.map(|listener| &listener.mode) {
        Some(ModePlan::Tcp(upstream)) => upstream,
        Some(ModePlan::TlsPassthrough(routes)) => {
            // Some say the root's dot, which handshakes pass over, too.
            let name = server_name.map(|name| name.strip_suffix('.').unwrap_or(name));
            routes.find(name).ok_or(Reason::UnknownServerName)?
        }
        // A reload has changed what the listener does.
        Some(ModePlan::Http { .. }) | None => return Err(Reason::Draining),
    };
    let upstreams = &plan.snapshot.upstreams;
    let number = upstreams.iter().position(|upstream| upstream.name == *name);
    number.ok_or(Reason::NoEndpoint)
}

fn time_limits(plan: &Plan, upstream: &UpstreamPlan) -> TimeLimits {
    TimeLimits {
        connect: upstream.connect_timeout,
        first_byte: None,
        between_bytes: None,
        request: None,
        per_try: None,
        tunnel_idle: plan.snapshot.client.tunnel_idle_timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_balance::Endpoint;
    use foregate_upstream::Line;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Wake, Waker};

    /// Sees how many requests an endpoint has when the one who waits for it is called.
    struct Watch {
        endpoint: Arc<Endpoint>,
        seen: AtomicU32,
    }

    impl Wake for Watch {
        fn wake(self: Arc<Self>) {
            self.seen.store(self.endpoint.in_flight(), Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_is_called_finds_the_place_free() {
        let (endpoint, line) = (Arc::new(Endpoint::new("a", 1)), Arc::<Line>::default());
        let lent = Lent {
            _in_flight: endpoint.begin(),
            held: Some(Held::place(&line)),
        };
        let mut waiting = line.join(0, 1).unwrap();
        let watch = Arc::new(Watch {
            endpoint: Arc::clone(&endpoint),
            seen: AtomicU32::new(9),
        });
        let waker = Waker::from(Arc::clone(&watch));
        let mut cx = Context::from_waker(&waker);
        assert!(waiting.poll_called(&mut cx).is_ready());
        waiting.found_nothing();
        assert!(waiting.poll_called(&mut cx).is_pending());
        drop(lent);
        assert_eq!(watch.seen.load(Ordering::SeqCst), 0);
        assert!(waiting.poll_called(&mut cx).is_ready());
    }
}
