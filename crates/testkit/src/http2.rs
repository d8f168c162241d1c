//! A raw HTTP/2 client that sends whatever frames a story wants, and reads strictly.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Connection, Fields, PATIENCE, Target, Trouble};

/// Frame types (RFC 9113 §6).
pub mod kind {
    #![allow(missing_docs, reason = "each is the frame type of that name")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const PRIORITY_UPDATE: u8 = 16;
}

/// Error codes (RFC 9113 §7).
pub mod code {
    #![allow(missing_docs, reason = "each is the error code of that name")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
pub const END_STREAM: u8 = 1;
/// END_HEADERS of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;
/// PADDED of DATA and HEADERS: the payload begins with the padding's length.
pub const PADDED: u8 = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Http2Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Http2Frame {
    /// How many bytes a WINDOW_UPDATE gives.
    pub fn window_bytes(&self) -> Option<usize> {
        (self.kind == kind::WINDOW_UPDATE).then(|| number(&self.payload) as usize)
    }
}

/// What has come on a stream.
#[derive(Clone, Default, Debug)]
pub struct Http2Response {
    /// Interim heads, by status.
    pub interims: Vec<u16>,
    /// The final status, 0 while there is none.
    pub status: u16,
    /// The fields of the final head.
    pub fields: Fields,
    /// The body so far.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Fields,
    /// Whether it ended in order.
    pub ended: bool,
    /// The code of a reset.
    pub reset: Option<u32>,
}

impl Http2Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A GOAWAY.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Goaway {
    /// The last stream that will be served.
    pub last_stream: u32,
    /// Its error code.
    pub code: u32,
    /// What it says besides.
    pub debug: String,
}

/// One HTTP/2 connection of a client. Requests' heads are sent spelt out; settings and PINGs of the other side are
/// acknowledged unless the story says otherwise.
pub struct Http2Client {
    connection: Connection,
    decoder: fluke_hpack::Decoder<'static>,
    answers: BTreeMap<u32, Http2Response>,
    goaways: Vec<Goaway>,
    next_stream: u32,
    scheme: &'static str,
    /// Whether received body is given back to the windows.
    pub gives_windows: bool,
    /// Whether SETTINGS and PING are acknowledged.
    pub acknowledges: bool,
}

impl std::fmt::Debug for Http2Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Http2Client")
            .field("answers", &self.answers)
            .field("goaways", &self.goaways)
            .finish_non_exhaustive()
    }
}

