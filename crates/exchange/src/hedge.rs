//! Hedge: a try whose answer is late gets a rival at another endpoint.
//!
//! ```text
//!   first  ├──── no head after the delay ────┬───────► a good answer: taken, the rival is broken off
//!   rival                                    └───────► a good answer: taken, the first is broken off
//! ```
//! What fails while the other is open is followed by it, as by a retry. Only upstreams that want it ever come here, and
//! with clients of any kind: an attempt that is made for each kind has one caller, which it becomes a part of.

mod rival;

use crate::Road;
use crate::attempt::{self, Failure};
use crate::elsewhere::Way;
use crate::exchange::{Exchange, MIRRORED, TryFailure};
use crate::forward::{self, Answer};
use crate::guard;
use crate::plan::Upstream;
use crate::repeat::{Repeat, SharedKept};
use foregate_balance::{HedgeNote, HedgePolicy, Outcome, PickReason, Tried};
use foregate_message::{Blame, Client, Peer, Reason, RequestHead};
use foregate_telemetry::clock::{Deadline, Moment, now, recent};
use foregate_upstream::Pool;
use rival::Rival;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A try that may get a rival.
pub(crate) struct Race<'r> {
    pub(crate) road: &'r Road,
    pub(crate) to: (&'r Upstream, u32),
    pub(crate) policy: HedgePolicy,
    /// When it is time for a rival.
    pub(crate) due: Moment,
}

impl Race<'_> {
    /// The way of either try.
    fn way(&self) -> Way<'_> {
        Way {
            road: self.road,
            upstream: self.to.0,
            subset: self.to.1,
            may_choose: false,
        }
    }
}

/// The endpoint that an exchange goes on with, and since when.
#[derive(Clone, Copy)]
pub(crate) struct Lane {
    pub(crate) index: usize,
    pub(crate) asked: Moment,
}

impl Lane {
    /// One at an endpoint that is about to be asked.
    pub(crate) fn of(index: usize) -> Lane {
        Lane {
            index,
            asked: recent(),
        }
    }
}

/// The race of a try that begins, if it may get a rival.
#[inline]
pub(crate) fn race<'r>(
    exchange: &Exchange,
    road: &'r Road,
    to: (&'r Upstream, u32),
    repeat: &Repeat,
    asked: Moment,
) -> Option<Race<'r>> {
    let policy = to.0.hedge?;
    let delay = may(exchange, to.0, repeat)
        .then(|| to.0.state.hedge_delay_micros(&policy))
        .flatten()?;
    Some(Race {
        road,
        to,
        policy,
        due: asked.plus(Duration::from_micros(delay)),
    })
}

/// Whether a request may be at two endpoints: one that could be tried again, once, and not where a session keeps it.
#[inline(never)]
fn may(exchange: &Exchange, upstream: &Upstream, repeat: &Repeat) -> bool {
    let is_in_session = exchange.session.is_some()
        && (exchange.pick).is_some_and(|pick| pick.reason == PickReason::Session);
    exchange.hedge.is_none()
        && exchange.upgrade.is_none()
        && exchange.chosen != MIRRORED
        && exchange.tries < upstream.tries_max
        && !is_in_session
        && repeat.stays_possible()
}

/// One try at `lane`, and its rival if it gets one. The exchange goes on with the answer or the failure of the endpoint
/// that `lane` tells afterwards.
pub(crate) async fn attempt(
    exchange: &mut Exchange,
    client: &mut dyn Client,
    head: &RequestHead,
    race: &Race<'_>,
    (tried, repeat): (&mut Tried, &mut Repeat),
    answer: &mut Answer<'_>,
    lane: &mut Lane,
) -> Result<(), Failure> {
    let upstream = race.to.0;
    let mut lap = Lap::new(race, client.peer(), repeat);
    let with = (&*tried, &mut *repeat);
    let first = lap
        .run(exchange, client, head, lane.index, with, answer)
        .await;
    lap.tell(exchange, tried);
    let (Some(mut rival), kept) = (lap.rival, lap.kept) else {
        return first.unwrap_or(Ok(()));
    };
    let Some(ended) = first else {
        rival.outruns(upstream, lane);
        rival.takes_over(exchange, upstream, (answer, lane), TryFailure::Outrun);
        forward::tell_way(exchange, client, rival.pool());
        let heard = rival.heard.take();
        rival.ends(exchange, HedgeNote::Won);
        return heard.map_or(Ok(()), |heard| heard.take(client, answer));
    };
    if ended
        .as_ref()
        .is_err_and(|failure| is_final(failure.reason))
    {
        rival.ends(exchange, HedgeNote::GivenUp);
        return ended;
    }
    let status = answer.head.status.code();
    let pool = upstream.pool(lane.index);
    let Some((failure, outcome)) = fall(upstream, pool, lane.asked, (&ended, status)) else {
        rival.was_outrun(exchange, upstream);
        return ended;
    };
    guard::conclude(exchange, upstream, outcome);
    repeat.kept = kept;
    rival.takes_over(exchange, upstream, (answer, lane), failure);
    forward::tell_way(exchange, client, rival.pool());
    match rival.alone(client).await {
        Ok(heard) => {
            let note = match &heard.ended {
                Ok(()) => HedgeNote::Won,
                Err(_) => HedgeNote::Failed,
            };
            rival.ends(exchange, note);
            heard.take(client, answer)
        }
        Err(failure) => {
            rival.ends(exchange, HedgeNote::GivenUp);
            Err(failure)
        }
    }
}

