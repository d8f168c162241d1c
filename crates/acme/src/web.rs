//! A small HTTP client over TLS for the ACME server and the ask URL: every step bounded, one connection kept.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, StatusCode, Uri, response::Parts};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificate;
use crate::reason::{Failure, Reason};
use crate::schedule::WINDOW_POLL_SECONDS;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of that one of a host's addresses may take, so that a dead one leaves time for the next.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

const AGENT: &str = concat!("foregate/", env!("CARGO_PKG_VERSION"));

/// What went wrong on the way.
#[derive(Debug)]
pub(crate) struct WebError(pub(crate) String);

impl std::fmt::Display for WebError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WebError {}

/// The roots to trust: those of a PEM text, or the system's.
pub(crate) fn trust(ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, Failure> {
    let fail = |why: String| Failure::new(Reason::DirectoryUnreachable, why);
    let mut roots = RootCertStore::empty();
    match ca_pem {
        Some(pem) => {
            for root in certificate::chain(pem.as_bytes())
                .map_err(|why| fail(format!("the ACME server's ca_file can't be used: {why}")))?
            {
                roots.add(root).map_err(|error| {
                    fail(format!("the ACME server's ca_file can't be used: {error}"))
                })?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(fail(
                    "the system trusts no CA; install its bundle (Debian: ca-certificates)".into(),
                ));
            }
        }
    }
    config(roots)
}

/// Nobody: for URLs in the clear on a machine without a bundle.
pub(crate) fn trust_nobody() -> Result<Arc<ClientConfig>, Failure> {
    config(RootCertStore::empty())
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, Failure> {
    let fail = |why: String| Failure::new(Reason::DirectoryUnreachable, why);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The last refusal of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
}

type Sender = SendRequest<Full<Bytes>>;

/// The client. Clones share the kept connection and the last refusal.
#[derive(Clone)]
pub(crate) struct Web {
    tls: Arc<ClientConfig>,
    kept: Arc<Mutex<Option<(String, Sender)>>>,
    refusal: Arc<Mutex<Option<Refusal>>>,
    /// ACME is never spoken in the clear (RFC 8555 §6.1).
    clear_allowed: bool,
}

impl Web {
    pub(crate) fn acme(tls: Arc<ClientConfig>) -> Web {
        Web {
            tls,
            kept: Arc::default(),
            refusal: Arc::default(),
            clear_allowed: false,
        }
    }

    pub(crate) fn ask(tls: Arc<ClientConfig>) -> Web {
        Web {
            clear_allowed: true,
            ..Web::acme(tls)
        }
    }

    /// The last answer of 400 or more, for what it says beside its body.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the last refusal.
    pub(crate) fn forget(&self) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The status that a GET is answered with.
    pub(crate) async fn status(&self, url: &str) -> Result<StatusCode, WebError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(url)
            .body(Bytes::new())
            .map_err(|error| WebError(format!("{url} is no URL: {error}")))?;
        self.send(request).await.map(|(parts, _)| parts.status)
    }

    async fn send(&self, request: Request<Bytes>) -> Result<(Parts, Bytes), WebError> {
        let uri = request.uri().clone();
        match timeout(REQUEST_TIMEOUT, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(WebError(format!(
                "{uri} did not answer within {} s",
                REQUEST_TIMEOUT.as_secs()
            ))),
        }
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<(Parts, Bytes), WebError> {
        let (origin, request) = self.prepare(request)?;
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .filter(|(to, sender)| *to == origin.key && sender.is_ready());
        let answer = match kept {
            Some((_, mut sender)) => match sender.send_request(request.clone()).await {
                Ok(answer) => Ok((sender, answer)),
                // The server had closed it: nothing was sent.
                Err(error) if error.is_canceled() || error.is_closed() => {
                    self.fresh(&origin, request).await
                }
                Err(error) => Err(origin.error(&error)),
            },
            None => self.fresh(&origin, request).await,
        };
        let (sender, answer) = answer?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| origin.error(error.as_ref()))?
            .to_bytes();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((origin.key, sender));
        if parts.status.as_u16() >= 400 {
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(Refusal {
                status: parts.status,
                retry_after: retry_after(&parts),
            });
        }
        Ok((parts, body))
    }

    fn prepare(&self, request: Request<Bytes>) -> Result<(Origin, Request<Full<Bytes>>), WebError> {
        let (mut parts, body) = request.into_parts();
        let origin = Origin::of(&parts.uri, self.clear_allowed)?;
        let host = HeaderValue::from_str(&origin.authority)
            .map_err(|_| WebError(format!("{} is no URL", parts.uri)))?;
        parts.headers.insert(HOST, host);
        parts
            .headers
            .insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        parts.uri = target
            .parse()
            .map_err(|_| WebError(format!("{} is no URL", parts.uri)))?;
        Ok((origin, Request::from_parts(parts, Full::new(body))))
    }

    async fn fresh(
        &self,
        origin: &Origin,
        request: Request<Full<Bytes>>,
    ) -> Result<(Sender, http::Response<hyper::body::Incoming>), WebError> {
        let mut sender = match timeout(CONNECT_TIMEOUT, self.dial(origin)).await {
            Ok(sender) => sender?,
            Err(_) => {
                return Err(WebError(format!(
                    "no connection to {} within {} s",
                    origin.key,
                    CONNECT_TIMEOUT.as_secs()
                )));
            }
        };
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| origin.error(&error))?;
        Ok((sender, answer))
    }

    async fn dial(&self, origin: &Origin) -> Result<Sender, WebError> {
        let addresses = lookup_host((origin.host.as_str(), origin.port))
            .await
            .map_err(|error| origin.error(&error))?;
        let tcp = connect(addresses, ADDRESS_TIMEOUT)
            .await
            .map_err(|error| origin.error(&error))?;
        if !origin.tls {
            return handshake(origin, TokioIo::new(tcp)).await;
        }
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|_| WebError(format!("{} has no name to verify", origin.key)))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, tcp)
            .await
            .map_err(|error| origin.error(&error))?;
        handshake(origin, TokioIo::new(stream)).await
    }
}

