//! Backends that are `openssl s_server`.

use crate::handshakes::peers::{file, run};
use foregate_eventloop::{TcpStream, timeout};
use foregate_testkit::{Authority, PATIENCE, Scratch};
use foregate_tls::{Alpn, BackendTlsFault, Connector, ConnectorPlan, RootsPlan, Stream};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Backend {
    child: Child,
    address: SocketAddr,
    /// Open for as long as it may have something to say.
    _told: BufReader<ChildStdout>,
    _scratch: Scratch,
}

impl Backend {
    /// Answers every line with itself, backwards.
    fn start(authority: &Authority, names: &[&str], arguments: &[&str]) -> Backend {
        let scratch = Scratch::new();
        let issued = authority.issue(names);
        let certificate = file(&scratch, "backend.pem", &issued.certificate_pem);
        let key = file(&scratch, "backend.key", &issued.key_pem);
        // It chooses the port itself and tells it, so that nobody else can have it.
        let mut child = Command::new("timeout")
            .args([
                "60",
                "openssl",
                "s_server",
                "-rev",
                "-accept",
                "127.0.0.1:0",
            ])
            .args(["-cert", &certificate, "-key", &key])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let listening = told.by_ref().lines().find_map(|line| {
            let address = line.unwrap().strip_prefix("ACCEPT ")?.parse();
            Some(address.unwrap())
        });
        Backend {
            child,
            address: listening.expect("it says where it listens"),
            _told: told,
            _scratch: scratch,
        }
    }

    async fn connect(&self, connector: &Connector, host: &str) -> Result<Stream, BackendTlsFault> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let handshake = connector.connect(socket, host);
        timeout(PATIENCE, handshake).await.unwrap()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // `timeout` passes the signal on.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

fn plan(authority: &Authority) -> ConnectorPlan {
    ConnectorPlan {
        roots: RootsPlan::Pem(authority.pem().into_bytes()),
        ..ConnectorPlan::default()
    }
}

async fn reversed(stream: &mut Stream, line: &str) -> String {
    stream
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    let mut answer = vec![0; line.len() + 1];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap().trim_end().to_owned()
}

#[test]
fn a_backend_is_verified_and_spoken_to() {
    let authority = Authority::new("Root");
    for version in ["-tls1_3", "-tls1_2"] {
        let backend = Backend::start(&authority, &["backend.test"], &[version]);
        let connector = Connector::new(&plan(&authority)).unwrap();
        run(async {
            let mut stream = backend.connect(&connector, "backend.test").await.unwrap();
            assert_eq!(reversed(&mut stream, "stressed").await, "desserts");
            assert!(stream.is_quiet(true));
            assert_eq!(reversed(&mut stream, "again").await, "niaga");
        });
    }
}

#[test]
fn a_backend_that_is_somebody_else_is_refused() {
    let authority = Authority::new("Root");
    let backend = Backend::start(&authority, &["backend.test"], &[]);
    run(async {
        let fault = async |plan: &ConnectorPlan, host: &str| {
            let connector = Connector::new(plan).unwrap();
            backend
                .connect(&connector, host)
                .await
                .map(drop)
                .unwrap_err()
        };
        let verified = plan(&authority);
        assert_eq!(
            fault(&verified, "other.test").await,
            BackendTlsFault::WrongName
        );
        assert_eq!(
            fault(&verified, "127.0.0.1").await,
            BackendTlsFault::WrongName
        );
        assert_eq!(fault(&verified, "no name").await, BackendTlsFault::NoName);
        // One that has the name of a trusted one is no less a stranger.
        for name in ["Stranger", "Root"] {
            let strange = plan(&Authority::new(name));
            assert_eq!(
                fault(&strange, "backend.test").await,
                BackendTlsFault::UnknownIssuer
            );
        }
        let unverified = ConnectorPlan {
            verify: false,
            ..plan(&Authority::new("Root"))
        };
        let connector = Connector::new(&unverified).unwrap();
        let mut stream = backend.connect(&connector, "other.test").await.unwrap();
        assert_eq!(reversed(&mut stream, "abc").await, "cba");
        drop(stream);
        let named = ConnectorPlan {
            server_name: Some("backend.test".to_owned()),
            ..plan(&authority)
        };
        let connector = Connector::new(&named).unwrap();
        let mut stream = backend.connect(&connector, "127.0.0.1").await.unwrap();
        assert_eq!(reversed(&mut stream, "abc").await, "cba");
    });
}

#[test]
fn a_backend_that_has_expired_is_refused() {
    let authority = Authority::new("Root");
    let scratch = Scratch::new();
    let old = authority
        .request(&["backend.test"])
        .valid(2020, 2021)
        .issue();
    let certificate = file(&scratch, "old.pem", &old.certificate_pem);
    let key = file(&scratch, "old.key", &old.key_pem);
    let arguments = [
        "-cert2",
        &certificate,
        "-key2",
        &key,
        "-servername",
        "backend.test",
    ];
    let backend = Backend::start(&authority, &["unused.test"], &arguments);
    let connector = Connector::new(&plan(&authority)).unwrap();
    run(async {
        let fault = backend.connect(&connector, "backend.test").await.map(drop);
        assert_eq!(fault.unwrap_err(), BackendTlsFault::Expired);
    });
}

#[test]
fn the_gateway_shows_its_certificate() {
    let authority = Authority::new("Root");
    let clients = Authority::new("Clients");
    let gateway = clients.issue_client("gateway");
    let scratch = Scratch::new();
    let ca = file(&scratch, "clients.pem", &clients.pem());
    let arguments = [
        "-CAfile",
        &ca,
        "-Verify",
        "1",
        "-verify_return_error",
        "-tls1_2",
    ];
    let backend = Backend::start(&authority, &["backend.test"], &arguments);
    run(async {
        let without = Connector::new(&plan(&authority)).unwrap();
        let fault = backend.connect(&without, "backend.test").await.map(drop);
        assert_eq!(fault.unwrap_err(), BackendTlsFault::Refused);
        let with = ConnectorPlan {
            client: Some((gateway.chain_pem.into_bytes(), gateway.key_pem.into_bytes())),
            ..plan(&authority)
        };
        let connector = Connector::new(&with).unwrap();
        let mut stream = backend.connect(&connector, "backend.test").await.unwrap();
        assert_eq!(reversed(&mut stream, "abc").await, "cba");
    });
}

#[test]
fn protocols_are_offered() {
    let authority = Authority::new("Root");
    let backend = Backend::start(&authority, &["backend.test"], &["-alpn", "h2"]);
    run(async {
        let both = ConnectorPlan {
            http2: true,
            ..plan(&authority)
        };
        let connector = Connector::new(&both).unwrap();
        let stream = backend.connect(&connector, "backend.test").await.unwrap();
        assert_eq!(stream.alpn(), Alpn::Http2);
        // It serves one connection at a time.
        drop(stream);
        let connector = Connector::new(&plan(&authority)).unwrap();
        let fault = backend.connect(&connector, "backend.test").await.map(drop);
        assert_eq!(fault.unwrap_err(), BackendTlsFault::Incompatible);
    });
}

#[test]
fn what_is_no_tls_is_named() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backend.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = backend.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let authority = Authority::new("Root");
    let connector = Connector::new(&plan(&authority)).unwrap();
    run(async {
        let socket = TcpStream::connect(address).await.unwrap();
        let fault = connector.connect(socket, "backend.test").await.map(drop);
        assert_eq!(fault.unwrap_err(), BackendTlsFault::NotTls);
    });
    answering.join().unwrap();
}
