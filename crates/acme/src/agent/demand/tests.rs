//! What a crowd of strangers can bring about, and what it can't.

use std::time::Duration;

use super::*;
use crate::agent::Shared;
use crate::agent::counts::Counts;
use crate::certificate::Issued;
use crate::challenges::Challenges;
use crate::folder::StateFolder;
use crate::options::{AcmeOptions, Wanted};
use crate::order::Outcome;
use crate::reason::{Failure, Reason};
use crate::schedule::{Due, Timing};
use arc_swap::{ArcSwap, ArcSwapOption};
use foregate_telemetry::clock::unix_now;
use foregate_testkit::Scratch;
use std::sync::Arc;
use tokio::sync::Notify;

const NAME: &str = "a.shops.example";

/// An agent that nobody runs: orders are due and don't start.
pub(in crate::agent) fn work(scratch: &Scratch, allow: &[&str], ask: Option<&str>) -> Work {
    let shared = Shared {
        status: ArcSwap::from_pointee(Vec::new()),
        on_demand: ArcSwapOption::empty(),
        counts: Counts::default(),
        stop: Notify::new(),
    };
    let mut work = Work::new(
        StateFolder::open(&scratch.join("state")).unwrap(),
        Challenges::new(),
        Box::new(|_: Issued| Ok(())),
        Timing::default(),
        Arc::new(shared),
    );
    work.acme = Some(AcmeOptions {
        on_demand: Some(OnDemand {
            allow: allow.iter().map(ToString::to_string).collect(),
            ask: ask.map(str::to_owned),
            issues_per_hour_max: 10,
        }),
        ..AcmeOptions::new("https://127.0.0.1:1/directory")
    });
    work
}

/// A handshake that waits.
fn waits(work: &mut Work, name: &str) -> oneshot::Receiver<bool> {
    let (answer, answered) = oneshot::channel();
    work.demand(name.to_owned(), answer);
    answered
}

#[test]
fn who_does_not_wait_takes_nobodys_place() {
    let scratch = Scratch::new();
    let mut work = work(&scratch, &["*.shops.example"], None);
    for _ in 0..WAITING_MAX * 2 {
        oneshot_demand(&mut work);
    }
    assert_eq!(work.waiting_count(), 0);
    let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| waits(&mut work, NAME)).collect();
    assert_eq!(work.waiting_count(), WAITING_MAX);
    assert_eq!(waits(&mut work, NAME).try_recv(), Ok(false), "it is full");
    // Half of them have given up.
    waiting.truncate(WAITING_MAX / 2);
    let mut late = waits(&mut work, NAME);
    assert!(late.try_recv().is_err(), "it waits");
    assert_eq!(work.waiting_count(), WAITING_MAX / 2 + 1);
    // Nobody waits for what a change of the configuration took away.
    work.want(Wanted::default());
    assert_eq!(late.try_recv(), Ok(false));
    assert_eq!(work.waiting_count(), 0);
}

/// As handshakes ask in the middle, and go on; whether that has changed anything.
fn oneshot_demand(work: &mut Work) -> bool {
    let (answer, _) = oneshot::channel();
    work.demand(NAME.to_owned(), answer)
}

#[test]
fn only_what_is_ordered_has_all_certificates_looked_at() {
    let scratch = Scratch::new();
    let mut work = work(&scratch, &["*.shops.example"], None);
    assert!(oneshot_demand(&mut work), "it is to be ordered");
    assert!(!oneshot_demand(&mut work), "it is being ordered");
    let (answer, _) = oneshot::channel();
    assert!(!work.demand("other.example".to_owned(), answer));
}

