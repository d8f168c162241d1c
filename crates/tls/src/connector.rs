//! Handshakes with backends.

use crate::acceptor::{PlanFault, alpn};
use crate::certificate::{Finding, Roots, load};
use crate::fault::BackendTlsFault;
use crate::handshake::{Failure, Handshake, Party, Progress};
use crate::plan::{ConnectorPlan, RootsPlan};
use crate::profile::provider;
use crate::stream::Stream;
use crate::tls_stream::{State, TlsStream};
use foregate_eventloop::TcpStream;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// How much is read at once of a handshake.
const READ_BYTES: usize = 4 * 1024;

/// What holds handshakes with the backends of one upstream.
#[derive(Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Connector {
    /// From plain values. Reads the system's roots if they are what is trusted.
    ///
    /// # Errors
    /// The authorities, the certificate or its key can't be read, or the name is none.
    pub fn new(plan: &ConnectorPlan) -> Result<Arc<Connector>, PlanFault> {
        Connector::build(plan).map_err(|finding| PlanFault {
            name: None,
            finding,
        })
    }

    fn build(plan: &ConnectorPlan) -> Result<Arc<Connector>, Finding> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Finding::UnsupportedKey(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier(plan)?);
        let mut config = match &plan.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let certificate = load(chain, key)?;
                let certified = rustls::sign::SingleCertAndKey::from(certificate.certified);
                builder.with_client_cert_resolver(Arc::new(certified))
            }
        };
        if plan.http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        if plan.http1 {
            config.alpn_protocols.push(b"http/1.1".to_vec());
        }
        config.enable_sni = plan.send_sni;
        config.enable_secret_extraction = true;
        config.resumption = match plan.sessions_max {
            0 => Resumption::disabled(),
            sessions => Resumption::in_memory_sessions(sessions),
        };
        let server_name = match &plan.server_name {
            None => None,
            Some(name) => Some(server_name(name).ok_or_else(|| Finding::WrongName {
                wanted: name.clone(),
                names: Vec::new(),
            })?),
        };
        Ok(Arc::new(Connector {
            config: Arc::new(config),
            server_name,
        }))
    }

    /// Holds a handshake with a backend. `host` is what the endpoint is called, without port, and what its certificate
    /// must be for unless the plan has a name. The caller keeps the time.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect(&self, socket: TcpStream, host: &str) -> Result<Stream, BackendTlsFault> {
        let offered = self.config.alpn_protocols.clone();
        self.handshake(socket, host, offered).await
    }

    /// [`Connector::connect`], offering HTTP/1.1 only: for what HTTP/2 can't carry to every backend.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect_http1(
        &self,
        socket: TcpStream,
        host: &str,
    ) -> Result<Stream, BackendTlsFault> {
        self.handshake(socket, host, vec![b"http/1.1".to_vec()])
            .await
    }

    /// [`Connector::connect_http1`] over any stream: for those whose thread runs no loop of ours.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect_http1_over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<S>, BackendTlsFault> {
        let name = self.name_of(host)?;
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect(name, stream).await;
        connected.map_err(|error| {
            let cause = error.get_ref();
            match cause.and_then(|cause| cause.downcast_ref::<Error>()) {
                Some(cause) => BackendTlsFault::from(cause),
                None if error.kind() == ErrorKind::UnexpectedEof => BackendTlsFault::NotTls,
                None => BackendTlsFault::Broken,
            }
        })
    }

    /// Whom the certificate must be for.
    fn name_of(&self, host: &str) -> Result<ServerName<'static>, BackendTlsFault> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => server_name(host).ok_or(BackendTlsFault::NoName),
        }
    }

    async fn handshake(
        &self,
        mut socket: TcpStream,
        host: &str,
        offered: Vec<Vec<u8>>,
    ) -> Result<Stream, BackendTlsFault> {
        let name = self.name_of(host)?;
        let config = Arc::clone(&self.config);
        let party = UnbufferedClientConnection::new_with_alpn(config, name, offered);
        let party = party.map_err(|error| BackendTlsFault::from(&error))?;
        let mut handshake = Handshake::new(party, Vec::new());
        let mut incoming = Vec::with_capacity(READ_BYTES);
        loop {
            let progress = match handshake.advance() {
                Ok(progress) => progress,
                Err(failure) => {
                    // Tells the backend why; whether it arrives is its own matter.
                    let _ = socket.try_write(&handshake.flow.outgoing);
                    return Err(match failure {
                        Failure::Tls(error) => BackendTlsFault::from(&error),
                        Failure::Closed => BackendTlsFault::Refused,
                        Failure::Length => BackendTlsFault::NotTls,
                    });
                }
            };
            if !handshake.flow.outgoing.is_empty() {
                let sent = socket.write_all(&handshake.flow.outgoing).await;
                sent.map_err(|_| BackendTlsFault::Broken)?;
                handshake.flow.outgoing.clear();
            }
            if progress == Progress::Done {
                break;
            }
            match socket.read_buf(&mut incoming).await {
                Ok(0) => return Err(BackendTlsFault::NotTls),
                Ok(_) => handshake.received(&incoming),
                Err(_) => return Err(BackendTlsFault::Broken),
            }
            incoming.clear();
        }
        let alpn = alpn(handshake.party.common());
        let session = handshake.into_session();
        let session = session.map_err(|error| BackendTlsFault::from(&error))?;
        let state = State::Done(session);
        Ok(Stream::Tls(TlsStream::new(socket, state, alpn, None)))
    }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

fn verifier(plan: &ConnectorPlan) -> Result<Arc<dyn ServerCertVerifier>, Finding> {
    if !plan.verify {
        return Ok(Arc::new(Backends { chain: None }));
    }
    let roots = match &plan.roots {
        RootsPlan::Platform => Roots::platform(),
        RootsPlan::Pem(pem) => Roots::from_pem(pem)?,
    };
    if roots.is_empty() {
        return Err(Finding::NoCertificate);
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.anchors, provider()).build();
    let verifier = verifier.map_err(|error| Finding::MalformedCertificate(error.to_string()))?;
    Ok(Arc::new(Backends {
        chain: Some(verifier),
    }))
}

/// Verifies backends; without a chain to verify, whoever is in between can read and change everything, and a plan has said so.
///
/// Who has the name of a trusted authority and another key, as one that was made anew, is a stranger like any other; the
/// signature that a backend makes in the handshake is another matter.
#[derive(Debug)]
struct Backends {
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Backends {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{
            BadSignature, UnknownIssuer, UnsupportedSignatureAlgorithmForPublicKeyContext,
        };
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            // Its key may be of another kind, too.
            Error::InvalidCertificate(
                BadSignature | UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            ) => Error::InvalidCertificate(UnknownIssuer),
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
