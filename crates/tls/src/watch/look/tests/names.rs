//! Which names keep a certificate when files are changed, moved and taken away.

use super::*;

/// Pairs of these names, for hosts that any of them may be shown for.
fn serving(scratch: &Scratch, pairs: &[&str], hosts: &[&str]) -> WatchPlan {
    let files = |name: &&str| FilesPlan {
        id: (*name).to_owned(),
        certificate: scratch.join(&format!("{name}.pem")),
        key: scratch.join(&format!("{name}.key")),
        ocsp: None,
    };
    let host = |name: &&str| WatchedHost {
        name: (*name).to_owned(),
        certificates: None,
    };
    WatchPlan {
        certificates: pairs.iter().map(files).collect(),
        hosts: hosts.iter().map(host).collect(),
        ..WatchPlan::default()
    }
}

/// What becomes of a certificate for `before` that is replaced by one for `after`, where these hosts are served.
#[track_caller]
fn check_renewal(hosts: &[&str], before: &[&str], after: &[&str], expected: &str) {
    check_renewal_and_loss(hosts, before, after, expected, &[]);
}

/// The same, with the names that are told to have none any more.
#[track_caller]
fn check_renewal_and_loss(
    hosts: &[&str],
    before: &[&str],
    after: &[&str],
    expected: &str,
    lost: &[&str],
) {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "shop", &root.issue(before));
    let (store, mut look) = over(serving(&scratch, &["shop"], hosts));
    look.find();
    look.look_at(NOW);
    let fingerprint = |store: &CertificateStore| store.get("shop").unwrap().certificate.fingerprint;
    let first = fingerprint(&store);
    write(&scratch, "shop", &root.issue(after));
    let told = look.look_at(NOW);
    assert_eq!(names(&told), [("shop", expected)], "{before:?} {after:?}");
    assert_eq!(fingerprint(&store) != first, expected == "active");
    assert_eq!(look.take_lost(), lost);
}

#[test]
fn a_new_certificate_takes_no_name_away_that_a_site_is_served_under() {
    let (taken, held) = ("active", "renewed-but-not-active");
    check_renewal(&["a.test"], &["a.test"], &["b.test"], held);
    check_renewal(&["a.test"], &["a.test", "old.test"], &["a.test"], taken);
    check_renewal(&["a.test"], &["a.test"], &["*.test"], taken);
    check_renewal(&["a.b.test"], &["*.b.test"], &["x.b.test"], held);
    check_renewal(&["*.b.test"], &["*.b.test"], &["x.b.test"], held);
    check_renewal(&["*.b.test"], &["x.b.test"], &["*.b.test"], taken);
    check_renewal(&["*.test"], &["x.b.test"], &["y.b.test"], held);
    check_renewal(&["*"], &["a.test"], &["b.test"], held);
    check_renewal(&["127.0.0.1"], &["127.0.0.1"], &["127.0.0.2"], held);
    check_renewal(&["b.test"], &["a.test"], &["b.test"], taken);
    check_renewal(&[], &["a.test"], &["b.test"], taken);
}

#[test]
fn a_renewal_may_drop_names_that_no_site_has_for_its_own() {
    let (taken, held) = ("active", "renewed-but-not-active");
    let (a, old) = ("a.test", "old.test");
    // Sites of all other names and of a domain make no name one of their own.
    check_renewal(&[a, "*"], &[a, old], &[a], taken);
    check_renewal(&["*"], &[a, old], &[a], taken);
    check_renewal(&["*"], &["*.test", a], &["*.test"], taken);
    check_renewal(&[a, "*"], &["*.test"], &[a], taken);
    check_renewal(&[a, "*"], &[a, "127.0.0.1"], &[a], taken);
    let domain = [a, "*.b.test"];
    let (x, y) = ("x.b.test", "y.b.test");
    check_renewal_and_loss(&domain, &[a, x, y], &[a, x], taken, &[y]);
    // But a site of a domain keeps something of it, and its very wildcard.
    check_renewal(&domain, &[a, x, y], &[a], held);
    check_renewal(&domain, &["*.b.test", x], &[x], held);
    check_renewal(&[a, old, "*"], &[a, old], &[a], held);
    // What has nothing in common was not meant to be its successor.
    check_renewal(&[a, "*"], &[old], &[a], held);
}

