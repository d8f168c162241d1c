//! One attempt at one endpoint: get a connection, send the request, wait for the head of its answer.

use crate::deadline;
use crate::elsewhere::Way;
use crate::exchange::Exchange;
use crate::forward::{self, Answer};
use crate::patience::Patience;
use crate::plan::Upstream;
use crate::repeat::Repeat;
use crate::trailers;
use crate::upload::Upload;
use foregate_balance::Endpoint;
use foregate_message::{BodyLength, Client, Reason, RequestHead, ResponseHead, Status};
use foregate_snapshot::RetryPlan;
use foregate_telemetry::clock::{Moment, now, recent};
use foregate_telemetry::metrics::EndpointFailure;
use foregate_upstream::{Call, Checkout, ConnectFault, Connection, Pool, Ticket, Use};
use std::future::poll_fn;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A connection that its backend had closed before the request came is known to be closed within a round trip. What takes
/// longer is the backend's failure.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// What may be done after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Give {
    /// Another endpoint may be asked: this one was never reached.
    Over,
    /// Another endpoint may be asked although this one was reached, if the budget allows.
    Again,
    /// None was asked: where the exchange goes instead is noted in it.
    Elsewhere,
    /// The request may have had an effect, or the client is the one who failed.
    Up,
}

/// Why there was no answer.
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) give: Give,
    /// What the endpoint is to blame for, if it is.
    pub(crate) kind: Option<EndpointFailure>,
}

/// Writes what depends on the endpoint into the head that it gets.
pub(crate) fn address(
    exchange: &Exchange,
    head: &mut RequestHead,
    endpoint: &Endpoint,
    patience: &Patience<'_>,
) {
    let target = exchange.destination(&exchange.plan);
    let (fields, has_host) = (&mut head.fields, exchange.has_host);
    target.host.apply(fields, endpoint.label(), has_host);
    let deadline = patience.deadline().min(exchange.client_deadline);
    if deadline != Moment::NEVER {
        deadline::pass_on(&mut head.fields, deadline, recent());
    }
}

