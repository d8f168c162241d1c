//! Field blocks: put together from HEADERS and CONTINUATION, then given their meaning (RFC 9113 §4.3, §8.1).

use super::{Connection, Event, Fate, Role};
use crate::abuse::Offence;
use crate::h1::{HeadLimits, TrailersOf};
use crate::h2::error::{Breach, ErrorCode};
use crate::h2::frame::{FrameHeader, continuation, headers};
use crate::h2::heads::{self, Asked, HeadFault};
use crate::h2::priority::Priority;
use crate::h2::state::State;
use foregate_message::{BodyLength, Fault, FieldId, Fields, Reason, RequestHead, ResponseHead};

/// Interim heads that an answer may have before its final one.
const INTERIMS_MAX: u32 = 16;

/// CONTINUATION of a backend with fewer bytes costs points.
const CONTINUATION_BYTES_MIN: usize = 4 * 1024;

/// A block of which CONTINUATION frames are still to come.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    /// Its stream, and what its HEADERS said.
    opening: Opening,
    bytes: Vec<u8>,
    continuations: u32,
}

impl OpenBlock {
    pub(super) fn stream(&self) -> u32 {
        self.opening.stream
    }
}

/// What HEADERS says beside its block.
#[derive(Clone, Copy, Debug)]
struct Opening {
    stream: u32,
    end_stream: bool,
    /// The breach that its priority is, told once the block has been decoded.
    priority: Result<(), Breach>,
}

impl Connection {
    pub(super) fn on_headers(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Breach> {
        let headers = headers::read(header, payload)?;
        self.ending.peer_spoke();
        let opening = Opening {
            stream: header.stream,
            end_stream: headers.end_stream,
            priority: headers.check_priority(),
        };
        if headers.end_headers {
            return self.on_block(opening, headers.block);
        }
        self.block = Some(Box::new(OpenBlock {
            opening,
            bytes: headers.block.to_vec(),
            continuations: 0,
        }));
        Ok(None)
    }

    pub(super) fn on_continuation(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Breach> {
        let Some(mut block) = self.block.take() else {
            return Err(Breach::PROTOCOL);
        };
        let whole = continuation::read(header, block.opening.stream)?;
        // A long answer of a backend's is no flood, and its length is bounded.
        if self.role == Role::Server || payload.len() < CONTINUATION_BYTES_MIN {
            self.charge(Offence::Continuation)?;
        }
        block.continuations += 1;
        if block.continuations > self.limits.continuations_max(self.role) {
            let reason = self.reason_of_limit(Reason::ContinuationFlood);
            return Err(Breach::Limit(reason));
        }
        // It can't be skipped, as other blocks build on it, and won't be kept for ever.
        if block.bytes.len() + payload.len() > self.limits.header_block_bytes_max(self.role) {
            return Err(Breach::Limit(self.reason_of_fault(Fault::HeadTooLarge)));
        }
        block.bytes.extend_from_slice(payload);
        if whole {
            return self.on_block(block.opening, &block.bytes);
        }
        self.block = Some(block);
        Ok(None)
    }

    fn on_block(&mut self, opening: Opening, block: &[u8]) -> Result<Option<Event>, Breach> {
        let Some(slot) = self.streams.find(opening.stream) else {
            if self.role == Role::Server && self.is_idle(opening.stream) {
                return self.on_request(opening, block);
            }
            return self.on_late_block(opening.stream, block);
        };
        let stream = self.streams.at(slot);
        let is_trailers = stream.flags.head_received;
        let is_tunnel = stream.flags.tunnel;
        if !stream.state.may_receive() {
            self.skip_block(block)?;
            self.late_frame(opening.stream, 0)?;
            return Ok(None);
        }
        // A tunnel has no trailers, and ends by DATA (RFC 9113 §8.5).
        if is_tunnel {
            self.skip_block(block)?;
            return Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR));
        }
        if is_trailers {
            self.on_trailers(slot, opening, block)?;
        } else {
            self.on_response(slot, opening, block)?;
        }
        Ok(None)
    }

