//! Start: load, bind, resolve, spawn; either all of it or nothing.

use crate::connections::Connections;
use crate::control::{Attic, Command, Control, Controller, Exit, Inner};
use crate::credentials::Credentials;
use crate::discovery::Seekers;
use crate::doors::{self, Placing};
use crate::estate;
use crate::fleet::{self, Fleet, Roster};
use crate::front::{self, Desk, Ears};
use crate::inherit::Inherited;
use crate::ledger;
use crate::notify;
use crate::overload::Overload;
use crate::probing;
use crate::reasons;
use crate::secure::{Keeper, Secured, Unprepared};
use crate::sockets::{self, BindError, Listening};
use crate::state_file::StateFile;
use crate::upgrade::Program;
use crate::view::Facts;
use crate::wishes::Wishes;
use crate::worker::{self, Opened, Running, Surroundings, Update};
use foregate_admin::Doors;
use foregate_config::Written;
use foregate_exchange::PlanParts;
use foregate_snapshot::{LogTarget, Snapshot};
use foregate_telemetry::clock;
use foregate_telemetry::log::{AccessLog, Destination, Format, process};
use foregate_telemetry::metrics::Registry;
use foregate_tls::watch::KnownCertificates;
use serde_json::Value;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The configuration in force, for whoever compiles the next one.
#[derive(Clone, Copy, Debug)]
pub struct Before<'b> {
    /// What it was compiled to: its listeners keep their numbers.
    pub snapshot: &'b Snapshot,
    /// The certificates that it serves as their files say it: they need not be read again while these are the same.
    pub known: &'b KnownCertificates,
}

/// Where configurations come from.
pub trait Source: Send + 'static {
    /// Reads and compiles the configuration. `previous` is the one in force, if any is.
    ///
    /// # Errors
    /// What is wrong with it, ready to be shown to people.
    fn load(&mut self, previous: Option<Before<'_>>) -> Result<Loaded, LoadError>;

    /// Compiles a text that came another way, as if it stood beside the source's own.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(&mut self, text: &NewText<'_>, previous: Before<'_>) -> Result<Loaded, LoadError>;

    /// Compiles what was written then.
    ///
    /// # Errors
    /// What is wrong with it by now.
    fn again(&mut self, then: &Written, previous: Option<Before<'_>>) -> Result<Loaded, LoadError>;

    /// The configuration file, if there is one.
    fn disk(&self) -> Option<Arc<dyn Disk>>;
}

/// A text that is to become the configuration.
#[derive(Clone, Copy, Debug)]
pub struct NewText<'t> {
    /// The text.
    pub text: &'t str,
    /// As which file it is read, if it says so.
    pub name: Option<&'t str>,
    /// Whether it is JSON, not TOML.
    pub is_json: bool,
}

/// A configuration file that can be looked at, from any thread.
pub trait Disk: Send + Sync {
    /// What it says now, with all that it imports.
    ///
    /// # Errors
    /// It can't be read, in a few words.
    fn written(&self) -> Result<OnDisk, String>;
}

/// What a configuration file says.
#[derive(Debug)]
pub struct OnDisk {
    /// Its texts.
    pub written: Written,
    /// Whether they could not be used, so that nobody knows what in them is meant for a secret.
    pub is_faulty: bool,
}

/// A configuration can't be used.
#[derive(Clone, PartialEq, Debug)]
pub struct LoadError {
    /// What is wrong with it, ready to be shown to people.
    pub text: String,
    /// The same for programs: an array of diagnostics, empty where the text itself is not at fault.
    pub diagnostics: Value,
}

impl From<String> for LoadError {
    fn from(text: String) -> LoadError {
        LoadError {
            text,
            diagnostics: Value::Array(Vec::new()),
        }
    }
}

/// A configuration that is ready to be put in force.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub snapshot: Snapshot,
    /// What is odd about it, ready to be shown to people.
    pub warnings: Vec<String>,
    /// The files that it names for TLS.
    pub credentials: Credentials,
    /// Its file's name, or another name for where it came from.
    pub origin: String,
    /// Its texts.
    pub written: Written,
}

/// Why the server could not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration is not good; the text says why.
    Config(String),
    /// An address can't be listened on.
    Bind(BindError),
    /// The kernel doesn't give a congestion control that is asked for; the text says why.
    Congestion(String),
    /// The admin address can't be listened on.
    Admin(SocketAddr, io::Error),
    /// The admin socket can't be had; the text says why.
    AdminSocket(String),
    /// The access log can't be opened.
    Log(String),
    /// What was changed through the admin API can't be read.
    State(String),
    /// What issues certificates can't be started.
    Secure(String),
    /// What an older process or systemd passes on can't be taken over.
    Inherit(io::Error),
    /// The system refused a thread or a runtime.
    System(io::Error),
}

