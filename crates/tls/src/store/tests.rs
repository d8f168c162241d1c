use super::*;
use crate::certificate::load;
use foregate_testkit::{Authority, Issued};
use std::cell::RefCell;
use std::time::{Duration, Instant};

const ALL: Offer<'static> = Offer {
    schemes: &[
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::ED25519,
    ],
    ecdsa_suites: true,
};

/// In the year 2026.
const NOW: i64 = 1_780_000_000;

fn served(id: &str, issued: &Issued) -> Served {
    let loaded = load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    Served::new(id, loaded)
}

fn ids(store: &CertificateStore, host: &str) -> Vec<String> {
    let found = RefCell::new(Vec::new());
    store.has_such(host, |served| {
        found.borrow_mut().push(served.id.to_string());
        false
    });
    found.into_inner()
}

#[test]
fn names_find_their_certificates() {
    let root = Authority::new("Root");
    let store = CertificateStore::new();
    store.put(served("exact", &root.issue(&["www.example.com"])));
    store.put(served(
        "wild",
        &root.issue(&["*.example.com", "example.com", "10.0.0.1"]),
    ));
    assert_eq!(ids(&store, "WWW.example.com"), ["exact", "wild"]);
    assert_eq!(ids(&store, "api.example.com"), ["wild"]);
    assert_eq!(ids(&store, "example.com"), ["wild"]);
    assert_eq!(ids(&store, "10.0.0.1"), ["wild"]);
    assert!(ids(&store, "a.b.example.com").is_empty());
    assert!(ids(&store, "com").is_empty());
    store.remove("exact");
    assert_eq!(ids(&store, "www.example.com"), ["wild"]);
    store.remove("wild");
    assert!(store.is_empty() && ids(&store, "example.com").is_empty());
}

#[test]
fn a_renewed_certificate_takes_the_place_of_the_old_one_and_of_its_names() {
    let root = Authority::new("Root");
    let store = CertificateStore::new();
    store.put(served("shop", &root.issue(&["a.test", "b.test"])));
    let renewed = served("shop", &root.issue(&["b.test", "c.test"]));
    let fingerprint = renewed.certificate.fingerprint;
    store.put(renewed);
    assert!(ids(&store, "a.test").is_empty());
    assert!(
        store.has_such("b.test", |served| served.certificate.fingerprint
            == fingerprint)
    );
    assert_eq!(ids(&store, "c.test"), ["shop"]);
}

#[test]
fn clients_get_the_cheapest_key_that_they_can_verify() {
    let root = Authority::new("Root");
    let store = CertificateStore::new();
    let rsa = served("rsa", &root.request(&["a.test"]).rsa().issue());
    let ecdsa = served("ecdsa", &root.issue(&["a.test"]));
    let (rsa_key, ecdsa_key) = (Arc::clone(rsa.key()), Arc::clone(ecdsa.key()));
    store.apply(vec![
        Change::Put(Arc::new(rsa)),
        Change::Put(Arc::new(ecdsa)),
    ]);
    let chosen = |offer: &Offer<'_>| store.choose("a.test", offer, None, NOW).unwrap();
    assert!(Arc::ptr_eq(&chosen(&ALL), &ecdsa_key));
    let old = Offer {
        schemes: &[SignatureScheme::RSA_PSS_SHA256],
        ecdsa_suites: true,
    };
    assert!(Arc::ptr_eq(&chosen(&old), &rsa_key));
    let rsa_suites = Offer {
        ecdsa_suites: false,
        ..ALL
    };
    assert!(Arc::ptr_eq(&chosen(&rsa_suites), &rsa_key));
    let only: Arc<str> = "rsa".into();
    let narrowed = store.choose("a.test", &ALL, Some(&[only]), NOW).unwrap();
    assert!(Arc::ptr_eq(&narrowed, &rsa_key));
}

#[test]
fn what_is_in_time_goes_before_what_is_cheap_or_lasts_longer() {
    let root = Authority::new("Root");
    let store = CertificateStore::new();
    let rsa = || root.request(&["a.test", "10.0.0.1"]).rsa();
    let ecdsa = || root.request(&["a.test", "10.0.0.1"]);
    let shown = || {
        let by_name = store.choose("a.test", &ALL, None, NOW).unwrap();
        let address = "10.0.0.1".parse().unwrap();
        let by_address = store.choose_for_address(address, &ALL, NOW).unwrap();
        assert!(Arc::ptr_eq(&by_name, &by_address));
        let list = store.list();
        let of = list
            .iter()
            .find(|served| Arc::ptr_eq(served.key(), &by_name));
        of.unwrap().id.to_string()
    };
    store.put(served("over", &ecdsa().valid(2000, 2020).issue()));
    assert_eq!(shown(), "over", "better than none");
    store.put(served("next", &ecdsa().valid(2040, 2060).issue()));
    store.put(served("now", &rsa().valid(2000, 2030).issue()));
    assert_eq!(shown(), "now");
    store.put(served("cheap", &ecdsa().valid(2000, 2028).issue()));
    assert_eq!(shown(), "cheap");
}

#[test]
fn a_name_may_be_narrowed_to_a_folder_or_an_issuer() {
    let root = Authority::new("Root");
    let store = CertificateStore::new();
    store.put(served("acme:a.test", &root.issue(&["a.test"])));
    store.put(served("certs/b", &root.issue(&["b.test"])));
    let has = |host: &str, only: &str| store.has(host, Some(&[only.into()]));
    assert!(has("a.test", "acme:") && has("a.test", "acme:a.test"));
    assert!(!has("a.test", "internal:") && !has("a.test", "acme:*") && !has("a.test", "acme"));
    assert!(!has("b.test", "acme:"), "only does not widen");
    assert!(has("b.test", "certs/") && !has("b.test", "certs"));
}

#[test]
fn the_choice_takes_as_long_with_ten_thousand_certificates_as_with_ten() {
    let root = Authority::new("Root");
    let issued = root.issue(&["a.test"]);
    let template = served("template", &issued);
    let store_of = |count: usize| {
        let store = CertificateStore::new();
        let puts = (0..count).map(|number| {
            let mut served = template.clone();
            served.id = format!("certificate-{number}").into();
            let name = format!("site-{number}.example");
            served.certificate.names = vec![CertificateName::dns(&name).unwrap()];
            Change::Put(Arc::new(served))
        });
        store.apply(puts.collect());
        store
    };
    let (small, large) = (store_of(10), store_of(10_000));
    assert_eq!(large.len(), 10_000);
    // The smallest of many: whatever else the machine does can only lengthen a measurement.
    let shortest = |store: &CertificateStore| {
        let one = || {
            #[expect(clippy::disallowed_methods, reason = "a test measures")]
            let begin = Instant::now();
            for number in 0..10 {
                let host = format!("site-{number}.example");
                assert!(store.choose(&host, &ALL, None, NOW).is_some());
            }
            #[expect(clippy::disallowed_methods, reason = "a test measures")]
            begin.elapsed()
        };
        (0..200).map(|_| one()).min().unwrap()
    };
    let (small, large) = (shortest(&small), shortest(&large));
    assert!(
        large < small * 4 + Duration::from_micros(20),
        "{large:?} with 10,000, {small:?} with 10"
    );
}
