//! SETTINGS (RFC 9113 §6.5).

use super::{FRAME_BYTES_DEFAULT, FRAME_BYTES_LIMIT, FrameHeader, Kind, MAX_31, flag};
use crate::h2::error::{Breach, ErrorCode};

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
/// RFC 8441 §3.
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
/// RFC 9218 §2.1.
const NO_RFC7540_PRIORITIES: u16 = 0x9;

/// What one side has announced; the values before any SETTINGS are the defaults (RFC 9113 §6.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    /// Bytes of the dynamic table that the other side's encoder may use.
    pub(crate) header_table_bytes: u32,
    /// Whether the other side may push; never used here.
    pub(crate) push: bool,
    /// Streams that the other side may have open.
    pub(crate) streams_max: u32,
    /// What each stream's window begins with.
    pub(crate) window_bytes: u32,
    /// The largest payload of a frame.
    pub(crate) frame_bytes_max: u32,
    /// Advice about the size of a field section, uncompressed.
    pub(crate) header_list_bytes_max: u32,
    /// Whether extended CONNECT is understood (RFC 8441).
    pub(crate) connect_protocol: bool,
    /// Whether the deprecated priorities are ignored (RFC 9218).
    pub(crate) no_rfc7540_priorities: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            header_table_bytes: 4096,
            push: true,
            streams_max: u32::MAX,
            window_bytes: 65_535,
            frame_bytes_max: FRAME_BYTES_DEFAULT,
            header_list_bytes_max: u32::MAX,
            connect_protocol: false,
            no_rfc7540_priorities: false,
        }
    }
}

/// A SETTINGS frame: an acknowledgement, or changes that must be applied in order and acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Read {
    Ack,
    /// The settings after the changes, and what else the frame says.
    Changed(Settings, Changes),
}

/// What the settings after a frame do not show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Changes {
    /// How many lines the frame had.
    pub(crate) lines: usize,
    /// The smallest size of the dynamic table among them, if there was any: an encoder has to signal that it went through
    /// it (RFC 7541 §4.2).
    pub(crate) least_table_bytes: Option<u32>,
}

/// Applies a frame to what the peer had announced before. `from_server` tells who sent it: a server may not announce
/// that it takes pushes.
pub(crate) fn read(
    header: &FrameHeader,
    payload: &[u8],
    before: Settings,
    from_server: bool,
) -> Result<Read, Breach> {
    header.must_name_stream(false)?;
    if header.has(flag::ACK) {
        return if payload.is_empty() {
            Ok(Read::Ack)
        } else {
            Err(Breach::FRAME_SIZE)
        };
    }
    let (lines, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() {
        return Err(Breach::FRAME_SIZE);
    }
    let mut settings = before;
    let mut changes = Changes {
        lines: lines.len(),
        least_table_bytes: None,
    };
    for &[i0, i1, v0, v1, v2, v3] in lines {
        let id = u16::from_be_bytes([i0, i1]);
        let value = u32::from_be_bytes([v0, v1, v2, v3]);
        apply(&mut settings, id, value, from_server)?;
        if id == HEADER_TABLE_SIZE {
            let least = changes.least_table_bytes.get_or_insert(value);
            *least = value.min(*least);
        }
    }
    Ok(Read::Changed(settings, changes))
}

fn apply(settings: &mut Settings, id: u16, value: u32, from_server: bool) -> Result<(), Breach> {
    let flag = || match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Breach::PROTOCOL),
    };
    match id {
        HEADER_TABLE_SIZE => settings.header_table_bytes = value,
        ENABLE_PUSH => {
            settings.push = flag()?;
            if from_server && settings.push {
                return Err(Breach::PROTOCOL);
            }
        }
        MAX_CONCURRENT_STREAMS => settings.streams_max = value,
        INITIAL_WINDOW_SIZE if value > MAX_31 => {
            return Err(Breach::Connection(ErrorCode::FLOW_CONTROL_ERROR));
        }
        INITIAL_WINDOW_SIZE => settings.window_bytes = value,
        MAX_FRAME_SIZE if (FRAME_BYTES_DEFAULT..=FRAME_BYTES_LIMIT).contains(&value) => {
            settings.frame_bytes_max = value;
        }
        MAX_FRAME_SIZE => return Err(Breach::PROTOCOL),
        MAX_HEADER_LIST_SIZE => settings.header_list_bytes_max = value,
        ENABLE_CONNECT_PROTOCOL => {
            let on = flag()?;
            // It may not be taken back (RFC 8441 §3).
            if settings.connect_protocol && !on {
                return Err(Breach::PROTOCOL);
            }
            settings.connect_protocol = on;
        }
        NO_RFC7540_PRIORITIES => settings.no_rfc7540_priorities = flag()?,
        // Unknown ones are ignored (RFC 9113 §6.5.2).
        _ => {}
    }
    Ok(())
}

