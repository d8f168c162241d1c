//! Shadow: the client of a try that no client waits for: of a copy, or of a hedge.

use foregate_message::{BodyLength, Chunk, Client, Fields, Frame, Peer, Reason, ResponseHead};
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// Interim heads that are kept for the client; it misses little with the rest.
const INTERIM_MAX: usize = 8;

/// It has the body, never goes away, and wants no answer.
#[derive(Debug)]
pub(crate) struct Shadow {
    peer: Peer,
    body: VecDeque<Chunk>,
    /// What the backend has said ahead of its answer, for the client; `None` where there is none.
    pub(crate) interim: Option<Vec<ResponseHead>>,
}

impl Shadow {
    /// That of a copy, with its body.
    pub(crate) fn of_copy(peer: Peer, body: VecDeque<Chunk>) -> Shadow {
        Shadow {
            peer,
            body,
            interim: None,
        }
    }

    /// That of a hedge, whose body is kept elsewhere. `peer` is as much of the client as a connection needs to know.
    pub(crate) fn of_hedge(peer: Peer) -> Shadow {
        Shadow {
            peer,
            body: VecDeque::new(),
            interim: Some(Vec::new()),
        }
    }
}

impl Client for Shadow {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Result<Frame, Reason>> {
        Poll::Ready(Ok(self.body.pop_front().map_or(Frame::End, Frame::Data)))
    }

    fn limit_body(&mut self, _: Option<u64>) {}

    fn inform(&mut self, head: &ResponseHead) {
        if let Some(interim) = &mut self.interim
            && interim.len() < INTERIM_MAX
        {
            interim.push(head.clone());
        }
    }

    fn respond(&mut self, _: &ResponseHead, _: BodyLength) {}

    fn close_behind(&mut self) {}

    fn send(&mut self, _: Chunk) {}

    fn finish(&mut self, _: Option<&Fields>) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<Reason> {
        Poll::Pending
    }

    fn abort(&mut self) {}

    fn transferred(&self) -> (u64, u64) {
        (0, 0)
    }
}
