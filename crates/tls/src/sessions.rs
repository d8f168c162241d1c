//! Sessions that are kept here instead of in tickets, for clients that can't take one and for early data, which must be
//! taken only once.

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use std::fmt;
use std::sync::Arc;

/// The sessions of the process, a bounded number of them; the oldest go first.
pub struct SessionCache {
    sessions: Arc<ServerSessionMemoryCache>,
}

impl SessionCache {
    /// A cache for so many.
    pub fn new(sessions_max: usize) -> Arc<SessionCache> {
        Arc::new(SessionCache {
            sessions: ServerSessionMemoryCache::new(sessions_max.max(1)),
        })
    }

    /// The sessions of handshakes that are held under one set of rules.
    pub(crate) fn bound(self: &Arc<Self>, binding: [u8; 32]) -> Arc<BoundSessions> {
        Arc::new(BoundSessions {
            cache: Arc::clone(self),
            binding,
        })
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCache")
    }
}

/// Sessions of one set of rules: those of others are not found.
#[derive(Debug)]
pub(crate) struct BoundSessions {
    cache: Arc<SessionCache>,
    binding: [u8; 32],
}

impl BoundSessions {
    fn key(&self, id: &[u8]) -> Vec<u8> {
        [&self.binding[..], id].concat()
    }
}

impl StoresServerSessions for BoundSessions {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        self.cache.sessions.put(self.key(&id), session)
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.cache.sessions.get(&self.key(id))
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.cache.sessions.take(&self.key(id))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_other_rules_are_not_found() {
        let cache = SessionCache::new(8);
        let (one, other) = (cache.bound([1; 32]), cache.bound([2; 32]));
        one.put(b"id".to_vec(), b"session".to_vec());
        assert_eq!(other.get(b"id"), None);
        assert_eq!(one.take(b"id"), Some(b"session".to_vec()));
        assert_eq!(one.take(b"id"), None);
    }

    #[test]
    fn there_are_never_more_than_fit() {
        let cache = SessionCache::new(8);
        let bound = cache.bound([1; 32]);
        for number in 0..100_u8 {
            bound.put(vec![number], vec![number]);
        }
        let kept = (0..100_u8).filter(|number| bound.get(&[*number]).is_some());
        assert!(kept.count() <= 8);
    }
}
