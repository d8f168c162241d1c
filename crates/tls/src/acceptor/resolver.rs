//! Which certificate a handshake shows.

use crate::acceptor::ChallengeSource;
use crate::calendar::unix_s;
use crate::names::{NameTable, plain};
use crate::store::{CertificateStore, Offer};
use rustls::CipherSuite;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

thread_local! {
    /// The address that the client of the handshake in progress connected to. rustls asks for certificates from within
    /// and has no place for it.
    static LOCAL: Cell<Option<IpAddr>> = const { Cell::new(None) };
}

/// Runs a part of a handshake whose client connected to `local`.
pub(crate) fn with_local_address<T>(local: Option<IpAddr>, part: impl FnOnce() -> T) -> T {
    LOCAL.set(local);
    let result = part();
    LOCAL.set(None);
    result
}

/// Chooses from the store, for the names of one set of rules.
#[derive(Debug)]
pub(crate) struct StoreResolver {
    pub(crate) names: Arc<NameTable>,
    pub(crate) store: Arc<CertificateStore>,
    pub(crate) trust: u32,
    pub(crate) default: Option<Arc<str>>,
}

impl ResolvesServerCert for StoreResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offer = Offer {
            schemes: hello.signature_schemes(),
            ecdsa_suites: hello.cipher_suites().iter().any(suits_ecdsa),
        };
        let now_unix = unix_s();
        let chosen = match hello.server_name() {
            Some(name) => {
                let name = plain(name);
                let settings = self.names.of(&name);
                // The rules were chosen by the name as it was read before; whoever gets another name past that must
                // not get past the rules.
                if settings.trust != self.trust {
                    return None;
                }
                self.store
                    .choose(&name, &offer, settings.only.as_deref(), now_unix)
            }
            None => {
                let local = LOCAL.get();
                if self.names.of_address(local).trust != self.trust {
                    return None;
                }
                local.and_then(|address| self.store.choose_for_address(address, &offer, now_unix))
            }
        };
        chosen.or_else(|| {
            let default = self.store.get(self.default.as_ref()?)?;
            Some(Arc::clone(default.key_at(now_unix)))
        })
    }
}

/// Whether a cipher suite goes with keys on elliptic curves; those of TLS 1.3 go with all.
fn suits_ecdsa(suite: &CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// Answers challenges.
pub(crate) struct ChallengeResolver(pub(crate) Arc<dyn ChallengeSource>);

impl ResolvesServerCert for ChallengeResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.certificate_for(&plain(hello.server_name()?))
    }
}

impl fmt::Debug for ChallengeResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeResolver")
    }
}
