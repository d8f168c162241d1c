//! From an accepted socket to a connection: the PROXY protocol, the TLS handshake, or the name that TLS asks for.

use crate::admission::Admitted;
use crate::connection::Connection;
use crate::handler::{Handler, Passage};
use crate::listener::{ListenerMode, Protocols, TlsRules};
use crate::preface;
use crate::roll::{Closing, Enrolled, Phase};
use foregate_eventloop::{TcpStream, yield_now};
use foregate_message::{Chunk, Peer, Reason};
use foregate_telemetry::clock::{Deadline, now};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::{ListenerId, Refusal, Shard};
use foregate_tls::{HandshakeFault, RefusedHandshake, Stream, sni};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long a connection that is not established yet, whose handshake may be under way, is kept once its listener takes no
/// more connections.
const BEGINNING_WHILE_DRAINING: Duration = Duration::from_secs(2);

/// A socket that was accepted and admitted.
pub(crate) struct Arrived {
    pub(crate) socket: TcpStream,
    pub(crate) peer: Peer,
    /// Bytes that came and that nobody has taken yet.
    pub(crate) input: Chunk,
    pub(crate) shard: Arc<Shard>,
    pub(crate) id: ListenerId,
    pub(crate) enrolled: Enrolled,
    pub(crate) admitted: Admitted,
    pub(crate) protocols: Protocols,
}

/// A connection, and the way it goes.
enum Established {
    /// Its requests are served.
    Served(Box<Connection>),
    /// Its bytes are passed on.
    Passed(Box<Connection>, Passage),
}

impl Arrived {
    /// A connection in cleartext.
    pub(crate) fn in_cleartext(self) -> Box<Connection> {
        let Arrived {
            socket,
            peer,
            input,
            shard,
            id,
            enrolled,
            admitted,
            protocols,
        } = self;
        let stream = Stream::Plain(socket);
        Connection::new(
            stream, peer, input, shard, id, enrolled, admitted, protocols,
        )
    }

    /// Does what comes before requests or bytes, then serves or passes on.
    ///
    /// What comes before is large and boxed, so that the task of a connection that rests is no more than the rest.
    pub(crate) fn establish<H: Handler>(
        self,
        proxied: bool,
        mode: ListenerMode,
        handler: Rc<H>,
    ) -> impl Future<Output = ()> + use<H> {
        let entry = self.enrolled.entry();
        let worker = Rc::clone(self.enrolled.worker());
        let (shard, id) = (Arc::clone(&self.shard), self.id);
        // Boxed with it: the task of a connection that rests has no room for them.
        let mut beginning = Box::new((Box::pin(self.begin(proxied, mode)), shard, id));
        async move {
            entry.know_task().await;
            let mut last = None;
            let established = poll_fn(|cx| {
                let (begin, shard, id) = &mut *beginning;
                let closing = entry.closing();
                // Nobody was promised anything yet.
                if closing > Closing::Listener {
                    if closing == Closing::Drained {
                        shard.listener(*id).refused(Refusal::Draining);
                    }
                    return Poll::Ready(None);
                }
                if let Poll::Ready(established) = begin.as_mut().poll(cx) {
                    return Poll::Ready(established);
                }
                if closing == Closing::No || worker.is_patient() {
                    return Poll::Pending;
                }
                let deadline = last.get_or_insert_with(|| {
                    let mut deadline = Deadline::new();
                    deadline.set(now().plus(BEGINNING_WHILE_DRAINING));
                    deadline
                });
                deadline.poll_expired(cx).map(|()| {
                    shard.listener(*id).refused(Refusal::Draining);
                    None
                })
            })
            .await;
            drop((beginning, entry, worker, last));
            match established {
                Some(Established::Served(connection)) => connection.run(handler).await,
                Some(Established::Passed(connection, passage)) => {
                    connection.pass(passage, handler).await;
                }
                None => {}
            }
        }
    }

    /// `proxied` where connections begin with a PROXY protocol header.
    async fn begin(mut self, proxied: bool, mode: ListenerMode) -> Option<Established> {
        if proxied {
            self.enrolled.set_phase(Phase::ProxyHeader);
            let timeout = self.enrolled.worker().limits().head_timeout;
            if let Err(why) = preface::read(&mut self, timeout).await {
                preface::tell(why, self.peer.address);
                self.refuse(why);
                return None;
            }
        }
        Some(match mode {
            ListenerMode::Cleartext => Established::Served(self.in_cleartext()),
            ListenerMode::Tls(rules) => Established::Served(self.shake_hands(&rules).await?),
            ListenerMode::Tcp => Established::Passed(self.in_cleartext(), passage(Ok(None))),
            ListenerMode::TlsPassthrough { hello_timeout } => {
                self.enrolled.set_phase(Phase::Hello);
                let name = self.asked_name(hello_timeout).await;
                Established::Passed(self.in_cleartext(), passage(name))
            }
        })
    }

