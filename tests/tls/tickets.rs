//! A session that was begun anywhere is resumed anywhere: by another worker, and by another process that has the keys.

use std::collections::BTreeSet;

use foregate_testkit::{Gateway, eventually};
use foregate_tests::secure::{Certificates, TlsClient};

const CONFIG: &str = r#"
workers = 2
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[tls]
# Nothing but tickets brings a session back.
session_cache_max = 0
{keys}
[certificates.one]
certificate = "{certificates}/one.pem"
key = "{certificates}/one.key"
[sites."one.example"]
tls = "files"
routes = [{ respond = { status = 200, body = "hello" } }]
"#;

const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

const CONNECTIONS: &str = "foregate_tls_connections_total";

fn start(certificates: &Certificates, keys: &str) -> Gateway {
    Gateway::new(CONFIG)
        .fill("keys", keys)
        .fill("certificates", certificates.directory())
        .start()
}

/// A connection that has been served, and stays open.
fn open(certificates: &Certificates, gateway: &Gateway, more: &[&str]) -> TlsClient {
    let secure = gateway.listener("secure");
    let mut client = certificates.connect(secure, "one.example", more);
    client.send("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n");
    client.read_until("hello");
    client
}

/// The workers that have open connections, of those that resumed a session or of the others.
fn workers(gateway: &Gateway, resumed: bool) -> BTreeSet<String> {
    let page = gateway.admin_send("GET", "/connections", "").json();
    assert_eq!(page["silent_workers"], 0, "{page:#}");
    let all = page["items"].as_array().expect("a list").iter();
    let these = all.filter(|one| one["tls"]["resumed"] == resumed);
    let worker = |id: &str| id.split_once('-').map(|(worker, _)| worker.to_owned());
    these
        .map(|one| one["id"].as_str().and_then(worker).expect("it has an id"))
        .collect()
}

#[test]
fn a_session_of_one_worker_is_resumed_by_the_other() {
    /// The kernel spreads connections: all these on one worker is one case of a billion.
    const TRIES: usize = 30;
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example"]);
    for (flag, version) in VERSIONS {
        let gateway = start(&certificates, "");
        let file = certificates.path(&format!("session{flag}"));
        let first = open(&certificates, &gateway, &[flag, "-sess_out", &file]);
        eventually("the session's file", || {
            std::fs::metadata(&file).ok().filter(|file| file.len() > 0)
        });
        let began = workers(&gateway, false);
        assert_eq!(began.len(), 1, "{began:?}");
        let mut resumed = Vec::new();
        while workers(&gateway, true).is_subset(&began) {
            assert!(resumed.len() < TRIES, "all on one worker: {began:?}");
            resumed.push(open(&certificates, &gateway, &[flag, "-sess_in", &file]));
        }
        // Whoever took them, nobody began anew.
        let count = |resumed| {
            let labels = [("version", version), ("resumed", resumed)];
            gateway.metric(CONNECTIONS, &labels)
        };
        let counts = (count("no"), count("yes"));
        assert_eq!(counts, (1.0, resumed.len() as f64), "{version}");
        drop((first, resumed));
    }
}

/// What `openssl s_client` tells of a connection with one request.
fn seen(certificates: &Certificates, gateway: &Gateway, more: &[&str]) -> String {
    let request = "GET / HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n";
    let more = [&["-servername", "one.example"], more].concat();
    let seen = certificates.s_client(gateway.listener("secure"), request, &more);
    assert!(seen.contains("HTTP/1.1 200 "), "{seen}");
    seen
}

#[test]
fn a_session_of_one_process_is_resumed_by_another_with_the_same_keys() {
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example"]);
    let (old, new) = ("00".repeat(32), "11".repeat(32));
    certificates.put("tickets", &old);
    let keys = "ticket_keys_file = \"{certificates}/tickets\"";
    let one = start(&certificates, keys);
    let other = start(&certificates, keys);
    let begin = |gateway: &Gateway, stem: &str, flag: &str| {
        let file = certificates.path(&format!("{stem}{flag}"));
        let begun = seen(&certificates, gateway, &[flag, "-sess_out", &file]);
        assert!(begun.contains("New, TLSv1."), "{begun}");
        file
    };
    let resume = |gateway: &Gateway, flag: &str, file: &str| {
        let again = seen(&certificates, gateway, &[flag, "-sess_in", file]);
        again.contains("Reused, TLSv1.")
    };
    let sessions = VERSIONS.map(|(flag, _)| (flag, begin(&one, "before", flag)));
    for (flag, file) in &sessions {
        assert!(resume(&other, flag, file), "{flag}");
    }
    // New keys come first, and those of before go on opening.
    let change = |text: &str, times: usize| {
        certificates.put("tickets", text);
        for gateway in [&one, &other] {
            eventually("the keys are taken", || {
                let log = gateway.stderr();
                let taken = log.matches("session ticket keys in force").count();
                (taken == times).then_some(())
            });
        }
    };
    change(&format!("{new}\n{old}\n"), 2);
    for (flag, file) in &sessions {
        assert!(resume(&other, flag, file), "{flag}");
    }
    let later = VERSIONS.map(|(flag, _)| (flag, begin(&other, "since", flag)));
    // When they are gone, their sessions are nothing to anybody, and those of the new ones are good.
    change(&new, 3);
    for ((flag, before), (_, since)) in sessions.iter().zip(&later) {
        assert!(resume(&one, flag, since), "{flag}");
        assert!(!resume(&one, flag, before), "{flag}");
    }
}
