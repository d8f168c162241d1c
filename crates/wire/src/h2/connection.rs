//! The connection machine: bytes and now in, events out; commands in, bytes out (RFC 9113).
//!
//! ```text
//! bytes ─► receive ─► Event::Request            respond, send, finish ─► schedule ─► output ─► bytes
//!             │         next_ready ─► take, take_head, fate                 ▲
//!             └─► WINDOW_UPDATE, SETTINGS ──────────────────────────────────┘
//! ```
//!
//! Heads are compressed when they are queued, since their order on the wire is the order of the compression; DATA is
//! framed when [`Connection::output`] is asked for bytes, within both windows and as the schedule says. Received body
//! waits on its stream until [`Connection::take`] takes it, which is what opens the windows again.

mod block;
mod body;
mod control;
mod ending;
mod output;
mod receive;
mod send;

use super::error::{Breach, ErrorCode, Failure};
use super::frame::settings::{self, Settings};
use super::frame::{self, FRAME_BYTES_DEFAULT};
use super::heads::RequestFacts;
use super::hpack;
use super::schedule::Schedule;
use super::streams::{StreamKey, Streams};
use super::window::{ReceiveWindow, SendWindow};
use crate::abuse::{Budget, Offence};
use crate::h1::HeadLimits;
use block::OpenBlock;
use foregate_message::{Fault, Reason, RequestHead};
use receive::Reading;
use std::collections::VecDeque;

/// What every client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Compressed bytes of a block of a backend's that are collected, although so long a head is not taken: the blocks behind
/// it build on it, and others' streams must not end for it.
const UNTAKEN_BLOCK_BYTES_MAX: usize = 1024 * 1024;

/// Resets that a server remembers at least.
const RESETS_MIN: usize = 64;

/// What bounds a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Of each head. `head_bytes_max` is also announced as SETTINGS_MAX_HEADER_LIST_SIZE.
    pub head: HeadLimits,
    /// Bytes of a trailer section.
    pub trailer_bytes_max: usize,
    /// Lines of a trailer section.
    pub trailer_fields_max: usize,
    /// Streams that the peer may have open at a time; for a client, what it takes at most of what the peer allows.
    pub streams_max: u32,
    /// What a stream's window begins with: bytes of body that may wait for the application.
    pub stream_window_bytes: u32,
    /// The same for the connection, at least 65,535.
    ///
    /// A client's is never smaller than the windows of all streams that it may have open, whatever is said here: those
    /// carry answers to many, and one who does not read must not stand in the way of another. At most 2^31-1 bytes
    /// (RFC 9113 §6.9.1) hold for both: with so large windows of streams that `streams_max` of them don't fit, a client
    /// opens as many as do. A server's may be smaller, as all its streams are one client's.
    pub connection_window_bytes: u32,
    /// Points of misbehaviour at once and in a minute; see [`crate::abuse`].
    pub abuse_points_max: u32,
    /// How long the peer may take to acknowledge our SETTINGS.
    pub settings_timeout_ms: u64,
    /// How long the peer may take to answer a PING.
    pub ping_timeout_ms: u64,
    /// How long a client may keep its windows closed to an answer.
    pub window_stall_ms: u64,
}

impl Limits {
    /// How many streams a client may open at a time: so many that each can fill its window.
    fn places(&self) -> u32 {
        self.streams_max
            .min(frame::MAX_31 / self.stream_window_bytes.clamp(1, frame::MAX_31))
    }

    /// What the connection's window is made.
    fn shared_window_bytes(&self, role: Role) -> u32 {
        match role {
            Role::Server => self.connection_window_bytes,
            Role::Client => self
                .places()
                .saturating_mul(self.stream_window_bytes)
                .max(self.connection_window_bytes),
        }
    }

    /// How many resets are remembered. As many streams as a client may have can end at once, and as many again when it
    /// has opened new ones before it knows; a client of a backend has no need to tell what was reset from what ended.
    fn resets_max(&self, role: Role) -> usize {
        match role {
            Role::Server => RESETS_MIN.max(2 * self.streams_max as usize),
            Role::Client => 0,
        }
    }

    /// CONTINUATION frames that one block may have.
    fn continuations_max(&self, role: Role) -> u32 {
        (self.header_block_bytes_max(role) / FRAME_BYTES_DEFAULT as usize) as u32 + 8
    }

    /// Compressed bytes of one block. It may be longer than the list it holds, but hardly ever is.
    fn header_block_bytes_max(&self, role: Role) -> usize {
        let list_bytes_max = self.head.head_bytes_max.max(self.trailer_bytes_max);
        let taken = list_bytes_max + FRAME_BYTES_DEFAULT as usize;
        match role {
            Role::Server => taken,
            Role::Client => taken.max(UNTAKEN_BLOCK_BYTES_MAX),
        }
    }
}

