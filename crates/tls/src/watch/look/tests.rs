use super::*;
use crate::certificate::Roots;
use crate::watch::{Seen, WatchedHost};
use foregate_testkit::{Authority, Issued, Scratch};

mod names;

/// In the years 2026 and 2031.
const NOW: i64 = 1_780_000_000;
const LATER: i64 = 1_940_000_000;

fn over(plan: WatchPlan) -> (Arc<CertificateStore>, Look) {
    let store = CertificateStore::new();
    let mut look = Look::new(Arc::clone(&store));
    look.platform = PlatformRoots::of(Roots::none());
    look.replan(plan, KnownCertificates::default(), None);
    (store, look)
}

/// What somebody else has read of a plan's only pair, and what it is.
fn known(plan: &WatchPlan, issued: &Issued) -> (KnownCertificates, Arc<Served>) {
    let loaded = load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    let files = &plan.certificates[0];
    let served = Arc::new(Served::new(&files.id, loaded));
    let mut known = KnownCertificates::default();
    known.note(files, Seen::now(files), &served);
    (known, served)
}

/// The pair of that name, and what its issuer says.
fn shop(scratch: &Scratch, with_statement: bool) -> WatchPlan {
    WatchPlan {
        certificates: vec![FilesPlan {
            id: "shop".to_owned(),
            certificate: scratch.join("shop.pem"),
            key: scratch.join("shop.key"),
            ocsp: with_statement.then(|| scratch.join("shop.ocsp")),
        }],
        ..WatchPlan::default()
    }
}

fn write(scratch: &Scratch, name: &str, issued: &Issued) {
    scratch.write(&format!("{name}.pem"), &issued.chain_pem);
    scratch.write(&format!("{name}.key"), &issued.key_pem);
}

fn names(states: &[CertificateState]) -> Vec<(&str, &str)> {
    let name = |state: &'_ CertificateState| state.status.name();
    let states = states.iter();
    states.map(|state| (&*state.id, name(state))).collect()
}

#[test]
fn what_was_held_back_comes_up_when_the_one_before_it_ends() {
    let (root, other) = (Authority::new("Root"), Authority::new("Other"));
    let scratch = Scratch::new();
    write(
        &scratch,
        "shop",
        &root.request(&["a.test"]).valid(2000, 2030).issue(),
    );
    let (store, mut look) = over(shop(&scratch, false));
    look.find();
    assert_eq!(names(&look.look_at(NOW)), [("shop", "active")]);
    let first = store.get("shop").unwrap().certificate.fingerprint;
    // Its chain leads nowhere, which some clients take all the same.
    let mut renewed = root.issue(&["a.test"]);
    renewed.chain_pem.push_str(&other.pem());
    write(&scratch, "shop", &renewed);
    assert_eq!(
        names(&look.look_at(NOW)),
        [("shop", "renewed-but-not-active")]
    );
    assert!(look.look_at(NOW + 1).is_empty());
    assert_eq!(store.get("shop").unwrap().certificate.fingerprint, first);
    assert_eq!(names(&look.look_at(LATER)), [("shop", "active")]);
    assert_ne!(store.get("shop").unwrap().certificate.fingerprint, first);
    assert!(look.look_at(LATER + 1).is_empty());
}

