//! WINDOW_UPDATE (RFC 9113 §6.9).

use super::{FrameHeader, Kind, MAX_31, word};
use crate::h2::error::{Breach, ErrorCode};

/// By how much the window grows; a zero is an error of the stream or, on the connection's window, of that.
pub(crate) fn read(header: &FrameHeader, payload: &[u8]) -> Result<u32, Breach> {
    if payload.len() != 4 {
        return Err(Breach::FRAME_SIZE);
    }
    match word(payload) & MAX_31 {
        0 if header.stream == 0 => Err(Breach::PROTOCOL),
        0 => Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR)),
        increment => Ok(increment),
    }
}

pub(crate) fn write(stream: u32, increment: u32, out: &mut Vec<u8>) {
    debug_assert!((1..=MAX_31).contains(&increment));
    let header = FrameHeader {
        length: 4,
        kind: Kind::WINDOW_UPDATE,
        flags: 0,
        stream,
    };
    header.write(out);
    out.extend_from_slice(&increment.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_are_judged() {
        let check = |stream, payload: &[u8], expected| {
            let header = FrameHeader {
                length: payload.len() as u32,
                kind: Kind::WINDOW_UPDATE,
                flags: 0,
                stream,
            };
            assert_eq!(read(&header, payload), expected);
        };
        check(0, &[0x80, 0, 0, 1], Ok(1));
        check(1, &[0x7f, 255, 255, 255], Ok(MAX_31));
        check(0, &[0x80, 0, 0, 0], Err(Breach::PROTOCOL));
        check(1, &[0; 4], Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR)));
        check(1, &[0; 5], Err(Breach::FRAME_SIZE));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        write(3, 70_000, &mut out);
        let header = FrameHeader::read(&out).unwrap();
        assert_eq!((header.kind, header.stream), (Kind::WINDOW_UPDATE, 3));
        assert_eq!(read(&header, &out[9..]), Ok(70_000));
    }
}
