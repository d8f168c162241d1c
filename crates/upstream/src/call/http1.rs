//! A connection of HTTP/1.1, which carries one request and its answer at a time.

use super::{CallLimits, SendOutcome};
use crate::pool::{Pool, Ticket};
use foregate_message::{
    BodyLength, Chunk, Fields, Frame, Method, Piped, Reason, RequestHead, ResponseHead, Status,
};
use foregate_tls::{PeerAlert, Stream};
use foregate_wire::h1::{
    self, BodyDecoder, BodyEncoder, BodyReader, ClientConnection, HeadProgress, Outbox, RequestOut,
};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// What is read at once of an answer whose body is expected to stay in the kernel. Most heads fit in.
const HEAD_READ_BYTES_MAX: usize = 4 * 1024;

/// A connection to a backend, at rest or with one exchange on it. Dropping it closes the connection;
/// [`Http1::finish`] gives it back to its pool if both directions of the exchange ended in order.
///
/// It stays in its box for life: what an exchange needs is set anew, and nothing of it is moved on the way.
#[derive(Debug)]
pub(crate) struct Http1 {
    pub(crate) stream: Stream,
    pub(crate) ticket: Ticket,
    /// How many exchanges it has carried to their end.
    pub(crate) requests: u64,
    /// Which message may come or go now.
    machine: ClientConnection,
    limits: CallLimits,
    method: Method,
    /// The protocols that the request asks for.
    upgrade: Option<Box<[u8]>>,
    out: Outbox,
    encoder: BodyEncoder,
    /// A piece of body that stays in the kernel, behind what `out` holds.
    piped: Option<Piped>,
    send_refused: bool,
    input: Chunk,
    progress: HeadProgress,
    eof: bool,
    reader: Option<BodyReader>,
    /// Whether pieces of the body may stay in the kernel.
    pipes: bool,
}

impl Http1 {
    /// A connection that was just opened.
    pub(crate) fn new(stream: Stream, ticket: Ticket) -> Box<Http1> {
        Box::new(Http1 {
            stream,
            ticket,
            requests: 0,
            machine: ClientConnection::new(),
            limits: CallLimits::AT_REST,
            method: Method::Get,
            upgrade: None,
            out: Outbox::default(),
            encoder: BodyEncoder::empty(),
            piped: None,
            send_refused: false,
            input: Chunk::default(),
            progress: HeadProgress::default(),
            eof: false,
            reader: None,
            pipes: false,
        })
    }

    /// Queues the request's head. `target` is what goes into the request line.
    pub(crate) fn start(
        &mut self,
        head: &RequestHead,
        target: &[u8],
        length: BodyLength,
        upgrade: Option<&[u8]>,
        limits: &CallLimits,
    ) {
        let framing = RequestOut {
            length,
            upgrade,
            keep_alive: true,
        };
        self.machine.begin(framing.keep_alive);
        self.limits = *limits;
        self.method.clone_from(&head.method);
        self.upgrade = upgrade.map(Box::from);
        self.out = Outbox::default();
        self.encoder = h1::write_request(head, target, framing, self.out.text());
        self.progress = HeadProgress::default();
        self.reader = None;
        self.pipes = false;
    }

    /// From now on bytes are passed on as they are, in both directions. It never goes back to its pool.
    pub(crate) fn become_tunnel(&mut self, limits: &CallLimits) {
        self.machine.fail();
        self.limits = *limits;
        self.method = Method::Connect;
        self.encoder = BodyEncoder::tunnel();
        self.reader = Some(BodyReader::new(BodyDecoder::tunnel(), limits.body));
    }

    /// Whether an earlier request used it, so that its end may have come unseen.
    pub(crate) fn is_reused(&self) -> bool {
        self.requests > 0
    }

    /// Whether the whole body of the answer has come, so that only its end is left to be taken.
    #[inline]
    pub(crate) fn is_body_here(&self) -> bool {
        self.reader.as_ref().is_none_or(BodyReader::is_done)
    }

    /// Whether the body is known to break off behind the frame that was taken last.
    #[inline]
    pub(crate) fn is_broken(&self) -> bool {
        self.reader.as_ref().is_some_and(BodyReader::is_broken)
    }

