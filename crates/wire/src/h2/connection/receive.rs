//! From bytes to frames, and each frame to the one who understands it.

use super::body::DataPart;
use super::{Connection, Event, PREFACE};
use crate::abuse::Offence;
use crate::h2::error::{Breach, Failure};
use crate::h2::frame::{FRAME_HEADER_BYTES, FrameHeader, Kind, flag, push_promise};
use foregate_message::Chunk;

/// What the next bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// The client's preface.
    Preface,
    /// A frame.
    Frame,
    /// The payload of DATA.
    Data(DataPart),
}

impl Connection {
    /// Takes what can be taken from the front of `input`, up to the next event; to be called until there is none.
    /// What remains in `input` is the beginning of a frame, or waits until the peer has read: see
    /// [`Connection::is_congested`]. The input must have room for a whole frame of 16,384 bytes and its header.
    ///
    /// # Errors
    /// The peer broke a rule or a limit of the connection. GOAWAY is queued, every stream has its [`super::Fate`],
    /// and nothing more is read.
    pub fn receive(&mut self, input: &mut Chunk, now_ms: u64) -> Result<Option<Event>, Failure> {
        self.now_ms = now_ms;
        self.lend_output();
        if let Some(failure) = self.ending.failure {
            return Err(failure);
        }
        match self.advance(input) {
            Ok(event) => Ok(event),
            Err(Broken { breach, stream }) => {
                let failure = self.failure_of(breach);
                self.fail(failure, stream);
                Err(failure)
            }
        }
    }

    fn advance(&mut self, input: &mut Chunk) -> Result<Option<Event>, Broken> {
        while !input.is_empty() && !self.is_congested() {
            match self.reading {
                Reading::Preface => {
                    if !self.read_preface(input)? {
                        return Ok(None);
                    }
                }
                Reading::Data(part) => self.pass_data(part, input)?,
                Reading::Frame => match self.read_frame(input)? {
                    Step::Taken => {}
                    Step::More => return Ok(None),
                    Step::Event(event) => return Ok(Some(event)),
                },
            }
        }
        Ok(None)
    }

    /// Whether the whole preface has come.
    fn read_preface(&mut self, input: &mut Chunk) -> Result<bool, Breach> {
        let bytes = input.as_slice();
        let known = bytes.len().min(PREFACE.len());
        if bytes[..known] != PREFACE[..known] {
            return Err(Breach::PROTOCOL);
        }
        if known < PREFACE.len() {
            return Ok(false);
        }
        input.consume(known);
        self.reading = Reading::Frame;
        Ok(true)
    }

    #[inline]
    fn read_frame(&mut self, input: &mut Chunk) -> Result<Step, Broken> {
        let Some(header) = FrameHeader::read(input.as_slice()) else {
            return Ok(Step::More);
        };
        self.take_frame(&header, input).map_err(|breach| Broken {
            breach,
            stream: header.stream,
        })
    }

    fn take_frame(&mut self, header: &FrameHeader, input: &mut Chunk) -> Result<Step, Breach> {
        self.check_order(header)?;
        if header.kind == Kind::DATA {
            return self.begin_data(header, input);
        }
        let bytes = input.as_slice();
        let end = FRAME_HEADER_BYTES + header.length as usize;
        let Some(payload) = bytes.get(FRAME_HEADER_BYTES..end) else {
            return Ok(Step::More);
        };
        let event = match self.on_frame(header, payload) {
            Ok(event) => event,
            Err(Breach::Stream(code)) => {
                self.reset_for_breach(header.stream, code)?;
                None
            }
            Err(breach) => return Err(breach),
        };
        input.consume(end);
        Ok(event.map_or(Step::Taken, Step::Event))
    }

    /// What can be said from a header alone: size, and whether such a frame may come now.
    fn check_order(&self, header: &FrameHeader) -> Result<(), Breach> {
        if header.length > self.own.frame_bytes_max {
            return Err(Breach::FRAME_SIZE);
        }
        // The preface ends with SETTINGS, not an acknowledgement (RFC 9113 §3.4).
        if !self.peer_known && (header.kind != Kind::SETTINGS || header.has(flag::ACK)) {
            return Err(Breach::PROTOCOL);
        }
        // Nothing comes between the frames of a field block (RFC 9113 §4.3).
        if self.block.is_some() != (header.kind == Kind::CONTINUATION) {
            return Err(Breach::PROTOCOL);
        }
        Ok(())
    }

    #[inline]
    fn on_frame(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<Option<Event>, Breach> {
        match header.kind {
            Kind::HEADERS => return self.on_headers(header, payload),
            Kind::CONTINUATION => return self.on_continuation(header, payload),
            Kind::WINDOW_UPDATE => self.on_window_update(header, payload)?,
            Kind::RST_STREAM => self.on_rst_stream(header, payload)?,
            Kind::SETTINGS => return self.on_settings(header, payload),
            Kind::PING => self.on_ping(header, payload)?,
            Kind::GOAWAY => return self.on_goaway(header, payload),
            Kind::PRIORITY => self.on_priority(header, payload)?,
            Kind::PRIORITY_UPDATE => self.on_priority_update(header, payload)?,
            Kind::PUSH_PROMISE => return Err(push_promise::read()),
            // Unknown types are passed over (RFC 9113 §4.1).
            _ => self.charge(Offence::IdleFrame)?,
        }
        Ok(None)
    }
}

/// What ends the connection.
struct Broken {
    breach: Breach,
    /// The stream of the frame that did it, or 0.
    stream: u32,
}

impl From<Breach> for Broken {
    fn from(breach: Breach) -> Broken {
        Broken { breach, stream: 0 }
    }
}

/// What came of looking at a frame.
pub(super) enum Step {
    /// It was taken.
    Taken,
    /// It has not come whole.
    More,
    /// It was taken, and the application must know.
    Event(Event),
}