/// Another process that has the certificate of a name issued by the internal CA.
fn renewed_elsewhere(folder: &StateFolder, names: &[String]) -> Issued {
    let now = unix_now();
    let authority = crate::Authority::open(folder, now).unwrap();
    let issued = authority.issue(names, now).unwrap();
    let key = Key::of(names, Source::Internal, None);
    let mut record = folder.certificate(&key).unwrap().unwrap().record;
    record.certificate = Some(issued.facts.clone());
    folder.store_certificate(&key, &record, &issued).unwrap();
    issued
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests may block")]
fn what_another_process_has_renewed_is_taken_up_at_the_next_look() {
    let scratch = Scratch::new();
    let mut work = work(&scratch, &[], None);
    let names = vec!["shop.test".to_owned()];
    let certificates = vec![crate::WantedCertificate {
        names: names.clone(),
        source: Source::Internal,
    }];
    let acme = work.acme.take();
    work.want(Wanted { certificates, acme });
    let key = Key::of(&names, Source::Internal, None);
    let served = |work: &Work| {
        let entry = work.entries.get(&key).unwrap();
        assert!(entry.active);
        entry.issued.as_ref().unwrap().facts.fingerprint.clone()
    };
    let own = served(&work);
    assert!(!work.take_up_renewed(), "it is one's own");
    assert!(!work.take_up_renewed() && !work.take_up_renewed());
    let other = StateFolder::open(&scratch.join("state")).unwrap();
    let renewed = renewed_elsewhere(&other, &names);
    assert!(work.take_up_renewed());
    assert_ne!(served(&work), own);
    assert_eq!(served(&work), renewed.facts.fingerprint);
    assert!(!work.take_up_renewed());
    // What ends before, or is for other names, is nobody's successor.
    let pem = scratch.join(&format!("state/certificates/{}.pem", key.as_str()));
    std::fs::write(&pem, "half a fi").unwrap();
    assert!(!work.take_up_renewed());
    assert_eq!(served(&work), renewed.facts.fingerprint);
}

#[tokio::test(flavor = "current_thread")]
async fn a_crowd_that_waits_for_one_name_keeps_no_other_from_being_asked_for() {
    let scratch = Scratch::new();
    let mut work = work(&scratch, &[], Some("http://127.0.0.1:1/may"));
    work.order_on_demand(NAME, oneshot::channel().0);
    let crowd: Vec<_> = (0..WAITING_MAX).map(|_| waits(&mut work, NAME)).collect();
    assert_eq!(work.waiting_count(), crowd.len());
    let (answer, _) = oneshot::channel();
    work.demand("b.shops.example".to_owned(), answer);
    assert!(work.asking.contains_key("b.shops.example"));
    // What the URL admits is ordered although its client has gone.
    work.asked("b.shops.example", Ok(true));
    let key = work.demand_key("b.shops.example");
    assert!(work.entries.contains_key(&key) && work.asking.is_empty());
}

#[test]
fn a_site_that_comes_while_the_ask_url_is_asked_keeps_its_certificate() {
    let scratch = Scratch::new();
    let mut work = work(&scratch, &[], Some("http://127.0.0.1:1/may"));
    let (answer, mut answered) = oneshot::channel();
    work.asking.insert(NAME.to_owned(), vec![answer]);
    let acme = work.acme.clone();
    let certificates = vec![crate::WantedCertificate {
        names: vec![NAME.to_owned()],
        source: Source::Acme,
    }];
    work.want(Wanted { certificates, acme });
    let key = work.demand_key(NAME);
    work.entries.get_mut(&key).unwrap().ordering = true;
    work.asked(NAME, Ok(true));
    let entry = work.entries.get(&key).unwrap();
    assert!(entry.ordering && !entry.on_demand);
    assert!(answered.try_recv().is_err(), "it waits for the site's");
    let failure = Failure::new(Reason::ChallengeFailed, "no route");
    work.finish_order(&key, Err(failure));
    assert!(work.entries.contains_key(&key), "a site is tried again");
    assert_eq!(answered.try_recv(), Ok(false));
}

#[test]
fn a_late_yes_does_not_order_what_is_not_admitted_any_more() {
    let scratch = Scratch::new();
    let mut work = work(
        &scratch,
        &["*.other.example"],
        Some("http://127.0.0.1:1/may"),
    );
    let (answer, mut answered) = oneshot::channel();
    work.asking.insert(NAME.to_owned(), vec![answer]);
    work.asked(NAME, Ok(true));
    assert!(work.entries.is_empty());
    assert_eq!(answered.try_recv(), Ok(false));
}

#[test]
fn a_name_that_failed_is_ordered_again_after_its_back_off() {
    let scratch = Scratch::new();
    let mut work = work(&scratch, &["*.shops.example"], None);
    let key = work.demand_key(NAME);
    let fail = |work: &mut Work, retry_after: Option<Duration>| {
        let mut failure = Failure::new(Reason::RateLimited, "too many");
        failure.retry_after = retry_after;
        work.finish_order(&key, Err(failure));
    };
    oneshot_demand(&mut work);
    assert!(work.entries.contains_key(&key));
    fail(&mut work, Some(Duration::from_secs(9_000)));
    assert!(work.entries.is_empty(), "it is not tried for ever");
    for _ in 0..100 {
        assert_eq!(waits(&mut work, NAME).try_recv(), Ok(false));
    }
    assert!(work.entries.is_empty());
    // It was held for as long as the server wanted; what failed counts on.
    work.allowance.failed(now(), NAME, 3, now(), now());
    oneshot_demand(&mut work);
    let schedule = &work.entries.get(&key).unwrap().schedule;
    assert_eq!(schedule.failures(), 3);
    assert_eq!(schedule.due(now(), unix_now()), Due::Order);
    fail(&mut work, None);
    assert_eq!(work.allowance.failures(NAME), 4);
}

#[test]
fn a_name_whose_certificate_has_ended_is_not_tried_for_ever() {
    let scratch = Scratch::new();
    let mut work = work(&scratch, &["*.shops.example"], None);
    let key = work.demand_key(NAME);
    oneshot_demand(&mut work);
    let now = unix_now();
    let authority = crate::Authority::open(&work.folder, now).unwrap();
    let local = authority.issue(&[NAME.to_owned()], now).unwrap();
    let mut issued = Issued::new(local.chain_pem, local.key_pem, Source::Acme).unwrap();
    let fail = |work: &mut Work| {
        let failure = Failure::new(Reason::ChallengeFailed, "it is served elsewhere");
        work.finish_order(&key, Err(failure));
    };
    work.finish_order(&key, Ok(Outcome::Ordered(issued.clone())));
    fail(&mut work);
    assert!(work.entries.contains_key(&key), "it is served still");
    issued.facts.not_after = now.seconds();
    work.entries.get_mut(&key).unwrap().issued = Some(issued);
    fail(&mut work);
    assert!(work.entries.is_empty());
    assert!(work.folder.certificate(&key).unwrap().is_none());
    assert!(!oneshot_demand(&mut work), "it is held back");
}

#[test]
fn whoever_hears_how_an_order_went_finds_it_in_what_is_shown() {
    let scratch = Scratch::new();
    let mut work = work(&scratch, &["*.shops.example"], None);
    let acme = work.acme.clone();
    let certificates = vec![crate::WantedCertificate {
        names: vec![NAME.to_owned()],
        source: Source::Acme,
    }];
    work.want(Wanted { certificates, acme });
    let mut waiter = waits(&mut work, NAME);
    let key = work.demand_key(NAME);
    let failure = Failure::new(Reason::ChallengeFailed, "no route");
    work.finish_order(&key, Err(failure));
    assert_eq!(waiter.try_recv(), Ok(false));
    let status = work.shared.status.load_full();
    let error = status[0].last_error.as_ref().map(|error| &error.reason);
    assert_eq!(error.map(String::as_str), Some("challenge-failed"));
}