    fn refuse(&self, why: Refusal) {
        self.shard.listener(self.id).refused(why);
    }

    /// Holds the handshake.
    async fn shake_hands(self, rules: &TlsRules) -> Option<Box<Connection>> {
        let Arrived {
            socket,
            peer,
            input,
            shard,
            id,
            enrolled,
            admitted,
            protocols,
        } = self;
        enrolled.set_phase(Phase::Handshake);
        let mut deadline = Deadline::new();
        deadline.set(now().plus(rules.handshake_timeout));
        let accepted = tokio::select! {
            accepted = rules.acceptor.accept(socket, input) => accepted,
            () = deadline.expired() => Err(RefusedHandshake {
                fault: HandshakeFault::Timeout,
                socket: None,
            }),
        };
        let mut stream = match accepted {
            Ok(stream) => stream,
            Err(RefusedHandshake { fault, socket }) => {
                shard.listener(id).tls().failed(fault.name());
                if fault != HandshakeFault::ChallengeAnswered {
                    shard.listener(id).refused(Refusal::Handshake);
                    process::debug(
                        "a handshake came to nothing",
                        &[("client", &peer.address), ("fault", &fault.name())],
                    );
                }
                if let Some(socket) = socket {
                    enrolled.set_phase(Phase::Lingering);
                    linger(socket, enrolled.worker().limits().linger_timeout).await;
                }
                return None;
            }
        };
        let peer = match stream.take_facts() {
            Some(facts) => {
                shard.listener(id).tls().done(facts.cipher, facts.resumed);
                enrolled.set_tls(&facts);
                peer.over_tls(facts)
            }
            None => peer,
        };
        let input = Chunk::default();
        Some(Connection::new(
            stream, peer, input, shard, id, enrolled, admitted, protocols,
        ))
    }

    /// The name that the client's TLS asks for; what was read of it stays in the input, to be passed on.
    async fn asked_name(&mut self, timeout: Duration) -> Result<Option<String>, Reason> {
        let mut deadline = Deadline::new();
        deadline.set(now().plus(timeout));
        tokio::select! {
            name = self.read_name() => name,
            () = deadline.expired() => Err(Reason::NotTls),
        }
    }

    async fn read_name(&mut self) -> Result<Option<String>, Reason> {
        loop {
            match sni::peek(self.input.as_slice()) {
                Ok(Some(hello)) => return Ok(hello.server_name),
                Ok(None) => {}
                Err(_) => return Err(Reason::NotTls),
            }
            if !self.read_more().await {
                return Err(Reason::NotTls);
            }
        }
    }

    /// One read into the input; false at the end of the stream, or when the input is full.
    pub(crate) async fn read_more(&mut self) -> bool {
        loop {
            self.socket.readable().await;
            if !self.input.is_lent() {
                self.input = Chunk::lend();
            }
            if self.input.room().is_empty() {
                return false;
            }
            match self.socket.try_read(self.input.room()) {
                Ok(0) => return false,
                Ok(bytes) => {
                    self.input.filled(bytes);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
    }
}

/// A connection that is ready to be passed on by a name, or why it is not.
fn passage(name: Result<Option<String>, Reason>) -> Passage {
    let (server_name, outcome) = match name {
        Ok(name) => (name, Ok(())),
        Err(reason) => (None, Err(reason)),
    };
    Passage {
        server_name,
        outcome,
        at: now(),
    }
}

/// Takes what a client still sends that was told why its handshake is refused, until it has closed.
async fn linger(socket: TcpStream, timeout: Duration) {
    let mut deadline = Deadline::new();
    deadline.set(now().plus(timeout));
    let mut unread = [0; 4096];
    let drained = async {
        // Whoever sends without end does not keep the worker from others: each turn takes one part.
        loop {
            socket.readable().await;
            match socket.try_read(&mut unread) {
                Ok(0) => return,
                Ok(_) => yield_now().await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = drained => {}
        () = deadline.expired() => {}
    }
}
