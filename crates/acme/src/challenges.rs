//! What a CA asks of us to prove that a name is ours, ready to be answered by any worker without a lock.

pub(crate) mod shared;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::reason::{Failure, Reason};

/// The path below which HTTP-01 challenges are asked for (RFC 8555 §8.3).
pub const HTTP_PATH: &str = "/.well-known/acme-challenge/";
/// The protocol that a TLS-ALPN-01 handshake offers, alone (RFC 8737 §4).
pub const ALPN: &[u8] = b"acme-tls/1";

/// Challenges that may be open at once; orders are few at a time, and an order has at most a hundred names.
const OPEN_MAX: usize = 1_000;

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 256;

#[derive(Clone, Default)]
struct Open {
    http: HashMap<String, Arc<str>>,
    alpn: HashMap<String, Arc<CertifiedKey>>,
    /// Those of other processes that share the state folder.
    others_http: HashMap<String, Arc<str>>,
    others_alpn: HashMap<String, Arc<CertifiedKey>>,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.http.is_empty()
            && self.alpn.is_empty()
            && self.others_http.is_empty()
            && self.others_alpn.is_empty()
    }
}

/// The open challenges. Clones share one table.
#[derive(Clone, Default)]
pub struct Challenges {
    open: Arc<ArcSwap<Open>>,
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.open.load();
        f.debug_struct("Challenges")
            .field("http", &open.http.len())
            .field("alpn", &open.alpn.len())
            .finish()
    }
}

impl Challenges {
    /// An empty table.
    #[must_use]
    pub fn new() -> Challenges {
        Challenges::default()
    }

    /// Whether nothing is open, which is so nearly always.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.load().is_empty()
    }

    /// The body that answers a request for an HTTP-01 challenge: `path` is the request's path (RFC 8555 §8.3). To be
    /// sent with `Content-Type: application/octet-stream`.
    #[must_use]
    pub fn http_answer(&self, path: &[u8]) -> Option<Arc<str>> {
        let token = path.strip_prefix(HTTP_PATH.as_bytes())?;
        let open = self.open.load();
        if open.is_empty() {
            return None;
        }
        let token = std::str::from_utf8(token).ok()?;
        let own = open.http.get(token);
        own.or_else(|| open.others_http.get(token)).cloned()
    }

    /// The certificate for a handshake that offers [`ALPN`] for this name (RFC 8737 §3).
    #[must_use]
    pub fn alpn_certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let open = self.open.load();
        if open.is_empty() {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let own = open.alpn.get(&name);
        own.or_else(|| open.others_alpn.get(&name)).cloned()
    }

    /// Opens an HTTP-01 challenge until the guard goes.
    pub(crate) fn open_http(&self, token: &str, answer: &str) -> Result<OpenChallenge, Failure> {
        if !is_token(token) {
            return Err(Failure::new(
                Reason::DirectoryFailed,
                "the server's challenge has no proper token",
            ));
        }
        let answer: Arc<str> = answer.into();
        self.change(|open| {
            open.http.insert(token.to_owned(), Arc::clone(&answer));
        })?;
        Ok(OpenChallenge {
            challenges: self.clone(),
            slot: Slot::Http(token.to_owned()),
        })
    }

    /// Opens a TLS-ALPN-01 challenge until the guard goes; `digest` is SHA-256 of the key authorisation.
    pub(crate) fn open_alpn(&self, name: &str, digest: &[u8]) -> Result<OpenChallenge, Failure> {
        let name = name.to_ascii_lowercase();
        let certificate = Arc::new(alpn_certificate(&name, digest)?);
        self.change(|open| {
            open.alpn.insert(name.clone(), Arc::clone(&certificate));
        })?;
        Ok(OpenChallenge {
            challenges: self.clone(),
            slot: Slot::Alpn(name),
        })
    }

    /// Whether this process itself has opened it.
    pub(crate) fn is_own(&self, answer: &shared::Answer) -> bool {
        let open = self.open.load();
        match answer {
            shared::Answer::Http { token, .. } => open.http.contains_key(token),
            shared::Answer::Alpn { name, .. } => open.alpn.contains_key(name),
        }
    }

    /// From now on answers these, and no others but its own.
    pub(crate) fn answer_for_others(
        &self,
        http: Vec<(String, Arc<str>)>,
        alpn: Vec<(String, Arc<CertifiedKey>)>,
    ) {
        self.open.rcu(|open| Open {
            others_http: http.iter().cloned().collect(),
            others_alpn: alpn.iter().cloned().collect(),
            ..Open::clone(open)
        });
    }

    fn change(&self, mut change: impl FnMut(&mut Open)) -> Result<(), Failure> {
        let mut fits = true;
        self.open.rcu(|open| {
            let mut open = Open::clone(open);
            change(&mut open);
            fits = open.http.len() + open.alpn.len() <= OPEN_MAX;
            open
        });
        match fits {
            true => Ok(()),
            false => Err(Failure::new(
                Reason::OrderTimedOut,
                format!("more than {OPEN_MAX} challenges are open"),
            )),
        }
    }
}

