//! HPACK (RFC 7541): the compression of heads.
//!
//! A line stands in every table as HTTP/1 sends it, `name: value\r\n`, already checked against the field grammar. So a
//! line that a peer only names by its number costs one copy: into a list of fields, from which it leaves as it is.

mod decode;
mod encode;
mod huffman;
mod integer;
mod names;
mod statics;
mod table;

pub use decode::Decoder;
pub(crate) use decode::{Block, Found};
pub use encode::Encoder;
pub(crate) use encode::Lines;
pub(crate) use names::{Kind, Pseudo};

/// A block that can't be decoded, after which neither can any other of its connection (RFC 9113 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Undecodable;

/// The size of a table that nobody has set another for (RFC 9113 §6.5.2).
pub const TABLE_BYTES_DEFAULT: usize = 4096;

/// What a line counts beyond its name and value (RFC 7541 §4.1, RFC 9113 §10.5.1).
pub const LINE_BYTES_EXTRA: usize = 32;

#[cfg(test)]
mod tests;