impl StartError {
    /// Whether the configuration itself is at fault.
    pub fn is_config(&self) -> bool {
        matches!(self, StartError::Config(_))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(text)
            | StartError::Congestion(text)
            | StartError::Log(text)
            | StartError::State(text)
            | StartError::AdminSocket(text)
            | StartError::Secure(text) => f.write_str(text),
            StartError::Bind(error) => error.fmt(f),
            StartError::Admin(address, error) => {
                write!(f, "the admin API can't listen on {address}: {error}")
            }
            StartError::Inherit(error) => {
                write!(
                    f,
                    "the sockets that are passed on can't be taken over: {error}"
                )
            }
            StartError::System(error) => write!(f, "the system refused to start a worker: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running gateway.
pub struct Server {
    control: Control,
    commands: Receiver<Command>,
    listeners: Vec<(String, SocketAddr)>,
    admin: Option<SocketAddr>,
}

impl Server {
    /// Loads the configuration, binds every address, and starts serving. When this returns, connections are taken.
    ///
    /// # Errors
    /// What is in the way; nothing runs then.
    pub fn start(mut source: Box<dyn Source>) -> Result<Server, StartError> {
        let (ears, program, mut inherited) = descent()?;
        let (loaded, ledger) = ledger::begin(&mut *source, inherited.history.take().as_ref())?;
        let ledger = Arc::new(ledger);
        let snapshot = Arc::new(loaded.snapshot);
        tell(&snapshot, &loaded.warnings);
        let registry = Registry::new(reasons::names());
        let (listening, opened) = open_listeners(&snapshot, &registry, &mut inherited)?;
        let (admin, placing) = doors::open(&snapshot, &mut inherited)?;
        let log = open_log(&snapshot).map_err(StartError::Log)?;
        let fleet = Arc::new(Fleet::default());
        let (sender, commands) = sync_channel(64);
        let controller = Controller::new(sender.clone());
        let mut keeper = Keeper::new(controller.clone());
        if let Some(secrets) = inherited.secrets.take() {
            fleet::inherit_secret(&secrets.sessions);
            keeper.inherit_tickets(secrets.tickets);
        }
        let (keeper, secured) = secure(keeper, &snapshot, &loaded.credentials, &listening)?;
        let (roster, seekers, state_file) =
            roster(&snapshot, &loaded.credentials, &controller, &inherited)?;
        let parts = fleet.parts(&snapshot, &roster, &secured, &registry).parts;
        estate::recall(&fleet, &inherited.learnt.take());
        register(&registry, (&fleet, &seekers), &log, &keeper);
        let prober = probing::start(&parts, &registry).map_err(StartError::System)?;
        let surroundings = surroundings(&snapshot, &registry, &keeper, &listening);
        let (running, connections) =
            spawn_workers(opened, (&parts, &secured), &log, &surroundings, &sender)?;
        let facts = Arc::new(Facts::new(
            (Arc::clone(&registry), Arc::clone(&surroundings.overload)),
            (Arc::clone(&fleet), Arc::clone(&prober), connections),
            Arc::clone(&snapshot),
            loaded.origin,
            &listening,
            Arc::clone(keeper.store()),
            (seekers.statuses(), Arc::clone(&ledger)),
        ));
        keeper.agent().inspect(|agent| facts.issued_by(agent));
        let desk = open_desk(ears, admin, (&snapshot, &keeper), &facts, &controller)?;
        let control = Control::new(Inner {
            source,
            snapshot,
            listening,
            roster,
            seekers,
            state_file,
            parts,
            attic: Attic::default(),
            fleet,
            prober,
            keeper,
            secured,
            log,
            registry,
            facts,
            ledger,
            workers: running,
            controller,
            program,
            predecessor: inherited.predecessor().map_err(StartError::Inherit)?,
            desk,
        });
        announce(control.inner(), inherited, placing)?;
        Ok(Server {
            listeners: bound(&control.inner().listening),
            admin: control.inner().admin_address(),
            control,
            commands,
        })
    }

    /// Names and addresses that are listened on, with the ports that the system chose where 0 was asked for.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Where the admin API listens, if it does.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The metrics.
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.control.registry())
    }

    /// A handle to reload, drain and stop it from other threads.
    pub fn controller(&self) -> Controller {
        self.control.controller()
    }

    /// Runs until it is told to stop, by a signal or a controller.
    pub fn run(self) -> Exit {
        self.control.run(&self.commands)
    }
}

/// How this process was started, and what it finds; before anything else, who hears signals.
fn descent() -> Result<(Ears, Program, Inherited), StartError> {
    let ears = Ears::open().map_err(StartError::System)?;
    let program = Program::of_this_process().map_err(StartError::System)?;
    let inherited = Inherited::find().map_err(StartError::Inherit)?;
    Ok((ears, program, inherited))
}

/// Tells those who wait for it that connections are taken.
fn announce(
    inner: &Inner,
    inherited: Inherited,
    placing: Option<Placing>,
) -> Result<(), StartError> {
    (inner.keep_inherited(&inherited)).map_err(StartError::State)?;
    // As late as can be: until then the predecessor is found at its address and path, and after a failure still.
    placing.map_or(Ok(()), Placing::place)?;
    inner.desk.open();
    inherited.serve().map_err(StartError::Inherit)?;
    if let Err(problem) = inner.ledger.keep() {
        process::warn(&problem, &[]);
    }
    notify::ready();
    Ok(())
}

/// Begins the process' own log with what is odd about the configuration.
fn tell(snapshot: &Snapshot, warnings: &[String]) {
    process::set_level(crate::control::level(snapshot));
    for warning in warnings {
        process::warn(warning, &[]);
    }
}

/// Starts to hear signals, and to answer at the admin listener.
fn open_desk(
    ears: Ears,
    mut admin: Option<Doors>,
    (snapshot, keeper): (&Snapshot, &Keeper),
    facts: &Arc<Facts>,
    controller: &Controller,
) -> Result<Desk, StartError> {
    if let Some(doors) = &mut admin {
        doors.tls = keeper.admin(snapshot).map_err(StartError::Secure)?;
    }
    let plan = snapshot.admin.as_ref();
    let (desk, counter) = Desk::of(admin.as_ref(), plan).map_err(StartError::System)?;
    front::start(ears, admin, counter, Arc::clone(facts), controller.clone())
        .map_err(StartError::System)?;
    Ok(desk)
}

/// Opens every listener; the second part is what each worker gets of them.
fn open_listeners(
    snapshot: &Snapshot,
    registry: &Registry,
    inherited: &mut Inherited,
) -> Result<(Vec<Listening>, Vec<Vec<Opened>>), StartError> {
    let workers = worker_count(snapshot);
    sockets::congestion_must_be_known(snapshot).map_err(StartError::Congestion)?;
    let is_inherited = |port| inherited.has_port(port);
    sockets::must_be_free(snapshot.listeners.iter(), is_inherited).map_err(StartError::Bind)?;
    let mut listening = Vec::new();
    let mut opened: Vec<Vec<Opened>> = (0..workers).map(|_| Vec::new()).collect();
    for plan in &snapshot.listeners {
        let (one, sockets) =
            sockets::open(plan, workers, registry, inherited).map_err(StartError::Bind)?;
        share_out(&one, sockets, &mut opened);
        listening.push(one);
    }
    Ok((listening, opened))
}

/// Names and addresses that are listened on.
fn bound(listening: &[Listening]) -> Vec<(String, SocketAddr)> {
    let of_one = |one: &Listening| {
        let name = one.plan.name.to_string();
        let addresses = one.bound.clone();
        addresses.into_iter().map(move |at| (name.clone(), at))
    };
    listening.iter().flat_map(of_one).collect()
}

fn register(
    registry: &Registry,
    (fleet, seekers): (&Arc<Fleet>, &Seekers),
    log: &AccessLog,
    keeper: &Keeper,
) {
    registry.register("discovery", seekers.statuses() as _);
    registry.register("endpoints", Arc::clone(fleet) as _);
    registry.register("access-log", Arc::new(log.clone()));
    registry.register("certificate-files", Arc::clone(keeper.store()) as _);
    registry.register("trust-files", keeper.trust_files());
    registry.config_loaded(clock::unix_now());
}

/// What is known about endpoints beside the configuration, and where it is kept.
fn roster(
    snapshot: &Snapshot,
    credentials: &Credentials,
    controller: &Controller,
    inherited: &Inherited,
) -> Result<(Roster, Seekers, Option<StateFile>), StartError> {
    let mut roster = Roster::default();
    let mut seekers = Seekers::new(controller.clone());
    seekers.seek(snapshot, credentials);
    let path = (snapshot.admin.as_ref()).and_then(|admin| admin.state_file.clone());
    let state_file = path.map(StateFile::new);
    match (&inherited.wishes, &state_file) {
        // What the old process knows is what is in force.
        (Some(wishes), _) => {
            roster.wishes = Wishes::from_json(wishes).map_err(StartError::State)?
        }
        (None, Some(file)) => roster.wishes = file.read().map_err(StartError::State)?,
        (None, None) => {}
    }
    roster.take_up(seekers.take());
    roster.addresses = fleet::look_up(&fleet::names(snapshot, &roster));
    Ok((roster, seekers, state_file))
}

/// Takes certificates up, and has the others issued.
fn secure(
    mut keeper: Keeper,
    snapshot: &Snapshot,
    credentials: &Credentials,
    listening: &[Listening],
) -> Result<(Keeper, Secured), StartError> {
    let prepared = keeper
        .prepare(snapshot, credentials, &sockets::ports(listening))
        .map_err(|unprepared| match unprepared {
            Unprepared::Config(problem) => StartError::Config(problem),
            Unprepared::Folder(problem) => StartError::Secure(problem),
        })?;
    let secured = keeper
        .take_up(snapshot, prepared)
        .map_err(StartError::Secure)?;
    Ok((keeper, secured))
}

/// What workers find in the process.
fn surroundings(
    snapshot: &Snapshot,
    registry: &Arc<Registry>,
    keeper: &Keeper,
    listening: &[Listening],
) -> Surroundings {
    let overload = Overload::new(snapshot, worker_count(snapshot), listening);
    registry.register("overload", Arc::clone(&overload) as _);
    Surroundings {
        registry: Arc::clone(registry),
        certificates: keeper.certificates(),
        overload,
    }
}

/// Starts the workers; the second part is whom to ask for connections of clients.
fn spawn_workers(
    opened: Vec<Vec<Opened>>,
    (parts, secured): (&PlanParts, &Secured),
    log: &AccessLog,
    surroundings: &Surroundings,
    sender: &SyncSender<Command>,
) -> Result<(Vec<Running>, Connections), StartError> {
    let spawn = |(number, opened)| {
        let update = Update {
            parts: parts.clone(),
            acceptors: Arc::clone(&secured.acceptors),
            log: Some(log.writer()),
            opened,
            handover: None,
        };
        let ended = sender.clone();
        let ended = move || drop(ended.send(Command::WorkerEnded));
        worker::start(number, update, surroundings.clone(), ended).map_err(StartError::System)
    };
    let running = opened.into_iter().enumerate().map(spawn);
    let running: Vec<Running> = running.collect::<Result<_, _>>()?;
    let ears = running.iter().map(|worker| worker.inquiries.clone());
    let registry = Arc::clone(&surroundings.registry);
    let connections = Connections::new(ears.collect(), registry);
    Ok((running, connections))
}

/// Gives each worker its sockets of a listener.
pub(crate) fn share_out(
    listening: &Listening,
    sockets: Vec<Vec<TcpListener>>,
    opened: &mut [Vec<Opened>],
) {
    for (sockets, opened) in sockets.into_iter().zip(opened) {
        opened.push(Opened {
            number: listening.plan.number,
            id: listening.id,
            admission: Arc::clone(&listening.admission),
            sockets,
        });
    }
}

fn worker_count(snapshot: &Snapshot) -> usize {
    match snapshot.workers {
        Some(count) => usize::from(count.get()),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Opens the access log that a configuration asks for.
pub(crate) fn open_log(snapshot: &Snapshot) -> Result<AccessLog, String> {
    let Some(plan) = &snapshot.access_log else {
        return AccessLog::open(&Destination::Off, Format::combined(), 0)
            .map_err(|e| e.to_string());
    };
    let destination = match &plan.to {
        LogTarget::Stdout => Destination::Stdout,
        LogTarget::File(path) => Destination::File(path.clone()),
    };
    let format =
        Format::parse(&plan.format).map_err(|error| format!("access_log.format: {error}"))?;
    AccessLog::open(&destination, format, plan.queue_bytes_max).map_err(|error| match &plan.to {
        LogTarget::Stdout => format!("the access log can't be opened at standard output: {error}"),
        LogTarget::File(path) => {
            format!(
                "the access log can't be opened at {}: {error}",
                path.display()
            )
        }
    })
}
