//! `[client.http2]`

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Default, Kind, Section, key};
use crate::settings::Http2;

/// The largest window of HTTP/2 (RFC 9113 section 6.9.1), rounded down to what a size can say.
const WINDOW_MAX: u64 = (1 << 31) - 1;

const WINDOW: Kind = Kind::Size {
    max: WINDOW_MAX,
    off: false,
};

pub(super) static SECTION: Section = Section {
    heading: "[client.http2]",
    doc: "What clients may do that speak HTTP/2, beside what `[client]` says: `head_bytes_max` is what they are told as \
          `SETTINGS_MAX_HEADER_LIST_SIZE`.",
    keys: &[
        key(
            "streams_max",
            Kind::Count {
                min: 1,
                max: 100_000,
                off: false,
            },
            Default::Integer(128),
            "Requests at once on one connection; more are refused.",
        ),
        key(
            "stream_window_bytes",
            WINDOW,
            Default::Text("64KiB"),
            "Bytes of body that a client may send ahead in one request.",
        ),
        key(
            "connection_window_bytes",
            WINDOW,
            Default::Text("1MiB"),
            "Bytes of bodies that a client may send ahead in all requests of a connection.",
        ),
        key(
            "ack_timeout",
            Kind::Duration {
                min_ms: 1,
                off: false,
            },
            Default::Text("10s"),
            "How long a client may take to acknowledge settings.",
        ),
    ],
};

pub(super) fn read(fields: Fields<'_>, report: &mut Report) -> Http2 {
    let http2 = Http2 {
        streams_max: fields.count("streams_max", report),
        stream_window_bytes: fields.size("stream_window_bytes", report),
        connection_window_bytes: fields.size("connection_window_bytes", report),
        ack_timeout: fields.duration("ack_timeout", report),
    };
    // RFC 9113 section 6.9.2: the connection's window begins with this and can only grow.
    const CONNECTION_WINDOW_MIN: u32 = 65_535;
    if let Some(entry) = fields
        .entry("connection_window_bytes")
        .filter(|_| http2.connection_window_bytes < CONNECTION_WINDOW_MIN)
    {
        report.push(
            Diagnostic::new(
                Code::BadSize,
                entry.node.origin,
                "the window of a connection cannot be that small",
            )
            .cause("it begins with 65,535 bytes and can only grow (RFC 9113 section 6.9.2)")
            .help("at least \"64KiB\""),
        );
    }
    fields.finish();
    http2
}
