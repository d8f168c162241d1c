//! Who may have a certificate on demand is up to a URL of the operator's, whatever it answers and however long it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foregate_testkit::{Answer, Backend, Gateway, Pebble, Refuser, Request, Scratch, eventually};
use foregate_tests::metric;
use foregate_tests::secure::{Curl, curl};

use crate::house::{Ports, certificate_in, settle};

const CONFIG: &str = r#"
state_dir = "{state}"

[listeners.public]
address = "127.0.0.1:{http}"

[listeners.secure]
address = "127.0.0.1:{tls}"
tls = true

[acme]
directory = "{directory}"
ca_file = "ca.pem"

[acme.on_demand]
ask = "http://{asked}/may?key=1"
{allow}

[sites."*"]
routes = [{ respond = { status = 200, body = "a shop" } }]
"#;

struct Story {
    ports: Ports,
    pebble: Pebble,
    root: String,
    gateway: Gateway,
    _state: Scratch,
}

impl Story {
    fn begin(asked: impl std::fmt::Display, allow: &str) -> Story {
        let (ports, state) = (Ports::new(), Scratch::new());
        let pebble = Pebble::start(ports.pebble());
        let root = state.write("root.pem", pebble.root_pem());
        let gateway = Gateway::new(CONFIG)
            .fill("state", state.join("state").display())
            .fill("http", ports.http)
            .fill("tls", ports.tls)
            .fill("directory", pebble.directory())
            .fill("asked", asked)
            .fill("allow", allow)
            .file("ca.pem", pebble.ca_pem())
            .start();
        let root = root.to_string_lossy().into_owned();
        Story {
            ports,
            pebble,
            root,
            gateway,
            _state: state,
        }
    }

    fn visit(&self, host: &str) -> Curl {
        let tls = self.ports.tls;
        let resolve = format!("{host}:{tls}:127.0.0.1");
        let url = format!("https://{host}:{tls}/");
        curl(&["--cacert", &self.root, "--resolve", &resolve, &url])
    }

    /// A client is told in its handshake that nobody has this name.
    #[track_caller]
    fn assert_unknown(&self, host: &str) {
        let seen = self.visit(host);
        assert_eq!(seen.code(), 35, "{host}: {}", seen.text());
        let complaint = seen.complaint();
        assert!(complaint.contains("unrecognized name"), "{complaint}");
    }

    fn wait_served(&self, host: &str) {
        eventually("a certificate on demand", || {
            let seen = self.visit(host);
            (seen.code() == 0).then(|| assert_eq!(seen.body(), "a shop"))
        });
    }
}

/// What was asked for, in turn.
fn asked(backend: &Backend) -> Vec<String> {
    let requests = backend.requests();
    requests.into_iter().map(|request| request.target).collect()
}

fn question(host: &str) -> String {
    format!("/may?key=1&domain={host}")
}

#[test]
fn the_url_admits_a_name_by_200_and_by_nothing_else() {
    let backend = Backend::answering(
        |request: &Request| match request.target.rsplit('=').next() {
            Some("good.example") => Answer::ok("yes"),
            Some("moved.example") => Answer::status(302).field("Location", "/elsewhere"),
            Some("broken.example") => Answer::status(500),
            _ => Answer::status(404),
        },
    );
    let story = Story::begin(backend.address(), "");
    let strangers = ["bad.example", "moved.example", "broken.example"];
    for host in strangers {
        story.assert_unknown(host);
        // A refusal is remembered, and whoever comes again is not asked about.
        eventually("the question", || {
            asked(&backend).contains(&question(host)).then_some(())
        });
        settle(&story.gateway);
        story.assert_unknown(host);
    }
    // Nobody issues for these, and nobody is asked.
    story.assert_unknown("db.internal");
    settle(&story.gateway);
    assert_eq!(asked(&backend), strangers.map(question));
    assert_eq!(story.pebble.issued(), 0);
    let labels = [("listener", "secure"), ("result", "unknown-name")];
    let handshakes = "foregate_tls_handshakes_total";
    story.gateway.wait_metric(handshakes, &labels, 7.0);
    let labels = [("listener", "secure"), ("reason", "handshake")];
    let refused = metric::CONNECTIONS_REFUSED;
    story.gateway.wait_metric(refused, &labels, 7.0);

    story.wait_served("good.example");
    let told = certificate_in(&story.gateway, "good.example", "active");
    assert_eq!(told["on_demand"], true);
    assert_eq!(asked(&backend).len(), 4, "{:?}", asked(&backend));
    assert_eq!(story.pebble.issued(), 1);
    let labels = [("source", "acme")];
    let issued = "foregate_certificates_issued_total";
    story.gateway.wait_metric(issued, &labels, 1.0);
    let failures = "foregate_certificate_failures_total";
    assert_eq!(story.gateway.metric(failures, &[]), 0.0);
}

