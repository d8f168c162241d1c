//! Driving a handshake: bytes in, bytes out, until both sides have their keys. Pure.
//!
//! rustls is given one record at a time, so that the first record behind the handshake is never its own to open: from
//! there on [`crate::session`] does it.

use crate::records::{RecordFault, RecordKey, record_length};
use crate::session::{Secrets, Session};
use rustls::client::UnbufferedClientConnection;
use rustls::kernel::KernelConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError};
use rustls::{CommonState, Error, ExtractedSecrets, ProtocolVersion};

/// How many bytes a handshake may take in. Chains of client certificates are the longest part.
const INCOMING_BYTES_MAX: usize = 128 * 1024;

/// Room for what is sent at once in a usual handshake: as much as allocators give without a search.
const FLIGHT_BYTES: usize = 1_000;

/// What a driven handshake came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// More bytes must come; what is to be sent must go first.
    Blocked,
    /// Both sides have their keys.
    Done,
}

/// Why it went no further.
#[derive(Debug)]
pub(crate) enum Failure {
    /// rustls says so.
    Tls(Error),
    /// The peer closed.
    Closed,
    /// A record or the whole is too long.
    Length,
}

/// One side of a handshake.
pub(crate) trait Party {
    /// One step. How many of `incoming` are done with, and what comes next. What is to be `sent` is sealed if it may be.
    fn step(
        &mut self,
        incoming: &mut [u8],
        flow: &mut Flow,
        sent: Sent<'_>,
    ) -> (usize, Result<Step, Error>);

    /// What rustls knows about the connection.
    fn common(&self) -> &CommonState;

    /// The keys, once the handshake is done.
    fn into_keys(self) -> Result<(ExtractedSecrets, Secrets), Error>;
}

/// What a handshake brings forth.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// What is to be sent.
    pub(crate) outgoing: Vec<u8>,
    /// Early data that has come (RFC 8446 §2.3).
    pub(crate) early: Vec<u8>,
}

/// What is to be sent before the handshake is done.
#[derive(Clone, Copy)]
pub(crate) enum Sent<'d> {
    Nothing,
    Data(&'d [u8]),
    /// That nothing more comes (RFC 8446 §6.1).
    CloseNotify,
}

/// What one step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Again,
    Blocked,
    /// What is to be sent is sealed.
    Sealed,
    Closed,
}

impl Flow {
    fn encode<Data>(&mut self, mut message: EncodeTlsData<'_, Data>) {
        let start = self.outgoing.len();
        if let Err(EncodeError::InsufficientSize(short)) = message.encode(&mut []) {
            if start == 0 {
                self.outgoing.reserve(FLIGHT_BYTES.max(short.required_size));
            }
            self.outgoing.resize(start + short.required_size, 0);
            let written = message.encode(&mut self.outgoing[start..]);
            self.outgoing.truncate(start + written.unwrap_or(0));
        }
    }

    /// Seals what rustls writes into room that it is given: none at first, to hear how much it takes.
    fn seal(
        &mut self,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        let start = self.outgoing.len();
        if let Err(EncryptError::InsufficientSize(short)) = write(&mut []) {
            self.outgoing.resize(start + short.required_size, 0);
            let sealed = write(&mut self.outgoing[start..]);
            self.outgoing
                .truncate(start + sealed.map_err(|_| Error::EncryptError)?);
        }
        Ok(())
    }
}

fn step<Data>(
    state: Result<ConnectionState<'_, '_, Data>, Error>,
    flow: &mut Flow,
    sent: Sent<'_>,
) -> Result<Step, Error> {
    match state? {
        ConnectionState::EncodeTlsData(message) => {
            flow.encode(message);
            Ok(Step::Again)
        }
        ConnectionState::TransmitTlsData(sent) => {
            sent.done();
            Ok(Step::Again)
        }
        ConnectionState::WriteTraffic(mut traffic) => match sent {
            Sent::Nothing => Ok(Step::Blocked),
            Sent::Data(data) => {
                flow.seal(|room| traffic.encrypt(data, room))?;
                Ok(Step::Sealed)
            }
            Sent::CloseNotify => {
                flow.seal(|room| traffic.queue_close_notify(room))?;
                Ok(Step::Sealed)
            }
        },
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Step::Closed),
        // Other data can't come before the handshake is done: none is handed in.
        _ => Ok(Step::Blocked),
    }
}

impl Party for UnbufferedServerConnection {
    fn step(
        &mut self,
        incoming: &mut [u8],
        flow: &mut Flow,
        sent: Sent<'_>,
    ) -> (usize, Result<Step, Error>) {
        let status = self.process_tls_records(incoming);
        let discard = status.discard;
        if let Ok(ConnectionState::ReadEarlyData(mut data)) = status.state {
            while let Some(record) = data.next_record() {
                match record {
                    Ok(record) => flow.early.extend_from_slice(record.payload),
                    Err(error) => return (discard, Err(error)),
                }
            }
            return (discard, Ok(Step::Again));
        }
        (discard, step(status.state, flow, sent))
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Secrets), Error> {
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, keep(kernel, Secrets::Server)))
    }
}

impl Party for UnbufferedClientConnection {
    fn step(
        &mut self,
        incoming: &mut [u8],
        flow: &mut Flow,
        sent: Sent<'_>,
    ) -> (usize, Result<Step, Error>) {
        let status = self.process_tls_records(incoming);
        (status.discard, step(status.state, flow, sent))
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Secrets), Error> {
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, keep(kernel, Secrets::Client)))
    }
}

