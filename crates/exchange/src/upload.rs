//! The request's body, from the client to the backend.

use crate::exchange::Exchange;
use crate::mirror::Pending;
use crate::repeat::SharedKept;
use crate::trailers;
use foregate_message::{Client, Frame, Reason};
use foregate_telemetry::clock::{Deadline, now};
use foregate_upstream::{Call, SendOutcome};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long a body is held back for a backend that does not say whether it wants it.
const HOLD_TIMEOUT: Duration = Duration::from_secs(1);

/// How far the request's body has come.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    /// The client has sent all of it, or the backend takes no more.
    ended: bool,
    /// A tunnel's backend is still to be told that the client has finished.
    shutdown_owed: bool,
    tunnel: bool,
    /// What was taken of it waits for the backend to take it.
    unsent: bool,
    /// A copy of the request, which the body goes into as well.
    pub(crate) copy: Option<Box<Pending>>,
    /// By when the body is sent even though the backend has not said that it wants it.
    hold: Option<Deadline>,
    /// What was taken from the client, where it is kept.
    kept: Option<SharedKept>,
    /// What is kept is still to be sent.
    resends: bool,
    /// Whether any of it was taken from the client by this try, after which the request can't be sent again unless it is
    /// kept. What was taken by tries before is kept, or there would not be this one.
    pub(crate) begun: bool,
    /// Frames moved so far: a change means progress.
    pub(crate) moved: u64,
}

impl Upload {
    /// A request without body, which is complete with its head.
    pub(crate) fn none() -> Upload {
        Upload {
            ended: true,
            ..Upload::default()
        }
    }

    /// A body that is sent once the backend says that it wants it, or has said nothing for a while: a client that
    /// waits must not wait for ever for a backend that knows no `100 Continue` (RFC 9110 §10.1.1).
    pub(crate) fn held() -> Upload {
        let mut deadline = Deadline::new();
        deadline.set(now().plus(HOLD_TIMEOUT));
        Upload {
            hold: Some(deadline),
            ..Upload::default()
        }
    }

    /// Keeps what is taken of the body; what is here already is sent first.
    pub(crate) fn keep(&mut self, kept: Option<SharedKept>) {
        self.resends = kept.is_some();
        self.kept = kept;
    }

    /// Hands over what was kept, for another try.
    pub(crate) fn take_kept(&mut self) -> Option<SharedKept> {
        self.kept.take()
    }

    /// Takes back what was handed over, as no other try follows.
    pub(crate) fn take_back(&mut self, kept: Option<SharedKept>) {
        self.kept = kept;
    }

    /// Nothing will be sent again: what is kept is let go of, once this try has sent it.
    #[inline]
    pub(crate) fn keep_no_more(&mut self) {
        if self.kept.is_some() && !self.resends {
            self.kept = None;
        }
    }

    /// The backend wants the body.
    pub(crate) fn release(&mut self) {
        self.hold = None;
    }

    /// The backend has answered without it: a body that was held is not sent any more.
    pub(crate) fn answered(&mut self) {
        if self.hold.take().is_some() {
            self.ended = true;
        }
    }

    /// Whether nothing more will be taken for the backend.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended && !self.shutdown_owed
    }

    /// Whether nothing is left to do for it.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_ended() && !self.unsent
    }

    /// From here on the frames are a tunnel's.
    pub(crate) fn become_tunnel(&mut self) {
        self.ended = false;
        self.tunnel = true;
    }

    #[cold]
    fn copy(&mut self, frame: &Frame) {
        let Some(copy) = self.copy.take() else {
            return;
        };
        match frame {
            Frame::Data(data) => self.copy = copy.take(data.as_slice()),
            // Nobody was allowed to send such.
            Frame::Piped(_) => {}
            Frame::Trailers(_) | Frame::End => copy.finish(),
        }
    }

    /// Moves what there is. Ready once all has left; pending on either side otherwise. The bytes of a connection that is
    /// only passed on belong to no `exchange`.
    ///
    /// # Errors
    /// The client's body is broken, or the client has gone.
    pub(crate) fn poll<C: Client + ?Sized>(
        &mut self,
        client: &mut C,
        call: &mut Call,
        exchange: Option<&Exchange>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Reason>> {
        loop {
            let flushed = call.poll_flush(cx);
            self.unsent = flushed.is_pending();
            if ready!(flushed) == SendOutcome::Refused {
                self.ended = true;
                self.shutdown_owed = false;
                return Poll::Ready(Ok(()));
            }
            if self.shutdown_owed {
                ready!(call.poll_shutdown(cx));
                self.shutdown_owed = false;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if let Some(hold) = &mut self.hold {
                ready!(hold.poll_expired(cx));
                self.hold = None;
            }
            if self.resends {
                self.resends = false;
                if let Some(kept) = &self.kept {
                    self.ended = kept.borrow().send(call);
                    continue;
                }
            }
            let frame = match client.poll_frame(cx) {
                Poll::Ready(Ok(Frame::Trailers(trailers))) if let Some(exchange) = exchange => {
                    trailers::of_request(exchange, client.peer().is_trusted(), trailers)
                }
                Poll::Ready(frame) => frame?,
                Poll::Pending => {
                    // `100 Continue` may be waiting to be sent.
                    let _ = client.poll_flush(cx)?;
                    return Poll::Pending;
                }
            };
            self.moved += 1;
            self.begun = true;
            if self.copy.is_some() {
                self.copy(&frame);
            }
            if let Some(kept) = &self.kept {
                kept.borrow_mut().keep(&frame);
            }
            match frame {
                Frame::Data(data) => call.send(data),
                Frame::Piped(piped) => call.send_piped(piped),
                Frame::Trailers(trailers) => {
                    self.ended = true;
                    self.shutdown_owed = self.tunnel;
                    call.end(Some(&trailers));
                }
                Frame::End => {
                    self.ended = true;
                    self.shutdown_owed = self.tunnel;
                    call.end(None);
                }
            }
        }
    }
}