impl Default for Limits {
    /// What tests begin with; a gateway's come from its configuration.
    fn default() -> Limits {
        Limits {
            head: HeadLimits {
                head_bytes_max: 32 * 1024,
                fields_max: 100,
                target_bytes_max: 8 * 1024,
            },
            trailer_bytes_max: 8 * 1024,
            trailer_fields_max: 32,
            streams_max: 128,
            stream_window_bytes: 256 * 1024,
            connection_window_bytes: 1024 * 1024,
            abuse_points_max: 3_000,
            settings_timeout_ms: 10_000,
            ping_timeout_ms: 10_000,
            window_stall_ms: 60_000,
        }
    }
}

/// Which end of the connection we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Server,
    Client,
}

/// How a stream ended before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fate {
    /// The outcome.
    pub reason: Reason,
    /// Whether the peer has said that it did not look at the request, so that any may be sent again elsewhere
    /// (RFC 9113 §8.7).
    pub unprocessed: bool,
}

/// What the application has to know of at once. Whatever concerns a single stream is told by
/// [`Connection::next_ready`] instead.
#[derive(Debug)]
pub enum Event {
    /// A request has come (server). The application takes the body from the stream, answers on it, and lets go of it
    /// with [`Connection::release`].
    Request {
        /// Its stream.
        key: StreamKey,
        /// Its head; incomplete if it was refused.
        head: RequestHead,
        /// What the head says of the body and of the protocol; or why the request is to be answered with an error.
        facts: Result<RequestFacts, Reason>,
    },
    /// The peer's SETTINGS came.
    Settings,
    /// The peer opens or takes no more streams.
    Goaway,
}

/// One end of an HTTP/2 connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Limits,
    decoder: hpack::Decoder,
    encoder: hpack::Encoder,
    /// What we announced.
    own: Settings,
    /// What the peer announced.
    peer: Settings,
    /// Whether the peer's first SETTINGS came.
    peer_known: bool,
    reading: Reading,
    block: Option<Box<OpenBlock>>,
    streams: Streams,
    /// Boxed, as it is large and an idle connection has no use for it.
    schedule: Option<Box<Schedule>>,
    /// Streams with DATA that the connection's window holds back.
    stalled: Vec<StreamKey>,
    ready: VecDeque<StreamKey>,
    send_window: SendWindow,
    receive_window: ReceiveWindow,
    held_back: body::HeldBack,
    /// What the peer might still send on streams that we reset, before it knows of that.
    late_bytes: u32,
    /// The highest stream that the peer has opened.
    peer_last: u32,
    /// The next stream that we open (client).
    next_id: u32,
    /// PRIORITY_UPDATE for a stream that is yet to come.
    early_priority: Option<(u32, super::priority::Priority)>,
    out: Vec<u8>,
    /// How much of `out` has been written.
    written: usize,
    budget: Budget,
    now_ms: u64,
    ending: ending::Ending,
}

impl Connection {
    /// The server's end. Our SETTINGS are queued.
    pub fn server(limits: Limits, now_ms: u64) -> Connection {
        Connection::new(Role::Server, limits, now_ms)
    }

    /// The client's end. The preface and our SETTINGS are queued; requests may follow at once.
    pub fn client(limits: Limits, now_ms: u64) -> Connection {
        Connection::new(Role::Client, limits, now_ms)
    }

    fn new(role: Role, limits: Limits, now_ms: u64) -> Connection {
        let own = Settings {
            push: role == Role::Server,
            streams_max: match role {
                Role::Server => limits.streams_max,
                Role::Client => u32::MAX,
            },
            window_bytes: limits.stream_window_bytes.min(frame::MAX_31),
            header_list_bytes_max: limits.head.head_bytes_max.min(u32::MAX as usize) as u32,
            connect_protocol: role == Role::Server,
            no_rfc7540_priorities: true,
            ..Settings::default()
        };
        let mut connection = Connection {
            role,
            limits,
            decoder: hpack::Decoder::new(hpack::TABLE_BYTES_DEFAULT),
            encoder: hpack::Encoder::new(hpack::TABLE_BYTES_DEFAULT),
            own,
            peer: Settings::default(),
            peer_known: false,
            reading: match role {
                Role::Server => Reading::Preface,
                Role::Client => Reading::Frame,
            },
            block: None,
            streams: Streams::remembering(limits.resets_max(role)),
            schedule: None,
            stalled: Vec::new(),
            ready: VecDeque::new(),
            send_window: SendWindow::new(Settings::default().window_bytes),
            receive_window: ReceiveWindow::new(Settings::default().window_bytes, 0),
            held_back: body::HeldBack::default(),
            late_bytes: 0,
            peer_last: 0,
            next_id: 1,
            early_priority: None,
            out: output::lend(),
            written: 0,
            budget: Budget::new(limits.abuse_points_max, now_ms),
            now_ms,
            ending: ending::Ending::new(now_ms),
        };
        if role == Role::Client {
            connection.out.extend_from_slice(PREFACE);
        }
        settings::write(&own, &mut connection.out);
        let window_bytes = limits.shared_window_bytes(role);
        if let Some(increment) = connection.receive_window.enlarge(window_bytes) {
            frame::window_update::write(0, increment, &mut connection.out);
        }
        connection
    }

