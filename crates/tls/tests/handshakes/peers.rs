//! A server on the room's acceptor, and `openssl` as its client.

use foregate_eventloop::{TcpListener, block_on, spawn_local};
use foregate_message::{Chunk, TlsFacts};
use foregate_testkit::{Authority, Issued, PATIENCE, Scratch, eventually};
use foregate_tls::{
    Acceptor, AcceptorPlan, Alpn, CertificateStore, HandshakeFault, HandshakeGate, Served,
    SessionCache, Shared, Stream, Tickets, certificate,
};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// What became of a handshake.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Box<TlsFacts>, Alpn),
    Failed(HandshakeFault),
    /// The connection that was made has ended: how many bytes came, and how.
    Ended(usize, std::io::Result<()>),
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    outcomes: Receiver<Outcome>,
    stop: Arc<Notify>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a server does with a connection: takes everything it gets and answers each piece with itself, or once with what
/// is given here.
#[derive(Clone)]
pub(crate) enum Manner {
    Echo,
    /// Answers with these bytes once the client has closed its side.
    AnswerAtEnd(Arc<Vec<u8>>),
    /// Answers the first bytes with these and cuts the connection.
    AnswerAndCut(Arc<Vec<u8>>),
    /// Answers the first bytes with these and says that this was all.
    AnswerAndClose(Arc<Vec<u8>>),
    /// Answers a request with HTTP.
    Http,
    /// Answers with whether it was asked by early data.
    Early,
}

pub(crate) fn served(id: &str, issued: &Issued) -> Served {
    let loaded = certificate::load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
    Served::new(id, loaded.unwrap())
}

pub(crate) fn shared(certificates: Vec<Served>) -> Shared {
    let store = CertificateStore::new();
    for certificate in certificates {
        store.put(certificate);
    }
    Shared {
        store,
        tickets: Tickets::rotating(Duration::from_secs(3600)),
        sessions: SessionCache::new(64),
        gate: HandshakeGate::new(64),
        challenges: None,
        missing: None,
    }
}

pub(crate) fn plan() -> AcceptorPlan {
    AcceptorPlan {
        http1: true,
        http2: true,
        resumption: true,
        ..AcceptorPlan::default()
    }
}

impl Server {
    /// One for `localhost` and its subdomains, with everything as usual.
    pub(crate) fn usual(authority: &Authority, manner: Manner) -> Server {
        let issued = authority.issue(&["localhost", "*.localhost", "127.0.0.1"]);
        Server::start(&plan(), shared(vec![served("usual", &issued)]), manner)
    }

    pub(crate) fn start(plan: &AcceptorPlan, shared: Shared, manner: Manner) -> Server {
        Server::with_timeout(plan, shared, manner, PATIENCE)
    }

