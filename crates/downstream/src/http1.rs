//! The client's half of one exchange over HTTP/1.

#[cfg(test)]
mod tests;

use crate::connection::Connection;
use crate::pace::BodyWatch;
use crate::roll::{Closing, Place};
use crate::worker::ClientLimits;
use foregate_message::{
    BodyLength, Chunk, Client, Fault, FieldId, Fields, Frame, Method, Peer, Piped, Reason,
    RequestHead, ResponseHead, Version,
};
use foregate_telemetry::clock::{Deadline, now, recent};
use foregate_wire::h1::{self, BodyDecoder, BodyEncoder, BodyReader, Next, Outbox, ResponseOut};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;

/// How often a client that can't be read from is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What becomes of the connection after an exchange.
pub(crate) enum After {
    /// The next request.
    Next,
    /// The end, at once.
    Close,
    /// The end of something that went wrong, which must not look like an orderly one.
    Cut,
    /// The end, once the client has had time to take its answer.
    Linger,
}

/// The wait of a client that has closed its sending side.
struct HalfClosed {
    /// Whether the answer had begun, and how much of it had come: more of it begins another wait.
    sent: (bool, u64),
    deadline: Deadline,
}

/// One exchange on a connection.
pub(crate) struct Http1<'c> {
    connection: &'c mut Connection,
    limits: Rc<ClientLimits>,
    version: Version,
    is_head: bool,
    /// Refused, but the client may be sending tunnel bytes already, which must not be read as a request.
    is_connect: bool,
    /// The request never became one; where it ends is unknown.
    refused: bool,
    reader: BodyReader,
    body_asked: bool,
    body_ended: bool,
    body_watch: BodyWatch,
    /// By when more of an answer must come for a client that has closed its sending side.
    half_closed: Option<HalfClosed>,
    out: Outbox,
    encoder: BodyEncoder,
    /// A piece of body that stays in the kernel, behind what `out` holds.
    piped: Option<Piped>,
    write_deadline: Option<Deadline>,
    /// When to look again whether the connection is broken.
    look: Option<Deadline>,
    responded: bool,
    tunnel: bool,
    /// Whether pieces of the request's body may stay in the kernel.
    pipes: bool,
    shutdown_owed: bool,
    broken: Option<Reason>,
    bytes_in: u64,
    bytes_out: u64,
}

