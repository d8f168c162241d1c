//! What the application queues on its streams.

use super::{Connection, Role, StreamKey};
use crate::h1::BodyMismatch;
use crate::h2::error::ErrorCode;
use crate::h2::frame::headers;
use crate::h2::heads::{self, Asked, RequestOut};
use crate::h2::state::State;
use foregate_message::{BodyLength, Chunk, Fields, RequestHead, ResponseHead};

/// What a client assumes a server to allow until its SETTINGS come (RFC 9113 §6.5.2 recommends no less).
const STREAMS_ASSUMED: u32 = 100;

impl Connection {
    /// How many more streams may be opened now (client).
    pub fn streams_free(&self) -> usize {
        if self.is_ending() || self.next_id > crate::h2::frame::MAX_31 {
            return 0;
        }
        let allowed = if self.peer_known {
            self.peer.streams_max
        } else {
            STREAMS_ASSUMED
        };
        let max = allowed.min(self.limits.places());
        // Streams that are closed and still held have their place too.
        max.saturating_sub(self.streams.held() as u32) as usize
    }

    /// Opens a stream with a request (client); `None` when no more may be opened. `target` is what goes into
    /// `:path`.
    pub fn request(
        &mut self,
        head: &RequestHead,
        target: &[u8],
        framing: RequestOut<'_>,
        now_ms: u64,
    ) -> Option<StreamKey> {
        if self.streams_free() == 0 {
            return None;
        }
        self.now_ms = now_ms;
        self.lend_output();
        let id = self.next_id;
        self.next_id += 2;
        let asked = match framing.protocol {
            Some(_) => Asked::Tunnel,
            None => Asked::by(&head.method),
        };
        let ends = framing.length.is_empty() && framing.protocol.is_none();
        let at = headers::begin(&mut self.out);
        heads::write_request(&mut self.encoder, head, target, framing, &mut self.out);
        headers::seal(at, id, ends, self.peer.frame_bytes_max, &mut self.out);
        let slot = self.insert(id);
        self.set_asked(slot, asked);
        let stream = self.streams.at(slot);
        stream.opened_ms = now_ms;
        stream.state = State::opened(true, ends);
        stream.flags.head_sent = true;
        stream.flags.end_queued = ends;
        stream.outgoing_left = match framing.length {
            BodyLength::Known(bytes) => Some(bytes),
            BodyLength::Bare => Some(0),
            _ => None,
        };
        Some(self.streams.key(slot))
    }

    /// Queues an interim head: 1xx except 101 (server).
    pub fn inform(&mut self, key: StreamKey, head: &ResponseHead) {
        let Some(slot) = self.streams.slot(key) else {
            return;
        };
        let stream = self.streams.at(slot);
        if !stream.state.may_send() || stream.flags.head_sent {
            return;
        }
        let at = headers::begin(&mut self.out);
        heads::write_interim(&mut self.encoder, head, &mut self.out);
        headers::seal(at, key.id, false, self.peer.frame_bytes_max, &mut self.out);
    }

    /// Queues the final head (server). A body that can have no content ends with it.
    pub fn respond(&mut self, key: StreamKey, head: &ResponseHead, length: BodyLength) {
        let Some(slot) = self.streams.slot(key) else {
            return;
        };
        let stream = self.streams.at(slot);
        if !stream.state.may_send() || stream.flags.head_sent {
            return;
        }
        let to_head = stream.flags.bodiless;
        stream.flags.head_sent = true;
        stream.outgoing_left = match length {
            BodyLength::Known(bytes) => Some(bytes),
            BodyLength::Bare => Some(0),
            _ => None,
        };
        let never = to_head || head.status.is_bodiless();
        let ends = length != BodyLength::Tunnel && (never || length.is_empty());
        let at = headers::begin(&mut self.out);
        heads::write_response(&mut self.encoder, head, length, to_head, &mut self.out);
        headers::seal(at, key.id, ends, self.peer.frame_bytes_max, &mut self.out);
        if ends {
            self.streams.at(slot).flags.end_queued = true;
            self.sent_end(slot);
            self.settle(slot);
        }
    }

