//! Programs that others wrote, as clients and backends of stories: Python with its libraries, nghttp, Chromium.
//!
//! `./test.sh install` brings them; the Python libraries are in `python/` of the target directory.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use foregate_testkit::Scratch;

/// How long a foreign program may take for everything it does in one story; a whole scan takes over a minute.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(240);

/// The interpreter that has the libraries of the stories.
///
/// # Panics
/// When it is not installed.
pub fn python() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let found = std::env::var_os("FOREGATE_PYTHON").map(PathBuf::from);
    let found = found.into_iter().chain(
        own.ancestors()
            .map(|directory| directory.join("python/bin/python3")),
    );
    found
        .into_iter()
        .find(|path| path.exists())
        .expect("Python's libraries are installed (./test.sh install)")
}

/// A file of these stories.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A program that runs beside the story, ended with it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    complaint: Option<thread::JoinHandle<String>>,
}

impl Program {
    /// Starts a program whose output is read line by line.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn start(command: &mut Command) -> Program {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error} (./test.sh install brings it)"));
        let out = child.stdout.take().expect("it is piped");
        let mut errors = child.stderr.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let complaint = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Program {
            name,
            child,
            lines,
            seen: Vec::new(),
            complaint: Some(complaint),
        }
    }

    /// Starts a script of these stories.
    pub fn python(name: &str, arguments: &[&str]) -> Program {
        Program::start(Command::new(python()).arg(script(name)).args(arguments))
    }

    /// What follows `word` on the next line that begins with it.
    ///
    /// # Panics
    /// When the line does not come in time.
    pub fn line(&mut self, word: &str) -> String {
        let deadline = Instant::now() + PROGRAM_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(word) {
                        return rest.trim().to_owned();
                    }
                    self.seen.push(line);
                }
                Err(_) => self.fail(&format!("a line with {word:?} did not come")),
            }
        }
    }

    /// Waits for its end, which has to be a good one; returns what it printed.
    ///
    /// # Panics
    /// When it does not end in time, or complains.
    pub fn finish(mut self) -> String {
        let status = self.wait_end();
        if !status.success() {
            self.fail(&status.to_string());
        }
        self.seen.join("\n")
    }

    /// Waits for its end, good or not, for programs whose exit code is a count of findings; returns what it printed.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn end(mut self) -> String {
        self.wait_end();
        self.seen.join("\n")
    }

    fn wait_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PROGRAM_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.fail("it does not end"),
            }
        }
        self.child.wait().expect("a child can be waited for")
    }

    fn fail(&mut self, what: &str) -> ! {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let complaint = self.complaint.take().map(thread::JoinHandle::join);
        let complaint = complaint.and_then(Result::ok).unwrap_or_default();
        let seen = self.seen.join("\n");
        panic!("{}: {what}\n{seen}\n{complaint}", self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Headless Chromium with a profile of its own, which trusts every certificate; ended when dropped.
#[derive(Debug)]
pub struct Browser {
    // Before the profile, so that nobody writes to it any more when it is removed.
    _program: Program,
    _profile: Scratch,
}

impl Browser {
    /// Opens a page.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn open(url: &str) -> Browser {
        let profile = Scratch::new();
        let program = Program::start(
            Command::new("chromium")
                .args(["--headless", "--no-sandbox", "--disable-gpu"])
                .args(["--disable-quic", "--disable-dev-shm-usage"])
                .args(["--no-first-run", "--disable-background-networking"])
                .args(["--disable-sync", "--disable-component-update"])
                .args(["--ignore-certificate-errors", "--remote-debugging-port=0"])
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .arg(url),
        );
        Browser {
            _program: program,
            _profile: profile,
        }
    }
}

/// Runs a script of these stories to its end; returns what it printed.
///
/// # Panics
/// When it fails.
pub fn run_python(name: &str, arguments: &[&str]) -> String {
    Program::python(name, arguments).finish()
}
