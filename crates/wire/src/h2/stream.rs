//! One stream: its state, its windows, and what waits on it in either direction.

use super::connection::Fate;
use super::heads::{Asked, ResponseFacts};
use super::priority::Priority;
use super::state::State;
use super::window::{ReceiveWindow, SendWindow};
use foregate_message::{Chunk, Fields, ResponseHead};
use std::collections::VecDeque;

/// The first buffer for a body that comes in small pieces; the next ones double.
const SMALL_BYTES_MIN: usize = 512;

/// A stream in its slot. Slots are used again, with the room that their queues have grown.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) state: State,
    pub(crate) send_window: SendWindow,
    pub(crate) receive_window: ReceiveWindow,
    pub(crate) priority: Priority,
    /// When it was opened.
    pub(crate) opened_ms: u64,
    /// Heads of the answer that wait to be taken, interim ones first (client only).
    pub(crate) heads: VecDeque<(ResponseHead, ResponseFacts)>,
    /// What was asked (client).
    pub(crate) asked: Asked,
    /// How many interim heads have come.
    pub(crate) interims: u32,
    /// Received body that waits to be taken.
    pub(crate) incoming: VecDeque<Chunk>,
    pub(crate) incoming_trailers: Option<Box<Fields>>,
    /// What Content-Length leaves to come, if it said how much.
    pub(crate) incoming_left: Option<u64>,
    /// Body that waits to be sent.
    pub(crate) outgoing: VecDeque<Chunk>,
    pub(crate) outgoing_trailers: Option<Box<Fields>>,
    /// What the announced length leaves to be queued.
    pub(crate) outgoing_left: Option<u64>,
    /// Since when it has had body to send and no window for it.
    pub(crate) blocked_ms: Option<u64>,
    /// How it ended before its time.
    pub(crate) fate: Option<Fate>,
    pub(crate) flags: Flags,
}

/// Yes or no about a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// The application has let go of it.
    pub(crate) released: bool,
    /// It stands in the list of streams to look at.
    pub(crate) ready: bool,
    /// It stands in the schedule, or among those that wait for the connection's window.
    pub(crate) scheduled: bool,
    /// The end of what we send has been queued.
    pub(crate) end_queued: bool,
    /// The final head has left.
    pub(crate) head_sent: bool,
    /// The final head has come (client), which for a server is the request's.
    pub(crate) head_received: bool,
    /// END_STREAM has come.
    pub(crate) peer_ended: bool,
    /// It ended with trailers beyond their limits, of a request that can still be answered so.
    pub(crate) trailers_too_large: bool,
    /// The answer may not have content, whatever its Content-Length says: it answers HEAD.
    pub(crate) bodiless: bool,
    /// It was asked to become a tunnel (server), or has become one (client): nothing but DATA comes on it.
    pub(crate) tunnel: bool,
    /// Counted among the open ones.
    pub(crate) counted: bool,
}

impl Stream {
    pub(crate) fn new() -> Stream {
        Stream {
            id: 0,
            state: State::Closed,
            send_window: SendWindow::new(0),
            receive_window: ReceiveWindow::new(0, 0),
            priority: Priority::UNSAID,
            opened_ms: 0,
            heads: VecDeque::new(),
            asked: Asked::Usual,
            interims: 0,
            incoming: VecDeque::new(),
            incoming_trailers: None,
            incoming_left: None,
            outgoing: VecDeque::new(),
            outgoing_trailers: None,
            outgoing_left: None,
            blocked_ms: None,
            fate: None,
            flags: Flags::default(),
        }
    }

    /// Forgets one stream and keeps the room for the next.
    pub(crate) fn clear(&mut self) {
        self.state = State::Closed;
        self.priority = Priority::UNSAID;
        self.heads.clear();
        self.asked = Asked::Usual;
        self.interims = 0;
        self.incoming.clear();
        self.incoming_trailers = None;
        self.incoming_left = None;
        self.drop_outgoing();
        self.outgoing_left = None;
        self.fate = None;
        self.flags = Flags::default();
    }

    /// Forgets what can't be sent any more.
    pub(crate) fn drop_outgoing(&mut self) {
        self.outgoing.clear();
        self.outgoing_trailers = None;
        self.blocked_ms = None;
    }

    /// Whether anything waits to be sent that a schedule should know of.
    #[inline]
    pub(crate) fn has_outgoing(&self) -> bool {
        self.state.may_send() && (!self.outgoing.is_empty() || self.flags.end_queued)
    }

    /// Takes a copy of a piece of body, behind what waits already if there is room.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) {
        let mut before = 0;
        if let Some(last) = self.incoming.back_mut() {
            bytes = &bytes[last.append(bytes)..];
            before = last.len();
        }
        if !bytes.is_empty() {
            let room = bytes.len().max(2 * before).max(SMALL_BYTES_MIN);
            let mut chunk = Chunk::with_room(room);
            chunk.append(bytes);
            self.incoming.push_back(chunk);
        }
    }

    /// Bytes of body that wait to be taken.
    pub(crate) fn incoming_bytes(&self) -> usize {
        self.incoming.iter().map(Chunk::len).sum()
    }
}
