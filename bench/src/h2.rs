//! HTTP/2 frames (RFC 9113) between two benchmark peers that behave: reading, writing, and one connection's windows.

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A window that a benchmark does not run into before it is opened again.
pub const WINDOW_BYTES: u32 = (1 << 30) - 1;
/// What a window is without a word of the peer.
pub const WINDOW_BYTES_INITIAL: u32 = 65_535;
/// The largest payload of a frame, since neither side here asks for another one.
pub const PAYLOAD_BYTES_MAX: usize = 16_384;

const HEADER_BYTES: usize = 9;

/// Frame types (section 6).
pub mod kind {
    /// Body bytes.
    pub const DATA: u8 = 0;
    /// A field block, or its beginning.
    pub const HEADERS: u8 = 1;
    /// The end of one stream by error.
    pub const RST_STREAM: u8 = 3;
    /// What the peer asks for.
    pub const SETTINGS: u8 = 4;
    /// Are you there?
    pub const PING: u8 = 6;
    /// No further streams.
    pub const GOAWAY: u8 = 7;
    /// More may be sent.
    pub const WINDOW_UPDATE: u8 = 8;
    /// The rest of a field block.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// The last frame of this direction of a stream.
    pub const END_STREAM: u8 = 0x1;
    /// An answer to SETTINGS or PING.
    pub const ACK: u8 = 0x1;
    /// The field block is whole.
    pub const END_HEADERS: u8 = 0x4;
    /// Padding follows.
    pub const PADDED: u8 = 0x8;
    /// Old priority fields precede the block.
    pub const PRIORITY: u8 = 0x20;
}

/// Settings (section 6.5.2).
pub mod setting {
    /// Bytes of the peer's decoder table.
    pub const HEADER_TABLE_SIZE: u16 = 1;
    /// Whether pushes are taken.
    pub const ENABLE_PUSH: u16 = 2;
    /// Streams at a time.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// A stream's window at its start.
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// One frame as received, its padding and priority fields already gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: &'a [u8],
    /// What it counts against the windows, padding included.
    pub flow_bytes: usize,
}

impl Frame<'_> {
    /// Whether a flag is set.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The next frame of `bytes` and what is left after it; `Ok(None)` when it is not whole yet.
