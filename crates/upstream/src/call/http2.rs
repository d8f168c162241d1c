//! One request and its answer on a stream of a shared connection.

use super::SendOutcome;
use crate::http2::{Http2, Lease};
use crate::websocket::Handshake;
use foregate_message::{
    BodyLength, Chunk, FieldId, Fields, Frame, Reason, RequestHead, ResponseHead, Status,
};
use foregate_telemetry::clock::{Moment, recent};
use foregate_wire::h2::StreamKey;
use foregate_wire::h2::heads::RequestOut;
use std::rc::Rc;
use std::task::{Context, Poll};

/// One exchange on a stream.
#[derive(Debug)]
pub(crate) struct Http2Call {
    shared: Rc<Http2>,
    state: State,
    upgrade: Option<Upgrade>,
    /// Whether the connection carried a request before.
    reused: bool,
    /// When the backend had last been heard as the call began.
    heard: Moment,
    /// Whether a head has come.
    has_received: bool,
    unprocessed: bool,
    refused: bool,
}

/// How far the request has come.
#[derive(Debug)]
enum State {
    /// It waits until the backend's SETTINGS say whether they know extended CONNECT.
    Waiting(Box<Waiting>),
    /// It has its stream.
    Open(StreamKey),
    /// It could not be sent.
    Failed(Reason),
}

/// A request that asks for another protocol.
#[derive(Debug)]
struct Waiting {
    lease: Lease,
    head: RequestHead,
    target: Box<[u8]>,
    protocol: Box<[u8]>,
}

/// What was asked for, to tell the road as HTTP/1.1 would.
#[derive(Debug)]
struct Upgrade {
    protocol: Box<[u8]>,
    websocket: Option<Handshake>,
}

impl Http2Call {
    /// Opens a stream with the request.
    pub(crate) fn start(
        lease: Lease,
        head: &RequestHead,
        target: &[u8],
        length: BodyLength,
        upgrade: Option<&[u8]>,
    ) -> Http2Call {
        let shared = Rc::clone(lease.shared());
        let mut call = Http2Call {
            state: State::Failed(Reason::UpstreamClosed),
            heard: shared.heard(),
            shared,
            upgrade: None,
            reused: lease.reused,
            has_received: false,
            unprocessed: false,
            refused: false,
        };
        match upgrade {
            None => {
                let framing = RequestOut {
                    scheme: call.shared.scheme(),
                    length,
                    protocol: None,
                };
                call.open(lease, head, target, framing);
            }
            Some(protocol) => {
                let mut head = head.clone();
                call.upgrade = Some(Upgrade {
                    protocol: protocol.into(),
                    websocket: Handshake::take(&mut head, protocol),
                });
                call.state = State::Waiting(Box::new(Waiting {
                    lease,
                    head,
                    target: target.into(),
                    protocol: protocol.into(),
                }));
            }
        }
        call
    }

    /// A call that can't be.
    pub(crate) fn failed(lease: Lease) -> Http2Call {
        Http2Call {
            shared: Rc::clone(lease.shared()),
            state: State::Failed(Reason::UpstreamProtocol),
            upgrade: None,
            reused: lease.reused,
            heard: lease.shared().heard(),
            has_received: false,
            unprocessed: false,
            refused: true,
        }
    }

    fn open(&mut self, lease: Lease, head: &RequestHead, target: &[u8], framing: RequestOut<'_>) {
        lease.keep();
        let opened = {
            let mut engine = self.shared.engine();
            engine.request(head, target, framing, recent().millis())
        };
        match opened {
            Some(key) => {
                self.state = State::Open(key);
                self.shared.opened(key);
            }
            // The connection has begun to end since its place was promised: nothing was sent.
            None => {
                self.state = State::Failed(Reason::UpstreamClosed);
                self.unprocessed = true;
                self.shared.place_is_free();
            }
        }
    }

    /// Sends a request that waited for the backend's SETTINGS.
    fn advance(&mut self, cx: &mut Context<'_>) {
        let State::Waiting(_) = &self.state else {
            return;
        };
        if self.shared.is_gone() {
            self.state = State::Failed(Reason::UpstreamClosed);
            self.unprocessed = true;
            return;
        }
        if !self.shared.engine().is_peer_known() {
            return self.shared.wait_for_settings(cx);
        }
        let failed = State::Failed(Reason::UpgradeUnsupported);
        let State::Waiting(waiting) = std::mem::replace(&mut self.state, failed) else {
            return;
        };
        if !self.shared.engine().takes_extended_connect() {
            return;
        }
        let Waiting {
            lease,
            head,
            target,
            protocol,
        } = *waiting;
        let framing = RequestOut {
            scheme: self.shared.scheme(),
            length: BodyLength::Tunnel,
            protocol: Some(&protocol),
        };
        self.open(lease, &head, &target, framing);
    }

    fn key(&self) -> Option<StreamKey> {
        match self.state {
            State::Open(key) => Some(key),
            State::Waiting(_) | State::Failed(_) => None,
        }
    }

