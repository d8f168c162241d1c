//! A connection of either protocol, as the run sees it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use foregate_bench::poll::Interest;
use rustls::{ClientConfig, HandshakeKind};

use crate::h1::Client;
use crate::h2::Streams;
use crate::plan::{Plan, Protocol};
use crate::transport::{Handshakes, Transport};

/// What went wrong with an exchange; the connection is of no use afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The peer closed or reset before the answer was complete.
    Closed,
    /// The status was not 200, or that of a gRPC call not 0.
    Status,
    /// The answer had no or another `Content-Length`, or more or fewer bytes than that.
    Length,
    /// The body had other bytes.
    Content,
    /// The head was not understood.
    Head,
    /// A frame was not understood, or ended a stream or the connection.
    Frame,
    /// The handshake failed, or was full or resumed against the plan, or chose another protocol.
    Handshake,
}

impl Fault {
    /// Every fault, in the order of its index.
    pub(crate) const ALL: [Fault; 7] = [
        Fault::Closed,
        Fault::Status,
        Fault::Length,
        Fault::Content,
        Fault::Head,
        Fault::Frame,
        Fault::Handshake,
    ];

    /// The name in the result.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Closed => "closed",
            Fault::Status => "status",
            Fault::Length => "length",
            Fault::Content => "content",
            Fault::Head => "head",
            Fault::Frame => "frame",
            Fault::Handshake => "handshake",
        }
    }

    /// What an error of the transport is: broken records are a failed handshake, anything else a close.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Fault::Handshake,
            _ => Fault::Closed,
        }
    }
}

/// Whether a connection takes further requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It does.
    Open,
    /// The peer said that it closes: open another one.
    Closing,
}

/// One request that waits to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Which of the plan's exchanges.
    pub(crate) exchange: usize,
    /// When it was due.
    pub(crate) due: Instant,
    /// Its answer's bytes are looked at.
    pub(crate) compared: bool,
}

enum Speaks {
    Http1(Client),
    Http2(Box<Streams>),
}

/// A connection with its exchanges under way.
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    pub(crate) interest: Interest,
    /// Answers so far.
    pub(crate) served: u64,
    /// What the handshake came to, once it is over and was looked at.
    pub(crate) handshake: Option<HandshakeKind>,
    /// The run has counted the handshake.
    pub(crate) counted: bool,
    speaks: Speaks,
}

impl Connection {
    /// Connects in a place; `name` is the server name of a TLS connection.
    pub(crate) fn connect(
        plan: &Plan,
        place: usize,
        tls: Option<&Arc<ClientConfig>>,
        name: &str,
    ) -> io::Result<Self> {
        Ok(Self {
            transport: Transport::connect(&plan.to[place % plan.to.len()], tls, name)?,
            interest: Interest::Read,
            served: 0,
            handshake: None,
            counted: false,
            speaks: match plan.protocol {
                Protocol::Http1 => Speaks::Http1(Client::default()),
                Protocol::Http2 => Speaks::Http2(Box::new(Streams::new())),
            },
        })
    }

    /// Exchanges that are under way.
    pub(crate) fn busy(&self) -> usize {
        match &self.speaks {
            Speaks::Http1(client) => usize::from(client.is_busy()),
            Speaks::Http2(streams) => streams.busy(),
        }
    }

    /// Begins an exchange; [`Connection::flush`] sends it.
    pub(crate) fn begin(&mut self, plan: &Plan, asked: Asked) {
        match &mut self.speaks {
            Speaks::Http1(client) => client.begin(asked),
            Speaks::Http2(streams) => streams.begin(plan, asked),
        }
    }

    /// Sends what waits, as far as it goes.
    pub(crate) fn flush(&mut self, plan: &Plan) -> Result<(), Fault> {
        self.transport.flush().map_err(|error| Fault::of(&error))?;
        match &mut self.speaks {
            Speaks::Http1(client) => client.write(plan, &mut self.transport),
            Speaks::Http2(streams) => streams.write(&mut self.transport),
        }
    }

    /// Ends it.
    pub(crate) fn close(self) {
        self.transport.close();
    }

    /// What the socket is to be watched for now.
    pub(crate) fn wanted(&self, plan: &Plan) -> Interest {
        let unsent = match &self.speaks {
            Speaks::Http1(client) => client.has_unsent(plan) && self.is_ready(),
            Speaks::Http2(streams) => streams.has_unsent(),
        };
        if unsent || self.transport.has_unsent() {
            Interest::ReadWrite
        } else {
            Interest::Read
        }
    }

    /// A TLS connection takes few bytes before its handshake is over: then only reading makes progress.
    fn is_ready(&self) -> bool {
        self.transport.is_plain() || self.transport.handshake().is_some()
    }

    /// Reads once and takes the answers further; what is complete goes to `done`, as the moment it was due.
    pub(crate) fn read(
        &mut self,
        plan: &Plan,
        scratch: &mut [u8],
        done: &mut Vec<Instant>,
    ) -> Result<Life, Fault> {
        let got = self.transport.read(scratch);
        self.check_handshake(plan)?;
        let bytes = match got {
            Ok(0) => return Err(Fault::Closed),
            Ok(got) => &scratch[..got],
            Err(error) if foregate_bench::poll::would_block(&error) => return Ok(Life::Open),
            Err(error) => return Err(Fault::of(&error)),
        };
        let before = done.len();
        let life = match &mut self.speaks {
            Speaks::Http1(client) => client.read(plan, bytes, done),
            Speaks::Http2(streams) => streams.read(plan, bytes, done),
        };
        self.served += (done.len() - before) as u64;
        life
    }

    fn check_handshake(&mut self, plan: &Plan) -> Result<(), Fault> {
        if self.handshake.is_some() {
            return Ok(());
        }
        self.handshake = self.transport.handshake();
        let (Some(tls), Some(kind)) = (&plan.tls, self.handshake) else {
            return Ok(());
        };
        let chosen = self.transport.alpn().unwrap_or(b"http/1.1");
        if chosen != plan.protocol.alpn().as_bytes()
            || (tls.handshakes == Handshakes::Full && kind == HandshakeKind::Resumed)
        {
            return Err(Fault::Handshake);
        }
        Ok(())
    }
}
