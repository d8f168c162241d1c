//! TLS to an admin listener, and whom a command believes there.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foregate_config::Files;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};

use crate::files::SystemFiles;

/// Bytes that a file of certificates may have; the roots of a system have some 300,000.
const PEM_BYTES_MAX: usize = 4 << 20;

/// By what a command knows that it speaks with the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It shows the very certificate that is the first of this file.
    Certificate(PathBuf),
    /// Its certificate is for the name, and from one of this file's authorities, or of the system's without a file.
    Authorities(Option<PathBuf>),
}

/// Holds the handshake.
///
/// # Errors
/// It is not the gateway, or whom to believe can't be read.
pub(super) fn connect(
    mut stream: TcpStream,
    host: &str,
    trust: &Trust,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "the host is no name"))?;
    let config = config(trust)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(other)?;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut stream)
            .map_err(|error| told(error, trust))?;
    }
    Ok(StreamOwned::new(connection, stream))
}

fn config(trust: &Trust) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(other)?;
    Ok(match trust {
        Trust::Certificate(path) => {
            let certificate = certificates(path)?.swap_remove(0);
            let verifier = Same {
                certificate,
                provider,
            };
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth()
        }
        Trust::Authorities(path) => {
            let mut roots = RootCertStore::empty();
            let found = match path {
                Some(path) => certificates(path)?,
                None => rustls_native_certs::load_native_certs().certs,
            };
            roots.add_parsable_certificates(found);
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    })
}

/// The certificates of a file; there is one at least.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let pem = SystemFiles
        .read(path, PEM_BYTES_MAX)
        .map_err(|problem| io::Error::other(format!("cannot read {shown}: {problem}")))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(io::Error::other(format!("{shown} has no certificate"))),
    }
}

fn other(error: Error) -> io::Error {
    io::Error::other(error)
}

/// Why there is no connection, for people.
fn told(error: io::Error, trust: &Trust) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    let text = match (cause, trust) {
        (Some(Error::InvalidCertificate(_)), Trust::Certificate(path)) => {
            format!("it shows another certificate than {}", path.display())
        }
        (Some(Error::InvalidCertificate(problem)), Trust::Authorities(path)) => {
            let of = match path {
                Some(path) => path.display().to_string(),
                None => format!("the system (${} names others)", super::CA_VARIABLE),
            };
            format!("its certificate is not one of the authorities of {of}: {problem}")
        }
        (Some(Error::InvalidMessage(_)), _) => "it does not speak TLS".to_owned(),
        _ => return error,
    };
    io::Error::new(ErrorKind::InvalidData, text)
}

/// Believes one certificate, and whoever has its key. How long it is valid does not matter: it is the one of the
/// configuration.
#[derive(Debug)]
struct Same {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Same {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *shown == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, shown, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, shown, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
