//! RST_STREAM (RFC 9113 §6.4).

use super::{FrameHeader, Kind, word};
use crate::h2::error::{Breach, ErrorCode};

pub(crate) fn read(header: &FrameHeader, payload: &[u8]) -> Result<ErrorCode, Breach> {
    header.must_name_stream(true)?;
    if payload.len() != 4 {
        return Err(Breach::FRAME_SIZE);
    }
    Ok(ErrorCode(word(payload)))
}

pub(crate) fn write(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    let header = FrameHeader {
        length: 4,
        kind: Kind::RST_STREAM,
        flags: 0,
        stream,
    };
    header.write(out);
    out.extend_from_slice(&code.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        write(9, ErrorCode::CANCEL, &mut out);
        let header = FrameHeader::read(&out).unwrap();
        assert_eq!((header.kind, header.stream), (Kind::RST_STREAM, 9));
        assert_eq!(read(&header, &out[9..]), Ok(ErrorCode::CANCEL));
        assert_eq!(read(&header, &out[10..]), Err(Breach::FRAME_SIZE));
        let connection = FrameHeader {
            stream: 0,
            ..header
        };
        assert_eq!(read(&connection, &out[9..]), Err(Breach::PROTOCOL));
    }
}