    /// Whether the body is long enough for pieces of it to stay in the kernel, or may become so.
    #[inline]
    pub(crate) fn offers_pipes(&self) -> bool {
        let reader = self.reader.as_ref();
        reader.is_some_and(|one| one.is_tunnel() || one.passable().is_some())
    }

    /// Lets pieces of a long body stay in the kernel, where that can be, or not.
    #[inline]
    pub(crate) fn allow_pipes(&mut self, allowed: bool) {
        self.pipes = allowed && self.stream.can_splice();
        let passes =
            self.pipes && (self.reader.as_ref()).is_some_and(|one| one.passable().is_some());
        self.ticket.pool().passes.set(passes);
    }

    /// Whether a part of the request waits for the backend to take it.
    pub(crate) fn is_sending(&self) -> bool {
        !self.out.is_empty() || self.piped.is_some()
    }

    /// Whether pieces of the request's body may stay in the kernel.
    pub(crate) fn takes_pipes(&self) -> bool {
        self.stream.can_splice() && self.encoder.is_plain()
    }

    /// Queues a piece of the request's body that stayed in the kernel; dropped once the backend takes no more.
    pub(crate) fn send_piped(&mut self, piped: Piped) {
        if self.send_refused {
            return;
        }
        match self.encoder.prefix(piped.len(), self.out.text()) {
            Ok(()) => self.piped = Some(piped),
            Err(_) => self.send_refused = true,
        }
    }

    /// Whether any byte of an answer has come.
    pub(crate) fn has_received(&self) -> bool {
        !self.machine.is_untouched()
    }

    /// Queues a piece of the request's body; dropped once the backend takes no more.
    pub(crate) fn send(&mut self, data: Chunk) {
        if !self.send_refused && self.out.push(data, &mut self.encoder).is_err() {
            self.send_refused = true;
        }
    }

    /// Ends the request's body.
    pub(crate) fn end(&mut self, trailers: Option<&Fields>) {
        if !self.send_refused && self.out.finish(trailers, &mut self.encoder).is_err() {
            self.send_refused = true;
        }
        self.machine.request_ended();
    }

