//! Connections of the admin listener: how many, how long, how large.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::stall::StallGuard;
use crate::{Control, View, routes};

/// Connections that are served at once; others wait for one to end.
pub const CONNECTIONS_MAX: usize = 64;

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

/// Serves the admin listener until `stop` completes, with a `token` to those alone who show it. At the end no more
/// connections are taken, which is told by calling `closed`; those that are here have a second for a request that is on
/// its way, and answers in progress another one to finish. Needs a tokio runtime with time and I/O.
///
/// # Errors
/// The listener can't be used; nothing was served.
pub async fn serve(
    listener: std::net::TcpListener,
    view: Arc<dyn View>,
    control: Arc<dyn Control>,
    token: Option<&str>,
    stop: impl Future<Output = ()>,
    closed: impl FnOnce(),
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let router = routes::router(view, control, token);
    let (stopping, _) = watch::channel(false);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&room)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let connection = converse(stream, router.clone(), stopping.subscribe());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    closed();
    let _ = tokio::time::timeout(STOP_TIMEOUT, all_ended(&mut connections)).await;
    stopping.send_replace(true);
    // What has not ended by then is aborted with the set.
    let _ = tokio::time::timeout(STOP_TIMEOUT, all_ended(&mut connections)).await;
    Ok(())
}

async fn all_ended(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// Serves one connection to its end. Its errors are its peer's: there is nobody to tell.
async fn converse(stream: TcpStream, router: axum::Router, mut stopping: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
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
