//! A connection whose handshake is done, without its socket: what came is opened, what goes is sealed, and what the
//! peer says about the connection itself is answered.

use crate::fault::PeerAlert;
use crate::records::{
    Content, Gather, HEADER_BYTES, PLAIN_BYTES_MAX, RecordFault, RecordKey, record_length,
};
use foregate_message::{CHUNK_BYTES, Chunk};
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use std::io::{self, IoSlice};

/// How many key updates a peer may ask for without sending anything in between.
const KEY_UPDATES_MAX: u8 = 32;

/// How many empty records may follow one another.
const EMPTY_RECORDS_MAX: u8 = 32;

/// How long a message about the connection may be: a session ticket with what comes along.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

const KEY_UPDATE: u8 = 24;
const NEW_SESSION_TICKET: u8 = 4;

const ALERT_CLOSE_NOTIFY: u8 = 0;
const ALERT_UNEXPECTED_MESSAGE: u8 = 10;
const ALERT_ILLEGAL_PARAMETER: u8 = 47;
const ALERT_DECODE_ERROR: u8 = 50;
const ALERT_USER_CANCELED: u8 = 90;
const ALERT_NO_RENEGOTIATION: u8 = 100;

/// What rustls keeps of a handshake: the secrets of TLS 1.3 that the next keys come from.
pub(crate) enum Secrets {
    /// Of a client.
    Server(Box<KernelConnection<ServerConnectionData>>),
    /// Of a backend.
    Client(Box<KernelConnection<ClientConnectionData>>),
    /// TLS 1.2 keeps its keys.
    None,
}

/// Both directions of a connection.
pub(crate) struct Session {
    opener: RecordKey,
    sealer: RecordKey,
    secrets: Secrets,
    /// After how many records the sealing key is changed.
    records_max: u64,
    /// What came and is not opened yet; behind it, nothing is held.
    pub(crate) input: Chunk,
    /// How many bytes at the front of the input are opened and wait to be read, and how many behind them are the rest
    /// of their record.
    opened: usize,
    spent: usize,
    /// Sealed and not yet sent.
    out: Chunk,
    /// Sealed, and to leave in front of whatever is sealed next.
    tail: Vec<u8>,
    /// A message about the connection of which only the first part has come.
    message: Vec<u8>,
    /// Whether the next thing to be sealed must be a change of our key.
    owes_key_update: bool,
    /// Whether the peer waits for something that was sealed to the tail.
    urgent: bool,
    peer_closed: bool,
    closed: bool,
    failed: bool,
    key_updates: u8,
    empty_records: u8,
    renegotiations: u8,
}

impl Session {
    pub(crate) fn new(
        opener: RecordKey,
        sealer: RecordKey,
        secrets: Secrets,
        records_max: u64,
        early: &[u8],
        received: &[u8],
        to_send: Vec<u8>,
    ) -> Session {
        let mut input = Chunk::default();
        let bytes = early.len() + received.len();
        if bytes > 0 {
            input = if bytes <= CHUNK_BYTES / 2 {
                Chunk::lend()
            } else {
                Chunk::lend_large()
            };
            for part in [early, received] {
                input.room()[..part.len()].copy_from_slice(part);
                input.filled(part.len());
            }
        }
        Session {
            opener,
            sealer,
            secrets,
            records_max,
            input,
            opened: early.len(),
            spent: 0,
            out: Chunk::default(),
            tail: to_send,
            message: Vec::new(),
            owes_key_update: false,
            urgent: false,
            peer_closed: false,
            closed: false,
            failed: false,
            key_updates: 0,
            empty_records: 0,
            renegotiations: 0,
        }
    }

    /// Whether the peer has said that it sends nothing more.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Whether nothing may be sealed any more.
    pub(crate) fn closed(&self) -> bool {
        self.closed || self.failed
    }

    /// Whether a read would come to something without the socket.
    pub(crate) fn is_readable(&self) -> bool {
        self.opened > 0 || self.peer_closed || !matches!(self.record(), Ok(None))
    }

    /// The length of the record that the input begins with, once all of it is here.
    fn record(&self) -> Result<Option<usize>, RecordFault> {
        let bytes = &self.input.as_slice()[self.opened + self.spent..];
        let length = record_length(bytes)?;
        Ok(length.filter(|length| *length <= bytes.len()))
    }

