//! The bytes of a connection, encrypted or not.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use crate::verifier::Remembering;
use foregate_bench::poll::would_block;
use foregate_bench::socket::prompt;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

/// Which handshakes a run demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshakes {
    /// Any.
    Any,
    /// Full ones only; no ticket is ever offered.
    Full,
    /// Resumed ones, but for the first in each place of connections.
    Resumed,
}

/// What TLS connections have in common.
pub(crate) struct Tls {
    base: ClientConfig,
    pub(crate) handshakes: Handshakes,
}

impl Tls {
    /// Trusts the certificates of a file, and offers one version, cipher suite and group, so that every proxy uses
    /// the same.
    pub(crate) fn new(ca_file: &str, alpn: &str, handshakes: Handshakes) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(ca_file)
            .map_err(|error| format!("--tls {ca_file}: {error}"))?;
        for certificate in certificates {
            certificate
                .map_err(|error| error.to_string())
                .and_then(|der| roots.add(der).map_err(|error| error.to_string()))
                .map_err(|error| format!("--tls {ca_file}: {error}"))?;
        }
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let provider = Arc::new(provider);
        let verifier = Remembering::new(roots, Arc::clone(&provider))?;
        let mut base = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        base.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        base.resumption = Resumption::disabled();
        Ok(Self { base, handshakes })
    }

    /// A configuration for one place of connections: tickets are kept for those that follow in the same place.
    pub(crate) fn place(&self) -> Arc<ClientConfig> {
        let mut config = self.base.clone();
        if self.handshakes == Handshakes::Resumed {
            config.resumption = Resumption::in_memory_sessions(4);
        }
        Arc::new(config)
    }
}

/// A socket, and the encryption over it.
pub(crate) struct Transport {
    pub(crate) socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Transport {
    /// Connects, and says the first word of a handshake.
    pub(crate) fn connect(
        to: &str,
        tls: Option<&Arc<ClientConfig>>,
        name: &str,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(to)?;
        prompt(&socket)?;
        socket.set_nonblocking(true)?;
        let tls = match tls {
            Some(config) => {
                let name = ServerName::try_from(name.to_owned()).map_err(broken)?;
                let connection = ClientConnection::new(Arc::clone(config), name).map_err(broken)?;
                Some(Box::new(connection))
            }
            None => None,
        };
        let mut transport = Self { socket, tls };
        transport.flush()?;
        Ok(transport)
    }

    /// Sends what waits, as far as it goes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether encrypted bytes wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Reads once; all that is decrypted by it lands in `scratch`, which must hold several records.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(scratch);
        };
        if tls.read_tls(&mut self.socket)? == 0 {
            return Ok(0);
        }
        let state = tls.process_new_packets().map_err(broken)?;
        let mut filled = 0;
        while filled < scratch.len() {
            match tls.reader().read(&mut scratch[filled..]) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.flush()?;
        if filled == 0 && !state.peer_has_closed() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(filled)
    }

    /// Encrypts and sends, as far as it goes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        let taken = tls.writer().write(bytes)?;
        self.flush()?;
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    /// Sends two pieces in one go where that is possible.
    pub(crate) fn write_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        if self.is_plain() {
            return self
                .socket
                .write_vectored(&[IoSlice::new(first), IoSlice::new(second)]);
        }
        self.write(first)
    }

    /// Not encrypted.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// What the handshake came to; `None` without TLS or before its end.
    pub(crate) fn handshake(&self) -> Option<HandshakeKind> {
        self.tls.as_ref()?.handshake_kind()
    }

    /// The protocol that the proxy chose.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.alpn_protocol()
    }

    /// Version, cipher suite and group, for the result.
    pub(crate) fn terms(&self) -> Option<String> {
        let tls = self.tls.as_ref()?;
        Some(format!(
            "{:?} {:?} {:?}",
            tls.protocol_version()?,
            tls.negotiated_cipher_suite()?.suite(),
            tls.negotiated_key_exchange_group()?.name()
        ))
    }

    /// Ends it as a browser would.
    pub(crate) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The peer may be gone already.
            let _ = self.flush();
        }
    }
}
