//! PING (RFC 9113 §6.7).

use super::{FrameHeader, Kind, flag};
use crate::h2::error::Breach;

/// What a PING holds, and whether it answers one.
pub(crate) fn read(header: &FrameHeader, payload: &[u8]) -> Result<([u8; 8], bool), Breach> {
    header.must_name_stream(false)?;
    let payload = payload.try_into().map_err(|_| Breach::FRAME_SIZE)?;
    Ok((payload, header.has(flag::ACK)))
}

pub(crate) fn write(payload: [u8; 8], ack: bool, out: &mut Vec<u8>) {
    let header = FrameHeader {
        length: 8,
        kind: Kind::PING,
        flags: if ack { flag::ACK } else { 0 },
        stream: 0,
    };
    header.write(out);
    out.extend_from_slice(&payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for ack in [false, true] {
            let mut out = Vec::new();
            write(*b"12345678", ack, &mut out);
            let header = FrameHeader::read(&out).unwrap();
            assert_eq!(header.kind, Kind::PING);
            assert_eq!(read(&header, &out[9..]), Ok((*b"12345678", ack)));
            assert_eq!(read(&header, &out[8..]), Err(Breach::FRAME_SIZE));
            let of_stream = FrameHeader {
                stream: 1,
                ..header
            };
            assert_eq!(read(&of_stream, &out[9..]), Err(Breach::PROTOCOL));
        }
    }
}
