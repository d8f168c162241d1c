//! Certificates as they are issued, and what is read from them.

use std::fmt;
use std::net::IpAddr;

use foregate_telemetry::clock::UnixTime;
use instant_acme::CertificateIdentifier;
use rcgen::KeyPair;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::folder::Facts;
use crate::schedule::Span;

/// Certificates of one chain.
const CHAIN_MAX: usize = 16;

/// What is told of a private key that can't be read at all.
const KEY_NOT_PEM: &str = "the private key is not PEM";

/// Who issues a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A CA that speaks ACME.
    Acme,
    /// The internal CA.
    Internal,
}

impl Source {
    /// Its name in tables and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Source::Acme => "acme",
            Source::Internal => "internal",
        }
    }
}

/// A certificate that was issued (or found), with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// Every name it is for, in lower case.
    pub names: Vec<String>,
    /// The leaf and what leads to the root, PEM.
    pub chain_pem: String,
    /// The private key, PKCS#8 PEM.
    pub key_pem: String,
    /// Who issued it.
    pub source: Source,
    /// What is in it.
    pub facts: Facts,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("names", &self.names)
            .field("source", &self.source)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Issued {
    /// Reads a chain and checks that the key is the leaf's.
    pub(crate) fn new(
        chain_pem: String,
        key_pem: String,
        source: Source,
    ) -> Result<Issued, String> {
        let chain = chain(chain_pem.as_bytes())?;
        let leaf = parse(&chain[0])?;
        let key = key_pair(&key_pem)?;
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        if leaf.public_key().raw != spki.as_slice() {
            return Err("the certificate is not for this private key".to_owned());
        }
        Ok(Issued {
            names: names(&leaf),
            facts: facts(&chain[0], &leaf),
            chain_pem,
            key_pem,
            source,
        })
    }

    /// Reads a file of key and chain.
    pub(crate) fn from_pem(bytes: &[u8], source: Source) -> Result<Issued, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
        let begin = text
            .find("-----BEGIN CERTIFICATE-----")
            .ok_or("there is no certificate in it")?;
        let (key, chain) = text.split_at(begin);
        Issued::new(chain.to_owned(), key.to_owned(), source)
    }

    /// The chain, leaf first, and the key, both DER.
    ///
    /// # Errors
    /// When the texts are not PEM.
    pub fn der(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|_| KEY_NOT_PEM.to_owned())?;
        Ok((chain(self.chain_pem.as_bytes())?, key))
    }

    /// Whether it is for all these names.
    pub(crate) fn is_for(&self, names: &[String]) -> bool {
        names
            .iter()
            .all(|name| self.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }

    /// How the CA knows it (RFC 9773 §4.1).
    pub(crate) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let chain = chain(self.chain_pem.as_bytes()).ok()?;
        CertificateIdentifier::try_from(&chain[0])
            .ok()
            .map(CertificateIdentifier::into_owned)
    }
}

/// The private key of a PEM text. What stands there is told to nobody, as the library's words do.
pub(crate) fn key_pair(pem: &str) -> Result<KeyPair, String> {
    KeyPair::from_pem(pem).map_err(|error| match error {
        rcgen::Error::PemError(_) => KEY_NOT_PEM.to_owned(),
        error => format!("the private key can't be read: {error}"),
    })
}

/// The certificates of a PEM text; at least one.
pub(crate) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        if chain.len() == CHAIN_MAX {
            return Err(format!("more than {CHAIN_MAX} certificates"));
        }
        // The library's words show what stands there, and a key may stand in the same file.
        chain.push(certificate.map_err(|_| "the certificate is not PEM".to_owned())?);
    }
    match chain.is_empty() {
        true => Err("there is no certificate".to_owned()),
        false => Ok(chain),
    }
}

pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    X509Certificate::from_der(der.as_ref())
        .map(|(_, certificate)| certificate)
        .map_err(|error| format!("the certificate can't be read: {error}"))
}

