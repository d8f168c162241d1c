//! Guard: limits of endpoints, the line before them, and circuits. Exchanges with upstreams that have none of these
//! never come here.

use crate::Road;
use crate::exchange::{Exchange, MIRRORED};
use crate::forward::{self, Answer, Borrowed};
use crate::patience::Patience;
use crate::plan::{Moved, Upstream};
use foregate_balance::{
    Admission, Breaker, BreakerChange, BreakerPolicy, Endpoint, InFlight, NoEndpoint, Outcome,
    Shared, Taken, Tried, UpstreamState,
};
use foregate_message::{Blame, Client, Reason};
use foregate_telemetry::clock::{Moment, now, recent};
use foregate_telemetry::log::process;
use foregate_upstream::{Place, Pool, Waiting};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// How often a place is picked that another worker has taken in between, before the request stands in the line.
const RACES_MAX: usize = 4;

/// What an exchange holds of a guarded upstream.
#[derive(Debug, Default)]
pub(crate) struct Guarded {
    /// At the endpoint that is asked.
    held: Option<Held>,
    /// At the one that is asked next.
    next: Option<(InFlight, Held)>,
    /// By the circuit of the whole upstream.
    whole: Option<Trial>,
    /// Its place among the requests of the whole upstream.
    seat: Option<Seat>,
    /// Its place among those that are tried again.
    again: Option<Taken>,
    /// How long it stood in the line.
    pub(crate) queued_micros: u64,
    /// What has taken its upstream's place meanwhile.
    moved: Option<Rc<Upstream>>,
}

/// One of the requests that an upstream may work on; whoever waits for it is called once it is given back.
#[derive(Debug)]
pub(crate) struct Seat {
    _taken: Taken,
    _place: Place,
}

/// A seat, where they are counted.
///
/// # Errors
/// All are taken.
pub(crate) fn seat(upstream: &Upstream) -> Result<Option<Seat>, NoEndpoint> {
    let Some(most) = upstream.requests_max() else {
        return Ok(None);
    };
    let taken = upstream.state.take(Shared::Requests, most);
    Ok(Some(Seat {
        _taken: taken.ok_or(NoEndpoint::Full)?,
        _place: Place::new(&upstream.line),
    }))
}

/// Whether a request may be tried again, as far as that is counted over all workers: it has its place then.
#[inline]
pub(crate) fn may_again(exchange: &mut Exchange, upstream: &Upstream) -> bool {
    match (upstream.retries_max(), &mut exchange.guarded) {
        (Some(most), Some(guarded)) => guarded.may_again(upstream, most),
        _ => true,
    }
}

/// A request is not tried again: it gives back what it has taken for that, and keeps what it has for tries before.
#[cold]
pub(crate) fn not_again(exchange: &mut Exchange) {
    if let Some(guarded) = &mut exchange.guarded {
        guarded.let_go();
        if exchange.tries <= 1 {
            guarded.again = None;
        }
    }
}

/// A place among the tries again for one that runs beside another.
///
/// # Errors
/// All are taken.
pub(crate) fn beside(upstream: &Upstream) -> Result<Option<Taken>, ()> {
    let Some(most) = upstream.retries_max() else {
        return Ok(None);
    };
    upstream
        .state
        .take(Shared::Retries, most)
        .map(Some)
        .ok_or(())
}

/// What is held beside the count of requests in flight.
#[derive(Debug)]
pub(crate) struct Held {
    trial: Option<Trial>,
    _place: Option<Place>,
}

/// A request's passage through a circuit; nothing follows from it when it is dropped.
#[derive(Debug)]
pub(crate) struct Trial {
    of: Of,
    admission: Admission,
    /// What the head of the answer said, where that has decided already.
    heard: Option<bool>,
}

#[derive(Debug)]
enum Of {
    Endpoint(Arc<Endpoint>),
    Upstream(Arc<UpstreamState>),
}

