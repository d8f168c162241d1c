//! A backend that is a process of its own, so that it can be killed, stopped, and started on another machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::{Process, Scratch, Signal, eventually, free_port};

/// The gateway itself, answering every request with 200 and `served`; killed when dropped.
#[derive(Debug)]
pub struct ProcessBackend {
    address: SocketAddr,
    scratch: Scratch,
    within: Vec<String>,
    process: Process,
}

impl ProcessBackend {
    /// Starts one on this machine.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        Self::start_within(&[], Ipv4Addr::LOCALHOST.into())
    }

    /// Starts one by a command that begins with these words, at this address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_within(within: &[&str], ip: IpAddr) -> Self {
        let address = SocketAddr::new(ip, free_port());
        let scratch = Scratch::new();
        let text = format!(
            "workers = 1\n[admin]\nenabled = false\n[access_log]\nto = \"off\"\n[client]\nrequests_per_connection_max = \"off\"\n\
             [listeners.public]\naddress = \"{address}\"\n[sites.\"*\"]\n[[sites.\"*\".routes]]\n\
             respond = {{ status = 200, body = \"served\" }}\n"
        );
        scratch.write("foregate.toml", text);
        let within: Vec<String> = within.iter().map(|&word| word.to_owned()).collect();
        let process = run(&within, &scratch, address);
        Self {
            address,
            scratch,
            within,
            process,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.process.signal(Signal::Kill);
        self.process.wait_exit();
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// When it does not start.
    pub fn revive(&mut self) {
        self.process = run(&self.within, &self.scratch, self.address);
    }
}

fn run(within: &[String], scratch: &Scratch, address: SocketAddr) -> Process {
    let path = scratch.path().join("foregate.toml");
    let mut process = Process::spawn_within(
        within,
        &["run", "-c", &path.to_string_lossy()],
        Some(scratch.path()),
    );
    process.wait_stdout("ready\n");
    eventually("the backend listens", || {
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
    });
    process
}
