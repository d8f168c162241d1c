//! Clients' handshakes.

mod resolver;

use crate::calendar::unix_s;
use crate::certificate::Finding;
use crate::fault::HandshakeFault;
use crate::gate::{HandshakeGate, turn};
use crate::handshake::{Failure, Handshake, Party, Progress};
use crate::names::{NameTable, plain};
use crate::plan::{AcceptorPlan, ClientAuthPlan};
use crate::profile::{provider, suite_name, versions};
use crate::sessions::SessionCache;
use crate::sni::{ClientHello, peek};
use crate::store::CertificateStore;
use crate::stream::{Alpn, Stream};
use crate::tickets::Tickets;
use crate::tls_stream::{State, TlsStream};
use crate::trust;
use foldhash::HashMap;
use foregate_eventloop::TcpStream;
use foregate_message::{Chunk, TlsFacts, TlsVersion};
use resolver::{ChallengeResolver, StoreResolver, with_local_address};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CommonState, HandshakeKind, ProtocolVersion, ServerConfig};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How much is read at once of a handshake.
const READ_BYTES: usize = 4 * 1024;

/// How much of a hello may come before it takes a place among the handshakes: no more than a connection that rests may hold.
const FREE_HELLO_BYTES: usize = READ_BYTES;

/// How many tickets a client gets: one for each of two connections that it may open next.
const TICKETS: usize = 2;

/// How much early data a client may send: a few heads.
const EARLY_DATA_BYTES_MAX: u32 = 16 * 1024;

/// The rules that sessions are bound to: those that ask clients for nothing. Others have none.
const NOTHING_ASKED: [u8; 32] = [0; 32];

const NOT_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 61\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks HTTPS; the request came as cleartext HTTP.\r\n";

/// A fatal alert in the clear: the name is not known (RFC 6066 §3).
const ALERT_UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A fatal alert in the clear: the version is not spoken here (RFC 8446 appendix D.2).
const ALERT_PROTOCOL_VERSION: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// The fatal alert `decode_error` (RFC 8446 §6.2), for what begins as a hello and is none.
const ALERT_DECODE_ERROR: [u8; 7] = [21, 3, 1, 0, 2, 2, 50];

/// A handshake that came to nothing.
#[derive(Debug)]
pub struct RefusedHandshake {
    /// Why.
    pub fault: HandshakeFault,
    /// The socket of a client that was told so; its sending side is shut. Whoever has it takes what the client still sends,
    /// for a moment: the kernel would answer that with a reset, which destroys what was said.
    pub socket: Option<TcpStream>,
}

/// Who answers a certificate authority's challenge over TLS (RFC 8737).
pub trait ChallengeSource: Send + Sync {
    /// The certificate that answers the challenge for a name in lower case, while there is one.
    fn certificate_for(&self, name: &str) -> Option<Arc<CertifiedKey>>;
}

/// Who wants to know for which names a certificate was missing. Is told in the middle of handshakes, so must not take
/// its time.
pub trait MissingNames: Send + Sync {
    /// A client asked for this name, in lower case, and there was no certificate for it, or only one out of its time.
    fn asked(&self, name: &str);
}

