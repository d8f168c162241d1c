//! PRIORITY_UPDATE (RFC 9218 §7.1).

use super::{FrameHeader, MAX_31, word};
use crate::h2::error::Breach;
use crate::h2::priority::Priority;

/// The stream that is meant, and its new priority.
pub(crate) fn read(header: &FrameHeader, payload: &[u8]) -> Result<(u32, Priority), Breach> {
    header.must_name_stream(false)?;
    let Some((_, value)) = payload.split_at_checked(4) else {
        return Err(Breach::FRAME_SIZE);
    };
    match word(payload) & MAX_31 {
        0 => Err(Breach::PROTOCOL),
        stream => Ok((stream, Priority::parse(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::frame::Kind;

    #[test]
    fn it_names_a_stream_and_its_priority() {
        let check = |stream, payload: &[u8], expected| {
            let header = FrameHeader {
                length: payload.len() as u32,
                kind: Kind::PRIORITY_UPDATE,
                flags: 0,
                stream,
            };
            assert_eq!(read(&header, payload), expected);
        };
        let urgent = Priority {
            urgency: 1,
            incremental: true,
        };
        check(0, b"\0\0\0\x05u=1, i", Ok((5, urgent)));
        check(0, b"\0\0\0\0u=1", Err(Breach::PROTOCOL));
        check(1, b"\0\0\0\x05u=1", Err(Breach::PROTOCOL));
        check(0, b"\0\0\0", Err(Breach::FRAME_SIZE));
    }
}
