//! One worker: a thread with a runtime, sockets, pools, timers and cells of its own. A request never leaves it.

use crate::connections::Inquiry;
use crate::fleet::Handover;
use crate::gate::Gate;
use crate::overload::Overload;
use crate::secure::Acceptors;
use foregate_downstream::{
    Admission, ClientLimits, Http2Limits, Listener, ListenerMode, ListenerRules, Protocols,
    TlsRules, Trusts, Worker,
};
use foregate_eventloop::{block_on, spawn_local};
use foregate_exchange::{Certificates, Plan, PlanParts, Road};
use foregate_policy::overload::Rung;
use foregate_snapshot::{ClientPlan, ListenerPlan, ModePlan, Snapshot};
use foregate_telemetry::clock::{Deadline, deadlines, now};
use foregate_telemetry::log::{LogWriter, process};
use foregate_telemetry::metrics::{ListenerId, Registry, Shard};
use foregate_upstream::BodyLimits;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How often log lines of quiet times are handed over.
const TICK: Duration = Duration::from_millis(100);
/// How many ticks pass between two looks at idle backend connections.
const SWEEP_TICKS: u32 = 10;
/// Orders that a worker may have yet to take before changes wait until it has.
const ORDERS_MAX: usize = 16;
/// Questions that may wait for a worker; who asks another one is told that it does not answer.
const INQUIRIES_MAX: usize = 16;
/// How long exchanges that are broken off have to end.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);
/// For how long after a listener was closed a connection may still come from it that had been accepted.
const LAST_ACCEPTED: Duration = Duration::from_millis(100);
/// How long a client whose request was not read to its end has to take its answer.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long connections that wait for a request are kept once a successor has taken over: their next answer tells
/// their clients to connect anew, which no request is lost by.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the control thread tells a worker.
#[derive(Debug)]
pub(crate) enum Order {
    /// Put a configuration in force.
    Apply(Box<Update>),
    /// Put the same configuration in force with other endpoints.
    Endpoints(Box<PlanParts>, Arc<Handover>),
    /// Take no more connections, finish what runs, and end.
    Drain,
    /// The same for the sake of a successor: nobody is in a hurry.
    HandOver,
    /// End, whatever runs.
    Stop,
}

/// A configuration, as one worker takes it.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) parts: PlanParts,
    /// How handshakes are held.
    pub(crate) acceptors: Acceptors,
    /// Where log lines go from now on, if that changed.
    pub(crate) log: Option<LogWriter>,
    /// Listeners that are new, with this worker's sockets.
    pub(crate) opened: Vec<Opened>,
    /// Let go of once all of it is in force.
    pub(crate) handover: Option<Arc<Handover>>,
}

/// What a worker finds in the process, from its start to its end.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) registry: Arc<Registry>,
    pub(crate) certificates: Arc<dyn Certificates>,
    pub(crate) overload: Arc<Overload>,
}

/// A listener that a worker is to serve.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) number: u32,
    pub(crate) id: ListenerId,
    pub(crate) admission: Arc<Admission>,
    pub(crate) sockets: Vec<TcpListener>,
}

/// A running worker as the control thread sees it.
#[derive(Debug)]
pub(crate) struct Running {
    orders: Sender<Order>,
    /// Orders for which there was no room.
    waiting: VecDeque<Order>,
    pub(crate) inquiries: Sender<Inquiry>,
    pub(crate) thread: JoinHandle<()>,
}

impl Running {
    /// Gives it an order. One for which there is no room waits: who gives it does not, whatever holds the worker up.
    pub(crate) fn order(&mut self, order: Order) {
        self.waiting.push_back(order);
        self.hand_over();
    }