/// Asks one endpoint with a head that is addressed to it. A kept connection that turns out to be stale is replaced by another
/// one to the same endpoint: one of its own by a new one, as others that were kept may be stale, too; a shared one by what
/// the pool has, so that all who were on it dial once.
pub(crate) async fn run<C: Client + ?Sized>(
    exchange: &Exchange,
    client: &mut C,
    head: &RequestHead,
    pool: &Rc<Pool>,
    (way, repeat): (Way<'_>, &mut Repeat),
    answer: &mut Answer<'_>,
) -> Result<(), Failure> {
    let upstream = way.upstream;
    // What can't be sent twice is sent only where the kernel, too, thinks that somebody listens.
    let repeatable = repeat.stays_possible();
    let purpose = match exchange.upgrade {
        Some(_) => Use::Upgrade,
        None => Use::Requests,
    };
    let mut connection = match pool.checkout(purpose, !repeatable) {
        Checkout::Reused(connection) => connection,
        // In a place of its own: most find a connection in the pool.
        found => {
            let (to, patience) = ((way, purpose), &mut answer.patience);
            let obtaining = obtain(
                exchange,
                client,
                pool,
                to,
                patience,
                (!repeatable, Some(found)),
            );
            Box::pin(obtaining).await?
        }
    };
    let (mut refused, mut lost) = (false, false);
    loop {
        let asked = ask(
            exchange,
            client,
            head,
            connection,
            (upstream, repeat),
            answer,
        )
        .await;
        let Err(failure) = asked else {
            return Ok(());
        };
        let repeatable = repeat.is_possible();
        if failure.stale && repeatable && !lost {
            lost = failure.shared;
            let patience = &mut answer.patience;
            let fresh = if lost { None } else { pool.fresh() };
            connection = match fresh {
                Some(ticket) => dial(client, ticket, purpose, patience).await?,
                // Its seat is another's already.
                None => {
                    let to = (way, purpose);
                    Box::pin(obtain(exchange, client, pool, to, patience, (true, None))).await?
                }
            };
        } else if failure.unprocessed && !refused {
            // A backend that is going away takes requests on its next connection.
            refused = true;
            let (to, patience) = ((way, purpose), &mut answer.patience);
            let verify = !repeat.stays_possible();
            let obtaining = obtain(exchange, client, pool, to, patience, (verify, None));
            connection = Box::pin(obtaining).await?;
        } else {
            return Err(failure.verdict(repeatable, &upstream.retry));
        }
    }
}

/// No connection may be opened now.
pub(crate) fn full() -> Failure {
    Failure {
        reason: Reason::PendingFull,
        give: Give::Over,
        kind: Some(EndpointFailure::PendingFull),
    }
}

/// Who waited for a connection has none.
fn unserved(reason: Reason) -> Failure {
    let is_full = reason == Reason::PendingFull;
    Failure {
        reason,
        give: if is_full { Give::Over } else { Give::Up },
        kind: is_full.then_some(EndpointFailure::PendingFull),
    }
}

/// A connection, kept or new; `found` is what the pool has offered already.
async fn obtain<C: Client + ?Sized>(
    exchange: &Exchange,
    client: &mut C,
    pool: &Rc<Pool>,
    (way, purpose): (Way<'_>, Use),
    patience: &mut Patience<'_>,
    (verify, found): (bool, Option<Checkout>),
) -> Result<Connection, Failure> {
    let mut place = None;
    let mut seen = ptr::null();
    let mut offer = found.unwrap_or_else(|| pool.checkout(purpose, verify));
    loop {
        match offer {
            Checkout::Reused(connection) => return Ok(connection),
            Checkout::Connect(ticket) => return dial(client, ticket, purpose, patience).await,
            Checkout::Full => {}
        }
        let place = match &mut place {
            Some(place) => place,
            None => {
                patience.queue();
                place.insert(pool.join(purpose).map_err(unserved)?)
            }
        };
        let turn = poll_fn(|cx| {
            if place.poll_turn(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if way.leads_elsewhere(exchange, pool, &mut seen) {
                return Poll::Ready(Err(Failure {
                    give: Give::Elsewhere,
                    ..unserved(Reason::PendingTimeout)
                }));
            }
            if let Poll::Ready(reason) = client.poll_gone(cx) {
                return Poll::Ready(Err(unserved(reason)));
            }
            let expired = patience.poll_connection(cx);
            expired.map(|reason| Err(unserved(reason)))
        });
        turn.await?;
        offer = place.checkout(verify);
    }
}

/// A new connection.
pub(crate) async fn dial<C: Client + ?Sized>(
    client: &mut C,
    ticket: Ticket,
    purpose: Use,
    patience: &mut Patience<'_>,
) -> Result<Connection, Failure> {
    patience.connect();
    let peer = client.peer();
    // Boxed, for its handshake is larger than all the rest of an exchange, and most find a connection in the pool.
    let mut connecting = Box::pin(Pool::connect(ticket, purpose, peer.address, peer.local));
    poll_fn(|cx| {
        if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
            return Poll::Ready(connected.map_err(refused));
        }
        if let Poll::Ready(reason) = client.poll_gone(cx) {
            let (give, kind) = (Give::Up, None);
            return Poll::Ready(Err(Failure { reason, give, kind }));
        }
        patience.poll_connection(cx).map(|reason| {
            // It is not to blame for what others have left it.
            let is_fair = patience.was_fair(now());
            let late = is_fair.then_some(EndpointFailure::ConnectTimeout);
            let (give, kind) = match reason {
                Reason::ConnectTimeout => (Give::Over, late),
                // Nor that the gateway ends.
                Reason::Draining => (Give::Up, None),
                // A route may have less time than a connection: who swallows its requests is found out all the same.
                _ => (Give::Up, late),
            };
            Err(Failure { reason, give, kind })
        })
    })
    .await
}

fn refused(fault: ConnectFault) -> Failure {
    Failure {
        reason: fault.reason(),
        give: Give::Over,
        kind: fault.blames_endpoint().then_some(EndpointFailure::Connect),
    }
}

/// An attempt that failed after it had a connection.
struct Unheard {
    reason: Reason,
    /// A connection that was idle may have been closed just before the request came, unseen.
    stale: bool,
    /// Others may have been on the same connection.
    shared: bool,
    /// The backend has said nothing, and what was taken of the body from the client is here.
    untouched: bool,
    /// The backend has said that it did not look at the request, and what was taken of the body is here:
    /// whatever the method, it may be sent again (RFC 9113 §8.7).
    unprocessed: bool,
}

impl Unheard {
    /// Whether the time for it is over.
    fn is_late(&self) -> bool {
        matches!(
            self.reason,
            Reason::FirstByteTimeout | Reason::TryTimeout | Reason::UpstreamWriteTimeout
        )
    }

    fn verdict(self, repeatable: bool, retry: &RetryPlan) -> Failure {
        let broke = matches!(
            self.reason,
            Reason::UpstreamClosed
                | Reason::UpstreamTlsFailed
                | Reason::UpstreamReset
                | Reason::UpstreamSilent
        );
        let again = self.unprocessed && retry.refused
            || self.untouched && repeatable && broke && retry.reset
            || self.untouched && repeatable && self.is_late() && retry.timeout;
        Failure {
            reason: self.reason,
            give: if again { Give::Again } else { Give::Up },
            kind: forward::failure(self.reason),
        }
    }
}

/// Sends the request and waits for the head of the answer; interim answers are passed on.
async fn ask<C: Client + ?Sized>(
    exchange: &Exchange,
    client: &mut C,
    request: &RequestHead,
    connection: Connection,
    (upstream, repeat): (&Upstream, &mut Repeat),
    answer: &mut Answer<'_>,
) -> Result<(), Unheard> {
    let length = exchange.outcome.unwrap_or(BodyLength::Empty);
    let target = exchange.target.as_deref().unwrap_or(request.target());
    let upgrade = exchange.upgrade.as_ref().map(|at| request.fields.at(at));
    let limits = &upstream.call_limits;
    let mut call = Call::start(connection, request, target, length, upgrade, limits);
    // What is copied or kept can't stay in the kernel.
    let copy = exchange.copy.take();
    let kept = match repeat.kept {
        None => None,
        Some(_) => repeat.lend(call.is_shared()),
    };
    let stays = copy.is_none() && kept.is_none();
    client.allow_pipes(call.takes_pipes() && stays);
    answer.upload = if length.is_empty() {
        call.end(None);
        Upload::none()
    } else if exchange.expects_continue {
        Upload::held()
    } else {
        Upload::default()
    };
    answer.upload.copy = copy;
    if kept.is_some() {
        answer.upload.keep(kept);
    }
    answer.call = Some(call);
    answer.patience.answer(recent());
    match poll_fn(|cx| answer.poll_head(exchange, client, cx)).await {
        Ok(length) => {
            answer.length = length;
            answer.upload.answered();
            Ok(())
        }
        Err(reason) => Err(answer.unheard(exchange, repeat, reason)),
    }
}

impl Answer<'_> {
    /// What is left of a try that failed. Its connection is of no use any more.
    #[cold]
    fn unheard(&mut self, exchange: &Exchange, repeat: &mut Repeat, reason: Reason) -> Unheard {
        let is_begun = self.upload.begun;
        repeat.take_from(&mut self.upload);
        let is_here = !is_begun || repeat.is_kept();
        // A copy of the request waits for the next attempt, if there may be one; what it has of the body is never sent
        // to it again.
        exchange.copy.set(self.upload.copy.take());
        self.head = ResponseHead::default();
        let call = self.call.take();
        let call = call.as_ref();
        let untouched = call.is_some_and(|call| !call.has_received()) && is_here;
        let is_early = now().since(self.patience.since()) < STALE_WITHIN;
        let is_end = matches!(reason, Reason::UpstreamClosed | Reason::UpstreamTlsFailed);
        let closed = untouched && is_end;
        Unheard {
            reason,
            stale: closed && is_early && call.is_some_and(Call::may_be_stale),
            shared: call.is_some_and(Call::is_shared),
            untouched,
            unprocessed: call.is_some_and(Call::is_unprocessed) && is_here,
        }
    }

    /// Sends the request on and reads the answer, up to its final head.
    fn poll_head<C: Client + ?Sized>(
        &mut self,
        exchange: &Exchange,
        client: &mut C,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BodyLength, Reason>> {
        let (call, head, upload, patience) = self.parts();
        loop {
            // Interim answers leave before more is read, so that a backend that sends nothing else fills no memory.
            let flushed = match client.poll_flush(cx) {
                Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
                flushed => flushed.is_ready(),
            };
            let before = upload.moved;
            if let Poll::Ready(Err(reason)) = upload.poll(client, call, Some(exchange), cx) {
                return Poll::Ready(Err(reason));
            }
            if before != upload.moved {
                patience.renew();
            }
            let polled = if flushed {
                call.poll_head(cx, head)
            } else {
                Poll::Pending
            };
            let interim = match polled {
                Poll::Ready(Ok(_)) if head.status.is_interim() => true,
                Poll::Ready(heard) => return Poll::Ready(heard),
                Poll::Pending => false,
            };
            if interim {
                take_interim(exchange, client, upload, head);
            } else if let Poll::Ready(reason) = client.poll_gone(cx) {
                return Poll::Ready(Err(reason));
            }
            match patience.poll(cx, call, upload) {
                Poll::Ready(reason) => return Poll::Ready(Err(reason)),
                Poll::Pending if interim => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Passes 1xx on. A 100 releases the body, and the client hears it when its body is first read.
fn take_interim<C: Client + ?Sized>(
    exchange: &Exchange,
    client: &mut C,
    upload: &mut Upload,
    head: &mut ResponseHead,
) {
    if head.status == Status::CONTINUE {
        upload.release();
    } else {
        foregate_message::hop::strip(&mut head.fields);
        trailers::of_answer(exchange, &mut head.fields);
        client.inform(head);
    }
}
