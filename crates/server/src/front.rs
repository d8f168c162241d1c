//! Front: signals and the admin API, on a thread that workers never wait for.

use crate::control::{Command, Controller};
use crate::view::Facts;
use foregate_admin::{EndpointChange, Refusal};
use foregate_telemetry::log::process;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Starts the thread.
///
/// # Errors
/// The thread, its runtime or a signal could not be had.
pub(crate) fn start(
    admin: Option<TcpListener>,
    facts: Arc<Facts>,
    controller: Controller,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // Taken before anybody is told that the server is ready, so that no signal finds the system's default action.
    let listened = {
        let _context = runtime.enter();
        let streams = signals().map(|(kind, command)| signal(kind).map(|stream| (stream, command)));
        streams.into_iter().collect::<io::Result<Vec<_>>>()?
    };
    std::thread::Builder::new()
        .name("front".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                for (stream, command) in listened {
                    tokio::spawn(listen(stream, command, controller.clone()));
                }
                match admin {
                    Some(socket) => {
                        let control = Arc::new(Handle {
                            controller,
                            facts: Arc::clone(&facts),
                        });
                        let served =
                            foregate_admin::serve(socket, facts, control, std::future::pending());
                        if let Err(error) = served.await {
                            process::error("the admin API has ended", &[("error", &error)]);
                        }
                    }
                    None => std::future::pending::<()>().await,
                }
            });
        })?;
    Ok(())
}

type Make = fn() -> Command;

fn signals() -> [(SignalKind, Make); 5] {
    [
        (SignalKind::hangup(), || Command::Reload(None)),
        (SignalKind::user_defined1(), || Command::Reopen),
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
    fn reload(&self) -> Result<String, String> {
        self.controller.reload()
    }

    fn change_endpoint(
        &self,
        upstream: &str,
        endpoint: &str,
        change: EndpointChange,
    ) -> Result<(), Refusal> {
        self.controller.change_endpoint(upstream, endpoint, change)
    }

    fn renew(&self, name: &str) -> Result<String, String> {
        self.facts.renew(name)
    }
}
