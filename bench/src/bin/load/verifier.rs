//! Looks at a certificate in full once. A proxy that is measured by its handshakes must be what they wait for, and not the
//! generator: a chain that was found good for a name is good for that name again, byte for byte. That the proxy has the
//! key is verified in one handshake of a few, from the first on: it signs in all of them, and can't know which.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// In one of so many handshakes the proxy's signature is verified.
const SIGNATURES_PER_VERIFIED: u64 = 8;

/// For how many names a chain is remembered.
const NAMES_MAX: usize = 16 * 1024;

type Chain = Vec<CertificateDer<'static>>;

/// Verifies as rustls does, and remembers what was good.
#[derive(Debug)]
pub(crate) struct Remembering {
    inner: Arc<WebPkiServerVerifier>,
    good: Mutex<HashMap<ServerName<'static>, Chain>>,
    /// Handshakes so far.
    signatures: AtomicU64,
}

impl Remembering {
    /// Trusts these roots.
    pub(crate) fn new(
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, String> {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        let good = Mutex::default();
        Ok(Arc::new(Self {
            inner,
            good,
            signatures: AtomicU64::new(0),
        }))
    }
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Nothing is half done while it is held.
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, others)) = good.get(server_name).and_then(|chain| chain.split_first())
            && known == end_entity
            && others == intermediates
        {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        if good.len() < NAMES_MAX {
            let chain = std::iter::once(end_entity).chain(intermediates);
            let chain = chain.map(|one| one.clone().into_owned()).collect();
            good.insert(server_name.to_owned(), chain);
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let number = self.signatures.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(SIGNATURES_PER_VERIFIED) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
