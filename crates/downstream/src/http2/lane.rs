//! A lane: the task that serves the requests of one slot of the engine, one after the other.

use super::shared::Shared;
use super::stream::Http2Stream;
use crate::connection::caught;
use crate::handler::{Arrival, Handler};
use crate::worker::Worker;
use foregate_eventloop::spawn_local;
use foregate_message::{BodyLength, Reason, RequestHead};
use foregate_telemetry::clock::{Deadline, Moment};
use foregate_wire::h2::heads::RequestFacts;
use foregate_wire::h2::{ErrorCode, StreamKey};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

/// A request on its way to its lane.
pub(super) struct Request {
    pub(super) key: StreamKey,
    pub(super) head: RequestHead,
    pub(super) facts: Result<RequestFacts, Reason>,
    pub(super) at: Moment,
}

/// Has a request served.
pub(super) fn begin<H: Handler>(
    shared: &Rc<Shared>,
    request: Request,
    worker: &Rc<Worker>,
    handler: &Rc<H>,
) {
    let slot = request.key.slot();
    if shared.assign(request) {
        spawn_local(lane(
            Rc::clone(shared),
            slot,
            Rc::clone(worker),
            Rc::clone(handler),
        ));
    }
}

/// Tells that the lane has ended, however it did.
struct Leaving {
    shared: Rc<Shared>,
    slot: usize,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.shared.left(self.slot);
    }
}

async fn lane<H: Handler>(shared: Rc<Shared>, slot: usize, worker: Rc<Worker>, handler: Rc<H>) {
    let leaving = Leaving { shared, slot };
    let shared = &*leaving.shared;
    // One for all of its requests.
    let mut timer = Deadline::new();
    while let Some(request) = poll_fn(|cx| shared.poll_request(slot, cx)).await {
        serve(shared, request, &mut timer, &worker, &*handler).await;
    }
}

async fn serve<H: Handler>(
    shared: &Shared,
    request: Request,
    timer: &mut Deadline,
    worker: &Worker,
    handler: &H,
) {
    let Request {
        key,
        mut head,
        facts,
        at,
    } = request;
    let limits = worker.limits();
    shared.entry().begin_stream(key.slot(), at);
    let mut client = Http2Stream::new(shared, key, limits, &facts);
    if let Ok(facts) = &facts
        && facts.upgrade
    {
        client.prepare_upgrade(&mut head, worker.random());
    }
    let arrival = Arrival {
        upgrade: facts.is_ok_and(|facts| facts.upgrade),
        expects_continue: facts.is_ok_and(|facts| facts.expects_continue),
        // What follows an upgrade is no body, and CONNECT is not served.
        outcome: facts.map(|facts| match facts.length {
            BodyLength::Tunnel => BodyLength::Empty,
            length => length,
        }),
        head: &mut head,
        at,
        timer,
    };
    // Pinned here, since it is too large to be moved for nothing.
    let served = caught(pin!(handler.serve(&mut client, arrival))).await;
    if !shared.is_broken() {
        let mut engine = shared.engine();
        if served.is_none() {
            engine.reset(key, ErrorCode::INTERNAL_ERROR);
        }
        engine.release(key);
    }
    if served.is_none() {
        worker.panicked();
    }
    shared.entry().end_stream(key.slot());
    shared.served();
}
