//! A small client for interfaces of the neighbourhood: one request a connection, bounded in bytes and time.

use super::ANSWER_TIMEOUT;
use bytes::Bytes;
use foregate_tls::Connector;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Bytes of an answer's head, and of what is read at once.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Who is asked.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Tcp(Box<str>, u16),
    Tls(Box<str>, u16, Arc<Connector>),
    Unix(PathBuf),
}

/// An answer whose body is still to come.
pub(super) type Streaming = Response<Incoming>;

/// Asks for `target` and waits for the head of the answer; `patience` is how long it may take.
pub(super) async fn get(
    peer: &Peer,
    target: &str,
    token: Option<&str>,
    patience: Duration,
) -> Result<Streaming, String> {
    let host = match peer {
        Peer::Tcp(host, port) | Peer::Tls(host, port, _) => format!("{host}:{port}"),
        Peer::Unix(_) => "localhost".to_owned(),
    };
    let mut request = Request::get(target).header("Host", host);
    if let Some(token) = token {
        request = request.header("X-Consul-Token", token);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the question can't be asked: {error}"))?;
    let answer = match peer {
        Peer::Tcp(host, port) => {
            let dialled = timeout(ANSWER_TIMEOUT, TcpStream::connect((&**host, *port)));
            exchange(opened(dialled.await)?, request, patience).await
        }
        Peer::Tls(host, port, connector) => {
            let dialled = timeout(ANSWER_TIMEOUT, TcpStream::connect((&**host, *port)));
            let socket = opened(dialled.await)?;
            let shaken = timeout(ANSWER_TIMEOUT, connector.connect_http1_over(socket, host));
            let stream = match shaken.await {
                Ok(Ok(stream)) => stream,
                Ok(Err(fault)) => {
                    return Err(format!("TLS with it comes to nothing: {}", fault.name()));
                }
                Err(_) => return Err("the TLS handshake with it takes too long".to_owned()),
            };
            exchange(stream, request, patience).await
        }
        Peer::Unix(path) => {
            let dialled = timeout(ANSWER_TIMEOUT, UnixStream::connect(path));
            exchange(opened(dialled.await)?, request, patience).await
        }
    }?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it answers with {}", answer.status()));
    }
    Ok(answer)
}

fn opened<S>(
    dialled: Result<std::io::Result<S>, tokio::time::error::Elapsed>,
) -> Result<S, String> {
    match dialled {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("it can't be reached: {error}")),
        Err(_) => Err("it does not take connections".to_owned()),
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Empty<Bytes>>,
    patience: Duration,
) -> Result<Streaming, String> {
    let broken = |error: hyper::Error| format!("the conversation broke off: {error}");
    let shaking = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES_MAX)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = shaking.await.map_err(broken)?;
    // Ends with the answer's body: whoever drops that ends it.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    match timeout(patience, sender.send_request(request)).await {
        Ok(answer) => answer.map_err(broken),
        Err(_) => Err("it does not answer in time".to_owned()),
    }
}

/// The whole body of an answer.
pub(super) async fn body(answer: Streaming) -> Result<Vec<u8>, String> {
    let whole = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    match timeout(ANSWER_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(error)) => Err(format!("its answer is cut off or too long: {error}")),
        Err(_) => Err("its answer does not come to an end in time".to_owned()),
    }
}

/// A text as a part of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_plain_letters_stay_as_they_are() {
        assert_eq!(super::encoded("a-b_c.d~e"), "a-b_c.d~e");
        assert_eq!(
            super::encoded("{\"a\":[é]} /?&="),
            "%7B%22a%22%3A%5B%C3%A9%5D%7D%20%2F%3F%26%3D"
        );
    }
}
