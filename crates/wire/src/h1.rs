//! HTTP/1.1 (RFC 9112) for both sides of a gateway, without I/O.
//!
//! ```text
//! bytes ─► parse_request ─► request_framing ─► BodyDecoder ─► frames      ServerConnection says what may follow
//! bytes ◄─ write_response ◄─ … ◄─ BodyEncoder ◄─ frames
//!
//! bytes ◄─ write_request ◄─ … ◄─ BodyEncoder ◄─ frames                    ClientConnection says what may follow
//! bytes ─► parse_response ─► response_framing ─► BodyDecoder ─► frames
//! ```

mod chunked;
mod client;
mod decode;
mod encode;
mod framing;
mod head;
pub(crate) mod host;
mod lines;
mod outbox;
mod progress;
mod reader;
mod refusal;
mod server;
mod trailers;
mod write;

pub use client::ClientConnection;
pub use decode::{BodyDecoder, BodyLimits, Decoded, Gathered, Last};
pub use encode::{BodyEncoder, BodyMismatch};
pub use framing::{
    RequestFraming, ResponseFraming, request_framing, response_framing, switches_as_asked,
};
pub use head::{HeadLimits, parse_request, parse_response, read_request_line};
pub use host::name_host;
pub use outbox::Outbox;
pub use progress::HeadProgress;
pub use reader::BodyReader;
pub use server::{Next, ServerConnection};
pub use trailers::TrailersOf;

// What HTTP/2 shares with it.
pub(crate) use encode::decimal_digits;
pub(crate) use framing::{content_length, expects_continue};
pub(crate) use refusal::is_token_byte;
pub(crate) use trailers::check_trailers;
pub(crate) use write::{Count, OWN, counts};
pub use write::{RequestOut, ResponseOut, write_interim, write_request, write_response};

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
