//! A bare responder for HTTP/1.1 and, by prior knowledge, HTTP/2, much cheaper than any proxy in front of it.
//!
//! `backend --listen 127.0.0.1:18101 [--listen ...]` answers on one thread:
//! - `GET /…/<size>` (`/1k`, `/64k`, `/10m`, any `<n>`, `<n>k`, `<n>m`): that many bytes of the known content,
//! - `GET /slow?ms=<n>`: 1 KB after n milliseconds,
//! - `PUT` or `POST /…`: reads the body, compares it with the known content, answers `bytes=<n> content=same`,
//! - over HTTP/2 also gRPC-shaped calls: the message comes back, with `grpc-status: 0` if it was the known content,
//! - `GET /connections`: how many connections were accepted so far (tells whether a proxy keeps them alive).

#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use foregate_bench::content;
use foregate_bench::framing::{Chunks, Framing, framing, head_end};
use foregate_bench::h2::PREFACE;
use foregate_bench::options::Options;
use foregate_bench::poll::{Interest, Poll, raise_open_files, would_block};
use foregate_bench::socket::prompt;

mod h2;

const LISTENERS: u64 = 1 << 32;
const SCRATCH_BYTES: usize = 256 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
const UPLOAD_COMPARED_BYTES_MAX: usize = 16 << 20;

/// What a connection waits for.
enum State {
    Head,
    Upload(Upload),
    Answer { bytes: Rc<Vec<u8>>, sent: usize },
    Pause,
    Http2(Box<h2::Streams>),
}

/// A request body on its way in.
struct Upload {
    left: Option<usize>,
    chunks: Chunks,
    received: usize,
    same: bool,
}

struct Connection {
    socket: TcpStream,
    state: State,
    unread: Vec<u8>,
    close: bool,
    interest: Interest,
    serial: u64,
}

enum Step {
    /// Something changed; go on with the bytes at hand.
    Again,
    /// Nothing to do until the socket or the clock says so.
    Wait,
    Over,
}

/// Everything that requests share.
struct Responder {
    content: Vec<u8>,
    answers: BTreeMap<usize, Rc<Vec<u8>>>,
    accepted: u64,
    pauses: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    http2: h2::Answers,
}

fn answer(status: &str, kind: &str, body: &[u8]) -> Rc<Vec<u8>> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    Rc::new(bytes)
}

impl Responder {
    fn of_size(&mut self, size: usize) -> Rc<Vec<u8>> {
        if self.content.len() < size {
            self.content = content::bytes(size);
        }
        let body = &self.content[..size];
        let answers = &mut self.answers;
        // Few sizes are ever asked for; an unlucky client must not fill the memory.
        if answers.len() > 16 {
            answers.clear();
        }
        Rc::clone(
            answers
                .entry(size)
                .or_insert_with(|| answer("200 OK", "application/octet-stream", body)),
        )
    }

    fn state_after(&mut self, head: &[u8], framing: Framing, at: (usize, u64)) -> State {
        let line = head.split(|&b| b == b'\r').next().unwrap_or(&[]);
        let line = std::str::from_utf8(line).unwrap_or("");
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if matches!(method, "PUT" | "POST") {
            return State::Upload(Upload {
                left: if framing.chunked {
                    None
                } else {
                    Some(framing.length.unwrap_or(0))
                },
                chunks: Chunks::default(),
                received: 0,
                same: true,
            });
        }
        if let Some(pause_ms) = target
            .split_once("slow?ms=")
            .and_then(|(_, ms)| ms.parse().ok())
        {
            let due = Instant::now() + Duration::from_millis(pause_ms);
            self.pauses.push(Reverse((due, at.0, at.1)));
            return State::Pause;
        }
        let bytes = if target == "/connections" {
            answer("200 OK", "text/plain", self.accepted.to_string().as_bytes())
        } else if let Some(size) = content::size_of_target(target) {
            self.of_size(size)
        } else {
            answer("404 Not Found", "text/plain", b"no such size\n")
        };
        State::Answer { bytes, sent: 0 }
    }