/// A token is base64url (RFC 8555 §8.3); what else a server may send is not put into a table of paths.
fn is_token(token: &str) -> bool {
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(is_of_it)
}

enum Slot {
    Http(String),
    Alpn(String),
}

/// A challenge that is answered for as long as this lives.
pub(crate) struct OpenChallenge {
    challenges: Challenges,
    slot: Slot,
}

impl Drop for OpenChallenge {
    fn drop(&mut self) {
        let _ = self.challenges.change(|open| match &self.slot {
            Slot::Http(token) => {
                open.http.remove(token);
            }
            Slot::Alpn(name) => {
                open.alpn.remove(name);
            }
        });
    }
}

/// A self-signed certificate with the critical acmeIdentifier extension (RFC 8737 §3).
fn alpn_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            Reason::NoUsableChallenge,
            format!("cannot make the tls-alpn-01 certificate of {name}: {error}"),
        )
    };
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(|e| failed(&e))?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(|e| failed(&e))?;
    let certificate = params.self_signed(&key).map_err(|e| failed(&e))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer =
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|e| failed(&e))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_open_as_long_as_their_guard() {
        let challenges = Challenges::new();
        let seen = challenges.clone();
        let guard = challenges.open_http("tok_en-1", "tok_en-1.thumb").unwrap();
        let answer = seen.http_answer(b"/.well-known/acme-challenge/tok_en-1");
        assert_eq!(answer.as_deref(), Some("tok_en-1.thumb"));
        for path in [
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/tok_en-1/",
            "/.well-known/acme-challenge/../tok_en-1",
            "/tok_en-1",
        ] {
            assert_eq!(seen.http_answer(path.as_bytes()), None, "{path}");
        }
        drop(guard);
        assert!(seen.is_empty());
    }

    #[test]
    fn tokens_are_base64url() {
        let challenges = Challenges::new();
        for token in ["", "a/b", "a b", "..", "a%20"] {
            assert!(challenges.open_http(token, "x").is_err(), "{token}");
        }
    }

    #[test]
    fn handshakes_find_the_certificate_in_any_case() {
        let challenges = Challenges::new();
        let guard = challenges.open_alpn("Shop.example", &[7; 32]).unwrap();
        let found = challenges.alpn_certificate("SHOP.example").unwrap();
        let leaf = crate::certificate::parse(&found.cert[0]).unwrap();
        let extension = leaf
            .extensions()
            .iter()
            .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
            .unwrap();
        assert!(extension.critical);
        assert_eq!(extension.value, [&[4, 32][..], &[7; 32]].concat());
        assert!(challenges.alpn_certificate("other.example").is_none());
        drop(guard);
        assert!(challenges.alpn_certificate("shop.example").is_none());
    }
}
