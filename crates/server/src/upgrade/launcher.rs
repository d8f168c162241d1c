//! The launcher: a process that starts a successor and ends as soon as that one has proved itself. An orphan is adopted
//! by the first process of the system, or by the service manager, who thereby hears of its end; of a grandchild's it would
//! not, and a successor that crashes would be missed by nobody.
//!
//! ```text
//! old process ── what to start, its standard input ──► launcher ── starts it
//!         ◄── "started PID", "refused WHY", "ended HOW" ──
//!         ── LET_GO or END_IT ──►
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a process of its own, which serves nobody; and the thread of an upgrade"
)]

use super::{END_POLL, wait};
use crate::inherit::{self, VARIABLE};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

/// What the variable is in a launcher's environment, and in a successor's.
const AS_LAUNCHER: &str = "launcher";
const AS_SUCCESSOR: &str = "stdin";

/// The program that this process runs, also when another file has taken its place.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Bytes of a program's path and arguments: more than the system takes.
const ORDER_BYTES_MAX: usize = 8 << 20;

/// Bytes of what a launcher says at a time.
const TOLD_BYTES_MAX: usize = 4096;

/// The successor has proved itself: the launcher ends.
const LET_GO: u8 = b'g';
/// It has not: it is ended.
const END_IT: u8 = b'e';

/// A launcher that runs, as the old process sees it.
pub(super) struct Launcher {
    child: Child,
    control: UnixStream,
    /// What it has started.
    pub(super) process: u32,
}

impl Launcher {
    /// Has a program started with this standard input. `own_arguments` are the launcher's, which needs none.
    ///
    /// # Errors
    /// It can't be, in a few words.
    pub(super) fn start(
        own_arguments: &[&str],
        (path, arguments): (&Path, &[OsString]),
        input: OwnedFd,
        timeout: Duration,
    ) -> Result<Launcher, String> {
        let told = |error: io::Error| format!("a process can't be started: {error}");
        let (control, its) = UnixStream::pair().map_err(told)?;
        let child = Command::new(THIS_PROGRAM)
            .args(own_arguments)
            .env(VARIABLE, AS_LAUNCHER)
            .stdin(OwnedFd::from(its))
            .spawn()
            .map_err(told)?;
        let mut launcher = Launcher {
            child,
            control,
            process: 0,
        };
        let heard = launcher
            .order(path, arguments, input, timeout)
            .and_then(|()| launcher.hear(timeout));
        let heard = match heard {
            Ok(heard) => heard,
            Err(error) => {
                launcher.reap(Duration::ZERO);
                return Err(told(error));
            }
        };
        match heard.split_once(' ') {
            Some(("started", process)) => {
                // What is no number is nobody's.
                launcher.process = process.parse().unwrap_or(0);
                Ok(launcher)
            }
            Some(("refused", why)) => {
                launcher.reap(timeout);
                Err(format!("{} can't be started: {why}", path.display()))
            }
            _ => {
                launcher.reap(Duration::ZERO);
                Err("the process that was to start the new one ended".to_owned())
            }
        }
    }

    fn order(
        &self,
        path: &Path,
        arguments: &[OsString],
        input: OwnedFd,
        timeout: Duration,
    ) -> io::Result<()> {
        self.control.set_write_timeout(Some(timeout))?;
        let words =
            std::iter::once(path.as_os_str()).chain(arguments.iter().map(OsString::as_os_str));
        let words: Vec<&[u8]> = words.map(OsStr::as_bytes).collect();
        // No argument of a process has a zero in it.
        let order = words.join(&0);
        (&self.control).write_all(&(order.len() as u64).to_be_bytes())?;
        (&self.control).write_all(&order)?;
        inherit::send(&self.control, &[input.as_fd()])
    }

    /// A line that the launcher says; empty when it has ended.
    fn hear(&self, timeout: Duration) -> io::Result<String> {
        self.control.set_read_timeout(Some(timeout))?;
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < TOLD_BYTES_MAX && (&self.control).read(&mut byte)? == 1 {
            match byte[0] {
                b'\n' => break,
                other => line.push(other),
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// How the successor has ended, if it does so in time.
    pub(super) fn ended(&self, timeout: Duration) -> Option<String> {
        let heard = self.hear(timeout).ok()?;
        heard.strip_prefix("ended ").map(str::to_owned)
    }

    /// Ends the successor, and the launcher.
    pub(super) fn end_it(mut self, timeout: Duration) {
        let _ = (&self.control).write_all(&[END_IT]);
        self.reap(timeout);
    }

    /// Ends the launcher: the successor is on its own from now on.
    ///
    /// # Errors
    /// The successor has ended, and how.
    pub(super) fn let_go(mut self, timeout: Duration) -> Result<(), String> {
        let _ = (&self.control).write_all(&[LET_GO]);
        let ended = self.ended(timeout);
        self.reap(timeout);
        ended.map_or(Ok(()), Err)
    }

    fn reap(&mut self, timeout: Duration) {
        if wait(&mut self.child, timeout).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What this process does if it was started to start another one: its exit code then.
pub fn launch() -> Option<u8> {
    if std::env::var_os(VARIABLE)? != AS_LAUNCHER {
        return None;
    }
    let control = io::stdin().as_fd().try_clone_to_owned();
    let done = control.and_then(|control| serve(&UnixStream::from(control)));
    // Who has ordered it is told over the socket, or is gone.
    Some(u8::from(done.is_err()))
}

fn serve(control: &UnixStream) -> io::Result<()> {
    let (words, input) = take_order(control)?;
    let mut words = words.into_iter();
    let program = words.next().ok_or(ErrorKind::InvalidData)?;
    let started = Command::new(program)
        .args(words)
        .env(VARIABLE, AS_SUCCESSOR)
        .stdin(input)
        .spawn();
    match started {
        Ok(child) => {
            tell(control, &format!("started {}", child.id()))?;
            attend(control, child)
        }
        Err(error) => tell(control, &format!("refused {error}")),
    }
}

fn take_order(control: &UnixStream) -> io::Result<(Vec<OsString>, OwnedFd)> {
    let mut length = [0; 8];
    (&*control).read_exact(&mut length)?;
    let length = usize::try_from(u64::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ORDER_BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut order = vec![0; length];
    (&*control).read_exact(&mut order)?;
    let mut input = Vec::new();
    inherit::receive_some(control, &mut input)?;
    let input = input.pop().ok_or(ErrorKind::InvalidData)?;
    let words = order.split(|&byte| byte == 0);
    let words = words
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    Ok((words, input))
}

/// Looks after a successor until it is let go, or has ended.
fn attend(control: &UnixStream, mut child: Child) -> io::Result<()> {
    control.set_read_timeout(Some(END_POLL))?;
    let mut order = [0];
    loop {
        let heard = (&*control).read(&mut order);
        if matches!((&heard, order[0]), (Ok(1), END_IT)) {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            return tell(control, &format!("ended {status}"));
        }
        match heard {
            Err(error) if is_early(&error) => {}
            // Let go of; or whoever started this has ended, and can let nobody go any more.
            _ => return Ok(()),
        }
    }
}

fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn tell(mut control: &UnixStream, text: &str) -> io::Result<()> {
    // One line: a system's errors are.
    control.write_all(format!("{}\n", text.replace('\n', " ")).as_bytes())
}
