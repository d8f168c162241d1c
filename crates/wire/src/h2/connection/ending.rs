//! How streams and connections end: resets, GOAWAY both ways, draining, and what takes too long (RFC 9113 §5.4, §6.8).

use super::{Connection, Fate, Role};
use crate::abuse::Offence;
use crate::h2::error::{Breach, ErrorCode, Failure};
use crate::h2::frame::{MAX_31, goaway, ping, rst_stream};
use crate::h2::state::State;
use foregate_message::Reason;

/// The PING behind the first GOAWAY: once it comes back, every stream that was under way has come.
const DRAIN_PING: [u8; 8] = *b"draining";
/// The PING that asks whether the peer is still there.
const ALIVE_PING: [u8; 8] = *b"alive?..";
/// A peer that does not answer it has had so long to open its last streams.
const DRAIN_MS: u64 = 1_000;

/// What a connection waits for and how far its end has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// Why it failed.
    pub(super) failure: Option<Failure>,
    /// The last stream that the final GOAWAY promised to serve.
    last_served: Option<u32>,
    /// Since when the first GOAWAY has been out.
    draining_ms: Option<u64>,
    /// Whether the peer sent GOAWAY.
    peer_goes: bool,
    /// Since when our SETTINGS have not been acknowledged.
    settings_ms: Option<u64>,
    /// Since when a PING has not been answered.
    ping_ms: Option<u64>,
    /// Whether the peer was sent a PING and has sent neither HEADERS nor DATA since.
    is_asked: bool,
}

impl Ending {
    pub(super) fn new(now_ms: u64) -> Ending {
        Ending {
            failure: None,
            last_served: None,
            draining_ms: None,
            peer_goes: false,
            settings_ms: Some(now_ms),
            ping_ms: None,
            is_asked: false,
        }
    }

    /// Whether an acknowledgement was due.
    pub(super) fn settings_acknowledged(&mut self) -> bool {
        self.settings_ms.take().is_some()
    }

    /// Whether the peer may not know of our SETTINGS yet.
    pub(super) fn settings_pending(&self) -> bool {
        self.settings_ms.is_some()
    }

    /// HEADERS or DATA came.
    #[inline]
    pub(super) fn peer_spoke(&mut self) {
        self.is_asked = false;
    }

    pub(super) fn peer_goes(&mut self) {
        self.peer_goes = true;
    }
}

impl Connection {
    /// Asks the peer to open no more streams, and serves those that are under way or come before it knows. Once
    /// [`Connection::is_finished`] the connection can be closed.
    pub fn drain(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if self.ending.failure.is_some() || self.ending.draining_ms.is_some() {
            return;
        }
        self.ending.draining_ms = Some(now_ms);
        if self.role == Role::Client {
            return self.go(ErrorCode::NO_ERROR, "");
        }
        let promise = goaway::Goaway {
            last_stream: MAX_31,
            code: ErrorCode::NO_ERROR,
        };
        goaway::write(promise, "", &mut self.out);
        ping::write(DRAIN_PING, false, &mut self.out);
    }

    /// The final GOAWAY: streams that came until now are served, later ones are not. What another one has said since
    /// never grows (RFC 9113 §6.8): the peer may have sent those streams again elsewhere.
    fn go(&mut self, code: ErrorCode, debug: &str) {
        let served = self.ending.last_served.unwrap_or(MAX_31);
        let last_stream = self.peer_last.min(served);
        self.ending.last_served = Some(last_stream);
        goaway::write(goaway::Goaway { last_stream, code }, debug, &mut self.out);
    }

    /// Whether the final GOAWAY has told the peer that this stream won't be served.
    pub(super) fn is_unserved(&self, id: u32) -> bool {
        self.role == Role::Server && self.ending.last_served.is_some_and(|last| id > last)
    }

    /// Whether no stream is left and none will come, and all that was queued has been written.
    pub fn is_finished(&self) -> bool {
        let over = match self.role {
            Role::Server => self.ending.last_served.is_some() || self.ending.peer_goes,
            Role::Client => self.ending.draining_ms.is_some() || self.ending.peer_goes,
        };
        let nothing_left = self.streams.held() == 0 || self.ending.failure.is_some();
        (over || self.ending.failure.is_some()) && nothing_left && self.is_written()
    }

    /// Whether the connection is on its way out: no new stream may be opened by either side.
    pub fn is_ending(&self) -> bool {
        self.ending.failure.is_some() || self.ending.draining_ms.is_some() || self.ending.peer_goes
    }

