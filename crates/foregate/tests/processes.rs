//! Commands that keep running: what they announce, serve, and how they end.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, block, and read clocks and files as they like"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running command; killed when dropped.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_foregate"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next lines, up to and with the first that holds `last`.
    #[track_caller]
    fn lines_to(&mut self, last: &str) -> String {
        let mut lines = String::new();
        loop {
            let before = lines.len();
            let count = self.out.read_line(&mut lines).unwrap();
            assert!(count > 0, "it ended before it printed {last:?}: {lines}");
            if lines[before..].contains(last) {
                return lines;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Exit code and the rest of what it printed.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String) {
        let patience = Instant::now() + Duration::from_secs(20);
        while Instant::now() < patience {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut rest = String::new();
                self.out.read_to_string(&mut rest).unwrap();
                return (status.code(), rest);
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status, head and body of the answer to a request on a connection of its own.
fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {answer:?}"));
    (
        head[9..12].parse().unwrap(),
        head.to_owned(),
        body.to_owned(),
    )
}

fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    ask(address, "GET", path)
}

/// The address behind `prefix` in what was printed.
#[track_caller]
fn address_after(prefix: &str, printed: &str) -> SocketAddr {
    let (_, rest) = printed
        .split_once(prefix)
        .unwrap_or_else(|| panic!("no {prefix}: {printed}"));
    let address: String = rest
        .chars()
        .take_while(|it| it.is_ascii_digit() || ".:".contains(*it))
        .collect();
    address.parse().unwrap()
}

#[test]
fn the_demo_serves_what_it_promises() {
    let mut demo = Running::start(&["demo", "--port", "0"]);
    let printed = demo.lines_to("A line per second");
    let gateway = address_after("  http://", &printed);
    let (status, head, page) = get(gateway, "/");
    assert_eq!(status, 200, "{head}\n{page}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("x-demo-route: page") && !head.contains("x-powered-by"),
        "{head}"
    );
    for expected in [
        "<dd>page</dd>",
        "round robin",
        "x-forwarded-for",
        "x-request-id",
        "via",
        "127.0.0.1",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("not told"), "{page}");
    let answering = |path: &str| get(gateway, path).2;
    let backends: Vec<String> = (0..12).map(|_| answering("/api/whoami")).collect();
    for name in ["a", "b", "c"] {
        let own = format!("\"backend\":\"{name}\"");
        assert!(
            backends.iter().any(|it| it.contains(&own)),
            "{name}: {backends:?}"
        );
    }
    assert!(backends[0].contains("\"path\":\"/whoami\""), "{backends:?}");
    let began = Instant::now();
    assert_eq!(get(gateway, "/slow").0, 200);
    assert!(began.elapsed() >= Duration::from_millis(1_400));
    let (status, head, _) = get(gateway, "/old");
    assert_eq!(status, 302);
    assert!(head.to_ascii_lowercase().contains("location: /"), "{head}");
    assert!(
        answering("/hello").starts_with("Hello"),
        "{}",
        answering("/hello")
    );
    assert_eq!(get(gateway, "/nothing").0, 404);
    let fates: Vec<u16> = (0..60).map(|_| get(gateway, "/fail").0).collect();
    assert!(
        fates.iter().all(|status| [200, 502, 503].contains(status)),
        "{fates:?}"
    );
    assert!(
        fates.iter().filter(|status| **status == 200).count() > 20,
        "{fates:?}"
    );
    let (status, head, body) = get(gateway, "/download");
    assert_eq!((status, body.len()), (200, 100_000_000), "{head}");
    let admin = address_after(
        "http://",
        printed
            .lines()
            .find(|line| line.contains("/metrics"))
            .unwrap(),
    );
    assert!(get(admin, "/metrics").2.contains("foregate_requests_total"));
    let line = demo.lines_to("req/s");
    assert!(line.contains("2xx") && line.contains("p99"), "{line}");
    demo.signal(Signal::TERM);
    let (code, rest) = demo.end();
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.ends_with("requests served\n"), "{rest}");
}

#[test]
fn the_demo_ends_by_itself_when_told() {
    let mut demo = Running::start(&["demo", "--port", "0", "--seconds", "1"]);
    demo.lines_to("A line per second");
    let (code, rest) = demo.end();
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.ends_with("0 requests served\n"), "{rest}");
}

