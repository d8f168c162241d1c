//! What `pebble` does not do by itself: rate limits, failures, renewal information, and the ask URL.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use foregate_acme::{AcmeOptions, CertificateState, ChallengeChoice, OnDemand};
use foregate_testkit::{Meddler, Pebble, Scratch, eventually};

use crate::house::{House, acme, options, pebble, wanted};
use crate::responder::Responder;

/// What asks the server behind a meddler.
fn through(meddler: &Meddler, pebble: &Pebble) -> AcmeOptions {
    AcmeOptions {
        directory: meddler.directory(),
        ca_pem: Some(meddler.ca_pem().to_owned()),
        ..options(pebble)
    }
}

fn unix_now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_rate_limit_is_kept_to_also_by_the_next_process() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let meddler = Meddler::start(&pebble, |line, _| match line {
        "POST /order-plz" => Meddler::problem(
            "429 Too Many Requests",
            "rateLimited",
            "Retry-After: 1000\r\n",
        ),
        _ => None,
    });
    let options = through(&meddler, &pebble);
    let want = wanted(options, &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want.clone());
    house.failure("rate-limited");
    assert!(house.agent.status()[0].next_renewal > unix_now() + 900);
    drop(house);
    let orders = meddler.count("POST /order-plz");
    let house = House::start(&state, &responder, want);
    assert!(house.agent.status()[0].next_renewal > unix_now() + 900);
    assert_eq!(house.agent.status()[0].state, CertificateState::Failed);
    assert_eq!((orders, meddler.count("POST /order-plz")), (1, 1));
    // The operator knows better.
    assert!(
        house
            .agent
            .renew("shop.example")
            .unwrap_err()
            .contains("rate-limited")
    );
    assert_eq!(meddler.count("POST /order-plz"), 2);
}

/// It was told as a challenge that failed, and tried again after minutes.
#[test]
fn a_rate_limit_that_comes_while_proofs_are_looked_at_is_one() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let meddler = Meddler::start(&pebble, |line, _| {
        let fields = "Retry-After: 1000\r\n";
        match line.starts_with("POST /my-order/") {
            true => Meddler::problem("429 Too Many Requests", "rateLimited", fields),
            false => None,
        }
    });
    let options = through(&meddler, &pebble);
    let want = wanted(options, &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want);
    let why = house.failure("rate-limited");
    assert_eq!(why, "rateLimited: scripted");
    assert!(house.agent.status()[0].next_renewal > unix_now() + 900);
    assert_eq!(meddler.count("POST /order-plz"), 1);
}

#[test]
fn orders_that_lose_their_account_together_make_one_new_one() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let all_have_asked = Barrier::new(4);
    let has_new_account = AtomicBool::new(false);
    // The first order has its account made. The four that follow are refused; three hear of it once the other one has gone
    // on with a new account.
    let meddler = Meddler::start(&pebble, move |line, before| match (line, before) {
        ("POST /order-plz", 1..=4) => {
            all_have_asked.wait();
            if before > 1 {
                eventually("a new account", || {
                    has_new_account.load(Ordering::SeqCst).then_some(())
                });
            }
            Meddler::problem("400 Bad Request", "accountDoesNotExist", "")
        }
        ("POST /order-plz", 5) => {
            has_new_account.store(true, Ordering::SeqCst);
            None
        }
        _ => None,
    });
    let options = through(&meddler, &pebble);
    let first = wanted(options.clone(), &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, first);
    house.next();
    let names = ["a.example", "b.example", "c.example", "d.example"];
    house
        .agent
        .want(wanted(options, &names.map(|name| acme(&[name]))));
    for _ in names {
        house.next();
    }
    assert_eq!(meddler.count("POST /sign-me-up"), 2);
    assert_eq!(meddler.count("POST /order-plz"), 9);
}