    /// Why the connection failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.ending.failure
    }

    /// Asks the peer whether it is there; [`Connection::tick`] fails the connection if no answer comes in time.
    ///
    /// It is asked once until it sends HEADERS or DATA again. Servers of gRPC take more PINGs than two or three without
    /// either between them for abuse, and close the connection.
    pub fn ping(&mut self, now_ms: u64) {
        if !self.ending.is_asked && self.ending.ping_ms.is_none() {
            self.ending.is_asked = true;
            self.ending.ping_ms = Some(now_ms);
            ping::write(ALIVE_PING, false, &mut self.out);
        }
    }

    /// Whether this answer to a PING was due.
    pub(super) fn on_pong(&mut self, payload: [u8; 8]) -> bool {
        match payload {
            DRAIN_PING if self.ending.draining_ms.is_some() => {
                if self.ending.last_served.is_none() {
                    self.go(ErrorCode::NO_ERROR, "");
                }
                true
            }
            ALIVE_PING => self.ending.ping_ms.take().is_some(),
            _ => false,
        }
    }

    /// Looks at the time; called now and then, once a second or so.
    ///
    /// # Errors
    /// The peer has not acknowledged SETTINGS or answered a PING in time: GOAWAY is queued.
    pub fn tick(&mut self, now_ms: u64) -> Result<(), Failure> {
        self.now_ms = now_ms;
        if let Some(failure) = self.ending.failure {
            return Err(failure);
        }
        let passed = |since: Option<u64>, max: u64| {
            since.is_some_and(|since| now_ms.saturating_sub(since) >= max)
        };
        if passed(self.ending.draining_ms, DRAIN_MS) && self.ending.last_served.is_none() {
            self.go(ErrorCode::NO_ERROR, "");
        }
        self.end_stalled();
        let late = if passed(self.ending.settings_ms, self.limits.settings_timeout_ms) {
            (ErrorCode::SETTINGS_TIMEOUT, Reason::SettingsTimeout)
        } else if passed(self.ending.ping_ms, self.limits.ping_timeout_ms) {
            (ErrorCode::NO_ERROR, Reason::PingTimeout)
        } else {
            return Ok(());
        };
        let failure = Failure {
            code: late.0,
            reason: match self.role {
                Role::Server => late.1,
                Role::Client => Reason::UpstreamSilent,
            },
        };
        self.fail(failure, 0);
        Err(failure)
    }

    /// Ends streams whose client has kept its windows closed for too long.
    fn end_stalled(&mut self) {
        // A backend's windows are watched by whoever waits for it.
        if self.role == Role::Client {
            return;
        }
        for slot in self.streams.occupied() {
            let stream = self.streams.at(slot);
            let since = stream.blocked_ms.filter(|_| !stream.outgoing.is_empty());
            if since.is_some_and(|since| {
                self.now_ms.saturating_sub(since) >= self.limits.window_stall_ms
            }) {
                stream.fate.get_or_insert(Fate {
                    reason: Reason::WindowStalled,
                    unprocessed: false,
                });
                self.close_by_reset(slot, ErrorCode::CANCEL);
            }
        }
    }

    /// Ends the connection: GOAWAY is queued, and every stream learns its fate. To those beside the stream that is to
    /// blame, if it is one of them, a backend's connection is lost: they may be sent again elsewhere.
    pub(super) fn fail(&mut self, failure: Failure, to_blame: u32) {
        if self.ending.failure.is_some() {
            return;
        }
        self.ending.failure = Some(failure);
        self.go(failure.code, failure.reason.name());
        // Free slots have the number 0.
        let one_is =
            self.role == Role::Client && to_blame != 0 && self.streams.find(to_blame).is_some();
        self.end_streams(|answered, id| match id == to_blame || !one_is {
            true => failure.reason,
            false => lost_reason(answered, Reason::UpstreamClosed),
        });
    }

    /// A request's body is longer than it may be. A backend may have a part of it, so that it costs what a reset does which
    /// the client provokes; where that is too much, the connection ends as for any flood.
    pub fn charge_overlong_body(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if let Err(Breach::Limit(reason)) = self.charge(Offence::ProvokedReset) {
            let code = ErrorCode::ENHANCE_YOUR_CALM;
            self.fail(Failure { code, reason }, 0);
        }
    }

    /// Ends the connection for a reason that the caller has found: GOAWAY is queued, and every stream learns its fate.
    pub fn give_up(&mut self, reason: Reason) {
        let code = ErrorCode::NO_ERROR;
        self.fail(Failure { code, reason }, 0);
    }

    /// The client has closed its sending side and may still read (server): what it has asked for is served to its end. A
    /// request that has not come whole never will, and nothing that is due of the client comes any more.
    pub fn finished_by_peer(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if self.ending.failure.is_some() {
            return;
        }
        self.ending.settings_ms = None;
        self.ending.ping_ms = None;
        self.ending.draining_ms.get_or_insert(now_ms);
        if self.ending.last_served.is_none() {
            self.go(ErrorCode::NO_ERROR, "");
        } else {
            // Who has left altogether answers whatever comes with a reset; something has to come for that.
            ping::write(ALIVE_PING, false, &mut self.out);
        }
        for slot in self.streams.occupied() {
            let stream = self.streams.at(slot);
            if stream.state.may_receive() {
                stream.fate.get_or_insert(Fate {
                    reason: Reason::ClientGone,
                    unprocessed: false,
                });
                self.close_by_reset(slot, ErrorCode::CANCEL);
            }
        }
    }

    /// The peer has closed the connection, or it broke. Streams that have not come whole never will.
    pub fn closed_by_peer(&mut self) {
        self.lost(match self.role {
            Role::Server => Reason::ClientGone,
            Role::Client => Reason::UpstreamClosed,
        });
    }

    /// As [`Connection::closed_by_peer`], for a reason that the caller knows better.
    pub fn lost(&mut self, reason: Reason) {
        let code = ErrorCode::NO_ERROR;
        if self.ending.failure.is_none() {
            self.ending.failure = Some(Failure { code, reason });
        }
        let role = self.role;
        self.end_streams(|answered, _| match role {
            Role::Client => lost_reason(answered, reason),
            Role::Server => reason,
        });
    }

    /// Ends every stream that is not over. `reason` is told whether a part of the answer has come.
    fn end_streams(&mut self, reason: impl Fn(bool, u32) -> Reason) {
        for slot in self.streams.occupied() {
            let stream = self.streams.at(slot);
            let answered = stream.flags.head_received || !stream.heads.is_empty();
            if stream.fate.is_none() && stream.state != State::Closed {
                stream.fate = Some(Fate {
                    reason: reason(answered, stream.id),
                    unprocessed: false,
                });
            }
            stream.state = State::Closed;
            stream.drop_outgoing();
            self.mark_ready(slot);
            self.settle(slot);
        }
    }

    /// Ends a stream because of what the peer did, which costs it points. On a stream that nobody has opened it is
    /// the connection that ends: there is nothing to reset (RFC 9113 §5.1).
    ///
    /// A backend's bad answer costs a request of ours, and no points: others' streams must not end for it.
    #[cold]
    pub(super) fn reset_for_breach(&mut self, id: u32, code: ErrorCode) -> Result<(), Breach> {
        if self.is_idle(id) {
            return Err(Breach::Connection(code));
        }
        let reason = self.reason_of(code);
        let slot = self.streams.find(id);
        let is_answer = self.role == Role::Client
            && slot.is_some_and(|slot| self.streams.at(slot).state != State::Closed);
        if !is_answer {
            self.charge(Offence::ProvokedReset)?;
        }
        if let Some(slot) = slot {
            let stream = self.streams.at(slot);
            stream.fate.get_or_insert(Fate {
                reason,
                unprocessed: false,
            });
            self.close_by_reset(slot, code);
        } else {
            self.write_reset(id, code);
        }
        Ok(())
    }

    /// RST_STREAM; what still comes for the stream is let pass.
    pub(super) fn write_reset(&mut self, id: u32, code: ErrorCode) {
        rst_stream::write(id, code, &mut self.out);
        self.streams.remember_reset(id);
    }

    /// RST_STREAM for a stream of the table, which is closed then.
    pub(super) fn close_by_reset(&mut self, slot: usize, code: ErrorCode) {
        let stream = self.streams.at(slot);
        let id = stream.id;
        if stream.state.may_receive() {
            let bytes = stream.receive_window.free();
            self.late_bytes = self.late_bytes.saturating_add(bytes);
        }
        self.write_reset(id, code);
        let stream = self.streams.at(slot);
        stream.state = State::Closed;
        stream.drop_outgoing();
        self.mark_ready(slot);
        self.settle(slot);
    }
}

/// How a stream to a backend ended whose connection is gone for `reason`.
fn lost_reason(answered: bool, reason: Reason) -> Reason {
    match answered {
        true => Reason::UpstreamTruncated,
        false => reason,
    }
}
