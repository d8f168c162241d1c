//! Processes that share a state folder, and those that follow each other: nothing is ordered twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foregate_testkit::{
    Gateway, GatewayConfig, Meddler, Pebble, PebbleConfig, Scratch, Signal, eventually,
};

use crate::house::{Authority, Ports, certificate, certificate_in, certs, shop, visit};

const CONFIG: &str = r#"
state_dir = "{state}"

[listeners.secure]
address = "127.0.0.1:0"
tls = true

[acme]
directory = "{directory}"
ca_file = "ca.pem"
challenge = "dns-01"
dns = { hook = ["true"], propagation_timeout = "off" }

[sites."shop.example"]
routes = [{ respond = { status = 200, body = "the shop" } }]
"#;

/// An authority that believes everything.
fn believing() -> Pebble {
    Pebble::start(PebbleConfig {
        believes: true,
        ..PebbleConfig::default()
    })
}

fn process(authority: &impl Authority, state: &Scratch) -> GatewayConfig {
    Gateway::new(CONFIG)
        .fill("state", state.join("state").display())
        .fill("directory", authority.directory())
        .file("ca.pem", authority.ca_pem())
}

fn orders_begun(gateway: &Gateway) -> usize {
    let log = gateway.stderr();
    log.matches("ordering a certificate").count()
}

const ISSUED: &str = "foregate_certificates_issued_total";

#[test]
fn two_processes_that_want_a_certificate_at_the_same_time_order_once() {
    let (pebble, state) = (believing(), Scratch::new());
    let admitted = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&admitted);
    // An order waits until the story has seen that both processes are at it.
    let meddler = Meddler::start(&pebble, move |line, before| {
        if line == "POST /order-plz" {
            eventually("the story goes on", || {
                (theirs.load(Ordering::SeqCst) > before).then_some(())
            });
        }
        None
    });
    let both = [(); 2].map(|()| process(&meddler, &state).start());
    let wait_begun = |count: usize| {
        eventually("both are at it", || {
            let mut begun = both.iter().map(orders_begun);
            begun.all(|begun| begun == count).then_some(())
        });
    };
    let prints = || {
        both.each_ref()
            .map(|one| certificate(one, "shop.example")["fingerprint"].clone())
    };
    wait_begun(1);
    admitted.store(1, Ordering::SeqCst);
    for one in &both {
        certificate_in(one, "shop.example", "active");
    }
    let first = prints();
    assert_eq!(first[0], first[1]);
    assert_eq!(meddler.count("POST /order-plz"), 1);

    // So with a renewal.
    let mut told = std::thread::scope(|scope| {
        let ask = |one| scope.spawn(move || certs(one, &["renew", "shop.example"]));
        let asking = both.each_ref().map(ask);
        wait_begun(2);
        admitted.store(usize::MAX, Ordering::SeqCst);
        asking.map(|one| one.join().expect("it does not panic").stdout)
    });
    told.sort();
    let expected = [
        "shop.example was issued\n",
        "shop.example was issued to another process\n",
    ];
    assert_eq!(told, expected);
    let second = prints();
    assert_eq!(second[0], second[1]);
    assert_ne!(second[0], first[0]);
    // One that says what it replaces, which this authority does not take, and a plain one.
    assert!(meddler.count("POST /order-plz") <= 3);
    assert_eq!(meddler.count("POST /finalize-order/"), 2);
    assert_eq!(pebble.issued(), 2);
    let issued = both.each_ref().map(|one| one.metric(ISSUED, &[]));
    assert_eq!(issued.iter().sum::<f64>(), 2.0, "{issued:?}");
    let failures = "foregate_certificate_failures_total";
    for one in &both {
        assert_eq!(one.metric(failures, &[]), 0.0);
    }
}

#[test]
fn an_order_whose_process_was_killed_is_finished_by_the_next_one() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    let released = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&released);
    // The certificate is issued, and does not come.
    let meddler = Meddler::start(&pebble, move |line, _| {
        if line.starts_with("POST /certZ/") {
            eventually("the story goes on", || {
                theirs.load(Ordering::SeqCst).then_some(())
            });
        }
        None
    });
    let mut gateway = shop(&ports, &meddler, "auto", &state).start();
    eventually("the certificate is asked for", || {
        (meddler.count("POST /certZ/") == 1).then_some(())
    });
    gateway.signal(Signal::Kill);
    gateway.wait_exit();
    released.store(true, Ordering::SeqCst);

    let gateway = shop(&ports, &meddler, "auto", &state).start();
    certificate_in(&gateway, "shop.example", "active");
    gateway.wait_stderr("an order that was interrupted has been finished");
    assert_eq!(meddler.count("POST /order-plz"), 1);
    assert_eq!(pebble.issued(), 1);
    let seen = visit(&ports, &pebble.root_pem());
    assert_eq!(seen.as_deref(), Some("the shop"));
}
