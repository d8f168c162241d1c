//! The sample backends: three small servers on loopback, on a thread of their own.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::content::Content;
use super::page;

/// How many backends there are.
pub(super) const COUNT: usize = 3;

/// Their names.
pub(super) const NAMES: [&str; COUNT] = ["a", "b", "c"];

/// Connections that a backend serves at once, more than the gateway opens.
const CONNECTIONS_MAX: usize = 512;

/// How long a connection may be idle; longer than the gateway keeps one, so that it closes first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// How long the slow answer takes.
const SLOW: Duration = Duration::from_millis(1_500);

/// Bytes of the download.
const DOWNLOAD_BYTES: u64 = 100_000_000;

/// After a failed accept, since what is missing (descriptors) is not back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Starts the backends, which serve until the process ends, and returns their addresses.
///
/// # Errors
/// The system refuses a socket, a thread or a runtime.
pub(super) fn start() -> io::Result<[SocketAddr; COUNT]> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); COUNT];
    for (address, name) in addresses.iter_mut().zip(NAMES) {
        let listener = runtime.block_on(TcpListener::bind(*address))?;
        *address = listener.local_addr()?;
        runtime.spawn(accept(listener, Backend::new(name, *address)));
    }
    std::thread::Builder::new()
        .name("demo-backends".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(addresses)
}

async fn accept(listener: TcpListener, backend: Arc<Backend>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&room)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let backend = Arc::clone(&backend);
                tokio::spawn(async move {
                    backend.converse(stream).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One sample backend.
struct Backend {
    name: &'static str,
    address: SocketAddr,
    /// How often it was asked for what may fail.
    risks_total: AtomicU64,
    dice: RandomState,
}

/// What becomes of a request that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Served,
    /// The connection is closed without an answer: another server can be tried.
    Dropped,
    /// The answer says that it failed.
    Unavailable,
}

impl Backend {
    fn new(name: &'static str, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            name,
            address,
            risks_total: AtomicU64::new(0),
            dice: RandomState::new(),
        })
    }

    async fn converse(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        // What goes wrong on a connection is the gateway's to notice.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .max_buf_size(64 * 1024)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(|request| self.answer(request)),
            )
            .await;
    }

    /// Answers a request; an error closes the connection without an answer.
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Content>> {
        Ok(match request.uri().path() {
            "/" => html(page::render(self.name, self.address, request.headers())),
            "/whoami" => {
                let id = request
                    .headers()
                    .get("x-request-id")
                    .and_then(|id| id.to_str().ok());
                let told = serde_json::json!({ "backend": self.name, "path": "/whoami", "request_id": id });
                content(StatusCode::OK, "application/json", format!("{told}\n"))
            }
            "/slow" => {
                tokio::time::sleep(SLOW).await;
                text(
                    StatusCode::OK,
                    format!("Backend {} took its time: 1.5 s.\n", self.name),
                )
            }
            "/fail" => match self.fate() {
                Fate::Served => text(
                    StatusCode::OK,
                    format!("Backend {} did not fail this time.\n", self.name),
                ),
                Fate::Dropped => return Err(io::ErrorKind::ConnectionAborted.into()),
                Fate::Unavailable => {
                    let told = format!("Backend {} failed, and said so: 503.\n", self.name);
                    text(StatusCode::SERVICE_UNAVAILABLE, told)
                }
            },
            "/download" => download(),
            _ => text(
                StatusCode::NOT_FOUND,
                format!("Backend {} has nothing here.\n", self.name),
            ),
        })
    }

    /// Half of all requests fail; of those three in four without an answer.
    fn fate(&self) -> Fate {
        let risk = self.risks_total.fetch_add(1, Ordering::Relaxed);
        match self.dice.hash_one(risk) % 8 {
            0..4 => Fate::Served,
            4..7 => Fate::Dropped,
            _ => Fate::Unavailable,
        }
    }
}

fn content(status: StatusCode, media_type: &'static str, body: String) -> Response<Content> {
    let mut response = Response::new(Content::Text(body.into()));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    fields.insert("x-powered-by", HeaderValue::from_static("a sample backend"));
    response
}

fn text(status: StatusCode, body: String) -> Response<Content> {
    content(status, "text/plain; charset=utf-8", body)
}

fn html(body: String) -> Response<Content> {
    content(StatusCode::OK, "text/html; charset=utf-8", body)
}

fn download() -> Response<Content> {
    let mut response = Response::new(Content::Filler(DOWNLOAD_BYTES));
    let fields = response.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    let name = HeaderValue::from_static("attachment; filename=\"demo.bin\"");
    fields.insert(CONTENT_DISPOSITION, name);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_risks_fail() {
        let backend = Backend::new("a", SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let fates: Vec<Fate> = (0..4_000).map(|_| backend.fate()).collect();
        let count = |fate| fates.iter().filter(|it| **it == fate).count();
        assert!(
            (1_700..2_300).contains(&count(Fate::Served)),
            "{}",
            count(Fate::Served)
        );
        assert!(
            (1_250..1_750).contains(&count(Fate::Dropped)),
            "{}",
            count(Fate::Dropped)
        );
    }
}
