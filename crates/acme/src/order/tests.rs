//! What only the inside of an order can bring about.

use foregate_testkit::{Pebble, PebbleConfig, Scratch};

use super::*;
use crate::AcmeOptions;

/// An authority that believes everything, and a desk that orders from it.
fn desk(scratch: &Scratch) -> (Pebble, Desk) {
    let pebble = Pebble::start(PebbleConfig {
        believes: true,
        ..PebbleConfig::default()
    });
    let desk = Desk {
        folder: StateFolder::open(&scratch.join("state")).unwrap(),
        options: AcmeOptions {
            ca_pem: Some(pebble.ca_pem().to_owned()),
            ..AcmeOptions::new(pebble.directory())
        },
        challenges: Challenges::new(),
        leftovers: crate::dns::Leftovers::default(),
    };
    (pebble, desk)
}

#[tokio::test(flavor = "current_thread")]
async fn a_deactivated_account_is_followed_by_a_new_one() {
    let scratch = Scratch::new();
    let (pebble, desk) = desk(&scratch);
    let names = vec!["shop.example".to_owned()];
    let web = desk.web().unwrap();
    let account = desk.account(&web).await.unwrap();
    let old = account.id().to_owned();
    assert_eq!(desk.account(&web).await.unwrap().id(), old, "it is kept");
    account.deactivate().await.unwrap();
    let task = Task {
        key: Key::of(&names, Source::Acme, Some(&pebble.directory())),
        names,
        on_demand: false,
        current: None,
    };
    assert!(matches!(desk.obtain(&task).await, Ok(Outcome::Ordered(_))));
    assert_ne!(desk.account(&web).await.unwrap().id(), old);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_damaged_on_the_disk_stands_in_no_successors_way() {
    let scratch = Scratch::new();
    let (pebble, desk) = desk(&scratch);
    let names = vec!["shop.example".to_owned()];
    let mut task = Task {
        key: Key::of(&names, Source::Acme, Some(&pebble.directory())),
        names,
        on_demand: false,
        current: None,
    };
    let Ok(Outcome::Ordered(first)) = desk.obtain(&task).await else {
        panic!("it is ordered");
    };
    // The process goes on with what it has in memory; its files were cut off.
    task.current = Some(first.clone());
    let file = |ending: &str| format!("state/certificates/{}.{ending}", task.key);
    scratch.write(&file("pem"), "-----BEGIN PRIV");
    scratch.write(&file("pending"), "");
    let Ok(Outcome::Ordered(second)) = desk.obtain(&task).await else {
        panic!("it is ordered again");
    };
    assert_ne!(second.facts.fingerprint, first.facts.fingerprint);
    let stored = desk.folder.certificate(&task.key).unwrap().unwrap();
    assert_eq!(stored.issued, Some(second));
}
