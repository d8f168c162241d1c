//! The client's half of one exchange over a stream of HTTP/2.

use super::shared::Shared;
use super::websocket::Handshake;
use crate::pace::BodyWatch;
use crate::roll::Place;
use crate::worker::ClientLimits;
use foregate_message::{
    BodyLength, Chunk, Client, Fault, Fields, Frame, Peer, Reason, RequestHead, ResponseHead,
    Status,
};
use foregate_telemetry::clock::{Deadline, now, recent};
use foregate_wire::h2::heads::RequestFacts;
use foregate_wire::h2::{ErrorCode, StreamKey};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// One exchange on a stream.
pub(super) struct Http2Stream<'s> {
    shared: &'s Shared,
    key: StreamKey,
    limits: Rc<ClientLimits>,
    owes_continue: bool,
    responded: bool,
    /// Whether any success would open a tunnel.
    asked_tunnel: bool,
    tunnel: bool,
    /// What the request announced.
    length: BodyLength,
    body_bytes_max: Option<u64>,
    body_watch: BodyWatch,
    /// By when more of what is queued must have left than the bytes that still wait.
    write_deadline: Option<(Deadline, usize)>,
    websocket: Option<Handshake>,
    /// Why the exchange was broken off from this side.
    broken: Option<Reason>,
    bytes_in: u64,
    bytes_out: u64,
}

impl<'s> Http2Stream<'s> {
    pub(super) fn new(
        shared: &'s Shared,
        key: StreamKey,
        limits: Rc<ClientLimits>,
        facts: &Result<RequestFacts, Reason>,
    ) -> Http2Stream<'s> {
        Http2Stream {
            shared,
            key,
            owes_continue: facts.is_ok_and(|facts| facts.expects_continue),
            responded: false,
            asked_tunnel: facts.is_ok_and(|facts| facts.upgrade),
            tunnel: false,
            length: facts.map_or(BodyLength::Empty, |facts| facts.length),
            body_bytes_max: limits.body.body_bytes_max,
            body_watch: BodyWatch::default(),
            write_deadline: None,
            websocket: None,
            broken: None,
            bytes_in: 0,
            bytes_out: 0,
            limits,
        }
    }

    /// Gives a WebSocket request what HTTP/1.1 wants and HTTP/2 leaves out (RFC 8441 §5).
    pub(super) fn prepare_upgrade(&mut self, head: &mut RequestHead, random: [u64; 2]) {
        self.websocket = Handshake::begin(head, random);
    }

    /// How the stream ended before its time, if it did.
    #[inline]
    fn fate(&self) -> Option<Reason> {
        if self.broken.is_some() || self.shared.is_broken() {
            return self.broken.or(Some(Reason::ClientGone));
        }
        let fate = self.shared.engine().fate(self.key)?;
        Some(self.ended_by(fate.reason))
    }

    /// Why the stream ended, if not by what the engine says.
    #[cold]
    fn ended_by(&self, reason: Reason) -> Reason {
        match self.shared.entry().is_cut() {
            true => self.shared.entry().cut_reason(),
            false => reason,
        }
    }

    /// Breaks the exchange off: the client must not take what came as whole.
    fn break_off(&mut self, reason: Reason) {
        if self.broken.is_some() {
            return;
        }
        self.broken = Some(reason);
        if !self.shared.is_broken() {
            self.shared
                .engine()
                .reset(self.key, ErrorCode::INTERNAL_ERROR);
            self.queued();
        }
    }

    /// Answers for whoever took a request for a tunnel as one for a page: to the client any 2xx would be its tunnel
    /// (RFC 8441 §5, RFC 9110 §9.3.6), and the page's content the other side's first words in it. Or for whoever opened one
    /// without having understood the handshake.
    #[cold]
    fn refuse_tunnel(&mut self) {
        self.tunnel = false;
        let reason = Reason::UpgradeIgnored;
        let head = ResponseHead::new(reason.status());
        self.shared
            .engine()
            .respond(self.key, &head, BodyLength::Empty);
        self.broken = Some(reason);
        self.queued();
    }

    /// Has the driver write what the engine has queued.
    #[inline]
    fn queued(&self) {
        self.shared.wake_driver();
    }

    fn is_too_large(&self, bytes: u64) -> bool {
        self.body_bytes_max.is_some_and(|max| bytes > max)
    }

    /// For how long other streams' bodies have kept the client from sending this one's.
    fn held_back_ms(&self) -> u64 {
        self.shared.engine().held_back_ms(now().millis())
    }

    /// Counts and judges a wait for the client's body.
    fn wait_for_body(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if self.tunnel {
            return Poll::Pending;
        }
        let held_back_ms = self.held_back_ms();
        self.body_watch
            .poll_too_slow(&self.limits, held_back_ms, cx)
    }

    /// Watches a client that does not take what waits for it.
    fn wait_for_reader(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let timeout = self.limits.write_timeout;
        let waiting = self.shared.engine().backlog_bytes(self.key);
        let (deadline, before) = self.write_deadline.get_or_insert_with(|| {
            let mut deadline = Deadline::new();
            deadline.set(now().plus(timeout));
            (deadline, waiting)
        });
        if waiting < *before {
            *before = waiting;
            deadline.set(now().plus(timeout));
        }
        ready!(deadline.poll_expired(cx));
        let mut engine = self.shared.engine();
        let reason = if engine.is_window_blocked(self.key) {
            Reason::WindowStalled
        } else {
            Reason::WriteTimeout
        };
        engine.reset(self.key, ErrorCode::CANCEL);
        drop(engine);
        self.queued();
        Poll::Ready(reason)
    }

    fn take(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Reason>> {
        let mut engine = self.shared.engine();
        let taken = engine.take(self.key);
        let is_written = engine.is_written();
        drop(engine);
        if !is_written {
            self.queued();
        }
        match taken {
            Ok(Some(frame)) => {
                if let Frame::Data(data) = &frame {
                    self.bytes_in += data.len() as u64;
                    if self.body_watch.is_watching() {
                        let held_back_ms = self.held_back_ms();
                        self.body_watch.received(data.len() as u64, held_back_ms);
                    }
                    if !self.tunnel && self.is_too_large(self.bytes_in) {
                        let at_ms = recent().millis();
                        self.shared.engine().charge_overlong_body(at_ms);
                        return Poll::Ready(Err(Reason::Request(Fault::BodyTooLarge)));
                    }
                }
                Poll::Ready(Ok(frame))
            }
            Ok(None) => {
                self.shared.watch(self.key, cx);
                let late = ready!(self.wait_for_body(cx));
                Poll::Ready(Err(late))
            }
            Err(fate) => Poll::Ready(Err(self.ended_by(fate.reason))),
        }
    }
}

