//! A backend that speaks HTTP/2, with prior knowledge or agreed on in a TLS handshake, on the `h2` crate.

mod http1;

use crate::{Issued, transport};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

/// A request as the backend saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Request {
    /// `:method`.
    pub method: String,
    /// `:scheme`.
    pub scheme: String,
    /// `:authority`.
    pub authority: String,
    /// `:path`.
    pub path: String,
    /// `:protocol`, of an extended CONNECT.
    pub protocol: Option<String>,
    /// Its fields, in order.
    pub fields: Vec<(String, String)>,
    /// Its content; of a tunnel and of [`Http2Reply::Echo`] none, as those are answered before it has come.
    pub body: Vec<u8>,
    /// Its trailer fields.
    pub trailers: Vec<(String, String)>,
    /// Which of the backend's connections it came on, from 0.
    pub connection: usize,
    /// Whether it came by HTTP/1.1, which a handshake had agreed on.
    pub http1: bool,
}

impl Http2Request {
    /// The value of the first field called `name`.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(each, _)| each == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Http2Reply {
    /// Answers.
    Whole {
        /// The status code.
        status: u16,
        /// 103 before it, with this `Link`.
        hint: Option<&'static str>,
        /// Its fields.
        fields: Vec<(&'static str, String)>,
        /// Its content.
        body: Vec<u8>,
        /// Its trailer fields.
        trailers: Vec<(&'static str, &'static str)>,
    },
    /// Sends what comes back as it comes, trailers too.
    Echo,
    /// Answers 200 with a part of a body and resets the stream.
    ResetAfterHead,
    /// Refuses the stream: it was not looked at.
    Refuse,
    /// Resets the stream.
    Reset,
    /// Resets the stream, once the body has begun to come if there is one: it wants the request by HTTP/1.1.
    RequireHttp1,
    /// Says GOAWAY as if the stream had never come, and closes once its other streams have ended.
    GoAway,
    /// Never answers.
    Silence,
}

impl Http2Reply {
    /// 200 with this content.
    pub fn ok(body: impl Into<Vec<u8>>) -> Http2Reply {
        Http2Reply::Whole {
            status: 200,
            hint: None,
            fields: Vec::new(),
            body: body.into(),
            trailers: Vec::new(),
        }
    }
}

/// How it is set up.
#[derive(Clone, Copy, Debug)]
pub struct Http2Setup {
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub streams_max: u32,
    /// SETTINGS_INITIAL_WINDOW_SIZE.
    pub window_bytes: u32,
    /// Whether extended CONNECT is announced.
    pub extended_connect: bool,
}

impl Default for Http2Setup {
    fn default() -> Http2Setup {
        Http2Setup {
            streams_max: 100,
            window_bytes: 65_535,
            extended_connect: false,
        }
    }
}

type Script = dyn Fn(&Http2Request) -> Http2Reply + Send + Sync;

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Http2Request>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    streams: AtomicUsize,
    streams_peak: AtomicUsize,
    resets: Mutex<Vec<u32>>,
    server_names: Mutex<Vec<Option<String>>>,
}

/// The backend. Dropping it closes its port and connections.
pub struct Http2Backend {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Http2Backend {
    /// Answers each request as `script` says.
    pub fn answering(
        script: impl Fn(&Http2Request) -> Http2Reply + Send + Sync + 'static,
    ) -> Http2Backend {
        Http2Backend::start(Http2Setup::default(), script)
    }

    /// The same with a setup of its own.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(
        setup: Http2Setup,
        script: impl Fn(&Http2Request) -> Http2Reply + Send + Sync + 'static,
    ) -> Http2Backend {
        Http2Backend::launch(setup, None, Arc::new(script))
    }

    /// Answers by TLS with this certificate, and by the protocol that the handshake agrees on.
    ///
    /// # Panics
    /// When no port is free.
    pub fn secure(
        issued: &Issued,
        script: impl Fn(&Http2Request) -> Http2Reply + Send + Sync + 'static,
    ) -> Http2Backend {
        let acceptor = TlsAcceptor::from(transport::server(issued, &[b"h2", b"http/1.1"]));
        Http2Backend::launch(Http2Setup::default(), Some(acceptor), Arc::new(script))
    }

