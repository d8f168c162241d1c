//! The connection machine against scripted peers, against itself, and against the `h2` crate.

mod backends;
mod ends;
mod floods;
mod flow;
mod late;
mod oracle;
mod pair;
mod rules;
mod split;

use super::frame::{FrameHeader, Kind, flag};
use super::heads;
use super::{Connection, ErrorCode, Event, Failure, Limits, PREFACE, StreamKey};
use foregate_message::{BodyLength, Chunk, Frame, RequestHead, ResponseHead, Scheme, Status};

/// A frame as a peer would send it.
fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        length: payload.len() as u32,
        kind,
        flags,
        stream,
    };
    let mut bytes = header.bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A field block with literals only, which any decoder in any state understands (RFC 7541 §6.2.2).
fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn get() -> Vec<u8> {
    request("GET", &[])
}

fn request(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut lines = vec![
        (":method", method),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.example"),
    ];
    lines.extend_from_slice(more);
    block(&lines)
}

const END: u8 = flag::END_STREAM | flag::END_HEADERS;

/// HEADERS with a whole request.
fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(Kind::HEADERS, flags | flag::END_HEADERS, stream, block)
}

/// A connection and the stranger that talks to it.
struct Bench {
    connection: Connection,
    input: Chunk,
    now_ms: u64,
    events: Vec<Event>,
}

impl Bench {
    /// A server whose client has sent its preface and empty SETTINGS.
    fn server(limits: Limits) -> Bench {
        let mut bench = Bench::before_preface(limits);
        bench.feed(PREFACE).unwrap();
        bench.feed(&frame(Kind::SETTINGS, 0, 0, &[])).unwrap();
        bench
            .feed(&frame(Kind::SETTINGS, flag::ACK, 0, &[]))
            .unwrap();
        bench.events.clear();
        bench.written();
        bench
    }

    fn before_preface(limits: Limits) -> Bench {
        Bench::of(Connection::server(limits, 0))
    }

    /// A client whose server has sent empty SETTINGS.
    fn client(limits: Limits) -> Bench {
        let mut bench = Bench::of(Connection::client(limits, 0));
        bench.feed(&frame(Kind::SETTINGS, 0, 0, &[])).unwrap();
        bench
            .feed(&frame(Kind::SETTINGS, flag::ACK, 0, &[]))
            .unwrap();
        bench.events.clear();
        bench.written();
        bench
    }

    fn of(connection: Connection) -> Bench {
        Bench {
            connection,
            input: Chunk::default(),
            now_ms: 0,
            events: Vec::new(),
        }
    }

    /// The connection reads these bytes and whatever it had left.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes;
        loop {
            if !rest.is_empty() {
                if !self.input.is_lent() {
                    self.input = Chunk::lend();
                } else if self.input.room().is_empty() {
                    self.input.compact();
                }
                rest = &rest[self.input.append(rest)..];
            }
            let before = self.input.len();
            while let Some(event) = self.connection.receive(&mut self.input, self.now_ms)? {
                self.events.push(event);
            }
            if rest.is_empty() || self.input.len() == before && self.connection.is_congested() {
                return Ok(());
            }
        }
    }

    /// What it has written since the last time.
    fn written(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.connection.output().to_vec();
            if bytes.is_empty() {
                return all;
            }
            self.connection.wrote(bytes.len());
            all.extend(bytes);
        }
    }

    /// The same as frames in words.
    fn said(&mut self) -> Vec<String> {
        words(&self.written())
    }

    /// The stream of the request that came last.
    fn asked(&mut self) -> StreamKey {
        match self.events.pop() {
            Some(Event::Request { key, .. }) => key,
            other => panic!("no request but {other:?}"),
        }
    }

    /// Opens a stream from the client's end.
    fn open(&mut self, length: BodyLength) -> StreamKey {
        let head = request_head("POST");
        let framing = heads::RequestOut {
            scheme: Scheme::Http,
            length,
            protocol: None,
        };
        let opened = self.connection.request(&head, b"/", framing, self.now_ms);
        opened.expect("a stream is free")
    }

    /// Answers whatever request has come with 200 and an empty body.
    fn answer_all(&mut self) {
        for event in std::mem::take(&mut self.events) {
            if let Event::Request { key, .. } = event {
                let head = ResponseHead::new(Status::OK);
                self.connection.respond(key, &head, BodyLength::Empty);
                self.connection.release(key);
            }
        }
    }

    /// All that waits on a stream.
    fn body(&mut self, key: StreamKey) -> Vec<u8> {
        let mut body = Vec::new();
        while let Ok(Some(Frame::Data(chunk))) = self.connection.take(key) {
            body.extend_from_slice(chunk.as_slice());
        }
        body
    }
}

fn request_head(method: &str) -> RequestHead {
    let mut head = RequestHead::with(method, b"/");
    head.fields
        .append(foregate_message::FieldId::Host, b"a.example");
    head
}

/// Frames in words: type, stream, and what matters of the payload.
fn words(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut words = Vec::new();
    while let Some(header) = FrameHeader::read(rest) {
        let Some(payload) = rest.get(9..9 + header.length as usize) else {
            break;
        };
        rest = &rest[9 + payload.len()..];
        let number = |at: usize| {
            let bytes = payload[at..at + 4].try_into().unwrap();
            u32::from_be_bytes(bytes)
        };
        let stream = header.stream;
        let end = if header.has(flag::END_STREAM) {
            " end"
        } else {
            ""
        };
        words.push(match header.kind {
            Kind::DATA => format!("DATA {stream} {}{end}", header.length),
            Kind::HEADERS => format!("HEADERS {stream}{end}"),
            Kind::CONTINUATION => format!("CONTINUATION {stream}"),
            Kind::RST_STREAM => format!("RST_STREAM {stream} {}", ErrorCode(number(0)).name()),
            Kind::GOAWAY => format!("GOAWAY {} {}", number(0), ErrorCode(number(4)).name()),
            Kind::WINDOW_UPDATE => format!("WINDOW_UPDATE {stream} {}", number(0)),
            Kind::SETTINGS if header.has(flag::ACK) => "SETTINGS ack".into(),
            Kind::SETTINGS => "SETTINGS".into(),
            Kind::PING if header.has(flag::ACK) => "PING ack".into(),
            Kind::PING => "PING".into(),
            other => format!("{other:?}"),
        });
    }
    words
}