/// Connects to the first address that answers; what the last one had to say if none does.
async fn connect(
    addresses: impl Iterator<Item = SocketAddr>,
    patience: Duration,
) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        let why = match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => error,
            Err(_) => ErrorKind::TimedOut.into(),
        };
        last = std::io::Error::new(why.kind(), format!("{address}: {why}"));
    }
    Err(last)
}

async fn handshake<T>(origin: &Origin, io: T) -> Result<Sender, WebError>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(|error| origin.error(&error))?;
    // Its end, good or bad, is told to whoever asks next.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

struct Origin {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    /// Scheme and authority.
    key: String,
}

impl Origin {
    fn of(uri: &Uri, clear_allowed: bool) -> Result<Origin, WebError> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if clear_allowed => false,
            Some("http") => {
                return Err(WebError(format!(
                    "{uri} is not encrypted; ACME is spoken over https only"
                )));
            }
            _ => return Err(WebError(format!("{uri} is no http or https URL"))),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| WebError(format!("{uri} names no host")))?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Origin {
            tls,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            host,
            authority: authority.as_str().to_owned(),
            key: format!("{}://{authority}", if tls { "https" } else { "http" }),
        })
    }

    fn error(&self, error: &dyn std::error::Error) -> WebError {
        let mut text = format!("{}: {error}", self.key);
        let mut source = error.source();
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        WebError(text)
    }
}

/// Seconds, or a date that the answer's own Date field is subtracted from (RFC 9110 §10.2.3): two clocks of the same
/// server.
fn retry_after(parts: &Parts) -> Option<Duration> {
    let text = parts.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(text)?;
    let date = parts.headers.get(http::header::DATE)?.to_str().ok()?;
    Some(Duration::from_secs(until.saturating_sub(http_date(date)?)))
}

/// Unix seconds of an IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: u8 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    .iter()
    .position(|name| *name == month)? as u8
        + 1;
    let year: i32 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(str::parse::<u8>);
    let (hour, minute, second) = (
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    let date = time::Date::from_calendar_date(year, month.try_into().ok()?, day).ok()?;
    let moment = date
        .with_hms(hour, minute, second.min(59))
        .ok()?
        .assume_utc();
    u64::try_from(moment.unix_timestamp()).ok()
}

/// Renewal information is asked for by GET (RFC 9773 §4.1) and the ACME client throws away what comes without a time to
/// ask again, which servers only should send (§4.2): then there is one of ours.
fn say_when(parts: &mut Parts) {
    if parts.status == StatusCode::OK && retry_after(parts).is_none() {
        let seconds = HeaderValue::from(WINDOW_POLL_SECONDS);
        parts.headers.insert(RETRY_AFTER, seconds);
    }
}

impl HttpClient for Web {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let web = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let is_get = parts.method == Method::GET;
            match web.send(Request::from_parts(parts, body)).await {
                Ok((mut parts, body)) => {
                    if is_get {
                        say_when(&mut parts);
                    }
                    Ok(BytesResponse {
                        parts,
                        body: Box::new(body),
                    })
                }
                Err(error) => Err(instant_acme::Error::Other(Box::new(error))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let check = |value: &str, expected: Option<u64>| {
            let (parts, ()) = http::Response::builder()
                .header(RETRY_AFTER, value)
                .header(http::header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT")
                .body(())
                .unwrap()
                .into_parts();
            assert_eq!(retry_after(&parts).map(|span| span.as_secs()), expected);
        };
        check("120", Some(120));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = socket.listen(1).unwrap();
        let dead = silent.local_addr().unwrap();
        // Who is not let in is not answered once the queue is full.
        let patience = Duration::from_millis(300);
        let mut waiting = Vec::new();
        while let Ok(Ok(one)) = timeout(patience, TcpStream::connect(dead)).await {
            waiting.push(one);
            assert!(waiting.len() < 10, "the queue has no end");
        }
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = other.local_addr().unwrap();
        let tcp = connect([dead, alive].into_iter(), patience).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), alive);
        drop(other);
        let error = connect([dead, alive].into_iter(), patience).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&alive.to_string()), "{error}");
    }

    #[test]
    fn acme_is_never_spoken_in_the_clear() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert!(Origin::of(&uri("http://ca.example/dir"), false).is_err());
        assert!(Origin::of(&uri("ftp://ca.example/dir"), true).is_err());
        let origin = Origin::of(&uri("https://[::1]:14000/dir"), false).unwrap();
        assert_eq!((origin.host.as_str(), origin.port), ("::1", 14_000));
        assert_eq!(
            Origin::of(&uri("http://ask.example/x"), true).unwrap().port,
            80
        );
    }
}