#[test]
fn a_name_that_no_site_names_is_told_only_if_its_file_goes_from_a_folder() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "pair", &root.issue(&["pair.test"]));
    write(&scratch, "certs/tenant", &root.issue(&["tenant.test"]));
    let folders = vec![FolderPlan {
        id: "certs".to_owned(),
        folder: scratch.join("certs"),
    }];
    let plan = |pairs: &[&str], hosts: &[&str]| WatchPlan {
        folders: folders.clone(),
        ..serving(&scratch, pairs, hosts)
    };
    let (_, mut look) = over(plan(&["pair"], &["pair.test", "*"]));
    look.find();
    look.look_at(NOW);
    // A site is given up together with its certificate.
    look.replan(plan(&[], &["*"]), KnownCertificates::default(), None);
    look.find();
    look.look_at(NOW);
    assert_eq!(look.take_lost(), [""; 0]);
    std::fs::remove_file(scratch.join("certs/tenant.pem")).unwrap();
    look.find();
    look.look_at(NOW);
    assert_eq!(look.take_lost(), ["tenant.test"]);
}

#[test]
fn what_is_not_valid_for_a_name_is_told_with_the_name() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "shop", &root.issue(&["a.test"]));
    let (store, mut look) = over(serving(&scratch, &["shop"], &["a.test"]));
    look.find();
    look.look_at(NOW);
    write(&scratch, "shop", &root.issue(&["b.test"]));
    let told = look.look_at(NOW);
    let CertificateStatus::RenewedButNotActive(fault) = &told[0].status else {
        panic!("{told:?}");
    };
    assert_eq!(
        fault.to_string(),
        "it is not valid for `a.test`, only for b.test"
    );
    // Once, and known since then.
    assert!(look.look_at(NOW + 9).is_empty());
    assert_eq!(store.files()[0].since, NOW);
}

#[test]
fn names_may_move_from_file_to_file() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let (a, b) = (root.issue(&["a.test"]), root.issue(&["b.test"]));
    write(&scratch, "one", &a);
    write(&scratch, "two", &b);
    let (store, mut look) = over(serving(&scratch, &["one", "two"], &["a.test", "b.test"]));
    look.find();
    look.look_at(NOW);
    write(&scratch, "one", &b);
    // For now there would be none for the first name.
    let told = look.look_at(NOW);
    assert_eq!(names(&told), [("one", "renewed-but-not-active")]);
    write(&scratch, "two", &a);
    let told = look.look_at(NOW);
    assert_eq!(names(&told), [("one", "active"), ("two", "active")]);
    assert!(store.get("one").unwrap().certificate.serves("b.test"));
    // A name that is left to one that is held back itself is left to nobody.
    write(&scratch, "one", &root.issue(&["a.test"]));
    write(&scratch, "two", &root.issue(&["c.test"]));
    let told = look.look_at(NOW);
    let held = "renewed-but-not-active";
    assert_eq!(names(&told), [("one", held), ("two", held)]);
}

#[test]
fn what_a_plan_was_judged_with_is_taken_and_lost_names_are_told() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "shop", &root.issue(&["a.test"]));
    let plan = serving(&scratch, &["shop"], &["a.test"]);
    let (store, mut look) = over(plan.clone());
    look.find();
    look.look_at(NOW);
    let next = root.issue(&["b.test"]);
    write(&scratch, "shop", &next);
    look.look_at(NOW);
    assert!(store.get("shop").unwrap().certificate.serves("a.test"));
    look.replan(plan.clone(), known(&plan, &next).0, None);
    look.find();
    assert_eq!(names(&look.look_at(NOW)), [("shop", "active")]);
    assert!(store.get("shop").unwrap().certificate.serves("b.test"));
    assert_eq!(look.take_lost(), ["a.test"]);
    // What takes the place of one that has ended is taken too: the others of its names are served again.
    write(
        &scratch,
        "shop",
        &root.request(&["b.test"]).valid(2000, 2030).issue(),
    );
    let plan = serving(&scratch, &["shop"], &["b.test"]);
    let (_, mut look) = over(plan);
    look.find();
    look.look_at(NOW);
    write(&scratch, "shop", &root.issue(&["c.test"]));
    assert_eq!(names(&look.look_at(LATER)), [("shop", "active")]);
    assert_eq!(look.take_lost(), ["b.test"]);
}

#[test]
fn a_name_whose_file_goes_from_a_folder_is_told_unless_another_has_it() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "a", &root.issue(&["a.test"]));
    write(&scratch, "b", &root.issue(&["b.test"]));
    let plan = WatchPlan {
        folders: vec![FolderPlan {
            id: "certs".to_owned(),
            folder: scratch.path().to_owned(),
        }],
        ..serving(&scratch, &[], &["a.test", "b.test"])
    };
    let (_, mut look) = over(plan);
    look.find();
    look.look_at(NOW);
    for end in ["pem", "key"] {
        let place = |name: &str| scratch.join(&format!("{name}.{end}"));
        std::fs::rename(place("a"), place("other")).unwrap();
        std::fs::remove_file(place("b")).unwrap();
    }
    look.find();
    assert_eq!(names(&look.look_at(NOW)), [("certs/other", "active")]);
    assert_eq!(look.take_lost(), ["b.test"]);
}

