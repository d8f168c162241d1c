//! Whom clients and backends are believed by is watched as certificates are: what is new counts from the next handshake
//! on, without a reload, and what is broken changes nothing.

use std::os::unix::fs::symlink;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use foregate_testkit::{Answer, Authority, Backend, Gateway, Issued, eventually};
use foregate_tests::metric::OUTCOMES;
use foregate_tests::secure::Certificates;

const CONFIG: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[certificates.one]
certificate = "{certificates}/one.pem"
key = "{certificates}/one.key"
[sites."one.example"]
upstream = "app"
tls = "files"
[sites."one.example".client_certificate]
ca_file = "{certificates}/now/clients.pem"
crl_files = ["{certificates}/clients.crl"]
[upstreams.app]
servers = ["{backend}"]
"#;

/// What curl ends with when the handshake is refused, in TLS 1.3 after it believes that it is through.
const REFUSED: u16 = 0;

const ALARM: &str = "a new file of what is trusted cannot be used, the one before stays in force";

struct Story {
    certificates: Certificates,
    alice: Issued,
    gateway: Gateway,
    _backend: Backend,
}

impl Story {
    fn begin() -> Story {
        let certificates = Certificates::new();
        let backend = Backend::answering(|_| Answer::ok(""));
        certificates.issue("one", &["one.example"]);
        let alice = certificates.issue_client("alice");
        certificates.issue_client("bob");
        certificates.put("first/clients.pem", &certificates.authority.pem());
        symlink("first", certificates.path("now")).expect("a link can be made");
        certificates.put("clients.crl", &certificates.authority.revocations(&[]));
        let gateway = Gateway::new(CONFIG)
            .fill("certificates", certificates.directory())
            .fill("backend", backend.address())
            .start();
        Story {
            certificates,
            alice,
            gateway,
            _backend: backend,
        }
    }

    fn status(&self, client: &str) -> u16 {
        let path = |ending: &str| self.certificates.path(&format!("{client}.{ending}"));
        let (certificate, key) = (path("pem"), path("key"));
        let shown = ["--cert", &certificate, "--key", &key];
        let secure = self.gateway.listener("secure");
        let seen = self.certificates.curl(secure, "one.example", "/", &shown);
        seen.status()
    }

    fn wait_status(&self, client: &str, expected: u16) {
        eventually(&format!("{client} is answered {expected}"), || {
            (self.status(client) == expected).then_some(())
        });
    }

    /// How many sites and upstreams are served with something else than their files hold.
    fn alarms(&self) -> f64 {
        let labels = [("state", "renewed-but-not-active")];
        self.gateway.metric("foregate_trust_files", &labels)
    }
}

#[test]
fn who_is_revoked_gets_no_further_handshake() {
    let story = Story::begin();
    assert_eq!((story.status("alice"), story.status("bob")), (200, 200));
    let path = |ending: &str| story.certificates.path(&format!("alice.{ending}"));
    let secure = story.gateway.listener("secure");
    let shown = ["-cert", &path("pem"), "-key", &path("key")];
    let mut established = story.certificates.connect(secure, "one.example", &shown);
    let mut ask = || {
        established.send("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n");
        established.read_until("\r\n\r\n")
    };
    assert!(ask().starts_with("HTTP/1.1 200"));

    let list = story.certificates.authority.revocations(&[&story.alice]);
    story.certificates.put("clients.crl", &list);
    story.wait_status("alice", REFUSED);
    assert_eq!(story.status("bob"), 200);
    // Connections that were let in are not turned away: lists are replaced all the time.
    assert!(ask().starts_with("HTTP/1.1 200"));
    assert!(!story.gateway.stderr().contains("configuration reloaded"));
}

#[test]
fn a_new_bundle_is_taken_up_also_when_a_link_is_swapped() {
    let story = Story::begin();
    let next = Authority::new("Next Clients");
    let carol = next.issue_client("carol");
    story.certificates.put_pair("carol", &carol);
    assert_eq!(story.status("carol"), REFUSED);
    let both = format!("{}{}", story.certificates.authority.pem(), next.pem());
    story.certificates.put("second/clients.pem", &both);
    story.certificates.put(
        "clients.crl",
        &format!(
            "{}{}",
            story.certificates.authority.revocations(&[]),
            next.revocations(&[])
        ),
    );
    symlink("second", story.certificates.path("later")).expect("a link can be made");
    let swapped = std::fs::rename(
        story.certificates.path("later"),
        story.certificates.path("now"),
    );
    swapped.expect("a link can be renamed");
    story.wait_status("carol", 200);
    assert_eq!(story.status("alice"), 200);
    // And on from there.
    story.certificates.put("second/clients.pem", &next.pem());
    story.wait_status("alice", REFUSED);
    assert_eq!(story.status("carol"), 200);
}