    /// Moves what is queued towards the backend.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<SendOutcome> {
        while !self.send_refused && self.is_sending() {
            let (slices, count) = self.out.slices();
            let stream = &mut self.stream;
            let written = ready!(match count {
                0 => stream.poll_splice_out(&mut self.piped, cx),
                1 => Pin::new(stream).poll_write(cx, &slices[0]),
                _ => Pin::new(stream).poll_write_vectored(cx, &slices[..count]),
            });
            match written {
                Ok(bytes) if bytes > 0 => self.out.wrote(if count == 0 { 0 } else { bytes }),
                _ => self.send_refused = true,
            }
        }
        if self.send_refused {
            self.out.clear();
            self.piped = None;
            return Poll::Ready(SendOutcome::Refused);
        }
        Poll::Ready(SendOutcome::Sent)
    }

    /// Closes the sending direction, for a tunnel whose client has finished.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| ())
    }

    /// The next head of the answer, interim ones included; behind a final one the body can be read.
    ///
    /// # Errors
    /// [`Reason::UpstreamClosed`] when the backend closed or reset instead, [`Reason::UpstreamTlsFailed`] when it refused what
    /// we are, or what is wrong with the head.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<BodyLength, Reason>> {
        loop {
            if !self.input.is_empty() {
                let limits = &self.limits.head;
                let parsed = self
                    .progress
                    .parse_response(self.input.as_slice(), limits, head);
                if let Some(bytes) = parsed.map_err(Reason::Response)? {
                    self.input.consume(bytes);
                    return Poll::Ready(self.accept(head));
                }
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) if self.has_received() => {
                    return Poll::Ready(Err(Reason::UpstreamTruncated));
                }
                Err(error) if PeerAlert::of(&error).is_some() => {
                    return Poll::Ready(Err(Reason::UpstreamTlsFailed));
                }
                Ok(0) | Err(_) => return Poll::Ready(Err(Reason::UpstreamClosed)),
                Ok(_) => {}
            }
        }
    }

    fn accept(&mut self, head: &ResponseHead) -> Result<BodyLength, Reason> {
        if head.status == Status::SWITCHING_PROTOCOLS && !self.may_switch(head) {
            return Err(Reason::UpgradeUnasked);
        }
        let framing = h1::response_framing(head, &self.method).map_err(Reason::Response)?;
        if head.status.is_interim() {
            self.machine.interim_came(&framing);
            return Ok(BodyLength::Empty);
        }
        self.machine.response_began(&framing);
        self.ticket.pool().passes.set(false);
        if framing.length == BodyLength::Tunnel {
            self.encoder = BodyEncoder::tunnel();
        }
        let decoder = BodyDecoder::for_response(head, &framing);
        self.reader = Some(BodyReader::new(decoder, self.limits.body));
        Ok(framing.length)
    }

    /// Whether a 101 switches to what was asked for, now that the whole request is on its way: what came of a body later
    /// would be bytes of the other protocol (RFC 9110 §7.8).
    #[cold]
    fn may_switch(&self, head: &ResponseHead) -> bool {
        let asked = self.upgrade.as_deref();
        asked.is_some_and(|asked| h1::switches_as_asked(head, asked))
            && self.machine.has_request_ended()
            && !self.send_refused
    }

    /// The next frame of the answer's body.
    ///
    /// # Errors
    /// The body is malformed or was cut off.
    #[inline]
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Reason>> {
        loop {
            let Some(reader) = &mut self.reader else {
                return Poll::Ready(Ok(Frame::End));
            };
            if let Some(frame) = reader.next(&mut self.input).map_err(Reason::Response)? {
                if !matches!(frame, Frame::Data(_)) {
                    self.machine.response_ended();
                }
                return Poll::Ready(Ok(frame));
            }
            if let Some(remaining) = reader.passable().filter(|_| self.pipes) {
                match ready!(self.poll_pipe(remaining, cx)) {
                    Some(frame) => return Poll::Ready(frame),
                    None => self.pipes = false,
                }
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => {
                    let frame = self
                        .reader
                        .as_mut()
                        .map_or(Ok(Frame::End), BodyReader::at_eof);
                    self.machine.fail();
                    return Poll::Ready(frame.map_err(|_| Reason::UpstreamTruncated));
                }
                Ok(_) => {}
                Err(_) => return Poll::Ready(Err(Reason::UpstreamTruncated)),
            }
        }
    }

    /// A piece of the body that stays in the kernel; `None` when there is no pipe for it.
    fn poll_pipe(
        &mut self,
        remaining: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, Reason>>> {
        let stream = &self.stream;
        Poll::Ready(match ready!(stream.poll_splice_in(remaining, cx)) {
            Ok(None) => None,
            Ok(Some(piped)) if !piped.is_empty() => {
                if let Some(reader) = &mut self.reader {
                    reader.passed(piped.len() as u64);
                }
                Some(Ok(Frame::Piped(piped)))
            }
            Ok(_) if self.reader.as_ref().is_some_and(BodyReader::is_tunnel) => {
                self.machine.fail();
                Some(Ok(Frame::End))
            }
            _ => {
                self.machine.fail();
                Some(Err(Reason::UpstreamTruncated))
            }
        })
    }

    /// Reads once into the input.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        let (long, most) = match &self.reader {
            Some(reader) => (reader.is_long(), usize::MAX),
            // Of an answer whose body will stay in the kernel, little more than the head is read.
            None if self.ticket.pool().passes.get() => (false, HEAD_READ_BYTES_MAX),
            None => (false, usize::MAX),
        };
        let read = ready!((self.stream).poll_fill(&mut self.input, long, most, cx));
        self.eof = matches!(read, Ok(0));
        if matches!(read, Ok(1..)) {
            self.machine.bytes_came();
        }
        Poll::Ready(read)
    }

    /// Ends the exchange and keeps the connection if it may carry another request: both directions ended, both sides
    /// want it, and no byte came that nobody had asked for (RFC 9112 §9.3).
    pub(crate) fn finish(mut self: Box<Self>) {
        let whole = !self.send_refused && !self.is_sending() && self.encoder.is_complete();
        if whole && !self.eof && self.machine.settle(self.input.len()) {
            // At rest it holds no buffer.
            self.out = Outbox::default();
            self.requests += 1;
            Pool::check_in(self);
        }
    }
}