#[test]
fn a_folder_that_cannot_be_listed_loses_nothing() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "certs/one", &root.issue(&["one.test"]));
    write(&scratch, "certs/two", &root.issue(&["two.test"]));
    let plan = WatchPlan {
        folders: vec![FolderPlan {
            id: "all".to_owned(),
            folder: scratch.join("certs"),
        }],
        ..WatchPlan::default()
    };
    let (store, mut look) = over(plan);
    assert!(look.find().is_empty());
    look.look_at(NOW);
    assert_eq!(store.len(), 2);
    // As if the process had no file descriptor left, or a network disk were away.
    std::fs::rename(scratch.join("certs"), scratch.join("away")).unwrap();
    scratch.write("certs", "no folder");
    assert_eq!(names(&look.find()), [("all", "renewed-but-not-active")]);
    look.look_at(NOW);
    assert!(look.find().is_empty(), "told once");
    assert_eq!(store.len(), 2);
    assert!(names(&store.files()).contains(&("all", "renewed-but-not-active")));
    // It is back, and what is missing now is gone.
    std::fs::remove_file(scratch.join("certs")).unwrap();
    std::fs::rename(scratch.join("away"), scratch.join("certs")).unwrap();
    std::fs::remove_file(scratch.join("certs/two.pem")).unwrap();
    assert_eq!(names(&look.find()), [("all", "active")]);
    look.look_at(NOW);
    assert!(store.get("all/one").is_some() && store.len() == 1);
}

#[test]
fn a_part_of_a_folder_that_cannot_be_looked_at_loses_nothing() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "certs/one", &root.issue(&["one.test"]));
    let plan = WatchPlan {
        folders: vec![FolderPlan {
            id: "all".to_owned(),
            folder: scratch.join("certs"),
        }],
        ..WatchPlan::default()
    };
    let (store, mut look) = over(plan);
    look.find();
    look.look_at(NOW);
    // A link that leads to itself: the system can't tell what it is.
    std::fs::rename(scratch.join("certs/one.pem"), scratch.join("one.pem")).unwrap();
    std::os::unix::fs::symlink("one.pem", scratch.join("certs/one.pem")).unwrap();
    assert_eq!(names(&look.find()), [("all", "renewed-but-not-active")]);
    look.look_at(NOW);
    assert_eq!(store.len(), 1);
}

#[test]
fn an_unreadable_statement_about_revocation_keeps_no_certificate_out() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let issued = root.issue(&["a.test"]);
    write(&scratch, "shop", &issued);
    let said = issued.statement(NOW - 1, NOW + 100);
    scratch.write("shop.ocsp", &said);
    let (store, mut look) = over(shop(&scratch, true));
    look.find();
    assert!(
        look.look_at(NOW)[0]
            .findings
            .iter()
            .all(|one| one.name() != "unreadable")
    );
    let statement = || store.get("shop").unwrap().key_at(NOW).ocsp.clone();
    assert_eq!(statement(), Some(said));
    let renewed = root.issue(&["a.test"]);
    write(&scratch, "shop", &renewed);
    std::fs::remove_file(scratch.join("shop.ocsp")).unwrap();
    let states = look.look_at(NOW);
    assert_eq!(names(&states), [("shop", "active")]);
    assert!(
        states[0]
            .findings
            .iter()
            .any(|one| one.name() == "unreadable")
    );
    assert_eq!(statement(), None);
    let loaded = load(renewed.chain_pem.as_bytes(), renewed.key_pem.as_bytes()).unwrap();
    assert_eq!(
        store.get("shop").unwrap().certificate.fingerprint,
        loaded.fingerprint
    );
}

#[test]
fn what_is_known_is_read_again_only_if_its_files_are_others() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let (first, second) = (root.issue(&["a.test"]), root.issue(&["a.test"]));
    write(&scratch, "shop", &first);
    let plan = shop(&scratch, false);
    // Not what stands in the files, so that it shows whether they are read.
    let (known, served) = known(&plan, &second);
    let look_with = |known: KnownCertificates| {
        let store = CertificateStore::new();
        let mut look = Look::new(Arc::clone(&store));
        look.replan(plan.clone(), known, None);
        look.find();
        assert_eq!(names(&look.look_at(NOW)), [("shop", "active")]);
        Arc::ptr_eq(&store.get("shop").unwrap(), &served)
    };
    assert!(look_with(known.clone()));
    assert!(!look_with(KnownCertificates::default()));
    write(&scratch, "shop", &root.issue(&["a.test", "b.test"]));
    assert!(!look_with(known));
}

