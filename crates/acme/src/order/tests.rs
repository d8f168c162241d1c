//! What only the inside of an order can bring about.
#![expect(clippy::disallowed_methods, reason = "tests may block")]

use std::os::unix::fs::PermissionsExt;

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

/// The first order of a certificate.
fn first_of(pebble: &Pebble) -> Task {
    let names = vec!["shop.example".to_owned()];
    Task {
        key: Key::of(&names, Source::Acme, Some(&pebble.directory())),
        names,
        on_demand: false,
        current: None,
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_deactivated_account_is_followed_by_a_new_one() {
    let scratch = Scratch::new();
    let (pebble, desk) = desk(&scratch);
    let web = desk.web().unwrap();
    let account = desk.account(&web).await.unwrap();
    let old = account.id().to_owned();
    assert_eq!(desk.account(&web).await.unwrap().id(), old, "it is kept");
    account.deactivate().await.unwrap();
    let task = first_of(&pebble);
    assert!(matches!(desk.obtain(&task).await, Ok(Outcome::Ordered(_))));
    assert_ne!(desk.account(&web).await.unwrap().id(), old);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_damaged_on_the_disk_stands_in_no_successors_way() {
    let scratch = Scratch::new();
    let (pebble, desk) = desk(&scratch);
    let mut task = first_of(&pebble);
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

#[tokio::test(flavor = "current_thread")]
async fn a_damaged_account_is_put_aside_and_followed_by_a_new_one() {
    let scratch = Scratch::new();
    let (_pebble, desk) = desk(&scratch);
    let web = desk.web().unwrap();
    let mut last = desk.account(&web).await.unwrap().id().to_owned();
    let folder = scratch.join("state/accounts");
    let file = |ending: &str| {
        let files = std::fs::read_dir(&folder).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        paths.find(|path| path.extension().is_some_and(|it| it == ending))
    };
    let good = std::fs::read_to_string(file("json").unwrap()).unwrap();
    let key = good.split("\"key_pkcs8\": \"").nth(1).unwrap();
    let no_key = good.replace(&key[..20], "AAAAAAAAAAAAAAAAAAAA");
    for damaged in [
        "",
        "{}",
        "{\"version\":1}",
        &good[..good.len() / 2],
        &no_key,
    ] {
        std::fs::write(file("json").unwrap(), damaged).unwrap();
        let account = desk.account(&web).await.unwrap();
        assert_ne!(account.id(), last, "{damaged}");
        last = account.id().to_owned();
        assert_eq!(
            std::fs::read_to_string(file("bad").unwrap()).unwrap(),
            damaged
        );
        assert_eq!(desk.account(&web).await.unwrap().id(), last, "it is kept");
    }
    // A newer version's is not ours to judge.
    std::fs::write(file("json").unwrap(), "{\"version\":99}").unwrap();
    let failure = desk.account(&web).await.err().unwrap();
    assert_eq!(failure.reason, Reason::StateNewer);
}

#[tokio::test(flavor = "current_thread")]
async fn a_folder_that_was_removed_is_made_again_where_it_is_needed() {
    let scratch = Scratch::new();
    let (pebble, desk) = desk(&scratch);
    let mut task = first_of(&pebble);
    let Ok(Outcome::Ordered(first)) = desk.obtain(&task).await else {
        panic!("it is ordered");
    };
    let announced = desk.folder.announce(7).unwrap();
    assert!(!desk.folder.has_lost(7));
    std::fs::remove_dir_all(scratch.join("state")).unwrap();
    assert!(!desk.folder.has_lost(7), "nobody is there to be told");
    assert!(desk.folder.keys().unwrap().is_empty());
    task.current = Some(first);
    let Ok(Outcome::Ordered(second)) = desk.obtain(&task).await else {
        panic!("it is ordered again");
    };
    let stored = desk.folder.certificate(&task.key).unwrap().unwrap();
    assert_eq!(stored.issued, Some(second));
    for path in ["state", "state/accounts", "state/certificates"] {
        let metadata = std::fs::metadata(scratch.join(path)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700, "{path}");
    }
    assert!(scratch.join("state/foregate.json").exists());
    assert!(desk.folder.has_lost(7));
    drop(announced);
    let _announced = desk.folder.announce(7).unwrap();
    assert!(!desk.folder.has_lost(7));
}

#[test]
fn a_suggestion_has_the_page_that_explains_it() {
    let explanation = |url: &str| {
        let window = serde_json::json!({
            "start": "2028-01-01T00:00:00Z",
            "end": "2028-01-02T00:00:00Z",
        });
        let json = serde_json::json!({ "suggestedWindow": window, "explanationURL": url });
        let info = serde_json::from_value(json).unwrap();
        Suggestion::of(info, Duration::from_secs(60)).explanation
    };
    let page = "https://ca.example/incident";
    assert_eq!(explanation(page).as_deref(), Some(page));
    assert_eq!(explanation(&"x".repeat(1 << 20)), None);
}

/// Leaves an order behind, as a process does that ended before its certificate came.
fn leave_pending(scratch: &Scratch, task: &Task, pebble: &Pebble, order: &str, since: u64) {
    let key = KeyPair::generate().unwrap();
    let pending = serde_json::json!({
        "version": 1,
        "directory": pebble.directory(),
        "order": order,
        "key_pem": key.serialize_pem(),
        "since": since,
    });
    let path = format!("state/certificates/{}.pending", task.key);
    scratch.write(&path, pending.to_string());
}

#[tokio::test(flavor = "current_thread")]
async fn an_order_whose_place_can_not_be_reached_is_gone_on_with_for_a_day() {
    let scratch = Scratch::new();
    let (pebble, desk) = desk(&scratch);
    let task = first_of(&pebble);
    let now = unix_now().seconds();
    let nowhere = "https://127.0.0.1:1/order";
    leave_pending(&scratch, &task, &pebble, nowhere, now - 3_600);
    let failure = desk.obtain(&task).await.unwrap_err();
    assert_eq!(failure.reason, Reason::DirectoryUnreachable);
    assert!(desk.folder.pending(&task.key).unwrap().is_some());
    leave_pending(&scratch, &task, &pebble, nowhere, now - 100_000);
    assert!(matches!(desk.obtain(&task).await, Ok(Outcome::Ordered(_))));
}

#[tokio::test(flavor = "current_thread")]
async fn an_order_that_its_server_has_forgotten_is_followed_by_another() {
    let scratch = Scratch::new();
    let (pebble, desk) = desk(&scratch);
    let task = first_of(&pebble);
    let nothing = pebble.directory().replace("/dir", "/no/such/page");
    let now = unix_now().seconds();
    leave_pending(&scratch, &task, &pebble, &nothing, now);
    assert!(matches!(desk.obtain(&task).await, Ok(Outcome::Ordered(_))));
}
