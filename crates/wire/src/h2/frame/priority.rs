//! PRIORITY (RFC 9113 §6.3): deprecated, checked for its form and otherwise without effect.

use super::{FrameHeader, word};
use crate::h2::error::{Breach, ErrorCode};

pub(crate) fn read(header: &FrameHeader, payload: &[u8]) -> Result<(), Breach> {
    header.must_name_stream(true)?;
    if payload.len() != 5 {
        return Err(Breach::Stream(ErrorCode::FRAME_SIZE_ERROR));
    }
    // A stream can't depend on itself (RFC 7540 §5.3.1).
    if word(payload) & super::MAX_31 == header.stream {
        return Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::frame::Kind;

    #[test]
    fn its_form_is_judged() {
        let check = |stream, payload: &[u8], expected| {
            let header = FrameHeader {
                length: payload.len() as u32,
                kind: Kind::PRIORITY,
                flags: 0,
                stream,
            };
            assert_eq!(read(&header, payload), expected);
        };
        check(3, &[0, 0, 0, 1, 16], Ok(()));
        check(0, &[0, 0, 0, 1, 16], Err(Breach::PROTOCOL));
        check(3, &[0; 4], Err(Breach::Stream(ErrorCode::FRAME_SIZE_ERROR)));
        check(
            3,
            &[0x80, 0, 0, 3, 16],
            Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR)),
        );
    }
}
