//! What a policy says about a request.

use foregate_message::{Chunk, Reason, ResponseHead};

/// A policy's decision. Whoever asks goes on with the next policy only on `Continue`.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing stands against the request.
    Continue,
    /// The request is answered with this and goes no further.
    Respond(Box<Answer>),
    /// The request is refused: the answer is the gateway's error page for the reason.
    Refuse(Reason),
}

/// An answer of the gateway's own making.
#[derive(Debug)]
pub struct Answer {
    /// The outcome that logs and metrics name.
    pub reason: Reason,
    /// The head, without framing fields.
    pub head: ResponseHead,
    /// The whole body; it is not sent to a HEAD request.
    pub body: Chunk,
}
