use super::*;
use crate::certificate::{Finding, load};
use foregate_testkit::{Authority, Issued, PATIENCE, Scratch, eventually};
use std::os::unix::fs::symlink;

/// A watcher, and what it told.
struct Watched {
    store: Arc<CertificateStore>,
    told: Arc<Mutex<Vec<CertificateState>>>,
    watcher: Watcher,
}

fn watch_over(plan: WatchPlan) -> Watched {
    let store = CertificateStore::new();
    let told: Arc<Mutex<Vec<CertificateState>>> = Arc::default();
    let telling = Arc::clone(&told);
    let observer = move |news: News<'_>| {
        if let News::Certificate(state) = news {
            telling.lock().unwrap().push(state.clone());
        }
    };
    let watcher = Watcher::start(
        plan,
        KnownCertificates::default(),
        Arc::clone(&store),
        None,
        Box::new(observer),
    );
    Watched {
        store,
        told,
        watcher,
    }
}

impl Watched {
    #[track_caller]
    fn serves(&self, id: &str, issued: &Issued) {
        let loaded = load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
        eventually("the certificate is served", || {
            let served = self.store.get(id)?;
            (served.certificate.fingerprint == loaded.fingerprint).then_some(())
        });
    }

    #[track_caller]
    fn comes_to(&self, id: &str, status: &str) -> CertificateStatus {
        eventually(status, || {
            let states = self.store.files();
            let state = states.into_iter().find(|state| state.id == id)?;
            (state.status.name() == status).then_some(state.status)
        })
    }
}

fn single(scratch: &Scratch) -> WatchPlan {
    WatchPlan {
        certificates: vec![FilesPlan {
            id: "shop".to_owned(),
            certificate: scratch.join("shop.pem"),
            key: scratch.join("shop.key"),
            ocsp: None,
        }],
        ..WatchPlan::default()
    }
}

fn write(scratch: &Scratch, name: &str, issued: &Issued) {
    scratch.write(&format!("{name}.pem"), &issued.chain_pem);
    scratch.write(&format!("{name}.key"), &issued.key_pem);
}

#[test]
fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
    assert!(
        PATIENCE < POLL_EVERY,
        "what is seen in time was not seen by polling"
    );
    let authority = Authority::new("Root");
    let (first, second, third) = (
        authority.issue(&["a.test"]),
        authority.issue(&["a.test"]),
        authority.issue(&["a.test"]),
    );
    let scratch = Scratch::new();
    write(&scratch, "shop", &first);
    let watched = watch_over(single(&scratch));
    // Loaded before anything else happens.
    assert!(watched.store.get("shop").is_some());
    watched.serves("shop", &first);
    write(&scratch, "shop", &second);
    watched.serves("shop", &second);

    scratch.write("shop.pem", &first.chain_pem);
    let status = watched.comes_to("shop", "renewed-but-not-active");
    assert_eq!(
        status,
        CertificateStatus::RenewedButNotActive(Finding::KeyMismatch)
    );
    watched.serves("shop", &second);
    assert!(
        watched
            .told
            .lock()
            .unwrap()
            .iter()
            .any(|state| state.status == status)
    );

    let expired = authority.request(&["a.test"]).valid(2020, 2021).issue();
    write(&scratch, "shop", &expired);
    eventually("it has expired", || {
        let status = watched.comes_to("shop", "renewed-but-not-active");
        matches!(
            status,
            CertificateStatus::RenewedButNotActive(Finding::Expired { .. })
        )
        .then_some(())
    });
    watched.serves("shop", &second);

    write(&scratch, "shop", &third);
    watched.comes_to("shop", "active");
    watched.serves("shop", &third);
}

#[test]
fn a_certificate_that_never_was_good_is_broken_until_it_is() {
    let authority = Authority::new("Root");
    let scratch = Scratch::new();
    let watched = watch_over(single(&scratch));
    let CertificateStatus::Broken(Finding::Unreadable { file, .. }) =
        watched.comes_to("shop", "broken")
    else {
        panic!("there is no file");
    };
    assert!(file.ends_with("shop.pem"));
    let issued = authority.issue(&["a.test"]);
    write(&scratch, "shop", &issued);
    watched.comes_to("shop", "active");
    watched.serves("shop", &issued);
}

#[test]
fn a_link_that_is_swapped_is_followed() {
    let authority = Authority::new("Root");
    let (old, new) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let scratch = Scratch::new();
    // As Kubernetes mounts secrets.
    for (version, issued) in [("..1", &old), ("..2", &new)] {
        scratch.write(&format!("{version}/tls.crt"), &issued.chain_pem);
        scratch.write(&format!("{version}/tls.key"), &issued.key_pem);
    }
    symlink("..1", scratch.join("..data")).unwrap();
    symlink("..data/tls.crt", scratch.join("tls.crt")).unwrap();
    symlink("..data/tls.key", scratch.join("tls.key")).unwrap();
    let plan = WatchPlan {
        certificates: vec![FilesPlan {
            id: "secret".to_owned(),
            certificate: scratch.join("tls.crt"),
            key: scratch.join("tls.key"),
            ocsp: None,
        }],
        ..WatchPlan::default()
    };
    let watched = watch_over(plan);
    watched.serves("secret", &old);
    symlink("..2", scratch.join("..data_tmp")).unwrap();
    std::fs::rename(scratch.join("..data_tmp"), scratch.join("..data")).unwrap();
    watched.serves("secret", &new);
}

