//! The product's binary: finding it, and running it as a process with everything it prints captured.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use rustix::process::{Pid, kill_process};

use crate::eventually;

/// The signals an operator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Reload.
    Hup,
    /// Drain and end.
    Term,
    /// Drain and end.
    Quit,
    /// End, from the terminal.
    Int,
    /// Reopen logs.
    Usr1,
    /// Upgrade.
    Usr2,
    /// Stand still, whatever it was doing.
    Stop,
    /// Go on.
    Cont,
    /// End at once.
    Kill,
}

impl Signal {
    fn number(self) -> rustix::process::Signal {
        match self {
            Signal::Hup => rustix::process::Signal::HUP,
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Quit => rustix::process::Signal::QUIT,
            Signal::Int => rustix::process::Signal::INT,
            Signal::Usr1 => rustix::process::Signal::USR1,
            Signal::Usr2 => rustix::process::Signal::USR2,
            Signal::Stop => rustix::process::Signal::STOP,
            Signal::Cont => rustix::process::Signal::CONT,
            Signal::Kill => rustix::process::Signal::KILL,
        }
    }
}

/// A running process that the product has started to take its place; killed when dropped.
#[derive(Debug)]
pub struct Successor(u32);

impl Successor {
    /// The process of this id.
    pub fn new(id: u32) -> Self {
        Self(id)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0
    }

    /// Whether it runs. One that has ended and that its parent has not asked after does not.
    pub fn runs(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.0));
        status.is_ok_and(|status| !status.contains(") Z "))
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal.number()).expect("the process takes signals while it runs");
    }

    fn pid(&self) -> Pid {
        i32::try_from(self.0)
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id is a positive number")
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.runs() {
            let _ = kill_process(self.pid(), rustix::process::Signal::KILL);
        }
    }
}

/// Where the binary under test is: `FOREGATE_BIN`, or the one beside the running test, built first if need be.
///
/// # Panics
/// When it cannot be built.
pub fn foregate_path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os("FOREGATE_BIN") {
            return PathBuf::from(path);
        }
        // <target>/<profile>/deps/<test>, or <target>/<profile>/<program>
        let own = std::env::current_exe().expect("a running program has a path");
        let profile = own
            .ancestors()
            .skip(1)
            .find(|path| !path.ends_with("deps"))
            .expect("a program lies in a directory");
        let path = profile.join("foregate");
        // Always asking cargo costs a moment and means that no story ever runs against yesterday's gateway.
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--package", "foregate", "--target-dir"])
            .arg(profile.join(".."));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .is_ok_and(|status| status.success());
        assert!(
            built && path.exists(),
            "the gateway does not build; set FOREGATE_BIN to test another binary"
        );
        path
    })
}

/// A run of the binary that ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// Runs the binary with `arguments` to its end.
///
/// # Panics
/// When it does not end in time.
pub fn foregate(arguments: &[&str]) -> Run {
    Process::spawn(arguments, None).end()
}

/// A running binary with its output captured; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts the binary with `arguments`, in `directory` if one is given.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(arguments: &[&str], directory: Option<&Path>) -> Self {
        Self::spawn_within(&[], arguments, directory)
    }

    /// As [`Self::spawn`], by a command that begins with these words, which must run what follows in their own place.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_within(within: &[String], arguments: &[&str], directory: Option<&Path>) -> Self {
        let mut command = match within {
            [] => Command::new(foregate_path()),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(foregate_path());
                command
            }
        };
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.env_remove("RUST_LOG").env("NO_COLOR", "1");
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let (stdout, out) = capture(child.stdout.take());
        let (stderr, err) = capture(child.stderr.take());
        Self {
            child,
            ended: None,
            stdout,
            stderr,
            readers: vec![out, err],
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it complained about so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until its standard output holds `wanted`.
    ///
    /// # Panics
    /// When it ends first, or time runs out.
    pub fn wait_stdout(&mut self, wanted: &str) -> String {
        eventually(&format!("{wanted:?} on standard output"), || {
            let seen = self.stdout();
            if seen.contains(wanted) {
                return Some(seen);
            }
            if let Some(status) = self.poll_exit() {
                self.finish_reading();
                panic!(
                    "ended with {status} before it printed {wanted:?}:\n{}\n{}",
                    self.stdout(),
                    self.stderr()
                );
            }
            None
        })
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal.number())
            .expect("the process takes signals while it runs");
    }

    /// Its exit status, if it has ended.
    pub fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually("the process ends", || self.poll_exit())
    }

    /// Waits for its end, and returns all that it printed.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn end(mut self) -> Run {
        let status = self.wait_exit();
        self.finish_reading();
        Run {
            code: status.code(),
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// Waits until everything it printed is captured; only after its end.
    fn finish_reading(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.poll_exit().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn text(capture: &Mutex<String>) -> String {
    capture
        .lock()
        .expect("a capture thread does not panic")
        .clone()
}

fn capture(
    pipe: Option<impl Read + Send + 'static>,
) -> (Arc<Mutex<String>>, thread::JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    let mut pipe = pipe.expect("output is piped");
    let reader = thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut chunk) {
            let piece = String::from_utf8_lossy(&chunk[..count]).into_owned();
            sink.lock()
                .expect("nobody panics with a capture locked")
                .push_str(&piece);
        }
    });
    (text, reader)
}