#[test]
fn a_broken_file_keeps_what_was_trusted_and_raises_an_alarm() {
    let story = Story::begin();
    assert_eq!(story.alarms().to_bits(), 0.0_f64.to_bits());
    for (broken, good) in [
        ("clients.crl", story.certificates.authority.revocations(&[])),
        ("first/clients.pem", story.certificates.authority.pem()),
    ] {
        story.certificates.put(broken, "nothing of the kind");
        let name = broken.rsplit('/').next().unwrap_or(broken);
        eventually("the alarm is raised", || {
            let told = story.gateway.stderr();
            let mut lines = told.lines();
            let line = lines.find(|line| line.contains(ALARM) && line.contains(name));
            line.map(drop)
        });
        assert_eq!(story.alarms().to_bits(), 1.0_f64.to_bits());
        assert_eq!((story.status("alice"), story.status("bob")), (200, 200));
        story.certificates.put(broken, &good);
        eventually("the alarm ends", || (story.alarms() < 0.5).then_some(()));
    }
    // What was broken is watched on.
    let list = story.certificates.authority.revocations(&[&story.alice]);
    story.certificates.put("clients.crl", &list);
    story.wait_status("alice", REFUSED);
}

const INNER: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
[certificates.inner]
certificate = "{certificates}/inner.pem"
key = "{certificates}/inner.key"
[sites."127.0.0.1"]
upstream = "app"
tls = "files"
[upstreams.app]
servers = ["{backend}"]
"#;

const OUTER: &str = r#"
[sites."*"]
upstream = "inner"
[upstreams.inner]
servers = ["{inner}"]
host = "upstream"
tls = { ca_file = "{certificates}/backends.pem" }
"#;

#[test]
fn whom_backends_are_certified_by_is_read_again() {
    let certificates = Certificates::new();
    certificates.issue("inner", &["127.0.0.1"]);
    certificates.put("backends.pem", &certificates.authority.pem());
    let backend = Backend::answering(|_| Answer::ok("yes"));
    let inner = Gateway::new(INNER)
        .fill("certificates", certificates.directory())
        .fill("backend", backend.address())
        .start();
    let outer = Gateway::new(OUTER)
        .fill("inner", inner.listener("secure"))
        .fill("certificates", certificates.directory())
        .start();
    let wait_status = |expected: u16| {
        eventually(&format!("{expected}"), || {
            (outer.get("a", "/").status == expected).then_some(())
        });
    };
    assert_eq!(outer.get("a", "/").status, 200);
    certificates.put("backends.pem", "nothing of the kind");
    outer.wait_stderr(ALARM);
    assert_eq!(outer.get("a", "/").status, 200);
    // A connection from before is not kept for those that are trusted no more.
    certificates.put("backends.pem", &Authority::new("Stranger").pem());
    wait_status(502);
    outer.wait_metric(OUTCOMES, &[("reason", "upstream-untrusted")], 1.0);
    certificates.put("backends.pem", &certificates.authority.pem());
    wait_status(200);
}

/// What runs when trust changes is finished, and its connection carries nothing after that.
#[test]
fn a_connection_in_use_is_not_kept_for_those_who_are_trusted_no_more() {
    let certificates = Certificates::new();
    certificates.issue("inner", &["127.0.0.1"]);
    certificates.put("backends.pem", &certificates.authority.pem());
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::answering(move |request| {
        if request.target == "/held" {
            let _ = held.lock().expect("no panics").recv();
        }
        Answer::ok("yes")
    });
    let inner = Gateway::new(INNER)
        .fill("certificates", certificates.directory())
        .fill("backend", backend.address())
        .start();
    // With one worker, whoever is refused has been refused by the one that holds the connection.
    let outer = Gateway::new(&format!("workers = 1{OUTER}"))
        .fill("inner", inner.listener("secure"))
        .fill("certificates", certificates.directory())
        .start();
    let mut client = outer.connect();
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait_requests(1);
    certificates.put("backends.pem", &Authority::new("Stranger").pem());
    eventually("the backend is trusted no more", || {
        (outer.get("a", "/").status == 502).then_some(())
    });
    drop(release);
    assert_eq!(client.response().status, 200);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 502);
}
