//! Connections of the admin listener: how many, how long, how large.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foregate_telemetry::log::process;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::stall::StallGuard;
use crate::{Control, View, routes};

/// Connections that are served at once; others wait for one to end.
pub const CONNECTIONS_MAX: usize = 64;

/// The same at the socket in the file system.
const LOCAL_CONNECTIONS_MAX: usize = 16;

/// From accepting a connection to the end of its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// From the start of waiting for a request to its complete head; so also how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an answer may make no progress.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Fields of a request head.
const FIELDS_MAX: usize = 64;

/// How long running answers may finish at the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// After a failed accept, since what is missing (descriptors, memory) is not back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where the admin API is asked.
#[derive(Debug)]
pub struct Doors {
    /// Over TCP; who comes here shows the token, if there is one.
    pub tcp: std::net::TcpListener,
    /// What TLS handshakes over TCP follow; without it that is in cleartext.
    pub tls: Option<Arc<ServerConfig>>,
    /// In the file system; who may open it needs no token.
    pub local: Option<LocalDoor>,
}

/// A socket in the file system.
#[derive(Debug)]
pub struct LocalDoor {
    /// The socket.
    pub socket: std::os::unix::net::UnixListener,
    /// The one user beside root that may come, by what the kernel tells of the peer; `None` for all whom the file's mode lets in.
    pub owner: Option<u32>,
}

/// Waits for a place, then for who takes it.
async fn with_place<T>(
    room: &Arc<Semaphore>,
    accepting: impl Future<Output = T>,
) -> (OwnedSemaphorePermit, T) {
    let place = Arc::clone(room).acquire_owned().await;
    let place = place.expect("the semaphore is never closed");
    (place, accepting.await)
}

/// Serves the admin listener until `stop` completes, with a `token` to those alone who show it. At the end no more
/// connections are taken, which is told by calling `closed`; those that are here have a second for a request that is on
/// its way, and answers in progress another one to finish. Needs a tokio runtime with time and I/O.
///
/// # Errors
/// The listener can't be used; nothing was served.
pub async fn serve(
    doors: Doors,
    view: Arc<dyn View>,
    control: Arc<dyn Control>,
    token: Option<&str>,
    stop: impl Future<Output = ()>,
    closed: impl FnOnce(),
) -> io::Result<()> {
    doors.tcp.set_nonblocking(true)?;
    let listener = TcpListener::from_std(doors.tcp)?;
    let (local, owner) = listen_locally(doors.local)?;
    let desk = routes::desk(view, control);
    let (router, trusting) = (
        routes::router(desk.clone(), token, doors.tls.is_some()),
        routes::router(desk, None, false),
    );
    let acceptor = doors.tls.map(TlsAcceptor::from);
    let (stopping, _) = watch::channel(false);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Whoever fills the one door does not shut the other.
    let local_room = Arc::new(Semaphore::new(LOCAL_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let next = async {
            tokio::select! {
                (place, accepted) = with_place(&room, listener.accept()) => {
                    (place, accepted.map(|(stream, _)| Arrived::Tcp(stream)))
                }
                (place, accepted) = with_place(&local_room, local_accept(local.as_ref())) => {
                    (place, accepted.map(Arrived::Local))
                }
            }
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (place, accepted) = next => match accepted {
                Ok(Arrived::Tcp(stream)) => {
                    let _ = stream.set_nodelay(true);
                    let acceptor = acceptor.clone();
                    let connection = arrive(stream, acceptor, router.clone(), stopping.subscribe());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Ok(Arrived::Local(stream)) if may_come(&stream, owner) => {
                    let connection = converse(stream, trusting.clone(), stopping.subscribe());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Ok(Arrived::Local(_)) => {
                    process::warn("a stranger was turned away at the admin socket", &[]);
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop((listener, local));
    closed();
    let _ = tokio::time::timeout(STOP_TIMEOUT, all_ended(&mut connections)).await;
    stopping.send_replace(true);
    // What has not ended by then is aborted with the set.
    let _ = tokio::time::timeout(STOP_TIMEOUT, all_ended(&mut connections)).await;
    Ok(())
}

/// The socket in the file system, and who alone may come.
fn listen_locally(door: Option<LocalDoor>) -> io::Result<(Option<UnixListener>, Option<u32>)> {
    let Some(door) = door else {
        return Ok((None, None));
    };
    door.socket.set_nonblocking(true)?;
    Ok((Some(UnixListener::from_std(door.socket)?), door.owner))
}

/// Who has come, by which door.
enum Arrived {
    Tcp(TcpStream),
    Local(UnixStream),
}

/// The next one at the socket in the file system; never, where there is none.
async fn local_accept(local: Option<&UnixListener>) -> io::Result<UnixStream> {
    match local {
        Some(local) => local.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Whether the peer is root or the owner, where only they may come.
fn may_come(stream: &UnixStream, owner: Option<u32>) -> bool {
    let Some(owner) = owner else { return true };
    let peer = stream.peer_cred().map(|peer| peer.uid());
    peer.is_ok_and(|user| user == 0 || user == owner)
}

async fn all_ended(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// Serves one connection over TCP to its end, after its handshake where there is to be one.
async fn arrive(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: axum::Router,
    stopping: watch::Receiver<bool>,
) {
    let Some(acceptor) = acceptor else {
        return converse(stream, router, stopping).await;
    };
    let handshake = acceptor.accept(stream);
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        converse(stream, router, stopping).await;
    }
}

/// Serves one connection to its end. Its errors are its peer's: there is nobody to tell.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    router: axum::Router,
    mut stopping: watch::Receiver<bool>,
) {
    let stream = TokioIo::new(StallGuard::new(stream, WRITE_TIMEOUT));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(stream, TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let stopped = async {
        let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
    };
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
