//! What `openssl s_client` sees: versions, resumption, certificates by name, and statuses.

use foregate_testkit::{Backend, Echo, Gateway, Successor};
use foregate_tests::assert_outcome;
use foregate_tests::secure::Certificates;

const CONFIG: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[tls]
{tls}
[certificates.one]
certificate = "{certificates}/one.pem"
key = "{certificates}/one.key"
[certificates.two]
certificate = "{certificates}/two.pem"
key = "{certificates}/two.key"
[sites."one.example"]
upstream = "app"
[sites."two.example"]
upstream = "app"
[upstreams.app]
servers = ["{backend}"]
"#;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n";

/// The versions that the profile `intermediate` takes.
const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

struct Story {
    certificates: Certificates,
    gateway: Gateway,
    _backend: Backend,
}

impl Story {
    fn begin(tls: &str) -> Story {
        let certificates = Certificates::new();
        certificates.issue("one", &["one.example"]);
        certificates.issue("two", &["two.example"]);
        let backend = Backend::start(Echo);
        let gateway = Gateway::new(CONFIG)
            .fill("tls", tls)
            .fill("certificates", certificates.directory())
            .fill("backend", backend.address())
            .start();
        Story {
            certificates,
            gateway,
            _backend: backend,
        }
    }

    /// What it prints of a connection with one request.
    fn seen(&self, more: &[&str]) -> String {
        let secure = self.gateway.listener("secure");
        self.certificates.s_client(secure, REQUEST, more)
    }

    /// The same, asking for the first site.
    fn seen_by_name(&self, more: &[&str]) -> String {
        self.seen(&[&["-servername", "one.example"], more].concat())
    }
}

#[track_caller]
fn assert_has(seen: &str, wanted: &str) {
    assert!(seen.contains(wanted), "no {wanted:?} in {seen}");
}

#[test]
fn each_version_of_the_profile_is_spoken_and_no_other() {
    let story = Story::begin("");
    for (flag, name) in VERSIONS {
        let seen = story.seen_by_name(&[flag, "-verify_hostname", "one.example"]);
        assert_has(&seen, &format!("New, {name}, Cipher is "));
        assert_has(&seen, "Verify return code: 0 (ok)");
        assert_has(&seen, "HTTP/1.1 200 ");
    }
    let old = ["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"];
    assert_has(&story.seen_by_name(&old), "alert protocol version");
    let modern = Story::begin("profile = \"modern\"");
    assert_has(&modern.seen_by_name(&["-tls1_3"]), "HTTP/1.1 200 ");
    assert!(!modern.seen_by_name(&["-tls1_2"]).contains("HTTP/1.1 200 "));
}

#[test]
fn sessions_are_resumed_in_each_version() {
    let story = Story::begin("");
    let file = story.certificates.path("session");
    for (flag, name) in VERSIONS {
        let first = story.seen_by_name(&[flag, "-sess_out", &file]);
        assert_has(&first, &format!("New, {name}, "));
        let again = story.seen_by_name(&[flag, "-sess_in", &file]);
        assert_has(&again, &format!("Reused, {name}, "));
        assert_has(&again, "HTTP/1.1 200 ");
    }
}

#[test]
fn a_session_outlives_the_process_that_began_it() {
    for (flag, name) in VERSIONS {
        let story = Story::begin("");
        let file = story.certificates.path("session");
        story.seen_by_name(&[flag, "-sess_out", &file]);
        let told = story.gateway.admin_send("POST", "/upgrade", "");
        assert_eq!(told.status, 200, "{}", told.text());
        let pid = told.json()["pid"]
            .as_u64()
            .and_then(|pid| pid.try_into().ok());
        let _new = Successor::new(pid.expect("a process id"));
        let again = story.seen_by_name(&[flag, "-sess_in", &file]);
        assert_has(&again, &format!("Reused, {name}, "));
        assert_has(&again, "HTTP/1.1 200 ");
    }
}

#[test]
fn a_session_of_one_process_is_nothing_to_another() {
    let (one, other) = (Story::begin(""), Story::begin(""));
    let file = one.certificates.path("session");
    for (flag, name) in VERSIONS {
        one.seen_by_name(&[flag, "-sess_out", &file]);
        let seen = other.seen_by_name(&[flag, "-sess_in", &file]);
        assert_has(&seen, &format!("New, {name}, "));
        assert_has(&seen, "HTTP/1.1 200 ");
    }
}

#[test]
fn who_asks_for_a_status_that_is_not_there_is_served_without() {
    let story = Story::begin("");
    for (flag, _) in VERSIONS {
        let seen = story.seen_by_name(&[flag, "-status"]);
        assert_has(&seen, "OCSP response: no response sent");
        assert_has(&seen, "HTTP/1.1 200 ");
    }
}

#[test]
fn the_name_asked_for_chooses_the_certificate_or_is_refused() {
    let refusing = Story::begin("");
    let yielding = Story::begin("default_certificate = \"two\"");
    for (flag, _) in VERSIONS {
        for story in [&refusing, &yielding] {
            let seen = story.seen_by_name(&[flag, "-verify_hostname", "one.example"]);
            assert_has(&seen, "Verify return code: 0 (ok)");
        }
        let strangers: [&[&str]; 2] = [&["-servername", "three.example"], &["-noservername"]];
        for stranger in strangers {
            let more = [stranger, &[flag, "-verify_hostname", "two.example"]].concat();
            assert_has(&refusing.seen(&more), "unrecognized name");
            assert_has(&yielding.seen(&more), "Verify return code: 0 (ok)");
        }
    }
}

#[test]
fn a_connection_that_ends_with_its_answer_ends_with_a_farewell() {
    let story = Story::begin("");
    for (flag, _) in VERSIONS {
        let seen = story.seen_by_name(&[flag]);
        assert_has(&seen, "HTTP/1.1 200 ");
        assert!(!seen.contains("unexpected eof"), "{seen}");
    }
}

#[test]
fn a_client_that_says_farewell_leaves_nothing_behind() {
    let story = Story::begin("");
    let secure = story.gateway.listener("secure");
    let mut client = story.certificates.connect(secure, "one.example", &[]);
    client.send("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n");
    client.read_until("HTTP/1.1 200 ");
    // At the end of its input it sends close_notify and shuts its sending side.
    client.finish();
    assert!(client.ends_within(foregate_testkit::PATIENCE));
    assert_outcome(&story.gateway, 200, "proxied");
}
