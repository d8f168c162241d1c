//! What the connections of a story run over: the same peers, in cleartext and behind a TLS handshake.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::{Authority, Connection, Issued, PATIENCE, Trouble};

/// Cleartext or TLS.
#[derive(Clone, Debug)]
pub enum Transport {
    /// As the bytes are.
    Cleartext,
    /// Behind a handshake.
    Tls(Arc<Tls>),
}

impl Transport {
    /// TLS with an authority of its own.
    pub fn tls() -> Transport {
        Transport::Tls(Arc::new(Tls::new(Authority::issue)))
    }

    /// The same with a key whose signatures take a server long.
    pub fn tls_rsa() -> Transport {
        let issue = |authority: &Authority, names: &[&str]| authority.request(names).rsa().issue();
        Transport::Tls(Arc::new(Tls::new(issue)))
    }

    pub(crate) fn secrets(&self) -> Option<&Arc<Tls>> {
        match self {
            Transport::Cleartext => None,
            Transport::Tls(tls) => Some(tls),
        }
    }
}

/// Both ends of the handshakes of a story: one authority, and one certificate of it for `127.0.0.1`, which everybody who
/// is connected to shows.
#[derive(Debug)]
pub struct Tls {
    authority: Authority,
    issued: Issued,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    fn new(issue: impl Fn(&Authority, &[&str]) -> Issued) -> Tls {
        let authority = Authority::new("Transport Root");
        let issued = issue(&authority, &["127.0.0.1"]);
        Tls {
            http1: client(&authority, b"http/1.1"),
            http2: client(&authority, b"h2"),
            server: server(&issued, &[b"http/1.1"]),
            authority,
            issued,
        }
    }

    /// The authority's certificate.
    pub fn root_pem(&self) -> String {
        self.authority.pem()
    }

    /// What is shown.
    pub fn issued(&self) -> &Issued {
        &self.issued
    }

    /// Holds the handshake of a backend.
    pub(crate) fn accept(&self, connection: Connection) -> Result<Connection, Trouble> {
        let session = ServerConnection::new(Arc::clone(&self.server));
        let session = session.expect("the configuration is whole");
        connection.secured(session.into())
    }
}

/// How a server holds handshakes, agreeing on one of these protocols.
pub(crate) fn server(issued: &Issued, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .expect("the chain is PEM");
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("the key is PEM");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key is the certificate's");
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn client(authority: &Authority, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("it is PEM");
    roots.add(root).expect("an authority can be trusted");
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// Whom a client connects to, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl From<SocketAddr> for Target {
    /// In cleartext.
    fn from(address: SocketAddr) -> Target {
        Target { address, tls: None }
    }
}

impl Target {
    /// Over some transport.
    pub fn over(transport: &Transport, address: SocketAddr) -> Target {
        Target {
            address,
            tls: transport.secrets().cloned(),
        }
    }

    /// What its URLs begin with.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls {
            None => "http",
            Some(_) => "https",
        }
    }

    /// Its URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.address)
    }

    /// What a client that speaks HTTP/1.1 says first in a handshake, another time each.
    ///
    /// # Panics
    /// When it is spoken to in cleartext.
    pub(crate) fn hello(&self) -> Vec<u8> {
        let tls = self.tls.as_ref().expect("it speaks TLS");
        let mut session = self.session(&tls.http1);
        let mut hello = Vec::new();
        session
            .write_tls(&mut hello)
            .expect("a vector takes everything");
        hello
    }

    fn session(&self, config: &Arc<ClientConfig>) -> ClientConnection {
        let name = ServerName::IpAddress(IpAddr::from(self.address.ip()));
        ClientConnection::new(Arc::clone(config), name).expect("the configuration is whole")
    }

    /// A socket that is connected to it, with a receive buffer of about so many bytes if they are said.
    ///
    /// # Panics
    /// When nobody listens there.
    pub(crate) fn connect(&self, receive_bytes: Option<usize>) -> TcpStream {
        let address = self.address;
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket can be made");
        if let Some(bytes) = receive_bytes {
            let set = socket.set_recv_buffer_size(bytes);
            set.expect("a receive buffer size can be set");
        }
        socket
            .connect_timeout(&address.into(), PATIENCE)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        socket.into()
    }

    /// Begins to speak HTTP/1.1 on a connected socket.
    ///
    /// # Panics
    /// When the handshake fails.
    pub(crate) fn begin(&self, stream: TcpStream) -> Connection {
        self.dress(stream, |tls| &tls.http1)
    }

    /// The same for HTTP/2.
    ///
    /// # Panics
    /// When the handshake fails.
    pub(crate) fn begin_http2(&self, stream: TcpStream) -> Connection {
        self.dress(stream, |tls| &tls.http2)
    }

    fn dress(&self, stream: TcpStream, config: fn(&Tls) -> &Arc<ClientConfig>) -> Connection {
        let connection = Connection::new(stream);
        let Some(tls) = &self.tls else {
            return connection;
        };
        connection
            .secured(self.session(config(tls)).into())
            .unwrap_or_else(|trouble| panic!("no handshake with {}: {trouble:?}", self.address))
    }
}
