//! What `pebble` does not do by itself: rate limits, failures, renewal information, and the ask URL.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use foregate_acme::{CertificateState, OnDemand};
use foregate_testkit::{Pebble, Scratch, eventually};

use crate::house::{House, acme, options, pebble, wanted};
use crate::meddler::{Meddler, answer};
use crate::responder::Responder;

fn problem(status: &str, kind: &str, fields: &str) -> Option<String> {
    let body = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"scripted"}}"#);
    let fields = format!("Content-Type: application/problem+json\r\n{fields}");
    answer(status, &fields, &body)
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
        "POST /order-plz" => problem(
            "429 Too Many Requests",
            "rateLimited",
            "Retry-After: 1000\r\n",
        ),
        _ => None,
    });
    let mut options = options(&pebble);
    options.directory = meddler.directory();
    options.ca_pem = Some(meddler.ca_pem.clone());
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
            problem("400 Bad Request", "accountDoesNotExist", "")
        }
        ("POST /order-plz", 5) => {
            has_new_account.store(true, Ordering::SeqCst);
            None
        }
        _ => None,
    });
    let mut options = options(&pebble);
    options.directory = meddler.directory();
    options.ca_pem = Some(meddler.ca_pem.clone());
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
        ("POST /order-plz", 0) => problem("500 Internal Server Error", "serverInternal", ""),
        ("POST /order-plz", 1) => answer("502 Bad Gateway", "", "<html>no JSON</html>"),
        _ => None,
    });
    let mut options = options(&pebble);
    options.directory = meddler.directory();
    options.ca_pem = Some(meddler.ca_pem.clone());
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
            true => answer("200 OK", "Retry-After: 60\r\n", window),
            false => None,
        }
    });
    let mut options = options(&pebble);
    options.directory = meddler.directory();
    options.ca_pem = Some(meddler.ca_pem.clone());
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
            true => answer("200 OK", "", window),
            false => None,
        }
    });
    let mut options = options(&pebble);
    options.directory = meddler.directory();
    options.ca_pem = Some(meddler.ca_pem.clone());
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
        answer("200 OK", fields, body)
    });
    let mut options = options(&pebble);
    options.directory = meddler.directory();
    options.ca_pem = Some(meddler.ca_pem.clone());
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
