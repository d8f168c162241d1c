//! An authority that does not want to be asked now is left alone, by whoever would ask next.

use foregate_testkit::{Gateway, Meddler, Pebble, Scratch, Signal};

use crate::house::{Ports, certificate, certificate_in, certs, settle, shop, visit};

fn seconds_from_now(moment: &serde_json::Value) -> i64 {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("it is later than 1970").as_secs();
    moment.as_u64().expect("a time").cast_signed() - now.cast_signed()
}

#[test]
fn a_rate_limit_is_told_and_kept_to_by_the_next_process() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    let meddler = Meddler::start(&pebble, |line, before| match (line, before) {
        ("POST /order-plz", 0) => {
            let fields = "Retry-After: 1000\r\n";
            Meddler::problem("429 Too Many Requests", "rateLimited", fields)
        }
        _ => None,
    });
    let gateway = shop(&ports, &meddler, "auto", &state).start();
    let assert_limited = |gateway: &Gateway| {
        let limited = certificate_in(gateway, "shop.example", "failed");
        assert_eq!(limited["last_error"]["reason"], "rate-limited");
        let detail = "rateLimited: scripted";
        assert_eq!(limited["last_error"]["detail"], detail);
        let held = seconds_from_now(&limited["next_renewal"]);
        assert!((900..=1_100).contains(&held), "{held} s");
    };
    assert_limited(&gateway);
    let log = gateway.wait_stderr("reason=rate-limited");
    assert!(log.contains("next_attempt="), "{log}");
    let labels = [("reason", "rate-limited")];
    gateway.wait_metric("foregate_certificate_failures_total", &labels, 1.0);
    let answer = gateway.get("shop.example", "/");
    assert_eq!(answer.status, 200, "the site is served as it was");
    drop(gateway);

    let gateway = shop(&ports, &meddler, "auto", &state).start();
    settle(&gateway);
    assert_limited(&gateway);
    assert_eq!(meddler.count("POST /order-plz"), 1);
    // The operator knows better.
    let run = certs(&gateway, &["renew", "shop.example"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(meddler.count("POST /order-plz"), 2);
    let seen = visit(&ports, &pebble.root_pem());
    assert_eq!(seen.as_deref(), Some("the shop"));
}

#[test]
fn an_authority_that_is_overloaded_is_left_alone_by_all_orders() {
    let (ports, state) = (Ports::new(), Scratch::new());
    let pebble = Pebble::start(ports.pebble());
    let meddler = Meddler::start(&pebble, |line, before| match (line, before) {
        ("POST /order-plz", 0) => {
            let fields = "Retry-After: 1000\r\n";
            Meddler::answer("503 Service Unavailable", fields, "<html>overloaded</html>")
        }
        _ => None,
    });
    let mut gateway = shop(&ports, &meddler, "auto", &state).start();
    let failed = certificate_in(&gateway, "shop.example", "failed");
    assert_eq!(failed["last_error"]["reason"], "directory-failed");
    let labels = [("reason", "directory-failed")];
    gateway.wait_metric("foregate_certificate_failures_total", &labels, 1.0);
    // Another site has done nothing wrong, and waits all the same.
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let more = "\n[sites.\"other.example\"]\nroutes = [{ respond = { status = 200 } }]\n";
    gateway.rewrite_config(&format!("{text}{more}"), &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("configuration reloaded");
    settle(&gateway);
    let waiting = certificate(&gateway, "other.example");
    assert_eq!(waiting["state"], "waiting");
    assert_eq!(meddler.count("POST /order-plz"), 1);
    assert_eq!(pebble.issued(), 0);

    // The operator knows better here, too, and for all of them.
    let run = certs(&gateway, &["renew", "other.example"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    certificate_in(&gateway, "other.example", "active");
}
