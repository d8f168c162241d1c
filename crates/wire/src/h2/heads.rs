//! Heads and trailers: field blocks and what they say (RFC 9113 §8).
//!
//! ```text
//! block ─► read_request ──► RequestHead + RequestFacts        write_response ─► block
//! block ─► read_response ─► ResponseHead + ResponseFacts      write_request ──► block
//! block ─► read_trailers ─► Fields                            write_trailers ─► block
//! ```
//! What is read becomes what HTTP/1.1 would have brought, under the same law: the authority is the Host line in first
//! place, crumbs of cookies are one line, an extended CONNECT is an upgrade.

mod request;
mod response;
mod section;
mod trailers;
mod write;

pub use request::{RequestFacts, read_request};
pub use response::{Asked, ResponseFacts, read_response};
pub use section::skip;
pub use trailers::read_trailers;
pub use write::{RequestOut, write_interim, write_request, write_response, write_trailers};

use foregate_message::Fault;

/// What is wrong with a field block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadFault {
    /// It can't be decoded, nor can any block behind it: the connection ends with COMPRESSION_ERROR.
    Compression,
    /// The message is malformed (RFC 9113 §8.1.1): its stream ends with PROTOCOL_ERROR.
    Malformed(Fault),
    /// The message is well formed and over a limit, or asks for what isn't done here: it can be answered.
    Answerable(Fault),
}

impl HeadFault {
    /// As the reason of an outcome has it.
    pub fn fault(self) -> Fault {
        match self {
            HeadFault::Compression => Fault::FieldBlock,
            HeadFault::Malformed(fault) | HeadFault::Answerable(fault) => fault,
        }
    }
}

#[cfg(test)]
mod tests;
