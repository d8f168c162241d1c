//! DATA as it comes, and what the application takes of it (RFC 9113 §6.1, §6.9, §8.1.1).

use super::receive::{Reading, Step};
use super::{Connection, Fate, Role};
use crate::abuse::{Offence, PIECE_BYTES_MIN};
use crate::h2::error::{Breach, ErrorCode};
use crate::h2::frame::{FRAME_HEADER_BYTES, FrameHeader, data, flag, window_update};
use crate::h2::state::State;
use crate::h2::streams::StreamKey;
use foregate_message::{Chunk, Fault, Frame, Reason};

/// DATA with so many bytes that comes too late for its stream costs nothing as far as it was allowed when it was sent.
const LATE_BYTES_MIN: u32 = 512;
/// The rest of an input that is all body, and at least so long, goes to its stream as it is.
const WHOLE_BYTES_MIN: usize = 8 * 1024;

/// The payload of a DATA frame of which a part is still to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DataPart {
    /// Where it goes; `None` for body that nobody wants, of which the connection's window knows already.
    key: Option<StreamKey>,
    /// Bytes of body to come.
    left: u32,
    /// Bytes of padding to come.
    padding: u32,
    end: bool,
}

/// For how long the connection's window has been closed to the peer.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct HeldBack {
    /// Up to when it is counted, since it closed.
    counted_ms: Option<u64>,
    /// It has opened again, at a time that is told next.
    is_over: bool,
    total_ms: u64,
}

impl HeldBack {
    fn close(&mut self, now_ms: u64) {
        self.count(now_ms);
        self.counted_ms.get_or_insert(now_ms);
    }

    #[inline]
    fn open(&mut self) {
        self.is_over = self.counted_ms.is_some();
    }

    #[inline]
    fn count(&mut self, now_ms: u64) {
        if let Some(since) = self.counted_ms {
            self.total_ms += now_ms.saturating_sub(since);
            let is_over = std::mem::take(&mut self.is_over);
            self.counted_ms = (!is_over).then_some(now_ms.max(since));
        }
    }
}

impl Connection {
    pub(super) fn begin_data(
        &mut self,
        header: &FrameHeader,
        input: &mut Chunk,
    ) -> Result<Step, Breach> {
        let padded = header.has(flag::PADDED) && header.length > 0;
        let padding = match input.as_slice().get(FRAME_HEADER_BYTES) {
            Some(&padding) => padding,
            None if padded => return Ok(Step::More),
            None => 0,
        };
        let data = data::read(header, padding)?;
        self.ending.peer_spoke();
        input.consume(FRAME_HEADER_BYTES + data.front as usize);
        self.receive_window
            .receive(header.length)
            .map_err(|_| Breach::Connection(ErrorCode::FLOW_CONTROL_ERROR))?;
        let due = self.receive_window.due();
        self.announce(due);
        if self.receive_window.is_closed() {
            self.held_back.close(self.now_ms);
        }
        let admitted = self.admit_data(header, data);
        let key = match admitted {
            Ok(key) => key,
            Err(Breach::Stream(code)) => {
                self.reset_for_breach(header.stream, code)?;
                None
            }
            Err(breach) => return Err(breach),
        };
        if key.is_none() {
            self.give_back(header.length);
        }
        let part = DataPart {
            key,
            left: data.bytes,
            padding: data.padding,
            end: data.end,
        };
        self.reading = Reading::Data(part);
        // A frame without payload may be the last of the input.
        self.pass_data(part, input)?;
        Ok(Step::Taken)
    }

