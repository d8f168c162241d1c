//! One HTTP/1 connection: waiting, reading heads, serving, closing.
//!
//! ```text
//!        ┌────────────── kept ◄───────────────┐
//!        ▼                                    │
//!  idle (a few words) ── bytes ──► active (boxed): head → handler → head → …
//!        │                                    │
//!     timeout, end, drain                end, fault, close
//!        ▼                                    ▼
//!      closed ◄──────────── linger ◄──────────┘
//! ```

use crate::admission::Admitted;
use crate::handler::{Arrival, Handler, Passage};
use crate::http1::{After, Http1};
use crate::http2;
use crate::listener::Protocols;
use crate::roll::{self, Closing, Enrolled, Phase};
use crate::worker::ClientLimits;
use foregate_message::{Chunk, Fault, Peer, Reason, RequestHead};
use foregate_telemetry::clock::{Deadline, Moment, now, recent};
use foregate_telemetry::metrics::{ListenerCells, ListenerId, Shard};
use foregate_tls::{Alpn, Stream};
use foregate_wire::abuse::Budget;
use foregate_wire::{h1, h2};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What an open connection is while nothing happens on it.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    pub(crate) shard: Arc<Shard>,
    pub(crate) listener: ListenerId,
    /// What operators see of it, and whether it is to end.
    pub(crate) enrolled: Enrolled,
    /// Bytes received and not yet read; borrows no buffer while there are none.
    pub(crate) input: Chunk,
    /// Whether the client has closed its sending side.
    pub(crate) eof: bool,
    /// Which message may come or go now.
    pub(crate) machine: h1::ServerConnection,
    /// What it has asked over HTTP/1 without getting anything done. The engine of HTTP/2 has one of its own.
    pub(crate) budget: Budget,
    pub(crate) deadline: Deadline,
    /// Which of the worker's settings it has taken up.
    edition: u32,
    /// Since when a head is waited for; [`Moment::NEVER`] while none is. One wait is one, whatever wakes it: bytes of a TLS
    /// record that is not whole are no part of a head.
    waits_since: Moment,
    /// Whether the deadline is a head's, not the wait's.
    deadline_is_for_head: bool,
    /// Whether the deadline has been polled by the task that serves HTTP/1.
    deadline_knows_task: bool,
    /// The number of the request before which an empty line was passed over: it is passed over once.
    empty_line_before: u32,
    /// What the client may speak where no handshake says it.
    protocols: Protocols,
    admitted: Admitted,
}

/// How long a connection without a request yet is kept once the gateway drains.
const FIRST_REQUEST_WHILE_DRAINING: Duration = Duration::from_millis(500);

/// How long a connection may still wait for its next request when what it takes is wanted for others. It was promised to
/// live, so that a request may be on its way; few come after so long a pause.
pub(crate) const SPARE_PAUSE: Duration = Duration::from_millis(500);

/// How long a connection between two requests keeps its state ready.
const ACTIVE_PAUSE: Duration = Duration::from_millis(50);

/// How a burst of requests ended.
enum End {
    /// Nothing more to read for now.
    Keep,
    /// Close at once.
    Close,
    /// Let the client take its answer, then close.
    Linger,
}

/// What a client has begun to speak.
enum Spoken {
    Http1,
    Http2,
    /// No byte is here.
    Nothing,
}

/// What reading a head came to.
enum Heading {
    Complete(Result<h1::RequestFraming, Reason>),
    /// No byte of a request is here.
    Idle,
    /// The client closed between requests.
    Closed,
}

