//! `[client]`

use super::http2;
use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::keys::{Default, Key, Kind, SIZE_32, SIZE_64, Section, key};
use crate::settings::{BodyRate, Client};

pub(super) static SECTION: Section = Section {
    heading: "[client]",
    doc: "What clients may do: limits and timeouts of all listeners.",
    keys: &[
        size(
            "head_bytes_max",
            "32KiB",
            "Bytes of a request's head: request line and fields. More is answered with 431.",
        ),
        key(
            "fields_max",
            Kind::Count {
                min: 1,
                max: 10_000,
                off: false,
            },
            Default::Integer(100),
            "Fields in a request's head or trailer section. More is answered with 431.",
        ),
        size(
            "target_bytes_max",
            "8KiB",
            "Bytes of a request's target. More is answered with 414.",
        ),
        key(
            "body_bytes_max",
            Kind::Size {
                max: SIZE_64,
                off: true,
            },
            Default::Text("off"),
            "Bytes of a request's body, where a route says nothing. More is answered with 413.",
        ),
        size(
            "chunk_extension_bytes_max",
            "4KiB",
            "Bytes of chunk extensions in one body.",
        ),
        size("trailer_bytes_max", "8KiB", "Bytes of a trailer section."),
        key(
            "requests_per_connection_max",
            Kind::Count {
                min: 1,
                max: u32::MAX - 1,
                off: true,
            },
            Default::Integer(10_000),
            "Requests on one connection. The last one is answered with `Connection: close`.",
        ),
        duration(
            "head_timeout",
            "10s",
            "From the first byte of a head, or from accepting the connection, to the complete head.",
        ),
        duration(
            "idle_timeout",
            "75s",
            "How long a connection may be silent between requests.",
        ),
        key(
            "body_rate_min",
            Kind::Size {
                max: SIZE_32,
                off: true,
            },
            Default::Text("1KiB"),
            "Bytes per second that a body must come with, averaged over `body_rate_grace`, until its answer begins. Calls of gRPC over HTTP/2 to an upstream that speaks HTTP/2 are left out.",
        ),
        duration(
            "body_rate_grace",
            "10s",
            "The window over which `body_rate_min` is averaged.",
        ),
        duration(
            "write_timeout",
            "60s",
            "How long writing an answer may make no progress: the system takes nothing more, as what it holds for the client already has not shrunk by a third.",
        ),
        key(
            "half_close_timeout",
            Kind::Duration {
                min_ms: 0,
                off: false,
            },
            Default::Text("5s"),
            "How long nothing of an answer (over HTTP/2: of any answer of the connection) may come after the client shut its sending side, before the answer's beginning and within it; then the work is cancelled.",
        ),
        key(
            "tunnel_idle_timeout",
            Kind::Duration {
                min_ms: 1,
                off: true,
            },
            Default::Text("10m"),
            "How long an upgraded connection, such as a WebSocket, or one of a `tcp` listener may be silent in both directions.",
        ),
        key(
            "abuse_points_per_minute_max",
            Kind::Count {
                min: 100,
                max: 10_000_000,
                off: false,
            },
            Default::Integer(1000),
            "What a client may ask on one connection without getting anything done. In HTTP/2 a reset costs 10 points, \
             `SETTINGS` 10, `PING` 3, an empty frame 1; in HTTP/1 a read that brings less than 8 bytes of a head costs 1, and so \
             do 64 chunks of less than 8 bytes. Requests that are served give points back, and body does for what is no \
             reset (in HTTP/1: that of requests). A connection that has spent them is closed: with `ENHANCE_YOUR_CALM`, or behind 429.",
        ),
        key(
            "http2",
            Kind::Table(&http2::SECTION),
            Default::Empty,
            "What clients may do that speak HTTP/2.",
        ),
    ],
};

const fn size(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    key(
        name,
        Kind::Size {
            max: SIZE_32,
            off: false,
        },
        Default::Text(default),
        doc,
    )
}

const fn duration(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    key(
        name,
        Kind::Duration {
            min_ms: 1,
            off: false,
        },
        Default::Text(default),
        doc,
    )
}

pub(super) fn read(fields: Fields<'_>, report: &mut Report) -> Client {
    let rate = fields.size_or_off("body_rate_min", report);
    let grace = fields.duration("body_rate_grace", report);
    let client = Client {
        head_bytes_max: fields.size("head_bytes_max", report),
        fields_max: fields.count("fields_max", report),
        target_bytes_max: fields.size("target_bytes_max", report),
        body_bytes_max: fields.size_or_off("body_bytes_max", report),
        chunk_extension_bytes_max: fields.size("chunk_extension_bytes_max", report),
        trailer_bytes_max: fields.size("trailer_bytes_max", report),
        requests_per_connection_max: fields.count_or_off("requests_per_connection_max", report),
        head_timeout: fields.duration("head_timeout", report),
        idle_timeout: fields.duration("idle_timeout", report),
        body_rate_min: rate.map(|rate| BodyRate {
            bytes_per_second: u32::try_from(rate).unwrap_or(u32::MAX),
            grace,
        }),
        write_timeout: fields.duration("write_timeout", report),
        half_close_timeout: fields.duration("half_close_timeout", report),
        tunnel_idle_timeout: fields.duration_or_off("tunnel_idle_timeout", report),
        abuse_points_per_minute_max: fields.count("abuse_points_per_minute_max", report),
        http2: http2::read(fields.table("http2", report), report),
    };
    fields.finish();
    client
}