#[test]
fn a_server_that_fails_is_tried_again() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let meddler = Meddler::start(&pebble, |line, before| match (line, before) {
        ("POST /order-plz", 0) => {
            Meddler::problem("500 Internal Server Error", "serverInternal", "")
        }
        ("POST /order-plz", 1) => Meddler::answer("502 Bad Gateway", "", "<html>no JSON</html>"),
        _ => None,
    });
    let options = through(&meddler, &pebble);
    let house = House::start(
        &state,
        &responder,
        wanted(options, &[acme(&["shop.example"])]),
    );
    house.next();
    assert_eq!(meddler.count("POST /order-plz"), 3);
    let status = eventually("the status", || {
        let status = house.agent.status()[0].clone();
        (status.state == CertificateState::Active).then_some(status)
    });
    assert_eq!((status.failures, status.last_error), (0, None));
}

#[test]
fn the_window_that_the_server_suggests_is_followed() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let hurry = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&hurry);
    let meddler = Meddler::start(&pebble, move |line, _| {
        let window = match theirs.load(Ordering::SeqCst) {
            true => {
                r#"{"suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00Z"},
                    "explanationURL":"https://ca.example/incident"}"#
            }
            false => {
                r#"{"suggestedWindow":{"start":"2028-01-01T00:00:00Z","end":"2028-01-02T00:00:00Z"}}"#
            }
        };
        match line.starts_with("GET /ari/") {
            true => Meddler::answer("200 OK", "Retry-After: 60\r\n", window),
            false => None,
        }
    });
    let options = through(&meddler, &pebble);
    let want = wanted(options, &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want.clone());
    let first = house.next();
    let seconds = 1_830_297_600..=1_830_384_000;
    eventually("the suggested time", || {
        seconds
            .contains(&house.agent.status()[0].next_renewal)
            .then_some(())
    });
    // The window moves into the past, as after a revocation, and the next process sees it when it asks.
    drop(house);
    hurry.store(true, Ordering::SeqCst);
    let house = House::start(&state, &responder, want);
    assert_eq!(house.next().facts.fingerprint, first.facts.fingerprint);
    let second = house.next();
    assert_ne!(second.facts.fingerprint, first.facts.fingerprint);
}

#[test]
fn a_window_that_comes_without_a_time_to_ask_again_is_followed() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let window =
        r#"{"suggestedWindow":{"start":"2028-01-01T00:00:00Z","end":"2028-01-02T00:00:00Z"}}"#;
    let meddler = Meddler::start(&pebble, move |line, _| {
        match line.starts_with("GET /ari/") {
            true => Meddler::answer("200 OK", "", window),
            false => None,
        }
    });
    let options = through(&meddler, &pebble);
    let want = wanted(options, &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want);
    house.next();
    eventually("the suggested time", || {
        let at = house.agent.status()[0].next_renewal;
        (1_830_297_600..=1_830_384_000).contains(&at).then_some(())
    });
}

#[test]
fn an_order_that_takes_its_authority_long_is_not_followed_by_another() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let finalized = AtomicBool::new(false);
    let polled = Arc::new(AtomicUsize::new(0));
    let polls = Arc::clone(&polled);
    let meddler = Meddler::start(&pebble, move |line, _| {
        if line.starts_with("POST /finalize-order/") {
            finalized.store(true, Ordering::SeqCst);
        }
        let is_late = finalized.load(Ordering::SeqCst)
            && line.starts_with("POST /my-order/")
            && polls.fetch_add(1, Ordering::SeqCst) < 5;
        if !is_late {
            return None;
        }
        let body = r#"{"status":"processing","identifiers":[{"type":"dns","value":"shop.example"}],
            "authorizations":[],"finalize":"https://localhost/none"}"#;
        // A time to come back that is later than anybody waits.
        let fields = "Content-Type: application/json\r\nRetry-After: 1000\r\n";
        Meddler::answer("200 OK", fields, body)
    });
    let options = through(&meddler, &pebble);
    let want = wanted(options, &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want);
    house.failure("order-timed-out");
    assert!(house.agent.status()[0].next_renewal > unix_now() + 900);
    // The operator asks for it until it is there.
    while house.agent.renew("shop.example").is_err() {}
    house.next();
    assert!(polled.load(Ordering::SeqCst) > 5);
    assert_eq!(meddler.count("POST /order-plz"), 1);
    assert_eq!(pebble.issued(), 1);
}

