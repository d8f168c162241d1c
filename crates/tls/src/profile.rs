//! Protocol versions, cipher suites and key exchanges by profile.

use crate::key_schedule::derived_here;
use crate::plan::Profile;
use crate::random::Visible;
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::version::{TLS12, TLS13};
use std::sync::{Arc, LazyLock};

/// The cryptography of both sides, made once: X25519MLKEM768 first, then X25519 and the curves of NIST; of TLS 1.2 what
/// Mozilla's intermediate recommendation has and is worth having, without finite fields.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = default_provider();
    provider.cipher_suites = vec![
        derived_here(cipher_suite::TLS13_AES_128_GCM_SHA256),
        derived_here(cipher_suite::TLS13_AES_256_GCM_SHA384),
        derived_here(cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    provider.secure_random = &Visible;
    Arc::new(provider)
});

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

static MODERN: &[&SupportedProtocolVersion] = &[&TLS13];
static INTERMEDIATE: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

pub(crate) fn versions(profile: Profile) -> &'static [&'static SupportedProtocolVersion] {
    match profile {
        Profile::Modern => MODERN,
        Profile::Intermediate => INTERMEDIATE,
    }
}

/// A cipher suite's registered name.
pub(crate) fn suite_name(suite: rustls::CipherSuite) -> &'static str {
    match suite.as_str() {
        Some("TLS13_AES_128_GCM_SHA256") => "TLS_AES_128_GCM_SHA256",
        Some("TLS13_AES_256_GCM_SHA384") => "TLS_AES_256_GCM_SHA384",
        Some("TLS13_CHACHA20_POLY1305_SHA256") => "TLS_CHACHA20_POLY1305_SHA256",
        Some(name) => name,
        None => "unknown",
    }
}