impl<'c> Http1<'c> {
    pub(crate) fn new(
        connection: &'c mut Connection,
        limits: Rc<ClientLimits>,
        head: &RequestHead,
        framing: &Result<h1::RequestFraming, Reason>,
    ) -> Http1<'c> {
        let decoder = match framing {
            Ok(framing) => {
                connection.machine.head(framing);
                BodyDecoder::for_request(head, framing)
            }
            Err(_) => {
                connection.machine.fail();
                BodyDecoder::empty()
            }
        };
        let body_ended = decoder.is_done();
        if body_ended && framing.is_ok() {
            connection.machine.request_ended();
        }
        Http1 {
            version: head.version,
            is_head: head.method == Method::Head,
            is_connect: head.method == Method::Connect,
            refused: framing.is_err(),
            reader: BodyReader::new(decoder, limits.body),
            body_asked: false,
            body_ended,
            body_watch: BodyWatch::default(),
            half_closed: None,
            out: Outbox::default(),
            encoder: BodyEncoder::empty(),
            piped: None,
            write_deadline: None,
            look: None,
            responded: false,
            tunnel: false,
            pipes: false,
            shutdown_owed: false,
            broken: None,
            bytes_in: 0,
            bytes_out: 0,
            connection,
            limits,
        }
    }

    /// A connection that is a tunnel from its beginning: nothing is asked or answered, bytes come and go.
    pub(crate) fn tunnel(connection: &'c mut Connection, limits: Rc<ClientLimits>) -> Http1<'c> {
        connection.machine.fail();
        Http1 {
            version: Version::Http11,
            is_head: false,
            is_connect: true,
            refused: false,
            reader: BodyReader::new(BodyDecoder::tunnel(), limits.body),
            body_asked: false,
            body_ended: false,
            body_watch: BodyWatch::default(),
            half_closed: None,
            out: Outbox::default(),
            encoder: BodyEncoder::tunnel(),
            piped: None,
            write_deadline: None,
            look: None,
            responded: true,
            tunnel: true,
            pipes: false,
            shutdown_owed: false,
            broken: None,
            bytes_in: 0,
            bytes_out: 0,
            connection,
            limits,
        }
    }

    /// What becomes of the connection.
    pub(crate) fn after(&mut self) -> After {
        if !self.responded || self.has_queued() {
            return After::Cut;
        }
        if let Some(reason) = self.broken {
            return match reason {
                // It has been told so, and is to learn of it although it may still be sending.
                Reason::Request(fault) if fault != Fault::Truncated => self.after_refusal(),
                Reason::BodyTooSlow | Reason::TinyDataFlood | Reason::Draining => {
                    self.after_refusal()
                }
                _ => After::Cut,
            };
        }
        match self.connection.machine.settle() {
            Next::Head => After::Next,
            _ if self.connection.eof => After::Close,
            Next::Close { unread } if unread || self.refused || self.has_unread() => After::Linger,
            Next::Drain => After::Linger,
            Next::Close { .. } if self.may_have_more() => After::Linger,
            Next::Close { .. } | Next::Exchange => After::Close,
        }
    }

    /// What becomes of a connection whose request broke a rule only after its head.
    fn after_refusal(&self) -> After {
        if !self.encoder.is_complete() {
            // An answer that had begun before is not whole.
            After::Cut
        } else if self.connection.eof {
            After::Close
        } else {
            After::Linger
        }
    }

    /// Whether the kernel may hold bytes of the client, a pipelined request for one, that nobody has read.
    fn may_have_more(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.connection.stream.poll_read_ready(&mut cx).is_ready()
    }

    /// Whether a part of the answer has not left yet.
    fn has_queued(&self) -> bool {
        !self.out.is_empty() || self.piped.is_some()
    }

    /// Whether bytes came that nobody will read, which would make the kernel reset the connection.
    fn has_unread(&self) -> bool {
        !self.connection.input.is_empty()
    }

    /// Whether the connection can carry another request after this answer, as far as is known now.
    fn can_keep_alive(&mut self) -> bool {
        let more = !self.connection.eof || !self.connection.input.is_empty();
        self.connection.machine.may_keep()
            && more
            && !self.is_connect
            && self.connection.enrolled.closing() == Closing::No
            && self.body_is_here()
    }

    /// Whether the request's body has been read, or could be dropped without waiting for any of it.
    fn body_is_here(&mut self) -> bool {
        while !self.body_ended {
            if self.body_asked {
                return false;
            }
            // Nobody pays for what is thrown away: it is no more than is here, and was answered already.
            match self.reader.next(&mut self.connection.input) {
                Ok(Some(Frame::Data(_) | Frame::Piped(_))) => {}
                Ok(Some(Frame::End | Frame::Trailers(_))) => self.end_body(),
                Ok(None) | Err(_) => return false,
            }
        }
        true
    }

    /// The next frame of the body in what has come of it.
    fn next_frame(&mut self) -> Result<Option<Frame>, Reason> {
        let frame = self.reader.next(&mut self.connection.input);
        let frame = frame.map_err(Reason::Request)?;
        let budget = &mut self.connection.budget;
        if let tiny @ 1.. = self.reader.take_tiny_chunks() {
            budget.charge_chunks(tiny, recent().millis())?;
        }
        if let Some(Frame::Data(data)) = &frame {
            budget.moved(data.len() as u32);
            budget.taken();
        }
        Ok(frame)
    }

    fn end_body(&mut self) {
        self.body_ended = true;
        if !self.tunnel {
            self.connection.machine.request_ended();
        }
    }

    /// Counts and judges a wait for the client's body.
    fn wait_for_body(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if self.tunnel {
            return Poll::Pending;
        }
        self.body_watch.poll_too_slow(&self.limits, 0, cx)
    }

    /// Writes once what is queued first; returns how many bytes left.
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (slices, count) = self.out.slices();
        let stream = &mut self.connection.stream;
        let written = ready!(match count {
            0 => return stream.poll_splice_out(&mut self.piped, cx),
            1 => Pin::new(stream).poll_write(cx, &slices[0]),
            _ => Pin::new(stream).poll_write_vectored(cx, &slices[..count]),
        })?;
        self.out.wrote(written);
        Poll::Ready(Ok(written))
    }

    /// A piece of the request's body that stays in the kernel; `None` when there is no pipe for it.
    fn poll_pipe(
        &mut self,
        remaining: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, Reason>>> {
        let piped = match self.connection.stream.poll_splice_in(remaining, cx) {
            Poll::Ready(Ok(Some(piped))) => piped,
            Poll::Ready(Ok(None)) => return Poll::Ready(None),
            Poll::Ready(Err(_)) => {
                return Poll::Ready(Some(Err(self.broke(Reason::ClientGone))));
            }
            Poll::Pending => {
                let late = ready!(self.wait_for_body(cx));
                return Poll::Ready(Some(Err(self.broke(late))));
            }
        };
        if piped.is_empty() {
            self.connection.eof = true;
            if self.tunnel {
                self.end_body();
                return Poll::Ready(Some(Ok(Frame::End)));
            }
            let cut_off = Reason::Request(Fault::Truncated);
            return Poll::Ready(Some(Err(self.broke(cut_off))));
        }
        let bytes = piped.len() as u64;
        self.reader.passed(bytes);
        let moved = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.connection.budget.moved(moved);
        self.bytes_in += bytes;
        self.connection.received(bytes);
        self.body_watch.received(bytes, 0);
        Poll::Ready(Some(Ok(Frame::Piped(piped))))
    }

    /// Looks now and then whether the connection is broken, without reading: the event that would tell wakes nobody
    /// while bytes that must wait are still unread.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let look = self.look.get_or_insert_with(|| starting(LOOK_INTERVAL));
        while look.poll_expired(cx).is_ready() {
            if !matches!(self.connection.stream.socket().take_error(), Ok(None)) {
                return Poll::Ready(self.broke(Reason::ClientGone));
            }
            look.set(now().plus(LOOK_INTERVAL));
        }
        Poll::Pending
    }

    /// Pending until a client that has closed its sending side has waited for too long. It may have left, and nothing tells
    /// while there is nothing to write.
    #[cold]
    fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        // One side of a tunnel may rest. What has not left yet has a time of its own.
        if self.tunnel || self.has_queued() {
            self.half_closed = None;
            return Poll::Pending;
        }
        let sent = (self.responded, self.bytes_out);
        let timeout = self.limits.half_close_timeout;
        let wait = match &mut self.half_closed {
            Some(wait) if wait.sent == sent => wait,
            wait => wait.insert(HalfClosed {
                sent,
                deadline: starting(timeout),
            }),
        };
        ready!(wait.deadline.poll_expired(cx));
        Poll::Ready(self.broke(Reason::ClientGone))
    }

    /// Pending until the client has taken nothing for too long, or an operator ends the connection.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let timeout = self.limits.write_timeout;
        let deadline = self.write_deadline.get_or_insert_with(|| starting(timeout));
        let late = deadline.poll_expired(cx);
        if self.connection.enrolled.is_cut() {
            return Poll::Ready(Err(self.broke(self.connection.enrolled.cut_reason())));
        }
        ready!(late);
        Poll::Ready(Err(self.broke(Reason::WriteTimeout)))
    }

    fn broke(&mut self, reason: Reason) -> Reason {
        self.connection.machine.fail();
        *self.broken.get_or_insert(reason)
    }
}