///
/// # Errors
/// What is wrong with it.
pub fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<Frame<'a>>, &'static str> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err("a frame is too large");
    }
    let Some((mut payload, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    let (kind, flags) = (header[3], header[4]);
    let stream = u32::from_be_bytes([header[5] & 0x7F, header[6], header[7], header[8]]);
    if matches!(kind, kind::DATA | kind::HEADERS) && flags & flag::PADDED != 0 {
        let (&pad, padded) = payload.split_first().ok_or("no padding length")?;
        let kept = padded.len().checked_sub(pad as usize);
        payload = &padded[..kept.ok_or("more padding than payload")?];
    }
    if kind == kind::HEADERS && flags & flag::PRIORITY != 0 {
        payload = payload.get(5..).ok_or("no priority fields")?;
    }
    *bytes = rest;
    Ok(Some(Frame {
        kind,
        flags,
        stream,
        payload,
        flow_bytes: length,
    }))
}

/// Appends a frame's header.
pub fn push_header(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, length: usize) {
    let length = length as u32;
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Appends a whole frame.
pub fn push(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    push_header(out, kind, flags, stream, payload.len());
    out.extend_from_slice(payload);
}

/// Appends SETTINGS and the opening of the connection's window.
pub fn push_opening(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    push_header(out, kind::SETTINGS, 0, 0, settings.len() * 6);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    push_window_update(out, 0, WINDOW_BYTES - WINDOW_BYTES_INITIAL);
}

/// Appends a WINDOW_UPDATE.
pub fn push_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    push(out, kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

/// What both roles keep of a connection: bytes to send, the windows in both directions, what the peer has asked for.
#[derive(Debug)]
pub struct Link {
    /// Frames to be sent.
    pub out: Vec<u8>,
    /// Bytes that the peer lets this side send on the connection.
    pub send_window: i64,
    /// Bytes that the peer lets this side send on a new stream.
    pub stream_window: i64,
    /// The peer's decoder has a table.
    pub table: bool,
    /// The peer's SETTINGS have come.
    pub ready: bool,
    received_bytes: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            out: Vec::new(),
            send_window: i64::from(WINDOW_BYTES_INITIAL),
            stream_window: i64::from(WINDOW_BYTES_INITIAL),
            table: true,
            ready: false,
            received_bytes: 0,
        }
    }
}

impl Link {
    /// Takes a frame of stream 0, and counts received DATA. `Err` says why the connection cannot go on.
    ///
    /// # Errors
    /// A GOAWAY by error, a broken payload.
    pub fn control(&mut self, frame: &Frame<'_>) -> Result<(), &'static str> {
        match frame.kind {
            kind::SETTINGS if !frame.has(flag::ACK) => {
                self.ready = true;
                for setting in frame.payload.chunks_exact(6) {
                    let name = u16::from_be_bytes([setting[0], setting[1]]);
                    let value = word(&setting[2..]);
                    match name {
                        setting::HEADER_TABLE_SIZE => {
                            self.table = value as usize >= crate::hpack::TABLE_BYTES;
                        }
                        setting::INITIAL_WINDOW_SIZE => self.stream_window = i64::from(value),
                        _ => {}
                    }
                }
                push(&mut self.out, kind::SETTINGS, flag::ACK, 0, &[]);
            }
            kind::PING if !frame.has(flag::ACK) => {
                push(&mut self.out, kind::PING, flag::ACK, 0, frame.payload);
            }
            kind::GOAWAY => return Err("the peer goes away"),
            kind::WINDOW_UPDATE if frame.stream == 0 => {
                self.send_window += i64::from(word(frame.payload));
            }
            kind::DATA => {
                self.received_bytes += frame.flow_bytes as u32;
                if self.received_bytes > WINDOW_BYTES / 2 {
                    push_window_update(&mut self.out, 0, self.received_bytes);
                    self.received_bytes = 0;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A 32-bit number; 0 when there are fewer bytes.
#[must_use]
pub fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |word| u32::from_be_bytes(*word))
}

/// A gRPC message with its five-byte prefix, uncompressed.
#[must_use]
pub fn grpc_message(content: &[u8]) -> Vec<u8> {
    let mut message = vec![0];
    message.extend_from_slice(&(content.len() as u32).to_be_bytes());
    message.extend_from_slice(content);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_or_not_at_all() {
        let mut wire = Vec::new();
        push(&mut wire, kind::DATA, flag::END_STREAM, 5, b"hello");
        push(&mut wire, kind::PING, 0, 0, &[7; 8]);
        for end in 0..14 {
            assert_eq!(next(&mut &wire[..end]), Ok(None));
        }
        let mut rest = &wire[..];
        let data = next(&mut rest).unwrap().unwrap();
        assert_eq!(
            (data.kind, data.stream, data.payload),
            (0, 5, &b"hello"[..])
        );
        assert!(data.has(flag::END_STREAM));
        assert_eq!(next(&mut rest).unwrap().unwrap().payload, [7; 8]);
        assert_eq!(next(&mut rest), Ok(None));
    }

    #[test]
    fn padding_is_removed_but_counted() {
        let mut wire = Vec::new();
        push(&mut wire, kind::DATA, flag::PADDED, 1, b"\x02abcPP");
        let frame = next(&mut &wire[..]).unwrap().unwrap();
        assert_eq!((frame.payload, frame.flow_bytes), (&b"abc"[..], 6));
        let mut wire = Vec::new();
        push(&mut wire, kind::DATA, flag::PADDED, 1, b"\x09abc");
        assert!(next(&mut &wire[..]).is_err());
    }

    #[test]
    fn settings_and_windows() {
        let mut wire = Vec::new();
        push_opening(
            &mut wire,
            &[
                (setting::HEADER_TABLE_SIZE, 0),
                (setting::INITIAL_WINDOW_SIZE, 9),
            ],
        );
        let (mut link, mut rest) = (Link::default(), &wire[..]);
        while let Some(frame) = next(&mut rest).unwrap() {
            link.control(&frame).unwrap();
        }
        assert!(link.ready && !link.table);
        assert_eq!(link.stream_window, 9);
        assert_eq!(link.send_window, i64::from(WINDOW_BYTES));
        let mut sent = &link.out[..];
        assert!(next(&mut sent).unwrap().unwrap().has(flag::ACK));
    }
}