/// A server that has looked before it answers that it will: the first challenge has failed by then. Its authorization says so
/// too, and its order not yet.
fn fails_at_once(pebble: &Pebble, kind: &'static str) -> Meddler {
    let challenge = format!(
        r#"{{"type":"{kind}","url":"https://localhost/none","token":"t","status":"invalid",
            "error":{{"type":"urn:ietf:params:acme:error:connection","detail":"no way there","status":400}}}}"#
    );
    let authorization = format!(
        r#"{{"status":"invalid","identifier":{{"type":"dns","value":"shop.example"}},"challenges":[{challenge}]}}"#
    );
    let failed = AtomicBool::new(false);
    let ours = Mutex::new(Vec::new());
    Meddler::start(pebble, move |line, _| {
        let json = "Content-Type: application/json\r\n";
        let has_failed = failed.load(Ordering::SeqCst);
        if line.starts_with("POST /chalZ/") && !has_failed {
            failed.store(true, Ordering::SeqCst);
            return Meddler::answer("200 OK", json, &challenge);
        }
        if line.starts_with("POST /authZ/") {
            let mut ours = ours.lock().unwrap();
            if !has_failed {
                ours.push(line.to_owned());
            } else if ours.iter().any(|one| one == line) {
                return Meddler::answer("200 OK", json, &authorization);
            }
        }
        None
    })
}

#[test]
fn a_challenge_that_fails_at_once_is_told_by_its_cause_and_tried_again() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let meddler = fails_at_once(&pebble, "http-01");
    let mut options = through(&meddler, &pebble);
    options.challenge = ChallengeChoice::Http01;
    let want = wanted(options, &[acme(&["shop.example"])]);
    // The operator's holds: the next attempt is minutes away.
    let timing = foregate_acme::Timing::default();
    let house = House::start_with(&state, &responder, want, timing);
    let why = house.failure("challenge-failed");
    assert_eq!(why, "shop.example by http-01: connection: no way there");
    let status = house.agent.status()[0].clone();
    assert_eq!(
        (status.state, status.failures),
        (CertificateState::Failed, 1)
    );
    let held = status.next_renewal - unix_now();
    assert!((60..=180).contains(&held), "{held} s");
    assert!(responder.challenges.is_empty(), "a challenge stayed open");
    assert_eq!(meddler.count("POST /order-plz"), 1);
    house.agent.renew("shop.example").unwrap();
    house.next();
    assert_eq!(meddler.count("POST /order-plz"), 2);
}

#[test]
fn another_kind_is_tried_when_a_challenge_fails_at_once() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let meddler = fails_at_once(&pebble, "tls-alpn-01");
    let options = through(&meddler, &pebble);
    let want = wanted(options, &[acme(&["shop.example"])]);
    let timing = foregate_acme::Timing::default();
    let house = House::start_with(&state, &responder, want, timing);
    house.next();
    let (http, tls) = responder.asked();
    assert!(http >= 1 && tls == 0, "{http} {tls}");
    let status = house.agent.status()[0].clone();
    assert_eq!((status.failures, status.last_error), (0, None));
    assert_eq!(meddler.count("POST /order-plz"), 2);
}

#[test]
fn the_ask_url_decides() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/may", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            theirs.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 2_048];
            let length = stream.read(&mut request).unwrap();
            let yes = request[..length].starts_with(b"GET /may?domain=good.example HTTP/1.1\r\n");
            let status = if yes { "200 OK" } else { "404 Not Found" };
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
        }
    });
    let mut options = options(&pebble);
    options.on_demand = Some(OnDemand {
        allow: Vec::new(),
        ask: Some(url),
        issues_per_hour_max: 10,
    });
    let house = House::start(&state, &responder, wanted(options, &[]));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ask = |name: &str| runtime.block_on(house.agent.wanted(name));
    assert!(ask("good.example"));
    assert_eq!(house.next().names, ["good.example"]);
    assert!(!ask("bad.example"));
    assert!(!ask("bad.example"), "a refusal is remembered");
    assert!(!ask("not a name"));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(pebble.issued(), 1);
}
