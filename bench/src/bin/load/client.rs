//! One keep-alive connection: a request out, its answer in and compared.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use foregate_bench::framing::{framing, head_end, status};
use foregate_bench::poll::{Interest, would_block};

use crate::plan::Plan;

const HEAD_BYTES_MAX: usize = 64 << 10;

/// What went wrong with an exchange; the connection is of no use afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The peer closed or reset before the answer was complete.
    Closed,
    /// The status was not 200.
    Status,
    /// The answer had no or another `Content-Length`, or more bytes than that.
    Length,
    /// The body had other bytes.
    Content,
    /// The head was not understood.
    Head,
}

impl Fault {
    /// Every fault, in the order of its index.
    pub(crate) const ALL: [Fault; 5] = [
        Fault::Closed,
        Fault::Status,
        Fault::Length,
        Fault::Content,
        Fault::Head,
    ];

    /// The name in the result.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Closed => "closed",
            Fault::Status => "status",
            Fault::Length => "length",
            Fault::Content => "content",
            Fault::Head => "head",
        }
    }
}

/// How far an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More is to come.
    Pending,
    /// Answered; the connection takes the next request.
    Done,
    /// Answered, and the peer said that it closes: open another connection.
    DoneAndClosing,
}

/// A connection and its exchange under way.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    pub(crate) interest: Interest,
    /// When the request was due.
    pub(crate) due: Instant,
    exchange: usize,
    sent: usize,
    /// Head bytes that came without the head's end.
    head: Vec<u8>,
    /// Body bytes received; `None` while the head is awaited.
    received: Option<usize>,
    closing: bool,
    compared: bool,
    busy: bool,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(to: &str, now: Instant) -> io::Result<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            interest: Interest::Read,
            due: now,
            exchange: 0,
            sent: 0,
            head: Vec::new(),
            received: None,
            closing: false,
            compared: true,
            busy: false,
        })
    }

    /// An answer is awaited.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Begins an exchange; `compared` asks for its body's bytes to be looked at.
    pub(crate) fn begin(
        &mut self,
        plan: &Plan,
        exchange: usize,
        due: Instant,
        compared: bool,
    ) -> Result<(), Fault> {
        self.exchange = exchange;
        self.due = due;
        self.sent = 0;
        self.received = None;
        self.compared = compared;
        self.busy = true;
        self.write(plan)
    }

    fn request_bytes(&self, plan: &Plan) -> usize {
        plan.exchanges[self.exchange].head.len() + plan.uploaded(self.exchange).len()
    }

    /// Sends what is left of the request, as far as it goes.
    pub(crate) fn write(&mut self, plan: &Plan) -> Result<(), Fault> {
        let (head, body) = (
            &plan.exchanges[self.exchange].head,
            plan.uploaded(self.exchange),
        );
        while self.sent < head.len() + body.len() {
            let result = if self.sent >= head.len() {
                self.socket.write(&body[self.sent - head.len()..])
            } else if body.is_empty() {
                self.socket.write(&head[self.sent..])
            } else {
                self.socket
                    .write_vectored(&[IoSlice::new(&head[self.sent..]), IoSlice::new(body)])
            };
            match result {
                Ok(written) => self.sent += written,
                Err(error) if would_block(&error) => return Ok(()),
                Err(_) => return Err(Fault::Closed),
            }
        }
        Ok(())
    }

    /// What the socket is to be watched for now.
    pub(crate) fn wanted(&self, plan: &Plan) -> Interest {
        if self.busy && self.sent < self.request_bytes(plan) {
            Interest::ReadWrite
        } else {
            Interest::Read
        }
    }

    /// Reads once and takes the answer further.
    pub(crate) fn read(&mut self, plan: &Plan, scratch: &mut [u8]) -> Result<Progress, Fault> {
        let got = match self.socket.read(scratch) {
            Ok(0) => return Err(Fault::Closed),
            Ok(got) => got,
            Err(error) if would_block(&error) => return Ok(Progress::Pending),
            Err(_) => return Err(Fault::Closed),
        };
        if !self.busy {
            return Err(Fault::Length);
        }
        if self.received.is_some() {
            return self.body(plan, &scratch[..got]);
        }
        if self.head.is_empty() {
            return self.head(plan, &scratch[..got]);
        }
        let mut joined = std::mem::take(&mut self.head);
        joined.extend_from_slice(&scratch[..got]);
        self.head(plan, &joined)
    }

    fn head(&mut self, plan: &Plan, bytes: &[u8]) -> Result<Progress, Fault> {
        let Some(end) = head_end(bytes) else {
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(Fault::Head);
            }
            self.head = bytes.to_vec();
            return Ok(Progress::Pending);
        };
        let (head, rest) = bytes.split_at(end);
        match status(head) {
            Some(100..=199) => return self.head(plan, rest),
            Some(200) => {}
            Some(_) => return Err(Fault::Status),
            None => return Err(Fault::Head),
        }
        let framing = framing(head);
        if framing.length != Some(plan.expected(self.exchange).len()) {
            return Err(Fault::Length);
        }
        self.closing = framing.close;
        self.received = Some(0);
        self.body(plan, rest)
    }

    fn body(&mut self, plan: &Plan, bytes: &[u8]) -> Result<Progress, Fault> {
        let expected = plan.expected(self.exchange);
        let from = self.received.unwrap_or(0);
        let to = from + bytes.len();
        if to > expected.len() {
            return Err(Fault::Length);
        }
        if self.compared && expected[from..to] != *bytes {
            return Err(Fault::Content);
        }
        self.received = Some(to);
        if to < expected.len() {
            return Ok(Progress::Pending);
        }
        self.busy = false;
        Ok(if self.closing || self.sent < self.request_bytes(plan) {
            Progress::DoneAndClosing
        } else {
            Progress::Done
        })
    }
}