    /// Queues a piece of body. It is dropped if the stream does not take any: it was reset, or has ended with its
    /// head.
    ///
    /// # Errors
    /// The body would be longer than announced: the stream is reset.
    pub fn send(&mut self, key: StreamKey, data: Chunk) -> Result<(), BodyMismatch> {
        let Some(slot) = self.streams.slot(key) else {
            return Ok(());
        };
        let stream = self.streams.at(slot);
        if !stream.state.may_send() || stream.flags.end_queued || data.is_empty() {
            return Ok(());
        }
        debug_assert!(stream.flags.head_sent, "a head goes before its body");
        if let Some(left) = &mut stream.outgoing_left {
            match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => {
                    self.close_by_reset(slot, ErrorCode::INTERNAL_ERROR);
                    return Err(BodyMismatch::TooLong);
                }
            }
        }
        stream.outgoing.push_back(data);
        self.schedule(slot);
        Ok(())
    }

    /// Queues the end of the body.
    ///
    /// # Errors
    /// The body is shorter than announced: the stream is reset, so that nobody takes it as whole.
    pub fn finish(
        &mut self,
        key: StreamKey,
        trailers: Option<&Fields>,
    ) -> Result<(), BodyMismatch> {
        let Some(slot) = self.streams.slot(key) else {
            return Ok(());
        };
        let stream = self.streams.at(slot);
        if !stream.state.may_send() || stream.flags.end_queued {
            return Ok(());
        }
        if stream.outgoing_left.is_some_and(|left| left > 0) {
            self.close_by_reset(slot, ErrorCode::INTERNAL_ERROR);
            return Err(BodyMismatch::TooShort);
        }
        stream.outgoing_trailers = trailers
            .filter(|fields| !fields.is_empty())
            .map(|fields| Box::new(fields.clone()));
        stream.flags.end_queued = true;
        self.schedule(slot);
        Ok(())
    }

    /// Whether nothing that was queued on the stream waits for its windows or its turn. The application queues the
    /// next piece then.
    #[inline]
    pub fn is_flushed(&self, key: StreamKey) -> bool {
        self.streams
            .get(key)
            .is_none_or(|stream| !stream.has_outgoing())
    }

    /// Bytes of body that wait on the stream.
    pub fn backlog_bytes(&self, key: StreamKey) -> usize {
        let stream = self.streams.get(key);
        stream.map_or(0, |stream| stream.outgoing.iter().map(Chunk::len).sum())
    }

    /// Whether it is the peer's window, not its reading, that holds the stream's body back.
    pub fn is_window_blocked(&self, key: StreamKey) -> bool {
        self.streams.get(key).is_some_and(|stream| {
            !stream.outgoing.is_empty()
                && (stream.send_window.free() == 0 || self.send_window.free() == 0)
        })
    }

    /// Resets the stream: what it carried can't be completed.
    pub fn reset(&mut self, key: StreamKey, code: ErrorCode) {
        if let Some(slot) = self.streams.slot(key)
            && self.streams.at(slot).state != State::Closed
        {
            self.close_by_reset(slot, code);
        }
    }

    /// Lets go of a stream. What was queued to its end is still sent; an exchange that is not over is broken off.
    pub fn release(&mut self, key: StreamKey) {
        let Some(slot) = self.streams.slot(key) else {
            return;
        };
        let role = self.role;
        let stream = self.streams.at(slot);
        stream.flags.released = true;
        let unread = stream.incoming_bytes() as u32;
        stream.incoming.clear();
        let state = stream.state;
        let end_queued = stream.flags.end_queued;
        self.give_back(unread);
        match (role, state) {
            (_, State::Closed) => self.settle(slot),
            (Role::Server, _) if !end_queued => {
                self.close_by_reset(slot, ErrorCode::INTERNAL_ERROR);
            }
            // The answer is out: the rest of the request is of no use (RFC 9113 §8.1).
            (Role::Server, State::HalfClosedLocal) => {
                self.close_by_reset(slot, ErrorCode::NO_ERROR);
            }
            // What is queued leaves first; see `sent_end`.
            (Role::Server, _) => {}
            (Role::Client, _) => self.close_by_reset(slot, ErrorCode::CANCEL),
        }
    }
}