    /// A block for a stream that is not there.
    #[cold]
    fn on_late_block(&mut self, id: u32, block: &[u8]) -> Result<Option<Event>, Breach> {
        self.skip_block(block)?;
        if self.is_idle(id) {
            return Err(Breach::PROTOCOL);
        }
        match self.late_frame(id, 0) {
            // A stream that is forgotten must not look as if it were opened again (RFC 9113 §5.1.1).
            Err(Breach::Stream(code)) => Err(Breach::Connection(code)),
            other => other.map(|()| None),
        }
    }

    /// Decodes what nobody wants, since the blocks behind it build on it.
    fn skip_block(&mut self, block: &[u8]) -> Result<(), Breach> {
        heads::skip(&mut self.decoder, block)
            .map_err(|_| Breach::Connection(ErrorCode::COMPRESSION_ERROR))
    }

    fn on_request(&mut self, opening: Opening, block: &[u8]) -> Result<Option<Event>, Breach> {
        let id = opening.stream;
        // Even numbers are a server's (RFC 9113 §5.1.1).
        if id.is_multiple_of(2) {
            return Err(Breach::PROTOCOL);
        }
        self.peer_last = id;
        if self.is_unserved(id) {
            self.skip_block(block)?;
            self.charge(Offence::IdleFrame)?;
            return Ok(None);
        }
        if self.streams.open() >= self.limits.streams_max
            || self.streams.held() >= 2 * self.limits.streams_max as usize
        {
            self.skip_block(block)?;
            self.charge(Offence::StreamOverLimit)?;
            self.write_reset(id, ErrorCode::REFUSED_STREAM);
            return Ok(None);
        }
        let mut head = RequestHead::new();
        let facts = heads::read_request(
            &mut self.decoder,
            block,
            opening.end_stream,
            &self.limits.head,
            self.own.connect_protocol,
            &mut head,
        );
        if facts == Err(HeadFault::Compression) {
            return Err(Breach::Connection(ErrorCode::COMPRESSION_ERROR));
        }
        opening.priority?;
        let slot = self.insert(id);
        let priority = self.priority_of(id, &head.fields);
        let opened_ms = self.now_ms;
        let stream = self.streams.at(slot);
        stream.opened_ms = opened_ms;
        stream.priority = priority;
        stream.state = State::opened(false, opening.end_stream);
        stream.flags.head_received = true;
        stream.flags.peer_ended = opening.end_stream;
        stream.flags.bodiless = head.method == foregate_message::Method::Head;
        let facts = match facts {
            Ok(facts) => {
                stream.incoming_left = known(facts.length);
                stream.flags.tunnel = facts.length == BodyLength::Tunnel;
                Ok(facts)
            }
            Err(HeadFault::Answerable(fault)) => Err(Reason::Request(fault)),
            Err(fault) => {
                // The application is told, for its log; there is nobody to answer any more.
                let fault = fault.fault();
                let reason = Reason::Request(fault);
                stream.fate = Some(Fate {
                    reason,
                    unprocessed: false,
                });
                self.reset_for_breach(id, ErrorCode::PROTOCOL_ERROR)?;
                Err(reason)
            }
        };
        let key = self.streams.key(slot);
        Ok(Some(Event::Request { key, head, facts }))
    }

    /// What PRIORITY_UPDATE said before the request came, which is newer, else its field (RFC 9218 §7).
    fn priority_of(&mut self, id: u32, fields: &Fields) -> Priority {
        if let Some((_, priority)) = self.early_priority.take_if(|(stream, _)| *stream == id) {
            return priority;
        }
        fields
            .get(FieldId::Priority)
            .map_or(Priority::UNSAID, Priority::parse)
    }

