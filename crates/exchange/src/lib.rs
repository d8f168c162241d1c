//! **Purpose:** the road: one request's whole life, from its head to its log line.
//! **Never knows:** sockets, which protocol a client speaks, configuration text.
//! **Next on the road:** `upstream`, for the requests that go to a backend.
//!
//! ```text
//! admit → route → shed → secure → policies → choose → describe → forward (balance, connect, send, await) → shape → relay → settle
//! ```
//! A client that speaks another dialect than its backend (gRPC-Web) goes the way from `forward` on behind a `bridge`.
//!
//! [`Road::serve`] is that line as code. A stage that ends the request early returns its [`Reason`] as an error; the
//! answer to each is decided in one place, `apology`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod admit;
mod apology;
mod attempt;
mod bridge;
mod choose;
mod deadline;
mod describe;
mod download;
mod elsewhere;
mod exchange;
mod forward;
mod guard;
mod hedge;
mod kept;
mod mirror;
mod passage;
mod patience;
mod plan;
mod policies;
mod probing;
mod random;
mod relay;
mod repeat;
mod route;
mod secure;
mod session;
mod settle;
mod shadow;
mod shape;
mod shed;
mod trailers;
mod upload;

pub use exchange::Request;
pub use passage::Passage;
pub use plan::{EndpointPart, Plan, PlanParts, UpstreamPart};
pub use secure::{Certificates, NoCertificates, SecurePart};
pub use session::Seal;
pub use shed::{Load, LoadLimits};

use exchange::Exchange;
use foregate_message::{Client, Reason, RequestHead};
use foregate_telemetry::clock::Deadline;
use foregate_telemetry::log::LogWriter;
use foregate_telemetry::metrics::Shard;
use patience::Timer;
use random::Random;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// One worker's road: what all of its exchanges share.
#[derive(Debug)]
pub struct Road {
    plan: RefCell<Rc<Plan>>,
    shard: Arc<Shard>,
    log: RefCell<LogWriter>,
    random: Random,
    certificates: Arc<dyn Certificates>,
    /// Copies of requests that are under way.
    mirrors: Rc<Cell<u32>>,
    /// Itself, for what outlives a request.
    own: Weak<Road>,
    load: Load,
    /// Set when nothing is waited for any more.
    cut: Rc<Cell<bool>>,
}

impl Road {
    /// A road on which `plan` is in force. `seed` makes its random choices differ from other workers'.
    pub fn new(
        plan: Rc<Plan>,
        shard: Arc<Shard>,
        log: LogWriter,
        certificates: Arc<dyn Certificates>,
        seed: u64,
    ) -> Rc<Road> {
        Rc::new_cyclic(|own| Road {
            mirrors: Rc::default(),
            own: Weak::clone(own),
            plan: RefCell::new(plan),
            shard,
            log: RefCell::new(log),
            random: Random::new(seed),
            certificates,
            load: Load::default(),
            cut: Rc::default(),
        })
    }

    /// Itself, unless it is coming to its end.
    fn own(&self) -> Option<Rc<Road>> {
        self.own.upgrade()
    }

    /// The plan in force.
    pub fn plan(&self) -> Rc<Plan> {
        Rc::clone(&self.plan.borrow())
    }

    /// What this worker has to do.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Puts a new plan in force. Exchanges under way finish on the one they began with.
    pub fn set_plan(&self, plan: Rc<Plan>) {
        let before = self.plan.replace(Rc::clone(&plan));
        before.give_way(&plan);
    }

    /// Writes the log elsewhere from now on.
    pub fn set_log(&self, log: LogWriter) {
        *self.log.borrow_mut() = log;
    }

    /// Breaks off every exchange that waits for a backend or in a tunnel, as soon as its task is woken.
    pub fn cut(&self) {
        self.cut.set(true);
    }

    /// Hands the log's lines over to its writer, for quiet times.
    pub fn flush_log(&self) {
        self.log.borrow_mut().flush();
    }

    /// Serves one request, whatever protocol it came by: the table of contents of its life.
    pub async fn serve<C: Client>(&self, client: &mut C, request: Request<'_>) {
        let running = self.load.count();
        let plan = Rc::clone(&self.plan.borrow());
        let mut exchange = Exchange::open(self, plan, client.peer(), &request);
        let Request { head, timer, .. } = request;
        let outcome = match exchange.travel(self, client, head, timer).await {
            Ok(reason) => {
                exchange.give_back(reason);
                reason
            }
            Err(reason) => {
                // A client may take its time to read that it gets nothing: it holds nothing meanwhile.
                exchange.give_back(reason);
                let _running = shed::unless_turned_away(running, reason);
                apology::send(&mut exchange, client, head, reason).await
            }
        };
        settle::settle(self, &exchange, client, head, outcome);
    }
}

impl Exchange {
    async fn travel<C: Client>(
        &mut self,
        road: &Road,
        client: &mut C,
        head: &mut RequestHead,
        timer: &mut Deadline,
    ) -> Result<Reason, Reason> {
        admit::admit(self, head)?;
        if let Some(answer) = secure::challenge(road, client.peer(), head) {
            return relay::respond(self, client, head, *answer).await;
        }
        route::find(self, road, client.peer(), head)?;
        shed::shed(self, &road.load)?;
        if let Some(answer) = secure::secure(self, road, client.peer(), head)? {
            return relay::respond(self, client, head, *answer).await;
        }
        if let Some(answer) = policies::decide(self, client, head)? {
            return relay::respond(self, client, head, *answer).await;
        }
        choose::choose(self, road, head);
        describe::describe(self, client.peer(), head)?;
        match bridge::form(self, &head.fields) {
            None => self.exchange(road, client, head, timer).await,
            Some(form) => {
                let mut client = bridge::Bridged::new(client, form, &mut head.fields);
                self.outcome = bridge::length(form, self.outcome);
                self.translated = true;
                match self.exchange(road, &mut client, head, timer).await {
                    // Whoever speaks the dialect is told in it.
                    Err(reason) => {
                        self.give_back(reason);
                        Ok(apology::send(self, &mut client, head, reason).await)
                    }
                    done => done,
                }
            }
        }
    }

    /// Gives back what it holds of a guarded upstream, now that it is known what it came to.
    #[inline]
    fn give_back(&mut self, outcome: Reason) {
        if self.guarded.is_some() {
            guard::end(self, outcome);
        }
    }

    /// The part of the way that a backend has in it.
    async fn exchange<C: Client>(
        &mut self,
        road: &Road,
        client: &mut C,
        head: &mut RequestHead,
        timer: &mut Deadline,
    ) -> Result<Reason, Reason> {
        let plan = Rc::clone(&self.plan);
        if let Some(mirror) = &self.proxy(&plan).mirror {
            mirror::begin(self, mirror, road, client.peer(), head);
        }
        let mut answer = forward::Answer::awaited(self, road, Timer::Lent(timer));
        forward::forward(self, road, client, head, &mut answer).await?;
        shape::shape(self, client.peer(), head, &mut answer);
        relay::relay(self, client, &mut answer).await
    }
}
