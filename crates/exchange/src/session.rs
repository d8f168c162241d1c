//! Sessions: a cookie that says where a client's requests go, sealed so that nobody reads or forges it.

use crate::exchange::Exchange;
use crate::plan::Upstream;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::fill;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foregate_balance::{PickReason, SessionNote, SessionToken};
use foregate_message::{FieldId, Fields, Scheme};
use foregate_policy::cookies;
use foregate_snapshot::{CookieSecure, StickyPlan};
use foregate_telemetry::clock::{recent, unix_at};
use std::fmt;
use std::rc::Rc;

const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = NONCE_LEN + SessionToken::BYTES + TAG_BYTES;
/// Characters of a cookie's value.
const TEXT_BYTES: usize = SEALED_BYTES.div_ceil(3) * 4;

/// What the cookies of one upstream are sealed with.
pub struct Seal {
    /// The first seals, all open.
    keys: Box<[LessSafeKey]>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// A secret for a process whose configuration names none; `None` while the system has no random numbers.
    pub fn random_secret() -> Option<[u8; 32]> {
        let mut secret = [0; 32];
        fill(&mut secret).ok()?;
        Some(secret)
    }

    /// Keys of an upstream, each from a secret. A cookie of one upstream means nothing to another.
    pub fn new<'s>(upstream: &str, secrets: impl IntoIterator<Item = &'s [u8]>) -> Seal {
        let salt = Salt::new(HKDF_SHA256, b"foregate session 1");
        let keys = secrets.into_iter().filter_map(|secret| {
            let derived = salt.extract(secret);
            let name = [upstream.as_bytes()];
            let key = derived.expand(&name, &AES_256_GCM).ok()?;
            Some(LessSafeKey::new(UnboundKey::from(key)))
        });
        Seal {
            keys: keys.collect(),
        }
    }

    /// The text of a token, if there is a key to seal it.
    pub fn seal(&self, token: &SessionToken) -> Option<[u8; TEXT_BYTES]> {
        let mut sealed = [0; SEALED_BYTES];
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        fill(nonce).ok()?;
        let (plain, tag) = rest.split_first_chunk_mut::<{ SessionToken::BYTES }>()?;
        *plain = token.encode();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let made = self
            .keys
            .first()?
            .seal_in_place_separate_tag(nonce, Aad::empty(), plain);
        tag.copy_from_slice(made.ok()?.as_ref());
        let mut text = [0; TEXT_BYTES];
        URL_SAFE_NO_PAD.encode_slice(sealed, &mut text).ok()?;
        Some(text)
    }

    /// What a text says, if it was sealed here.
    ///
    /// # Errors
    /// It was not, or its time has passed.
    pub fn open(&self, text: &[u8], now: u64) -> Result<SessionToken, SessionNote> {
        if text.len() != TEXT_BYTES {
            return Err(SessionNote::Forged);
        }
        let mut sealed = [0; SEALED_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut sealed);
        let Some((nonce, sealed)) = sealed.split_first_chunk::<NONCE_LEN>() else {
            return Err(SessionNote::Forged);
        };
        if length != Ok(SEALED_BYTES) {
            return Err(SessionNote::Forged);
        }
        for key in &self.keys {
            let mut room = [0; SessionToken::BYTES + TAG_BYTES];
            room.copy_from_slice(sealed);
            let nonce = Nonce::assume_unique_for_key(*nonce);
            if let Ok(plain) = key.open_in_place(nonce, Aad::empty(), &mut room) {
                return SessionToken::decode(plain, now);
            }
        }
        Err(SessionNote::Forged)
    }
}

/// The session of a request to a sticky upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    /// The endpoint that it is with, while it is known.
    pub(crate) endpoint: Option<u64>,
    /// What became of it.
    pub(crate) note: SessionNote,
    /// The cookie is in the second half of its life: a new one is set.
    renew: bool,
}