    /// Hands over what waits, as far as there is room.
    pub(crate) fn hand_over(&mut self) {
        while let Some(order) = self.waiting.pop_front() {
            match self.orders.try_send(order) {
                Ok(()) => {}
                Err(TrySendError::Full(order)) => return self.waiting.push_front(order),
                // One that has ended needs none.
                Err(TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }

    /// Whether there are orders that it has no room for.
    pub(crate) fn lags(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has it end at once, if it takes orders at all.
    pub(crate) fn stop(&mut self) {
        self.waiting.clear();
        // One that does not take them ends with the process.
        let _ = self.orders.try_send(Order::Stop);
    }
}

/// What a worker hears: orders of control, which ends with it, and questions of whoever has any.
struct Ears {
    orders: Receiver<Order>,
    inquiries: Receiver<Inquiry>,
}

impl Ears {
    /// The next order. Questions are answered meanwhile.
    async fn order(&mut self, worker: &Worker) -> Option<Order> {
        loop {
            tokio::select! {
                order = self.orders.recv() => return order,
                Some(inquiry) = self.inquiries.recv() => inquiry.answer(worker),
            }
        }
    }
}

/// Starts a worker. `number` tells it from its siblings; `ended` is called when it ends, for whatever reason.
///
/// # Errors
/// The thread could not be made.
pub(crate) fn start(
    number: usize,
    update: Update,
    surroundings: Surroundings,
    ended: impl FnOnce() + Send + 'static,
) -> io::Result<Running> {
    struct Ended<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Ended<F> {
        fn drop(&mut self) {
            if let Some(ended) = self.0.take() {
                ended();
            }
        }
    }
    let (orders, its_orders) = channel(ORDERS_MAX);
    let (inquiries, its_inquiries) = channel(INQUIRIES_MAX);
    let ears = Ears {
        orders: its_orders,
        inquiries: its_inquiries,
    };
    let thread = std::thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || {
            let _ended = Ended(Some(ended));
            if let Err(error) = block_on(run(number, update, surroundings, ears)) {
                process::error("a worker can't run", &[("error", &error)]);
            }
        })?;
    Ok(Running {
        orders,
        waiting: VecDeque::new(),
        inquiries,
        thread,
    })
}

/// What can be changed of a listener that is open.
struct Open {
    rules: Rc<RefCell<ListenerRules>>,
    admission: Arc<Admission>,
    closing: Rc<Cell<bool>>,
}

/// What a worker has.
struct Shop {
    worker: Rc<Worker>,
    road: Rc<Road>,
    shard: Arc<Shard>,
    listeners: RefCell<HashMap<u32, Open>>,
    seed: u64,
    number: usize,
    overload: Arc<Overload>,
}

async fn run(number: usize, update: Update, surroundings: Surroundings, mut ears: Ears) {
    let Update {
        parts,
        acceptors,
        log,
        opened,
        handover: _,
    } = update;
    let Surroundings {
        registry,
        certificates,
        overload,
    } = surroundings;
    let shard = registry.shard();
    let seed = number as u64;
    let plan = Plan::build(&parts, None, &shard, seed);
    let random = RandomState::new().build_hasher().finish();
    let log = log.expect("the first update names the log");
    let shop = Rc::new(Shop {
        worker: Worker::new(
            client_limits(&parts.snapshot.client),
            trusts(&parts.snapshot),
            registry,
            !random,
        ),
        road: Road::new(plan, Arc::clone(&shard), log, certificates, random),
        shard,
        listeners: RefCell::default(),
        seed,
        number,
        overload,
    });
    let _leaving = Leaving(Rc::clone(&shop));
    shop.bear(&parts.snapshot);
    shop.worker.heed_pause(shop.overload.pause_above());
    shop.listen(opened, &parts.snapshot, &acceptors);
    spawn_local(keep_house(Rc::clone(&shop)));
    loop {
        match ears.order(&shop.worker).await {
            Some(Order::Apply(update)) => shop.apply(*update),
            Some(Order::Endpoints(parts, _handover)) => shop.plan(&parts),
            Some(Order::Drain) => break,
            Some(Order::HandOver) => {
                shop.worker.set_patient(true);
                spawn_local(lose_patience(Rc::clone(&shop)));
                break;
            }
            Some(Order::Stop) | None => return shop.cut().await,
        }
    }
    shop.close_listeners(|_| true);
    tokio::select! {
        () = shop.worker.emptied() => shop.road.flush_log(),
        () = stop_order(&mut ears, &shop.worker) => shop.cut().await,
    }
}

/// Tells that the worker has ended, however it did.
struct Leaving(Rc<Shop>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.overload.left(self.0.number);
    }
}

/// Ends waiting connections some time after a successor has taken over.
async fn lose_patience(shop: Rc<Shop>) {
    let mut deadline = Deadline::new();
    deadline.set(now().plus(PATIENCE));
    deadline.expired().await;
    shop.worker.set_patient(false);
    deadlines::wake_all();
}

/// Breaks off what still runs on connections of a listener that a reload has closed, once it had the time for a drain.
async fn cut_late(worker: Rc<Worker>, listener: u32, drain: Duration) {
    let opened_until = now().plus(LAST_ACCEPTED);
    let mut deadline = Deadline::new();
    deadline.set(now().plus(drain.max(LAST_ACCEPTED)));
    deadline.expired().await;
    worker.cut_connections(listener, opened_until);
}

/// Waits until the worker is told to stop. Of what else it is told while it drains only one thing has a meaning: to drain
/// once more, since there is no successor any more for whose sake there would be time.
async fn stop_order(ears: &mut Ears, worker: &Worker) {
    loop {
        match ears.order(worker).await {
            Some(Order::Stop) | None => return,
            Some(Order::Drain) => {
                worker.set_patient(false);
                deadlines::wake_all();
            }
            Some(_) => {}
        }
    }
}

/// Hands over log lines and closes old connections, for as long as the worker lives.
async fn keep_house(shop: Rc<Shop>) {
    let mut deadline = Deadline::new();
    let mut tick = 0u32;
    let mut rung = Rung::Calm;
    loop {
        deadline.set(now().plus(TICK));
        deadline.expired().await;
        shop.road.flush_log();
        let load = shop.road.load();
        let wanted = shop.overload.beat(shop.number, load.running());
        if std::mem::replace(&mut rung, wanted) != wanted {
            shop.give_up(wanted);
        }
        shop.worker.end_pause();
        shop.make_room();
        tick = tick.wrapping_add(1);
        if tick.is_multiple_of(SWEEP_TICKS) {
            shop.road.plan().sweep(now());
        }
    }
}

impl Shop {
    /// Breaks off what runs; it is given a moment to tell its clients and to be logged.
    async fn cut(&self) {
        self.road.cut();
        self.worker.cut_beginnings();
        self.close_listeners(|_| true);
        let mut deadline = Deadline::new();
        deadline.set(now().plus(CUT_TIMEOUT));
        tokio::select! {
            () = self.worker.emptied() => {}
            () = deadline.expired() => {}
        }
        self.road.flush_log();
    }

    /// Takes its share of the process' limits.
    fn bear(&self, snapshot: &Snapshot) {
        let share = self.overload.share(&snapshot.overload);
        self.road.load().set_limits(share);
    }

    /// Has as many waiting connections of a listener that is nearly full look whether they are spare as are to make room.
    fn make_room(&self) {
        for (&number, one) in self.listeners.borrow().iter() {
            let spare = one.admission.spare();
            if spare > 0 {
                self.worker.look_for_spare(number, spare);
            }
        }
    }

    /// Gives up what is too much.
    fn give_up(&self, rung: Rung) {
        self.road.load().set_rung(rung);
        self.worker.set_trimming(rung.trims());
        deadlines::wake_all();
    }

    /// Puts a configuration in force: plan first, so that no connection of a new listener meets the old one.
    fn apply(&self, update: Update) {
        let Update {
            parts,
            acceptors,
            log,
            opened,
            handover: _handover,
        } = update;
        let snapshot = &parts.snapshot;
        self.plan(&parts);
        self.bear(snapshot);
        self.worker
            .set(client_limits(&snapshot.client), trusts(snapshot));
        if let Some(log) = log {
            self.road.set_log(log);
        }
        // A listener whose addresses changed comes with new sockets, and its old ones go.
        let reopened = |number| opened.iter().any(|new: &Opened| new.number == number);
        let gone = |number| snapshot.listener(number).is_none() || reopened(number);
        for number in self.close_listeners(gone) {
            let worker = Rc::clone(&self.worker);
            spawn_local(cut_late(worker, number, snapshot.drain_timeout));
        }
        for (&number, open) in self.listeners.borrow().iter() {
            if let Some(new) = rules_of(number, snapshot, &acceptors) {
                *open.rules.borrow_mut() = new;
            }
        }
        self.listen(opened, snapshot, &acceptors);
    }

    /// Puts a plan in force.
    fn plan(&self, parts: &PlanParts) {
        let before = self.road.plan();
        let plan = Plan::build(parts, Some(&before), &self.shard, self.seed);
        self.road.set_plan(plan);
    }

    fn listen(&self, opened: Vec<Opened>, snapshot: &Arc<Snapshot>, acceptors: &Acceptors) {
        for opened in opened {
            let Some(rules) = rules_of(opened.number, snapshot, acceptors) else {
                continue;
            };
            let rules = Rc::new(RefCell::new(rules));
            let closing = Rc::new(Cell::new(false));
            self.listeners.borrow_mut().insert(
                opened.number,
                Open {
                    rules: Rc::clone(&rules),
                    admission: Arc::clone(&opened.admission),
                    closing: Rc::clone(&closing),
                },
            );
            for socket in opened.sockets {
                let listener = Listener {
                    rules: Rc::clone(&rules),
                    admission: Arc::clone(&opened.admission),
                    worker: Rc::clone(&self.worker),
                    shard: Arc::clone(&self.shard),
                    id: opened.id,
                    closing: Rc::clone(&closing),
                    handler: Rc::new(Gate(Rc::clone(&self.road))),
                };
                spawn_local(async move {
                    if let Err(error) = listener.accept(socket).await {
                        process::error("a listening socket can't be used", &[("error", &error)]);
                    }
                });
            }
        }
    }

    /// Closes the listeners that `which` names, and their connections as these come to rest. Returns the numbers of those.
    fn close_listeners(&self, which: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut closed = Vec::new();
        self.listeners.borrow_mut().retain(|&number, open| {
            if which(number) {
                open.closing.set(true);
                self.worker.end_connections(number);
                closed.push(number);
            }
            !open.closing.get()
        });
        deadlines::wake_all();
        closed
    }
}

fn rules_of(number: u32, snapshot: &Snapshot, acceptors: &Acceptors) -> Option<ListenerRules> {
    let plan = snapshot.listener(number)?;
    Some(ListenerRules {
        number,
        proxy_protocol: plan.proxy_protocol,
        mode: mode_of(plan, snapshot, acceptors),
        protocols: protocols_of(&plan.mode),
    })
}

fn mode_of(plan: &ListenerPlan, snapshot: &Snapshot, acceptors: &Acceptors) -> ListenerMode {
    let handshake_timeout = snapshot.tls.handshake_timeout;
    match &plan.mode {
        ModePlan::Http { .. } => match acceptors.get(&plan.number) {
            Some(acceptor) => ListenerMode::Tls(TlsRules {
                acceptor: Arc::clone(acceptor),
                handshake_timeout,
            }),
            None => ListenerMode::Cleartext,
        },
        ModePlan::Tcp(_) => ListenerMode::Tcp,
        ModePlan::TlsPassthrough(_) => ListenerMode::TlsPassthrough {
            hello_timeout: handshake_timeout,
        },
    }
}

/// A listener whose connections carry no requests has none.
fn protocols_of(mode: &ModePlan) -> Protocols {
    match *mode {
        ModePlan::Http { http1, http2, .. } => Protocols { http1, http2 },
        ModePlan::Tcp(_) | ModePlan::TlsPassthrough(_) => Protocols {
            http1: false,
            http2: false,
        },
    }
}

fn trusts(snapshot: &Arc<Snapshot>) -> Trusts {
    let snapshot = Arc::clone(snapshot);
    Box::new(move |address| snapshot.trusted.contains(address))
}

fn client_limits(plan: &ClientPlan) -> ClientLimits {
    let head = plan.head_limits();
    let ack_timeout_ms = plan.http2.ack_timeout.as_millis() as u64;
    ClientLimits {
        http2: Http2Limits {
            head,
            trailer_bytes_max: plan.trailer_bytes_max,
            trailer_fields_max: plan.fields_max,
            streams_max: plan.http2.streams_max,
            stream_window_bytes: plan.http2.stream_window_bytes,
            connection_window_bytes: plan.http2.connection_window_bytes,
            abuse_points_max: plan.abuse_points_per_minute_max,
            settings_timeout_ms: ack_timeout_ms,
            ping_timeout_ms: ack_timeout_ms,
            window_stall_ms: plan.write_timeout.as_millis() as u64,
        },
        head,
        body: BodyLimits {
            body_bytes_max: plan.body_bytes_max,
            chunk_extension_bytes_max: plan.chunk_extension_bytes_max,
            trailer_bytes_max: plan.trailer_bytes_max,
            trailer_fields_max: plan.fields_max,
        },
        requests_per_connection_max: plan.requests_per_connection_max,
        head_timeout: plan.head_timeout,
        idle_timeout: plan.idle_timeout,
        body_rate_min: plan.body_rate_min,
        body_rate_grace: plan.body_rate_grace,
        write_timeout: plan.write_timeout,
        half_close_timeout: plan.half_close_timeout,
        abuse_points_max: plan.abuse_points_per_minute_max,
        linger_timeout: LINGER_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_hangs_keeps_nobody_waiting() {
        let (orders, mut taken) = channel(ORDERS_MAX);
        let (inquiries, _unread) = channel(INQUIRIES_MAX);
        let mut worker = Running {
            orders,
            waiting: VecDeque::new(),
            inquiries,
            thread: std::thread::spawn(|| {}),
        };
        for _ in 0..ORDERS_MAX {
            worker.order(Order::HandOver);
        }
        assert!(!worker.lags());
        worker.order(Order::Drain);
        worker.order(Order::Stop);
        assert!(worker.lags());
        let mut seen = Vec::new();
        while let Ok(order) = taken.try_recv() {
            seen.push(order);
            worker.hand_over();
        }
        assert!(!worker.lags());
        assert_eq!(seen.len(), ORDERS_MAX + 2);
        let last: Vec<_> = seen.split_off(ORDERS_MAX);
        assert!(matches!(last[..], [Order::Drain, Order::Stop]), "{last:?}");
        drop(taken);
        worker.order(Order::Drain);
        assert!(!worker.lags(), "one that has ended needs no orders");
    }
}
