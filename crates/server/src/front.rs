//! Front: signals and the admin API, on a thread that workers never wait for.

use crate::control::{Command, Configure, Controller};
use crate::history::Cause;
use crate::inherit::{ADMIN, Passed, PassedLocal, Sockets};
use crate::view::Facts;
use foregate_admin::{
    Applied, Apply, ConfigRefusal, ConnectionView, Doors, EndpointChange, Refusal, Rollback,
};
use foregate_snapshot::AdminPlan;
use foregate_telemetry::log::process;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// How long the admin API may take to let go of its socket, and to end, once a successor answers.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// What control has of the admin API: what is passed on of it, and its end.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Under the address that it was opened for: what a later configuration says is for the next start.
    socket: Option<Passed>,
    local: Option<PassedLocal>,
    opening: Arc<Notify>,
    closing: Arc<Notify>,
    closed: Receiver<()>,
    ended: Receiver<()>,
    is_closed: bool,
}

/// The other end, for the thread that serves it.
pub(crate) struct Counter {
    opening: Arc<Notify>,
    closing: Arc<Notify>,
    closed: SyncSender<()>,
    ended: SyncSender<()>,
}

impl Desk {
    /// For doors that were opened as a configuration asked.
    pub(crate) fn of(
        doors: Option<&Doors>,
        plan: Option<&AdminPlan>,
    ) -> io::Result<(Desk, Counter)> {
        let (mut socket, mut local) = (None, None);
        if let (Some(doors), Some(plan)) = (doors, plan) {
            socket = Some(Passed {
                listener: Some(ADMIN.into()),
                asked: plan.address,
                socket: doors.tcp.try_clone()?,
            });
            if let (Some(door), Some(plan)) = (&doors.local, &plan.socket) {
                local = Some(PassedLocal {
                    path: plan.path.clone(),
                    socket: door.socket.try_clone()?,
                });
            }
        }
        let (opening, closing): (Arc<Notify>, Arc<Notify>) = Default::default();
        let (closed, is_closed) = sync_channel(1);
        let (ended, has_ended) = sync_channel(1);
        let desk = Desk {
            socket,
            local,
            opening: Arc::clone(&opening),
            closing: Arc::clone(&closing),
            closed: is_closed,
            ended: has_ended,
            is_closed: false,
        };
        let counter = Counter {
            opening,
            closing,
            closed,
            ended,
        };
        Ok((desk, counter))
    }

    /// Has it begin to let clients in: all of its sockets listen.
    pub(crate) fn open(&self) {
        self.opening.notify_one();
    }

    /// Where it listens over TCP, unless it was let go of.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.socket.as_ref()?.socket.local_addr().ok()
    }

    /// Adds its sockets once more to those that are passed on.
    pub(crate) fn pass_on(&self, sockets: &mut Sockets) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            sockets.tcp.push(socket.try_clone()?);
        }
        sockets.local = self
            .local
            .as_ref()
            .map(PassedLocal::try_clone)
            .transpose()?;
        Ok(())
    }

    /// A successor answers from now on: when this returns, nobody is let in here.
    pub(crate) fn close(&mut self) {
        self.local = None;
        if self.socket.take().is_some() {
            self.is_closed = true;
            self.closing.notify_one();
            // One that does not hear goes on to answer beside its successor.
            let _ = self.closed.recv_timeout(CLOSE_TIMEOUT);
        }
    }

    /// Waits, once it was closed, until those who were let in have their answers.
    pub(crate) fn finish(&self) {
        if !self.is_closed {
            return;
        }
        let _ = self.ended.recv_timeout(END_TIMEOUT);
    }
}

/// Who hears signals.
pub(crate) struct Ears {
    runtime: Runtime,
    heard: Vec<(Signal, Make)>,
}

impl Ears {
    /// From now on signals that are for a running server do not end one that still starts, which is what the system would
    /// do: they are heard once it runs. Those that end it still do.
    ///
    /// # Errors
    /// The runtime or a signal could not be had.
    pub(crate) fn open() -> io::Result<Ears> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let heard = Vec::new();
        let mut ears = Ears { runtime, heard };
        ears.hear(signals_for_who_stays())?;
        Ok(ears)
    }

    fn hear<const COUNT: usize>(&mut self, signals: [(SignalKind, Make); COUNT]) -> io::Result<()> {
        let _context = self.runtime.enter();
        for (kind, command) in signals {
            self.heard.push((signal(kind)?, command));
        }
        Ok(())
    }
}

