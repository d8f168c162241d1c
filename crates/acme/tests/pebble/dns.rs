//! Names proved by DNS: through a hook, and by dynamic update of a real name server.

use std::time::Duration;

use foregate_acme::{AcmeOptions, ChallengeChoice, DnsMeans, DnsOptions, SharedKey};
use foregate_testkit::{NameServer, Pebble, Scratch};

use crate::house::{House, acme, options, pebble, wanted};
use crate::responder::Responder;

fn with_dns(mut options: AcmeOptions, means: DnsMeans, wait: Duration) -> AcmeOptions {
    options.dns = Some(DnsOptions {
        means,
        propagation_timeout: wait,
        resolvers: Vec::new(),
    });
    options
}

#[test]
fn a_wildcard_is_proved_through_a_hook() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let means = DnsMeans::Hook(pebble.dns_hook(&state));
    // pebble's name server has no zones that could be asked for.
    let options = with_dns(options(&pebble), means, Duration::ZERO);
    let want = wanted(options, &[acme(&["shop.example", "*.shop.example"])]);
    let house = House::start(&state, &responder, want);
    let issued = house.next();
    assert!(
        issued.names.contains(&"*.shop.example".to_owned()),
        "{issued:?}"
    );
    // The plain name is proved the same way: nobody may come through to its ports.
    let log = std::fs::read_to_string(state.join("hook.sh.log")).unwrap();
    assert_eq!(
        log,
        "present _acme-challenge.shop.example\npresent _acme-challenge.shop.example\n\
         cleanup _acme-challenge.shop.example\ncleanup _acme-challenge.shop.example\n"
    );
    assert_eq!(responder.asked().1, 0);
}

#[test]
fn no_record_stays_behind_when_the_process_ends() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let means = DnsMeans::Hook(pebble.dns_hook(&state));
    let mut options = with_dns(options(&pebble), means, Duration::from_secs(60));
    // Nobody answers there, so the order waits for the record to be seen.
    if let Some(dns) = &mut options.dns {
        dns.resolvers = vec!["127.0.0.1:1".parse().unwrap()];
    }
    let want = wanted(options, &[acme(&["*.shop.example"])]);
    let house = House::start(&state, &responder, want);
    let log = || std::fs::read_to_string(state.join("hook.sh.log")).unwrap_or_default();
    foregate_testkit::eventually("the record", || log().contains("present").then_some(()));
    drop(house);
    let (present, cleanup) = ("present", "cleanup");
    let lines = [present, cleanup].map(|action| format!("{action} _acme-challenge.shop.example\n"));
    assert_eq!(log(), lines.concat());
}

#[test]
fn a_hook_that_fails_is_quoted() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let argv = ["sh", "-c", "echo no such zone >&2; exit 7"].map(str::to_owned);
    let mut options = with_dns(
        options(&pebble),
        DnsMeans::Hook(argv.into()),
        Duration::ZERO,
    );
    options.challenge = ChallengeChoice::Dns01;
    let house = House::start(
        &state,
        &responder,
        wanted(options, &[acme(&["shop.example"])]),
    );
    let why = house.failure("dns-hook-failed");
    assert!(why.contains("no such zone") && why.contains('7'), "{why}");
}

const SECRET: &str = "c2VjcmV0IHRoYXQgaXMgdGhpcnR5LXR3byBieXRlcw==";

fn name_server() -> NameServer {
    let names = ["_acme-challenge", "_acme-challenge.www"];
    let grants = names.map(|name| format!("grant update.key name {name}.shop.example. TXT;"));
    NameServer::start("shop.example", "", ("update.key", SECRET), &grants.concat())
}

fn means(server: &NameServer, secret: &str) -> DnsMeans {
    DnsMeans::Update {
        server: server.address().to_string(),
        key: Some(SharedKey::parse("update.key", "hmac-sha256", secret).unwrap()),
    }
}

#[test]
fn names_are_proved_by_signed_updates_of_a_real_server() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let server = name_server();
    let pebble = Pebble::start_with_names(pebble(&responder), &server.address().to_string());
    let means = means(&server, SECRET);
    let mut options = with_dns(options(&pebble), means, Duration::from_secs(20));
    options.challenge = ChallengeChoice::Dns01;
    // Two values under one name at the same time, and another name.
    let names = ["shop.example", "*.shop.example", "www.shop.example"];
    let house = House::start(&state, &responder, wanted(options, &[acme(&names)]));
    let issued = house.next();
    assert_eq!(issued.names.len(), 3, "{issued:?}");
    assert_eq!(responder.asked(), (0, 0));
    for name in [
        "_acme-challenge.shop.example",
        "_acme-challenge.www.shop.example",
    ] {
        assert_eq!(server.texts(name), "", "a record stayed behind");
    }
}

#[test]
fn a_wrong_key_and_a_foreign_zone_are_told() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let server = name_server();
    let pebble = Pebble::start(pebble(&responder));
    let attempt = |name: &str, secret: &str| {
        let mut options = with_dns(
            options(&pebble),
            means(&server, secret),
            Duration::from_secs(5),
        );
        options.challenge = ChallengeChoice::Dns01;
        let house = House::start(&state, &responder, wanted(options, &[acme(&[name])]));
        house.failure("dns-update-failed")
    };
    let why = attempt("shop.example", "d3Jvbmc=");
    assert!(why.contains("does not accept the key"), "{why}");
    let why = attempt("other.example", SECRET);
    assert!(why.contains("has no zone"), "{why}");
    let why = attempt("secret.shop.example", SECRET);
    assert!(why.contains("policy"), "{why}");
}