    pub(crate) fn with_timeout(
        plan: &AcceptorPlan,
        shared: Shared,
        manner: Manner,
        timeout: Duration,
    ) -> Server {
        let acceptor = Acceptor::new(plan, shared).unwrap();
        let (sender, outcomes) = sync_channel(1024);
        let stop = Arc::new(Notify::new());
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let stopping = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            run(async move {
                let listener = TcpListener::from_std(socket).unwrap();
                let accepting = async {
                    loop {
                        let accepted = poll_fn(|cx| listener.poll_accept(cx)).await;
                        let (socket, _) = accepted.unwrap();
                        let (acceptor, sender) = (Arc::clone(&acceptor), sender.clone());
                        let manner = manner.clone();
                        spawn_local(async move {
                            let handshake = acceptor.accept(socket, Chunk::default());
                            let stream = match foregate_eventloop::timeout(timeout, handshake).await
                            {
                                Some(Ok(stream)) => stream,
                                Some(Err(refused)) => {
                                    report(&sender, Outcome::Failed(refused.fault));
                                    if let Some(mut socket) = refused.socket {
                                        let mut unread = tokio::io::sink();
                                        let drained = tokio::io::copy(&mut socket, &mut unread);
                                        let _ = foregate_eventloop::timeout(timeout, drained).await;
                                    }
                                    return;
                                }
                                None => {
                                    return report(
                                        &sender,
                                        Outcome::Failed(HandshakeFault::Timeout),
                                    );
                                }
                            };
                            serve(stream, manner, &sender).await;
                        });
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    () = stopping.notified() => {}
                }
            });
        });
        Server {
            address,
            outcomes,
            stop,
            thread: Some(thread),
        }
    }

    /// The next outcome.
    #[track_caller]
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcomes
            .recv_timeout(PATIENCE)
            .expect("a handshake ends")
    }

    /// The next handshake's facts.
    #[track_caller]
    pub(crate) fn facts(&self) -> Box<TlsFacts> {
        match self.outcome() {
            Outcome::Done(facts, _) => facts,
            other => panic!("no connection: {other:?}"),
        }
    }

    /// The next handshake's fault.
    #[track_caller]
    pub(crate) fn fault(&self) -> HandshakeFault {
        match self.outcome() {
            Outcome::Failed(fault) => fault,
            other => panic!("no fault: {other:?}"),
        }
    }

    /// How the next connection ended.
    #[track_caller]
    pub(crate) fn ended(&self) -> (usize, std::io::Result<()>) {
        loop {
            match self.outcome() {
                Outcome::Ended(bytes, end) => return (bytes, end),
                Outcome::Done(..) => {}
                Outcome::Failed(fault) => panic!("no connection: {fault:?}"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
        self.thread.take().map(thread::JoinHandle::join);
    }
}

fn report(outcomes: &SyncSender<Outcome>, outcome: Outcome) {
    // A test that has seen enough does not listen any more.
    let _ = outcomes.send(outcome);
}

async fn serve(mut stream: Stream, manner: Manner, outcomes: &SyncSender<Outcome>) {
    let facts = stream.take_facts().unwrap();
    report(outcomes, Outcome::Done(facts, stream.alpn()));
    let mut received = 0;
    let mut buffer = vec![0; 100_000];
    let end = loop {
        let bytes = match stream.read(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(bytes) => bytes,
            Err(error) => break Err(error),
        };
        received += bytes;
        match &manner {
            Manner::Echo => {
                if let Err(error) = stream.write_all(&buffer[..bytes]).await {
                    break Err(error);
                }
            }
            Manner::AnswerAndCut(answer) => {
                let _ = stream.write_all(answer).await;
                return report(outcomes, Outcome::Ended(received, Ok(())));
            }
            Manner::AnswerAndClose(answer) => {
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
            Manner::Http => {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            Manner::Early => {
                let answer = if stream.is_early() {
                    "came early\n"
                } else {
                    "came late\n"
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            Manner::AnswerAtEnd(_) => {}
        }
    };
    if let Manner::AnswerAtEnd(answer) = &manner
        && end.is_ok()
    {
        stream.write_all(answer).await.unwrap();
    }
    let _ = stream.shutdown().await;
    report(outcomes, Outcome::Ended(received, end));
}

/// Runs on one thread, with local tasks, as a worker does.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    block_on(future).unwrap()
}

/// `openssl s_client` that says something, waits until something is to be seen for each, and leaves in order; everything
/// it printed.
#[track_caller]
pub(crate) fn converse(server: &Server, arguments: &[&str], lines: &[(&str, &str)]) -> String {
    let mut child = Command::new("timeout")
        .args([
            "20",
            "openssl",
            "s_client",
            "-connect",
            &server.address.to_string(),
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let seen = Arc::new(Mutex::new(String::new()));
    let reader = |mut pipe: Box<dyn Read + Send>| {
        let seen = Arc::clone(&seen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes @ 1..) = pipe.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..bytes]);
                seen.lock().unwrap().push_str(&text);
            }
        })
    };
    let readers = [
        reader(Box::new(child.stdout.take().unwrap())),
        reader(Box::new(child.stderr.take().unwrap())),
    ];
    let mut stdin = child.stdin.take().unwrap();
    for (line, answer) in lines {
        // What was seen before does not count.
        let start = seen.lock().unwrap().len();
        let _ = stdin.write_all(line.as_bytes());
        eventually(answer, || {
            seen.lock().unwrap()[start..].contains(answer).then_some(())
        });
    }
    drop(stdin);
    let _ = child.wait();
    for reader in readers {
        reader.join().unwrap();
    }
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// `openssl s_client` with these arguments and this input; everything it printed.
#[track_caller]
pub(crate) fn openssl(server: &Server, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &server.address.to_string()])
        .args(arguments);
    finish(command, input)
}

/// Runs a program to its end, within bounds.
#[track_caller]
pub(crate) fn finish(command: Command, input: &str) -> String {
    let mut child = Command::new("timeout")
        .arg("20")
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that ends without reading is no fault of the test's.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_ne!(output.status.code(), Some(124), "it took too long");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// Files that programs read.
pub(crate) fn file(scratch: &Scratch, name: &str, text: &str) -> String {
    let path = scratch.write(name, text);
    path.to_str().unwrap().to_owned()
}
