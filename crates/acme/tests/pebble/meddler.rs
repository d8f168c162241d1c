//! A peer between us and the ACME server that changes what it likes: what `pebble` does not do by itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foregate_testkit::Pebble;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

/// What is done with a request: an answer of its own (a whole one), or `None` to pass it on.
pub(crate) type Meddling = dyn Fn(&str, usize) -> Option<String> + Send + Sync;

/// The peer. Requests are seen as `METHOD /path`, with how many of the same came before.
pub(crate) struct Meddler {
    port: u16,
    pub(crate) ca_pem: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Meddler {
    /// Stands before `pebble`; `renewal_info` is what its directory names as such.
    pub(crate) fn start(
        pebble: &Pebble,
        meddling: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static,
    ) -> Meddler {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let server = Arc::new(server(own.der().clone(), &key));
        let client = Arc::new(client(pebble.ca_pem()));
        let behind: u16 = pebble.directory()["https://localhost:".len()..]
            .trim_end_matches("/dir")
            .parse()
            .unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (meddling, theirs): (Arc<Meddling>, _) = (Arc::new(meddling), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (server, client) = (Arc::clone(&server), Arc::clone(&client));
                let (meddling, seen) = (Arc::clone(&meddling), Arc::clone(&theirs));
                std::thread::spawn(move || {
                    let pass = |request: &[u8]| pass_on(&client, behind, port, request);
                    // A client that hangs up is its own business.
                    let _ = serve(stream, server, &seen, &*meddling, &pass);
                });
            }
        });
        Meddler {
            port,
            ca_pem: own.pem(),
            seen,
        }
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// How many requests began like this.
    pub(crate) fn count(&self, start: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|each| each.starts_with(start)).count()
    }
}

/// A whole answer.
pub(crate) fn answer(status: &str, fields: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    ))
}

fn server(own: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own], key)
        .unwrap()
}

fn client(ca_pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
        .unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn serve(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
    seen: &Mutex<Vec<String>>,
    meddling: &Meddling,
    pass: &dyn Fn(&[u8]) -> Vec<u8>,
) -> std::io::Result<()> {
    tcp.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut tls = ServerConnection::new(config).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    let mut request = Vec::new();
    let head = loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut buffer = [0; 4_096];
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..length]);
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut rest = vec![0; head + length - request.len()];
    stream.read_exact(&mut rest)?;
    request.extend(rest);
    let line = String::from_utf8_lossy(&request[..head]).into_owned();
    let line = line.split(" HTTP").next().unwrap().to_owned();
    let before = {
        let mut seen = seen.lock().unwrap();
        let before = seen.iter().filter(|each| **each == line).count();
        seen.push(line.clone());
        before
    };
    let reply = match meddling(&line, before) {
        Some(own) => own.into_bytes(),
        None => pass(&request),
    };
    stream.write_all(&reply)?;
    stream.flush()?;
    tls.send_close_notify();
    tls.complete_io(&mut tcp)?;
    Ok(())
}

/// Asks `pebble`, in whose directory it writes where renewal information is.
fn pass_on(client: &Arc<ClientConfig>, behind: u16, port: u16, request: &[u8]) -> Vec<u8> {
    let mut tcp = TcpStream::connect(("127.0.0.1", behind)).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut tls = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    let text = b"\r\nconnection: close\r\n";
    let end = request.windows(2).position(|two| two == b"\r\n").unwrap();
    let closing = [&request[..end], text, &request[end + 2..]].concat();
    stream.write_all(&closing).unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    if !request.starts_with(b"GET /dir ") {
        return reply;
    }
    let text = String::from_utf8(reply).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let body = match head.to_ascii_lowercase().contains("transfer-encoding") {
        true => {
            body.split_once("\r\n")
                .unwrap()
                .1
                .rsplit_once("\r\n0")
                .unwrap()
                .0
        }
        false => body,
    };
    let mut directory: serde_json::Value = serde_json::from_str(body.trim()).unwrap();
    directory["renewalInfo"] = format!("https://localhost:{port}/ari").into();
    let body = directory.to_string();
    answer("200 OK", "Content-Type: application/json\r\n", &body)
        .unwrap()
        .into_bytes()
}
