//! DATA (RFC 9113 §6.1).

use super::{FrameHeader, Kind, flag};
use crate::h2::error::Breach;

/// What a DATA frame announces; its payload is taken piece by piece as it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Data {
    /// Bytes of body.
    pub(crate) bytes: u32,
    /// Bytes in front of the body: the length of the padding, if there is one.
    pub(crate) front: u32,
    /// Bytes of padding behind it.
    pub(crate) padding: u32,
    /// Whether the body ends with it.
    pub(crate) end: bool,
}

/// Judges a header, and `padding`, the first byte behind it, which only a padded frame needs.
pub(crate) fn read(header: &FrameHeader, padding: u8) -> Result<Data, Breach> {
    header.must_name_stream(true)?;
    let end = header.has(flag::END_STREAM);
    if !header.has(flag::PADDED) {
        return Ok(Data {
            bytes: header.length,
            front: 0,
            padding: 0,
            end,
        });
    }
    let padding = u32::from(padding);
    let behind = header.length.checked_sub(1).ok_or(Breach::FRAME_SIZE)?;
    Ok(Data {
        bytes: behind.checked_sub(padding).ok_or(Breach::PROTOCOL)?,
        front: 1,
        padding,
        end,
    })
}

/// The header of a frame with `bytes` of body. Padding is never sent.
#[inline]
pub(crate) fn header(stream: u32, bytes: u32, end: bool) -> FrameHeader {
    FrameHeader {
        length: bytes,
        kind: Kind::DATA,
        flags: if end { flag::END_STREAM } else { 0 },
        stream,
    }
}

/// Appends [`header`].
#[inline]
pub(crate) fn write_header(stream: u32, bytes: u32, end: bool, out: &mut Vec<u8>) {
    header(stream, bytes, end).write(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(length: u32, flags: u8, stream: u32) -> FrameHeader {
        FrameHeader {
            length,
            kind: Kind::DATA,
            flags,
            stream,
        }
    }

    #[test]
    fn padding_is_told_from_body() {
        let read = |length, flags, padding| {
            read(&received(length, flags, 1), padding).map(|it| (it.bytes, it.front, it.padding))
        };
        assert_eq!(read(5, 0, 200), Ok((5, 0, 0)));
        assert_eq!(read(0, flag::END_STREAM, 0), Ok((0, 0, 0)));
        assert_eq!(read(5, flag::PADDED, 1), Ok((3, 1, 1)));
        assert_eq!(read(5, flag::PADDED, 4), Ok((0, 1, 4)));
        assert_eq!(read(5, flag::PADDED, 5), Err(Breach::PROTOCOL));
        assert_eq!(read(0, flag::PADDED, 0), Err(Breach::FRAME_SIZE));
    }

    #[test]
    fn data_belongs_to_a_stream() {
        assert_eq!(read(&received(1, 0, 0), 0), Err(Breach::PROTOCOL));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        write_header(7, 3, true, &mut out);
        let header = FrameHeader::read(&out).unwrap();
        assert_eq!(header.kind, Kind::DATA);
        let data = read(&header, 0).unwrap();
        assert_eq!((data.bytes, data.end, header.stream), (3, true, 7));
    }
}
