//! Upgrade: a new process of the program takes over, without a moment in which nobody listens.
//!
//! ```text
//! serving ── upgrade ──► new process started, sockets passed on ── it serves, and goes on to ──► draining, patiently
//!    ▲                                │                                                           │
//!    └── it ended, or took too long ──┘  as if nothing had been           it ended, unasked ──► draining in a hurry,
//!                                                                                               and a failure
//! ```

mod launcher;

pub use launcher::launch;

use crate::estate::Estate;
use crate::inherit::{self, DONE, READY, Sockets};
use foregate_telemetry::clock::now;
use launcher::Launcher;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// How long the new process may take until it serves: certificates and a large configuration are loaded anew.
const READY_TIMEOUT: Duration = Duration::from_secs(50);

/// How long a new process must go on once it says that it serves, before the old one believes it.
const PROOF_TIME: Duration = Duration::from_millis(300);

/// How long one that has said that it does not go on may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How often that is looked at.
const END_POLL: Duration = Duration::from_millis(20);

/// How long a new process may take for each part of its way.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Until it serves, and for each part of what it is given before.
    ready: Duration,
    proof: Duration,
    end: Duration,
}

const PATIENCE: Patience = Patience {
    ready: READY_TIMEOUT,
    proof: PROOF_TIME,
    end: END_TIMEOUT,
};

/// How this process was started, which is how its successor is.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This process' program, by the path that it has now: what stands there at an upgrade is what is started.
    ///
    /// # Errors
    /// The system can't tell the path.
    pub(crate) fn of_this_process() -> io::Result<Program> {
        Ok(Program {
            path: std::env::current_exe()?,
            arguments: std::env::args_os().skip(1).collect(),
        })
    }

    /// Starts a successor and waits until it has proved that it serves. One that fails is ended.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn succeed(&self, sockets: &Sockets, estate: &Estate) -> Result<Successor, String> {
        self.succeed_within(PATIENCE, &[], sockets, estate)
    }

    fn succeed_within(
        &self,
        patience: Patience,
        launcher_arguments: &[&str],
        sockets: &Sockets,
        estate: &Estate,
    ) -> Result<Successor, String> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        let launcher = Launcher::start(
            launcher_arguments,
            (&self.path, &self.arguments),
            OwnedFd::from(theirs),
            patience.ready,
        )?;
        let process = launcher.process;
        // One that stands still takes nothing.
        let proved = (ours.set_write_timeout(Some(patience.ready)))
            .and_then(|()| inherit::pass(&ours, sockets, estate))
            .and_then(|()| prove(&ours, patience));
        match proved {
            Ok(()) => {
                launcher.let_go(patience.end).map_err(has_ended)?;
                Ok(Successor {
                    process,
                    line: ours,
                })
            }
            Err(error) => Err(dismiss(launcher, &error, patience)),
        }
    }
}

/// A new process that serves.
#[derive(Debug)]
pub(crate) struct Successor {
    /// Its process id.
    pub(crate) process: u32,
    /// It holds its end for as long as it lives.
    line: UnixStream,
}

impl Successor {
    /// Waits until it has ended or has a successor of its own; whether it has ended without being told to.
    pub(crate) fn ends_unasked(self) -> bool {
        let mut told = Vec::new();
        let heard = (self.line.set_read_timeout(None))
            .and_then(|()| (&self.line).take(DONE.len() as u64).read_to_end(&mut told));
        heard.is_err() || told != DONE
    }
}

