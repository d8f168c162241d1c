//! Certificates as files hold them: loaded from PEM and judged. Pure: bytes and the time are arguments.

mod finding;
mod name;
mod pem_text;
mod roots;
mod statement;
mod subject;

pub use finding::{Finding, Severity};
pub use name::CertificateName;
pub(crate) use pem_text::{pem_fault, without_marks};
pub use roots::{PlatformRoots, Roots};
pub use statement::{About, Statement, read_statement};
pub(crate) use subject::distinguished_name;

use rustls::crypto::aws_lc_rs::sign::{any_ecdsa_type, any_supported_type};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use statement::Staple;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

/// How many certificates a chain may have; longer ones are refused. Clients give up long before.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;

/// So long an RSA key must be not to be called weak.
const RSA_BITS_MIN: usize = 2048;

/// What kind of key a certificate has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// Elliptic curve; preferred when the client can use it.
    Ecdsa,
    /// Ed25519.
    Ed25519,
    /// RSA with so many bits of modulus.
    Rsa(usize),
}

impl KeyKind {
    /// As `certs` shows it.
    pub fn describe(self) -> String {
        match self {
            KeyKind::Ecdsa => "ecdsa".to_owned(),
            KeyKind::Ed25519 => "ed25519".to_owned(),
            KeyKind::Rsa(bits) => format!("rsa-{bits}"),
        }
    }
}

/// A certificate with its chain and its key: readable, and made for each other.
#[derive(Clone, Debug)]
pub struct LoadedCertificate {
    /// The names it is valid for.
    pub names: Vec<CertificateName>,
    /// Whose it is, as RFC 4514 writes names.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its serial number in hexadecimal digits.
    pub serial: String,
    /// When it begins to be valid, in seconds since 1970.
    pub not_before: i64,
    /// When it ends to be valid, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// What kind of key it has.
    pub key_kind: KeyKind,
    /// The chain and the key as handshakes use them.
    pub(crate) certified: Arc<CertifiedKey>,
    /// What its issuer says about revocation.
    staple: Option<Staple>,
    weakness: Option<&'static str>,
    /// A name of it that no host has.
    partial_wildcard: Option<Box<str>>,
    /// Whether servers may show it.
    is_for_servers: bool,
    shape: ChainShape,
}

/// What is known about a chain since it was loaded.
#[derive(Clone, Debug)]
struct ChainShape {
    /// The first certificate, counted from 0, that did not issue the one before it.
    broken_at: Option<usize>,
    /// Which certificate above the first expires first, counted from 0, and when.
    expires: Option<(usize, i64)>,
    /// Who issued the last one.
    last_issuer: Box<[u8]>,
    last_issuer_name: Box<str>,
    /// Whether the last one issued itself.
    ends_at_itself: bool,
}

/// What of a certificate of a chain says who issued whom.
#[derive(Clone, Debug)]
struct Link {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    key_identifier: Option<Vec<u8>>,
    issuer_key_identifier: Option<Vec<u8>>,
}

/// Reads a chain and its key.
///
/// # Errors
/// Why they can't be served: one is missing or unreadable, or they don't belong together.
pub fn load(chain_pem: &[u8], key_pem: &[u8]) -> Result<LoadedCertificate, Finding> {
    let chain = read_chain(chain_pem)?;
    let key = read_key(key_pem)?;
    assemble(chain, key)
}

/// The certificates of a PEM text.
///
/// # Errors
/// There is none, there are too many, or one is malformed.
pub fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Finding> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&without_marks(pem)) {
        let certificate =
            certificate.map_err(|error| Finding::MalformedCertificate(pem_fault(&error)))?;
        if chain.len() == CHAIN_CERTIFICATES_MAX {
            return Err(Finding::MalformedCertificate(format!(
                "a chain has at most {CHAIN_CERTIFICATES_MAX} certificates"
            )));
        }
        chain.push(certificate);
    }
    if chain.is_empty() {
        return Err(Finding::NoCertificate);
    }
    Ok(chain)
}