#[test]
fn a_name_that_the_list_does_not_have_is_not_asked_about() {
    let backend = Backend::answering(|request: &Request| {
        match request.target.ends_with("=closed.shops.example") {
            true => Answer::status(404),
            false => Answer::ok("yes"),
        }
    });
    let story = Story::begin(backend.address(), "allow = [\"*.shops.example\"]");
    story.assert_unknown("stranger.example");
    story.assert_unknown("a.b.shops.example");
    // What the list has still takes the URL's word.
    story.assert_unknown("closed.shops.example");
    story.wait_served("a.shops.example");
    let expected = ["closed.shops.example", "a.shops.example"];
    assert_eq!(asked(&backend), expected.map(question));
    assert_eq!(story.pebble.issued(), 1);
}

#[test]
fn a_slow_url_holds_no_handshake_up() {
    /// How many names are asked about at once.
    const AT_ONCE: usize = 8;
    let released = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&released);
    let backend = Backend::answering(move |request: &Request| {
        let is_last = request.target.ends_with("=shop-7.example");
        eventually("the story goes on", || {
            theirs.load(Ordering::SeqCst).then_some(())
        });
        Answer::status(if is_last { 200 } else { 404 })
    });
    let story = Story::begin(backend.address(), "");
    for number in 0..AT_ONCE {
        story.assert_unknown(&format!("shop-{number}.example"));
    }
    eventually("all questions", || {
        (asked(&backend).len() == AT_ONCE).then_some(())
    });
    // A crowd of names takes no more questions than these, and who comes again asks no second one.
    story.assert_unknown("late.example");
    story.assert_unknown("shop-7.example");
    settle(&story.gateway);
    assert_eq!(asked(&backend).len(), AT_ONCE);
    let answer = story.gateway.get("shop-7.example", "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "a shop"));
    assert!(!released.swap(true, Ordering::SeqCst));

    // The answer counts although its client has gone, and who was not asked about is now.
    story
        .gateway
        .wait_metric("foregate_certificates", &[("state", "active")], 1.0);
    story.wait_served("shop-7.example");
    story.assert_unknown("late.example");
    eventually("the last question", || {
        asked(&backend)
            .contains(&question("late.example"))
            .then_some(())
    });
    assert_eq!(asked(&backend).len(), AT_ONCE + 1);
    assert_eq!(story.pebble.issued(), 1);
}

#[test]
fn a_url_that_cannot_be_asked_says_no_and_is_told() {
    let nobody = Refuser::start();
    let story = Story::begin(nobody.address(), "");
    let told = "the ask URL could not be asked; the certificate on demand is declined";
    let of = |host: &str| {
        let log = story.gateway.stderr();
        let lines = log.lines().filter(|line| line.contains(told));
        lines.filter(|line| line.contains(host)).count()
    };
    story.assert_unknown("a.example");
    let log = story.gateway.wait_stderr(told);
    assert!(log.contains(&nobody.address().to_string()), "{log}");
    // It is remembered as a refusal is: a crowd does not fill the log.
    story.assert_unknown("a.example");
    story.assert_unknown("b.example");
    eventually("the next name", || (of("b.example") == 1).then_some(()));
    assert_eq!(of("a.example"), 1);
    assert_eq!(story.pebble.issued(), 0);
    let labels = [("result", "unknown-name")];
    let handshakes = "foregate_tls_handshakes_total";
    story.gateway.wait_metric(handshakes, &labels, 3.0);

    // Once it answers, the next name is served.
    let backend = nobody.revive(foregate_testkit::Answers(|_: &Request| Answer::ok("yes")));
    story.wait_served("c.example");
    assert_eq!(asked(&backend), [question("c.example")]);
}
