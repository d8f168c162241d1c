//! Answers that come when something else is served by now.

use std::time::Duration;

use foregate_testkit::Scratch;

use super::*;
use crate::agent::demand::tests::work;
use crate::certificate::{Issued, Source};
use crate::options::{Wanted, WantedCertificate};
use foregate_telemetry::clock::UnixTime;

/// An agent that serves a certificate of an authority, and its key.
fn serving(scratch: &Scratch) -> (Work, Key) {
    let mut work = work(scratch, &[], None);
    let names = vec!["shop.example".to_owned()];
    let acme = work.acme.clone();
    let directory = acme.as_ref().map(|acme| acme.directory.clone());
    let key = Key::of(&names, Source::Acme, directory.as_deref());
    let source = Source::Acme;
    let certificates = vec![WantedCertificate { names, source }];
    work.want(Wanted { certificates, acme });
    renew(&mut work, &key);
    (work, key)
}

/// A certificate comes.
fn renew(work: &mut Work, key: &Key) -> String {
    let authority = crate::Authority::open(&work.folder, unix_now()).unwrap();
    let names = work.entries.get(key).unwrap().names.clone();
    let local = authority.issue(&names, unix_now()).unwrap();
    let issued = Issued::new(local.chain_pem, local.key_pem, Source::Acme).unwrap();
    let fingerprint = issued.facts.fingerprint.clone();
    work.finish_order(key, Ok(crate::order::Outcome::Ordered(issued)));
    fingerprint
}

fn window(start: u64) -> Span {
    Span {
        start: UnixTime::from_seconds(start),
        end: UnixTime::from_seconds(start + 86_400),
    }
}

fn suggestion(start: u64, explanation: Option<&str>) -> Suggestion {
    Suggestion {
        window: window(start),
        after: Duration::from_secs(3_600),
        explanation: explanation.map(str::to_owned),
    }
}

#[test]
fn a_window_is_that_of_the_certificate_it_was_asked_for() {
    let scratch = Scratch::new();
    let (mut work, key) = serving(&scratch);
    let old = renew(&mut work, &key);
    work.entries.get_mut(&key).unwrap().asking = true;
    // The one before is to be renewed at once, and it is renewed while that is asked.
    let new = renew(&mut work, &key);
    work.finish_window(&key, &old, Ok(Some(suggestion(1_000, None))));
    let entry = work.entries.get(&key).unwrap();
    assert!(entry.schedule.window().is_none() && !entry.asking);
    work.finish_window(&key, &new, Ok(Some(suggestion(1_000, None))));
    let entry = work.entries.get(&key).unwrap();
    assert_eq!(entry.schedule.window(), Some(window(1_000)));
}

#[test]
fn a_window_is_explained_by_the_page_that_the_ca_names_for_it() {
    let scratch = Scratch::new();
    let (mut work, key) = serving(&scratch);
    let of = renew(&mut work, &key);
    let mut told = |start, page| {
        work.finish_window(&key, &of, Ok(Some(suggestion(start, page))));
        work.entries.get(&key).unwrap().explanation.clone()
    };
    let page = "https://ca.example/incident";
    assert_eq!(told(1_000, None), None);
    assert_eq!(told(1_000, Some(page)).as_deref(), Some(page));
    assert_eq!(told(2_000, None), None);
    assert_eq!(told(2_000, Some(page)).as_deref(), Some(page));
    renew(&mut work, &key);
    let entry = work.entries.get(&key).unwrap();
    assert_eq!(entry.explanation, None, "it was about the one before");
}
