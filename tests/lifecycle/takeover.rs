//! What an upgrade does to the admin API: where it listens then, and what it refuses while it is under way.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;

use foregate_testkit::{
    Authority, Process, RawClient, Response, Scratch, Signal, Successor, eventually, foregate_path,
    free_port,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A gateway whose program, a file of its own, can be replaced.
struct Installed {
    process: Process,
    folder: Scratch,
}

impl Installed {
    fn start(text: &str) -> Installed {
        let folder = Scratch::new();
        Self::start_in(folder, text)
    }

    fn start_in(folder: Scratch, text: &str) -> Installed {
        let program = folder.join("foregate");
        if fs::hard_link(foregate_path(), &program).is_err() {
            fs::copy(foregate_path(), &program).expect("the program can be copied");
        }
        let path = folder.write("foregate.toml", text);
        let instead = format!("shift; exec '{}' \"$@\"", program.display());
        let within = ["/bin/sh", "-c", &instead, "sh"].map(str::to_owned);
        let arguments = ["run", "-c", &path.to_string_lossy()];
        let mut process = Process::spawn_within(&within, &arguments, Some(folder.path()));
        process.wait_stdout("ready\n");
        Installed { process, folder }
    }

    /// Has the next process wait for the file `go`, and then do this.
    fn install_waiting(&self, then: &str) {
        let go = self.folder.join("go");
        let script = format!(
            "#!/bin/sh\ni=0\nwhile [ ! -e '{}' ] && [ $i -lt 1000 ]; do sleep 0.02; i=$((i+1)); done\n{then}\n",
            go.display()
        );
        let new = self.folder.write("foregate.new", script);
        fs::set_permissions(&new, Permissions::from_mode(0o755)).expect("it is ours");
        fs::rename(new, self.folder.join("foregate")).expect("it can be replaced");
    }

    fn go(&self) {
        self.folder.write("go", "");
    }

    fn listener(&self, name: &str) -> SocketAddr {
        let wanted = format!("listening {name} ");
        let stdout = self.process.stdout();
        let mut lines = stdout.lines();
        let address = lines.find_map(|line| line.strip_prefix(&wanted));
        (address.and_then(|at| at.parse().ok())).expect("the address is announced")
    }

    fn said(&self) -> String {
        RawClient::connect(self.listener("public"))
            .exchange(GET)
            .text()
    }

    fn admin(&self, method: &str, target: &str, body: &str) -> Response {
        ask(self.listener("admin"), method, target, body)
    }

    fn wait_told(&self, wanted: &str) -> String {
        eventually(&format!("{wanted:?} in the log"), || {
            let log = self.process.stderr();
            log.contains(wanted).then_some(log)
        })
    }

    /// The process that took over last.
    fn successor(&self) -> Successor {
        let log = self.wait_told("a new process serves, this one drains");
        let pid = log
            .rsplit_once("this one drains")
            .and_then(|(_, behind)| behind.split_once("pid="))
            .and_then(|(_, digits)| {
                let end = digits.find(|c: char| !c.is_ascii_digit());
                digits[..end.unwrap_or(digits.len())].parse().ok()
            });
        Successor::new(pid.expect("the log names it"))
    }
}

fn ask(address: SocketAddr, method: &str, target: &str, body: &str) -> Response {
    RawClient::connect(address).exchange(format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A gateway that answers by itself with one word; it has an upstream, too.
fn saying(word: &str, admin: &str) -> String {
    format!(
        "workers = 1\n[listeners.public]\naddress = \"127.0.0.1:0\"\n[sites.\"*\"]\n[[sites.\"*\".routes]]\npath = \"/\"\nrespond = {{ status = 200, body = \"{word}\" }}\n[sites.\"b\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"127.0.0.1:1\"]\n[access_log]\nto = \"off\"\n[admin]\n{admin}\n"
    )
}

const ANYWHERE: &str = "address = \"127.0.0.1:0\"";

#[test]
fn nothing_is_promised_that_the_new_process_would_not_know() {
    let gateway = Installed::start(&saying("one", ANYWHERE));
    gateway.install_waiting(&format!("exec '{}' \"$@\"", foregate_path().display()));
    gateway.process.signal(Signal::Usr2);
    gateway.wait_told("a new process is started");
    let endpoint = "/upstreams/app/endpoints/127.0.0.1:1";
    let drain = r#"{"state":"draining"}"#;
    let other = saying("two", ANYWHERE);
    for (method, target, body) in [
        ("PATCH", endpoint, drain),
        ("PUT", "/config", other.as_str()),
        ("POST", "/reload", ""),
        ("POST", "/config/rollback", ""),
    ] {
        let answer = gateway.admin(method, target, body);
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["error"]),
            (409, &"upgrading".into()),
            "{method} {target}: {told}"
        );
    }
    assert_eq!(gateway.said(), "one");
    // Who sends a signal has no answer, so that it must not come to nothing.
    gateway.process.signal(Signal::Hup);
    gateway.wait_told("the reload waits until the upgrade is over");
    gateway.go();
    let _successor = gateway.successor();
    gateway.wait_told("cause=signal");
    assert_eq!(gateway.admin("PATCH", endpoint, drain).status, 200);
}

#[test]
fn a_reload_that_waited_is_done_when_nobody_takes_over() {
    let gateway = Installed::start(&saying("one", ANYWHERE));
    gateway.install_waiting("exit 3");
    gateway.process.signal(Signal::Usr2);
    gateway.wait_told("a new process is started");
    gateway
        .folder
        .write("foregate.toml", saying("two", ANYWHERE));
    gateway.process.signal(Signal::Hup);
    gateway.wait_told("the reload waits until the upgrade is over");
    assert_eq!(gateway.said(), "one");
    gateway.go();
    gateway.wait_told("the upgrade failed, this process goes on");
    eventually("the file is in force", || {
        (gateway.said() == "two").then_some(())
    });
    assert_eq!(gateway.admin("POST", "/reload", "").status, 200);
}

#[test]
fn who_lets_go_of_everything_and_lives_on_is_ended() {
    let gateway = Installed::start(&saying("one", ANYWHERE));
    gateway.install_waiting("exec 0<&-\nexec sleep 600");
    gateway.go();
    let answer = gateway.admin("POST", "/upgrade", "");
    assert_eq!(answer.status, 503);
    let told = answer.text();
    assert!(told.contains("did not come up, and was ended"), "{told}");
    assert_eq!(gateway.admin("POST", "/reload", "").status, 200);
}

#[test]
fn the_admin_api_is_where_the_new_process_is_told_and_nowhere_else() {
    const TOKEN: &str = "0123456789abcdef";
    let port = free_port();
    let folder = Scratch::new();
    let issued = Authority::new("operators").issue(&["localhost"]);
    folder.write("admin.key", &issued.key_pem);
    folder.write("admin.pem", &issued.chain_pem);
    let guarded = format!(
        "address = \"0.0.0.0:{port}\"\ntoken = \"{TOKEN}\"\ncertificate = \"admin\"\n[certificates.admin]\ncertificate = \"admin.pem\"\nkey = \"admin.key\""
    );
    let gateway = Installed::start_in(folder, &saying("one", &guarded));
    let elsewhere = SocketAddr::new([127, 0, 0, 2].into(), port);
    assert!(TcpStream::connect(elsewhere).is_ok());
    let open = format!("address = \"127.0.0.1:{port}\"");
    gateway.folder.write("foregate.toml", saying("two", &open));
    gateway.process.signal(Signal::Hup);
    gateway.wait_told("takes effect at the next start");
    gateway.process.signal(Signal::Usr2);
    let _first = gateway.successor();
    eventually("nobody is let in elsewhere", || {
        TcpStream::connect(elsewhere).is_err().then_some(())
    });
    let loopback = SocketAddr::new([127, 0, 0, 1].into(), port);
    assert_eq!(ask(loopback, "GET", "/status", "").status, 200);

    // Another port is another socket.
    let other = SocketAddr::new([127, 0, 0, 1].into(), free_port());
    let moved = saying("three", &format!("address = \"{other}\""));
    gateway.folder.write("foregate.toml", moved);
    assert_eq!(ask(loopback, "POST", "/reload", "").status, 200);
    let answer = ask(loopback, "POST", "/upgrade", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let pid = answer.json()["pid"].as_u64();
    let _second = Successor::new(pid.and_then(|pid| pid.try_into().ok()).expect("it is told"));
    assert_eq!(ask(other, "GET", "/status", "").status, 200);
    eventually("nobody is let in at the port before", || {
        TcpStream::connect(loopback).is_err().then_some(())
    });
}

/// Which file stands at a path, if somebody answers there.
fn answering_at(path: &Path) -> Option<u64> {
    let mut stream = UnixStream::connect(path).ok()?;
    let request = "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Some(fs::metadata(path).ok()?.ino())
}

#[test]
fn an_upgrade_takes_no_other_gateways_socket() {
    let at = |path: &Path| saying("one", &format!("{ANYWHERE}\nsocket = {path:?}"));
    let other_folder = Scratch::new();
    let path = other_folder.join("admin.sock");
    let _other = Installed::start_in(other_folder, &at(&path));
    let before = answering_at(&path).expect("the other one answers");
    let gateway = Installed::start(&saying("one", ANYWHERE));
    gateway.folder.write("foregate.toml", at(&path));
    assert_eq!(gateway.admin("POST", "/upgrade", "").status, 503);
    gateway.wait_told("another process listens there");
    assert_eq!(answering_at(&path), Some(before));
    assert_eq!(gateway.said(), "one");

    // Its own, by another name, it takes.
    let (own, link) = (gateway.folder.join("own.sock"), gateway.folder.join("link"));
    let pid = |answer: &Response| {
        answer.json()["pid"]
            .as_u64()
            .and_then(|pid| pid.try_into().ok())
    };
    gateway.folder.write("foregate.toml", at(&own));
    let answer = gateway.admin("POST", "/upgrade", "");
    let _first = Successor::new(pid(&answer).unwrap_or_else(|| panic!("{}", answer.text())));
    let before = answering_at(&own).expect("it answers");
    symlink(gateway.folder.path(), &link).expect("a link can be made");
    gateway
        .folder
        .write("foregate.toml", at(&link.join("own.sock")));
    let answer = gateway.admin("POST", "/upgrade", "");
    let _second = Successor::new(pid(&answer).unwrap_or_else(|| panic!("{}", answer.text())));
    let now = answering_at(&own).expect("it answers");
    assert_ne!(now, before, "the new process has put its own there");
}
