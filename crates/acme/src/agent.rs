//! The agent: a thread that keeps every wanted certificate alive.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use foregate_telemetry::metrics::{Exposition, Gauges, Kind};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::allowance::{admits, is_orderable};
use crate::certificate::Issued;
use crate::challenges::Challenges;
use crate::folder::StateFolder;
use crate::options::{OnDemand, Wanted};
use crate::reason::{Failure, Reason};
use crate::schedule::Timing;

mod counts;
mod demand;
mod entry;
mod internal;
mod renewed;
mod status;
mod waiter;
mod window;
mod work;

pub use status::{CertificateState, CertificateStatus};

use counts::Counts;
use work::Work;

/// Commands that may wait for the agent; a handshake that finds no room is declined.
const COMMANDS_MAX: usize = 256;
/// How long a command of an operator is waited for.
const WANT_TIMEOUT: Duration = Duration::from_secs(60);
const RENEW_TIMEOUT: Duration = Duration::from_secs(50);

/// Certificates that have a metric of their own; `foregate certs` has all.
const METRIC_CERTIFICATES_MAX: usize = 5_000;

/// Where certificates go.
pub trait Sink: Send + Sync + 'static {
    /// A certificate is there: new, renewed, or found in the state folder. Called on the agent's thread (and during
    /// [`Agent::start`], on the caller's).
    ///
    /// # Errors
    /// Why the gateway does not take it up; the one before stays in service.
    fn issued(&self, issued: Issued) -> Result<(), String>;
}

impl<F> Sink for F
where
    F: Fn(Issued) -> Result<(), String> + Send + Sync + 'static,
{
    fn issued(&self, issued: Issued) -> Result<(), String> {
        self(issued)
    }
}

enum Command {
    Want(Box<Wanted>, SyncSender<()>),
    Demand(String, oneshot::Sender<bool>),
    Renew(String, SyncSender<Result<String, String>>),
}

/// What handles and the thread share.
struct Shared {
    status: ArcSwap<Vec<CertificateStatus>>,
    /// For which names clients may ask.
    on_demand: ArcSwapOption<OnDemand>,
    counts: Counts,
    stop: Notify,
}

/// A handle to the agent. Clones are handles of the same; the thread ends by [`Agent::stop`].
#[derive(Clone)]
pub struct Agent {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

impl Agent {
    /// Hands what the folder has to the sink, issues what the internal CA is to issue, and starts the thread that
    /// orders the rest. When it returns, every local name has its certificate.
    ///
    /// # Errors
    /// When the thread can't be started. What is wrong with single certificates is told by [`Agent::status`].
    pub fn start(
        folder: StateFolder,
        wanted: Wanted,
        challenges: Challenges,
        sink: impl Sink,
    ) -> Result<(Agent, JoinHandle<()>), Failure> {
        Agent::start_with(folder, wanted, challenges, sink, Timing::default())
    }

