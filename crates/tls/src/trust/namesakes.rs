//! Authorities of one name and different keys, as after the key of one was renewed. Which list speaks for a certificate is
//! found by its issuer's name alone, and a list of the other key speaks for nobody; so each of the keys has a verifier of its
//! own, which finds that key's lists first.

use crate::certificate::{distinguished_name, parse, without_marks};
use crate::profile::provider;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use std::sync::Arc;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// An authority that clients are certified by.
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    /// Its name, as DER writes it.
    pub(super) subject: Vec<u8>,
    /// Its name, as people read it.
    pub(super) name: String,
    /// Its key, with its algorithm.
    key: Vec<u8>,
    /// Its key alone.
    key_bits: Vec<u8>,
}

impl Authority {
    /// Those of a PEM text that can be read.
    pub(super) fn read(pem: &[u8]) -> Vec<Authority> {
        let pem = without_marks(pem);
        let certificates = CertificateDer::pem_slice_iter(&pem).flatten();
        certificates
            .filter_map(|certificate| {
                let parsed = parse(&certificate).ok()?;
                let (subject, key) = (parsed.subject(), parsed.public_key());
                Some(Authority {
                    subject: subject.as_raw().to_vec(),
                    name: distinguished_name(subject),
                    key: key.raw.to_vec(),
                    key_bits: key.subject_public_key.data.to_vec(),
                    certificate: certificate.clone(),
                })
            })
            .collect()
    }

    /// Whether a list is of its name and signed by its key. By which algorithm it says it is makes no difference: verifiers
    /// look at that themselves.
    pub(super) fn has_signed(&self, list: &CertificateRevocationList<'_>) -> bool {
        let algorithms = provider().signature_verification_algorithms.all;
        let (text, signature) = (list.tbs_cert_list.as_ref(), &list.signature_value.data);
        list.issuer().as_raw() == self.subject
            && algorithms.iter().any(|algorithm| {
                algorithm
                    .verify_signature(&self.key_bits, text, signature)
                    .is_ok()
            })
    }
}

/// The keys of an authority's namesakes, its own among them, each once.
fn keys_of<'a>(authorities: &'a [Authority], subject: &[u8]) -> Vec<&'a [u8]> {
    let mut keys: Vec<&[u8]> = Vec::new();
    for one in authorities.iter().filter(|one| one.subject == subject) {
        if !keys.contains(&&*one.key) {
            keys.push(&one.key);
        }
    }
    keys
}

/// Whether several keys go by this name.
pub(super) fn are_namesakes(authorities: &[Authority], subject: &[u8]) -> bool {
    keys_of(authorities, subject).len() > 1
}

/// The authorities, parted so that no part has two keys of one name; every one is in one part at least.
pub(super) fn part(authorities: &[Authority]) -> Vec<Vec<&Authority>> {
    let keys: Vec<_> = authorities
        .iter()
        .map(|one| keys_of(authorities, &one.subject))
        .collect();
    let parts = keys.iter().map(Vec::len).max().unwrap_or(1);
    let is_in = |keys: &Vec<&[u8]>, one: &Authority, part: usize| {
        keys.get(part).or(keys.last()) == Some(&&*one.key)
    };
    (0..parts)
        .map(|part| {
            let all = authorities.iter().zip(&keys);
            let these = all.filter(|(one, keys)| is_in(keys, one, part));
            these.map(|(one, _)| one).collect()
        })
        .collect()
}

/// The lists, those first that these authorities have signed. None is left out: a key without a list of its own must not
/// become one that no list is looked for.
pub(super) fn own_first(
    authorities: &[&Authority],
    lists: &[CertificateRevocationListDer<'static>],
) -> Vec<CertificateRevocationListDer<'static>> {
    let is_own = |der: &CertificateRevocationListDer<'_>| {
        CertificateRevocationList::from_der(der)
            .is_ok_and(|(_, list)| authorities.iter().any(|one| one.has_signed(&list)))
    };
    let (mut own, others): (Vec<_>, Vec<_>) = lists.iter().cloned().partition(is_own);
    own.extend(others);
    own
}

/// Verifiers that are asked in turn. Each trusts its own authorities alone, so that one lets in nobody whom the verifier of
/// another key knows to be revoked.
#[derive(Debug)]
pub(super) struct Namesakes {
    pub(super) first: Arc<dyn ClientCertVerifier>,
    pub(super) others: Vec<Arc<dyn ClientCertVerifier>>,
}

/// Whether an error says no more than that it is not the right key, which may be of another kind.
fn is_of_stranger(error: &Error) -> bool {
    use CertificateError::{
        BadSignature, UnknownIssuer, UnsupportedSignatureAlgorithmContext,
        UnsupportedSignatureAlgorithmForPublicKeyContext,
    };
    matches!(
        error,
        Error::InvalidCertificate(
            UnknownIssuer
                | BadSignature
                | UnsupportedSignatureAlgorithmContext { .. }
                | UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        )
    )
}

impl ClientCertVerifier for Namesakes {
    fn offer_client_auth(&self) -> bool {
        self.first.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.first.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Every name is in every part.
        self.first.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let judge =
            |one: &dyn ClientCertVerifier| one.verify_client_cert(end_entity, intermediates, now);
        let mut told = match judge(&*self.first) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        for other in &self.others {
            match judge(&**other) {
                Ok(verified) => return Ok(verified),
                Err(error) if is_of_stranger(&told) => told = error,
                Err(_) => {}
            }
        }
        Err(told)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}