#[test]
fn a_name_has_a_certificate_all_the_time_while_its_file_is_renamed() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    write(&scratch, "certs/a", &root.issue(&["a.test"]));
    let folders = vec![FolderPlan {
        id: "certs".to_owned(),
        folder: scratch.join("certs"),
    }];
    let plan = WatchPlan {
        folders,
        ..serving(&scratch, &["pair"], &["a.test"])
    };
    let (store, mut look) = over(plan.clone());
    look.find();
    look.look_at(NOW);
    let held_by = |store: &CertificateStore| -> Vec<Arc<str>> {
        let name = crate::certificate::CertificateName::Host("a.test".into());
        let found = store.covering(&name).into_iter();
        found.map(|served| Arc::clone(&served.id)).collect()
    };
    for end in ["pem", "key"] {
        let place = |name: &str| scratch.join(&format!("certs/{name}.{end}"));
        std::fs::rename(place("a"), place("b")).unwrap();
    }
    look.find();
    assert_eq!(held_by(&store), ["certs/a".into()]);
    look.look_at(NOW);
    assert_eq!(held_by(&store), ["certs/b".into()]);
    // In a configuration, too.
    write(&scratch, "pair", &root.issue(&["a.test"]));
    let plan = WatchPlan {
        folders: Vec::new(),
        ..plan
    };
    look.replan(plan, KnownCertificates::default(), None);
    look.find();
    assert_eq!(held_by(&store), ["certs/b".into()]);
    look.look_at(NOW);
    assert_eq!(held_by(&store), ["pair".into()]);
    assert!(store.files().iter().all(|state| state.id == "pair"));
    // What comes back before it was given up is there all the time.
    let plan = |names: &[&str]| serving(&scratch, names, &["a.test"]);
    look.replan(plan(&[]), KnownCertificates::default(), None);
    look.find();
    look.replan(plan(&["pair"]), KnownCertificates::default(), None);
    look.find();
    look.look_at(NOW);
    assert_eq!(held_by(&store), ["pair".into()]);
    assert_eq!(look.take_lost(), [""; 0]);
}

#[test]
fn what_leaves_keeps_no_name_for_another() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let pairs = ["one", "two"];
    write(&scratch, "one", &root.issue(&["a.test"]));
    write(&scratch, "two", &root.issue(&["a.test"]));
    let (_, mut look) = over(serving(&scratch, &pairs, &["a.test"]));
    look.find();
    look.look_at(NOW);
    write(&scratch, "two", &root.issue(&["b.test"]));
    let plan = serving(&scratch, &["two"], &["a.test"]);
    look.replan(plan, KnownCertificates::default(), None);
    look.find();
    let told = look.look_at(NOW);
    assert_eq!(names(&told), [("two", "renewed-but-not-active")]);
}

#[test]
fn one_that_has_ended_is_no_other_for_its_names() {
    let root = Authority::new("Root");
    let scratch = Scratch::new();
    let ended = root.request(&["a.test"]).valid(2000, 2020).issue();
    write(&scratch, "certs/ended", &ended);
    write(&scratch, "certs/shop", &root.issue(&["a.test"]));
    let plan = WatchPlan {
        folders: vec![FolderPlan {
            id: "certs".to_owned(),
            folder: scratch.join("certs"),
        }],
        ..serving(&scratch, &[], &["a.test"])
    };
    let (_, mut look) = over(plan);
    look.find();
    look.look_at(NOW);
    write(&scratch, "certs/shop", &root.issue(&["b.test"]));
    let told = look.look_at(NOW);
    assert_eq!(names(&told), [("certs/shop", "renewed-but-not-active")]);
    std::fs::remove_file(scratch.join("certs/shop.pem")).unwrap();
    look.find();
    look.look_at(NOW);
    assert_eq!(look.take_lost(), ["a.test"]);
    // Nothing is lost with one that has ended itself.
    write(&scratch, "certs/over", &ended);
    look.find();
    look.look_at(NOW);
    std::fs::remove_file(scratch.join("certs/over.pem")).unwrap();
    look.find();
    look.look_at(NOW);
    assert_eq!(look.take_lost(), [""; 0]);
}