    /// The same with spans of one's own.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub fn start_with(
        folder: StateFolder,
        wanted: Wanted,
        challenges: Challenges,
        sink: impl Sink,
        timing: Timing,
    ) -> Result<(Agent, JoinHandle<()>), Failure> {
        let shared = Arc::new(Shared {
            status: ArcSwap::from_pointee(Vec::new()),
            on_demand: ArcSwapOption::empty(),
            counts: Counts::default(),
            stop: Notify::new(),
        });
        let (commands, orders) = mpsc::channel(COMMANDS_MAX);
        let mut work = Work::new(
            folder,
            challenges,
            Box::new(sink),
            timing,
            Arc::clone(&shared),
        );
        work.want(wanted);
        let fail = |error: std::io::Error| {
            Failure::new(
                Reason::StateUnusable,
                format!("cannot start the certificate agent: {error}"),
            )
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(fail)?;
        let thread = std::thread::Builder::new()
            .name("certificates".into())
            .spawn(move || {
                runtime.block_on(work.run(orders));
                // Look-ups of names run on threads that can't be ended; nobody waits for them.
                runtime.shutdown_background();
            })
            .map_err(fail)?;
        Ok((Agent { commands, shared }, thread))
    }

    /// Changes what is wanted: what stays keeps what it has, what goes is forgotten and its files stay in the folder.
    /// When it returns, what the folder has and what the internal CA issues has been handed to the sink. Blocks.
    pub fn want(&self, wanted: Wanted) {
        let (done, when_done) = sync_channel(1);
        if self
            .commands
            .blocking_send(Command::Want(Box::new(wanted), done))
            .is_ok()
        {
            // An agent that is slower than this goes on by itself.
            let _ = when_done.recv_timeout(WANT_TIMEOUT);
        }
    }

    /// A handshake needs a certificate for this name: true once the sink has it, false if it won't come. May take as
    /// long as an order does: the caller gives up when its handshake does, and the order goes on.
    pub async fn wanted(&self, name: &str) -> bool {
        let (answer, answered) = oneshot::channel();
        let name = name.to_ascii_lowercase();
        match self.commands.try_send(Command::Demand(name, answer)) {
            Ok(()) => answered.await.unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Like [`Agent::wanted`], without waiting: a later handshake will find what comes. Cheap, for the middle of one; a
    /// name that nothing is ordered for costs the agent nothing.
    pub fn demand(&self, name: &str) {
        let may_be_ordered = self
            .shared
            .on_demand
            .load()
            .as_ref()
            .is_some_and(|options| {
                is_orderable(name) && admits(&options.allow, options.ask.is_some(), name)
            });
        if !may_be_ordered {
            return;
        }
        let (answer, _) = oneshot::channel();
        let command = Command::Demand(name.to_ascii_lowercase(), answer);
        // No room: the client that comes back asks again.
        let _ = self.commands.try_send(command);
    }

    /// Renews the certificate of a name now. Blocks until it is done, or for less than a minute.
    ///
    /// # Errors
    /// Why not.
    pub fn renew(&self, name: &str) -> Result<String, String> {
        let (answer, answered) = sync_channel(1);
        self.commands
            .blocking_send(Command::Renew(name.to_ascii_lowercase(), answer))
            .map_err(|_| "the gateway is ending".to_owned())?;
        match answered.recv_timeout(RENEW_TIMEOUT) {
            Ok(outcome) => outcome,
            Err(_) => Ok(format!(
                "the renewal of {name} is still under way; `foregate certs` tells how it went"
            )),
        }
    }

    /// All certificates, by name.
    #[must_use]
    pub fn status(&self) -> Arc<Vec<CertificateStatus>> {
        self.shared.status.load_full()
    }

    /// Ends the thread. Orders that run are cut off; the state folder lets the next process go on with them.
    pub fn stop(&self) {
        self.shared.stop.notify_one();
    }
}

impl Gauges for Agent {
    fn collect(&self, out: &mut Exposition) {
        let status = self.status();
        let family = out.family(
            "foregate_certificate_not_after_seconds",
            Kind::Gauge,
            "When a certificate ends, in Unix time.",
        );
        // Names that clients chose make no series.
        let written = status.iter().filter(|status| !status.on_demand);
        for status in written.take(METRIC_CERTIFICATES_MAX) {
            if let (Some(not_after), Some(name)) = (status.not_after, status.names.first()) {
                let labels = [("name", name.as_str()), ("source", status.source.name())];
                out.count(family, &labels, not_after);
            }
        }
        let family = out.family(
            "foregate_certificates",
            Kind::Gauge,
            "Certificates that are kept alive, by state.",
        );
        for state in CertificateState::ALL {
            let count = status.iter().filter(|one| one.state == state).count();
            out.count(family, &[("state", state.name())], count as u64);
        }
        self.shared.counts.collect(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nothing_is_ordered_for_cost_the_agent_nothing() {
        let shared = Arc::new(Shared {
            status: ArcSwap::from_pointee(Vec::new()),
            on_demand: ArcSwapOption::empty(),
            counts: Counts::default(),
            stop: Notify::new(),
        });
        let (commands, mut orders) = mpsc::channel(COMMANDS_MAX);
        let agent = Agent {
            commands,
            shared: Arc::clone(&shared),
        };
        let mut costs = |name: &str| {
            agent.demand(name);
            orders.try_recv().is_ok()
        };
        assert!(!costs("a.shops.example"), "nothing is ordered on demand");
        let mut options = OnDemand {
            allow: vec!["*.shops.example".to_owned()],
            ask: None,
            issues_per_hour_max: 10,
        };
        shared.on_demand.store(Some(Arc::new(options.clone())));
        assert!(costs("A.Shops.example"));
        for name in [
            "other.example",
            "a.b.shops.example",
            "-.shops.example",
            "10.0.0.1",
            "",
        ] {
            assert!(!costs(name), "{name}");
        }
        // The URL is to be asked for the rest.
        options.allow.clear();
        options.ask = Some("http://127.0.0.1:1/may".to_owned());
        shared.on_demand.store(Some(Arc::new(options)));
        assert!(costs("other.example") && !costs("localhost"));
    }
}