/// The private key of a PEM text: PKCS #8, SEC 1 or PKCS #1.
///
/// # Errors
/// There is none, or it is malformed.
pub fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Finding> {
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED ", b"4,ENCRYPTED"];
    if marks
        .iter()
        .any(|mark| pem.windows(mark.len()).any(|window| window == *mark))
    {
        return Err(Finding::UnsupportedKey(
            "it is encrypted with a passphrase; store it without one, readable by the gateway alone"
                .to_owned(),
        ));
    }
    PrivateKeyDer::from_pem_slice(&without_marks(pem)).map_err(|error| match error {
        pem::Error::NoItemsFound => Finding::NoKey,
        error => Finding::MalformedKey(pem_fault(&error)),
    })
}

/// Puts a chain and a key together.
///
/// # Errors
/// As [`load`].
pub fn assemble(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<LoadedCertificate, Finding> {
    let parsed = chain.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let (Some(leaf_der), Some(leaf)) = (chain.first(), parsed.first()) else {
        return Err(Finding::NoCertificate);
    };
    let shape = shape(&parsed);
    let key = signing_key(&key, leaf).map_err(|_| Finding::UnsupportedKey(unsupported(leaf)))?;
    let matches = key
        .public_key()
        .is_some_and(|public| public.as_ref() == leaf.public_key().raw);
    if !matches {
        return Err(Finding::KeyMismatch);
    }
    let (key_kind, mut weakness) = key_kind(leaf)?;
    if weakness.is_none() {
        weakness = weak_signature(leaf);
    }
    Ok(LoadedCertificate {
        names: names(leaf),
        subject: distinguished_name(leaf.subject()),
        issuer: distinguished_name(leaf.issuer()),
        serial: leaf.raw_serial().iter().map(hex_byte).collect(),
        not_before: leaf.validity().not_before.timestamp(),
        not_after: leaf.validity().not_after.timestamp(),
        fingerprint: fingerprint(leaf_der),
        key_kind,
        weakness,
        partial_wildcard: partial_wildcard(leaf),
        is_for_servers: is_for_servers(leaf),
        shape,
        staple: None,
        certified: Arc::new(CertifiedKey::new(chain, key)),
    })
}

/// The key to sign with. Most often it is of the certificate's kind, so that is tried first: each try reads the key and
/// multiplies points.
fn signing_key(
    key: &PrivateKeyDer<'_>,
    leaf: &X509Certificate<'_>,
) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    match leaf.public_key().parsed() {
        Ok(PublicKey::EC(_)) => any_ecdsa_type(key).or_else(|_| any_supported_type(key)),
        _ => any_supported_type(key),
    }
}

/// Why the key of a certificate can't be used.
fn unsupported(leaf: &X509Certificate<'_>) -> String {
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < RSA_BITS_MIN => format!(
            "an RSA key of {} bits is too short, it must have {RSA_BITS_MIN} or more",
            key.key_size()
        ),
        _ => "it is neither RSA, ECDSA (P-256, P-384, P-521) nor Ed25519".to_owned(),
    }
}

fn hex_byte(byte: &u8) -> String {
    format!("{byte:02x}")
}

/// SHA-256 of a certificate.
pub fn fingerprint(der: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    fingerprint
}

pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Finding> {
    let (rest, certificate) = X509Certificate::from_der(der)
        .map_err(|error| Finding::MalformedCertificate(error.to_string()))?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        let what = "there are bytes behind its end";
        Err(Finding::MalformedCertificate(what.to_owned()))
    }
}

fn link(certificate: &X509Certificate<'_>) -> Link {
    let mut link = Link {
        subject: certificate.subject().as_raw().to_vec(),
        issuer: certificate.issuer().as_raw().to_vec(),
        key_identifier: None,
        issuer_key_identifier: None,
    };
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => link.key_identifier = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                link.issuer_key_identifier = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
    link
}