#[test]
fn a_folder_that_is_itself_a_link_is_followed() {
    let authority = Authority::new("Root");
    let (old, new) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let scratch = Scratch::new();
    write(&scratch, "old/shop", &old);
    write(&scratch, "new/shop", &new);
    symlink("old", scratch.join("current")).unwrap();
    let plan = WatchPlan {
        certificates: vec![FilesPlan {
            id: "shop".to_owned(),
            certificate: scratch.join("current/shop.pem"),
            key: scratch.join("current/shop.key"),
            ocsp: None,
        }],
        ..WatchPlan::default()
    };
    let watched = watch_over(plan);
    watched.serves("shop", &old);
    symlink("new", scratch.join("next")).unwrap();
    std::fs::rename(scratch.join("next"), scratch.join("current")).unwrap();
    watched.serves("shop", &new);
    // And on from there.
    write(&scratch, "new/shop", &old);
    watched.serves("shop", &old);
}

#[test]
fn a_folder_is_read_with_what_comes_and_goes() {
    let authority = Authority::new("Root");
    let (one, two, both) = (
        authority.issue(&["one.test"]),
        authority.issue(&["two.test"]),
        authority.issue(&["both.test"]),
    );
    let scratch = Scratch::new();
    write(&scratch, "one", &one);
    scratch.write("both.pem", format!("{}{}", both.key_pem, both.chain_pem));
    let plan = WatchPlan {
        folders: vec![FolderPlan {
            id: "certs".to_owned(),
            folder: scratch.path().to_owned(),
        }],
        ..WatchPlan::default()
    };
    let watched = watch_over(plan);
    watched.serves("certs/one", &one);
    watched.serves("certs/both", &both);
    scratch.write("two.test/privkey.pem", &two.key_pem);
    scratch.write("two.test/fullchain.pem", &two.chain_pem);
    watched.serves("certs/two.test", &two);
    std::fs::remove_file(scratch.join("one.pem")).unwrap();
    eventually("it is gone", || {
        watched.store.get("certs/one").is_none().then_some(())
    });
    watched
        .watcher
        .replan(WatchPlan::default(), KnownCertificates::default(), None);
    assert!(watched.store.is_empty() && watched.store.files().is_empty());
}

#[test]
fn ticket_keys_are_taken_when_their_file_changes() {
    use rustls::server::ProducesTickets;
    let (old, new) = ("00".repeat(32), "11".repeat(32));
    let hour = Duration::from_secs(3600);
    let scratch = Scratch::new();
    let path = scratch.write("tickets", &old);
    let tickets = Tickets::from_keys(old.as_bytes(), hour).unwrap();
    let plan = WatchPlan {
        ticket_keys: Some(path),
        ..WatchPlan::default()
    };
    let store = CertificateStore::new();
    let watcher = Watcher::start(
        plan.clone(),
        KnownCertificates::default(),
        store,
        Some(Arc::clone(&tickets)),
        Box::new(|_| {}),
    );
    scratch.write("tickets", format!("{new}\n{old}\n"));
    let other = Tickets::from_keys(new.as_bytes(), hour).unwrap();
    let ticket = other.bound([0; 32]).encrypt(b"session").unwrap();
    eventually("the new key opens", || {
        tickets.bound([0; 32]).decrypt(&ticket)
    });
    // A reload may bring others, which have the file's keys from then on.
    let next = Tickets::from_keys(old.as_bytes(), hour).unwrap();
    watcher.replan(plan, KnownCertificates::default(), Some(Arc::clone(&next)));
    assert!(next.bound([0; 32]).decrypt(&ticket).is_some());
}

#[test]
fn who_reads_other_files_is_told_when_they_change() {
    let scratch = Scratch::new();
    for version in ["..1", "..2"] {
        scratch.write(&format!("{version}/ca.pem"), version);
    }
    symlink("..1", scratch.join("..data")).unwrap();
    symlink("..data/ca.pem", scratch.join("ca.pem")).unwrap();
    let list = scratch.join("list.crl");
    let plan = WatchPlan {
        others: vec![scratch.join("ca.pem"), list.clone()],
        ..WatchPlan::default()
    };
    let (told, news) = std::sync::mpsc::sync_channel(16);
    let observer = move |news: News<'_>| {
        if matches!(news, News::Others) {
            told.send(()).unwrap();
        }
    };
    let watcher = Watcher::start(
        plan.clone(),
        KnownCertificates::default(),
        CertificateStore::new(),
        None,
        Box::new(observer),
    );
    let wait = |what: &str| news.recv_timeout(PATIENCE).expect(what);
    wait("they have come to be watched");
    symlink("..2", scratch.join("..data_tmp")).unwrap();
    std::fs::rename(scratch.join("..data_tmp"), scratch.join("..data")).unwrap();
    wait("a link was swapped");
    scratch.write("list.crl", "new");
    wait("a file has come");
    std::fs::remove_file(&list).unwrap();
    wait("a file has gone");
    // The same again is no news.
    watcher.replan(plan, KnownCertificates::default(), None);
    assert!(news.try_recv().is_err());
}
