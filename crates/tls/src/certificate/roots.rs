//! The roots that chains end at.

use crate::certificate::{Finding, LoadedCertificate, pem_fault, read_chain, without_marks};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

/// Certificates that are trusted.
#[derive(Clone, Debug)]
pub struct Roots {
    pub(crate) anchors: Arc<RootCertStore>,
    subjects: Arc<HashSet<Vec<u8>>>,
}

impl Roots {
    /// The roots of the system. What can't be read of them is left out.
    pub fn platform() -> Roots {
        let found = rustls_native_certs::load_native_certs();
        Roots::new(found.certs)
    }

    /// No certificate.
    pub fn none() -> Roots {
        Roots::new(Vec::new())
    }

    /// The certificates of a PEM text.
    ///
    /// # Errors
    /// There is none in it, or one can't be read.
    pub fn from_pem(pem: &[u8]) -> Result<Roots, Finding> {
        let mut certificates = Vec::new();
        for certificate in read_bundle(pem)? {
            crate::certificate::parse(&certificate)?;
            certificates.push(certificate);
        }
        Ok(Roots::new(certificates))
    }

    /// Of these, as far as they can be read.
    pub(crate) fn new(certificates: Vec<CertificateDer<'static>>) -> Roots {
        let mut anchors = RootCertStore::empty();
        let mut subjects = HashSet::new();
        for certificate in certificates {
            let subject = crate::certificate::parse(&certificate)
                .map(|parsed| parsed.subject().as_raw().to_vec());
            if let (Ok(subject), Ok(())) = (subject, anchors.add(certificate)) {
                subjects.insert(subject);
            }
        }
        Roots {
            anchors: Arc::new(anchors),
            subjects: Arc::new(subjects),
        }
    }

    /// Whether one of them has this name, as DER writes it.
    pub(crate) fn issued(&self, issuer: &[u8]) -> bool {
        self.subjects.contains(issuer)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }
}

/// The system's roots, which are read once a certificate is met that needs them.
#[derive(Debug, Default)]
pub struct PlatformRoots(OnceLock<Roots>);

impl PlatformRoots {
    /// A system with these.
    pub fn of(roots: Roots) -> PlatformRoots {
        PlatformRoots(OnceLock::from(roots))
    }

    /// What a certificate's chain is to be judged by: nothing where the chain is longer, as it may end below the root of a
    /// private authority, which need not be told, or where there are no roots.
    pub fn for_judging(&self, certificate: &LoadedCertificate) -> Option<&Roots> {
        if !certificate.is_alone() {
            return None;
        }
        let roots = self.0.get_or_init(Roots::platform);
        (!roots.is_empty()).then_some(roots)
    }
}

/// As [`read_chain`], without its bound: bundles of roots are long.
fn read_bundle(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Finding> {
    use rustls_pki_types::pem::PemObject;
    let certificates = CertificateDer::pem_slice_iter(&without_marks(pem))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Finding::MalformedCertificate(pem_fault(&error)))?;
    if certificates.is_empty() {
        return read_chain(pem);
    }
    Ok(certificates)
}
