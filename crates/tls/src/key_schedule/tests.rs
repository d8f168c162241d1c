//! Against the vectors of RFC 5869, and against what the library derives.

use super::{KeySchedule, SHA256, SHA384, derived_here};
use proptest::collection::vec;
use proptest::prelude::*;
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::crypto::tls13::{Hkdf, OkmBlock};

fn library(suite: SupportedCipherSuite) -> &'static dyn Hkdf {
    let SupportedCipherSuite::Tls13(suite) = suite else {
        panic!("not a suite of TLS 1.3");
    };
    suite.hkdf_provider
}

fn pairs() -> [(&'static KeySchedule, &'static dyn Hkdf); 2] {
    [
        (&SHA256, library(cipher_suite::TLS13_AES_128_GCM_SHA256)),
        (&SHA384, library(cipher_suite::TLS13_AES_256_GCM_SHA384)),
    ]
}

fn expanded(
    hkdf: &dyn Hkdf,
    salt: Option<&[u8]>,
    secret: &[u8],
    info: &[&[u8]],
    bytes: usize,
) -> Vec<u8> {
    let mut out = vec![0; bytes];
    let expander = hkdf.extract_from_secret(salt, secret);
    expander.expand_slice(info, &mut out).unwrap();
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn derives_the_vectors_of_rfc_5869() {
    let first = expanded(
        &SHA256,
        Some(&(0..=0x0c).collect::<Vec<u8>>()),
        &[0x0b; 22],
        &[&(0xf0..=0xf9).collect::<Vec<u8>>()],
        42,
    );
    assert_eq!(
        hex(&first),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
    let second = expanded(
        &SHA256,
        Some(&(0x60..=0xaf).collect::<Vec<u8>>()),
        &(0..=0x4f).collect::<Vec<u8>>(),
        &[&(0xb0..=0xff).collect::<Vec<u8>>()],
        82,
    );
    assert_eq!(
        hex(&second),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
         da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
    );
    let third = expanded(&SHA256, None, &[0x0b; 22], &[], 42);
    assert_eq!(
        hex(&third),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    );
}

#[test]
fn an_output_has_its_bound() {
    for (here, _) in pairs() {
        let expander = here.extract_from_zero_ikm(None);
        let most = 255 * expander.hash_len();
        assert!(expander.expand_slice(&[], &mut vec![0; most]).is_ok());
        assert!(expander.expand_slice(&[], &mut vec![0; most + 1]).is_err());
    }
}

#[test]
fn every_suite_of_tls_1_3_is_derived_here() {
    for suite in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
        let here = derived_here(*suite);
        assert_eq!(here.suite(), suite.suite());
        if let (SupportedCipherSuite::Tls13(here), SupportedCipherSuite::Tls13(there)) =
            (here, suite)
        {
            assert!(!std::ptr::eq(here, *there), "{suite:?}");
        }
    }
}

proptest! {
    #[test]
    fn derives_what_the_library_derives(
        salt in proptest::option::of(vec(any::<u8>(), 0..100)),
        secret in vec(any::<u8>(), 0..200),
        info in vec(vec(any::<u8>(), 0..200), 0..8),
        okm in vec(any::<u8>(), 48),
        bytes in 0..300_usize,
    ) {
        let info: Vec<&[u8]> = info.iter().map(Vec::as_slice).collect();
        for (here, there) in pairs() {
            let salt = salt.as_deref();
            let okm = OkmBlock::new(&okm[..here.algorithm.tag_len()]);
            let derived = |hkdf: &dyn Hkdf| {
                [
                    expanded(hkdf, salt, &secret, &info, bytes),
                    hkdf.extract_from_zero_ikm(None).expand_block(&info).as_ref().to_vec(),
                    hkdf.extract_from_zero_ikm(salt).expand_block(&info).as_ref().to_vec(),
                    hkdf.expander_for_okm(&okm).expand_block(&info).as_ref().to_vec(),
                    hkdf.hmac_sign(&okm, &secret).as_ref().to_vec(),
                ]
            };
            prop_assert_eq!(derived(here), derived(there));
        }
    }
}