impl Http2Client {
    /// Connects and sends the preface with empty SETTINGS.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect(target: impl Into<Target>) -> Self {
        Self::connect_with(target, &[])
    }

    /// Connects and sends the preface with these SETTINGS.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect_with(target: impl Into<Target>, settings: &[(u16, u32)]) -> Self {
        Self::begin(&target.into(), None, settings)
    }

    /// The same with a receive buffer of about `bytes`, so that unread answers soon stop the sender.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect_narrow(
        target: impl Into<Target>,
        bytes: usize,
        settings: &[(u16, u32)],
    ) -> Self {
        Self::begin(&target.into(), Some(bytes), settings)
    }

    fn begin(target: &Target, receive_bytes: Option<usize>, settings: &[(u16, u32)]) -> Self {
        let stream = target.connect(receive_bytes);
        let mut client = Self {
            connection: target.begin_http2(stream),
            decoder: fluke_hpack::Decoder::new(),
            answers: BTreeMap::new(),
            goaways: Vec::new(),
            next_stream: 1,
            scheme: target.scheme(),
            gives_windows: true,
            acknowledges: true,
        };
        client.send_raw(PREFACE);
        client.send_frame(kind::SETTINGS, 0, 0, &self::settings(settings));
        client
    }

    /// The connection below.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn send_raw(&mut self, bytes: &[u8]) {
        self.connection.send(bytes).expect("the gateway reads");
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the gateway does not take it.
    pub fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send_raw(&frame(kind, flags, stream, payload));
    }

    /// Sends a frame if the gateway still takes it.
    pub fn send_frame_if_taken(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> bool {
        self.connection
            .send(frame(kind, flags, stream, payload))
            .is_ok()
    }

    /// The next stream's number.
    pub fn take_stream(&mut self) -> u32 {
        self.next_stream += 2;
        self.next_stream - 2
    }

    /// Sends a request's head with the usual pseudo-header fields, and more lines; its stream.
    pub fn request(&mut self, method: &str, path: &str, lines: &[(&str, &str)], ends: bool) -> u32 {
        let head = [
            (":method", method),
            (":scheme", self.scheme),
            (":authority", "a"),
            (":path", path),
        ];
        self.head(&[&head[..], lines].concat(), ends)
    }

    /// Sends just these lines as a request's head; its stream.
    pub fn head(&mut self, lines: &[(&str, &str)], ends: bool) -> u32 {
        let stream = self.take_stream();
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.send_frame(kind::HEADERS, flags, stream, &block(lines));
        stream
    }

    /// Sends a piece of body, which the windows must have room for.
    pub fn data(&mut self, stream: u32, bytes: &[u8], ends: bool) {
        for (at, piece) in bytes.chunks(16_384).enumerate() {
            let last = (at + 1) * 16_384 >= bytes.len();
            self.send_frame(kind::DATA, u8::from(ends && last), stream, piece);
        }
        if bytes.is_empty() {
            self.send_frame(kind::DATA, u8::from(ends), stream, b"");
        }
    }

    /// Resets a stream.
    pub fn reset(&mut self, stream: u32, code: u32) {
        self.send_frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// Announces settings.
    pub fn announce(&mut self, lines: &[(u16, u32)]) {
        self.send_frame(kind::SETTINGS, 0, 0, &settings(lines));
    }

    /// Opens a window, 0 for the connection's.
    pub fn open_window(&mut self, stream: u32, bytes: u32) {
        self.send_frame(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    }

    /// A request and its answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&mut self, path: &str) -> Http2Response {
        let stream = self.request("GET", path, &[], true);
        self.answer(stream)
    }

    /// Waits until the gateway has acted on all that was sent: what it has to say about it came before the answers to two
    /// PINGs, the second of which was asked for when it had answered the first.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn settle(&mut self) {
        for payload in [*b"settle 1", *b"settle 2"] {
            self.send_frame(kind::PING, 0, 0, &payload);
            loop {
                match self.read_frame() {
                    Ok(frame) if frame.kind == kind::PING && frame.payload == payload => break,
                    Ok(_) => {}
                    Err(trouble) => panic!("{trouble:?}, {self:?}"),
                }
            }
        }
    }

    /// Reads until a stream has ended, in order or not.
    ///
    /// # Panics
    /// When the connection ends before.
    pub fn answer(&mut self, stream: u32) -> Http2Response {
        self.until(stream, |answer| answer.ended || answer.reset.is_some())
    }

    /// Reads until what has come on a stream is enough.
    ///
    /// # Panics
    /// When the connection ends before.
    pub fn until(&mut self, stream: u32, enough: impl Fn(&Http2Response) -> bool) -> Http2Response {
        loop {
            if let Some(answer) = self.answers.get(&stream)
                && enough(answer)
            {
                return answer.clone();
            }
            if let Err(trouble) = self.read_frame() {
                panic!("stream {stream}: {trouble:?}, {self:?}");
            }
        }
    }

    /// As [`Self::answer`], for a connection that may end.
    ///
    /// # Errors
    /// The connection ended before.
    pub fn try_answer(&mut self, stream: u32) -> Result<Http2Response, Trouble> {
        loop {
            match self.answers.get(&stream) {
                Some(answer) if answer.ended || answer.reset.is_some() => {
                    return Ok(answer.clone());
                }
                _ => drop(self.read_frame()?),
            }
        }
    }

    /// The last GOAWAY that has come.
    pub fn last_goaway(&self) -> Option<&Goaway> {
        self.goaways.last()
    }

    /// Reads until the last GOAWAY and the end of the connection.
    ///
    /// # Panics
    /// When the connection ends without one, or does not end.
    pub fn goaway(&mut self) -> Goaway {
        loop {
            match self.read_frame() {
                Ok(_) => {}
                Err(Trouble::Closed | Trouble::Reset) => break,
                Err(trouble) => panic!("{trouble:?}, {self:?}"),
            }
        }
        self.goaways
            .last()
            .cloned()
            .unwrap_or_else(|| panic!("no GOAWAY: {self:?}"))
    }

    /// Reads until the first GOAWAY.
    ///
    /// # Panics
    /// When the connection ends without one.
    pub fn first_goaway(&mut self) -> Goaway {
        while self.goaways.is_empty() {
            if let Err(trouble) = self.read_frame() {
                panic!("{trouble:?}, {self:?}");
            }
        }
        self.goaways[0].clone()
    }

    /// Reads what has come, without waiting; false once GOAWAY was among it or the connection has ended.
    pub fn is_quiet(&mut self) -> bool {
        self.connection.set_patience(Duration::from_millis(1));
        let outcome = loop {
            match self.connection.wait_readable() {
                Ok(true) => {}
                Err(Trouble::Late) => break true,
                Ok(false) | Err(_) => break false,
            }
            self.connection.set_patience(PATIENCE);
            if self.read_frame().is_err() || !self.goaways.is_empty() {
                break false;
            }
            self.connection.set_patience(Duration::from_millis(1));
        };
        self.connection.set_patience(PATIENCE);
        outcome
    }

    /// Reads one frame and does what every client does about it.
    ///
    /// # Errors
    /// The connection ended, or what came is no frame.
    pub fn read_frame(&mut self) -> Result<Http2Frame, Trouble> {
        let frame = take_frame(&mut self.connection)?;
        self.understand(&frame)?;
        Ok(frame)
    }

    fn understand(&mut self, frame: &Http2Frame) -> Result<(), Trouble> {
        let ack = frame.flags & END_STREAM != 0;
        match frame.kind {
            kind::SETTINGS if !ack && self.acknowledges => {
                self.send_frame_if_taken(kind::SETTINGS, END_STREAM, 0, b"");
            }
            kind::PING if !ack && self.acknowledges => {
                self.send_frame_if_taken(kind::PING, END_STREAM, 0, &frame.payload);
            }
            kind::GOAWAY => self.goaways.push(Goaway {
                last_stream: number(&frame.payload[..4]),
                code: number(&frame.payload[4..8]),
                debug: String::from_utf8_lossy(&frame.payload[8..]).into_owned(),
            }),
            kind::RST_STREAM => {
                self.answers.entry(frame.stream).or_default().reset = Some(number(&frame.payload));
            }
            kind::DATA => {
                let answer = self.answers.entry(frame.stream).or_default();
                answer.body.extend_from_slice(&frame.payload);
                answer.ended |= ack;
                if self.gives_windows && !frame.payload.is_empty() {
                    let bytes = (frame.payload.len() as u32).to_be_bytes();
                    self.send_frame_if_taken(kind::WINDOW_UPDATE, 0, 0, &bytes);
                    if !ack {
                        self.send_frame_if_taken(kind::WINDOW_UPDATE, 0, frame.stream, &bytes);
                    }
                }
            }
            kind::HEADERS => return self.understand_head(frame),
            kind::CONTINUATION => return Err(Trouble::Malformed("CONTINUATION of nothing".into())),
            _ => {}
        }
        Ok(())
    }

    fn understand_head(&mut self, frame: &Http2Frame) -> Result<(), Trouble> {
        let mut block = frame.payload.clone();
        let mut flags = frame.flags;
        while flags & END_HEADERS == 0 {
            let header = self.connection.take(9)?;
            assert_eq!(
                header[3],
                kind::CONTINUATION,
                "a block goes on with CONTINUATION"
            );
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            block.extend(self.connection.take(length)?);
            flags = header[4];
        }
        let lines = self
            .decoder
            .decode(&block)
            .map_err(|error| Trouble::Malformed(format!("{error:?}")))?;
        let answer = self.answers.entry(frame.stream).or_default();
        let mut fields = Fields::new();
        let mut status = None;
        for (name, value) in lines {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let (name, value) = (text(name), text(value));
            if name == ":status" {
                status = value.parse().ok();
            } else if name.starts_with(':') || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(Trouble::Malformed(format!("{name} in an answer")));
            } else {
                fields.push(name, value);
            }
        }
        match status {
            Some(status @ 100..=199) => answer.interims.push(status),
            Some(status) => {
                answer.status = status;
                answer.fields = fields;
            }
            None => answer.trailers = fields,
        }
        answer.ended |= frame.flags & END_STREAM != 0;
        Ok(())
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// Reads one frame off a connection and does nothing about it.
///
/// # Errors
/// The connection ended, or what came is no frame.
pub fn take_frame(connection: &mut Connection) -> Result<Http2Frame, Trouble> {
    let header = connection.take(9)?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    if length > 16_384 {
        return Err(Trouble::Malformed(format!("a frame of {length} bytes")));
    }
    Ok(Http2Frame {
        kind: header[3],
        flags: header[4],
        stream: u32::from_be_bytes([header[5], header[6], header[7], header[8]]),
        payload: connection.take(length)?,
    })
}

/// Begins to speak as a backend: reads the preface, sends empty SETTINGS. Those of the other side are not acknowledged.
///
/// # Errors
/// The connection ended, or began with something else.
pub fn greet(connection: &mut Connection) -> Result<(), Trouble> {
    greet_with(connection, &[])
}

/// The same with these SETTINGS.
///
/// # Errors
/// As [`greet`].
pub fn greet_with(connection: &mut Connection, lines: &[(u16, u32)]) -> Result<(), Trouble> {
    let preface = connection.take(PREFACE.len())?;
    if preface != PREFACE {
        return Err(Trouble::Malformed("another preface".to_owned()));
    }
    connection.send(frame(kind::SETTINGS, 0, 0, &settings(lines)))
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The payload of SETTINGS.
pub fn settings(lines: &[(u16, u32)]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect()
}

/// A payload with so much padding, for frames that say [`PADDED`].
pub fn padded(payload: &[u8], padding: u8) -> Vec<u8> {
    [&[padding], payload, &vec![0; usize::from(padding)][..]].concat()
}

/// A field block in which every line is spelt out.
pub fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        block.push(0);
        for text in [name, value] {
            if text.len() < 127 {
                block.push(text.len() as u8);
            } else {
                let mut rest = text.len() - 127;
                block.push(127);
                while rest >= 128 {
                    block.push(rest as u8 | 128);
                    rest >>= 7;
                }
                block.push(rest as u8);
            }
            block.extend(text.as_bytes());
        }
    }
    block
}
