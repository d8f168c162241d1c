//! HTTP/2 on the backend's side: gRPC-shaped echoes, and bodies of a size.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::net::TcpStream;
use std::rc::Rc;

use foregate_bench::content;
use foregate_bench::h2::{self, Frame, Link, PAYLOAD_BYTES_MAX, flag, kind, setting};
use foregate_bench::hpack::{Decoder, Repeated};
use foregate_bench::poll::would_block;

/// Frames that are made before the socket has to take them.
const UNSENT_BYTES_MAX: usize = 512 << 10;
const STREAMS_MAX: u32 = 1000;
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// A request under way.
struct Request {
    grpc: bool,
    target: String,
    body: Vec<u8>,
    window: i64,
}

/// An answer under way, its head already written.
struct Answer {
    id: u32,
    body: Rc<Vec<u8>>,
    sent: usize,
    window: i64,
    /// The field block after the body; without one the body ends the stream.
    trailers: Option<Rc<Vec<u8>>>,
}

/// The answers' field blocks, and the content that bodies are cut from.
pub(crate) struct Answers {
    grpc_head: Repeated,
    grpc_same: Rc<Vec<u8>>,
    grpc_different: Rc<Vec<u8>>,
    refusal: Vec<u8>,
    bodies: BTreeMap<usize, Rc<Vec<u8>>>,
}

impl Answers {
    pub(crate) fn new() -> Self {
        let trailers = |status| Rc::new(Repeated::new(&[("grpc-status", status)]).plain);
        Self {
            grpc_head: Repeated::new(&[
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-accept-encoding", "identity"),
            ]),
            grpc_same: trailers("0"),
            grpc_different: trailers("3"),
            refusal: Repeated::new(&[(":status", "404")]).plain,
            bodies: BTreeMap::new(),
        }
    }

    fn body(&mut self, size: usize) -> Rc<Vec<u8>> {
        // Few sizes are ever asked for; an unlucky client must not fill the memory.
        if self.bodies.len() > 16 {
            self.bodies.clear();
        }
        let made = self.bodies.entry(size);
        Rc::clone(made.or_insert_with(|| Rc::new(content::bytes(size))))
    }
}