/// What all listeners of the process have in common, and what outlives reloads.
#[derive(Clone)]
pub struct Shared {
    /// The certificates.
    pub store: Arc<CertificateStore>,
    /// The keys of tickets; without them sessions are kept in the cache alone.
    pub tickets: Option<Arc<Tickets>>,
    /// Sessions that are kept here.
    pub sessions: Arc<SessionCache>,
    /// How many handshakes may be unfinished.
    pub gate: Arc<HandshakeGate>,
    /// Who answers challenges.
    pub challenges: Option<Arc<dyn ChallengeSource>>,
    /// Who is told of missing certificates.
    pub missing: Option<Arc<dyn MissingNames>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("store", &self.store)
            .field("tickets", &self.tickets)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// What can be wrong with an [`AcceptorPlan`] or a [`crate::ConnectorPlan`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanFault {
    /// The name whose settings are wrong, if it is one name's.
    pub name: Option<String>,
    /// What is wrong.
    pub finding: Finding,
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{name}`: {}", self.finding),
            None => self.finding.fmt(f),
        }
    }
}

impl std::error::Error for PlanFault {}

/// What holds the handshakes of a listener. Made at each reload; handshakes under way finish with the one they began
/// with.
pub struct Acceptor {
    names: Arc<NameTable>,
    /// By the number of what is asked of clients.
    configs: HashMap<u32, Arc<ServerConfig>>,
    challenge: Option<Arc<ServerConfig>>,
    default: Option<Arc<str>>,
    shared: Shared,
}

impl Acceptor {
    /// From plain values.
    ///
    /// # Errors
    /// A client authority or revocation list can't be read.
    pub fn new(plan: &AcceptorPlan, shared: Shared) -> Result<Arc<Acceptor>, PlanFault> {
        let names = NameTable::new(&plan.names, |name| trust::number(name.client.as_ref()));
        let names = Arc::new(names);
        let default: Option<Arc<str>> = plan.default_certificate.as_deref().map(Into::into);
        let mut acceptor = Acceptor {
            names,
            configs: HashMap::default(),
            challenge: None,
            default,
            shared,
        };
        let mut config = |name: Option<&str>, client: Option<&ClientAuthPlan>| {
            let trust = trust::number(client);
            if !acceptor.configs.contains_key(&trust) {
                let config = acceptor.config(plan, trust, client);
                let config = config.map_err(|finding| PlanFault {
                    name: name.map(str::to_owned),
                    finding,
                })?;
                acceptor.configs.insert(trust, Arc::new(config));
            }
            Ok(())
        };
        config(None, None)?;
        for name in &plan.names {
            config(Some(&name.name), name.client.as_ref())?;
        }
        acceptor.challenge = acceptor.challenge_config();
        Ok(Arc::new(acceptor))
    }

    fn config(
        &self,
        plan: &AcceptorPlan,
        trust: u32,
        client: Option<&ClientAuthPlan>,
    ) -> Result<ServerConfig, Finding> {
        let verifier = match client {
            Some(client) => trust::verifier(client)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let resolver = StoreResolver {
            names: Arc::clone(&self.names),
            store: Arc::clone(&self.shared.store),
            trust,
            default: self.default.clone(),
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(plan.profile))
            .map_err(|error| Finding::UnsupportedKey(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(resolver));
        if plan.http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        if plan.http1 {
            config.alpn_protocols.push(b"http/1.1".to_vec());
        }
        // Whoever offers several suites gets the first of the profile's: a client can't be talked into a worse one.
        config.ignore_client_order = true;
        // Records are sealed and opened here, with the keys of the handshake.
        config.enable_secret_extraction = true;
        if plan.early_data && client.is_none() {
            // rustls takes it only from sessions that are kept here: each is taken up once, so that nothing is replayed
            // to the same process.
            config.max_early_data_size = EARLY_DATA_BYTES_MAX;
            config.send_half_rtt_data = true;
        }
        // A session that is taken up again brings the client's certificate of back then along, and nobody asks whether it
        // has ended since, is revoked, or comes from somebody who is trusted no longer: each resumption would lead to the
        // next one (RFC 8446 §4.6.1). So whoever is asked for a certificate shows it at every handshake.
        if plan.resumption && client.is_none() {
            config.session_storage = self.shared.sessions.bound(NOTHING_ASKED);
            config.send_tls13_tickets = TICKETS;
            if let Some(tickets) = &self.shared.tickets
                && !plan.early_data
            {
                config.ticketer = tickets.bound(NOTHING_ASKED);
            }
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    fn challenge_config(&self) -> Option<Arc<ServerConfig>> {
        let source = Arc::clone(self.shared.challenges.as_ref()?);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .ok()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ChallengeResolver(source)));
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.enable_secret_extraction = true;
        Some(Arc::new(config))
    }

    /// The number of what is asked of clients for a host: requests for hosts with another number than the connection's
    /// are misdirected.
    pub fn trust_of(&self, host: &str) -> u32 {
        self.names.of(&plain(host)).trust
    }

    /// Holds a handshake. `received` is what was read from the socket already. Whoever calls keeps the time, and must be
    /// a task of a worker's loop.
    ///
    /// # Errors
    /// Why there is no connection; the client has been told as well as it can be.
    pub async fn accept(
        &self,
        mut socket: TcpStream,
        received: Chunk,
    ) -> Result<Stream, RefusedHandshake> {
        match self.shake_hands(&mut socket, received).await {
            Ok((state, alpn, facts)) => {
                let stream = TlsStream::new(socket, state, alpn, Some(facts));
                Ok(Stream::Tls(stream))
            }
            Err(fault) => Err(RefusedHandshake {
                fault,
                socket: fault.is_told().then_some(socket),
            }),
        }
    }

    async fn shake_hands(
        &self,
        socket: &mut TcpStream,
        received: Chunk,
    ) -> Result<(State, Alpn, Box<TlsFacts>), HandshakeFault> {
        let mut incoming = received.as_slice().to_vec();
        drop(received);
        let mut pass = None;
        let hello = loop {
            let hello = peek_hello(socket, &incoming).await?;
            // Until then it has cost next to nothing, and whoever says nothing keeps nobody out.
            if pass.is_none() && (hello.is_some() || incoming.len() > FREE_HELLO_BYTES) {
                pass = Some(self.shared.gate.enter().ok_or(HandshakeFault::Busy)?);
            }
            match hello {
                Some(hello) => break hello,
                None => read_more(socket, &mut incoming).await?,
            }
        };
        // Such hellos lack so much else that what is missing first would be named.
        if hello.is_outdated {
            last_words(socket, &ALERT_PROTOCOL_VERSION).await;
            return Err(HandshakeFault::ProtocolVersion);
        }
        let local = local_address(socket, &hello);
        let (config, trust) = match self.choose(&hello, local) {
            Ok(chosen) => chosen,
            Err(fault) => {
                last_words(socket, &ALERT_UNRECOGNIZED_NAME).await;
                return Err(fault);
            }
        };
        let (mut handshake, advanced) = begin(config, incoming, local).await?;
        let early =
            drive(socket, &mut handshake, advanced, local, true).await? == Progress::Blocked;
        if early && alpn(handshake.party.common()) == Alpn::Http2 {
            // Its streams are all of one connection: what could be replayed is not told from what could not.
            let advanced = advance(&mut handshake, local);
            drive(socket, &mut handshake, advanced, local, false).await?;
        }
        if hello.is_acme_challenge() {
            last_words(socket, &handshake.flow.outgoing).await;
            return Err(HandshakeFault::ChallengeAnswered);
        }
        let common = handshake.party.common();
        let alpn = alpn(common);
        let is_early = early && alpn != Alpn::Http2;
        let facts = facts(common, hello.server_name, trust);
        // Of TLS 1.3 only tickets are left, which go with the first answer if what it answers is here. A client of TLS 1.2
        // waits for this.
        let waits = match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => !is_early && !handshake.has_more(),
            _ => true,
        };
        if waits {
            acknowledge(socket, &mut handshake.flow.outgoing).await?;
        }
        let state = if is_early {
            State::Early(Box::new(handshake))
        } else {
            State::Done(
                handshake
                    .into_session()
                    .map_err(|_| HandshakeFault::Internal)?,
            )
        };
        Ok((state, alpn, facts))
    }

    /// The rules for a hello, and their number.
    fn choose(
        &self,
        hello: &ClientHello,
        local: Option<IpAddr>,
    ) -> Result<(Arc<ServerConfig>, u32), HandshakeFault> {
        if hello.is_acme_challenge()
            && let Some(config) = &self.challenge
        {
            let name = hello.server_name.as_deref().unwrap_or_default();
            let source = self.shared.challenges.as_ref();
            return match source.and_then(|source| source.certificate_for(name)) {
                Some(_) => Ok((Arc::clone(config), 0)),
                None => Err(HandshakeFault::UnknownName),
            };
        }
        let store = &self.shared.store;
        let (settings, known) = match &hello.server_name {
            Some(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                let settings = self.names.of(name);
                let known = store.has(name, settings.only.as_deref());
                // One that has ended is shown, and nobody else may be about to renew it.
                if let Some(missing) = &self.shared.missing
                    && !(known && store.has_in_time(name, settings.only.as_deref(), unix_s()))
                {
                    missing.asked(name);
                }
                (settings, known)
            }
            None => {
                let known = local.is_some_and(|address| store.has_address(address));
                (self.names.of_address(local), known)
            }
        };
        if !known && self.default.is_none() {
            return Err(HandshakeFault::UnknownName);
        }
        let config = self.configs.get(&settings.trust);
        let config = config.ok_or(HandshakeFault::Internal)?;
        Ok((Arc::clone(config), settings.trust))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("names", &self.names)
            .field("default", &self.default)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// The address that the client connected to, if its certificate depends on it.
fn local_address(socket: &TcpStream, hello: &ClientHello) -> Option<IpAddr> {
    if hello.server_name.is_some() {
        return None;
    }
    socket
        .local_addr()
        .ok()
        .map(|address| address.ip().to_canonical())
}

/// The ClientHello, once it is whole. Who sends what can't be one is told.
async fn peek_hello(
    socket: &mut TcpStream,
    incoming: &[u8],
) -> Result<Option<ClientHello>, HandshakeFault> {
    let fault = match peek(incoming) {
        Ok(hello) => return Ok(hello),
        Err(fault) => HandshakeFault::from(fault),
    };
    match fault {
        HandshakeFault::CleartextHttp => last_words(socket, NOT_HTTPS).await,
        HandshakeFault::Malformed => last_words(socket, &ALERT_DECODE_ERROR).await,
        _ => {}
    }
    Err(fault)
}

type ServerHandshake = Handshake<UnbufferedServerConnection>;

/// One read. A connection that waits here has no buffer but for what has come.
async fn read_more(socket: &mut TcpStream, incoming: &mut Vec<u8>) -> Result<(), HandshakeFault> {
    socket.readable().await;
    let mut lent = Chunk::lend();
    // Unlike `try_read` it remembers that a short read has taken everything, so that nobody asks in vain.
    let room = &mut lent.room()[..READ_BYTES];
    match socket.read(room).await {
        Ok(0) => Err(HandshakeFault::ClientClosed),
        Ok(bytes) => {
            incoming.extend_from_slice(&room[..bytes]);
            Ok(())
        }
        Err(error) => Err(left(&error)),
    }
}

fn left(_error: &io::Error) -> HandshakeFault {
    HandshakeFault::ClientClosed
}

/// Waits for its turn, and answers the hello that has come.
async fn begin(
    config: Arc<ServerConfig>,
    incoming: Vec<u8>,
    local: Option<IpAddr>,
) -> Result<(ServerHandshake, Result<Progress, Failure>), HandshakeFault> {
    let _turn = turn().await;
    let party = UnbufferedServerConnection::new(config).map_err(|_| HandshakeFault::Internal)?;
    let mut handshake = Handshake::new(party, incoming);
    let advanced = advance(&mut handshake, local);
    Ok((handshake, advanced))
}

fn advance(handshake: &mut ServerHandshake, local: Option<IpAddr>) -> Result<Progress, Failure> {
    with_local_address(local, || handshake.advance())
}

/// Moves bytes until the handshake, which has `advanced` so far, is done, or early data has come and `early` is wanted. What
/// is left to be sent then goes with the first data.
async fn drive(
    socket: &mut TcpStream,
    handshake: &mut ServerHandshake,
    mut advanced: Result<Progress, Failure>,
    local: Option<IpAddr>,
    early: bool,
) -> Result<Progress, HandshakeFault> {
    loop {
        match advanced {
            Ok(Progress::Done) => return Ok(Progress::Done),
            Ok(Progress::Blocked) => {}
            Err(failure) => {
                last_words(socket, &handshake.flow.outgoing).await;
                return Err(match failure {
                    Failure::Tls(error) => HandshakeFault::from(&error),
                    Failure::Closed => HandshakeFault::ClientClosed,
                    Failure::Length => HandshakeFault::Malformed,
                });
            }
        }
        send(socket, &mut handshake.flow.outgoing).await?;
        if early && !handshake.flow.early.is_empty() {
            return Ok(Progress::Blocked);
        }
        read_more(socket, handshake.incoming()).await?;
        advanced = advance(handshake, local);
    }
}

async fn send(socket: &mut TcpStream, outgoing: &mut Vec<u8>) -> Result<(), HandshakeFault> {
    if !outgoing.is_empty() {
        let sent = socket.write_all(outgoing).await;
        sent.map_err(|error| left(&error))?;
        *outgoing = Vec::new();
    }
    Ok(())
}

/// Sends what there is, or has the kernel say that the client's last words came: what a client writes in small pieces waits
/// for word of the piece before (RFC 896), and the kernel may wait 40 ms for something to send it with.
async fn acknowledge(socket: &mut TcpStream, outgoing: &mut Vec<u8>) -> Result<(), HandshakeFault> {
    if outgoing.is_empty() {
        // Without it there is a pause and nothing worse.
        let _ = rustix::net::sockopt::set_tcp_quickack(&*socket, true);
    }
    send(socket, outgoing).await
}

/// Says something to a client that will be left. What it still sends has to be taken until it has read that: see
/// [`RefusedHandshake::socket`].
async fn last_words(socket: &mut TcpStream, words: &[u8]) {
    if words.is_empty() || socket.try_write(words).is_err() {
        return;
    }
    let _ = socket.shutdown().await;
}

pub(crate) fn alpn(common: &CommonState) -> Alpn {
    match common.alpn_protocol() {
        Some(b"h2") => Alpn::Http2,
        Some(b"http/1.1") => Alpn::Http1,
        _ => Alpn::None,
    }
}

fn facts(common: &CommonState, server_name: Option<String>, trust: u32) -> Box<TlsFacts> {
    let certificate = common.peer_certificates().and_then(<[_]>::first);
    Box::new(TlsFacts {
        server_name: server_name.map(|name| plain(&name).into()),
        version: match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        },
        cipher: common
            .negotiated_cipher_suite()
            .map_or("unknown", |suite| suite_name(suite.suite())),
        resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        early: false,
        trust,
        client: certificate.and_then(trust::describe),
    })
}

#[cfg(test)]
mod tests {
    use super::NOT_HTTPS;

    #[test]
    fn the_cleartext_answer_is_as_long_as_it_says() {
        let answer = std::str::from_utf8(NOT_HTTPS).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
