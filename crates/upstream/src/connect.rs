//! Dialling.

use foregate_eventloop::TcpStream;
use foregate_message::{Congestion, Reason};
use foregate_tls::{BackendTlsFault, Connector, Stream, control_congestion, keep_alive};
use foregate_wire::proxy;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Why no connection came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectFault {
    /// The endpoint's name has no address.
    Unresolved,
    /// The endpoint refused, or its host or network answered that it can't be reached.
    Refused,
    /// No descriptor or port was free here: the endpoint is not to blame.
    Exhausted,
    /// Anything else that the kernel said.
    Failed,
    /// HTTP/2 is asked for, and the endpoint did not agree to it in the TLS handshake.
    NoHttp2,
    /// The TLS handshake came to nothing.
    Tls(BackendTlsFault),
}

impl ConnectFault {
    /// The outcome that a request ends with when this was its last try.
    pub fn reason(self) -> Reason {
        match self {
            ConnectFault::Tls(BackendTlsFault::UnknownIssuer) => Reason::UpstreamUntrusted,
            ConnectFault::Tls(BackendTlsFault::WrongName | BackendTlsFault::NoName) => {
                Reason::UpstreamWrongName
            }
            ConnectFault::Tls(BackendTlsFault::Expired | BackendTlsFault::Invalid) => {
                Reason::UpstreamCertificateInvalid
            }
            ConnectFault::Tls(_) => Reason::UpstreamTlsFailed,
            ConnectFault::NoHttp2 => Reason::UpstreamProtocol,
            _ => Reason::ConnectFailed,
        }
    }

    /// Whether the endpoint is to blame, and its health with it.
    pub fn blames_endpoint(self) -> bool {
        self != ConnectFault::Exhausted
    }

    /// The stable name, for logs.
    pub fn name(self) -> &'static str {
        match self {
            ConnectFault::Unresolved => "unresolved",
            ConnectFault::Refused => "refused",
            ConnectFault::Exhausted => "exhausted",
            ConnectFault::Failed => "failed",
            ConnectFault::NoHttp2 => "no-http2",
            ConnectFault::Tls(fault) => fault.name(),
        }
    }
}

/// The PROXY protocol header of a connection that is the gateway's own, as a probe's is: `UNKNOWN`, or the command LOCAL.
fn for_nobody(version: u8) -> &'static [u8] {
    match version {
        1 => b"PROXY UNKNOWN\r\n",
        _ => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
}

/// What is asked of the kernel for a connection.
#[derive(Clone, Copy, Default)]
pub(crate) struct SocketOptions {
    /// After how long a silence the backend is probed, if it is.
    pub(crate) probed_after: Option<Duration>,
    /// By what rule it is sent to.
    pub(crate) congestion: Congestion,
}

/// Opens a connection, says who it speaks for if asked to, and holds a TLS handshake with a `connector`, for the host
/// `name`; `http1_only` leaves it no other protocol to agree on. The caller keeps the time.
pub(crate) async fn connect(
    address: SocketAddr,
    socket: SocketOptions,
    proxy_protocol: Option<u8>,
    tls: Option<(&Connector, &str)>,
    http1_only: bool,
    client: SocketAddr,
    local: SocketAddr,
) -> Result<Stream, ConnectFault> {
    let mut stream = TcpStream::connect(address)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => ConnectFault::Refused,
            ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => ConnectFault::Exhausted,
            _ if matches!(error.raw_os_error(), Some(23 | 24)) => ConnectFault::Exhausted,
            _ => ConnectFault::Failed,
        })?;
    // Heads and small bodies leave in one write; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    if socket.probed_after.is_some() {
        // One that can't be probed still serves.
        let _ = keep_alive(&stream, socket.probed_after);
    }
    if let Some(algorithm) = socket.congestion.of(address.ip()) {
        // What a configuration names was there when it was loaded; a module that was taken out since is no reason to fail.
        let _ = control_congestion(&stream, Some(algorithm));
    }
    if let Some(version) = proxy_protocol {
        let mut header = Vec::with_capacity(128);
        match version {
            _ if client.ip().is_unspecified() => header.extend_from_slice(for_nobody(version)),
            1 => proxy::write_v1(client, local, &mut header),
            _ => proxy::write_v2(client, local, &mut header),
        }
        stream
            .write_all(&header)
            .await
            .map_err(|_| ConnectFault::Failed)?;
    }
    match tls {
        Some((connector, name)) if http1_only => connector
            .connect_http1(stream, name)
            .await
            .map_err(ConnectFault::Tls),
        Some((connector, name)) => connector
            .connect(stream, name)
            .await
            .map_err(ConnectFault::Tls),
        None => Ok(Stream::Plain(stream)),
    }
}
