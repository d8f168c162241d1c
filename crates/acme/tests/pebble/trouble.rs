//! What goes wrong, and how it is told and mended.

use foregate_acme::{CertificateState, ChallengeChoice, ExternalAccount, Timing};
use foregate_testkit::{Pebble, PebbleConfig, Scratch, eventually, free_port};

use crate::house::{House, acme, options, pebble, wanted};
use crate::responder::Responder;

#[test]
fn refused_nonces_cost_nothing_but_time() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(PebbleConfig {
        nonces_refused_percent: 40,
        ..pebble(&responder)
    });
    let certificates = [acme(&["one.example"]), acme(&["two.example"])];
    let house = House::start(&state, &responder, wanted(options(&pebble), &certificates));
    house.next();
    house.next();
}

#[test]
fn authorizations_are_used_again() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(PebbleConfig {
        authorizations_reused_percent: 100,
        ..pebble(&responder)
    });
    let want = wanted(options(&pebble), &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want);
    house.next();
    let asked = responder.asked();
    house.agent.renew("shop.example").unwrap();
    house.next();
    assert_eq!(responder.asked(), asked);
}

#[test]
fn a_challenge_that_fails_is_told_with_the_servers_words() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(PebbleConfig {
        http_port: free_port(),
        ..pebble(&responder)
    });
    let mut options = options(&pebble);
    options.challenge = ChallengeChoice::Http01;
    let house = House::start(
        &state,
        &responder,
        wanted(options, &[acme(&["shop.example"])]),
    );
    let why = house.failure("challenge-failed");
    assert!(
        why.contains("shop.example by http-01") && why.contains("refused"),
        "{why}"
    );
    assert!(responder.challenges.is_empty());
}

#[test]
fn a_wildcard_without_dns_is_told_and_costs_no_validation() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let want = wanted(options(&pebble), &[acme(&["*.shop.example"])]);
    let house = House::start(&state, &responder, want);
    let why = house.failure("no-usable-challenge");
    assert!(
        why.contains("*.shop.example") && why.contains("acme.dns"),
        "{why}"
    );
    assert_eq!(responder.asked(), (0, 0));
}

#[test]
fn a_server_that_is_not_there_or_not_trusted_is_named() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let mut pebble = Pebble::start(pebble(&responder));
    let mut stranger = options(&pebble);
    stranger.ca_pem = None;
    let one = [acme(&["shop.example"])];
    let house = House::start(&state, &responder, wanted(stranger, &one));
    let why = house.failure("directory-unreachable");
    assert!(why.contains("https://localhost:"), "{why}");
    drop(house);

    pebble.stop();
    let house = House::start(&state, &responder, wanted(options(&pebble), &one));
    let why = house.failure("directory-unreachable");
    assert!(why.contains("https://localhost:"), "{why}");
    // When it comes back, so does the certificate.
    let config = crate::house::pebble(&responder);
    pebble.restart(config);
    house.next();
}

#[test]
fn corrected_settings_do_not_wait_for_what_failed_by_the_wrong_ones() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let pebble = Pebble::start(PebbleConfig {
        external_accounts: vec![("kid-1".into(), key.into())],
        ..pebble(&responder)
    });
    let bound_by = |hmac_key: &str| {
        let mut options = options(&pebble);
        options.eab = Some(ExternalAccount {
            key_id: "kid-1".into(),
            hmac_key: hmac_key.into(),
        });
        wanted(options, &[acme(&["shop.example"])])
    };
    let wrong = bound_by(&key.replace('z', "A"));
    // The operator's holds: the next attempt is minutes away.
    let start = |want| House::start_with(&state, &responder, want, Timing::default());
    let house = start(wrong.clone());
    house.failure("account-refused");
    house.agent.want(wrong.clone());
    drop(house);
    // Nothing was mended, and nothing is tried: the failure is the one before.
    let house = start(wrong.clone());
    let status = house.agent.status()[0].clone();
    assert_eq!(status.state, CertificateState::Failed);
    assert_eq!(status.failures, 1);
    // Mended while it runs, or before it starts.
    house.agent.want(bound_by(key));
    house.next();
    drop(house);
    let state = Scratch::new();
    let start = |want| House::start_with(&state, &responder, want, Timing::default());
    let house = start(wrong);
    house.failure("account-refused");
    drop(house);
    start(bound_by(key)).next();
}

#[test]
fn an_account_that_the_server_forgot_is_made_anew() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let mut pebble = Pebble::start(pebble(&responder));
    let want = wanted(options(&pebble), &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want);
    house.next();
    pebble.restart(crate::house::pebble(&responder));
    house.agent.renew("shop.example").unwrap();
    house.next();
    let files = std::fs::read_dir(state.join("state/accounts")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_sink_that_refuses_is_told_as_renewed_but_not_active() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let folder = foregate_acme::StateFolder::open(&state.join("state")).unwrap();
    let want = wanted(options(&pebble), &[acme(&["shop.example"])]);
    let (agent, thread) =
        foregate_acme::Agent::start(folder, want, responder.challenges.clone(), |_| {
            Err("the store is full".to_owned())
        })
        .unwrap();
    let status = eventually("the state", || {
        let status = agent.status()[0].clone();
        (status.state == CertificateState::RenewedNotActive).then_some(status)
    });
    let error = status.last_error.unwrap();
    assert_eq!(
        (error.reason.as_str(), error.detail.as_str()),
        ("not-activated", "the store is full")
    );
    agent.stop();
    thread.join().unwrap();
}