    /// The next stream about which something has changed since it was last named here: body or a head has come, what
    /// was queued has left, or it has ended. The application asks the stream what it is.
    #[inline]
    pub fn next_ready(&mut self) -> Option<StreamKey> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(slot) = self.streams.slot(key) {
                self.streams.at(slot).flags.ready = false;
                return Some(key);
            }
        }
        None
    }

    /// How many streams are open, by the protocol's count.
    pub fn streams_open(&self) -> usize {
        self.streams.open() as usize
    }

    /// How many streams the application still holds, or that have not been sent whole.
    pub fn streams_held(&self) -> usize {
        self.streams.held()
    }

    /// Whether the peer has said that it understands extended CONNECT (RFC 8441); known once its SETTINGS came.
    pub fn takes_extended_connect(&self) -> bool {
        self.peer.connect_protocol
    }

    /// The stream of a field block that the peer has begun and not ended.
    #[inline]
    pub fn open_block(&self) -> Option<u32> {
        self.block.as_ref().map(|block| block.stream())
    }

    /// Whether the peer's SETTINGS came.
    pub fn is_peer_known(&self) -> bool {
        self.peer_known
    }

    /// Whether there is nothing for [`Connection::rest`] to give back since it was last called.
    pub fn is_at_rest(&self) -> bool {
        self.out.capacity() == 0
    }

    /// Gives back what a connection without streams has no use for.
    pub fn rest(&mut self) {
        self.streams.rest();
        if self.streams.held() == 0 {
            self.decoder.rest();
            self.encoder.rest();
            self.schedule = None;
            self.stalled = Vec::new();
            self.ready = VecDeque::new();
        }
        if self.out.is_empty() {
            output::give_back(std::mem::take(&mut self.out));
        }
    }

    /// Takes a slot for a stream that begins with both sides' windows.
    fn insert(&mut self, id: u32) -> usize {
        let own = self.own.window_bytes;
        // A client may send as much as the default as long as it has not seen our SETTINGS (RFC 9113 §6.9.2). A server
        // has seen them before any request.
        let unaware = self.role == Role::Server && self.ending.settings_pending();
        let more = if unaware {
            Settings::default().window_bytes.saturating_sub(own)
        } else {
            0
        };
        let send = SendWindow::new(self.peer.window_bytes);
        self.streams.insert(id, send, ReceiveWindow::new(own, more))
    }

    #[inline]
    fn mark_ready(&mut self, slot: usize) {
        let flags = &mut self.streams.at(slot).flags;
        if !flags.ready && !flags.released {
            flags.ready = true;
            self.ready.push_back(self.streams.key(slot));
        }
    }

    /// What came of a state that changed: the stream no longer counts once it has closed, and its slot is free once
    /// the application has let go of it too.
    fn settle(&mut self, slot: usize) {
        let stream = self.streams.at(slot);
        if stream.state != super::state::State::Closed {
            return;
        }
        if stream.flags.released {
            if stream.flags.scheduled && !self.stalled.is_empty() {
                let key = self.streams.key(slot);
                self.stalled.retain(|&other| other != key);
            }
            self.streams.remove(slot);
        } else {
            self.streams.closed(slot);
        }
    }

    #[inline]
    fn charge(&mut self, offence: Offence) -> Result<(), Breach> {
        self.budget
            .charge(offence, self.now_ms)
            .map_err(|reason| Breach::Limit(self.reason_of_limit(reason)))
    }

    /// The outcome of a rule's breach, by who broke it.
    fn reason_of(&self, code: ErrorCode) -> Reason {
        match (self.role, code) {
            (Role::Client, _) => Reason::UpstreamProtocol,
            (_, ErrorCode::COMPRESSION_ERROR) => Reason::Http2Compression,
            (_, ErrorCode::FLOW_CONTROL_ERROR) => Reason::Http2FlowControl,
            (_, ErrorCode::FRAME_SIZE_ERROR) => Reason::Http2FrameSize,
            _ => Reason::Http2Protocol,
        }
    }

    /// The outcome of a limit that was passed.
    fn reason_of_limit(&self, reason: Reason) -> Reason {
        match (self.role, reason) {
            (Role::Client, Reason::Response(_)) => reason,
            (Role::Client, _) => Reason::UpstreamProtocol,
            (Role::Server, _) => reason,
        }
    }

    /// What a malformed message is called, by who sent it.
    fn reason_of_fault(&self, fault: Fault) -> Reason {
        match self.role {
            Role::Server => Reason::Request(fault),
            Role::Client => Reason::Response(fault),
        }
    }

    /// Whether nobody has opened that stream yet.
    fn is_idle(&self, id: u32) -> bool {
        match (self.role, id % 2) {
            (Role::Server, 1) => id > self.peer_last,
            (Role::Client, 1) => id >= self.next_id,
            // Servers never open streams: push is refused and never done.
            _ => true,
        }
    }

    fn failure_of(&self, breach: Breach) -> Failure {
        match breach {
            Breach::Connection(code) | Breach::Stream(code) => Failure {
                code,
                reason: self.reason_of(code),
            },
            Breach::Limit(reason) => Failure {
                code: ErrorCode::ENHANCE_YOUR_CALM,
                reason,
            },
        }
    }
}
