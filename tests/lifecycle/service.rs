//! As a service: what the service manager is told, and sockets that it passes on.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use foregate_testkit::{RawClient, Scratch, Successor, eventually, foregate_path};

/// Killed when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Service {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let done = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(done.is_ok_and(|status| status.success()));
    }
}

const CONFIG: &str = "[listeners.public]\naddress = \"ADDRESS\"\n[admin]\nenabled = false\n[access_log]\nto = \"off\"\n[[sites.\"*\".routes]]\nrespond = { status = 200 }\n";

/// The next message that has `wanted` in it.
fn told(manager: &UnixDatagram, wanted: &str) -> String {
    let mut buffer = [0; 1024];
    loop {
        let length = manager
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("{wanted} was not told: {error}"));
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.contains(wanted) {
            return text;
        }
    }
}

/// The parent of a process, its parent, and so on.
fn ancestors(process: u32) -> Vec<u32> {
    let parent = |process: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        line?.trim().parse().ok()
    };
    std::iter::successors(parent(&process), parent).collect()
}

/// What may be said against a service, in tenths of what systemd counts at most; below 20 it calls that "OK".
const EXPOSURE_MAX: &str = "20";

#[test]
fn the_unit_files_are_sound_and_leave_the_service_little() {
    let scratch = Scratch::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    for name in ["foregate.service", "foregate.socket"] {
        let text = std::fs::read_to_string(folder.join(name)).expect("it is there");
        // The program must exist for what starts it to be sound.
        let program = foregate_path().display().to_string();
        scratch.write(name, text.replace("/usr/local/bin/foregate", &program));
        let unit = scratch.join(name);
        let done = Command::new("systemd-analyze")
            .arg("verify")
            .arg(&unit)
            .output()
            .expect("systemd-analyze is installed");
        let told = String::from_utf8_lossy(&done.stderr);
        // Units of the machine have their own faults.
        let own: Vec<&str> = told.lines().filter(|line| line.contains(name)).collect();
        assert!(own.is_empty(), "{own:?}");
    }
    let limit = format!("--threshold={EXPOSURE_MAX}");
    let arguments = ["security", "--offline=yes", "--no-pager", &limit];
    let done = Command::new("systemd-analyze")
        .args(arguments)
        .arg(scratch.join("foregate.service"))
        .output()
        .expect("systemd-analyze is installed");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(told.contains("Overall exposure level"), "{told}");
    assert!(done.status.success(), "{told}");
}

#[test]
fn the_manager_is_told_of_every_turn() {
    let scratch = Scratch::new();
    let socket = scratch.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket can be made");
    manager
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time above zero");
    scratch.write("foregate.toml", CONFIG.replace("ADDRESS", "127.0.0.1:0"));
    let child = Command::new(foregate_path())
        .arg("run")
        .current_dir(scratch.path())
        .env("NOTIFY_SOCKET", &socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut service = Service(child.expect("the binary starts"));
    told(&manager, "READY=1");
    service.signal("HUP");
    let reloading = told(&manager, "RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    told(&manager, "READY=1");
    service.signal("USR2");
    let succeeded = told(&manager, "MAINPID=");
    let pid = succeeded
        .lines()
        .find_map(|line| line.strip_prefix("MAINPID=")?.parse().ok());
    let successor = Successor::new(pid.expect("a process id"));
    // A manager hears only of the end of its own children, and has to have adopted it by then.
    let ancestors = ancestors(successor.id());
    assert!(!ancestors.is_empty(), "it runs");
    assert!(!ancestors.contains(&service.0.id()), "{ancestors:?}");
    let old = eventually("the old process ends", || {
        service.0.try_wait().expect("a child can be waited for")
    });
    assert_eq!(old.code(), Some(0));
    assert!(successor.runs());
    successor.signal(foregate_testkit::Signal::Term);
    told(&manager, "STOPPING=1");
}

#[test]
fn a_socket_that_is_passed_on_is_served() {
    let scratch = Scratch::new();
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = socket.local_addr().expect("bound");
    // Somebody knocks before anybody is there.
    let mut early = RawClient::connect(address);
    early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let config = CONFIG.replace("ADDRESS", &address.to_string());
    scratch.write("foregate.toml", format!("workers = 2\n{config}"));
    // The socket becomes descriptor 3 of a process that knows its own number, as sd_listen_fds(3) has it.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run";
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(foregate_path())
        .current_dir(scratch.path())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _service = Service(child.expect("a shell starts"));
    assert_eq!(early.response().status, 200);
    for _ in 0..8 {
        let mut client = RawClient::connect(address);
        assert_eq!(
            client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
            200
        );
    }
}
