//! **Purpose:** the peers of the end-to-end stories: the real gateway as a process, scripted backends and raw clients, well-behaved and not.
//! **Never knows:** how the gateway works inside; it sees sockets, signals, files and `/proc`, as an operator does.
//! **Next on the road:** nothing; the stories under `tests/` stand on it.
//!
//! Everything here is blocking and threaded, binds `127.0.0.1:0`, and waits with a deadline: a story that hangs is a story
//! that fails. The HTTP parser in [`strict`] is written a second time on purpose, so that what the gateway forwards is read
//! by code that shares no mistake with it.
//!
//! Failures panic with what was expected and what was seen, because the only callers are tests.

mod access_log;
mod backend;
mod binary;
mod certificates;
mod client;
mod connection;
mod fields;
mod foreign;
mod gateway;
pub mod http2;
mod metrics;
mod name_server;
mod network;
mod patience;
mod pebble;
mod peers;
mod process;
mod random;
mod scratch;
pub mod strict;
mod transport;

pub use access_log::LogLine;
pub use backend::{Answer, Answers, Backend, Echo, Raw, RawThenCloses, Request, Script, Visit};
pub use binary::{Process, Run, Signal, Successor, foregate, foregate_path};
pub use certificates::{Authority, Issued, Request as CertificateRequest};
pub use client::{RawClient, Response};
pub use connection::{Connection, Trouble, has_ended};
pub use fields::Fields;
pub use foreign::ProcessBackend;
pub use gateway::{Gateway, GatewayConfig};
pub use http2::{Goaway, Http2Client, Http2Response};
pub use metrics::Metrics;
pub use name_server::NameServer;
pub use network::Network;
pub use patience::{PATIENCE, eventually, holds_for};
pub use pebble::{Pebble, PebbleConfig, free_port};
pub use peers::attackers::{
    ContinuationFlood, EmptyData, HpackBomb, MadeYouReset, PingFlood, Priorities, RapidReset,
    SettingsFlood, StreamsOverLimit, TinyData, UnknownFrames, WindowStall, WindowUpdates,
};
pub use peers::backends::{
    AnswersBeforeAsked, AnswersEarlyAndCloses, BadChunks, BlackHole, BothLengths, ClosesIdle,
    DiesMidBody, Hints103, HttpOneZero, HugeHeadBackend, LiesAboutLengthLong, LiesAboutLengthShort,
    NeverReads, ObsFolder, ResetAfterHead, SendsTrailers, SlowHead, TalksGarbage, Trickler,
    UpgradeEcho, WebSocketEcho, websocket_accept,
};
pub use peers::clients::{
    HalfCloser, HugeHead, NeverReader, PipelinesAndLeaves, Resetter, SlowBody, SlowLoris,
    TinyChunks,
};
pub use peers::directories::{ConsulAgent, DockerEngine, Names};
pub use peers::handshakes::HandshakeFlood;
pub use peers::http2::{Http2Backend, Http2Reply, Http2Request, Http2Setup};
pub use peers::meddler::Meddler;
pub use peers::ports::{NeverAccepts, Refuser};
pub use peers::websocket::{WebSocketClient, WebSocketPeer};
pub use process::SocketState;
pub use random::Random;
pub use scratch::Scratch;
pub use strict::{Framing, fingerprint};
pub use transport::{Target, Tls, Transport};
