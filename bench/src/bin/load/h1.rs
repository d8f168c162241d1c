//! HTTP/1.1: one request out, its answer in and compared.

use std::time::Instant;

use foregate_bench::framing::{framing, head_end, status};
use foregate_bench::poll::would_block;

use crate::connection::{Asked, Fault, Life};
use crate::plan::Plan;
use crate::transport::Transport;

const HEAD_BYTES_MAX: usize = 64 << 10;

/// The exchange under way on a connection.
#[derive(Default)]
pub(crate) struct Client {
    asked: Option<Asked>,
    exchange: usize,
    sent: usize,
    /// Head bytes that came without the head's end.
    head: Vec<u8>,
    /// Body bytes received; `None` while the head is awaited.
    received: Option<usize>,
    closing: bool,
}

impl Client {
    /// An answer is awaited.
    pub(crate) fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Begins an exchange.
    pub(crate) fn begin(&mut self, asked: Asked) {
        self.exchange = asked.exchange;
        self.asked = Some(asked);
        self.sent = 0;
        self.received = None;
    }

    /// Not all of the request was sent.
    pub(crate) fn has_unsent(&self, plan: &Plan) -> bool {
        self.is_busy() && self.sent < self.request_bytes(plan)
    }

    fn request_bytes(&self, plan: &Plan) -> usize {
        plan.exchanges[self.exchange].head.len() + plan.uploaded(self.exchange).len()
    }

    /// Sends what is left of the request, as far as it goes.
    pub(crate) fn write(&mut self, plan: &Plan, transport: &mut Transport) -> Result<(), Fault> {
        let (head, body) = (
            &plan.exchanges[self.exchange].head,
            plan.uploaded(self.exchange),
        );
        while self.has_unsent(plan) {
            let result = if self.sent >= head.len() {
                transport.write(&body[self.sent - head.len()..])
            } else if body.is_empty() {
                transport.write(&head[self.sent..])
            } else {
                transport.write_two(&head[self.sent..], body)
            };
            match result {
                Ok(written) => self.sent += written,
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(Fault::of(&error)),
            }
        }
        Ok(())
    }

    /// Takes the answer further.
    pub(crate) fn read(
        &mut self,
        plan: &Plan,
        bytes: &[u8],
        done: &mut Vec<Instant>,
    ) -> Result<Life, Fault> {
        let Some(asked) = self.asked else {
            return Err(Fault::Length);
        };
        if self.received.is_some() {
            return self.body(plan, asked, bytes, done);
        }
        if self.head.is_empty() {
            return self.head(plan, asked, bytes, done);
        }
        let mut joined = std::mem::take(&mut self.head);
        joined.extend_from_slice(bytes);
        self.head(plan, asked, &joined, done)
    }

    fn head(
        &mut self,
        plan: &Plan,
        asked: Asked,
        bytes: &[u8],
        done: &mut Vec<Instant>,
    ) -> Result<Life, Fault> {
        let Some(end) = head_end(bytes) else {
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(Fault::Head);
            }
            self.head = bytes.to_vec();
            return Ok(Life::Open);
        };
        let (head, rest) = bytes.split_at(end);
        match status(head) {
            Some(100..=199) => return self.head(plan, asked, rest, done),
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
        self.body(plan, asked, rest, done)
    }

    fn body(
        &mut self,
        plan: &Plan,
        asked: Asked,
        bytes: &[u8],
        done: &mut Vec<Instant>,
    ) -> Result<Life, Fault> {
        let expected = plan.expected(self.exchange);
        let from = self.received.unwrap_or(0);
        let to = from + bytes.len();
        if to > expected.len() {
            return Err(Fault::Length);
        }
        if asked.compared && expected[from..to] != *bytes {
            return Err(Fault::Content);
        }
        self.received = Some(to);
        if to < expected.len() {
            return Ok(Life::Open);
        }
        let whole = !self.has_unsent(plan);
        self.asked = None;
        done.push(asked.due);
        Ok(if self.closing || !whole {
            Life::Closing
        } else {
            Life::Open
        })
    }
}
