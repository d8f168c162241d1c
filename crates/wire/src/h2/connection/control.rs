//! Frames that steer: SETTINGS, PING, WINDOW_UPDATE, RST_STREAM, PRIORITY, PRIORITY_UPDATE (RFC 9113 §6).

use super::{Connection, Event, Fate, Role};
use crate::abuse::Offence;
use crate::h2::error::{Breach, ErrorCode};
use crate::h2::frame::settings::{self, Read, Settings};
use crate::h2::frame::{
    FrameHeader, goaway, ping, priority, priority_update, rst_stream, window_update,
};
use crate::h2::state::State;
use foregate_message::Reason;

/// A request that is cancelled within so much time costs its sender points.
const RAPID_RESET_MS: u64 = 10_000;
/// Lines that one SETTINGS may have before it costs as much as two.
const SETTINGS_LINES: usize = 16;

impl Connection {
    pub(super) fn on_settings(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Breach> {
        let from_server = self.role == Role::Client;
        match settings::read(header, payload, self.peer, from_server)? {
            Read::Ack => {
                if !self.ending.settings_acknowledged() {
                    self.charge(Offence::IdleFrame)?;
                }
                Ok(None)
            }
            Read::Changed(settings, changes) => {
                for _ in 0..changes.lines.div_ceil(SETTINGS_LINES).max(1) {
                    self.charge(Offence::Settings)?;
                }
                // Both, for the other side's table went through the smallest (RFC 7541 §4.2).
                if let Some(least) = changes.least_table_bytes {
                    self.encoder.set_peer_table_bytes(least);
                    self.encoder
                        .set_peer_table_bytes(settings.header_table_bytes);
                }
                self.apply(settings)?;
                settings::write_ack(&mut self.out);
                self.peer_known = true;
                Ok(Some(Event::Settings))
            }
        }
    }

    /// What the peer announces holds from now on, for streams that are open too (RFC 9113 §6.9.2).
    fn apply(&mut self, settings: Settings) -> Result<(), Breach> {
        let before = std::mem::replace(&mut self.peer, settings);
        let change = i64::from(settings.window_bytes) - i64::from(before.window_bytes);
        if change == 0 {
            return Ok(());
        }
        for slot in self.streams.occupied() {
            let window = &mut self.streams.at(slot).send_window;
            window
                .shift(change)
                .map_err(|_| Breach::Connection(ErrorCode::FLOW_CONTROL_ERROR))?;
            self.schedule(slot);
        }
        Ok(())
    }

    pub(super) fn on_ping(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Breach> {
        let (payload, ack) = ping::read(header, payload)?;
        if !ack {
            self.charge(Offence::Ping)?;
            ping::write(payload, true, &mut self.out);
            return Ok(());
        }
        if !self.on_pong(payload) {
            self.charge(Offence::IdleFrame)?;
        }
        Ok(())
    }

    pub(super) fn on_window_update(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<(), Breach> {
        let increment = window_update::read(header, payload)?;
        self.charge(Offence::WindowUpdate)?;
        if header.stream == 0 {
            self.send_window
                .grow(increment)
                .map_err(|_| Breach::Connection(ErrorCode::FLOW_CONTROL_ERROR))?;
            self.unstall();
            return Ok(());
        }
        let Some(slot) = self.streams.find(header.stream) else {
            return self.ignore_late(header.stream);
        };
        let window = &mut self.streams.at(slot).send_window;
        window
            .grow(increment)
            .map_err(|_| Breach::Stream(ErrorCode::FLOW_CONTROL_ERROR))?;
        self.schedule(slot);
        Ok(())
    }

    /// A frame for a stream that is gone, as comes when both sides end it at the same time.
    fn ignore_late(&mut self, id: u32) -> Result<(), Breach> {
        if self.is_idle(id) {
            return Err(Breach::PROTOCOL);
        }
        self.charge(Offence::IdleFrame)
    }

    pub(super) fn on_rst_stream(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<(), Breach> {
        let code = rst_stream::read(header, payload)?;
        let Some(slot) = self.streams.find(header.stream) else {
            return self.ignore_late(header.stream);
        };
        let now_ms = self.now_ms;
        let role = self.role;
        let stream = self.streams.at(slot);
        // A server that has answered whole may ask for the rest of the request to stop (RFC 9113 §8.1).
        let is_answered = match role {
            Role::Client => stream.flags.peer_ended,
            Role::Server => !stream.state.may_send(),
        };
        // A client that has read a tunnel to its end may end its own side so (RFC 8441 §5, RFC 9113 §8.5).
        let is_order = matches!(code, ErrorCode::NO_ERROR | ErrorCode::CANCEL);
        if role == Role::Server && stream.flags.tunnel && is_answered && is_order {
            stream.flags.peer_ended = true;
        }
        stream.state = State::Closed;
        stream.drop_outgoing();
        let is_rapid = now_ms.saturating_sub(stream.opened_ms) < RAPID_RESET_MS;
        if !is_answered || !stream.flags.peer_ended {
            stream.fate.get_or_insert(fate_of_reset(role, code));
        }
        self.mark_ready(slot);
        self.settle(slot);
        if role == Role::Server && !is_answered && is_rapid {
            self.charge(Offence::RapidReset)?;
        }
        Ok(())
    }

    pub(super) fn on_priority(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<(), Breach> {
        self.charge(Offence::Priority)?;
        priority::read(header, payload)
    }

    pub(super) fn on_priority_update(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<(), Breach> {
        // Only clients may send it (RFC 9218 §7.1).
        if self.role == Role::Client {
            return Err(Breach::PROTOCOL);
        }
        self.charge(Offence::Priority)?;
        let (id, priority) = priority_update::read(header, payload)?;
        if id.is_multiple_of(2) {
            return Err(Breach::PROTOCOL);
        }
        if let Some(slot) = self.streams.find(id) {
            self.streams.at(slot).priority = priority;
        } else if self.is_idle(id) {
            self.early_priority = Some((id, priority));
        }
        Ok(())
    }

    pub(super) fn on_goaway(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Breach> {
        let goaway = goaway::read(header, payload)?;
        let reason = match goaway.code {
            ErrorCode::HTTP_1_1_REQUIRED => Reason::UpstreamHttp1Required,
            _ => Reason::UpstreamRefused,
        };
        self.charge(Offence::Settings)?;
        self.ending.peer_goes();
        if self.role == Role::Client {
            for slot in self.streams.occupied() {
                let stream = self.streams.at(slot);
                if stream.id > goaway.last_stream && stream.fate.is_none() {
                    stream.state = State::Closed;
                    stream.drop_outgoing();
                    stream.fate = Some(Fate {
                        reason,
                        unprocessed: true,
                    });
                    self.mark_ready(slot);
                    self.settle(slot);
                }
            }
        }
        Ok(Some(Event::Goaway))
    }
}

fn fate_of_reset(role: Role, code: ErrorCode) -> Fate {
    let (reason, unprocessed) = match (role, code) {
        (Role::Server, code) => (Reason::ClientGone, code == ErrorCode::REFUSED_STREAM),
        (Role::Client, ErrorCode::REFUSED_STREAM) => (Reason::UpstreamRefused, true),
        // Whoever wants it by another protocol has not served it by this one.
        (Role::Client, ErrorCode::HTTP_1_1_REQUIRED) => (Reason::UpstreamHttp1Required, true),
        (Role::Client, _) => (Reason::UpstreamReset, false),
    };
    Fate {
        reason,
        unprocessed,
    }
}