    fn launch(setup: Http2Setup, tls: Option<TlsAcceptor>, script: Arc<Script>) -> Http2Backend {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("a runtime");
            let local = LocalSet::new();
            local.block_on(&runtime, async move {
                tokio::select! {
                    () = accept(listener, setup, tls, shared, script) => {}
                    _ = stopped => {}
                }
            });
        });
        Http2Backend {
            address,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Http2Request> {
        self.seen.requests.lock().expect("no panic").clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn connections_open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// The codes with which streams that are never answered were reset.
    ///
    /// # Panics
    /// When a thread of it has.
    pub fn resets(&self) -> Vec<u32> {
        self.seen.resets.lock().expect("no panic").clone()
    }

    /// The name that each handshake asked for (SNI), where it asked for one.
    ///
    /// # Panics
    /// When a thread of it has.
    pub fn server_names(&self) -> Vec<Option<String>> {
        self.seen.server_names.lock().expect("no panic").clone()
    }

    /// How many streams are being answered.
    pub fn streams(&self) -> usize {
        self.seen.streams.load(Ordering::SeqCst)
    }

    /// How many were at the same time, at most.
    pub fn streams_peak(&self) -> usize {
        self.seen.streams_peak.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Backend {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    setup: Http2Setup,
    tls: Option<TlsAcceptor>,
    seen: Arc<Seen>,
    script: Arc<Script>,
) {
    let listener = TcpListener::from_std(listener).expect("it does not block");
    while let Ok((socket, _)) = listener.accept().await {
        let number = seen.connections.fetch_add(1, Ordering::SeqCst);
        let seen = Arc::clone(&seen);
        let script = Arc::clone(&script);
        let tls = tls.clone();
        spawn_local(async move {
            seen.open.fetch_add(1, Ordering::SeqCst);
            match tls {
                None => {
                    let _ = attend(socket, setup, number, &seen, &script).await;
                }
                Some(tls) => attend_secure(&tls, socket, setup, number, &seen, &script).await,
            }
            seen.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn attend_secure(
    tls: &TlsAcceptor,
    socket: TcpStream,
    setup: Http2Setup,
    number: usize,
    seen: &Arc<Seen>,
    script: &Arc<Script>,
) {
    let Ok(stream) = tls.accept(socket).await else {
        return;
    };
    let session = stream.get_ref().1;
    let name = session.server_name().map(str::to_owned);
    seen.server_names.lock().expect("no panic").push(name);
    match session.alpn_protocol() {
        Some(b"h2") => drop(attend(stream, setup, number, seen, script).await),
        _ => drop(http1::attend(stream, number, seen, &**script).await),
    }
}

async fn attend(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    setup: Http2Setup,
    number: usize,
    seen: &Arc<Seen>,
    script: &Arc<Script>,
) -> Result<(), h2::Error> {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(setup.streams_max)
        .initial_window_size(setup.window_bytes);
    if setup.extended_connect {
        builder.enable_connect_protocol();
    }
    let mut connection = builder.handshake::<_, Bytes>(socket).await?;
    let (leave, mut leaving) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            Some(()) = leaving.recv() => {
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(accepted) = accepted else {
            return Ok(());
        };
        let (request, respond) = accepted?;
        let seen = Arc::clone(seen);
        let script = Arc::clone(script);
        let leave = leave.clone();
        spawn_local(async move {
            let now = seen.streams.fetch_add(1, Ordering::SeqCst) + 1;
            seen.streams_peak.fetch_max(now, Ordering::SeqCst);
            let _ = serve(request, respond, number, &seen, &*script, &leave).await;
            seen.streams.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: usize,
    seen: &Seen,
    script: &Script,
    leave: &tokio::sync::mpsc::Sender<()>,
) -> Result<(), h2::Error> {
    let (head, mut stream) = request.into_parts();
    let mut asked = understood(&head, connection);
    let answer = script(&asked);
    if matches!(answer, Http2Reply::Whole { .. }) && asked.protocol.is_none() {
        while let Some(data) = stream.data().await {
            let data = data?;
            asked.body.extend_from_slice(&data);
            stream.flow_control().release_capacity(data.len())?;
        }
        if let Some(trailers) = stream.trailers().await? {
            asked.trailers = texts(&trailers);
        }
    }
    seen.requests.lock().expect("no panic").push(asked);
    match answer {
        Http2Reply::Whole { .. } => whole(respond, answer).await,
        Http2Reply::Echo => echo(respond, stream).await,
        Http2Reply::ResetAfterHead => {
            let mut sending = respond.send_response(Response::new(()), false)?;
            send(&mut sending, vec![b'x'; 100], false).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            sending.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        Http2Reply::Refuse => {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
        Http2Reply::Reset => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        Http2Reply::RequireHttp1 => {
            if !stream.is_end_stream() {
                let _ = stream.data().await;
            }
            respond.send_reset(Reason::HTTP_1_1_REQUIRED);
            Ok(())
        }
        Http2Reply::GoAway => {
            let _ = leave.send(()).await;
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
        Http2Reply::Silence => {
            let code = std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
            seen.resets.lock().expect("no panic").push(code.into());
            Ok(())
        }
    }
}

/// A head as it is shown to scripts.
fn understood(head: &http::request::Parts, connection: usize) -> Http2Request {
    let protocol = head.extensions.get::<h2::ext::Protocol>();
    Http2Request {
        method: head.method.to_string(),
        scheme: head.uri.scheme_str().unwrap_or_default().to_owned(),
        authority: head
            .uri
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default(),
        path: head
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        protocol: protocol.map(|protocol| protocol.as_str().to_owned()),
        fields: texts(&head.headers),
        body: Vec::new(),
        trailers: Vec::new(),
        connection,
        http1: false,
    }
}

async fn whole(mut respond: SendResponse<Bytes>, answer: Http2Reply) -> Result<(), h2::Error> {
    let Http2Reply::Whole {
        status,
        hint,
        fields,
        body,
        trailers,
    } = answer
    else {
        return Ok(());
    };
    if let Some(link) = hint {
        let head = Response::builder().status(103).header("link", link);
        respond.send_informational(head.body(()).expect("a head"))?;
    }
    let mut head = Response::builder().status(status);
    for (name, value) in fields {
        head = head.header(name, value);
    }
    let head = head.body(()).expect("a head");
    let ends = body.is_empty() && trailers.is_empty();
    let mut stream = respond.send_response(head, ends)?;
    if !body.is_empty() {
        send(&mut stream, body, trailers.is_empty()).await?;
    }
    if !trailers.is_empty() {
        let mut map = HeaderMap::new();
        for (name, value) in trailers {
            map.insert(name, value.parse().expect("a value"));
        }
        stream.send_trailers(map)?;
    }
    Ok(())
}

async fn echo(mut respond: SendResponse<Bytes>, mut stream: RecvStream) -> Result<(), h2::Error> {
    let mut sending = respond.send_response(Response::new(()), false)?;
    while let Some(data) = stream.data().await {
        let data = data?;
        let bytes = data.len();
        send(&mut sending, data.to_vec(), false).await?;
        stream.flow_control().release_capacity(bytes)?;
    }
    match stream.trailers().await? {
        Some(trailers) => sending.send_trailers(trailers),
        None => sending.send_data(Bytes::new(), true),
    }
}

/// Sends as the windows allow.
async fn send(stream: &mut SendStream<Bytes>, body: Vec<u8>, ends: bool) -> Result<(), h2::Error> {
    let mut body = Bytes::from(body);
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(free) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return Ok(());
        };
        let piece = body.split_to(free?.min(body.len()));
        let last = ends && body.is_empty();
        stream.send_data(piece, last)?;
    }
    Ok(())
}

fn texts(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect()
}