    /// The stream that takes the frame's body, if one does.
    fn admit_data(
        &mut self,
        header: &FrameHeader,
        data: data::Data,
    ) -> Result<Option<StreamKey>, Breach> {
        // Little is usual at the end of a body.
        if data.bytes < PIECE_BYTES_MIN && !data.end {
            self.charge(Offence::TinyData)?;
        }
        let Some(slot) = self.streams.find(header.stream) else {
            if self.is_idle(header.stream) {
                return Err(Breach::PROTOCOL);
            }
            self.late_frame(header.stream, header.length)?;
            return Ok(None);
        };
        let may_come = self.streams.at(slot).flags.head_received;
        if !self.streams.at(slot).state.may_receive() {
            self.late_frame(header.stream, header.length)?;
            return Ok(None);
        }
        let stream = self.streams.at(slot);
        if !may_come {
            return Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR));
        }
        if stream.receive_window.receive(header.length).is_err() {
            return Err(Breach::Stream(ErrorCode::FLOW_CONTROL_ERROR));
        }
        if let Some(left) = &mut stream.incoming_left {
            let rest = left.checked_sub(u64::from(data.bytes));
            match rest {
                Some(rest) if rest == 0 || !data.end => *left = rest,
                _ => return Err(self.wrong_length(slot)),
            }
        }
        let stream = self.streams.at(slot);
        if stream.flags.released {
            // Nobody will take it; only its end is of interest.
            if data.end {
                self.peer_ended(slot);
            }
            return Ok(None);
        }
        // Only now is it known that somebody waits for it.
        self.budget.moved(data.bytes);
        let unused = data.front + data.padding;
        if unused > 0 {
            let update = stream.receive_window.give_back(unused);
            if let Some(increment) = update.filter(|_| !data.end) {
                window_update::write(header.stream, increment, &mut self.out);
            }
            self.give_back(unused);
        }
        Ok(Some(self.streams.key(slot)))
    }

    /// DATA of `bytes`, or HEADERS, on a stream on which the peer may not send any more. It may not have known that if
    /// we reset the stream, or have said that it won't be served; else it breaks a rule (RFC 9113 §5.1).
    #[cold]
    pub(super) fn late_frame(&mut self, id: u32, bytes: u32) -> Result<(), Breach> {
        let may_be_late = match self.role {
            Role::Server => self.streams.was_reset(id) || self.is_unserved(id),
            // All that it has forgotten it has reset, or could have. Others' streams must not end for a frame more.
            Role::Client => match self.streams.find(id) {
                Some(slot) => !self.streams.at(slot).flags.peer_ended,
                None => true,
            },
        };
        if !may_be_late {
            return Err(Breach::Stream(ErrorCode::STREAM_CLOSED));
        }
        // What was allowed when it was sent costs nothing, but in pieces for which a peer would have to mean it.
        match self.late_bytes.checked_sub(bytes) {
            Some(left) if bytes >= LATE_BYTES_MIN => {
                self.late_bytes = left;
                Ok(())
            }
            _ => self.charge(Offence::IdleFrame),
        }
    }

    /// The body is not as long as Content-Length said (RFC 9113 §8.1.1).
    #[cold]
    pub(super) fn wrong_length(&mut self, slot: usize) -> Breach {
        let reason = self.reason_of_fault(Fault::Length);
        self.streams.at(slot).fate = Some(Fate {
            reason,
            unprocessed: false,
        });
        Breach::Stream(ErrorCode::PROTOCOL_ERROR)
    }

    /// Passes on what has come of a DATA frame's payload.
    pub(super) fn pass_data(&mut self, part: DataPart, input: &mut Chunk) -> Result<(), Breach> {
        let mut part = part;
        let bytes = input.len().min(part.left as usize);
        part.left -= bytes as u32;
        let slot = part.key.and_then(|key| self.streams.slot(key));
        let wanted = slot.filter(|&slot| {
            let stream = self.streams.at(slot);
            stream.state.may_receive() && !stream.flags.released
        });
        match wanted {
            _ if bytes == 0 => {}
            Some(slot) => {
                let stream = self.streams.at(slot);
                if bytes == input.len() && bytes >= WHOLE_BYTES_MIN {
                    stream.incoming.push_back(std::mem::take(input));
                } else {
                    stream.receive(&input.as_slice()[..bytes]);
                    input.consume(bytes);
                }
                self.mark_ready(slot);
            }
            None => {
                // The stream has gone since the frame began: what is still to come won't be taken.
                if part.key.is_some() {
                    self.give_back(bytes as u32);
                }
                input.consume(bytes);
            }
        }
        if part.left == 0 {
            let padding = input.len().min(part.padding as usize);
            part.padding -= padding as u32;
            input.consume(padding);
        }
        if part.left > 0 || part.padding > 0 {
            self.reading = Reading::Data(part);
            return Ok(());
        }
        self.reading = Reading::Frame;
        let still_open = slot.filter(|&slot| self.streams.at(slot).state.may_receive());
        if let Some(slot) = still_open.filter(|_| part.end) {
            self.peer_ended(slot);
        }
        Ok(())
    }

    /// END_STREAM has come and passed all rules.
    pub(super) fn peer_ended(&mut self, slot: usize) {
        let role = self.role;
        let stream = self.streams.at(slot);
        stream.state = stream.state.received_end();
        stream.flags.peer_ended = true;
        if role == Role::Client && stream.state == State::Closed {
            self.budget.served();
        }
        self.mark_ready(slot);
        self.settle(slot);
    }

    /// `bytes` of the connection's window are free again.
    #[inline]
    pub(super) fn give_back(&mut self, bytes: u32) {
        let due = self.receive_window.share_back(bytes);
        self.announce(due);
    }

    #[inline]
    fn announce(&mut self, due: Option<u32>) {
        if let Some(increment) = due {
            self.held_back.open();
            window_update::write(0, increment, &mut self.out);
        }
    }

    /// Tells the time between inputs.
    #[inline]
    pub fn tell_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.held_back.count(now_ms);
    }

    /// For how many milliseconds so far the peer could send no body at all, because bodies that were not taken filled
    /// the connection's window.
    #[inline]
    pub fn held_back_ms(&mut self, now_ms: u64) -> u64 {
        self.held_back.count(now_ms);
        self.held_back.total_ms
    }

    /// The next piece of the body; `None` while there is none, and [`Frame::End`] or [`Frame::Trailers`] once.
    /// Taking is what lets the peer send more.
    ///
    /// # Errors
    /// The stream ended before its body did.
    pub fn take(&mut self, key: StreamKey) -> Result<Option<Frame>, Fate> {
        let Some(slot) = self.streams.slot(key) else {
            return Err(self.fate_of_the_unknown());
        };
        let stream = self.streams.at(slot);
        if let Some(chunk) = stream.incoming.pop_front() {
            let bytes = chunk.len() as u32;
            let update = stream.receive_window.give_back(bytes);
            if let Some(increment) = update.filter(|_| stream.state.may_receive()) {
                window_update::write(key.id, increment, &mut self.out);
            }
            self.give_back(bytes);
            self.budget.taken();
            return Ok(Some(Frame::Data(chunk)));
        }
        if stream.flags.peer_ended {
            if stream.flags.trailers_too_large {
                return Err(Fate {
                    reason: Reason::Request(Fault::TrailersTooLarge),
                    unprocessed: false,
                });
            }
            let trailers = stream.incoming_trailers.take();
            return Ok(Some(trailers.map_or(Frame::End, Frame::Trailers)));
        }
        match stream.fate {
            Some(fate) => Err(fate),
            None => Ok(None),
        }
    }

    /// Whether all of the incoming body is here, so that taking it needs no more of the peer.
    pub fn is_body_here(&self, key: StreamKey) -> bool {
        self.streams
            .get(key)
            .is_none_or(|stream| stream.flags.peer_ended)
    }

    /// How the stream ended before its time, if it did. What came before may still be taken.
    #[inline]
    pub fn fate(&self, key: StreamKey) -> Option<Fate> {
        match self.streams.get(key) {
            Some(stream) => stream.fate,
            None => Some(self.fate_of_the_unknown()),
        }
    }

    fn fate_of_the_unknown(&self) -> Fate {
        let usual = match self.role {
            Role::Server => Reason::ClientGone,
            Role::Client => Reason::UpstreamReset,
        };
        let failure = self.ending.failure;
        Fate {
            reason: failure.map_or(usual, |failure| failure.reason),
            unprocessed: false,
        }
    }
}
