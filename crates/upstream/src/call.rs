//! One request and its answer, whatever protocol the backend speaks.

mod http1;
mod http2;

use crate::pool::{Carrier, Connection};
use foregate_message::{
    BodyLength, Chunk, Fields, Frame, Piped, Reason, RequestHead, ResponseHead,
};
use foregate_wire::h1::{BodyLimits, HeadLimits};
pub(crate) use http1::Http1;
use http2::Http2Call;
use std::task::{Context, Poll};

/// What a backend may send.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// Of each head.
    pub head: HeadLimits,
    /// Of the body.
    pub body: BodyLimits,
}

impl CallLimits {
    /// Those of a connection that nothing was asked on: it may send nothing.
    const AT_REST: CallLimits = CallLimits {
        head: HeadLimits {
            head_bytes_max: 0,
            fields_max: 0,
            target_bytes_max: 0,
        },
        body: BodyLimits {
            body_bytes_max: Some(0),
            chunk_extension_bytes_max: 0,
            trailer_bytes_max: 0,
            trailer_fields_max: 0,
        },
    };
}

/// How far the sending side has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendOutcome {
    /// All that was queued has left.
    Sent,
    /// The backend takes no more of the request. It may still answer.
    Refused,
}

/// One exchange with a backend. Dropping it breaks the exchange off; [`Call::finish`] leaves the connection for others
/// if both directions ended in order.
#[derive(Debug)]
pub struct Call(Kind);

#[derive(Debug)]
enum Kind {
    Http1(Box<Http1>),
    Http2(Box<Http2Call>),
}

/// The same by either protocol.
macro_rules! each {
    ($call:expr, $inner:ident => $what:expr) => {
        match $call {
            Kind::Http1($inner) => $what,
            Kind::Http2($inner) => $what,
        }
    };
}

impl Call {
    /// Queues the request's head on a connection. `target` is what goes into the request line.
    pub fn start(
        connection: Connection,
        head: &RequestHead,
        target: &[u8],
        length: BodyLength,
        upgrade: Option<&[u8]>,
        limits: &CallLimits,
    ) -> Call {
        Call(match connection.0 {
            Carrier::Http1(mut connection) => {
                connection.start(head, target, length, upgrade, limits);
                Kind::Http1(connection)
            }
            Carrier::Http2(lease) => {
                // Extended CONNECT has no room for a body, and whoever is asked may decline (RFC 9110 §7.8).
                let upgrade = upgrade.filter(|_| length.is_empty());
                let call = Http2Call::start(lease, head, target, length, upgrade);
                Kind::Http2(Box::new(call))
            }
        })
    }

    /// A connection whose bytes are passed on as they are, in both directions. It never goes back to its pool.
    /// Connections for that are opened with [`crate::Use::Bytes`]; any other fails at once.
    pub fn tunnel(connection: Connection, limits: &CallLimits) -> Call {
        Call(match connection.0 {
            Carrier::Http1(mut connection) => {
                connection.become_tunnel(limits);
                Kind::Http1(connection)
            }
            Carrier::Http2(lease) => Kind::Http2(Box::new(Http2Call::failed(lease))),
        })
    }

    /// Whether the whole body of the answer has come, so that only its end is left to be taken.
    #[inline]
    pub fn is_body_here(&self) -> bool {
        each!(&self.0, call => call.is_body_here())
    }

    /// Whether the body is known to break off behind the frame that was taken last.
    #[inline]
    pub fn is_broken(&self) -> bool {
        match &self.0 {
            Kind::Http1(call) => call.is_broken(),
            // What came of a stream before it was reset is as good as if that had come a moment later.
            Kind::Http2(_) => false,
        }
    }

    /// Whether pieces of the answer could stay in the kernel. Asked once its head is here.
    #[inline]
    pub fn offers_pipes(&self) -> bool {
        match &self.0 {
            Kind::Http1(call) => call.offers_pipes(),
            Kind::Http2(_) => false,
        }
    }

    /// Lets pieces of a long body stay in the kernel, where that can be, or not. Told once the answer's head is here.
    pub fn allow_pipes(&mut self, allowed: bool) {
        if let Kind::Http1(call) = &mut self.0 {
            call.allow_pipes(allowed);
        }
    }

    /// Whether a part of the request waits for the backend to take it.
    pub fn is_sending(&self) -> bool {
        each!(&self.0, call => call.is_sending())
    }

    /// Whether pieces of the request's body may stay in the kernel.
    pub fn takes_pipes(&self) -> bool {
        match &self.0 {
            Kind::Http1(call) => call.takes_pipes(),
            Kind::Http2(_) => false,
        }
    }

    /// Queues a piece of the request's body that stayed in the kernel; dropped once the backend takes no more, and by
    /// a call that takes no such pieces, which then fails.
    pub fn send_piped(&mut self, piped: Piped) {
        match &mut self.0 {
            Kind::Http1(call) => call.send_piped(piped),
            Kind::Http2(call) => call.refuse(),
        }
    }

    /// Whether any byte of an answer has come.
    pub fn has_received(&self) -> bool {
        each!(&self.0, call => call.has_received())
    }

    /// Whether other requests are, or could be, on the same connection.
    pub fn is_shared(&self) -> bool {
        matches!(&self.0, Kind::Http2(_))
    }

    /// Whether the connection had been idle when the request was queued on it, so that the backend may have closed it
    /// unseen.
    pub fn may_be_stale(&self) -> bool {
        match &self.0 {
            Kind::Http1(call) => call.is_reused(),
            Kind::Http2(call) => call.may_be_stale(),
        }
    }

    /// Whether the backend has said that it did not look at the request, so that any may be sent again (RFC 9113 §8.7).
    pub fn is_unprocessed(&self) -> bool {
        match &self.0 {
            Kind::Http1(_) => false,
            Kind::Http2(call) => call.is_unprocessed(),
        }
    }

    /// Nothing more is waited for, since the backend has taken too long: a shared connection on which nothing was heard
    /// all that time takes no more requests.
    #[cold]
    pub fn timed_out(&self) {
        if let Kind::Http2(call) = &self.0 {
            call.timed_out();
        }
    }

    /// Queues a piece of the request's body; dropped once the backend takes no more.
    pub fn send(&mut self, data: Chunk) {
        each!(&mut self.0, call => call.send(data));
    }

    /// Ends the request's body.
    pub fn end(&mut self, trailers: Option<&Fields>) {
        each!(&mut self.0, call => call.end(trailers));
    }

    /// Moves what is queued towards the backend.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<SendOutcome> {
        each!(&mut self.0, call => call.poll_flush(cx))
    }

    /// Closes the sending direction, for a tunnel whose client has finished.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Kind::Http1(call) => call.poll_shutdown(cx),
            // The end of the stream's body has said it.
            Kind::Http2(_) => Poll::Ready(()),
        }
    }

    /// The next head of the answer, interim ones included; behind a final one the body can be read.
    ///
    /// # Errors
    /// [`Reason::UpstreamClosed`] when the backend closed or reset instead, or what is wrong with the head.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<BodyLength, Reason>> {
        each!(&mut self.0, call => call.poll_head(cx, head))
    }

    /// The next frame of the answer's body.
    ///
    /// # Errors
    /// The body is malformed or was cut off.
    #[inline]
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Reason>> {
        each!(&mut self.0, call => call.poll_frame(cx))
    }

    /// Ends the exchange and keeps the connection if it may carry another request.
    pub fn finish(self) {
        each!(self.0, call => call.finish());
    }
}
