//! Control: the one thread that changes anything. Commands come from signals, the admin API and workers.
//!
//! ```text
//! serving ── reload ──► (load, compile, bind, resolve; then hand to workers; or keep the old) ──► serving
//!    │
//!    ├── drain ──► draining ── all workers ended, or the deadline, or a second signal ──► ended
//!    │                ▲
//!    │                └── drain, or the successor is lost
//!    └── upgrade ──► draining for a successor, patiently ── all workers ended, or the deadline ──► ended
//! ```

mod attic;
mod configuration;
mod endpoints;

pub(crate) use attic::Attic;
pub(crate) use configuration::Configure;

use crate::discovery::Seekers;
use crate::estate::{self, Estate, Secrets};
use crate::fleet::{Addresses, Fleet, Roster};
use crate::front::Desk;
use crate::inherit::{Inherited, Passed, Predecessor, Sockets};
use crate::ledger::Ledger;
use crate::notify;
use crate::secure::{Keeper, Secured};
use crate::sockets::Listening;
use crate::start::Source;
use crate::state_file::StateFile;
use crate::upgrade::{Program, Successor};
use crate::view::Facts;
use crate::worker::{Order, Running};
use foregate_admin::EndpointChange;
use foregate_exchange::PlanParts;
use foregate_snapshot::Snapshot;
use foregate_telemetry::clock::{Moment, now};
use foregate_telemetry::log::{AccessLog, process};
use foregate_telemetry::metrics::Registry;
use foregate_upstream::Prober;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How often names of backends are looked up again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long workers may take to end once they were told, and how often that is looked at.
const END_TIMEOUT: Duration = Duration::from_secs(2);
const END_POLL: Duration = Duration::from_millis(5);
/// How often it is looked whether a worker takes orders again that has long taken none.
const LAG_POLL: Duration = Duration::from_millis(50);
/// How long the last log lines may take to be written at the end.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);

/// What who changes anything is told while a worker takes no orders.
const LAGGING: &str =
    "a worker has not taken up earlier changes yet, and hangs perhaps: come again when it has";

/// And while a successor is being started.
const UPGRADING: &str =
    "an upgrade is under way, and the new process would not know: come again when it is over";

/// What control is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Change the configuration; the answer says what came of it.
    Configure(Configure, Option<SyncSender<configuration::Outcome>>),
    /// Have a new process of the program take over; the answer is its process id.
    Upgrade(Option<Upgraded>),
    /// What came of that.
    Upgraded(Result<Successor, String>, Option<Upgraded>),
    /// The process that took over has ended without being told to.
    SuccessorLost,
    /// Open log files anew.
    Reopen,
    /// Finish what runs and end; told a second time: end now.
    Drain,
    /// End now.
    Stop,
    /// A worker's thread is over.
    WorkerEnded,
    /// Names were looked up again.
    Resolved(Addresses),
    /// Endpoints were found.
    Discovered,
    /// Change an endpoint of an upstream.
    Endpoint {
        upstream: Box<str>,
        endpoint: Box<str>,
        change: EndpointChange,
        answer: SyncSender<endpoints::Answer>,
    },
    /// Files that say whom to trust may have changed.
    LookAtTrust,
}

/// Who asked for an upgrade hears the new process' id, or why there is none.
pub(crate) type Upgraded = SyncSender<Result<u32, String>>;

/// A handle to a running server.
#[derive(Clone, Debug)]
pub struct Controller {
    commands: SyncSender<Command>,
}

impl Controller {
    pub(crate) fn new(commands: SyncSender<Command>) -> Controller {
        Controller { commands }
    }

    /// Starts a new process of the program, which takes over, and ends this one as its connections end; the new one's
    /// process id. This one goes on as if nothing had been if the new one does not come up.
    ///
    /// # Errors
    /// Why this process goes on.
    pub fn upgrade(&self) -> Result<u32, String> {
        let (answer, outcome) = sync_channel(1);
        let gone = || "the server is ending".to_owned();
        self.commands
            .send(Command::Upgrade(Some(answer)))
            .map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?
    }

    /// Takes no more connections, finishes what runs within the drain timeout, and ends; the second time, ends now.
    pub fn drain(&self) {
        self.tell(Command::Drain);
    }

    /// Ends now, whatever runs.
    pub fn stop_now(&self) {
        self.tell(Command::Stop);
    }

    /// Wakes control up for files that have changed. When there is no room it is awake, and looks by itself.
    pub(crate) fn look_at_trust(&self) {
        let _ = self.commands.try_send(Command::LookAtTrust);
    }

