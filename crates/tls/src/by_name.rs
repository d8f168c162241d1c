//! Certificates for single names under a wildcard that clients refuse: most take none right under the name of a whole
//! domain (`*.localhost`). Whoever issued the wildcard issues them while their first clients shake hands.

use crate::certificate::LoadedCertificate;
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Certificates that are kept for one wildcard. When another comes, all are let go of: each is issued anew in less time
/// than its handshake takes.
const NAMES_MAX: usize = 1_000;

/// Who issues certificates for single names, in the middle of handshakes: it must neither wait nor read files.
pub trait NameIssuer: Send + Sync {
    /// A certificate for a name in lower case; `None` if it can't be issued.
    fn issue(&self, name: &str) -> Option<LoadedCertificate>;
}

/// The certificates that were issued for names under one wildcard. They live as long as it is served.
pub(crate) struct ByName {
    issuer: Arc<dyn NameIssuer>,
    issued: Mutex<HashMap<Box<str>, Arc<CertifiedKey>>>,
}

impl ByName {
    pub(crate) fn new(issuer: Arc<dyn NameIssuer>) -> ByName {
        ByName {
            issuer,
            issued: Mutex::default(),
        }
    }

    /// The certificate for a name in lower case.
    pub(crate) fn key(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let issued = || self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = issued().get(name) {
            return Some(Arc::clone(key));
        }
        // Not under the lock: others shake hands meanwhile.
        let key = self.issuer.issue(name)?.certified_key();
        let mut issued = issued();
        if issued.len() >= NAMES_MAX {
            issued.clear();
        }
        issued.insert(name.into(), Arc::clone(&key));
        Some(key)
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByName")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::load;
    use foregate_testkit::Authority;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counting {
        authority: Authority,
        issued: AtomicUsize,
    }

    impl NameIssuer for Counting {
        fn issue(&self, name: &str) -> Option<LoadedCertificate> {
            self.issued.fetch_add(1, Ordering::SeqCst);
            let issued = self.authority.issue(&[name]);
            load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).ok()
        }
    }

    #[test]
    fn a_name_is_issued_once_and_no_more_are_kept_than_are_allowed() {
        let issuer = Arc::new(Counting {
            authority: Authority::new("Root"),
            issued: AtomicUsize::new(0),
        });
        let by_name = ByName::new(Arc::clone(&issuer) as _);
        let first = by_name.key("a.localhost").unwrap();
        assert!(Arc::ptr_eq(&first, &by_name.key("a.localhost").unwrap()));
        assert_eq!(issuer.issued.load(Ordering::SeqCst), 1);
        for number in 0..NAMES_MAX {
            by_name.key(&format!("{number}.localhost")).unwrap();
            assert!(by_name.issued.lock().unwrap().len() <= NAMES_MAX);
        }
        assert!(!Arc::ptr_eq(&first, &by_name.key("a.localhost").unwrap()));
    }
}
