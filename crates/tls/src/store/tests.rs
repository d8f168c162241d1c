use super::*;
use crate::certificate::load;
use foregate_testkit::{Authority, Issued};
use std::time::{Duration, Instant};

const ALL: Offer<'static> = Offer {
    schemes: &[
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::ED25519,
    ],
    ecdsa_suites: true,
};

fn served(id: &str, issued: &Issued) -> Served {
    let loaded = load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    Served::new(id, loaded)
}

fn ids(store: &CertificateStore, host: &str) -> Vec<String> {
    let found = store.find(host);
    found.iter().map(|served| served.id.to_string()).collect()
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
    assert_eq!(ids(&store, "WWW.example.com"), ["exact"]);
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
    assert_eq!(store.find("b.test")[0].certificate.fingerprint, fingerprint);
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
    let chosen = |offer: &Offer<'_>| store.choose("a.test", offer, None).unwrap();
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
    let narrowed = store.choose("a.test", &ALL, Some(&[only])).unwrap();
    assert!(Arc::ptr_eq(&narrowed, &rsa_key));
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
                assert!(store.choose(&host, &ALL, None).is_some());
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