    pub(crate) fn tell(&self, command: Command) {
        // When control is gone the server has ended, which is all that any command could still ask for.
        let _ = self.commands.send(command);
    }
}

/// How the server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Everything that ran was finished.
    Drained,
    /// It was told to end at once, or the drain timeout passed with something still running.
    Cut,
    /// No worker is left though nobody asked them to end; or the process that took over is lost.
    Failed,
}

impl Exit {
    /// The process' exit code: 0 for an end that was asked for, 1 otherwise.
    pub fn code(self) -> u8 {
        u8::from(self == Exit::Failed)
    }
}

/// What control holds.
pub(crate) struct Inner {
    pub(crate) source: Box<dyn Source>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) listening: Vec<Listening>,
    pub(crate) roster: Roster,
    pub(crate) seekers: Seekers,
    /// Where wishes are kept, if they are.
    pub(crate) state_file: Option<StateFile>,
    /// What workers have.
    pub(crate) parts: PlanParts,
    /// What they had before.
    pub(crate) attic: Attic,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) prober: Arc<Prober>,
    pub(crate) keeper: Keeper,
    pub(crate) secured: Secured,
    pub(crate) log: AccessLog,
    pub(crate) registry: Arc<Registry>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) workers: Vec<Running>,
    pub(crate) controller: Controller,
    /// How this process was started.
    pub(crate) program: Program,
    pub(crate) predecessor: Predecessor,
    pub(crate) desk: Desk,
}

impl Inner {
    /// Has what operators said to a predecessor be found at the next start as well: it may have kept that nowhere.
    pub(crate) fn keep_inherited(&self, inherited: &Inherited) -> Result<(), String> {
        match &self.state_file {
            Some(file) if inherited.wishes.is_some() => file.renew(&self.roster.wishes),
            _ => Ok(()),
        }
    }

    /// Where the admin API listens, if it does.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.desk.address()
    }
}

/// The state machine above.
pub(crate) struct Control {
    inner: Inner,
    alive: usize,
    /// Set while draining: by when it must be over.
    draining_until: Option<Moment>,
    /// Whether that is for a successor's sake, so that nobody is in a hurry.
    is_patient: bool,
    /// Whether the successor has ended without being told to.
    successor_is_lost: bool,
    resolve_at: Moment,
    /// Whether some worker takes no orders.
    is_lagging: bool,
    /// Upstreams whose endpoints have changed meanwhile.
    postponed: HashSet<Arc<str>>,
    /// Whether a successor is being started. It has what is in force as a copy, so nothing may change meanwhile.
    upgrading: bool,
    /// Whether the signal HUP came meanwhile.
    reload_waits: bool,
}

impl Control {
    pub(crate) fn new(inner: Inner) -> Control {
        Control {
            alive: inner.workers.len(),
            inner,
            draining_until: None,
            is_patient: false,
            successor_is_lost: false,
            resolve_at: now().plus(RESOLVE_INTERVAL),
            is_lagging: false,
            postponed: HashSet::new(),
            upgrading: false,
            reload_waits: false,
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.inner.registry)
    }

    pub(crate) fn controller(&self) -> Controller {
        self.inner.controller.clone()
    }

