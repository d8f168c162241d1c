//! The second of two tries that are under way at once.

use super::{Lane, Race};
use crate::attempt::{self, Failure, Give};
use crate::exchange::{Exchange, TryFailure};
use crate::forward::{self, Answer, Borrowed};
use crate::guard::{self, Held};
use crate::patience::Timer;
use crate::plan::Upstream;
use crate::repeat::{Repeat, SharedKept};
use crate::shadow::Shadow;
use foregate_balance::{
    HedgeNote, InFlight, Need, Outcome, Pick, Shared, Taken, Tried, UpstreamState, note_latency,
};
use foregate_message::{Client, Peer, RequestHead, ResponseHead};
use foregate_telemetry::clock::{now, recent};
use foregate_upstream::Pool;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A try beside the first one; broken off when it is dropped, and what it counts given back.
pub(super) struct Rival<'r> {
    running: Pin<Box<dyn Future<Output = Heard> + 'r>>,
    /// Its answer, once it has a good one.
    pub(super) heard: Option<Heard>,
    pool: Rc<Pool>,
    pick: Pick,
    lane: Lane,
    in_flight: Option<InFlight>,
    held: Option<Held>,
    /// Its place among the tries again.
    again: Option<Taken>,
    end: End,
}

/// What a rival came to.
pub(super) struct Heard {
    pub(super) ended: Result<(), Failure>,
    pub(super) answer: Box<Answer<'static>>,
    /// What its backend has said ahead of the answer.
    interim: Vec<ResponseHead>,
}

/// How it ended, which is counted when it is over.
struct End {
    note: HedgeNote,
    state: Arc<UpstreamState>,
    _taken: Taken,
}

impl Drop for End {
    fn drop(&mut self) {
        self.state.note_hedge(self.note);
    }
}

impl<'r> Rival<'r> {
    /// Sends the request to another endpoint, too. `kept` is its body.
    ///
    /// # Errors
    /// Why that may not be.
    pub(super) fn open(
        race: &'r Race<'r>,
        exchange: &Exchange,
        head: &RequestHead,
        tried: &Tried,
        (kept, peer): (Option<SharedKept>, Peer),
    ) -> Result<Rival<'r>, HedgeNote> {
        let (upstream, subset) = race.to;
        let taken = (upstream.state)
            .take(Shared::Hedges, race.policy.requests_max)
            .ok_or(HedgeNote::RequestsMax)?;
        let need = Need {
            subset,
            key: exchange.key,
            ..forward::need(race.road, tried)
        };
        let none = HedgeNote::NoOtherEndpoint;
        // Nobody passes those who wait for the same places.
        if upstream.queue.is_some() && !upstream.line.is_free(upstream.lane(subset)) {
            return Err(none);
        }
        let picked = race.policy.second(&mut upstream.picker.borrow_mut(), &need);
        let pick = picked.ok_or(none)?;
        let pool = upstream.pool(pick.index);
        if pool.address.get().is_none() || pool.is_busy() {
            return Err(none);
        }
        let (in_flight, held) = match upstream.is_guarded() {
            false => (pool.endpoint.begin(), None),
            true => {
                let (in_flight, held) = guard::hold(upstream, pick.index).map_err(|_| none)?;
                (in_flight, Some(held))
            }
        };
        let again = guard::beside(upstream).map_err(|()| HedgeNote::RetriesMax)?;
        let now_ms = recent().millis();
        if !(upstream.budget.borrow_mut()).take(&upstream.retry.budget, now_ms) {
            return Err(HedgeNote::Budget);
        }
        upstream.state.note_hedge(HedgeNote::Sent);
        pool.cells().requests.one();
        pool.cells().retries.one();
        Ok(Rival {
            running: Box::pin(ask(
                race,
                exchange.beside(),
                head.clone(),
                pool,
                (kept, peer),
            )),
            heard: None,
            pool: Rc::clone(pool),
            pick,
            lane: Lane::of(pick.index),
            in_flight: Some(in_flight),
            held,
            again,
            end: End {
                // Unless it comes to something.
                note: HedgeNote::GivenUp,
                state: Arc::clone(&upstream.state),
                _taken: taken,
            },
        })
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Ready with what it came to. Not asked again then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        self.running.as_mut().poll(cx)
    }

    /// What it comes to when the first one has come to nothing.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn alone(&mut self, client: &mut dyn Client) -> Result<Heard, Failure> {
        poll_fn(|cx| {
            if let Poll::Ready(heard) = self.poll(cx) {
                return Poll::Ready(Ok(heard));
            }
            client.poll_gone(cx).map(|reason| {
                let (give, kind) = (Give::Up, None);
                Err(Failure { reason, give, kind })
            })
        })
        .await
    }

    /// It has come to nothing while the first one goes on.
    pub(super) fn falls(&mut self, upstream: &Upstream, outcome: Option<Outcome>) {
        self.end.note = HedgeNote::Failed;
        if let (Some(held), Some(outcome)) = (&mut self.held, outcome) {
            held.conclude(upstream, &self.pool.endpoint, outcome);
        }
    }

    /// It answers sooner than the try at `first`, of which is known how long it has not answered.
    pub(super) fn outruns(&self, upstream: &Upstream, first: &Lane) {
        let (pool, at) = (upstream.pool(first.index), now());
        let micros = at.micros_since(first.asked);
        is_slower_than_known(upstream, pool, micros, at.millis());
        if upstream.outliers.is_some() {
            note_latency(&pool.endpoint, micros);
        }
        forward::measure(upstream, micros);
    }

    /// The exchange goes on with it. The other try, of which `failure` tells, is over: its count is given back first, as
    /// whoever waits for the place must find it.
    pub(super) fn takes_over(
        &mut self,
        exchange: &mut Exchange,
        upstream: &Upstream,
        (answer, lane): (&mut Answer<'_>, &mut Lane),
        failure: TryFailure,
    ) {
        let first = Rc::clone(upstream.pool(lane.index));
        exchange.failures.push((first, failure));
        exchange.hedge = Some(HedgeNote::Sent);
        answer.call = None;
        answer.head = ResponseHead::default();
        answer.borrowed = None;
        answer.borrowed = self.in_flight.take().map(Borrowed::Guarded);
        if let Some(guarded) = &mut exchange.guarded {
            guarded.exchange_held(self.held.take(), self.again.take());
        }
        exchange.endpoint = Some(Rc::clone(&self.pool));
        exchange.pick = Some(self.pick);
        *lane = self.lane;
    }

    /// The first try has answered sooner.
    pub(super) fn was_outrun(self, exchange: &mut Exchange, upstream: &Upstream) {
        let at = now();
        let micros = at.micros_since(self.lane.asked);
        is_slower_than_known(upstream, &self.pool, micros, at.millis());
        let pool = Rc::clone(&self.pool);
        exchange.failures.push((pool, TryFailure::Outrun));
        self.ends(exchange, HedgeNote::Lost);
    }

    /// It is over.
    pub(super) fn ends(mut self, exchange: &mut Exchange, note: HedgeNote) {
        self.end.note = note;
        exchange.hedge = Some(note);
    }
}