impl Trial {
    fn breaker(&self) -> &Breaker {
        match &self.of {
            Of::Endpoint(endpoint) => &endpoint.breaker,
            Of::Upstream(state) => &state.breaker,
        }
    }

    fn new(of: Of, admission: Admission) -> Trial {
        Trial {
            of,
            admission,
            heard: None,
        }
    }

    /// An answer has begun: of one that tries whether all is well again that is enough, else a long download or a tunnel
    /// would keep others from trying. What comes of the rest counts as it does for any other.
    fn heard(&mut self, succeeded: bool, policy: &BreakerPolicy) -> Option<BreakerChange> {
        if self.admission != Admission::Trial {
            return None;
        }
        self.heard = Some(succeeded);
        let admission = std::mem::replace(&mut self.admission, Admission::Closed);
        let now_ms = now().millis();
        self.breaker().ended(admission, succeeded, now_ms, policy)
    }

    fn end(mut self, succeeded: bool, policy: &BreakerPolicy) -> Option<BreakerChange> {
        let admission = std::mem::replace(&mut self.admission, Admission::Refused);
        match self.heard {
            // All that follows from it has followed.
            Some(heard) if !heard || succeeded => None,
            _ => {
                let now_ms = now().millis();
                self.breaker().ended(admission, succeeded, now_ms, policy)
            }
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.breaker().withdrawn(self.admission);
    }
}

/// The first endpoint of a request, with a place there: of what it has moved to, if its upstream was changed while it waited.
///
/// # Errors
/// There is none, or none came free in time.
pub(crate) async fn enter<C: Client>(
    exchange: &mut Exchange,
    client: &mut C,
    (to, moved): ((&Upstream, u32), &mut Option<Moved>),
    road: &Road,
    patience: &mut Patience<'_>,
) -> Result<usize, Reason> {
    exchange.guarded = Some(Box::default());
    // Who would be refused by the circuit does not wait for that.
    let now_ms = now().millis();
    let circuit = to.0.circuit.as_ref();
    if circuit.is_some_and(|policy| !to.0.state.breaker.admits(now_ms, policy)) {
        return Err(Reason::CircuitOpen);
    }
    let index = find(exchange, client, (to, moved), road, patience).await?;
    let upstream = moved.as_ref().map_or(to.0, |moved| &*moved.upstream);
    // A trial is one from now on, and not while it waits.
    if let Some(policy) = &upstream.circuit {
        let state = &upstream.state;
        let admission = state.breaker.admit(now().millis(), policy);
        let trial = Trial::new(Of::Upstream(Arc::clone(state)), admission);
        if let Some(guarded) = &mut exchange.guarded {
            if admission == Admission::Refused {
                guarded.let_go();
                return Err(Reason::CircuitOpen);
            }
            guarded.whole = Some(trial);
        }
    }
    Ok(index)
}

/// An endpoint with a place, perhaps after a wait.
async fn find<C: Client>(
    exchange: &mut Exchange,
    client: &mut C,
    (to, moved): ((&Upstream, u32), &mut Option<Moved>),
    road: &Road,
    patience: &mut Patience<'_>,
) -> Result<usize, Reason> {
    let upstream = to.0;
    let Some(queue) = upstream.queue else {
        return pick(exchange, to, road, &Tried::NONE).map_err(reason);
    };
    // Nobody passes those who wait for the same places.
    let lane = upstream.lane(to.1);
    if upstream.line.is_free(lane) {
        match pick(exchange, to, road, &Tried::NONE) {
            Err(NoEndpoint::Full) => {}
            picked => return picked.map_err(reason),
        }
    }
    // A copy does not take the time of requests that are meant.
    if exchange.chosen == MIRRORED {
        return Err(Reason::QueueFull);
    }
    let joined = upstream.line.join(lane, queue.length_max);
    let mut waiting = joined.ok_or(Reason::QueueFull)?;
    let began = now();
    patience.stand_in_line(queue.time_max);
    let served = wait(exchange, client, (to, moved), road, patience, &mut waiting).await;
    let micros = now().micros_since(began);
    waiting.leave(micros);
    if let Some(guarded) = &mut exchange.guarded {
        guarded.queued_micros = micros;
    }
    served
}

/// Waits until there is a place: where its upstream has them when it looks, whatever was known when it came.
async fn wait<C: Client>(
    exchange: &mut Exchange,
    client: &mut C,
    (to, moved): ((&Upstream, u32), &mut Option<Moved>),
    road: &Road,
    patience: &mut Patience<'_>,
    waiting: &mut Waiting,
) -> Result<usize, Reason> {
    loop {
        poll_fn(|cx| {
            if waiting.poll_called(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(reason) = client.poll_gone(cx) {
                return Poll::Ready(Err(reason));
            }
            patience.poll_connection(cx).map(Err)
        })
        .await?;
        if let Some(newer) = to.0.moved_to(to.1) {
            follow(exchange, &newer);
            *moved = Some(newer);
        }
        let now_to = moved.as_ref().map_or(to, Moved::to);
        match pick(exchange, now_to, road, &Tried::NONE) {
            Err(NoEndpoint::Full) => waiting.found_nothing(),
            picked => return picked.map_err(reason),
        }
    }
}

/// The exchange goes on with what has taken its upstream's place, and counts as one of its requests.
#[cold]
pub(crate) fn follow(exchange: &mut Exchange, newer: &Moved) {
    let Some(guarded) = &mut exchange.guarded else {
        return;
    };
    let upstream = &newer.upstream;
    let is_known = guarded
        .moved()
        .is_some_and(|known| Rc::ptr_eq(known, upstream));
    if !is_known {
        upstream.budget.borrow_mut().pay(&upstream.retry.budget);
        guarded.moved = Some(Rc::clone(upstream));
    }
}

/// What a request without an endpoint ends with.
pub(crate) fn reason(none: NoEndpoint) -> Reason {
    match none {
        NoEndpoint::Full => Reason::QueueFull,
        NoEndpoint::CircuitOpen => Reason::CircuitOpen,
        _ => Reason::NoEndpoint,
    }
}

/// An endpoint with a place, which is the exchange's from now on.
#[inline(never)]
pub(crate) fn pick(
    exchange: &mut Exchange,
    to: (&Upstream, u32),
    road: &Road,
    tried: &Tried,
) -> Result<usize, NoEndpoint> {
    let mut last = NoEndpoint::Full;
    for _ in 0..RACES_MAX {
        let index = forward::pick(exchange, to, road, tried)?;
        let is_seated = (exchange.guarded.as_ref()).is_some_and(|guarded| guarded.seat.is_some());
        let seat = if is_seated { None } else { seat(to.0)? };
        match hold(to.0, index) {
            Ok(held) => {
                if let Some(guarded) = &mut exchange.guarded {
                    guarded.next = Some(held);
                    guarded.seat = guarded.seat.take().or(seat);
                }
                return Ok(index);
            }
            Err(none) => last = none,
        }
    }
    Err(last)
}

/// A place at an endpoint, with the count of requests in flight first: it is given back before whoever waits is called.
///
/// # Errors
/// Another worker was quicker.
pub(crate) fn hold(upstream: &Upstream, index: usize) -> Result<(InFlight, Held), NoEndpoint> {
    let endpoint = &upstream.endpoints()[index];
    let trial = match &upstream.bounds.circuit {
        Some(policy) => match endpoint.breaker.admit(recent().millis(), policy) {
            Admission::Refused => return Err(NoEndpoint::CircuitOpen),
            admission => {
                let of = Of::Endpoint(Arc::clone(endpoint));
                Some(Trial::new(of, admission))
            }
        },
        None => None,
    };
    let in_flight = match upstream.most(endpoint) {
        Some(most) => endpoint.try_begin(most).ok_or(NoEndpoint::Full)?,
        None => endpoint.begin(),
    };
    let place = upstream.queue.map(|_| Place::new(&upstream.line));
    let held = Held {
        trial,
        _place: place,
    };
    Ok((in_flight, held))
}

impl Held {
    /// A place, and no circuit.
    #[cfg(test)]
    pub(crate) fn place(line: &Arc<foregate_upstream::Line>) -> Held {
        Held {
            trial: None,
            _place: Some(Place::new(line)),
        }
    }

    /// The answer has begun.
    fn heard(&mut self, upstream: &Upstream, endpoint: &Endpoint, succeeded: bool) {
        if let (Some(policy), Some(trial)) = (&upstream.bounds.circuit, &mut self.trial) {
            let change = trial.heard(succeeded, policy);
            changed(upstream, endpoint, change, policy);
        }
    }

    /// What the endpoint was asked has come to something.
    pub(crate) fn conclude(&mut self, upstream: &Upstream, endpoint: &Endpoint, outcome: Outcome) {
        let (Some(policy), Some(trial)) = (&upstream.bounds.circuit, self.trial.take()) else {
            return;
        };
        let change = trial.end(outcome == Outcome::Success, policy);
        changed(upstream, endpoint, change, policy);
    }
}

/// What follows from a change of an endpoint's circuit.
fn changed(
    upstream: &Upstream,
    endpoint: &Endpoint,
    change: Option<BreakerChange>,
    policy: &BreakerPolicy,
) {
    if change == Some(BreakerChange::Closed) {
        endpoint.begin_slowly(now().millis());
        // It has places that nobody gave back.
        upstream.line.look_again();
    }
    tell(&upstream.name, endpoint.label(), change, policy);
}

/// The endpoint that was picked is asked. What was held at the one before is let go of, its count first: whoever waits for
/// the place must find it.
#[cold]
pub(crate) fn take_up(exchange: &mut Exchange, pool: &Pool, answer: &mut Answer<'_>) {
    answer.borrowed = None;
    let Some(guarded) = &mut exchange.guarded else {
        return;
    };
    let (in_flight, held) = match guarded.next.take() {
        Some((in_flight, held)) => (in_flight, Some(held)),
        None => (pool.endpoint.begin(), None),
    };
    guarded.held = held;
    answer.borrowed = Some(Borrowed::Guarded(in_flight));
}

impl Guarded {
    /// What has taken its upstream's place while it waited.
    #[inline]
    pub(crate) fn moved(&self) -> Option<&Rc<Upstream>> {
        self.moved.as_ref()
    }

    /// Another endpoint is asked next, with what is held there.
    pub(crate) fn goes_to(&mut self, place: Option<(InFlight, Held)>) {
        self.next = place;
    }

    /// Another endpoint is asked already, in the place of the one before.
    pub(crate) fn exchange_held(&mut self, held: Option<Held>, again: Option<Taken>) {
        self.held = held;
        self.again = again.or(self.again.take());
    }

    #[cold]
    fn may_again(&mut self, upstream: &Upstream, most: u32) -> bool {
        if self.again.is_none() {
            self.again = upstream.state.take(Shared::Retries, most);
        }
        self.again.is_some()
    }

    /// No other is asked.
    pub(crate) fn let_go(&mut self) {
        self.next = None;
    }
}

/// An answer that the client gets has begun, `at` then.
#[cold]
pub(crate) fn heard(exchange: &mut Exchange, upstream: &Upstream, answer: &Answer<'_>, at: Moment) {
    let (Some(guarded), Some(pool)) = (&mut exchange.guarded, &exchange.endpoint) else {
        return;
    };
    let succeeded = !matches!(answer.head.status.code(), 502..=504);
    if let Some(held) = &mut guarded.held {
        held.heard(upstream, &pool.endpoint, succeeded);
    }
    if let (Some(policy), Some(whole)) = (&upstream.circuit, &mut guarded.whole) {
        tell(&upstream.name, "", whole.heard(succeeded, policy), policy);
    }
    // How long the client took to send its request, and a connection to be opened, say nothing of the endpoint.
    if let Some(policy) = &upstream.bounds.adaptive
        && answer.upload.is_ended()
    {
        let in_flight = pool.endpoint.in_flight();
        let micros = at.micros_since(answer.patience.since());
        pool.endpoint.adaptive.observe(micros, in_flight, policy);
    }
}

/// Takes note of what an attempt came to, for the endpoint's circuit; `None` says nothing of it.
#[cold]
pub(crate) fn conclude(exchange: &mut Exchange, upstream: &Upstream, outcome: Option<Outcome>) {
    let (Some(guarded), Some(pool)) = (&mut exchange.guarded, &exchange.endpoint) else {
        return;
    };
    if let (Some(held), Some(outcome)) = (&mut guarded.held, outcome) {
        held.conclude(upstream, &pool.endpoint, outcome);
    }
}

/// It is known what the exchange comes to: the upstream's own circuit is told, and what is held is given back.
#[cold]
pub(crate) fn end(exchange: &mut Exchange, outcome: Reason) {
    let upstream = Rc::clone(exchange.upstream(&exchange.plan));
    let Some(guarded) = &mut exchange.guarded else {
        return;
    };
    guarded.next = None;
    guarded.held = None;
    guarded.again = None;
    guarded.seat = None;
    let (Some(policy), Some(trial)) = (&upstream.circuit, guarded.whole.take()) else {
        return;
    };
    let is_answered = exchange.endpoint.is_some();
    let change = match outcome.blame() {
        Blame::Upstream if is_answered && is_failure(outcome) => trial.end(false, policy),
        Blame::Nobody => trial.end(!matches!(exchange.status, 502..=504), policy),
        _ => None,
    };
    tell(&upstream.name, "", change, policy);
}

/// Whether an outcome speaks against the backends, as it does for their ejection. A wish that they do not serve, or a client
/// that uses up the time of its request, says nothing of them.
fn is_failure(outcome: Reason) -> bool {
    let is_connect = matches!(
        outcome,
        Reason::ConnectFailed
            | Reason::ConnectTimeout
            | Reason::UpstreamUntrusted
            | Reason::UpstreamWrongName
            | Reason::UpstreamCertificateInvalid
            | Reason::UpstreamTlsFailed
    );
    is_connect || forward::failure(outcome).is_some()
}

fn tell(upstream: &str, endpoint: &str, change: Option<BreakerChange>, policy: &BreakerPolicy) {
    let place: [process::Value<'_>; 2] = [("upstream", &upstream), ("endpoint", &endpoint)];
    match change {
        Some(BreakerChange::Opened) => process::warn(
            "circuit opened",
            &[place[0], place[1], ("for_ms", &policy.open_ms)],
        ),
        Some(BreakerChange::Closed) => process::info("circuit closed", &place),
        None => {}
    }
}

/// In how many seconds a client may try again that was refused for `reason`.
pub(crate) fn retry_after(exchange: &Exchange, reason: Reason) -> Option<u64> {
    let plan = &exchange.plan;
    let upstream = || &plan.snapshot.upstreams[exchange.destination(plan).upstream as usize];
    let millis = match reason {
        Reason::QueueFull | Reason::QueueTimeout => upstream().queue.time_max.as_millis() as u64,
        Reason::CircuitOpen => {
            let circuits = [upstream().circuit, upstream().balancing.bounds.circuit];
            let open = circuits.iter().flatten().map(|policy| policy.open_ms);
            open.max().unwrap_or(0)
        }
        _ => return None,
    };
    Some(millis.div_ceil(1_000).max(1))
}