#[test]
fn the_demo_refuses_a_taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_foregate"))
        .args(["demo", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains(&port) && err.contains("--port"), "{err}");
}

#[test]
fn the_demo_shows_its_configuration() {
    // Whoever runs the demo looks at what it runs with.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_foregate"))
        .args(["demo", "--print-config", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("[upstreams.app]"), "{printed}");
    for address in [&*port, "8443", "9180", "9001", "9002", "9003"] {
        let address = format!("\"127.0.0.1:{address}\"");
        assert!(printed.contains(&address), "{printed}");
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("demo-{}.toml", std::process::id()));
    std::fs::write(&path, &output.stdout).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_foregate"))
        .args(["check", "-c", path.to_str().unwrap()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stderr);
    assert_eq!((checked.status.code(), &*told), (Some(0), ""));
}

#[test]
fn a_reload_is_asked_for_over_the_admin_listener() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("reload-{}.toml", std::process::id()));
    let write = |body: &str| {
        let text = format!(
            "workers = 1\n[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[sites.\"*\".routes]]\nrespond = {{ status = 200, body = \"{body}\" }}\n"
        );
        std::fs::write(&path, text).unwrap();
    };
    let name = path.to_str().unwrap();
    write("old");
    let mut gateway = Running::start(&["run", "-c", name]);
    let printed = gateway.lines_to("ready\n");
    let (public, admin) = (
        address_after("listening public ", &printed),
        address_after("listening admin ", &printed).to_string(),
    );
    assert_eq!(get(public, "/").2, "old");
    let reload = || {
        Command::new(env!("CARGO_BIN_EXE_foregate"))
            .args(["reload", "--admin", &admin])
            .output()
            .unwrap()
    };
    write("new");
    let done = reload();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(
        String::from_utf8_lossy(&done.stdout).starts_with("reloaded "),
        "{done:?}"
    );
    assert_eq!(get(public, "/").2, "new");
    std::fs::write(&path, "[sites.\"*\"]\nupstraem = \"app\"\n").unwrap();
    let refused = reload();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let err = String::from_utf8_lossy(&refused.stderr);
    assert!(err.contains("upstraem") && err.contains("keeps"), "{err}");
    assert_eq!(get(public, "/").2, "new");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.end().0, Some(0));
    let _ = std::fs::remove_file(&path);
}

#[test]
fn a_proxy_needs_no_file() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = backend.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in backend.incoming().flatten() {
            let mut stream = stream;
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        }
    });
    let arguments = [
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &to,
        "--admin",
        "127.0.0.1:0",
        "--no-log",
    ];
    let mut proxy = Running::start(&arguments);
    let printed = proxy.lines_to("ready\n");
    assert_eq!(
        get(address_after("listening public ", &printed), "/").2,
        "hi"
    );
    assert_eq!(
        get(address_after("listening admin ", &printed), "/readyz").0,
        200
    );
    proxy.signal(Signal::INT);
    assert_eq!(proxy.end(), (Some(0), String::new()));
}

#[test]
fn who_asks_a_gateway_without_a_file_is_told_of_every_way() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    // Taken, and given back: nobody listens there.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(taken);
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_foregate"))
            .args(arguments)
            .current_dir(&folder)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for command in ["reload", "certs"] {
        let told = run(&[command]);
        assert!(
            told.contains("-c FILE, or") && told.contains("--admin"),
            "{told}"
        );
    }
    let told = run(&["top", "--once", "--admin", &address]);
    assert!(
        told.contains(&format!("the gateway at {address}: ")),
        "{told}"
    );
}