/// Takes note of an attempt that failed or whose answer is not a good one, unless it is; how it is told, and what circuits
/// are to make of it.
fn fall(
    upstream: &Upstream,
    pool: &Pool,
    asked: Moment,
    (ended, status): (&Result<(), Failure>, u16),
) -> Option<(TryFailure, Option<Outcome>)> {
    match ended {
        Ok(()) if !is_unfit(upstream, status) => None,
        Ok(()) => {
            forward::heard_after(upstream, pool, status, asked, now());
            let outcome = forward::unfit(upstream, pool, status);
            Some((TryFailure::Status(status), Some(outcome)))
        }
        Err(failure) => {
            let Failure { reason, kind, .. } = failure;
            if let Some(kind) = kind {
                forward::failed_after(upstream, pool, asked);
                forward::fail(upstream, pool, *kind);
            }
            Some((TryFailure::Reason(*reason), kind.and_then(forward::blame)))
        }
    }
}

/// Whether a try ended for what the rival's will end for, too: the client has gone, the time for the whole request is over, or
/// the gateway does not go on with it. All else is one endpoint's affair, even where it is not to blame.
fn is_final(reason: Reason) -> bool {
    reason.blame() == Blame::Client
        || matches!(
            reason,
            Reason::RequestTimeout | Reason::Draining | Reason::ClosedByOperator
        )
}

/// Whether an answer is worse than waiting for another one.
fn is_unfit(upstream: &Upstream, status: u16) -> bool {
    matches!(status, 502..=504) || upstream.retry.statuses.contains(status)
}

/// The part of a race in which the first try is under way.
struct Lap<'r> {
    race: &'r Race<'r>,
    /// The body of the request, as far as it has come.
    kept: Option<SharedKept>,
    /// As much of the client as a connection needs to know.
    peer: Option<Peer>,
    timer: Deadline,
    rival: Option<Rival<'r>>,
    /// The rival that came to nothing.
    fallen: Option<(usize, TryFailure)>,
    /// Why there is none, though it was time for one.
    refused: Option<HedgeNote>,
}

impl<'r> Lap<'r> {
    fn new(race: &'r Race<'r>, peer: &Peer, repeat: &Repeat) -> Lap<'r> {
        let mut timer = Deadline::new();
        timer.set(race.due);
        Lap {
            race,
            kept: repeat.kept.clone(),
            peer: Some(Peer::new(peer.address, peer.local, 0)),
            timer,
            rival: None,
            fallen: None,
            refused: None,
        }
    }

    /// Runs until the first try has come to something; `None` when the rival has a good answer before.
    async fn run(
        &mut self,
        exchange: &Exchange,
        client: &mut dyn Client,
        head: &RequestHead,
        index: usize,
        (tried, repeat): (&Tried, &mut Repeat),
        answer: &mut Answer<'_>,
    ) -> Option<Result<(), Failure>> {
        let upstream = self.race.to.0;
        let (pool, with) = (upstream.pool(index), (self.race.way(), repeat));
        let mut first = pin!(attempt::run(exchange, client, head, pool, with, answer));
        poll_fn(|cx| {
            if let Poll::Ready(ended) = first.as_mut().poll(cx) {
                return Poll::Ready(Some(ended));
            }
            if self.is_due(cx)
                && let Some(peer) = self.peer.take()
            {
                let kept = self.kept.clone();
                match Rival::open(self.race, exchange, head, tried, (kept, peer)) {
                    Ok(rival) => self.rival = Some(rival),
                    Err(note) => self.refused = Some(note),
                }
            }
            self.poll_rival(cx).map(|()| None)
        })
        .await
    }

    /// Whether it is time for a rival, and the whole body here that it needs.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let kept = self.kept.as_ref();
        self.peer.is_some()
            && kept.is_none_or(|kept| kept.borrow().is_whole())
            && self.timer.poll_expired(cx).is_ready()
    }

    /// Ready once the rival has a good answer.
    fn poll_rival(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(rival) = &mut self.rival else {
            return Poll::Pending;
        };
        let heard = ready!(rival.poll(cx));
        let upstream = self.race.to.0;
        let with = (&heard.ended, heard.answer.head.status.code());
        match fall(upstream, rival.pool(), rival.lane().asked, with) {
            None => {
                rival.heard = Some(heard);
                Poll::Ready(())
            }
            Some((failure, outcome)) => {
                self.fallen = Some((rival.lane().index, failure));
                rival.falls(upstream, outcome);
                self.rival = None;
                Poll::Pending
            }
        }
    }

    /// What the exchange is to know of it.
    fn tell(&self, exchange: &mut Exchange, tried: &mut Tried) {
        let upstream = self.race.to.0;
        if let Some(note) = self.refused {
            upstream.state.note_hedge(note);
            exchange.hedge = Some(note);
        }
        if let Some((index, failure)) = self.fallen {
            let pool = Rc::clone(upstream.pool(index));
            exchange.failures.push((pool, failure));
            exchange.hedge = Some(HedgeNote::Failed);
        }
        let rival = self.rival.as_ref().map(|rival| rival.lane().index);
        if let Some(index) = self.fallen.map(|(index, _)| index).or(rival) {
            exchange.tries += 1;
            tried.insert(index);
        }
    }
}
