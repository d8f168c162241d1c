//! GOAWAY (RFC 9113 §6.8).

use super::{FrameHeader, Kind, MAX_31, word};
use crate::h2::error::{Breach, ErrorCode};

/// The last stream that was or might be served, and why the sender goes. Debug data is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Goaway {
    pub(crate) last_stream: u32,
    pub(crate) code: ErrorCode,
}

pub(crate) fn read(header: &FrameHeader, payload: &[u8]) -> Result<Goaway, Breach> {
    header.must_name_stream(false)?;
    if payload.len() < 8 {
        return Err(Breach::FRAME_SIZE);
    }
    Ok(Goaway {
        last_stream: word(payload) & MAX_31,
        code: ErrorCode(word(&payload[4..])),
    })
}

/// `debug` names the reason for whoever reads the peer's log.
pub(crate) fn write(goaway: Goaway, debug: &str, out: &mut Vec<u8>) {
    let header = FrameHeader {
        length: 8 + debug.len() as u32,
        kind: Kind::GOAWAY,
        flags: 0,
        stream: 0,
    };
    header.write(out);
    out.extend_from_slice(&goaway.last_stream.to_be_bytes());
    out.extend_from_slice(&goaway.code.0.to_be_bytes());
    out.extend_from_slice(debug.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let goaway = Goaway {
            last_stream: MAX_31,
            code: ErrorCode::ENHANCE_YOUR_CALM,
        };
        let mut out = Vec::new();
        write(goaway, "rapid-reset", &mut out);
        let header = FrameHeader::read(&out).unwrap();
        assert_eq!(header.kind, Kind::GOAWAY);
        assert_eq!(read(&header, &out[9..]), Ok(goaway));
        assert_eq!(read(&header, &out[9..16]), Err(Breach::FRAME_SIZE));
        let of_stream = FrameHeader {
            stream: 1,
            ..header
        };
        assert_eq!(read(&of_stream, &out[9..]), Err(Breach::PROTOCOL));
    }
}