impl Client for Http1<'_> {
    fn peer(&self) -> &Peer {
        &self.connection.peer
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Reason>> {
        self.body_asked = true;
        if self.connection.machine.owes_continue() {
            self.connection.machine.continued();
            if self.connection.input.is_empty() {
                let text = self.out.text();
                text.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                let _ = self.poll_flush(cx)?;
            }
        }
        loop {
            match self.next_frame() {
                Ok(Some(frame)) => {
                    match &frame {
                        Frame::Data(data) => self.bytes_in += data.len() as u64,
                        _ => self.end_body(),
                    }
                    return Poll::Ready(Ok(frame));
                }
                Ok(None) => {}
                Err(reason) => return Poll::Ready(Err(self.broke(reason))),
            }
            if let Some(remaining) = self.reader.passable().filter(|_| self.pipes) {
                match ready!(self.poll_pipe(remaining, cx)) {
                    Some(frame) => return Poll::Ready(frame),
                    None => self.pipes = false,
                }
            }
            let long = self.reader.is_long();
            match self.connection.poll_fill_with(long, cx) {
                Poll::Ready(Ok(0)) => {
                    let end = self.reader.at_eof();
                    if end.is_ok() {
                        self.end_body();
                    }
                    return Poll::Ready(end.map_err(|fault| self.broke(Reason::Request(fault))));
                }
                Poll::Ready(Ok(bytes)) => {
                    self.body_watch.received(bytes as u64, 0);
                }
                Poll::Ready(Err(_)) => {
                    return Poll::Ready(Err(self.broke(Reason::ClientGone)));
                }
                Poll::Pending => {
                    let late = ready!(self.wait_for_body(cx));
                    return Poll::Ready(Err(self.broke(late)));
                }
            }
        }
    }

    #[inline]
    fn going_to(&mut self, route: u32, endpoint: u32) {
        let place = Place { route, endpoint };
        self.connection.enrolled.going_to(place);
    }

    fn allow_pipes(&mut self, allowed: bool) {
        self.pipes = allowed && self.connection.stream.can_splice();
    }

    fn limit_body(&mut self, bytes_max: Option<u64>) {
        self.reader.limit(bytes_max);
    }

    fn inform(&mut self, head: &ResponseHead) {
        // HTTP/1.0 knows no interim answers (RFC 9110 §15.2).
        if self.version >= Version::Http11 && !self.responded {
            h1::write_interim(head, self.out.text());
        }
    }

    fn close_behind(&mut self) {
        self.connection.machine.keep_no_more();
    }

    fn respond(&mut self, head: &ResponseHead, length: BodyLength) {
        debug_assert!(!self.responded, "an exchange has one final answer");
        self.responded = true;
        self.body_watch.end();
        self.tunnel = length == BodyLength::Tunnel;
        let framing = ResponseOut {
            version: self.version,
            request_method_is_head: self.is_head,
            keep_alive: !self.tunnel && self.can_keep_alive(),
            upgrade: head.fields.get(FieldId::Upgrade),
        };
        let (encoder, keep_alive) = h1::write_response(head, length, framing, self.out.text());
        self.encoder = encoder;
        self.connection.machine.response_began(keep_alive);
        if self.tunnel {
            self.connection.enrolled.became_tunnel(head);
            self.reader = BodyReader::new(BodyDecoder::tunnel(), self.limits.body);
            self.body_ended = false;
        }
    }

    #[inline]
    fn send(&mut self, data: Chunk) {
        self.bytes_out += data.len() as u64;
        if self.out.push(data, &mut self.encoder).is_err() {
            self.abort();
        }
    }

    fn takes_pipes(&self) -> bool {
        self.connection.stream.can_splice() && self.encoder.is_plain() && !self.is_head
    }

    fn send_piped(&mut self, piped: Piped) {
        self.bytes_out += piped.len() as u64;
        if self.encoder.prefix(piped.len(), self.out.text()).is_err() {
            return self.abort();
        }
        self.piped = Some(piped);
    }

    #[inline]
    fn finish(&mut self, trailers: Option<&Fields>) {
        if self.tunnel {
            self.shutdown_owed = true;
        } else if self.out.finish(trailers, &mut self.encoder).is_err() {
            return self.abort();
        }
        self.connection.machine.response_ended();
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        while self.has_queued() {
            match self.poll_write(cx) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {
                    let cells = self.connection.shard.listener(self.connection.listener);
                    cells.bytes_out.add(bytes as u64);
                    if let Some(deadline) = &mut self.write_deadline {
                        deadline.set(now().plus(self.limits.write_timeout));
                    }
                }
                Poll::Ready(_) => {
                    self.out.clear();
                    self.piped = None;
                    return Poll::Ready(Err(self.broke(Reason::ClientGone)));
                }
                Poll::Pending => return self.poll_too_slow(cx),
            }
        }
        if self.shutdown_owed {
            // With TLS this waits for room as well.
            if Pin::new(&mut self.connection.stream)
                .poll_shutdown(cx)
                .is_pending()
            {
                return self.poll_too_slow(cx);
            }
            self.shutdown_owed = false;
        }
        self.write_deadline = None;
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if self.connection.enrolled.is_cut() {
            return Poll::Ready(self.broke(self.connection.enrolled.cut_reason()));
        }
        let full = self.connection.input.len() >= self.limits.head.head_bytes_max;
        if !self.body_ended || full {
            return self.poll_reset(cx);
        }
        // Pipelined requests wait in the input; once it is full, nobody reads on.
        while !self.connection.eof && self.connection.input.len() < self.limits.head.head_bytes_max
        {
            // Asked first, as it is cheap and the usual answer is no.
            ready!(self.connection.stream.poll_read_ready(cx));
            match ready!(self.connection.poll_fill(cx)) {
                Ok(_) => {}
                Err(_) => return Poll::Ready(self.broke(Reason::ClientGone)),
            }
        }
        if !self.connection.eof {
            return Poll::Pending;
        }
        self.poll_half_closed(cx)
    }

    fn abort(&mut self) {
        self.broke(Reason::ClientGone);
        if self.has_queued() {
            self.encoder.break_off();
        }
        self.out.clear();
        self.piped = None;
        if self.responded && self.encoder.ends_by_closing() && !self.encoder.is_complete() {
            // A reset instead of an orderly end: a body that lasts until close must not look complete.
            let socket = socket2::SockRef::from(self.connection.stream.socket());
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }

    fn transferred(&self) -> (u64, u64) {
        (self.bytes_in, self.bytes_out)
    }
}

fn starting(timeout: Duration) -> Deadline {
    let mut deadline = Deadline::new();
    deadline.set(now().plus(timeout));
    deadline
}
