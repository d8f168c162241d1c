//! A peer between us and the ACME server that changes what it likes: what `pebble` does not do by itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::{PATIENCE, Pebble};

type Meddling = dyn Fn(&str, usize) -> Option<String> + Send + Sync;

/// The peer. Requests are seen as `METHOD /path`, with how many of the same came before.
#[derive(Debug)]
pub struct Meddler {
    port: u16,
    ca_pem: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Meddler {
    /// Stands before `pebble`, and names a place for renewal information in its directory. What is done with a request: an
    /// answer of its own (a whole one), or `None` to pass it on.
    ///
    /// # Panics
    /// When it can't listen.
    pub fn start(
        pebble: &Pebble,
        meddling: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static,
    ) -> Meddler {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports left");
        let port = listener.local_addr().expect("it is bound").port();
        let key = KeyPair::generate().expect("keys can be made");
        let own = CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate can be made");
        let server = Arc::new(server(own.der().clone(), &key));
        let client = Arc::new(client(pebble.ca_pem()));
        let behind: u16 = pebble.directory()["https://localhost:".len()..]
            .trim_end_matches("/dir")
            .parse()
            .expect("a port is a number");
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

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// What its own TLS certificate is trusted by, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// How many requests began like this.
    pub fn count(&self, start: &str) -> usize {
        let seen = locked(&self.seen);
        seen.iter().filter(|each| each.starts_with(start)).count()
    }

    /// A whole answer.
    pub fn answer(status: &str, fields: &str, body: &str) -> Option<String> {
        let length = body.len();
        Some(format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
        ))
    }

    /// An answer that says what is wrong (RFC 8555 §6.7).
    pub fn problem(status: &str, kind: &str, fields: &str) -> Option<String> {
        let body = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"scripted"}}"#);
        let fields = format!("Content-Type: application/problem+json\r\n{fields}");
        Meddler::answer(status, &fields, &body)
    }
}

fn locked(seen: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    seen.lock().expect("no thread panics with the lock held")
}

fn server(own: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own], key)
        .expect("the key is the certificate's")
}

fn client(ca_pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("it is PEM");
    roots.add(root).expect("an authority can be trusted");
    ClientConfig::builder()
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
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut tls = ServerConnection::new(config).expect("the configuration is whole");
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
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0);
    let mut rest = vec![0; head + length - request.len()];
    stream.read_exact(&mut rest)?;
    request.extend(rest);
    let line = String::from_utf8_lossy(&request[..head]).into_owned();
    let line = line.split(" HTTP").next().unwrap_or_default().to_owned();
    let before = {
        let mut seen = locked(seen);
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
    let reply = ask(client, behind, request).unwrap_or_default();
    if !request.starts_with(b"GET /dir ") {
        return reply;
    }
    let text = String::from_utf8_lossy(&reply);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    // It may be chunked, in one piece.
    let json = body.find('{').zip(body.rfind('}'));
    let json = json.map_or("{}", |(from, to)| &body[from..=to]);
    let mut directory: serde_json::Value = serde_json::from_str(json).expect("a directory is JSON");
    directory["renewalInfo"] = format!("https://localhost:{port}/ari").into();
    let fields = "Content-Type: application/json\r\n";
    let told = Meddler::answer("200 OK", fields, &directory.to_string());
    told.unwrap_or_default().into_bytes()
}

/// What it answers; less of it when it ends in between, and nothing when it is not there.
fn ask(client: &Arc<ClientConfig>, behind: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tcp = TcpStream::connect(("127.0.0.1", behind))?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let name = "localhost".try_into().expect("it is a name");
    let tls = ClientConnection::new(Arc::clone(client), name);
    let mut tls = tls.expect("the configuration is whole");
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    let line = request.windows(2).position(|two| two == b"\r\n");
    let (line, rest) = request.split_at(line.unwrap_or(request.len()));
    stream.write_all(&[line, b"\r\nconnection: close", rest].concat())?;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    Ok(reply)
}