/// Reads the session that a request brings.
pub(crate) fn read(upstream: &Upstream, sticky: &StickyPlan, fields: &Fields) -> Session {
    let new = |note| Session {
        endpoint: None,
        note,
        renew: false,
    };
    let (Some(text), Some(seal)) = (
        cookies::find(fields, sticky.cookie.as_bytes()),
        upstream.seal(),
    ) else {
        return new(SessionNote::New);
    };
    let now = unix_at(recent()).seconds();
    match seal.open(text, now) {
        Ok(token) => Session {
            endpoint: Some(token.endpoint),
            note: SessionNote::Kept,
            renew: sticky
                .lifetime_seconds
                .is_some_and(|lifetime| token.expires.saturating_sub(now) < lifetime / 2),
        },
        Err(note) => new(note),
    }
}

/// Tells the client where its session is, if it does not know.
pub(crate) fn tell(exchange: &mut Exchange, fields: &mut Fields) {
    let scheme = exchange.scheme;
    let plan = &exchange.plan;
    let number = exchange.destination(plan).upstream as usize;
    let upstream = Rc::clone(exchange.upstream(plan));
    let (Some(session), Some(pick)) = (&mut exchange.session, exchange.pick) else {
        return;
    };
    if session.note == SessionNote::Kept && pick.reason != PickReason::Session {
        session.note = SessionNote::Moved;
    }
    if session.note == SessionNote::Kept && !session.renew {
        return;
    }
    let (Some(sticky), Some(seal)) = (&plan.snapshot.upstreams[number].sticky, upstream.seal())
    else {
        return;
    };
    let token = SessionToken {
        endpoint: upstream.identity(pick.index),
        expires: match sticky.lifetime_seconds {
            Some(lifetime) => unix_at(recent()).seconds().saturating_add(lifetime),
            None => u64::MAX,
        },
    };
    let Some(text) = seal.seal(&token) else {
        return;
    };
    let secure = match sticky.secure {
        CookieSecure::Auto => scheme == Scheme::Https,
        CookieSecure::On => true,
        CookieSecure::Off => false,
    };
    let secure: &[u8] = if secure { b"; Secure" } else { b"" };
    let attributes = sticky.attributes.as_bytes();
    let name = sticky.cookie.as_bytes();
    fields.append_parts(FieldId::SetCookie, &[name, b"=", &text, attributes, secure]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: SessionToken = SessionToken {
        endpoint: 0x1234_5678_9abc_def0,
        expires: 1_000,
    };

    fn seal(upstream: &str, secrets: &[&str]) -> Seal {
        Seal::new(upstream, secrets.iter().map(|secret| secret.as_bytes()))
    }

    #[test]
    fn a_token_comes_back_and_does_not_show() {
        let app = seal("app", &["one"]);
        let (first, second) = (app.seal(&TOKEN).unwrap(), app.seal(&TOKEN).unwrap());
        assert_ne!(first, second, "the same endpoint never looks the same");
        assert_eq!(app.open(&first, 999), Ok(TOKEN));
        assert_eq!(app.open(&first, 1_000), Err(SessionNote::Expired));
        assert!(
            first
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        );
    }

    #[test]
    fn nobody_else_opens_it_and_old_secrets_do() {
        let text = seal("app", &["one"]).seal(&TOKEN).unwrap();
        assert_eq!(
            seal("shop", &["one"]).open(&text, 0),
            Err(SessionNote::Forged)
        );
        assert_eq!(
            seal("app", &["two"]).open(&text, 0),
            Err(SessionNote::Forged)
        );
        assert_eq!(seal("app", &["two", "one"]).open(&text, 0), Ok(TOKEN));
        assert!(seal("app", &[]).seal(&TOKEN).is_none());
    }

    #[test]
    fn metrics_call_sessions_by_the_same_names() {
        let names = SessionNote::ALL.map(SessionNote::name);
        assert_eq!(names, foregate_telemetry::metrics::SESSIONS);
    }

    #[test]
    fn any_change_is_noticed() {
        let app = seal("app", &["one"]);
        let text = app.seal(&TOKEN).unwrap();
        for at in 0..text.len() {
            let mut changed = text;
            changed[at] = if text[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(app.open(&changed, 0), Err(SessionNote::Forged), "at {at}");
        }
        for odd in [
            &b""[..],
            b"x",
            &text[1..],
            &[b'='; TEXT_BYTES],
            &[0xff; TEXT_BYTES],
        ] {
            assert_eq!(app.open(odd, 0), Err(SessionNote::Forged));
        }
    }
}