    /// Takes one step with the bytes read so far; `input` shrinks by what was used.
    fn step(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        input: &mut &[u8],
    ) -> io::Result<Step> {
        match &mut connection.state {
            State::Head if input.len() < PREFACE.len() && PREFACE.starts_with(input) => {
                Ok(Step::Wait)
            }
            State::Head if input.starts_with(PREFACE) => {
                *input = &input[PREFACE.len()..];
                connection.state = State::Http2(Box::new(h2::Streams::new()));
                Ok(Step::Again)
            }
            State::Head => {
                let Some(end) = head_end(input) else {
                    let too_big = input.len() > HEAD_BYTES_MAX;
                    return Ok(if too_big { Step::Over } else { Step::Wait });
                };
                let (head, rest) = input.split_at(end);
                let framing = framing(head);
                connection.close = framing.close;
                connection.state = self.state_after(head, framing, (slot, connection.serial));
                if framing.expect_continue {
                    connection
                        .socket
                        .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                *input = rest;
                Ok(Step::Again)
            }
            State::Upload(upload) => {
                let Some(used) = upload.take(input, &self.content) else {
                    return Ok(Step::Over);
                };
                *input = &input[used..];
                if upload.left == Some(0) || upload.chunks.is_done() {
                    let receipt = content::upload_receipt(upload.received, upload.same);
                    let bytes = answer("200 OK", "text/plain", receipt.as_bytes());
                    connection.state = State::Answer { bytes, sent: 0 };
                    return Ok(Step::Again);
                }
                Ok(if used == 0 { Step::Wait } else { Step::Again })
            }
            State::Answer { bytes, sent } => {
                match connection.socket.write(&bytes[*sent..]) {
                    Ok(written) => *sent += written,
                    Err(error) if would_block(&error) => return Ok(Step::Wait),
                    Err(error) => return Err(error),
                }
                if *sent < bytes.len() {
                    return Ok(Step::Wait);
                }
                if connection.close {
                    return Ok(Step::Over);
                }
                connection.state = State::Head;
                Ok(Step::Again)
            }
            State::Pause => Ok(Step::Wait),
            State::Http2(streams) => {
                let step = streams.step(&mut self.http2, &mut connection.socket, input)?;
                Ok(step.map_or(Step::Over, |()| Step::Wait))
            }
        }
    }
}

impl Upload {
    /// Uses up body bytes; `None` is broken framing.
    fn take(&mut self, input: &[u8], expected: &[u8]) -> Option<usize> {
        let (used, data) = match &mut self.left {
            Some(left) => {
                let taken = (*left).min(input.len());
                *left -= taken;
                (taken, &input[..taken])
            }
            None => self.chunks.step(input)?,
        };
        let end = self.received + data.len();
        if end <= expected.len() {
            self.same &= expected[self.received..end] == *data;
        }
        self.received = end;
        Some(used)
    }
}

struct Server {
    responder: Responder,
    poll: Poll,
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
}

impl Server {
    fn accept(&mut self, listener: usize) -> io::Result<()> {
        let (socket, _) = match self.listeners[listener].accept() {
            Ok(accepted) => accepted,
            Err(error) if would_block(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        prompt(&socket)?;
        self.responder.accepted += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.poll.add(&socket, slot as u64, Interest::Read)?;
        self.connections[slot] = Some(Connection {
            socket,
            state: State::Head,
            unread: Vec::new(),
            close: false,
            interest: Interest::Read,
            serial: self.responder.accepted,
        });
        Ok(())
    }

    fn advance(&mut self, slot: usize, readable: bool) {
        let Some(mut connection) = self.connections[slot].take() else {
            return;
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let alive = self.advance_taken(&mut connection, slot, readable, &mut scratch);
        self.scratch = scratch;
        if matches!(alive, Ok(true)) {
            self.connections[slot] = Some(connection);
        } else {
            self.free.push(slot);
        }
    }

    fn advance_taken(
        &mut self,
        connection: &mut Connection,
        slot: usize,
        readable: bool,
        scratch: &mut [u8],
    ) -> io::Result<bool> {
        let mut got = 0;
        if readable && connection.interest != Interest::Write {
            got = match connection.socket.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(got) => got,
                Err(error) if would_block(&error) => 0,
                Err(error) => return Err(error),
            };
        }
        // Almost always a request arrives whole and is used in place, without being copied to `unread`.
        let joined;
        let mut input = &scratch[..got];
        if !connection.unread.is_empty() {
            connection.unread.extend_from_slice(input);
            joined = std::mem::take(&mut connection.unread);
            input = &joined;
        }
        loop {
            match self.responder.step(connection, slot, &mut input)? {
                Step::Again => {}
                Step::Wait => break,
                Step::Over => return Ok(false),
            }
        }
        connection.unread = input.to_vec();
        let interest = match connection.state {
            State::Answer { .. } => Interest::Write,
            State::Http2(ref streams) if streams.has_unsent() => Interest::ReadWrite,
            _ => Interest::Read,
        };
        if interest != connection.interest {
            self.poll
                .change(&connection.socket, slot as u64, interest)?;
            connection.interest = interest;
        }
        Ok(true)
    }

    fn end_pauses(&mut self) -> Option<Duration> {
        while let Some(Reverse((due, slot, serial))) = self.responder.pauses.peek().copied() {
            let now = Instant::now();
            if due > now {
                return Some(due - now);
            }
            self.responder.pauses.pop();
            // The slot may serve another connection by now; the serial number tells.
            let bytes = self.responder.of_size(1 << 10);
            if let Some(connection) = &mut self.connections[slot]
                && connection.serial == serial
                && matches!(connection.state, State::Pause)
            {
                connection.state = State::Answer { bytes, sent: 0 };
                self.advance(slot, false);
            }
        }
        None
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            let timeout = self.end_pauses();
            let ready_count = self.poll.wait(timeout)?;
            for index in 0..ready_count {
                let ready = self.poll.ready(index);
                if ready.token >= LISTENERS {
                    self.accept((ready.token - LISTENERS) as usize)?;
                } else {
                    self.advance(ready.token as usize, ready.readable);
                }
            }
        }
    }
}

fn serve(addresses: &[String]) -> io::Result<()> {
    let poll = Poll::new(512)?;
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        poll.add(
            &listener,
            LISTENERS + listeners.len() as u64,
            Interest::Read,
        )?;
        listeners.push(listener);
    }
    let responder = Responder {
        content: content::bytes(UPLOAD_COMPARED_BYTES_MAX),
        answers: BTreeMap::new(),
        accepted: 0,
        pauses: BinaryHeap::new(),
        http2: h2::Answers::new(),
    };
    Server {
        responder,
        poll,
        listeners,
        connections: Vec::new(),
        free: Vec::new(),
        scratch: vec![0; SCRATCH_BYTES],
    }
    .run()
}

fn main() -> Result<(), String> {
    let mut options = Options::parse(std::env::args().skip(1))?;
    let listen = options.all("listen");
    options.finish()?;
    if listen.is_empty() {
        return Err("--listen address: needed at least once".to_owned());
    }
    raise_open_files();
    serve(&listen).map_err(|error| format!("backend {}: {error}", listen.join(" ")))
}
