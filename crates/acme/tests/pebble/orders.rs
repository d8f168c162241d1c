//! Names become certificates.

use foregate_acme::{CertificateState, ChallengeChoice, ExternalAccount, OnDemand};
use foregate_testkit::{Pebble, PebbleConfig, Scratch, eventually};

use crate::house::{House, acme, internal, options, pebble, wanted};
use crate::responder::Responder;

#[test]
fn a_name_is_proved_by_tls_alpn_when_that_works() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let names = ["shop.example", "www.shop.example"];
    let house = House::start(
        &state,
        &responder,
        wanted(options(&pebble), &[acme(&names)]),
    );
    let issued = house.next();
    assert!(
        names
            .iter()
            .all(|name| issued.names.contains(&(*name).to_owned())),
        "{issued:?}"
    );
    assert_eq!(issued.facts.key_type, "ecdsa-p256");
    let (http, tls) = responder.asked();
    assert!(http == 0 && tls >= 2, "{http} {tls}");
    let status = eventually("the status", || {
        let status = house.agent.status();
        (status[0].state == CertificateState::Active).then(|| status[0].clone())
    });
    assert!(status.issuer.unwrap().contains("Pebble"));
    assert!(status.next_renewal < status.not_after.unwrap());
    assert!(responder.challenges.is_empty(), "a challenge stayed open");
}

#[test]
fn http_is_tried_when_tls_alpn_fails() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(PebbleConfig {
        tls_port: foregate_testkit::free_port(),
        ..pebble(&responder)
    });
    let wanted = wanted(options(&pebble), &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, wanted);
    house.next();
    let (http, tls) = responder.asked();
    assert!(http >= 1 && tls == 0, "{http} {tls}");
}

#[test]
fn a_written_challenge_is_the_only_one() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let mut options = options(&pebble);
    options.challenge = ChallengeChoice::Http01;
    let house = House::start(
        &state,
        &responder,
        wanted(options, &[acme(&["shop.example"])]),
    );
    house.next();
    assert_eq!(responder.asked().1, 0);
}

#[test]
fn external_accounts_are_bound() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let pebble = Pebble::start(PebbleConfig {
        external_accounts: vec![("kid-1".into(), key.into())],
        ..pebble(&responder)
    });
    let want = wanted(options(&pebble), &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want);
    let why = house.failure("account-refused");
    assert!(why.contains("externalAccountRequired"), "{why}");

    let mut options = options(&pebble);
    options.eab = Some(ExternalAccount {
        key_id: "kid-1".into(),
        hmac_key: key.into(),
    });
    house
        .agent
        .want(wanted(options, &[acme(&["shop.example"])]));
    house.next();
}

#[test]
fn short_lives_are_renewed_before_they_end() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(PebbleConfig {
        life_seconds: Some(15),
        ..pebble(&responder)
    });
    let wanted = wanted(options(&pebble), &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, wanted);
    let first = house.next();
    let second = house.next();
    assert!(
        second.facts.not_before < first.facts.not_after,
        "too late: {first:?} {second:?}"
    );
    assert_ne!(
        second.key_pem, first.key_pem,
        "a renewal has a key of its own"
    );
    // One account for both.
    assert_eq!(
        std::fs::read_dir(state.join("state/accounts"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn the_operator_renews_at_once() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let certificates = [acme(&["shop.example"]), internal(&["localhost"])];
    let house = House::start(&state, &responder, wanted(options(&pebble), &certificates));
    let local = house.next();
    assert_eq!(local.names, ["localhost"]);
    house.next();
    let told = house.agent.renew("Shop.example").unwrap();
    assert!(told.contains("shop.example was issued"), "{told}");
    house.next();
    assert_eq!(pebble.issued(), 2);
    house.agent.renew("localhost").unwrap();
    assert_ne!(house.next().facts.fingerprint, local.facts.fingerprint);
    assert!(house.agent.renew("other.example").is_err());
}

#[test]
fn a_change_of_what_is_wanted_keeps_what_is_there() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let one = [acme(&["one.example"])];
    let house = House::start(&state, &responder, wanted(options(&pebble), &one));
    house.next();
    let both = [acme(&["one.example"]), acme(&["two.example"])];
    house.agent.want(wanted(options(&pebble), &both));
    assert_eq!(house.next().names, ["two.example"]);
    assert_eq!(pebble.issued(), 2);
    house
        .agent
        .want(wanted(options(&pebble), &[acme(&["two.example"])]));
    assert_eq!(house.agent.status().len(), 1);
    // It comes back from the folder and is not ordered again.
    house.agent.want(wanted(options(&pebble), &one));
    assert_eq!(house.present().unwrap().names, ["one.example"]);
    assert_eq!(pebble.issued(), 2);
}

#[test]
fn a_handshake_gets_a_certificate_that_is_allowed() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let mut options = options(&pebble);
    options.on_demand = Some(OnDemand {
        allow: vec!["*.shops.example".into()],
        ask: None,
        issues_per_hour_max: 1,
    });
    let want = wanted(options, &[]);
    let house = House::start(&state, &responder, want.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ask = |house: &House, name: &str| runtime.block_on(house.agent.wanted(name));
    assert!(!ask(&house, "a.other.example"));
    let agent = house.agent.clone();
    // Two handshakes at once cost one order.
    let (one, two) = runtime.block_on(async {
        tokio::join!(
            agent.wanted("a.shops.example"),
            agent.wanted("A.shops.example")
        )
    });
    assert!(one && two);
    assert_eq!(house.next().names, ["a.shops.example"]);
    assert!(!ask(&house, "b.shops.example"), "the hour is full");
    assert!(ask(&house, "a.shops.example"));
    assert_eq!(pebble.issued(), 1);
    drop(house);
    // After a restart it is there before anybody asks.
    let house = House::start(&state, &responder, want);
    assert_eq!(house.present().unwrap().names, ["a.shops.example"]);
    assert!(house.agent.status()[0].on_demand);
}
