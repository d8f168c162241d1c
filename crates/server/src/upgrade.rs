//! Upgrade: a new process of the program takes over, without a moment in which nobody listens.
//!
//! ```text
//! serving ── upgrade ──► new process started, sockets passed on ── it serves, and goes on to ──► draining, patiently
//!    ▲                                │
//!    └── it ended, or took too long ──┘  as if nothing had been
//! ```

use crate::estate::Estate;
use crate::inherit::{self, READY, Sockets};
use foregate_telemetry::clock::now;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
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

    /// Starts a successor and waits until it has proved that it serves; its process id. One that fails is ended.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn succeed(&self, sockets: &Sockets, estate: &Estate) -> Result<u32, String> {
        self.succeed_within(PATIENCE, sockets, estate)
    }

    fn succeed_within(
        &self,
        patience: Patience,
        sockets: &Sockets,
        estate: &Estate,
    ) -> Result<u32, String> {
        let shown = self.path.display();
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        let mut child = Command::new(&self.path)
            .args(&self.arguments)
            .env(inherit::VARIABLE, "stdin")
            .stdin(OwnedFd::from(theirs))
            .spawn()
            .map_err(|error| format!("{shown} can't be started: {error}"))?;
        // One that stands still takes nothing.
        let proved = (ours.set_write_timeout(Some(patience.ready)))
            .and_then(|()| inherit::pass(&ours, sockets, estate))
            .and_then(|()| prove(&ours, patience));
        match proved {
            Ok(()) => Ok(child.id()),
            Err(error) => Err(dismiss(&mut child, &error, patience)),
        }
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
fn dismiss(child: &mut Child, error: &io::Error, patience: Patience) -> String {
    let took_too_long = error.kind() == ErrorKind::WouldBlock;
    // One that closed its end is ending, if nothing is in its way.
    let status = match took_too_long {
        true => None,
        false => wait(child, patience.end),
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    match status {
        Some(status) => format!("the new process ended ({status}): its log says why"),
        None if took_too_long => {
            let seconds = patience.ready.as_secs();
            format!("the new process did not serve within {seconds} s and was ended")
        }
        None => format!("the new process did not come up, and was ended: {error}"),
    }
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
mod tests {
    use super::*;
    use serde_json::Value;

    const PATIENCE: Patience = Patience {
        ready: Duration::from_millis(300),
        proof: Duration::from_millis(50),
        end: Duration::from_millis(300),
    };

    /// What comes of a new process that does this.
    fn come_of(script: &str) -> String {
        let program = Program {
            path: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
        };
        let estate = Estate {
            // More than the system keeps for one who does not read.
            history: Value::String("x".repeat(4 << 20)),
            ..Estate::default()
        };
        let outcome = program.succeed_within(PATIENCE, &Sockets::default(), &estate);
        outcome.expect_err("it is no successor")
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
