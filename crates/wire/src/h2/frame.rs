//! Frames (RFC 9113 §4, §6): the header that all share, and a file for each type.
//!
//! Reading is a function from header and payload to a plain value or the `Breach` of a rule that can be judged from
//! the frame alone; what needs the stream's state is judged by the connection. Writing appends to the output.

pub(crate) mod continuation;
pub(crate) mod data;
pub(crate) mod goaway;
pub(crate) mod headers;
pub(crate) mod ping;
pub(crate) mod priority;
pub(crate) mod priority_update;
pub(crate) mod push_promise;
pub(crate) mod rst_stream;
pub(crate) mod settings;
pub(crate) mod window_update;

use super::error::Breach;

/// Every frame begins with so many bytes (RFC 9113 §4.1).
pub const FRAME_HEADER_BYTES: usize = 9;
/// What a frame's payload may have before SETTINGS say otherwise, and what every peer must take (RFC 9113 §4.2).
pub const FRAME_BYTES_DEFAULT: u32 = 16_384;
/// The largest value of SETTINGS_MAX_FRAME_SIZE.
pub const FRAME_BYTES_LIMIT: u32 = (1 << 24) - 1;
/// The highest stream identifier and the largest window.
pub(crate) const MAX_31: u32 = (1 << 31) - 1;

/// The type of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Kind(pub u8);

#[allow(missing_docs, reason = "each constant is the frame type of that name")]
impl Kind {
    pub const DATA: Kind = Kind(0x0);
    pub const HEADERS: Kind = Kind(0x1);
    pub const PRIORITY: Kind = Kind(0x2);
    pub const RST_STREAM: Kind = Kind(0x3);
    pub const SETTINGS: Kind = Kind(0x4);
    pub const PUSH_PROMISE: Kind = Kind(0x5);
    pub const PING: Kind = Kind(0x6);
    pub const GOAWAY: Kind = Kind(0x7);
    pub const WINDOW_UPDATE: Kind = Kind(0x8);
    pub const CONTINUATION: Kind = Kind(0x9);
    /// RFC 9218 §7.1.
    pub const PRIORITY_UPDATE: Kind = Kind(0x10);
}

/// Flags of those frames that have any.
pub mod flag {
    /// DATA and HEADERS: the sender's half of the stream ends here.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS and PING: this answers one.
    pub const ACK: u8 = 0x1;
    /// HEADERS and CONTINUATION: the field block ends here.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA and HEADERS: padding follows.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: the deprecated priority stands in front.
    pub const PRIORITY: u8 = 0x20;
}

/// The header of a frame (RFC 9113 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Bytes of payload behind it.
    pub length: u32,
    /// The frame's type.
    pub kind: Kind,
    /// Its flags; those without a meaning for the type are ignored.
    pub flags: u8,
    /// The stream, 0 for the connection. The reserved bit is ignored.
    pub stream: u32,
}

impl FrameHeader {
    /// Reads a header from the front of `bytes`, once it has come whole.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<FrameHeader> {
        let bytes: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk()?;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *bytes;
        Some(FrameHeader {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: Kind(kind),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & MAX_31,
        })
    }

    /// As it stands on the wire.
    #[inline]
    pub fn bytes(&self) -> [u8; FRAME_HEADER_BYTES] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [a, b, c, self.kind.0, self.flags, s0, s1, s2, s3]
    }

    /// Appends it.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }

    /// Whether a flag is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// A frame of a stream must name one, a frame of the connection must not (RFC 9113 §6).
    #[inline]
    fn must_name_stream(&self, named: bool) -> Result<(), Breach> {
        if (self.stream != 0) == named {
            Ok(())
        } else {
            Err(Breach::PROTOCOL)
        }
    }
}

/// Takes padding off a payload: the length byte in front and so many bytes at the end (RFC 9113 §6.1). What the
/// padding holds is not looked at, which the RFC leaves open.
#[inline]
fn without_padding<'a>(header: &FrameHeader, payload: &'a [u8]) -> Result<&'a [u8], Breach> {
    if !header.has(flag::PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Breach::FRAME_SIZE)?;
    let kept = rest.len().checked_sub(usize::from(padding));
    kept.map(|kept| &rest[..kept]).ok_or(Breach::PROTOCOL)
}

/// The four bytes at the front, which the caller knows to be there.
#[inline]
fn word(payload: &[u8]) -> u32 {
    payload
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_must_fit_into_its_frame() {
        let check = |flags, payload: &[u8], expected: Result<&[u8], Breach>| {
            let header = FrameHeader {
                length: payload.len() as u32,
                kind: Kind::DATA,
                flags,
                stream: 1,
            };
            assert_eq!(without_padding(&header, payload), expected);
        };
        check(0, &[9, 9], Ok(&[9, 9]));
        check(flag::PADDED, &[2, 7, 0, 0], Ok(&[7]));
        check(flag::PADDED, &[3, 0, 0, 0], Ok(&[]));
        check(flag::PADDED, &[4, 0, 0, 0], Err(Breach::PROTOCOL));
        check(flag::PADDED, &[], Err(Breach::FRAME_SIZE));
    }

    proptest! {
        #[test]
        fn a_header_survives_writing_and_reading(
            length in 0u32..1 << 24, kind: u8, flags: u8, stream in 0u32..1 << 31, rest in proptest::collection::vec(any::<u8>(), 0..4)
        ) {
            let header = FrameHeader { length, kind: Kind(kind), flags, stream };
            let mut bytes = header.bytes().to_vec();
            prop_assert_eq!(FrameHeader::read(&bytes[..8]), None);
            bytes.extend(rest);
            prop_assert_eq!(FrameHeader::read(&bytes), Some(header));
            bytes[5] |= 0x80;
            prop_assert_eq!(FrameHeader::read(&bytes), Some(header));
        }
    }
}
