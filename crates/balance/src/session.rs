//! What a session's cookie says once it is unsealed, and what becomes of a request that brings one. Sealing it is others'.

/// The only version so far.
const VERSION: u8 = 1;

/// Where a session is, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionToken {
    /// The identity of its endpoint.
    pub endpoint: u64,
    /// Until when, in seconds since 1970; `u64::MAX` for ever.
    pub expires: u64,
}

impl SessionToken {
    /// Bytes of a token.
    pub const BYTES: usize = 17;

    /// As it is sealed.
    #[must_use]
    pub fn encode(&self) -> [u8; SessionToken::BYTES] {
        let mut bytes = [VERSION; SessionToken::BYTES];
        bytes[1..9].copy_from_slice(&self.endpoint.to_be_bytes());
        bytes[9..].copy_from_slice(&self.expires.to_be_bytes());
        bytes
    }

    /// From what was unsealed.
    ///
    /// # Errors
    /// It is of another version or length, or its time has passed.
    pub fn decode(bytes: &[u8], now: u64) -> Result<SessionToken, SessionNote> {
        let [VERSION, rest @ ..] = bytes else {
            return Err(SessionNote::Forged);
        };
        let Some((endpoint, expires)) = rest.split_first_chunk::<8>() else {
            return Err(SessionNote::Forged);
        };
        let Ok(expires) = <[u8; 8]>::try_from(expires) else {
            return Err(SessionNote::Forged);
        };
        let endpoint = u64::from_be_bytes(*endpoint);
        let expires = u64::from_be_bytes(expires);
        match expires > now {
            true => Ok(SessionToken { endpoint, expires }),
            false => Err(SessionNote::Expired),
        }
    }
}

/// What became of a request's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SessionNote {
    /// It brought no cookie: it begins a session.
    New,
    /// It went where its session is.
    Kept,
    /// The endpoint of its session is gone, not fit, or failed: it goes on elsewhere.
    Moved,
    /// Its cookie's time has passed: it begins a session.
    Expired,
    /// Its cookie was not sealed here, or not in this version: it begins a session.
    Forged,
}

impl SessionNote {
    /// All of them, in the order of their numbers.
    pub const ALL: [SessionNote; 5] = [
        SessionNote::New,
        SessionNote::Kept,
        SessionNote::Moved,
        SessionNote::Expired,
        SessionNote::Forged,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SessionNote::New => "new",
            SessionNote::Kept => "kept",
            SessionNote::Moved => "moved",
            SessionNote::Expired => "expired",
            SessionNote::Forged => "forged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tokens_come_back(endpoint in any::<u64>(), expires in 1..u64::MAX) {
            let token = SessionToken { endpoint, expires };
            prop_assert_eq!(SessionToken::decode(&token.encode(), expires - 1), Ok(token));
            prop_assert_eq!(SessionToken::decode(&token.encode(), expires), Err(SessionNote::Expired));
        }

        #[test]
        fn whatever_comes_does_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let decoded = SessionToken::decode(&bytes, 0);
            prop_assert!(bytes.len() == SessionToken::BYTES || decoded == Err(SessionNote::Forged));
        }
    }

    #[test]
    fn another_version_is_not_believed() {
        let mut bytes = SessionToken {
            endpoint: 7,
            expires: 9,
        }
        .encode();
        bytes[0] = 2;
        assert_eq!(SessionToken::decode(&bytes, 0), Err(SessionNote::Forged));
        for (number, note) in SessionNote::ALL.into_iter().enumerate() {
            assert_eq!(note as usize, number);
        }
    }
}
