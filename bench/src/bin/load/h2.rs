//! HTTP/2: many requests at a time on one connection, each answer compared.

use std::time::Instant;

use foregate_bench::framing::decimal;
use foregate_bench::h2::{self, Frame, Link, flag, kind, setting};
use foregate_bench::hpack::Decoder;
use foregate_bench::poll::would_block;

use crate::connection::{Asked, Fault, Life};
use crate::plan::{Kind, Plan};
use crate::transport::Transport;

/// One request's answer under way.
struct Stream {
    id: u32,
    asked: Asked,
    head: Head,
    received: usize,
}

/// What was said in a stream's field blocks.
#[derive(Default)]
struct Head {
    status: Option<usize>,
    length: Option<usize>,
    grpc_status: Option<usize>,
}

/// A connection's streams.
pub(crate) struct Streams {
    link: Link,
    sent: usize,
    decoder: Decoder,
    next_id: u32,
    /// The fields stand in the peer's table.
    repeated: bool,
    streams: Vec<Stream>,
    /// Requests that wait for the peer's SETTINGS or a window.
    waiting: Vec<Asked>,
    /// The beginning of a frame.
    unread: Vec<u8>,
    /// The beginning of a field block, its stream and flags.
    block: Option<(u32, u8, Vec<u8>)>,
}

impl Streams {
    /// Says the first words.
    pub(crate) fn new() -> Self {
        let mut link = Link::default();
        link.out.extend_from_slice(h2::PREFACE);
        let settings = [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, h2::WINDOW_BYTES),
        ];
        h2::push_opening(&mut link.out, &settings);
        Self {
            link,
            sent: 0,
            decoder: Decoder::default(),
            next_id: 1,
            repeated: false,
            streams: Vec::new(),
            waiting: Vec::new(),
            unread: Vec::new(),
            block: None,
        }
    }

    /// Answers that are awaited.
    pub(crate) fn busy(&self) -> usize {
        self.streams.len() + self.waiting.len()
    }

    /// Begins an exchange, now or once the peer lets it.
    pub(crate) fn begin(&mut self, plan: &Plan, asked: Asked) {
        let body_bytes = plan.message.len() as i64;
        if !self.link.ready || self.link.send_window.min(self.link.stream_window) < body_bytes {
            self.waiting.push(asked);
            return;
        }
        let block = match (self.link.table, self.repeated) {
            (false, _) => &plan.block.plain,
            (true, false) => &plan.block.first,
            (true, true) => &plan.block.again,
        };
        self.repeated = true;
        let id = self.next_id;
        self.next_id += 2;
        let out = &mut self.link.out;
        if plan.kind == Kind::Grpc {
            h2::push(out, kind::HEADERS, flag::END_HEADERS, id, block);
            h2::push(out, kind::DATA, flag::END_STREAM, id, &plan.message);
            self.link.send_window -= body_bytes;
        } else {
            let flags = flag::END_HEADERS | flag::END_STREAM;
            h2::push(out, kind::HEADERS, flags, id, block);
        }
        self.streams.push(Stream {
            id,
            asked,
            head: Head::default(),
            received: 0,
        });
    }

    /// Frames wait to be sent.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.link.out.is_empty()
    }

    /// Sends the frames that wait, as far as it goes.
    pub(crate) fn write(&mut self, transport: &mut Transport) -> Result<(), Fault> {
        while self.sent < self.link.out.len() {
            match transport.write(&self.link.out[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(Fault::of(&error)),
            }
        }
        self.link.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Takes the answers further.
    pub(crate) fn read(
        &mut self,
        plan: &Plan,
        bytes: &[u8],
        done: &mut Vec<Instant>,
    ) -> Result<Life, Fault> {
        let joined;
        let mut rest = bytes;
        if !self.unread.is_empty() {
            self.unread.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.unread);
            rest = &joined;
        }
        while let Some(frame) = h2::next(&mut rest).map_err(|_| Fault::Frame)? {
            self.take(plan, &frame, done)?;
        }
        self.unread.extend_from_slice(rest);
        if self.link.ready {
            for asked in std::mem::take(&mut self.waiting) {
                self.begin(plan, asked);
            }
        }
        Ok(Life::Open)
    }

    fn take(
        &mut self,
        plan: &Plan,
        frame: &Frame<'_>,
        done: &mut Vec<Instant>,
    ) -> Result<(), Fault> {
        self.link.control(frame).map_err(|_| Fault::Frame)?;
        match frame.kind {
            kind::HEADERS if frame.has(flag::END_HEADERS) => {
                let ends = frame.has(flag::END_STREAM);
                self.fields(plan, frame.stream, ends, frame.payload, done)
            }
            kind::HEADERS => {
                self.block = Some((frame.stream, frame.flags, frame.payload.to_vec()));
                Ok(())
            }
            kind::CONTINUATION => {
                let (stream, flags, mut block) = self.block.take().ok_or(Fault::Frame)?;
                block.extend_from_slice(frame.payload);
                if frame.has(flag::END_HEADERS) {
                    let ends = flags & flag::END_STREAM != 0;
                    return self.fields(plan, stream, ends, &block, done);
                }
                self.block = Some((stream, flags, block));
                Ok(())
            }
            kind::DATA => self.data(plan, frame, done),
            kind::RST_STREAM => Err(Fault::Frame),
            _ => Ok(()),
        }
    }

    fn place(&self, id: u32) -> Result<usize, Fault> {
        let found = self.streams.iter().position(|stream| stream.id == id);
        found.ok_or(Fault::Frame)
    }

    fn fields(
        &mut self,
        plan: &Plan,
        id: u32,
        ends: bool,
        block: &[u8],
        done: &mut Vec<Instant>,
    ) -> Result<(), Fault> {
        let place = self.place(id)?;
        let head = &mut self.streams[place].head;
        self.decoder
            .decode(block, |name, value| match name {
                b":status" => head.status = decimal(value),
                b"content-length" => head.length = decimal(value),
                b"grpc-status" => head.grpc_status = decimal(value),
                _ => {}
            })
            .ok_or(Fault::Head)?;
        match head.status {
            Some(100..=199) => head.status = None,
            Some(200) => {}
            _ => return Err(Fault::Status),
        }
        if ends {
            return self.finish(plan, place, done);
        }
        Ok(())
    }

    fn data(
        &mut self,
        plan: &Plan,
        frame: &Frame<'_>,
        done: &mut Vec<Instant>,
    ) -> Result<(), Fault> {
        let place = self.place(frame.stream)?;
        let stream = &mut self.streams[place];
        let expected = plan.expected(stream.asked.exchange);
        let (from, to) = (stream.received, stream.received + frame.payload.len());
        if to > expected.len() {
            return Err(Fault::Length);
        }
        if stream.asked.compared && expected[from..to] != *frame.payload {
            return Err(Fault::Content);
        }
        stream.received = to;
        if frame.has(flag::END_STREAM) {
            return self.finish(plan, place, done);
        }
        Ok(())
    }

    fn finish(&mut self, plan: &Plan, place: usize, done: &mut Vec<Instant>) -> Result<(), Fault> {
        let stream = self.streams.swap_remove(place);
        let expected = plan.expected(stream.asked.exchange).len();
        let length = stream.head.length.unwrap_or(expected);
        if stream.head.status != Some(200) {
            return Err(Fault::Status);
        }
        if stream.received != expected || length != expected {
            return Err(Fault::Length);
        }
        if plan.kind == Kind::Grpc && stream.head.grpc_status != Some(0) {
            return Err(Fault::Status);
        }
        done.push(stream.asked.due);
        Ok(())
    }
}