/// Announces what differs from the defaults.
pub(crate) fn write(settings: &Settings, out: &mut Vec<u8>) {
    let default = Settings::default();
    let lines = [
        (
            HEADER_TABLE_SIZE,
            settings.header_table_bytes,
            default.header_table_bytes,
        ),
        (ENABLE_PUSH, settings.push.into(), default.push.into()),
        (
            MAX_CONCURRENT_STREAMS,
            settings.streams_max,
            default.streams_max,
        ),
        (
            INITIAL_WINDOW_SIZE,
            settings.window_bytes,
            default.window_bytes,
        ),
        (
            MAX_FRAME_SIZE,
            settings.frame_bytes_max,
            default.frame_bytes_max,
        ),
        (
            MAX_HEADER_LIST_SIZE,
            settings.header_list_bytes_max,
            default.header_list_bytes_max,
        ),
        (ENABLE_CONNECT_PROTOCOL, settings.connect_protocol.into(), 0),
        (
            NO_RFC7540_PRIORITIES,
            settings.no_rfc7540_priorities.into(),
            0,
        ),
    ];
    let changed = lines.iter().filter(|(_, value, usual)| value != usual);
    let header = FrameHeader {
        length: 6 * changed.clone().count() as u32,
        kind: Kind::SETTINGS,
        flags: 0,
        stream: 0,
    };
    header.write(out);
    for (id, value, _) in changed {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(crate) fn write_ack(out: &mut Vec<u8>) {
    let header = FrameHeader {
        length: 0,
        kind: Kind::SETTINGS,
        flags: flag::ACK,
        stream: 0,
    };
    header.write(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: u16, value: u32) -> Vec<u8> {
        let mut line = id.to_be_bytes().to_vec();
        line.extend(value.to_be_bytes());
        line
    }

    fn read_payload(flags: u8, payload: &[u8], from_server: bool) -> Result<Read, Breach> {
        let header = FrameHeader {
            length: payload.len() as u32,
            kind: Kind::SETTINGS,
            flags,
            stream: 0,
        };
        read(&header, payload, Settings::default(), from_server)
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let flow = Breach::Connection(ErrorCode::FLOW_CONTROL_ERROR);
        for (id, value, expected) in [
            (ENABLE_PUSH, 2, Some(Breach::PROTOCOL)),
            (ENABLE_PUSH, 1, None),
            (INITIAL_WINDOW_SIZE, 1 << 31, Some(flow)),
            (INITIAL_WINDOW_SIZE, MAX_31, None),
            (MAX_FRAME_SIZE, 16_383, Some(Breach::PROTOCOL)),
            (MAX_FRAME_SIZE, 16_384, None),
            (MAX_FRAME_SIZE, 1 << 24, Some(Breach::PROTOCOL)),
            (ENABLE_CONNECT_PROTOCOL, 2, Some(Breach::PROTOCOL)),
            (NO_RFC7540_PRIORITIES, 2, Some(Breach::PROTOCOL)),
            (0x7, 99, None),
            (0xffff, 99, None),
        ] {
            let read = read_payload(0, &line(id, value), false);
            assert_eq!(read.err(), expected, "{id} {value}");
        }
        let push = read_payload(0, &line(ENABLE_PUSH, 1), true);
        assert_eq!(push, Err(Breach::PROTOCOL));
        let taken_back = [line(8, 1), line(8, 0)].concat();
        assert_eq!(read_payload(0, &taken_back, true), Err(Breach::PROTOCOL));
    }

    #[test]
    fn forms_are_judged() {
        assert_eq!(read_payload(flag::ACK, b"", false), Ok(Read::Ack));
        let long_ack = read_payload(flag::ACK, &line(1, 1), false);
        assert_eq!(long_ack, Err(Breach::FRAME_SIZE));
        assert_eq!(read_payload(0, &[0; 5], false), Err(Breach::FRAME_SIZE));
        let of_stream = FrameHeader {
            length: 0,
            kind: Kind::SETTINGS,
            flags: 0,
            stream: 1,
        };
        let read = read(&of_stream, b"", Settings::default(), false);
        assert_eq!(read, Err(Breach::PROTOCOL));
    }

    #[test]
    fn the_last_of_several_values_counts() {
        let payload = [line(4, 1), line(3, 7), line(4, 2)].concat();
        let expected = Settings {
            window_bytes: 2,
            streams_max: 7,
            ..Settings::default()
        };
        let read = read_payload(0, &payload, false);
        let changes = Changes {
            lines: 3,
            least_table_bytes: None,
        };
        assert_eq!(read, Ok(Read::Changed(expected, changes)));
    }

    #[test]
    fn the_smallest_table_of_a_frame_is_told() {
        let payload = [line(1, 100), line(1, 0), line(1, 4096)].concat();
        let changes = Changes {
            lines: 3,
            least_table_bytes: Some(0),
        };
        let read = read_payload(0, &payload, false);
        assert_eq!(read, Ok(Read::Changed(Settings::default(), changes)));
    }

    #[test]
    fn what_is_written_is_read() {
        let settings = Settings {
            header_table_bytes: 0,
            push: false,
            streams_max: 128,
            window_bytes: 1 << 20,
            frame_bytes_max: 1 << 16,
            header_list_bytes_max: 1 << 15,
            connect_protocol: true,
            no_rfc7540_priorities: true,
        };
        let mut out = Vec::new();
        write(&settings, &mut out);
        let header = FrameHeader::read(&out).unwrap();
        assert_eq!(header.length as usize, out.len() - 9);
        let read = read(&header, &out[9..], Settings::default(), true);
        let changes = Changes {
            lines: 8,
            least_table_bytes: Some(0),
        };
        assert_eq!(read, Ok(Read::Changed(settings, changes)));
    }
}