    /// How the stream ended before its time, if it did.
    fn fate(&mut self) -> Option<Reason> {
        match &self.state {
            State::Failed(reason) => Some(*reason),
            State::Waiting(_) => None,
            State::Open(key) => {
                let fate = self.shared.engine().fate(*key)?;
                // Asking again in the same way would end in the same way.
                let is_vain =
                    fate.reason == Reason::UpstreamHttp1Required && !self.shared.require_http1();
                self.unprocessed |= fate.unprocessed && !is_vain;
                Some(fate.reason)
            }
        }
    }

    pub(crate) fn is_body_here(&self) -> bool {
        self.key()
            .is_none_or(|key| self.shared.engine().is_body_here(key))
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.key()
            .is_some_and(|key| !self.shared.engine().is_flushed(key))
    }

    pub(crate) fn has_received(&self) -> bool {
        self.has_received
    }

    /// Whether the connection may have been closed before the request came: nobody has said anything on it since it was
    /// idle.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.reused && self.shared.is_silent_since_rest()
    }

    pub(crate) fn is_unprocessed(&self) -> bool {
        self.unprocessed
    }

    /// The time for an answer is over. On a connection of which nothing at all has been heard since the call began, the
    /// next one would wait in vain, too. A PING would tell sooner, but servers of gRPC take many for abuse.
    #[cold]
    pub(crate) fn timed_out(&self) {
        if self.shared.heard() == self.heard {
            self.shared.forsake();
        }
    }

    /// Takes no more of the request.
    pub(crate) fn refuse(&mut self) {
        self.refused = true;
    }

    pub(crate) fn send(&mut self, data: Chunk) {
        let Some(key) = self.key() else {
            return;
        };
        let queued = self.shared.engine().send(key, data);
        self.refused |= queued.is_err();
        self.shared.wake_driver();
    }

    pub(crate) fn end(&mut self, trailers: Option<&Fields>) {
        // An upgrade has no body of its own: what follows is the tunnel's.
        if self.upgrade.is_some() && !self.has_received {
            return;
        }
        let Some(key) = self.key() else {
            return;
        };
        let queued = self.shared.engine().finish(key, trailers);
        self.refused |= queued.is_err();
        self.shared.wake_driver();
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<SendOutcome> {
        self.advance(cx);
        if self.refused || self.fate().is_some() {
            return Poll::Ready(SendOutcome::Refused);
        }
        let Some(key) = self.key() else {
            return Poll::Ready(SendOutcome::Sent);
        };
        if self.shared.engine().is_flushed(key) {
            return Poll::Ready(SendOutcome::Sent);
        }
        self.shared.watch(key, cx);
        Poll::Pending
    }

    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<BodyLength, Reason>> {
        self.advance(cx);
        if let Some(key) = self.key() {
            let taken = self.shared.engine().take_head(key);
            if let Some((taken, facts)) = taken {
                *head = taken;
                self.has_received = true;
                return Poll::Ready(self.accept(head, facts.length));
            }
        }
        if let Some(reason) = self.fate() {
            return Poll::Ready(Err(reason));
        }
        if let Some(key) = self.key() {
            self.shared.watch(key, cx);
        }
        Poll::Pending
    }

    /// An opened tunnel is told as HTTP/1.1 would: 101 (RFC 8441 §4).
    fn accept(
        &mut self,
        head: &mut ResponseHead,
        length: BodyLength,
    ) -> Result<BodyLength, Reason> {
        let Some(upgrade) = self
            .upgrade
            .as_ref()
            .filter(|_| length == BodyLength::Tunnel)
        else {
            return Ok(length);
        };
        head.status = Status::SWITCHING_PROTOCOLS;
        head.fields.set(FieldId::Connection, b"Upgrade");
        head.fields.set(FieldId::Upgrade, &upgrade.protocol);
        if let Some(handshake) = &upgrade.websocket {
            handshake.answer(&mut head.fields);
        }
        Ok(length)
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Reason>> {
        let Some(key) = self.key() else {
            return Poll::Ready(Ok(Frame::End));
        };
        let (taken, queued) = {
            let mut engine = self.shared.engine();
            let taken = engine.take(key);
            (taken, !engine.is_written())
        };
        match taken {
            Ok(Some(frame)) => {
                // The windows may have opened again.
                if queued {
                    self.shared.wake_driver();
                }
                Poll::Ready(Ok(frame))
            }
            Ok(None) => {
                self.shared.watch(key, cx);
                Poll::Pending
            }
            Err(fate) => Poll::Ready(Err(fate.reason)),
        }
    }

    /// Lets go of the stream: dropping does the same, and the engine knows what is over and what must be reset.
    pub(crate) fn finish(self) {
        drop(self);
    }
}

impl Drop for Http2Call {
    fn drop(&mut self) {
        if let Some(key) = self.key() {
            self.shared.release(key);
        }
    }
}
