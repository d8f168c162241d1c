//! Upgrade: a new process of the program takes over, without a moment in which nobody listens.
//!
//! ```text
//! serving ── upgrade ──► new process started, sockets passed on ── it serves, and goes on to ──► draining, patiently
//!    ▲                                │
//!    └── it ended, or took too long ──┘  as if nothing had been
//! ```

use crate::estate::Estate;
use crate::inherit::{self, Passed, READY};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

/// How long the new process may take until it serves: certificates and a large configuration are loaded anew.
const READY_TIMEOUT: Duration = Duration::from_secs(50);

/// How long a new process must go on once it says that it serves, before the old one believes it.
const PROOF_TIME: Duration = Duration::from_millis(300);

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
    pub(crate) fn succeed(&self, sockets: &[Passed], estate: &Estate) -> Result<u32, String> {
        let shown = self.path.display();
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        let mut child = Command::new(&self.path)
            .args(&self.arguments)
            .env(inherit::VARIABLE, "stdin")
            .stdin(OwnedFd::from(theirs))
            .spawn()
            .map_err(|error| format!("{shown} can't be started: {error}"))?;
        let proved = inherit::pass(&ours, sockets, estate).and_then(|()| prove(&ours));
        match proved {
            Ok(()) => Ok(child.id()),
            Err(error) => Err(dismiss(&mut child, &error)),
        }
    }
}

/// Waits until the new process says that it serves, and a moment longer.
fn prove(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(READY_TIMEOUT))?;
    let mut told = [0; READY.len()];
    (&*stream).read_exact(&mut told)?;
    if told != READY {
        return Err(ErrorKind::InvalidData.into());
    }
    stream.set_read_timeout(Some(PROOF_TIME))?;
    match (&*stream).read(&mut told) {
        // It holds its end for as long as it lives.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Ends a process that did not prove itself; what came of it.
fn dismiss(child: &mut Child, error: &io::Error) -> String {
    let took_too_long = error.kind() == ErrorKind::WouldBlock;
    if took_too_long {
        let _ = child.kill();
    }
    // One that closed its end is ending.
    let ended = child.wait();
    match ended {
        _ if took_too_long => {
            let seconds = READY_TIMEOUT.as_secs();
            format!("the new process did not serve within {seconds} s and was ended")
        }
        Ok(status) => format!("the new process ended ({status}): its log says why"),
        Err(_) => format!("the new process did not come up: {error}"),
    }
}