fn facts(der: &CertificateDer<'_>, leaf: &X509Certificate<'_>) -> Facts {
    let life = life(leaf);
    let issuer = leaf
        .issuer()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .map_or_else(|| leaf.issuer().to_string(), str::to_owned);
    Facts {
        issuer,
        not_before: life.start.seconds(),
        not_after: life.end.seconds(),
        key_type: key_type(leaf).to_owned(),
        fingerprint: hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref()),
    }
}

pub(crate) fn life(leaf: &X509Certificate<'_>) -> Span {
    let time = |seconds: i64| UnixTime::from_seconds(seconds.max(0) as u64);
    let validity = leaf.validity();
    Span {
        start: time(validity.not_before.timestamp()),
        end: time(validity.not_after.timestamp()),
    }
}

fn key_type(leaf: &X509Certificate<'_>) -> &'static str {
    use x509_parser::public_key::PublicKey;
    match leaf.public_key().parsed() {
        Ok(PublicKey::EC(point)) if point.key_size() <= 256 => "ecdsa-p256",
        Ok(PublicKey::EC(point)) if point.key_size() <= 384 => "ecdsa-p384",
        Ok(PublicKey::EC(_)) => "ecdsa",
        Ok(PublicKey::RSA(_)) => "rsa",
        _ => "other",
    }
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
                .map(|bytes| IpAddr::from(bytes).to_string())
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(|b| IpAddr::from(b).to_string()))
                .ok(),
            _ => None,
        })
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn digest_hex(text: &str) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
}

/// What files, locks and logs call a certificate: its source, its first name, and a digest of all that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Of a certificate from `directory` (none: the internal CA) for `names`, in any order.
    #[must_use]
    pub fn of(names: &[String], source: Source, directory: Option<&str>) -> Key {
        let mut sorted: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let digest = digest_hex(&format!(
            "{}\n{}\n{}",
            source.name(),
            directory.unwrap_or_default(),
            sorted.join("\n")
        ));
        let first: String = sorted
            .first()
            .map(String::as_str)
            .unwrap_or_default()
            .chars()
            .take(100)
            .map(|c| match c {
                'a'..='z' | '0'..='9' | '.' | '-' => c,
                _ => '_',
            })
            .collect();
        Key(format!("{}-{first}-{}", source.name(), &digest[..12]))
    }

    pub(crate) fn of_file(name: String) -> Key {
        Key(name)
    }

    /// As text, which is safe as a part of a path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(names: &[&str], directory: &str) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Key::of(&names, Source::Acme, Some(directory)).0
    }

    #[test]
    fn keys_know_names_in_any_order_and_the_directory() {
        let one = key(&["b.example", "a.example"], "x");
        assert_eq!(one, key(&["A.example", "b.example", "b.example"], "x"));
        assert!(one.starts_with("acme-a.example-"), "{one}");
        assert_ne!(one, key(&["a.example", "b.example"], "y"));
        assert_ne!(one, key(&["a.example"], "x"));
    }

    #[test]
    fn nothing_of_a_damaged_key_is_told() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let read = |text: &str| Issued::from_pem(text.as_bytes(), Source::Acme);
        assert!(read(&format!("{key}{chain}")).is_ok());
        let begin = "-----BEGIN PRIVATE KEY-----\n";
        let secret = key.strip_prefix(begin).unwrap();
        let (first, rest) = secret.split_at(20);
        let cut = format!("{begin}{first}\n\n{rest}");
        let line = key.replace('\n', " ");
        for text in [
            format!("{cut}{chain}"),
            format!("{key}{chain}{line}"),
            format!("{key}{chain}{begin}{first}"),
        ] {
            let Err(told) = read(&text) else {
                panic!("{text}");
            };
            assert!(told.ends_with("is not PEM"), "{told}");
        }
    }

    #[test]
    fn keys_are_safe_in_paths() {
        let one = key(&["*.example/../x"], "x");
        assert!(one.starts_with("acme-_.example_.._x-"), "{one}");
        assert!(key(&[&"a".repeat(500)], "x").len() < 130);
    }
}
