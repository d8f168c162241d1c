//! What is in the state folder survives processes, and serves several.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use foregate_acme::{Authority, CertificateState, StateFolder, Wanted};
use foregate_testkit::{Pebble, Scratch, eventually};

use crate::house::{House, acme, internal, options, pebble, wanted};
use crate::responder::Responder;

fn files(state: &Scratch, ending: &str) -> Vec<PathBuf> {
    let folder = state.join("state/certificates");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect()
}

#[test]
fn two_processes_that_share_a_folder_order_once() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let want = wanted(
        options(&pebble),
        &[acme(&["shop.example"]), acme(&["b.example"])],
    );
    let one = House::start(&state, &responder, want.clone());
    let two = House::start(&state, &responder, want);
    let prints = |house: &House| {
        let mut prints = [house.next(), house.next()].map(|issued| issued.facts.fingerprint);
        prints.sort();
        prints
    };
    assert_eq!(prints(&one), prints(&two));
    assert_eq!(pebble.issued(), 2);
}

#[test]
fn what_one_process_renews_the_others_show_within_seconds() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let want = wanted(options(&pebble), &[acme(&["shop.example"])]);
    let one = House::start(&state, &responder, want.clone());
    let two = House::start(&state, &responder, want);
    let (leaked, known) = (one.next(), two.next());
    assert_eq!(leaked.facts.fingerprint, known.facts.fingerprint);
    one.agent.renew("shop.example").unwrap();
    let (renewed, taken_up) = (one.next(), two.next());
    assert_ne!(renewed.facts.fingerprint, leaked.facts.fingerprint);
    assert_eq!(taken_up.facts.fingerprint, renewed.facts.fingerprint);
    assert_eq!(pebble.issued(), 2);
}

#[test]
fn a_restart_has_everything_at_once() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let mut pebble = Pebble::start(pebble(&responder));
    let want = wanted(
        options(&pebble),
        &[acme(&["shop.example"]), internal(&["localhost"])],
    );
    let house = House::start(&state, &responder, want.clone());
    let (local, shop) = (house.next(), house.next());
    drop(house);
    pebble.stop();
    let house = House::start(&state, &responder, want);
    let mut present = [house.present().unwrap(), house.present().unwrap()];
    present.sort_by_key(|issued| issued.source.name());
    assert_eq!(present, [shop, local]);
    assert!(
        house
            .agent
            .status()
            .iter()
            .all(|status| status.state == CertificateState::Active)
    );
}

#[test]
fn an_order_that_a_crash_interrupted_is_finished_and_not_repeated() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let want = wanted(options(&pebble), &[acme(&["shop.example"])]);
    let house = House::start(&state, &responder, want.clone());
    // What a process leaves that ends after the certificate was asked for and before it was stored.
    let (path, pending) = eventually("an order under way", || {
        let path = files(&state, ".pending").pop()?;
        let bytes = std::fs::read(&path).ok()?;
        Some((path, bytes))
    });
    let first = house.next();
    drop(house);
    for file in files(&state, "") {
        std::fs::remove_file(file).unwrap();
    }
    std::fs::write(&path, pending).unwrap();
    let house = House::start(&state, &responder, want);
    assert_eq!(house.next().facts.fingerprint, first.facts.fingerprint);
    assert_eq!(pebble.issued(), 1);
    assert!(files(&state, ".pending").is_empty());
}

#[test]
fn everything_in_the_folder_is_ours_alone() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let pebble = Pebble::start(pebble(&responder));
    let want = wanted(
        options(&pebble),
        &[acme(&["shop.example"]), internal(&["localhost"])],
    );
    let house = House::start(&state, &responder, want);
    house.next();
    house.next();
    drop(house);
    fn walk(path: &Path) {
        let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            std::fs::read_dir(path)
                .unwrap()
                .for_each(|entry| walk(&entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            assert!(
                !path.to_string_lossy().ends_with(".tmp"),
                "{}",
                path.display()
            );
        }
    }
    walk(&state.join("state"));
}

#[test]
fn local_names_are_there_when_the_agent_has_started() {
    let (state, responder) = (Scratch::new(), Responder::start());
    let want = Wanted {
        certificates: vec![internal(&["localhost", "*.localhost", "127.0.0.1", "::1"])],
        acme: None,
    };
    let house = House::start(&state, &responder, want.clone());
    let issued = house.present().unwrap();
    assert_eq!(
        issued.names,
        ["localhost", "*.localhost", "127.0.0.1", "::1"]
    );
    let folder = StateFolder::open(&state.join("state")).unwrap();
    let root = Authority::root_of(&folder).unwrap().unwrap();
    assert!(verifies(&state, &root, &issued.chain_pem));
    drop(house);
    // Another root: leaves of the old one are of no use to anybody.
    std::fs::remove_file(state.join("state/internal/root.pem")).unwrap();
    let house = House::start(&state, &responder, want);
    let issued = house.present().unwrap();
    let root = Authority::root_of(&folder).unwrap().unwrap();
    assert!(verifies(&state, &root, &issued.chain_pem));
}

/// OpenSSL's word.
fn verifies(state: &Scratch, root: &str, chain: &str) -> bool {
    let root = state.write("verify/root.pem", root);
    let chain = state.write("verify/chain.pem", chain);
    let status = std::process::Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            "localhost",
        ])
        .args(["-CAfile", root.to_str().unwrap()])
        .arg(chain)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    status.success()
}