fn shape(chain: &[X509Certificate<'_>]) -> ChainShape {
    let links: Vec<Link> = chain.iter().map(link).collect();
    let broken = links
        .windows(2)
        .position(|pair| !pair[0].is_issued_by(&pair[1]));
    let times = chain.iter().enumerate().skip(1);
    let last = chain.last().map(|certificate| certificate.issuer());
    ChainShape {
        broken_at: broken.map(|at| at + 1),
        expires: times
            .map(|(at, certificate)| (at, certificate.validity().not_after.timestamp()))
            .min_by_key(|(_, not_after)| *not_after),
        last_issuer: last.map(|name| name.as_raw().into()).unwrap_or_default(),
        last_issuer_name: last
            .map(|name| distinguished_name(name).into())
            .unwrap_or_default(),
        ends_at_itself: links.last().is_some_and(|link| link.subject == link.issuer),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<CertificateName> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternatives.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => CertificateName::dns(name),
            GeneralName::IPAddress(octets) => CertificateName::ip(octets),
            _ => None,
        })
        .collect()
}

/// A name with a `*` that is not its whole first label. RFC 9525 §6.3: it matches nothing.
fn partial_wildcard(certificate: &X509Certificate<'_>) -> Option<Box<str>> {
    let alternatives = certificate.subject_alternative_name().ok()??;
    let mut names = alternatives.value.general_names.iter();
    names.find_map(|name| match name {
        GeneralName::DNSName(name) if name.contains('*') => {
            CertificateName::dns(name).is_none().then(|| (*name).into())
        }
        _ => None,
    })
}

/// RFC 5280 §4.2.1.12: what does not say what it is for is for everything.
fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.any || usage.value.server_auth,
        _ => true,
    }
}

fn key_kind(certificate: &X509Certificate<'_>) -> Result<(KeyKind, Option<&'static str>), Finding> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => {
            let bits = key.key_size();
            let weak = (bits < RSA_BITS_MIN).then_some("its RSA key is shorter than 2048 bits");
            Ok((KeyKind::Rsa(bits), weak))
        }
        Ok(PublicKey::EC(_)) => Ok((KeyKind::Ecdsa, None)),
        _ if certificate.public_key().algorithm.algorithm == oid_registry::OID_SIG_ED25519 => {
            Ok((KeyKind::Ed25519, None))
        }
        _ => Err(Finding::UnsupportedKey(
            "the certificate's key is neither RSA, ECDSA nor Ed25519".into(),
        )),
    }
}

fn weak_signature(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let algorithm = &certificate.signature_algorithm.algorithm;
    let weak = [
        oid_registry::OID_PKCS1_MD5WITHRSAENC,
        oid_registry::OID_PKCS1_SHA1WITHRSA,
    ];
    weak.contains(algorithm)
        .then_some("it is signed with SHA-1 or MD5, which clients refuse")
}

