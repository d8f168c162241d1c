//! HEADERS (RFC 9113 §6.2).

use super::{FRAME_HEADER_BYTES, FrameHeader, Kind, flag, without_padding, word};
use crate::h2::error::{Breach, ErrorCode};

/// What a HEADERS frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Headers<'a> {
    /// The field block, or its beginning.
    pub(crate) block: &'a [u8],
    /// Whether the sender's half of the stream ends behind it.
    pub(crate) end_stream: bool,
    /// Whether the block ends here, else CONTINUATION follows.
    pub(crate) end_headers: bool,
    /// Whether the deprecated priority made the stream depend on itself, a stream error (RFC 7540 §5.3.1).
    pub(crate) self_dependent: bool,
}

pub(crate) fn read<'a>(header: &FrameHeader, payload: &'a [u8]) -> Result<Headers<'a>, Breach> {
    header.must_name_stream(true)?;
    let mut block = without_padding(header, payload)?;
    let mut self_dependent = false;
    if header.has(flag::PRIORITY) {
        let rest = block.get(5..).ok_or(Breach::FRAME_SIZE)?;
        self_dependent = word(block) & super::MAX_31 == header.stream;
        block = rest;
    }
    Ok(Headers {
        block,
        end_stream: header.has(flag::END_STREAM),
        end_headers: header.has(flag::END_HEADERS),
        self_dependent,
    })
}

impl Headers<'_> {
    /// The breach that the frame's priority is, if it is one.
    pub(crate) fn check_priority(&self) -> Result<(), Breach> {
        if self.self_dependent {
            return Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR));
        }
        Ok(())
    }
}

/// Leaves room for a frame header; the block is then appended, and [`seal`] fills the header in.
#[inline]
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    at
}

/// Makes frames of the block that was appended behind [`begin`]: one HEADERS, and CONTINUATION where the block is
/// longer than a frame may be.
pub(crate) fn seal(
    at: usize,
    stream: u32,
    end_stream: bool,
    frame_bytes_max: u32,
    out: &mut Vec<u8>,
) {
    let block = out.len() - at - FRAME_HEADER_BYTES;
    let max = frame_bytes_max as usize;
    let whole = block <= max;
    let mut flags = if end_stream { flag::END_STREAM } else { 0 };
    if whole {
        flags |= flag::END_HEADERS;
    }
    let header = FrameHeader {
        length: block.min(max) as u32,
        kind: Kind::HEADERS,
        flags,
        stream,
    };
    out[at..at + FRAME_HEADER_BYTES].copy_from_slice(&header.bytes());
    if !whole {
        super::continuation::part(at + FRAME_HEADER_BYTES + max, stream, max, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(flags: u8, stream: u32) -> FrameHeader {
        FrameHeader {
            length: 0,
            kind: Kind::HEADERS,
            flags,
            stream,
        }
    }

    #[test]
    fn padding_and_priority_stand_around_the_block() {
        let flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS;
        let payload = [1, 0x80, 0, 0, 9, 255, b'x', b'y', 0];
        let read = read(&header(flags, 3), &payload).unwrap();
        assert_eq!(read.block, b"xy");
        assert!(read.end_headers && !read.end_stream && !read.self_dependent);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let flags = flag::PRIORITY;
        assert_eq!(read(&header(flags, 3), &[0; 4]), Err(Breach::FRAME_SIZE));
        assert_eq!(read(&header(0, 0), b"x"), Err(Breach::PROTOCOL));
        assert_eq!(
            read(&header(flag::PADDED, 1), &[2, 0]),
            Err(Breach::PROTOCOL)
        );
        let own = read(&header(flags, 3), &[0, 0, 0, 3, 0]).unwrap();
        assert_eq!(
            own.check_priority(),
            Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR))
        );
    }

    proptest! {
        /// However long, a block comes out as frames that hold it whole and in order.
        #[test]
        fn a_long_block_is_parted(block in proptest::collection::vec(any::<u8>(), 0..100), max in 1u32..40, end: bool) {
            let mut out = b"before".to_vec();
            let at = begin(&mut out);
            out.extend_from_slice(&block);
            seal(at, 5, end, max, &mut out);
            prop_assert_eq!(&out[..6], b"before");
            let mut rest = &out[6..];
            let mut joined = Vec::new();
            let mut first = true;
            loop {
                let header = FrameHeader::read(rest).unwrap();
                let payload = &rest[9..9 + header.length as usize];
                prop_assert!(header.length <= max && header.stream == 5);
                prop_assert_eq!(header.kind, if first { Kind::HEADERS } else { Kind::CONTINUATION });
                prop_assert_eq!(first && end, header.has(flag::END_STREAM));
                joined.extend_from_slice(payload);
                rest = &rest[9 + payload.len()..];
                prop_assert_eq!(rest.is_empty(), header.has(flag::END_HEADERS));
                first = false;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(joined, block);
        }
    }
}