#[test]
fn what_is_served_is_known_while_its_files_are_the_same() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "shop", &root.issue(&["a.test"]));
    let plan = shop(&scratch, false);
    let files = plan.certificates[0].clone();
    let (store, mut look) = over(plan);
    look.find();
    let known = |look: &Look| look.known().get(&files, &Seen::now(&files)).cloned();
    assert!(known(&look).is_none());
    // A minute after they were written, and right after it.
    look.look_at(unix_s() + 60);
    let first = known(&look).expect("it is served");
    assert!(Arc::ptr_eq(&first, &store.get("shop").unwrap()));
    write(&scratch, "shop", &root.issue(&["a.test"]));
    assert!(known(&look).is_none());
    look.look_at(unix_s());
    assert!(known(&look).is_none());
    // Who may read them is a part of what they are.
    let (store, mut look) = over(shop(&scratch, false));
    look.find();
    look.look_at(unix_s() + 60);
    assert!(known(&look).is_some() && store.get("shop").is_some());
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o400);
    std::fs::set_permissions(&files.key, rights).unwrap();
    assert!(known(&look).is_none());
    // What is served in the place of broken files is not what they say.
    scratch.write("shop.key", "no key at all");
    look.look_at(unix_s() + 60);
    assert!(store.get("shop").is_some());
    assert!(known(&look).is_none());
}

#[test]
fn files_that_were_read_right_after_they_were_written_are_read_once_more() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let issued = root.issue(&["a.test"]);
    write(&scratch, "shop", &issued);
    scratch.write("shop.ocsp", issued.statement(0, i64::MAX >> 30));
    for with_statement in [false, true] {
        let plan = shop(&scratch, with_statement);
        let files = plan.certificates[0].clone();
        let (store, mut look) = over(plan);
        look.find();
        write(&scratch, "shop", &issued);
        assert_eq!(look.look_at(unix_s()).len(), 1);
        let served = || store.get("shop").unwrap();
        let first = served();
        assert!(look.look_at(unix_s()).is_empty());
        let known = |look: &Look| look.known().get(&files, &Seen::now(&files)).cloned();
        assert!(known(&look).is_none());
        // The same stands there: nobody is told, and who reads next need not.
        assert!(look.look_at(unix_s() + 60).is_empty());
        assert!(Arc::ptr_eq(&served(), &first));
        assert_eq!(known(&look).is_some(), !with_statement);
        // As if the next version had come within the same tick of the file system's clock.
        write(&scratch, "shop", &issued);
        look.look_at(unix_s());
        write(&scratch, "shop", &root.issue(&["a.test", "b.test"]));
        let entry = look.entries.get_mut("shop").unwrap();
        entry.seen = Seen::now(&files);
        assert!(look.look_at(unix_s()).is_empty());
        assert!(!served().certificate.serves("b.test"));
        let told = look.look_at(unix_s() + 60);
        assert_eq!(names(&told), [("shop", "active")]);
        assert!(served().certificate.serves("b.test"));
        assert!(look.look_at(unix_s() + 61).is_empty());
    }
}

#[test]
fn what_was_known_right_after_it_was_written_is_read_once_more() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let (first, second) = (root.issue(&["a.test"]), root.issue(&["a.test", "b.test"]));
    write(&scratch, "shop", &second);
    let plan = shop(&scratch, false);
    let (known, served) = known(&plan, &first);
    let (store, mut look) = over(plan);
    look.known = known;
    look.find();
    // However long it took until they came to be watched.
    assert_eq!(look.look_at(unix_s() + 60).len(), 1);
    assert!(Arc::ptr_eq(&store.get("shop").unwrap(), &served));
    assert_eq!(names(&look.look_at(unix_s() + 61)), [("shop", "active")]);
    assert!(store.get("shop").unwrap().certificate.serves("b.test"));
}