fn keep<Data>(
    kernel: KernelConnection<Data>,
    secrets: impl Fn(Box<KernelConnection<Data>>) -> Secrets,
) -> Secrets {
    if kernel.protocol_version() == ProtocolVersion::TLSv1_3 {
        secrets(Box::new(kernel))
    } else {
        Secrets::None
    }
}

/// A handshake under way.
pub(crate) struct Handshake<P> {
    pub(crate) party: P,
    incoming: Vec<u8>,
    /// How many of the incoming bytes rustls has been shown: whole records.
    shown: usize,
    pub(crate) flow: Flow,
    /// Whether the peer was told that nothing more comes.
    closed: bool,
}

impl<P: Party> Handshake<P> {
    pub(crate) fn new(party: P, received: Vec<u8>) -> Handshake<P> {
        Handshake {
            party,
            incoming: received,
            shown: 0,
            flow: Flow::default(),
            closed: false,
        }
    }

    /// Where bytes that come are to be appended.
    pub(crate) fn incoming(&mut self) -> &mut Vec<u8> {
        &mut self.incoming
    }

    /// Takes bytes that have come.
    pub(crate) fn received(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
    }

    /// Whether bytes are here that no step has taken yet.
    pub(crate) fn has_more(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Goes as far as it goes with what has come. After a failure there may be an alert in what is to be sent.
    pub(crate) fn advance(&mut self) -> Result<Progress, Failure> {
        loop {
            match self.step(Sent::Nothing)? {
                Step::Again | Step::Sealed => {}
                Step::Closed => return Err(Failure::Closed),
                Step::Blocked => {
                    let common = self.party.common();
                    if !common.is_handshaking() && !common.wants_write() {
                        return Ok(Progress::Done);
                    }
                    match self.show_next() {
                        Ok(true) => {}
                        Ok(false) => return Ok(Progress::Blocked),
                        Err(_) => {
                            // rustls, which alone can tell the peer, refuses it as well.
                            self.shown = self.incoming.len();
                            self.step(Sent::Nothing)?;
                            return Err(Failure::Length);
                        }
                    }
                }
            }
        }
    }

    /// Seals data before the handshake is done, as a server may that has been sent early data. False when it may not.
    pub(crate) fn seal(&mut self, data: &[u8]) -> Result<bool, Failure> {
        self.send(Sent::Data(data))
    }

    /// Says that nothing more will come, where data could be sent. What comes from the peer is read on.
    pub(crate) fn close(&mut self) -> Result<bool, Failure> {
        self.closed = self.send(Sent::CloseNotify)?;
        Ok(self.closed)
    }

    fn send(&mut self, sent: Sent<'_>) -> Result<bool, Failure> {
        loop {
            match self.step(sent)? {
                Step::Again => {}
                Step::Sealed => return Ok(true),
                Step::Blocked => return Ok(false),
                Step::Closed => return Err(Failure::Closed),
            }
        }
    }

    fn step(&mut self, sent: Sent<'_>) -> Result<Step, Failure> {
        let shown = &mut self.incoming[..self.shown];
        let (discard, step) = self.party.step(shown, &mut self.flow, sent);
        self.incoming.drain(..discard);
        self.shown -= discard;
        step.map_err(|error| {
            self.collect_alert();
            Failure::Tls(error)
        })
    }

    /// Shows rustls one more record, if it is here.
    fn show_next(&mut self) -> Result<bool, RecordFault> {
        let hidden = &self.incoming[self.shown..];
        match record_length(hidden)? {
            Some(length) if length <= hidden.len() => {
                self.shown += length;
                Ok(true)
            }
            _ if self.incoming.len() > INCOMING_BYTES_MAX => Err(RecordFault::Length),
            _ => Ok(false),
        }
    }

    /// What rustls has to say to the peer after an error.
    fn collect_alert(&mut self) {
        // What it could not read it must not be asked to read again.
        while self.party.common().wants_write() {
            // rustls remembers where in these bytes it was, and must see the same again.
            let shown = &mut self.incoming[..self.shown];
            let (discard, step) = self.party.step(shown, &mut self.flow, Sent::Nothing);
            self.incoming.drain(..discard);
            self.shown -= discard;
            if !matches!(step, Ok(Step::Again)) {
                return;
            }
        }
    }

    /// The connection behind the handshake.
    pub(crate) fn into_session(self) -> Result<Session, Error> {
        let common = self.party.common();
        let suite = common.negotiated_cipher_suite();
        let tls13 = common.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let (secrets, kept) = self.party.into_keys()?;
        let (opened, opener) = &secrets.rx;
        let (sealed, sealer) = &secrets.tx;
        let opener = RecordKey::new(opener, *opened, tls13);
        let sealer = RecordKey::new(sealer, *sealed, tls13);
        let (Some(opener), Some(sealer), Some(suite)) = (opener, sealer, suite) else {
            return Err(Error::HandshakeNotComplete);
        };
        let records_max = match suite {
            rustls::SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
            rustls::SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        };
        let mut session = Session::new(
            opener,
            sealer,
            kept,
            records_max,
            &self.flow.early,
            &self.incoming[self.shown..],
            self.flow.outgoing,
        );
        if self.closed {
            session.was_closed();
        }
        Ok(session)
    }
}