    /// Takes commands until the end.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) -> Exit {
        let exit = loop {
            self.catch_up();
            self.renew_trust();
            let at = now();
            self.return_if_due(at);
            let until = self.draining_until.unwrap_or(self.resolve_at);
            let until = self
                .returns_at()
                .map_or(until, |returns| returns.min(until));
            let until = (self.inner.attic.clear()).map_or(until, |wait| at.plus(wait).min(until));
            let until = match self.is_lagging {
                true => at.plus(LAG_POLL).min(until),
                false => until,
            };
            match commands.recv_timeout(until.since(at)) {
                Ok(command) => {
                    if let Some(exit) = self.take(command) {
                        break exit;
                    }
                }
                Err(RecvTimeoutError::Timeout)
                    if self.draining_until.is_some_and(|until| now() >= until) =>
                {
                    process::warn(
                        "the drain timeout has passed: what still runs is cut off",
                        &[],
                    );
                    break Exit::Cut;
                }
                Err(RecvTimeoutError::Timeout) if now() >= self.resolve_at => self.look_up_again(),
                // What waited for confirmation, or for workers, is looked at anew.
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Exit::Failed,
            }
        };
        let is_lost = self.successor_is_lost;
        self.end(exit);
        match is_lost {
            // Whoever watches over this process is to start another one.
            true => Exit::Failed,
            false => exit,
        }
    }

    fn take(&mut self, command: Command) -> Option<Exit> {
        match command {
            Command::Configure(what, answer) => self.configure(what, answer),
            Command::Upgrade(answer) => self.upgrade(answer),
            Command::Upgraded(outcome, answer) => self.upgraded(outcome, answer),
            Command::Reopen => self.inner.log.reopen(),
            Command::SuccessorLost => self.successor_lost(),
            Command::Drain if self.draining_until.is_none() => self.drain(),
            Command::Drain if self.is_patient => {
                process::info("told to end: patience with what still runs is over", &[]);
                self.hurry();
            }
            Command::Drain => return Some(Exit::Cut),
            Command::Stop => return Some(Exit::Cut),
            Command::WorkerEnded => {
                self.alive -= 1;
                if self.alive == 0 {
                    let asked = self.draining_until.is_some();
                    return Some(if asked { Exit::Drained } else { Exit::Failed });
                }
            }
            Command::Resolved(addresses) => self.resolved(addresses),
            Command::Discovered => self.discovered(),
            Command::Endpoint {
                upstream,
                endpoint,
                change,
                answer,
            } => self.change_endpoint(&upstream, &endpoint, &change, answer),
            // Is looked at after each command.
            Command::LookAtTrust => {}
        }
        None
    }

    fn drain(&mut self) {
        process::info("draining: no more connections are taken", &[]);
        notify::stopping();
        self.begin_to_drain(self.inner.snapshot.drain_timeout, || Order::Drain);
    }

    /// Goes on to drain as if there were no successor.
    fn hurry(&mut self) {
        self.is_patient = false;
        let until = now().plus(self.inner.snapshot.drain_timeout);
        self.draining_until = self.draining_until.map(|before| before.min(until));
        self.order(|_| Order::Drain);
    }

    fn successor_lost(&mut self) {
        process::error(
            "the process that took over has ended without being told to: nobody takes connections any more. This one \
             ends, too, with a failure, so that whoever watches over it starts another",
            &[],
        );
        self.successor_is_lost = true;
        if self.is_patient {
            self.hurry();
        }
    }

    fn begin_to_drain(&mut self, timeout: Duration, order: fn() -> Order) {
        self.inner.facts.set_draining();
        self.draining_until = Some(now().plus(timeout));
        // Else the kernel would go on to let clients in.
        for listening in &mut self.inner.listening {
            listening.held = Arc::default();
        }
        self.order(|_| order());
    }

    /// Starts a successor on a thread of its own; what comes of it is told as a command.
    fn upgrade(&mut self, answer: Option<Upgraded>) {
        let refusal = match (self.draining_until.is_some(), self.upgrading) {
            (true, _) => Some("the server is draining"),
            (_, true) => Some("another upgrade is under way"),
            _ if self.inner.ledger.unconfirmed().is_some() => Some(
                "a configuration waits for confirmation: `foregate confirm` it, or `foregate rollback`",
            ),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return refuse_upgrade(refusal, answer);
        }
        let sockets = match self.sockets_to_pass() {
            Ok(sockets) => sockets,
            Err(error) => return refuse_upgrade(&error.to_string(), answer),
        };
        process::info("upgrading: a new process is started", &[]);
        self.upgrading = true;
        let estate = Estate {
            wishes: self.inner.roster.wishes.to_json(),
            history: self.inner.ledger.to_json(),
            learnt: estate::learnt(&self.inner.fleet),
            secrets: Secrets::own(self.inner.keeper.tickets_to_successor()).to_bytes(),
        };
        let program = self.inner.program.clone();
        let controller = self.inner.controller.clone();
        let asked = answer.clone();
        let work = move || {
            let outcome = program.succeed(&sockets, &estate);
            controller.tell(Command::Upgraded(outcome, answer));
        };
        if let Err(error) = spawn("upgrade", work) {
            self.upgraded(Err(error.to_string()), asked);
        }
    }

    /// Every listening socket once more.
    fn sockets_to_pass(&self) -> io::Result<Sockets> {
        let held = self.inner.listening.iter().flat_map(|one| one.held.iter());
        let mut sockets = Sockets {
            tcp: held.map(Passed::try_clone).collect::<io::Result<_>>()?,
            local: None,
        };
        self.inner.desk.pass_on(&mut sockets)?;
        Ok(sockets)
    }

    fn upgraded(&mut self, outcome: Result<Successor, String>, answer: Option<Upgraded>) {
        self.upgrading = false;
        let successor = match outcome {
            Ok(successor) => successor,
            Err(problem) => {
                refuse_upgrade(&problem, answer);
                return self.reload_that_waited();
            }
        };
        let process = successor.process;
        process::info(
            "a new process serves, this one drains",
            &[("pid", &process)],
        );
        if std::mem::take(&mut self.reload_waits) {
            // It may have read the file before that was changed.
            hang_up(process);
        }
        notify::succeeded_by(process);
        self.inner.predecessor.be_done();
        self.watch(successor);
        self.inner.keeper.stop();
        // Before the answer: whoever has it finds the successor.
        self.inner.desk.close();
        if let Some(answer) = answer {
            let _ = answer.send(Ok(process));
        }
        if self.draining_until.is_none() {
            let timeout = self.inner.snapshot.upgrade_drain_timeout;
            self.is_patient = true;
            self.begin_to_drain(timeout, || Order::HandOver);
        }
    }

    /// Hears of the successor's end, for as long as this process still drains.
    fn watch(&self, successor: Successor) {
        let controller = self.inner.controller.clone();
        let work = move || {
            if successor.ends_unasked() {
                controller.tell(Command::SuccessorLost);
            }
        };
        if let Err(error) = spawn("successor", work) {
            let text = "nobody would notice if the new process ended";
            process::warn(text, &[("error", &error)]);
        }
    }

    /// Gives every worker an order.
    fn order(&mut self, mut order: impl FnMut(usize) -> Order) {
        for (number, worker) in self.inner.workers.iter_mut().enumerate() {
            worker.order(order(number));
            if worker.lags() && !self.is_lagging {
                self.is_lagging = true;
                let text = "a worker takes no orders: changes wait until it does";
                process::error(text, &[("worker", &number)]);
            }
        }
    }

    /// Hands over what workers had no room for.
    fn catch_up(&mut self) {
        if !self.is_lagging {
            return;
        }
        let workers = self.inner.workers.iter_mut();
        workers.for_each(|worker| worker.hand_over());
        self.is_lagging = self.inner.workers.iter().any(|worker| worker.lags());
        if !self.is_lagging {
            process::info("all workers take orders again", &[]);
            let postponed: Vec<_> = self.postponed.drain().collect();
            self.renew_endpoints(&postponed, || {});
        }
    }

    fn end(mut self, exit: Exit) {
        self.inner.keeper.stop();
        if exit != Exit::Drained {
            for worker in &mut self.inner.workers {
                worker.stop();
            }
        }
        let until = now().plus(END_TIMEOUT);
        for worker in self.inner.workers.drain(..) {
            // A worker that hangs is not waited for; it ends with the process.
            while !worker.thread.is_finished() && now() < until {
                std::thread::park_timeout(END_POLL);
            }
            if worker.thread.is_finished() {
                let _ = worker.thread.join();
            }
        }
        self.inner.desk.finish();
        self.inner.keeper.finish();
        if !self.inner.log.shutdown(LOG_TIMEOUT) {
            process::warn(
                "the last access log lines could not be written in time",
                &[],
            );
        }
        if exit != Exit::Failed && !self.successor_is_lost {
            self.inner.predecessor.be_done();
        }
    }
}

fn refuse_upgrade(problem: &str, answer: Option<Upgraded>) {
    process::error(
        "the upgrade failed, this process goes on",
        &[("problem", &problem)],
    );
    if let Some(answer) = answer {
        // Who asked may have gone; the outcome stands in the log as well.
        let _ = answer.send(Err(problem.to_owned()));
    }
}

/// Sends the signal for a reload to the process that serves now.
fn hang_up(id: u32) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    let sent = id.map(|id| kill_process(id, Signal::HUP));
    if let Some(Err(error)) = sent {
        let text = "the new process can't be told to reload";
        process::warn(text, &[("error", &error)]);
    }
}

/// Has something done on a thread of its own.
///
/// # Errors
/// The system has no thread to spare.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop)
}

/// The level of the process' own log.
pub(crate) fn level(snapshot: &Snapshot) -> process::Level {
    use foregate_snapshot::LogLevel;
    match snapshot.log_level {
        LogLevel::Error => process::Level::Error,
        LogLevel::Warn => process::Level::Warn,
        LogLevel::Info => process::Level::Info,
        LogLevel::Debug => process::Level::Debug,
    }
}
