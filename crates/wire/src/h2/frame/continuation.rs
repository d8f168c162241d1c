//! CONTINUATION (RFC 9113 §6.10).

use super::{FRAME_HEADER_BYTES, FrameHeader, Kind, flag};
use crate::h2::error::Breach;

/// Whether the block ends with this frame, which must belong to `expected`, the stream whose block is open.
pub(crate) fn read(header: &FrameHeader, expected: u32) -> Result<bool, Breach> {
    header.must_name_stream(true)?;
    if header.stream != expected {
        return Err(Breach::PROTOCOL);
    }
    Ok(header.has(flag::END_HEADERS))
}

/// Puts frame headers into the block that stands in `out` from `at` on, before every `max` bytes of it.
#[cold]
pub(super) fn part(at: usize, stream: u32, max: usize, out: &mut Vec<u8>) {
    let rest = out.split_off(at);
    let mut pieces = rest.chunks(max).peekable();
    while let Some(piece) = pieces.next() {
        let header = FrameHeader {
            length: piece.len() as u32,
            kind: Kind::CONTINUATION,
            flags: if pieces.peek().is_none() {
                flag::END_HEADERS
            } else {
                0
            },
            stream,
        };
        out.reserve(FRAME_HEADER_BYTES + piece.len());
        header.write(out);
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_continues_the_block_of_its_stream_only() {
        let header = |stream, flags| FrameHeader {
            length: 0,
            kind: Kind::CONTINUATION,
            flags,
            stream,
        };
        assert_eq!(read(&header(3, 0), 3), Ok(false));
        assert_eq!(read(&header(3, flag::END_HEADERS), 3), Ok(true));
        assert_eq!(read(&header(5, 0), 3), Err(Breach::PROTOCOL));
        assert_eq!(read(&header(0, 0), 3), Err(Breach::PROTOCOL));
    }
}
