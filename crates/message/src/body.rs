//! Bodies: how long they are and the frames they come in.

use crate::{Chunk, Fields, Piped};

/// How much body follows a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLength {
    /// None at all.
    Empty,
    /// Exactly so many bytes.
    Known(u64),
    /// Exactly none, and yet a trailer section may follow: only HTTP/2 can say that.
    Bare,
    /// As many as come until the body ends.
    Unknown,
    /// Not a body: the connection now carries another protocol, both ways, until it ends.
    Tunnel,
}

impl BodyLength {
    /// Whether no frame but the end follows.
    pub fn is_empty(self) -> bool {
        matches!(self, BodyLength::Empty | BodyLength::Known(0))
    }
}

/// One piece of a body.
#[derive(Debug)]
pub enum Frame {
    /// Bytes; never none.
    Data(Chunk),
    /// The same, left in the kernel; only where the receiver takes such.
    Piped(Piped),
    /// The trailer section, which ends the body (RFC 9110 §6.5).
    Trailers(Box<Fields>),
    /// The body is complete.
    End,
}
