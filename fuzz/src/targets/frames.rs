//! Frames of HTTP/2: whatever comes, the connection answers in whole frames, keeps little, and sees the same however the
//! bytes are cut.

use foregate_message::{
    BodyLength, Chunk, FieldId, Frame, RequestHead, ResponseHead, Scheme, Status,
};
use foregate_wire::h2::frame::{FRAME_HEADER_BYTES, FrameHeader};
use foregate_wire::h2::heads::RequestOut;
use foregate_wire::h2::{Connection, Event, Limits, PREFACE, StreamKey};

/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// What may wait to be written, however little the peer reads.
const OUTPUT_BYTES_MAX: usize = 512 * 1024;
const STREAMS_MAX: u32 = 8;

fn limits() -> Limits {
    Limits {
        streams_max: STREAMS_MAX,
        stream_window_bytes: 1_000,
        ..Limits::default()
    }
}

/// What a client sends behind its preface and first SETTINGS, to a server that answers every request, also once the client has
/// shut its sending side.
pub fn h2_frames_server(input: &[u8]) {
    for finishes in [false, true] {
        let run = |pieces: &[&[u8]]| {
            let mut party = Party::new(Connection::server(limits(), 0));
            party.feed(&PREFACE[..]);
            party.feed(&SETTINGS);
            pieces.iter().for_each(|piece| party.feed(piece));
            if finishes {
                party.connection.finished_by_peer(0);
            }
            party.serve();
            party.end()
        };
        assert_eq!(run(&[input]), run(&halves(input)));
    }
}

/// What a server sends behind its first SETTINGS, to a client with three requests under way.
pub fn h2_frames_client(input: &[u8]) {
    let run = |pieces: &[&[u8]]| {
        let mut party = Party::new(Connection::client(limits(), 0));
        party.feed(&SETTINGS);
        for (method, length) in [
            ("GET", BodyLength::Empty),
            ("HEAD", BodyLength::Empty),
            ("POST", BodyLength::Unknown),
        ] {
            party.ask(method, length);
        }
        pieces.iter().for_each(|piece| party.feed(piece));
        party.hear();
        party.end()
    };
    assert_eq!(run(&[input]), run(&halves(input)));
}

fn halves(input: &[u8]) -> [&[u8]; 2] {
    let (front, back) = input.split_at(input.len() / 2);
    [front, back]
}

/// A connection and what its application sees.
struct Party {
    connection: Connection,
    input: Chunk,
    streams: Vec<StreamKey>,
    seen: Vec<String>,
}

impl Party {
    fn new(connection: Connection) -> Party {
        Party {
            connection,
            input: Chunk::default(),
            streams: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn ask(&mut self, method: &str, length: BodyLength) {
        let mut head = RequestHead::with(method, b"/");
        head.fields.append(FieldId::Host, b"a.example");
        let framing = RequestOut {
            scheme: Scheme::Http,
            length,
            protocol: None,
        };
        let opened = self.connection.request(&head, b"/", framing, 0);
        self.streams.extend(opened);
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.connection.failure().is_none() {
            if !self.input.is_lent() {
                self.input = Chunk::lend();
            }
            self.input.compact();
            let taken = self.input.append(rest);
            rest = &rest[taken..];
            while let Ok(Some(event)) = self.connection.receive(&mut self.input, 0) {
                if let Event::Request { key, facts, .. } = event {
                    self.seen.push(format!("{key:?} {facts:?}"));
                    self.streams.push(key);
                }
            }
            if taken == 0 {
                // It reads no more before it has written.
                assert!(self.connection.is_congested());
                break;
            }
        }
        assert!(self.connection.streams_held() <= 2 * STREAMS_MAX as usize);
    }

    /// All bodies are taken, and every stream is answered.
    fn serve(&mut self) {
        for key in std::mem::take(&mut self.streams) {
            self.take(key);
            let head = ResponseHead::new(Status::OK);
            self.connection.respond(key, &head, BodyLength::Unknown);
            let _ = self.connection.send(key, Chunk::copy_of(b"body"));
            let _ = self.connection.finish(key, None);
            self.connection.release(key);
        }
    }

    /// All heads and bodies are taken.
    fn hear(&mut self) {
        for key in std::mem::take(&mut self.streams) {
            while let Some((head, facts)) = self.connection.take_head(key) {
                self.seen.push(format!("{} {facts:?}", head.status.code()));
            }
            self.take(key);
            self.connection.release(key);
        }
    }

    fn take(&mut self, key: StreamKey) {
        let mut body = Vec::new();
        let end = loop {
            match self.connection.take(key) {
                Ok(Some(Frame::Data(chunk))) => body.extend_from_slice(chunk.as_slice()),
                Ok(end) => break format!("{end:?}"),
                Err(fate) => break format!("{fate:?}"),
            }
        };
        assert!(body.len() <= 1 << 16, "no more than the window");
        self.seen.push(format!("{body:?} {end}"));
    }

    /// All that it wrote, which must be whole frames, and all that its application saw.
    fn end(mut self) -> (Vec<u8>, Vec<String>) {
        let mut all = Vec::new();
        loop {
            let output = self.connection.output();
            if output.is_empty() {
                break;
            }
            all.extend_from_slice(output);
            let bytes = output.len();
            self.connection.wrote(bytes);
        }
        assert!(all.len() <= OUTPUT_BYTES_MAX);
        let mut rest = all.strip_prefix(&PREFACE[..]).unwrap_or(&all);
        while let Some(header) = FrameHeader::read(rest) {
            let end = FRAME_HEADER_BYTES + header.length as usize;
            assert!(end <= rest.len(), "a frame is whole");
            rest = &rest[end..];
        }
        assert!(rest.is_empty());
        self.connection.closed_by_peer();
        assert_eq!(self.connection.streams_held(), 0);
        (all, self.seen)
    }
}