    fn on_response(&mut self, slot: usize, opening: Opening, block: &[u8]) -> Result<(), Breach> {
        let asked = self.streams.at(slot).asked;
        let mut head = ResponseHead::default();
        let facts = heads::read_response(
            &mut self.decoder,
            block,
            opening.end_stream,
            &self.limits.head,
            asked,
            &mut head,
        );
        let facts = facts.map_err(|fault| self.fault_of_stream(slot, fault))?;
        opening.priority?;
        let stream = self.streams.at(slot);
        if facts.interim {
            stream.interims += 1;
            if stream.interims > INTERIMS_MAX {
                return Err(Breach::Stream(ErrorCode::ENHANCE_YOUR_CALM));
            }
        } else {
            stream.flags.head_received = true;
            stream.flags.tunnel = facts.length == BodyLength::Tunnel;
            stream.incoming_left = known(facts.length);
        }
        stream.heads.push_back((head, facts));
        if opening.end_stream {
            self.peer_ended(slot);
        } else {
            self.mark_ready(slot);
        }
        Ok(())
    }

    fn on_trailers(&mut self, slot: usize, opening: Opening, block: &[u8]) -> Result<(), Breach> {
        let mut fields = Box::new(Fields::new());
        let limits = HeadLimits {
            head_bytes_max: self.limits.trailer_bytes_max,
            fields_max: self.limits.trailer_fields_max,
            target_bytes_max: 0,
        };
        let of = match self.role {
            Role::Server => TrailersOf::Request,
            Role::Client => TrailersOf::Answer,
        };
        let read = heads::read_trailers(&mut self.decoder, block, &limits, of, &mut fields);
        match read {
            Ok(()) => {}
            // As a head that is too large, it may be answered (RFC 9113 §10.5.1).
            Err(HeadFault::Answerable(Fault::TrailersTooLarge)) if self.role == Role::Server => {
                // A backend has all but the end of the request by now.
                self.charge(Offence::ProvokedReset)?;
                fields.clear();
                self.streams.at(slot).flags.trailers_too_large = true;
            }
            Err(fault) => return Err(self.fault_of_stream(slot, fault)),
        }
        opening.priority?;
        // A second head in the middle of the stream ends it (RFC 9113 §8.1).
        if !opening.end_stream {
            return Err(Breach::Stream(ErrorCode::PROTOCOL_ERROR));
        }
        let stream = self.streams.at(slot);
        if stream.incoming_left.is_some_and(|left| left > 0) {
            return Err(self.wrong_length(slot));
        }
        stream.incoming_trailers = (!fields.is_empty()).then_some(fields);
        self.peer_ended(slot);
        Ok(())
    }

    /// A stream whose head or trailers are malformed ends, and its fate names the fault.
    fn fault_of_stream(&mut self, slot: usize, fault: HeadFault) -> Breach {
        let (HeadFault::Malformed(fault) | HeadFault::Answerable(fault)) = fault else {
            return Breach::Connection(ErrorCode::COMPRESSION_ERROR);
        };
        let reason = self.reason_of_fault(fault);
        self.streams.at(slot).fate = Some(Fate {
            reason,
            unprocessed: false,
        });
        Breach::Stream(ErrorCode::PROTOCOL_ERROR)
    }
}

/// How many bytes of body must come, where a head says so.
fn known(length: BodyLength) -> Option<u64> {
    match length {
        BodyLength::Empty | BodyLength::Bare => Some(0),
        BodyLength::Known(bytes) => Some(bytes),
        BodyLength::Unknown | BodyLength::Tunnel => None,
    }
}

impl Connection {
    /// The next head of the answer, interim ones first, and what it says of the body (client).
    pub fn take_head(
        &mut self,
        key: super::StreamKey,
    ) -> Option<(ResponseHead, heads::ResponseFacts)> {
        let slot = self.streams.slot(key)?;
        self.streams.at(slot).heads.pop_front()
    }

    /// What a stream was opened to ask, for the framing of its answer.
    pub(super) fn set_asked(&mut self, slot: usize, asked: Asked) {
        self.streams.at(slot).asked = asked;
    }
}
