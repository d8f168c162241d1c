//! One certificate of the store for whoever comes, for a listener that holds its handshakes by itself.

use crate::calendar::unix_s;
use crate::plan::Profile;
use crate::profile::{provider, versions};
use crate::store::CertificateStore;
use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Always the same entry, as it is at the time.
#[derive(Debug)]
struct Lone {
    store: Arc<CertificateStore>,
    id: Box<str>,
    /// What was shown last: whoever takes the entry out of the store is not locked out by that.
    last: ArcSwapOption<CertifiedKey>,
}

impl Lone {
    fn current(&self) -> Option<Arc<CertifiedKey>> {
        if let Some(served) = self.store.get(&self.id) {
            let key = served.key_at(unix_s());
            self.last.store(Some(Arc::clone(key)));
        }
        self.last.load_full()
    }
}

impl ResolvesServerCert for Lone {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// What handshakes follow that always show the certificate with this name of the store, renewals included: HTTP/1.1,
/// no resumption, nothing asked of clients. `None` without such a certificate.
pub fn lone(
    store: &Arc<CertificateStore>,
    id: &str,
    profile: Profile,
) -> Option<Arc<ServerConfig>> {
    let lone = Lone {
        store: Arc::clone(store),
        id: id.into(),
        last: ArcSwapOption::empty(),
    };
    lone.current()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(profile))
        .ok()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(lone));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Some(Arc::new(config))
}