impl Client for Http2Stream<'_> {
    fn peer(&self) -> &Peer {
        self.shared.peer()
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Reason>> {
        if self.broken.is_some() || self.shared.is_broken() {
            let reason = self.broken.unwrap_or(Reason::ClientGone);
            return Poll::Ready(Err(reason));
        }
        if let BodyLength::Known(bytes) = self.length
            && !self.tunnel
            && self.is_too_large(bytes)
        {
            return Poll::Ready(Err(Reason::Request(Fault::BodyTooLarge)));
        }
        if std::mem::take(&mut self.owes_continue)
            && let Some(status) = Status::new(100)
        {
            self.inform(&ResponseHead::new(status));
        }
        self.take(cx)
    }

    fn going_to(&mut self, route: u32, endpoint: u32) {
        let place = Place { route, endpoint };
        self.shared.entry().stream_going_to(self.key.slot(), place);
    }

    fn allow_pauses(&mut self) {
        self.body_watch.end();
    }

    fn limit_body(&mut self, bytes_max: Option<u64>) {
        self.body_bytes_max = bytes_max;
    }

    fn inform(&mut self, head: &ResponseHead) {
        if !self.responded && !self.shared.is_broken() {
            self.shared.engine().inform(self.key, head);
            self.queued();
        }
    }

    // The connection is that of other requests, too.
    fn close_behind(&mut self) {}

    fn respond(&mut self, head: &ResponseHead, length: BodyLength) {
        debug_assert!(!self.responded, "an exchange has one final answer");
        self.responded = true;
        self.body_watch.end();
        if self.shared.is_broken() {
            return;
        }
        self.tunnel = length == BodyLength::Tunnel;
        if self.asked_tunnel && !self.tunnel && matches!(head.status.code(), 200..=299) {
            return self.refuse_tunnel();
        }
        if self.tunnel
            && let Some(handshake) = self.websocket.take()
        {
            return match handshake.end(head) {
                Some(head) => self.shared.engine().respond(self.key, &head, length),
                None => self.refuse_tunnel(),
            };
        }
        self.shared.engine().respond(self.key, head, length);
    }

    #[inline]
    fn send(&mut self, data: Chunk) {
        self.bytes_out += data.len() as u64;
        if !self.shared.is_broken() && self.shared.engine().send(self.key, data).is_err() {
            self.break_off(Reason::ClientGone);
        }
    }

    #[inline]
    fn finish(&mut self, trailers: Option<&Fields>) {
        if !self.shared.is_broken() && self.shared.engine().finish(self.key, trailers).is_err() {
            self.break_off(Reason::ClientGone);
        }
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        if let Some(reason) = self.fate() {
            return Poll::Ready(Err(reason));
        }
        let mut engine = self.shared.engine();
        // What fits into the windows and into the connection's output is as good as written.
        engine.output();
        let is_flushed = engine.is_flushed(self.key);
        drop(engine);
        self.queued();
        if is_flushed {
            self.write_deadline = None;
            return Poll::Ready(Ok(()));
        }
        self.shared.watch(self.key, cx);
        let reason = ready!(self.wait_for_reader(cx));
        Poll::Ready(Err(reason))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some(reason) = self.fate() {
            return Poll::Ready(reason);
        }
        self.shared.watch(self.key, cx);
        Poll::Pending
    }

    fn abort(&mut self) {
        self.break_off(Reason::ClientGone);
    }

    fn transferred(&self) -> (u64, u64) {
        (self.bytes_in, self.bytes_out)
    }
}
