//! Mirror: copies of a route's requests for another upstream, whose answers are thrown away.
//!
//! A copy is sent once the request it is of has left, by a task of its own: the request never waits for it, and nothing
//! that becomes of it is seen by the client. A body is copied while it passes, up to a limit.

use crate::exchange::{Exchange, MIRRORED};
use crate::forward::{self, Answer};
use crate::patience::Timer;
use crate::shadow::Shadow;
use crate::{Road, relay};
use foregate_message::{BodyLength, Chunk, FieldId, Peer, RequestHead};
use foregate_snapshot::MirrorPlan;
use foregate_telemetry::metrics::Mirrored;
use std::cell::Cell;
use std::rc::Rc;

/// Pieces in which a copied body is sent.
const PIECE_BYTES: usize = 16 * 1024;

/// A copy that waits for the rest of its body.
pub(crate) struct Pending {
    /// Until it goes its way, or is known to have none.
    job: Option<Job>,
    body: Vec<u8>,
    body_bytes_max: usize,
}

/// All that a copy needs to go its own way.
struct Job {
    road: Rc<Road>,
    exchange: Exchange,
    head: RequestHead,
    peer: Peer,
    _place: Place,
}

/// One of the copies that a worker may have under way.
struct Place(Rc<Cell<u32>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Decides whether a request is copied, and begins with it. `head` is the one that backends get.
#[cold]
pub(crate) fn begin(
    exchange: &mut Exchange,
    plan: &MirrorPlan,
    road: &Road,
    peer: &Peer,
    head: &RequestHead,
) {
    // Where one protocol becomes another, there is no answer that could be thrown away.
    if exchange.upgrade.is_some() || road.random.next() % 100 >= u64::from(plan.share_percent) {
        return;
    }
    let (Ok(length), Some(road)) = (exchange.outcome, road.own()) else {
        return;
    };
    if matches!(length, BodyLength::Known(bytes) if bytes > plan.body_bytes_max as u64) {
        return road.shard.balancing.mirrored(Mirrored::BodyTooLarge);
    }
    if road.mirrors.get() >= plan.requests_max {
        return road.shard.balancing.mirrored(Mirrored::TooMany);
    }
    road.mirrors.set(road.mirrors.get() + 1);
    let place = Place(Rc::clone(&road.mirrors));
    let mut head = head.clone();
    head.fields.remove(FieldId::Expect);
    let job = Job {
        exchange: exchange.mirrored(),
        road,
        head,
        peer: peer.clone(),
        _place: place,
    };
    if length.is_empty() {
        return job.start(Vec::new());
    }
    exchange.copy = Cell::new(Some(Box::new(Pending {
        job: Some(job),
        body: Vec::new(),
        body_bytes_max: plan.body_bytes_max,
    })));
}

impl Pending {
    /// Copies a piece of the body. `None` when there is more than may be copied.
    pub(crate) fn take(mut self: Box<Self>, data: &[u8]) -> Option<Box<Pending>> {
        if self.body.len() + data.len() > self.body_bytes_max {
            self.come_to_nothing(Mirrored::BodyTooLarge);
            return None;
        }
        self.body.extend_from_slice(data);
        Some(self)
    }

    /// The body is complete: the copy goes its way.
    pub(crate) fn finish(mut self) {
        if let Some(job) = self.job.take() {
            job.start(std::mem::take(&mut self.body));
        }
    }

    fn come_to_nothing(&mut self, why: Mirrored) {
        if let Some(job) = self.job.take() {
            job.road.shard.balancing.mirrored(why);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.come_to_nothing(Mirrored::Incomplete);
    }
}

impl Job {
    fn start(mut self, body: Vec<u8>) {
        if !body.is_empty() || self.exchange.outcome != Ok(BodyLength::Empty) {
            self.exchange.outcome = Ok(BodyLength::Known(body.len() as u64));
        }
        foregate_eventloop::spawn_local(self.send(body));
    }

    async fn send(mut self, body: Vec<u8>) {
        let body = body.chunks(PIECE_BYTES).map(Chunk::copy_of).collect();
        let mut client = Shadow::of_copy(self.peer, body);
        let (exchange, road) = (&mut self.exchange, &*self.road);
        let mut answer = Answer::awaited(exchange, road, Timer::own());
        let (request, client) = (&mut self.head, &mut client);
        let outcome = match forward::forward(exchange, road, client, request, &mut answer).await {
            Ok(()) => relay::relay(exchange, client, &mut answer).await,
            Err(reason) => Err(reason),
        };
        // The count of the endpoint's requests first: whoever is called for its place finds it.
        drop(answer);
        let (Ok(reason) | Err(reason)) = outcome;
        exchange.give_back(reason);
        road.shard.balancing.mirrored(match outcome {
            Ok(_) => Mirrored::Answered,
            Err(_) => Mirrored::Failed,
        });
    }
}

impl Exchange {
    /// The exchange of a copy.
    pub(crate) fn mirrored(&self) -> Exchange {
        Exchange {
            plan: Rc::clone(&self.plan),
            at: foregate_telemetry::clock::recent(),
            outcome: self.outcome,
            upgrade: None,
            expects_continue: false,
            request_id: self.request_id,
            client: self.client,
            scheme: self.scheme,
            host: self.host.clone(),
            has_host: self.has_host,
            referer: self.referer.clone(),
            user_agent: self.user_agent.clone(),
            normal: self.normal,
            path: self.path.clone(),
            client_deadline: foregate_telemetry::clock::Moment::NEVER,
            translated: self.translated,
            is_answered_in_grpc: false,
            target: self.target.clone(),
            route: self.route,
            missed_site: None,
            chosen: MIRRORED,
            key: None,
            session: None,
            pick: None,
            copy: Cell::new(None),
            elsewhere: Cell::new(None),
            endpoint: None,
            tries: 0,
            guarded: None,
            retry_refused: None,
            hedge: None,
            failures: Vec::new(),
            upstream_micros: None,
            status: 0,
        }
    }
}
