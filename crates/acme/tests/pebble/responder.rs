//! What a gateway does with open challenges, at its smallest: a listener for HTTP-01 and one for TLS-ALPN-01.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foregate_acme::{ALPN, Challenges};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};

/// Answers challenges on two ports, on threads that end with the process.
pub(crate) struct Responder {
    pub(crate) challenges: Challenges,
    pub(crate) http_port: u16,
    pub(crate) tls_port: u16,
    pub(crate) http_asked: Arc<AtomicUsize>,
    pub(crate) tls_asked: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Resolver(Challenges);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks = hello.alpn()?.any(|protocol| protocol == ALPN);
        asks.then(|| self.0.alpn_certificate(hello.server_name()?))?
    }
}

impl Responder {
    pub(crate) fn start() -> Responder {
        let challenges = Challenges::new();
        let (http_asked, tls_asked) = (Arc::default(), Arc::default());
        Responder {
            http_port: serve_http(challenges.clone(), Arc::clone(&http_asked)),
            tls_port: serve_tls(challenges.clone(), Arc::clone(&tls_asked)),
            challenges,
            http_asked,
            tls_asked,
        }
    }

    pub(crate) fn asked(&self) -> (usize, usize) {
        (
            self.http_asked.load(Ordering::SeqCst),
            self.tls_asked.load(Ordering::SeqCst),
        )
    }
}

fn serve_http(challenges: Challenges, asked: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            asked.fetch_add(1, Ordering::SeqCst);
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            let _ = reader.read_line(&mut line);
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            while line.len() > 2 {
                line.clear();
                let _ = reader.read_line(&mut line);
            }
            let (status, body) = match challenges.http_answer(path.as_bytes()) {
                Some(answer) => ("200 OK", answer.to_string()),
                None => ("404 Not Found", String::new()),
            };
            let length = body.len();
            let _ = write!(
                reader.get_mut(),
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    port
}

fn serve_tls(challenges: Challenges, asked: Arc<AtomicUsize>) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(challenges)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            asked.fetch_add(1, Ordering::SeqCst);
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
            tls.send_close_notify();
            let _ = tls.write_tls(&mut stream);
        }
    });
    port
}