impl LoadedCertificate {
    /// Whether it is valid for a host.
    pub fn serves(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.matches(host))
    }

    /// Whether it comes alone, without the certificate of who issued it.
    pub(crate) fn is_alone(&self) -> bool {
        self.chain().len() == 1 && !self.shape.ends_at_itself
    }

    /// What an operator should know about it at a time, in seconds since 1970. With `roots` it is also asked whether
    /// the chain ends at one of them.
    pub fn judge(&self, now_unix: i64, roots: Option<&Roots>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if now_unix >= self.not_after {
            findings.push(Finding::Expired {
                not_after: self.not_after,
            });
        }
        if now_unix < self.not_before {
            findings.push(Finding::NotYetValid {
                not_before: self.not_before,
            });
        }
        if let Some(weakness) = self.weakness {
            findings.push(Finding::WeakKey(weakness));
        }
        if self.names.is_empty() {
            findings.push(Finding::NoName);
        }
        if let Some(name) = &self.partial_wildcard {
            let name = name.to_string();
            findings.push(Finding::PartialWildcard { name });
        }
        if !self.is_for_servers {
            findings.push(Finding::WrongPurpose);
        }
        findings.extend(self.judge_chain(now_unix, roots));
        findings.extend(self.judge_staple(now_unix));
        findings
    }

    /// What is to be told of one that comes alone and that none of the system's roots has issued.
    pub(crate) fn without_issuer(&self, platform: &PlatformRoots) -> Option<Finding> {
        let roots = platform.for_judging(self)?;
        // Any time does: nothing stands above it that could be over.
        self.judge_chain(self.not_before, Some(roots))
    }

    /// Whether another one is the same, with the same chain and the same said about its revocation. Its key is, then.
    pub(crate) fn is_same(&self, other: &LoadedCertificate) -> bool {
        self.chain() == other.chain() && self.staple == other.staple
    }

    /// Whether clients accept it.
    pub(crate) fn is_accepted(&self, now_unix: i64) -> bool {
        let findings = self.judge(now_unix, None);
        let is_bad = |finding: &Finding| finding.severity() == Severity::Error;
        !findings.iter().any(is_bad)
    }

    fn judge_chain(&self, now_unix: i64, roots: Option<&Roots>) -> Option<Finding> {
        let shape = &self.shape;
        if let Some(at) = shape.broken_at {
            return Some(Finding::ChainBroken {
                position: at + 1,
                leaf: at == 1,
            });
        }
        if let Some((at, not_after)) = shape.expires
            && now_unix >= not_after
        {
            return Some(Finding::IntermediateExpired { position: at + 1 });
        }
        let known = roots.is_none_or(|roots| roots.issued(&shape.last_issuer));
        (!shape.ends_at_itself && !known).then(|| Finding::MissingIntermediate {
            issuer: shape.last_issuer_name.to_string(),
        })
    }

    /// The certificate, then those that lead to its root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The chain and the key as handshakes take them.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The same with a signed statement of its issuer that it is not revoked, to be shown with it (RFC 6066 §8) while it
    /// counts. One that is of no use is not shown; [`LoadedCertificate::judge`] says why.
    #[must_use]
    pub fn with_ocsp(mut self, response: Vec<u8>) -> LoadedCertificate {
        let leaf = self.certified.cert.first().map(parse);
        let leaf = leaf.and_then(Result::ok);
        let about = leaf.as_ref().map_or(About::default(), |leaf| About {
            serial: leaf.raw_serial(),
            issuer: leaf.issuer().as_raw(),
        });
        self.staple = Some(Staple::new(response, about, &self.certified));
        self
    }

    /// The chain and the key as handshakes at this time take them, in seconds since 1970.
    pub(crate) fn key_at(&self, now_unix: i64) -> &Arc<CertifiedKey> {
        let with = self.staple.as_ref().and_then(|staple| staple.at(now_unix));
        with.unwrap_or(&self.certified)
    }

    /// Whether time alone makes handshakes take another one.
    pub(crate) fn turns_between(&self, then_unix: i64, now_unix: i64) -> bool {
        !Arc::ptr_eq(self.key_at(then_unix), self.key_at(now_unix))
    }

    fn judge_staple(&self, now_unix: i64) -> Option<Finding> {
        match self.staple.as_ref()? {
            Staple::Useless(why) => Some(Finding::StatementUnusable(why)),
            Staple::Timed(statement, _) => {
                (!statement.counts(now_unix)).then_some(Finding::StatementOutOfTime {
                    this_update: statement.this_update,
                    next_update: statement.next_update,
                })
            }
        }
    }

    /// Whether it can be served for a site, and if not, why.
    pub fn judge_name(&self, host: &str) -> Option<Finding> {
        (!self.serves(host)).then(|| Finding::WrongName {
            wanted: host.to_owned(),
            names: self.names.iter().map(ToString::to_string).collect(),
        })
    }
}

impl Link {
    fn is_issued_by(&self, issuer: &Link) -> bool {
        let same_key = match (&self.issuer_key_identifier, &issuer.key_identifier) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        self.issuer == issuer.subject && same_key
    }
}

#[cfg(test)]
mod tests;