#[test]
fn what_an_issuer_says_is_shown_only_while_it_counts_and_about_its_own_certificate() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let issued = root.issue(&["a.test"]);
    write(&scratch, "shop", &issued);
    scratch.write("shop.ocsp", issued.statement(NOW - 10, NOW + 100));
    let (store, mut look) = over(shop(&scratch, true));
    look.find();
    let findings = |look: &mut Look, now: i64| -> Vec<Vec<&'static str>> {
        let states = look.look_at(now).into_iter();
        let names = states.map(|state| state.findings.iter().map(Finding::name).collect());
        names.collect()
    };
    let shown = |now: i64| store.get("shop").unwrap().key_at(now).ocsp.is_some();
    assert_eq!(findings(&mut look, NOW), [[""; 0]]);
    assert!(shown(NOW) && !shown(NOW - 11) && shown(NOW + 99) && !shown(NOW + 100));
    assert!(findings(&mut look, NOW + 99).is_empty());
    // Told once, by nothing but time.
    let told = findings(&mut look, NOW + 100);
    assert_eq!(told, [["statement-out-of-time"]]);
    assert!(findings(&mut look, NOW + 130).is_empty());
    // The pair is renewed and the statement still that about the one before.
    write(&scratch, "shop", &root.issue(&["a.test"]));
    let told = findings(&mut look, NOW);
    assert_eq!(told, [["statement-unusable"]]);
    assert!(!shown(NOW));
    scratch.write("shop.ocsp", "no statement at all");
    let told = findings(&mut look, NOW);
    assert_eq!(told, [["statement-unusable"]]);
}

#[test]
fn a_certificate_without_that_of_its_issuer_is_told_once_when_it_is_picked_up() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let alone = |from: i32| {
        let below = root.below("Below");
        let mut issued = below.request(&["a.test"]).valid(2000 + from, 2030).issue();
        issued.chain_pem = issued.certificate_pem.clone();
        issued
    };
    write(&scratch, "shop", &alone(0));
    let plan = shop(&scratch, false);
    let (store, mut look) = over(plan.clone());
    look.platform = PlatformRoots::of(Roots::from_pem(root.pem().as_bytes()).unwrap());
    // One that was judged with the plan was told with it.
    let issued = alone(1);
    write(&scratch, "shop", &issued);
    look.replan(plan.clone(), known(&plan, &issued).0, None);
    look.find();
    let told = |states: Vec<CertificateState>| -> Vec<&'static str> {
        let findings = states.iter().flat_map(|state| &state.findings);
        findings.map(Finding::name).collect()
    };
    assert_eq!(told(look.look_at(unix_s())), [""; 0]);
    // Read once more, it is the same.
    assert!(look.look_at(unix_s() + 60).is_empty());
    write(&scratch, "shop", &alone(2));
    assert_eq!(told(look.look_at(unix_s())), ["missing-intermediate"]);
    assert!(look.look_at(unix_s() + 60).is_empty());
    assert_eq!(store.files()[0].findings[0].name(), "missing-intermediate");
    // With the issuer's, or right below a root of the system, nothing is missing.
    for issued in [
        root.below("Below").issue(&["a.test"]),
        root.issue(&["a.test"]),
    ] {
        write(&scratch, "shop", &issued);
        assert_eq!(told(look.look_at(unix_s())), [""; 0]);
    }
}

#[test]
fn a_certificate_that_ends_in_service_is_told_once() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let issued = root.request(&["a.test"]).valid(2000, 2030).issue();
    write(&scratch, "shop", &issued);
    let (_, mut look) = over(shop(&scratch, false));
    look.find();
    assert_eq!(look.look_at(NOW)[0].findings, []);
    assert!(look.look_at(NOW + 30).is_empty());
    let told = look.look_at(LATER);
    assert_eq!(names(&told), [("shop", "active")]);
    assert!(matches!(told[0].findings[..], [Finding::Expired { .. }]));
    assert!(look.look_at(LATER + 30).is_empty());
}
