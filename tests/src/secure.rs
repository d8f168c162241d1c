//! Clients of the stories about TLS: curl and `openssl s_client`, which `./test.sh` installs.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use foregate_testkit::{Authority, Issued, PATIENCE, Scratch};

/// Certificates of a story, as files.
#[derive(Debug)]
pub struct Certificates {
    /// Who issues them.
    pub authority: Authority,
    scratch: Scratch,
}

impl Default for Certificates {
    fn default() -> Certificates {
        let certificates = Certificates {
            authority: Authority::new("Story Root"),
            scratch: Scratch::new(),
        };
        certificates.put("ca.pem", &certificates.authority.pem());
        certificates
    }
}

impl Certificates {
    /// An authority whose certificate is in `ca.pem`.
    pub fn new() -> Certificates {
        Certificates::default()
    }

    /// Writes a file; returns its path.
    pub fn put(&self, name: &str, text: &str) -> String {
        let path = self.scratch.write(name, text);
        path.to_string_lossy().into_owned()
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> String {
        self.scratch.join(name).to_string_lossy().into_owned()
    }

    /// Issues a certificate for some names, as `<stem>.pem` and `<stem>.key`.
    pub fn issue(&self, stem: &str, names: &[&str]) -> Issued {
        let issued = self.authority.issue(names);
        self.put_pair(stem, &issued);
        issued
    }

    /// Issues a client's certificate, as `<stem>.pem` and `<stem>.key`.
    pub fn issue_client(&self, stem: &str) -> Issued {
        let issued = self.authority.issue_client(stem);
        self.put_pair(stem, &issued);
        issued
    }

    /// Writes a certificate and its key, the key first: whoever looks in between finds a pair that does not fit.
    pub fn put_pair(&self, stem: &str, issued: &Issued) {
        self.put(&format!("{stem}.key"), &issued.key_pem);
        self.put(&format!("{stem}.pem"), &issued.chain_pem);
    }

    /// The directory of the files.
    pub fn directory(&self) -> String {
        self.scratch.path().to_string_lossy().into_owned()
    }

    /// Runs curl for `https://host:port/target` against a listener, trusting the authority.
    pub fn curl(&self, address: SocketAddr, host: &str, target: &str, more: &[&str]) -> Curl {
        let port = address.port();
        let resolve = format!("{host}:{port}:{}", address.ip());
        let (url, ca) = (
            format!("https://{host}:{port}{target}"),
            self.path("ca.pem"),
        );
        let mut arguments = vec!["--cacert", &ca, "--resolve", &resolve];
        arguments.extend(more);
        arguments.push(&url);
        curl(&arguments)
    }

    /// Runs `openssl s_client` until the other side ends the connection, with some bytes behind the handshake; returns all
    /// that it prints.
    ///
    /// # Panics
    /// When openssl is not installed.
    pub fn s_client(&self, address: SocketAddr, behind: &str, more: &[&str]) -> String {
        let mut process = Command::new("openssl")
            .args(["s_client", "-ign_eof", "-connect", &address.to_string()])
            .args(["-CAfile", &self.path("ca.pem")])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl is installed (apt-get install openssl)");
        let mut input = process.stdin.take().expect("it is piped");
        // A handshake that fails may end it before.
        let _ = input.write_all(behind.as_bytes());
        let output = process.wait_with_output().expect("it ends");
        drop(input);
        let both = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&both).into_owned()
    }

    /// Opens a TLS connection with `openssl s_client` that stays open.
    pub fn connect(&self, address: SocketAddr, host: &str, more: &[&str]) -> TlsClient {
        TlsClient::start(address, host, &self.path("ca.pem"), more)
    }
}

/// What curl saw.
#[derive(Debug)]
pub struct Curl {
    output: Output,
}

/// Runs curl; the answer's head is printed before its body.
///
/// # Panics
/// When curl is not installed.
pub fn curl(arguments: &[&str]) -> Curl {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "10"])
        .args(["--noproxy", "*"])
        .args(arguments)
        .output()
        .expect("curl is installed (apt-get install curl)");
    Curl { output }
}

impl Curl {
    /// The answer's status; 0 when there was none.
    pub fn status(&self) -> u16 {
        let text = self.text();
        let status = text.split(' ').nth(1);
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Everything it printed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// The body.
    pub fn body(&self) -> String {
        let text = self.text();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        body.unwrap_or_default()
    }

    /// A field of the answer.
    pub fn field(&self, name: &str) -> Option<String> {
        let text = self.text();
        let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }

    /// curl's exit code: 35 for a failed handshake, 60 for a certificate that it does not trust.
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    /// What it complained of.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

/// A TLS connection that stays open.
#[derive(Debug)]
pub struct TlsClient {
    process: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl TlsClient {
    fn start(address: SocketAddr, host: &str, ca: &str, more: &[&str]) -> TlsClient {
        let mut process = Command::new("openssl")
            .args(["s_client", "-quiet", "-no_ign_eof", "-connect"])
            .args([&address.to_string()])
            .args(["-servername", host, "-CAfile", ca, "-verify_return_error"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed (apt-get install openssl)");
        let input = process.stdin.take();
        let mut out = process.stdout.take().expect("it is piped");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes @ 1..) = out.read(&mut buffer) {
                if sender.send(buffer[..bytes].to_vec()).is_err() {
                    return;
                }
            }
        });
        TlsClient {
            process,
            input,
            output,
            seen: Vec::new(),
        }
    }

    /// Sends some bytes.
    pub fn send(&mut self, bytes: &str) {
        let input = self.input.as_mut().expect("the input is open");
        // Whether the connection is still there shows when something is expected of it.
        let _ = input.write_all(bytes.as_bytes());
        let _ = input.flush();
    }

    /// Reads until `end` has come; returns everything up to its end.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn read_until(&mut self, end: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.seen).into_owned();
            if let Some(at) = text.find(end) {
                let taken = at + end.len();
                self.seen.drain(..taken);
                return text[..taken].to_owned();
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(_) => panic!("waited for {end:?} in vain, saw {text:?}"),
            }
        }
    }

    /// Ends its input: it says farewell and leaves.
    pub fn finish(&mut self) {
        drop(self.input.take());
    }

    /// Whether the connection ends within a time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        loop {
            match self.output.recv_timeout(time) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

impl Drop for TlsClient {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
