//! HKDF (RFC 5869) for the key schedule of TLS 1.3 (RFC 8446 §7.1): what a secret's HMAC begins with is computed once, not for
//! each of the keys that are derived from it.

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, Key};
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::{SupportedCipherSuite, Tls13CipherSuite};
use std::sync::OnceLock;
use zeroize::Zeroize;

static SHA256: KeySchedule = KeySchedule::new(HMAC_SHA256);
static SHA384: KeySchedule = KeySchedule::new(HMAC_SHA384);

const ZEROES: [u8; Tag::MAX_LEN] = [0; Tag::MAX_LEN];

/// Room for a block with a label of RFC 8446 §7.1 and a hash.
const INPUT_BYTES_USUAL: usize = 160;

/// RFC 5869 §2.3.
const BLOCKS_MAX: usize = 255;

/// A cipher suite of TLS 1.3 whose secrets are derived here; any other as it is.
pub(crate) fn derived_here(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let SupportedCipherSuite::Tls13(suite) = suite else {
        return suite;
    };
    let hkdf_provider = match suite.common.hash_provider.output_len() {
        32 => &SHA256,
        48 => &SHA384,
        _ => return suite.into(),
    };
    // Leaked once for each suite of the one provider that a process has.
    let suite: &'static Tls13CipherSuite = Box::leak(Box::new(Tls13CipherSuite {
        common: rustls::crypto::CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: suite.common.hash_provider,
            confidentiality_limit: suite.common.confidentiality_limit,
        },
        hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: suite.quic,
    }));
    suite.into()
}

/// HKDF with one hash function.
struct KeySchedule {
    algorithm: hmac::Algorithm,
    /// What is extracted from no secret with no salt: every handshake that resumes nothing begins with it.
    nothing: OnceLock<Key>,
}

impl KeySchedule {
    const fn new(algorithm: hmac::Algorithm) -> KeySchedule {
        KeySchedule {
            algorithm,
            nothing: OnceLock::new(),
        }
    }

    fn zeroes(&self) -> &'static [u8] {
        &ZEROES[..self.algorithm.tag_len()]
    }

    fn key(&self, secret: &[u8]) -> Key {
        Key::new(self.algorithm, secret)
    }

    fn extract(&self, salt: Option<&[u8]>, secret: &[u8]) -> Key {
        let salt = self.key(salt.unwrap_or(self.zeroes()));
        self.key(hmac::sign(&salt, secret).as_ref())
    }
}

impl Hkdf for KeySchedule {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        let nothing = || self.extract(salt, self.zeroes());
        Box::new(Expander(match salt {
            None => self.nothing.get_or_init(nothing).clone(),
            Some(_) => nothing(),
        }))
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        Box::new(Expander(self.extract(salt, secret)))
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        Box::new(Expander(self.key(okm.as_ref())))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> Tag {
        Tag::new(hmac::sign(&self.key(key.as_ref()), message).as_ref())
    }
}

/// A secret that keys are derived from.
struct Expander(Key);

impl Expander {
    /// RFC 5869 §2.3; `out` is of [`BLOCKS_MAX`] blocks at most.
    fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        // The block before, what the key is for, and the block's number; the first has none before it.
        let hash_bytes = self.hash_len();
        let info_bytes: usize = info.iter().map(|part| part.len()).sum();
        let input_bytes = hash_bytes + info_bytes + 1;
        let (mut short, mut long) = ([0; INPUT_BYTES_USUAL], Vec::new());
        let input = match short.get_mut(..input_bytes) {
            Some(input) => input,
            None => {
                long.resize(input_bytes, 0);
                &mut long[..]
            }
        };
        let mut filled = hash_bytes;
        for part in info {
            input[filled..filled + part.len()].copy_from_slice(part);
            filled += part.len();
        }
        for (number, block) in (1..=u8::MAX).zip(out.chunks_mut(hash_bytes)) {
            input[filled] = number;
            let from = if number == 1 { hash_bytes } else { 0 };
            let tag = hmac::sign(&self.0, &input[from..]);
            block.copy_from_slice(&tag.as_ref()[..block.len()]);
            input[..hash_bytes].copy_from_slice(tag.as_ref());
        }
        input[..hash_bytes].zeroize();
    }
}

impl HkdfExpander for Expander {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        if output.len() > BLOCKS_MAX * self.hash_len() {
            return Err(OutputLengthError);
        }
        self.expand(info, output);
        Ok(())
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        let mut block = [0; OkmBlock::MAX_LEN];
        let block = &mut block[..self.hash_len()];
        self.expand(info, block);
        OkmBlock::new(block)
    }

    fn hash_len(&self) -> usize {
        self.0.algorithm().tag_len()
    }
}

#[cfg(test)]
mod tests;