/// Starts the thread.
///
/// # Errors
/// The thread, or a signal, could not be had.
pub(crate) fn start(
    mut ears: Ears,
    admin: Option<Doors>,
    counter: Counter,
    facts: Arc<Facts>,
    controller: Controller,
) -> io::Result<()> {
    let token = facts.token();
    // Before anybody is told that the server is ready, so that no signal finds the system's default action.
    ears.hear(signals_for_who_ends())?;
    let Ears { runtime, heard } = ears;
    std::thread::Builder::new()
        .name("front".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                for (stream, command) in heard {
                    tokio::spawn(listen(stream, command, controller.clone()));
                }
                tokio::spawn(watch(Arc::clone(&facts)));
                if let Some(doors) = admin {
                    let control = Arc::new(Handle {
                        controller,
                        facts: Arc::clone(&facts),
                    });
                    let Counter {
                        opening,
                        closing,
                        closed,
                        ended,
                    } = counter;
                    // A predecessor that listens, too, answers until then.
                    opening.notified().await;
                    let stop = async move { closing.notified().await };
                    let closed = move || {
                        let _ = closed.send(());
                    };
                    let served = foregate_admin::serve(
                        doors,
                        facts,
                        control,
                        token.as_deref(),
                        stop,
                        closed,
                    );
                    if let Err(error) = served.await {
                        process::error("the admin API has ended", &[("error", &error)]);
                    }
                    let _ = ended.send(());
                }
                // Signals are heard to the end.
                std::future::pending::<()>().await;
            });
        })?;
    Ok(())
}

/// Looks at how much there is to do, for as long as the process lives.
async fn watch(facts: Arc<Facts>) {
    loop {
        let pause = facts.overload().look();
        tokio::time::sleep(pause).await;
    }
}

type Make = fn() -> Command;

fn signals_for_who_stays() -> [(SignalKind, Make); 3] {
    [
        (SignalKind::hangup(), || {
            Command::Configure(Configure::Reload(Cause::Signal), None)
        }),
        (SignalKind::user_defined1(), || Command::Reopen),
        (SignalKind::user_defined2(), || Command::Upgrade(None)),
    ]
}

fn signals_for_who_ends() -> [(SignalKind, Make); 3] {
    [
        (SignalKind::terminate(), || Command::Drain),
        (SignalKind::quit(), || Command::Drain),
        (SignalKind::interrupt(), || Command::Drain),
    ]
}

async fn listen(mut signals: Signal, command: Make, controller: Controller) {
    while signals.recv().await.is_some() {
        controller.tell(command());
    }
}

/// What the admin API may do.
struct Handle {
    controller: Controller,
    facts: Arc<Facts>,
}

impl foregate_admin::Control for Handle {
    fn reload(&self) -> Result<Applied, ConfigRefusal> {
        self.controller.configure(Configure::Reload(Cause::Reload))
    }

    fn apply(&self, apply: Apply) -> Result<Applied, ConfigRefusal> {
        self.controller.configure(Configure::Apply(apply))
    }

    fn confirm(&self) -> Result<Applied, ConfigRefusal> {
        self.controller.configure(Configure::Confirm)
    }

    fn rollback(&self, rollback: Rollback) -> Result<Applied, ConfigRefusal> {
        self.controller.configure(Configure::Rollback(rollback))
    }

    fn upgrade(&self) -> Result<u32, String> {
        self.controller.upgrade()
    }

    fn change_endpoint(
        &self,
        upstream: &str,
        endpoint: &str,
        change: EndpointChange,
    ) -> Result<(), Refusal> {
        self.controller.change_endpoint(upstream, endpoint, change)
    }

    fn close_connection(&self, id: &str, at_once: bool) -> Result<ConnectionView, Refusal> {
        self.facts.connections().close(id, at_once)
    }

    fn renew(&self, name: &str) -> Result<String, String> {
        self.facts.renew(name)
    }
}
