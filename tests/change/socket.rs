//! The admin API at a socket in the file system.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use foregate_testkit::{Gateway, Process, RawClient, Scratch, Successor, foregate};

const TEXT: &str = "[sites.\"*\"]\n[[sites.\"*\".routes]]\npath = \"/\"\nrespond = { status = 204 }\n[admin]\naddress = \"127.0.0.1:0\"\nsocket = \"admin.sock\"\ntoken = \"0123456789abcdef\"\n";

/// A gateway that demands a token over TCP.
struct Guarded {
    process: Process,
    folder: Scratch,
}

impl Guarded {
    fn start() -> Guarded {
        let folder = Scratch::new();
        let text = format!("[listeners.public]\naddress = \"127.0.0.1:0\"\n{TEXT}");
        let path = folder.write("foregate.toml", text);
        let mut process = Process::spawn(&["run", "-c", &path.to_string_lossy()], None);
        process.wait_stdout("ready\n");
        Guarded { process, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    fn connect_tcp(&self) -> RawClient {
        let stdout = self.process.stdout();
        let mut lines = stdout.lines();
        let address = lines.find_map(|line| line.strip_prefix("listening admin "));
        let address: std::net::SocketAddr =
            (address.and_then(|at| at.parse().ok())).expect("the address is announced");
        RawClient::connect(address)
    }

    /// The status without the token over TCP.
    fn over_tcp(&self, target: &str) -> u16 {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.connect_tcp().exchange(request).status
    }
}

/// The status of an answer to a GET.
fn ask(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("somebody listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    answer.lines().next().unwrap_or_default().to_owned()
}

/// The process that a command says took over.
fn named(told: &str) -> Successor {
    let pid = told.split(' ').nth(1).and_then(|pid| pid.parse().ok());
    Successor::new(pid.expect("the new process is named"))
}

#[test]
fn whoever_may_open_the_socket_may_ask_without_a_token() {
    let gateway = Guarded::start();
    let path = gateway.socket();
    let mode = std::fs::metadata(&path).expect("it is there").mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(ask(&path, "/status"), "HTTP/1.1 200 OK");
    assert_eq!(gateway.over_tcp("/status"), 401);
    let place = format!("unix:{}", path.display());
    let told = foregate(&["config", "--admin", &place]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    // The configuration names it, so that commands find it by themselves.
    let found = foregate(&[
        "reload",
        "-c",
        &gateway.folder.join("foregate.toml").to_string_lossy(),
    ]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let curl = Command::new("curl")
        .args(["-sS", "--max-time", "10", "--unix-socket"])
        .arg(&path)
        .arg("http://localhost/readyz")
        .output()
        .expect("curl is there");
    assert_eq!(curl.stdout, b"{\"ready\":true}");
}

#[test]
fn strangers_who_fill_the_address_leave_the_socket_open() {
    let gateway = Guarded::start();
    let mut strangers: Vec<RawClient> = (0..65).map(|_| gateway.connect_tcp()).collect();
    // All but one of them have a place.
    for stranger in &mut strangers[..64] {
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(stranger.exchange(request).status, 200);
    }
    assert_eq!(ask(&gateway.socket(), "/status"), "HTTP/1.1 200 OK");
}

#[test]
fn a_successor_takes_the_socket_over() {
    let gateway = Guarded::start();
    let place = format!("unix:{}", gateway.socket().display());
    let told = foregate(&["upgrade", "--admin", &place]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let _successor = named(&told.stdout);
    assert_eq!(ask(&gateway.socket(), "/status"), "HTTP/1.1 200 OK");
}

#[test]
fn a_successor_that_fails_late_takes_the_socket_from_nobody() {
    let gateway = Guarded::start();
    let file = gateway.folder.join("foregate.toml");
    let good = std::fs::read_to_string(&file).expect("it is there");
    // The log is opened after the admin API's doors.
    let broken = format!("{good}[access_log]\nto = \"/proc/no-such.log\"\n");
    gateway.folder.write("foregate.toml", broken);
    let place = format!("unix:{}", gateway.socket().display());
    let told = foregate(&["upgrade", "--admin", &place]);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    let log = gateway.process.stderr();
    assert!(log.contains("the access log can't be opened"), "{log}");
    assert_eq!(ask(&gateway.socket(), "/status"), "HTTP/1.1 200 OK");
    gateway.folder.write("foregate.toml", good);
    let told = foregate(&["upgrade", "--admin", &place]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let _successor = named(&told.stdout);
    assert_eq!(ask(&gateway.socket(), "/status"), "HTTP/1.1 200 OK");
}

#[test]
fn a_successor_listens_at_another_path_and_for_others_if_it_is_told_so() {
    let gateway = Guarded::start();
    let file = gateway.folder.join("foregate.toml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let for_group = format!("{text}socket_access = \"group\"\n");
    gateway.folder.write("foregate.toml", &for_group);
    let upgrade = |path: &Path| {
        let told = foregate(&["upgrade", "--admin", &format!("unix:{}", path.display())]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        named(&told.stdout)
    };
    let _first = upgrade(&gateway.socket());
    let mode = std::fs::metadata(gateway.socket())
        .expect("it is there")
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    let elsewhere = for_group.replace("admin.sock", "other.sock");
    gateway.folder.write("foregate.toml", elsewhere);
    let _second = upgrade(&gateway.socket());
    let other = gateway.folder.join("other.sock");
    assert_eq!(ask(&other, "/status"), "HTTP/1.1 200 OK");
    assert!(
        UnixStream::connect(gateway.socket()).is_err(),
        "nobody listens at the path before"
    );
}

#[test]
fn what_is_in_the_way_of_the_socket_is_told() {
    let run = Gateway::new(TEXT).file("admin.sock", "mine").run_to_end();
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("no socket"), "{}", run.stderr);
    let gateway = Guarded::start();
    let text = TEXT.replace("admin.sock", &gateway.socket().to_string_lossy());
    let run = Gateway::new(&text).run_to_end();
    assert!(
        run.stderr.contains("another process listens"),
        "{}",
        run.stderr
    );
    let long = TEXT.replace("admin.sock", &"x".repeat(120));
    let refused = Gateway::new(&long).command(&["check"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("too long"), "{}", refused.stderr);
}