    /// Moves as much as has come to `out`; returns how many bytes. None can mean that more must come, or that the peer
    /// has closed.
    ///
    /// # Errors
    /// The peer broke the protocol or said that something is wrong.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let read = self.read_records(out);
        if read.is_err() {
            self.failed = true;
        }
        read
    }

    fn read_records(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !self.peer_closed {
            if self.opened > 0 {
                let bytes = self.take_opened(&mut out[filled..]);
                filled += bytes;
                if self.opened > 0 {
                    break;
                }
            }
            let Some(length) = self.record().map_err(|fault| self.fault(fault))? else {
                break;
            };
            let room = &mut out[filled..];
            if self.opener.room_for(length - HEADER_BYTES) <= room.len() {
                let record = &self.input.as_slice()[..length];
                let opened = self.opener.open(record, room);
                let (content, bytes) = opened.map_err(|fault| self.fault(fault))?;
                self.input.consume(length);
                match content {
                    Content::Data => filled += self.count_data(bytes)?,
                    _ => self.control(content, &room[..bytes])?,
                }
            } else if filled > 0 {
                break;
            } else {
                self.open_in_place(length)?;
                if room.is_empty() {
                    break;
                }
            }
        }
        Ok(filled)
    }

    /// Takes what was opened in place.
    fn take_opened(&mut self, out: &mut [u8]) -> usize {
        let bytes = self.opened.min(out.len());
        out[..bytes].copy_from_slice(&self.input.as_slice()[..bytes]);
        self.opened -= bytes;
        let spent = if self.opened == 0 {
            std::mem::take(&mut self.spent)
        } else {
            0
        };
        self.input.consume(bytes + spent);
        bytes
    }

    /// Opens the first record, which the reader has no room for, where it is.
    fn open_in_place(&mut self, length: usize) -> io::Result<()> {
        let record = &mut self.input.as_mut_slice()[..length];
        let opened = self.opener.open_in_place(record);
        let (content, start, end) = opened.map_err(|fault| self.fault(fault))?;
        if content == Content::Data {
            self.opened = self.count_data(end - start)?;
            if self.opened == 0 {
                self.input.consume(length);
            } else {
                self.input.consume(start);
                self.spent = length - end;
            }
            return Ok(());
        }
        let message = self.input.as_slice()[start..end].to_vec();
        self.input.consume(length);
        self.control(content, &message)
    }

    fn count_data(&mut self, bytes: usize) -> io::Result<usize> {
        if !self.message.is_empty() {
            return Err(self.abort(ALERT_UNEXPECTED_MESSAGE, "a TLS message with data inside"));
        }
        if bytes > 0 {
            self.empty_records = 0;
            self.key_updates = 0;
            return Ok(bytes);
        }
        self.empty_records += 1;
        if self.empty_records > EMPTY_RECORDS_MAX {
            return Err(self.abort(ALERT_UNEXPECTED_MESSAGE, "too many empty TLS records"));
        }
        Ok(0)
    }

    /// Opens what has come as far as it is about the connection itself. True once something is there for the reader:
    /// bytes, or the end.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub(crate) fn settle(&mut self) -> io::Result<bool> {
        while self.opened == 0 && !self.peer_closed {
            self.read(&mut [])?;
            if self.opened == 0 && self.record().map_err(|fault| self.fault(fault))?.is_none() {
                return Ok(self.peer_closed);
            }
        }
        Ok(true)
    }

    /// What is not data.
    fn control(&mut self, content: Content, bytes: &[u8]) -> io::Result<()> {
        match content {
            Content::Alert => self.alert(bytes),
            Content::Handshake if matches!(self.secrets, Secrets::None) => self.renegotiation(),
            _ => self.handshake(bytes),
        }
    }

    fn alert(&mut self, bytes: &[u8]) -> io::Result<()> {
        let &[level, description] = bytes else {
            return Err(self.abort(ALERT_DECODE_ERROR, "a malformed TLS alert"));
        };
        match description {
            ALERT_CLOSE_NOTIFY => {
                self.peer_closed = true;
                // Whatever came behind it is ignored (RFC 8446 §6.1).
                self.input = Chunk::default();
                Ok(())
            }
            // Announces a close_notify (RFC 8446 §6.1).
            ALERT_USER_CANCELED => self.count_data(0).map(|_| ()),
            // TLS 1.2 knows warnings, TLS 1.3 none (RFC 8446 §6).
            _ if level == 1 && matches!(self.secrets, Secrets::None) => {
                self.count_data(0).map(|_| ())
            }
            _ => {
                let alert = PeerAlert(description);
                Err(io::Error::new(io::ErrorKind::ConnectionReset, alert))
            }
        }
    }

    /// TLS 1.2: nobody may begin a second handshake (RFC 5746 is for those who do). Asking once is answered, a second
    /// time is an attack.
    fn renegotiation(&mut self) -> io::Result<()> {
        self.renegotiations += 1;
        if self.renegotiations > 1 {
            return Err(self.abort(ALERT_UNEXPECTED_MESSAGE, "a second TLS renegotiation"));
        }
        self.urgent = true;
        self.seal_to_tail(Content::Alert, &[1, ALERT_NO_RENEGOTIATION])
    }

    /// Whether something was sealed that should not wait for the next write.
    pub(crate) fn take_urgent(&mut self) -> bool {
        std::mem::take(&mut self.urgent)
    }

    fn handshake(&mut self, bytes: &[u8]) -> io::Result<()> {
        // RFC 8446 §5.1 forbids them, and each would cost us more than the peer.
        if bytes.is_empty() {
            return Err(self.abort(ALERT_UNEXPECTED_MESSAGE, "an empty piece of a TLS message"));
        }
        let mut message = std::mem::take(&mut self.message);
        message.extend_from_slice(bytes);
        let mut rest = message.as_slice();
        while let &[kind, a, b, c, ref behind @ ..] = rest {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if length > MESSAGE_BYTES_MAX {
                return Err(self.abort(ALERT_DECODE_ERROR, "a TLS message that is too long"));
            }
            if behind.len() < length {
                break;
            }
            let (payload, next) = behind.split_at(length);
            rest = next;
            match (kind, payload) {
                // Keys must not change within a record (RFC 8446 §5.1).
                (KEY_UPDATE, &[asked @ (0 | 1)]) if rest.is_empty() => {
                    self.key_update(asked == 1)?
                }
                // RFC 8446 §4.6.3.
                (KEY_UPDATE, &[2..=u8::MAX]) => {
                    let what = "a TLS key update that asks for something unknown";
                    return Err(self.abort(ALERT_ILLEGAL_PARAMETER, what));
                }
                (NEW_SESSION_TICKET, payload) => self.new_ticket(payload)?,
                _ => {
                    let what = "a TLS message that must not come now";
                    return Err(self.abort(ALERT_UNEXPECTED_MESSAGE, what));
                }
            }
        }
        if !rest.is_empty() {
            self.message = rest.to_vec();
        }
        Ok(())
    }

    /// The peer's key changes, and ours too if it asks (RFC 8446 §4.6.3).
    fn key_update(&mut self, asked: bool) -> io::Result<()> {
        self.key_updates += 1;
        if self.key_updates > KEY_UPDATES_MAX {
            return Err(self.abort(ALERT_UNEXPECTED_MESSAGE, "too many TLS key updates"));
        }
        let secrets = match &mut self.secrets {
            Secrets::Server(kernel) => kernel.update_rx_secret(),
            Secrets::Client(kernel) => kernel.update_rx_secret(),
            Secrets::None => return Err(io::ErrorKind::InvalidData.into()),
        };
        let key = secrets
            .ok()
            .and_then(|(sequence, secrets)| RecordKey::new(&secrets, sequence, true));
        self.opener = key.ok_or(io::ErrorKind::InvalidData)?;
        // Several that ask before we send are answered by one.
        self.owes_key_update |= asked;
        Ok(())
    }

    fn new_ticket(&mut self, payload: &[u8]) -> io::Result<()> {
        let taken = match &mut self.secrets {
            Secrets::Client(kernel) => kernel.handle_new_session_ticket(payload).is_ok(),
            _ => false,
        };
        if taken {
            return Ok(());
        }
        Err(self.abort(
            ALERT_UNEXPECTED_MESSAGE,
            "a TLS session ticket that can't be",
        ))
    }

    fn change_key(&mut self) -> io::Result<()> {
        self.owes_key_update = false;
        self.seal_to_tail(Content::Handshake, &[KEY_UPDATE, 0, 0, 1, 0])?;
        let secrets = match &mut self.secrets {
            Secrets::Server(kernel) => kernel.update_tx_secret(),
            Secrets::Client(kernel) => kernel.update_tx_secret(),
            Secrets::None => return Err(io::ErrorKind::InvalidData.into()),
        };
        let key = secrets
            .ok()
            .and_then(|(sequence, secrets)| RecordKey::new(&secrets, sequence, true));
        self.sealer = key.ok_or(io::ErrorKind::InvalidData)?;
        Ok(())
    }

    fn seal_to_tail(&mut self, content: Content, bytes: &[u8]) -> io::Result<()> {
        let at = self.tail.len();
        self.tail
            .resize(at + bytes.len() + self.sealer.overhead(), 0);
        let runs = [IoSlice::new(bytes)];
        let mut plain = Gather::new(&runs);
        let out = &mut self.tail[at..];
        let sealed = self.sealer.seal(content, &mut plain, bytes.len(), out);
        sealed.map(|_| ()).map_err(|_| exhausted())
    }

    fn fault(&mut self, fault: RecordFault) -> io::Error {
        self.abort(fault.alert(), fault.describe())
    }

    /// Ends the connection: the peer is told by an alert.
    fn abort(&mut self, alert: u8, what: &'static str) -> io::Error {
        if !self.closed() {
            self.failed = true;
            // Without keys that may be used there is no alert.
            let _ = self.seal_to_tail(Content::Alert, &[2, alert]);
        }
        io::Error::new(io::ErrorKind::InvalidData, what)
    }

    /// Says that nothing more will be sent (RFC 8446 §6.1).
    pub(crate) fn close(&mut self) {
        if !self.closed() {
            let _ = self.seal_to_tail(Content::Alert, &[1, ALERT_CLOSE_NOTIFY]);
            self.closed = true;
        }
    }

    /// The peer was told so during the handshake.
    pub(crate) fn was_closed(&mut self) {
        self.closed = true;
    }

    /// Seals the front of `runs`, as much as one buffer takes; returns how many bytes of them. What was sealed before
    /// must have been sent.
    ///
    /// # Errors
    /// Nothing may be sent any more.
    pub(crate) fn write(&mut self, runs: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        debug_assert!(self.out.is_empty());
        let mut plain = Gather::new(runs);
        let all = plain.remaining();
        if all == 0 {
            return Ok(0);
        }
        let overhead = self.sealer.overhead();
        let records = all.div_ceil(PLAIN_BYTES_MAX) + 1;
        let wanted = all + records * overhead + self.tail.len();
        self.out = if wanted <= CHUNK_BYTES {
            Chunk::lend()
        } else {
            Chunk::lend_large()
        };
        while plain.remaining() > 0 {
            if self.sealer.sequence() >= self.records_max {
                if matches!(self.secrets, Secrets::None) {
                    return Err(exhausted());
                }
                self.owes_key_update = true;
            }
            if self.owes_key_update {
                self.change_key()?;
            }
            self.move_tail();
            let length = plain.remaining().min(PLAIN_BYTES_MAX);
            let room = self.out.room();
            if !self.tail.is_empty() || room.len() < length + overhead {
                break;
            }
            let sealed = self.sealer.seal(Content::Data, &mut plain, length, room);
            self.out.filled(sealed.map_err(|_| exhausted())?);
        }
        Ok(all - plain.remaining())
    }

    /// What waits goes first, in the same buffer, so that it leaves in the same write.
    fn move_tail(&mut self) {
        let bytes = self.tail.len();
        if bytes > 0 && bytes <= self.out.room().len() {
            self.out.room()[..bytes].copy_from_slice(&self.tail);
            self.out.filled(bytes);
            self.tail = Vec::new();
        }
    }

    /// What is to be sent next.
    pub(crate) fn to_send(&self) -> &[u8] {
        if self.out.is_empty() {
            &self.tail
        } else {
            self.out.as_slice()
        }
    }

    /// Whether all data that was sealed has been sent; what waits for the next write does not count.
    pub(crate) fn is_sent(&self) -> bool {
        self.out.is_empty()
    }

    /// Counts bytes of [`Session::to_send`] as sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        if !self.out.is_empty() {
            self.out.consume(bytes);
        } else if bytes >= self.tail.len() {
            self.tail = Vec::new();
        } else {
            self.tail.drain(..bytes);
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("opener", &self.opener)
            .field("sealer", &self.sealer)
            .field("peer_closed", &self.peer_closed)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

fn exhausted() -> io::Error {
    io::Error::other(RecordFault::Exhausted.describe())
}

#[cfg(test)]
mod tests;