/// One connection.
pub(crate) struct Streams {
    link: Link,
    sent: usize,
    decoder: Decoder,
    repeated: bool,
    requests: BTreeMap<u32, Request>,
    answers: VecDeque<Answer>,
    block: Option<(u32, u8, Vec<u8>)>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        let mut link = Link::default();
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, STREAMS_MAX),
            (setting::INITIAL_WINDOW_SIZE, h2::WINDOW_BYTES),
        ];
        h2::push_opening(&mut link.out, &settings);
        Self {
            link,
            sent: 0,
            decoder: Decoder::default(),
            repeated: false,
            requests: BTreeMap::new(),
            answers: VecDeque::new(),
            block: None,
        }
    }

    /// Takes all whole frames, and sends what they lead to; `None` is a connection that is over.
    pub(crate) fn step(
        &mut self,
        shared: &mut Answers,
        socket: &mut TcpStream,
        input: &mut &[u8],
    ) -> io::Result<Option<()>> {
        loop {
            match h2::next(input) {
                Ok(Some(frame)) => {
                    if self.take(shared, &frame).is_none() {
                        return Ok(None);
                    }
                }
                Ok(None) => break,
                Err(_) => return Ok(None),
            }
        }
        loop {
            self.fill();
            while self.sent < self.link.out.len() {
                match socket.write(&self.link.out[self.sent..]) {
                    Ok(written) => self.sent += written,
                    Err(error) if would_block(&error) => return Ok(Some(())),
                    Err(error) => return Err(error),
                }
            }
            let nothing = self.link.out.is_empty();
            self.link.out.clear();
            self.sent = 0;
            if nothing {
                return Ok(Some(()));
            }
        }
    }

    /// Frames wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.link.out.is_empty()
    }

    fn take(&mut self, shared: &mut Answers, frame: &Frame<'_>) -> Option<()> {
        self.link.control(frame).ok()?;
        match frame.kind {
            kind::HEADERS if frame.has(flag::END_HEADERS) => {
                let ends = frame.has(flag::END_STREAM);
                self.fields(shared, frame.stream, ends, frame.payload)?;
            }
            kind::HEADERS => {
                self.block = Some((frame.stream, frame.flags, frame.payload.to_vec()));
            }
            kind::CONTINUATION => {
                let (stream, flags, mut block) = self.block.take()?;
                block.extend_from_slice(frame.payload);
                if frame.has(flag::END_HEADERS) {
                    self.fields(shared, stream, flags & flag::END_STREAM != 0, &block)?;
                } else {
                    self.block = Some((stream, flags, block));
                }
            }
            kind::DATA => {
                let request = self.requests.get_mut(&frame.stream)?;
                request.body.extend_from_slice(frame.payload);
                if request.body.len() > MESSAGE_BYTES_MAX {
                    return None;
                }
                if frame.has(flag::END_STREAM) {
                    self.answer(shared, frame.stream)?;
                }
            }
            kind::WINDOW_UPDATE if frame.stream != 0 => {
                let more = i64::from(h2::word(frame.payload));
                if let Some(request) = self.requests.get_mut(&frame.stream) {
                    request.window += more;
                }
                for answer in &mut self.answers {
                    if answer.id == frame.stream {
                        answer.window += more;
                    }
                }
            }
            kind::RST_STREAM => {
                self.requests.remove(&frame.stream);
                self.answers.retain(|answer| answer.id != frame.stream);
            }
            _ => {}
        }
        Some(())
    }

    fn fields(&mut self, shared: &mut Answers, id: u32, ends: bool, block: &[u8]) -> Option<()> {
        let mut request = Request {
            grpc: false,
            target: String::new(),
            body: Vec::new(),
            window: self.link.stream_window,
        };
        self.decoder.decode(block, |name, value| match name {
            b":path" => request.target = String::from_utf8_lossy(value).into_owned(),
            b"content-type" => request.grpc = value.starts_with(b"application/grpc"),
            _ => {}
        })?;
        // A second block of a stream is its trailers.
        self.requests.entry(id).or_insert(request);
        if ends {
            self.answer(shared, id)?;
        }
        Some(())
    }

    /// Writes the head of an answer and queues its body.
    fn answer(&mut self, shared: &mut Answers, id: u32) -> Option<()> {
        let request = self.requests.remove(&id)?;
        let out = &mut self.link.out;
        if request.grpc {
            let block = match (self.link.table, self.repeated) {
                (false, _) => &shared.grpc_head.plain,
                (true, false) => &shared.grpc_head.first,
                (true, true) => &shared.grpc_head.again,
            };
            self.repeated = true;
            h2::push(out, kind::HEADERS, flag::END_HEADERS, id, block);
            let content_bytes = request.body.len().saturating_sub(5);
            let expected = h2::grpc_message(&shared.body(content_bytes));
            let trailers = if expected == request.body {
                &shared.grpc_same
            } else {
                &shared.grpc_different
            };
            self.answers.push_back(Answer {
                id,
                body: Rc::new(request.body),
                sent: 0,
                window: request.window,
                trailers: Some(Rc::clone(trailers)),
            });
            return Some(());
        }
        let Some(size) = content::size_of_target(&request.target) else {
            let flags = flag::END_HEADERS | flag::END_STREAM;
            h2::push(out, kind::HEADERS, flags, id, &shared.refusal);
            return Some(());
        };
        let length = size.to_string();
        let head = Repeated::new(&[
            (":status", "200"),
            ("content-type", "application/octet-stream"),
            ("content-length", &length),
        ]);
        h2::push(out, kind::HEADERS, flag::END_HEADERS, id, &head.plain);
        self.answers.push_back(Answer {
            id,
            body: shared.body(size),
            sent: 0,
            window: request.window,
            trailers: None,
        });
        Some(())
    }

    /// Makes DATA frames as far as the windows go, a frame of each answer in turn.
    fn fill(&mut self) {
        let mut stuck = 0;
        while stuck < self.answers.len() && self.link.out.len() < UNSENT_BYTES_MAX {
            let Some(mut answer) = self.answers.pop_front() else {
                return;
            };
            let left = answer.body.len() - answer.sent;
            let window = answer.window.min(self.link.send_window).max(0) as usize;
            let length = left.min(window).min(PAYLOAD_BYTES_MAX);
            if length == 0 && left > 0 {
                stuck += 1;
                self.answers.push_back(answer);
                continue;
            }
            stuck = 0;
            let last = length == left;
            let out = &mut self.link.out;
            let ends = if last && answer.trailers.is_none() {
                flag::END_STREAM
            } else {
                0
            };
            let piece = &answer.body[answer.sent..answer.sent + length];
            h2::push(out, kind::DATA, ends, answer.id, piece);
            answer.sent += length;
            answer.window -= length as i64;
            self.link.send_window -= length as i64;
            if !last {
                self.answers.push_back(answer);
            } else if let Some(trailers) = &answer.trailers {
                let flags = flag::END_HEADERS | flag::END_STREAM;
                h2::push(out, kind::HEADERS, flags, answer.id, trailers);
            }
        }
    }
}