/// Who was broken off takes at least as long as it was waited for; that says nothing when more is known already.
fn is_slower_than_known(upstream: &Upstream, pool: &Pool, micros: u64, now_ms: u64) {
    let known = pool.endpoint.latency_micros(now_ms);
    if upstream.is_timed && known.is_some_and(|known| known < micros) {
        pool.endpoint.answered(micros, now_ms);
    }
}

/// The try itself, with all that it needs.
fn ask<'r>(
    race: &'r Race<'r>,
    exchange: Exchange,
    mut head: RequestHead,
    pool: &Rc<Pool>,
    (kept, peer): (Option<SharedKept>, Peer),
) -> impl Future<Output = Heard> + use<'r> {
    let pool = Rc::clone(pool);
    let mut answer = Box::new(Answer::awaited(&exchange, race.road, Timer::own()));
    async move {
        answer.patience.begin_try();
        attempt::address(&exchange, &mut head, &pool.endpoint, &answer.patience);
        let mut shadow = Shadow::of_hedge(peer);
        let mut repeat = Repeat::beside(kept);
        let with = (race.way(), &mut repeat);
        let client: &mut dyn Client = &mut shadow;
        let ended = attempt::run(&exchange, client, &head, &pool, with, &mut answer).await;
        Heard {
            ended,
            answer,
            interim: shadow.interim.unwrap_or_default(),
        }
    }
}

impl Heard {
    /// The exchange's answer is the rival's, or its failure is.
    pub(super) fn take(
        self,
        client: &mut dyn Client,
        answer: &mut Answer<'_>,
    ) -> Result<(), Failure> {
        for head in &self.interim {
            client.inform(head);
        }
        if self.ended.is_ok() {
            let borrowed = answer.borrowed.take();
            *answer = *self.answer;
            answer.borrowed = borrowed;
        }
        self.ended
    }
}

impl Exchange {
    /// What its rival needs of it.
    fn beside(&self) -> Exchange {
        Exchange {
            at: self.at,
            expects_continue: self.expects_continue,
            chosen: self.chosen,
            key: self.key,
            ..self.mirrored()
        }
    }
}