impl Connection {
    #[expect(
        clippy::too_many_arguments,
        reason = "they are what a connection is made of, from one place"
    )]
    pub(crate) fn new(
        stream: Stream,
        peer: Peer,
        input: Chunk,
        shard: Arc<Shard>,
        listener: ListenerId,
        enrolled: Enrolled,
        admitted: Admitted,
        protocols: Protocols,
    ) -> Box<Connection> {
        shard.listener(listener).active.up();
        enrolled.set_phase(Phase::Open);
        let edition = enrolled.worker().edition();
        let mut connection = Box::new(Connection {
            stream,
            peer,
            shard,
            listener,
            enrolled,
            input,
            eof: false,
            machine: h1::ServerConnection::new(0),
            budget: Budget::new(0, recent().millis()),
            deadline: Deadline::new(),
            edition,
            waits_since: recent(),
            deadline_is_for_head: false,
            deadline_knows_task: false,
            empty_line_before: 0,
            protocols,
            admitted,
        });
        connection.take_up(edition);
        connection
    }

    /// Takes the worker's settings up, for the requests to come; whether they are others than before.
    #[inline]
    pub(crate) fn follow(&mut self) -> bool {
        let edition = self.enrolled.worker().edition();
        let are_others = self.edition != edition;
        if are_others {
            self.take_up(edition);
        }
        are_others
    }

    #[inline(never)]
    fn take_up(&mut self, edition: u32) {
        self.edition = edition;
        let limits = self.enrolled.worker().limits();
        let requests_max = limits.requests_per_connection_max.unwrap_or(0);
        self.machine.limit_requests(requests_max);
        self.budget.limit(limits.abuse_points_max);
        self.judge(&self.peer);
    }

    /// Looks whether a peer is one of the trusted proxies.
    pub(crate) fn judge(&self, peer: &Peer) {
        let worker = self.enrolled.worker();
        peer.judge(|address| worker.trusts(address));
    }

    /// Serves the connection to its end.
    ///
    /// Boxed, so that the task of a connection that waits is a few words and not as many copies of it as it has states.
    pub(crate) async fn run<H: Handler>(mut self: Box<Self>, handler: Rc<H>) {
        let mut is_known = false;
        self.enrolled.know_task().await;
        loop {
            self.peer.rest();
            self.enrolled.rest();
            if self.input.is_empty() && !self.wait().await {
                return self.stream.close_now();
            }
            if !is_known {
                match self.spoken().await {
                    // It was woken for nothing, and waits on.
                    Spoken::Nothing => continue,
                    Spoken::Http2 => {
                        self.enrolled.set_protocol(roll::Protocol::Http2);
                        // Its state is larger than that of a connection that waits for HTTP/1.
                        return Box::pin(http2::run(self, handler)).await;
                    }
                    Spoken::Http1 => self.enrolled.set_protocol(roll::Protocol::Http1),
                }
                is_known = true;
            }
            // The state of a request is large; a connection that waits for one does not carry it.
            let active = Box::pin(active(&mut self, &*handler));
            match caught(active).await {
                Some(End::Keep) => {}
                Some(End::Linger) => return self.linger().await,
                Some(End::Close) => return,
                None => {
                    self.enrolled.worker().panicked();
                    return;
                }
            }
        }
    }

    /// Passes its bytes on to its end.
    pub(crate) async fn pass<H: Handler>(mut self: Box<Self>, passage: Passage, handler: Rc<H>) {
        let limits = self.enrolled.worker().limits();
        self.enrolled.passes();
        let passed = Box::pin(async {
            let mut client = Http1::tunnel(&mut self, limits);
            handler.pass(&mut client, passage).await;
        });
        if caught(passed).await.is_none() {
            self.enrolled.worker().panicked();
        }
    }

    /// Waits for the next request's first byte; false when the connection is to be closed instead.
    async fn wait(&mut self) -> bool {
        let (since, mut until) = self.waiting();
        if recent() >= until {
            return false;
        }
        self.deadline_is_for_head = false;
        self.deadline.set(until);
        let mut hurried = false;
        let mut spare = false;
        poll_fn(|cx| {
            if self.stream.poll_read_ready(cx).is_ready() {
                return Poll::Ready(true);
            }
            if self.enrolled.is_cut() {
                return Poll::Ready(false);
            }
            if self.is_ending() && !hurried {
                if self.machine.requests() > 0 {
                    return Poll::Ready(false);
                }
                // The first request of a connection that was just made may be on its way.
                hurried = true;
                until = now().plus(FIRST_REQUEST_WHILE_DRAINING);
                self.deadline.set(until);
            }
            let wanted = !hurried && self.is_wanted();
            // Others may make room meanwhile: then it has the time again that it had.
            if std::mem::replace(&mut spare, wanted) != wanted {
                let soon = since.plus(SPARE_PAUSE).min(until);
                self.deadline.set(if wanted { soon } else { until });
            }
            self.deadline.poll_expired(cx).map(|()| false)
        })
        .await
    }

    /// Since when a request's first byte is waited for, and until when.
    #[inline]
    fn waiting(&mut self) -> (Moment, Moment) {
        if self.waits_since == Moment::NEVER {
            self.waits_since = recent();
        }
        let limits = self.enrolled.worker().limits();
        let timeout = if self.machine.requests() == 0 {
            limits.head_timeout
        } else {
            limits.idle_timeout
        };
        (self.waits_since, self.waits_since.plus(timeout))
    }

    /// Whether a connection without a request is to be closed.
    #[inline]
    fn is_ending(&self) -> bool {
        match self.enrolled.closing() {
            Closing::No => false,
            Closing::Listener => !self.enrolled.worker().is_patient(),
            Closing::Operator | Closing::Drained | Closing::Now => true,
        }
    }

    /// Whether what the connection takes while it waits for a request is wanted for others.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.enrolled.worker().is_trimming() || self.admitted.is_wanted()
    }

    /// What the client speaks: as the handshake has it, else by the first bytes (RFC 9113 §3).
    async fn spoken(&mut self) -> Spoken {
        match self.stream.alpn() {
            Alpn::Http2 => return Spoken::Http2,
            Alpn::Http1 => return Spoken::Http1,
            Alpn::None => {}
        }
        match self.protocols {
            Protocols { http1: false, .. } => return Spoken::Http2,
            Protocols { http2: false, .. } => return Spoken::Http1,
            Protocols { .. } => {}
        }
        let limits = self.enrolled.worker().limits();
        poll_fn(|cx| {
            loop {
                if self.enrolled.is_cut() {
                    // Whoever reads the head ends the connection.
                    return Poll::Ready(Spoken::Http1);
                }
                let known = self.input.len().min(h2::PREFACE.len());
                if self.input.as_slice()[..known] != h2::PREFACE[..known] {
                    return Poll::Ready(Spoken::Http1);
                }
                if known == h2::PREFACE.len() {
                    return Poll::Ready(Spoken::Http2);
                }
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    // HTTP/1 knows what to do about it.
                    Poll::Ready(_) => return Poll::Ready(Spoken::Http1),
                    Poll::Pending if self.input.is_empty() => return Poll::Ready(Spoken::Nothing),
                    Poll::Pending => {
                        // What is here may be the beginning of a head, and whoever reads that knows what is due.
                        return match self.head_is_late(cx, &limits) {
                            true => Poll::Ready(Spoken::Http1),
                            false => Poll::Pending,
                        };
                    }
                }
            }
        })
        .await
    }

    /// Waits a moment for another request: a busy connection is not put to rest, and its state freed, between any
    /// two. False when none came, or the connection is to be closed.
    async fn stay_ready(&mut self) -> bool {
        if self.waits_since == Moment::NEVER {
            self.waits_since = recent();
        } else if recent() >= self.waiting().1 {
            return false;
        }
        self.deadline_is_for_head = false;
        self.deadline.set(recent().plus(ACTIVE_PAUSE));
        // The read that found nothing has left word to be woken. Whatever else this is woken for costs another such
        // read.
        let mut woken = false;
        poll_fn(|cx| {
            if self.is_ending() {
                // What has come meanwhile is still served.
                return Poll::Ready(self.stream.poll_read_ready(cx).is_ready());
            }
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(!self.deadline.is_expired());
            }
            // Once it has been polled, a deadline knows whom to wake whenever it is set.
            if !std::mem::replace(&mut self.deadline_knows_task, true) {
                return self.deadline.poll_expired(cx).map(|()| false);
            }
            Poll::Pending
        })
        .await
    }

    /// One read into the free room of the input, which borrows a buffer only while there is something to hold.
    /// Zero bytes are the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_fill_with(false, cx)
    }

    /// [`Connection::poll_fill`], for a body that is `long`.
    pub(crate) fn poll_fill_with(
        &mut self,
        long: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        let bytes = ready!((self.stream).poll_fill(&mut self.input, long, usize::MAX, cx))?;
        self.eof = bytes == 0;
        self.received(bytes as u64);
        Poll::Ready(Ok(bytes))
    }

    /// Counts bytes that came from the client.
    pub(crate) fn received(&self, bytes: u64) {
        self.cells().bytes_in.add(bytes);
    }

    /// The listener's cells.
    #[inline]
    pub(crate) fn cells(&self) -> &ListenerCells {
        self.shard.listener(self.listener)
    }

    /// Hands the peer over to whoever serves the connection from now on.
    pub(crate) fn take_peer(&mut self) -> Peer {
        let Peer {
            address,
            local,
            listener,
            ..
        } = self.peer;
        std::mem::replace(&mut self.peer, Peer::new(address, local, listener))
    }

    /// Reads the next head.
    async fn read_head(&mut self, limits: &ClientLimits, head: &mut RequestHead) -> Heading {
        let mut progress = h1::HeadProgress::default();
        let mut incomplete = false;
        poll_fn(|cx| {
            loop {
                if !self.input.is_empty() {
                    match progress.parse_request(self.input.as_slice(), &limits.head, head) {
                        Ok(Some(length)) => {
                            self.input.consume(length);
                            self.waits_since = Moment::NEVER;
                            self.deadline_is_for_head = false;
                            h1::name_host(head);
                            let framing = h1::request_framing(head).map_err(Reason::Request);
                            return Poll::Ready(Heading::Complete(framing));
                        }
                        Ok(None) if self.input.as_slice() == b"\r\n" => {
                            if !self.passes_empty_line() {
                                let again = Reason::Request(Fault::StartLine);
                                return self.bad(limits, head, again);
                            }
                            progress = h1::HeadProgress::default();
                        }
                        Ok(None) => incomplete = true,
                        Err(fault) => return self.bad(limits, head, Reason::Request(fault)),
                    }
                }
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(0)) if self.input.is_empty() => {
                        return Poll::Ready(Heading::Closed);
                    }
                    Poll::Ready(Ok(0)) => {
                        return self.bad(limits, head, Reason::Request(Fault::Truncated));
                    }
                    Poll::Ready(Ok(bytes)) if incomplete => {
                        let at_ms = recent().millis();
                        if let Err(flood) = self.budget.charge_part_of_head(bytes, at_ms) {
                            return self.bad(limits, head, flood);
                        }
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Heading::Closed),
                    Poll::Pending if self.input.is_empty() => return Poll::Ready(Heading::Idle),
                    Poll::Pending if self.enrolled.is_cut() => {
                        return self.bad(limits, head, self.enrolled.cut_reason());
                    }
                    Poll::Pending if incomplete && self.head_is_late(cx, limits) => {
                        return self.bad(limits, head, Reason::HeadTimeout);
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Passes over the empty line that is here and nothing else: old clients send one behind a body (RFC 9112 §2.2), and no
    /// request has begun with it. False when it is the second one.
    #[cold]
    fn passes_empty_line(&mut self) -> bool {
        let next = self.machine.requests().saturating_add(1);
        let is_first = self.empty_line_before != next;
        self.empty_line_before = next;
        if is_first {
            self.input = Chunk::default();
        }
        is_first
    }

    /// A head that never became one; what the one before it left there must not be taken for it.
    fn bad(&self, limits: &ClientLimits, head: &mut RequestHead, reason: Reason) -> Poll<Heading> {
        h1::read_request_line(self.input.as_slice(), &limits.head, head);
        Poll::Ready(Heading::Complete(Err(reason)))
    }

    /// Whether an incomplete head's time is over. Its first call starts the time; that of a connection's first head began
    /// with the connection.
    fn head_is_late(&mut self, cx: &mut Context<'_>, limits: &ClientLimits) -> bool {
        if !self.deadline_is_for_head {
            self.enrolled.reads_head();
            self.deadline_is_for_head = true;
            let since = match self.machine.requests() {
                0 => self.waits_since.min(now()),
                _ => now(),
            };
            self.deadline.set(since.plus(limits.head_timeout));
        }
        self.deadline.poll_expired(cx).is_ready()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.listener(self.listener).active.down();
    }
}

/// Serves requests until the client pauses or the connection ends.
async fn active<H: Handler>(connection: &mut Connection, handler: &H) -> End {
    let mut head = RequestHead::new();
    // One for all requests of the burst.
    let mut timer = Deadline::new();
    loop {
        let limits = connection.enrolled.worker().limits();
        let outcome = match connection.read_head(&limits, &mut head).await {
            Heading::Complete(outcome) => outcome,
            Heading::Idle if connection.stay_ready().await => continue,
            Heading::Idle => return End::Keep,
            Heading::Closed => {
                connection.stream.close_now();
                return End::Close;
            }
        };
        connection.follow();
        if let Some(facts) = &mut connection.peer.tls {
            facts.early = connection.stream.is_early();
        }
        // The loop has looked at the clock since it came, or another request was settled since.
        let at = recent();
        connection.enrolled.begin(at);
        let mut client = Http1::new(connection, limits, &head, &outcome);
        let arrival = Arrival {
            head: &mut head,
            upgrade: outcome.is_ok_and(|framing| framing.upgrade),
            expects_continue: outcome.is_ok_and(|framing| framing.expects_continue),
            outcome: outcome.map(|framing| framing.length),
            at,
            timer: &mut timer,
        };
        handler.serve(&mut client, arrival).await;
        let after = client.after();
        connection.enrolled.end();
        match after {
            After::Next => connection.budget.served(),
            After::Close => {
                // Over TLS an answer that ends with the connection is not complete without a farewell (RFC 8446 §6.1).
                connection.stream.close_now();
                return End::Close;
            }
            After::Cut => return End::Close,
            After::Linger => return End::Linger,
        }
    }
}

/// Runs a burst; `None` when it panicked, which harms no other connection.
pub(crate) async fn caught<F: Future>(burst: F) -> Option<F::Output> {
    let mut burst = pin!(burst);
    poll_fn(|cx| {
        // The connection is dropped after a panic, so nobody sees a state that the panic left half done.
        match catch_unwind(AssertUnwindSafe(|| burst.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