/// Waits until the new process says that it serves, and a moment longer.
fn prove(stream: &UnixStream, patience: Patience) -> io::Result<()> {
    stream.set_read_timeout(Some(patience.ready))?;
    let mut told = [0; READY.len()];
    (&*stream).read_exact(&mut told)?;
    if told != READY {
        return Err(ErrorKind::InvalidData.into());
    }
    stream.set_read_timeout(Some(patience.proof))?;
    match (&*stream).read(&mut told) {
        // It holds its end for as long as it lives.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Ends a process that did not prove itself; what came of it.
fn dismiss(launcher: Launcher, error: &io::Error, patience: Patience) -> String {
    let took_too_long = error.kind() == ErrorKind::WouldBlock;
    // One that closed its end is ending, if nothing is in its way.
    let ended = match took_too_long {
        true => None,
        false => launcher.ended(patience.end),
    };
    launcher.end_it(patience.end);
    match ended {
        Some(how) => has_ended(how),
        None if took_too_long => {
            let seconds = patience.ready.as_secs();
            format!("the new process did not serve within {seconds} s and was ended")
        }
        None => format!("the new process did not come up, and was ended: {error}"),
    }
}

fn has_ended(how: String) -> String {
    format!("the new process ended ({how}): its log says why")
}

/// How a process has ended, if it does so in time.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let until = now().plus(timeout);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if now() < until => std::thread::park_timeout(END_POLL),
            _ => return None,
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test asks the system for a process"
)]
mod tests {
    use super::*;
    use serde_json::Value;

    const PATIENCE: Patience = Patience {
        ready: Duration::from_millis(300),
        proof: Duration::from_millis(50),
        end: Duration::from_millis(300),
    };

    /// How this very program, the tests', becomes a launcher.
    const AS_LAUNCHER: &[&str] = &[
        "--exact",
        "upgrade::tests::one_that_is_not_there_is_told_as_such",
        "--nocapture",
    ];

    fn start(script: &str, estate: &Estate) -> Result<Successor, String> {
        let program = Program {
            path: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
        };
        program.succeed_within(PATIENCE, AS_LAUNCHER, &Sockets::default(), estate)
    }

    /// What comes of a new process that does this.
    fn come_of(script: &str) -> String {
        let estate = Estate {
            // More than the system keeps for one who does not read.
            history: Value::String("x".repeat(4 << 20)),
            ..Estate::default()
        };
        start(script, &estate).expect_err("it is no successor")
    }

    /// One that takes what is passed on, says that it serves, waits to be let go of, and does this.
    fn come_up(then: &str) -> Successor {
        let script = format!(
            "echo ready >&0; i=0; while grep -q '^PPid:[[:space:]]*'$PPID'$' /proc/$$/status && [ $i -lt 500 ]; \
             do sleep 0.02; i=$((i+1)); done; {then}"
        );
        start(&script, &Estate::default()).expect("it serves")
    }

    #[test]
    fn one_that_serves_is_nobodys_child_here() {
        let successor = come_up("exec sleep 600");
        let status = format!("/proc/{}/status", successor.process);
        let status = std::fs::read_to_string(status).expect("it runs");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        let parent: u32 = parent.and_then(|id| id.trim().parse().ok()).unwrap();
        assert_ne!(
            parent,
            std::process::id(),
            "whose end its parent would have to tell"
        );
        let process = i32::try_from(successor.process).ok();
        let process = process.and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        assert!(successor.ends_unasked());
    }

    #[test]
    fn one_that_says_that_it_is_done_is_not_lost() {
        assert!(!come_up("echo done >&0").ends_unasked());
        assert!(come_up("exit 1").ends_unasked());
    }

    #[test]
    fn one_that_is_not_there_is_told_as_such() {
        // Here the tests' program arrives that one of them has started as a launcher.
        if let Some(code) = launch() {
            std::process::exit(code.into());
        }
        let program = Program {
            path: "/nowhere/foregate".into(),
            arguments: Vec::new(),
        };
        let estate = Estate::default();
        let outcome = program.succeed_within(PATIENCE, AS_LAUNCHER, &Sockets::default(), &estate);
        let told = outcome.expect_err("it is no successor");
        assert!(
            told.contains("/nowhere/foregate can't be started"),
            "{told}"
        );
    }

    #[test]
    fn one_that_takes_nothing_is_not_waited_for() {
        let told = come_of("exec sleep 600");
        assert!(told.contains("did not serve within"), "{told}");
    }

    #[test]
    fn one_that_lets_go_and_lives_on_is_ended() {
        let told = come_of("exec 0<&-; exec sleep 600");
        assert!(told.contains("did not come up, and was ended"), "{told}");
    }

    #[test]
    fn one_that_ends_is_told_as_such() {
        let told = come_of("exit 7");
        assert!(told.contains("exit status: 7"), "{told}");
    }
}
