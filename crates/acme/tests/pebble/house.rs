//! A house to live in: a folder, a responder, an agent, and the certificates that it brings.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use foregate_acme::{
    AcmeOptions, Agent, Issued, Source, StateFolder, Timing, Wanted, WantedCertificate,
};
use foregate_testkit::{Pebble, PebbleConfig, Scratch};

use crate::responder::Responder;

/// How long a certificate may take; an order takes a second or two when nobody else uses the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn timing() -> Timing {
    Timing {
        backoff_first: Duration::from_millis(200),
        backoff_unreached: Duration::from_millis(200),
        backoff_max: Duration::from_millis(500),
        floor: Duration::from_millis(100),
        ..Timing::default()
    }
}

pub(crate) fn pebble(responder: &Responder) -> PebbleConfig {
    PebbleConfig {
        http_port: responder.http_port,
        tls_port: responder.tls_port,
        ..PebbleConfig::default()
    }
}

pub(crate) fn options(pebble: &Pebble) -> AcmeOptions {
    AcmeOptions {
        ca_pem: Some(pebble.ca_pem().to_owned()),
        email: Some("ops@example.com".into()),
        ..AcmeOptions::new(pebble.directory())
    }
}

pub(crate) fn acme(names: &[&str]) -> WantedCertificate {
    WantedCertificate {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        source: Source::Acme,
    }
}

pub(crate) fn internal(names: &[&str]) -> WantedCertificate {
    WantedCertificate {
        source: Source::Internal,
        ..acme(names)
    }
}

pub(crate) fn wanted(options: AcmeOptions, certificates: &[WantedCertificate]) -> Wanted {
    Wanted {
        certificates: certificates.to_vec(),
        acme: Some(options),
    }
}

/// An agent whose certificates can be waited for. Stopped when dropped.
pub(crate) struct House {
    pub(crate) agent: Agent,
    issued: Receiver<Issued>,
    thread: Option<JoinHandle<()>>,
}

impl House {
    pub(crate) fn start(state: &Scratch, responder: &Responder, wanted: Wanted) -> House {
        House::start_with(state, responder, wanted, timing())
    }

    pub(crate) fn start_with(
        state: &Scratch,
        responder: &Responder,
        wanted: Wanted,
        timing: Timing,
    ) -> House {
        let folder = StateFolder::open(&state.join("state")).unwrap();
        let (sender, issued) = sync_channel(1_000);
        let sink = move |issued| sender.try_send(issued).map_err(|error| error.to_string());
        let challenges = responder.challenges.clone();
        let (agent, thread) = Agent::start_with(folder, wanted, challenges, sink, timing).unwrap();
        House {
            agent,
            issued,
            thread: Some(thread),
        }
    }

    /// The next certificate.
    #[track_caller]
    pub(crate) fn next(&self) -> Issued {
        match self.issued.recv_timeout(PATIENCE) {
            Ok(issued) => issued,
            Err(error) => panic!("{error}: {:#?}", self.agent.status()),
        }
    }

    /// A certificate that is there already.
    pub(crate) fn present(&self) -> Option<Issued> {
        match self.issued.recv_timeout(Duration::ZERO) {
            Ok(issued) => Some(issued),
            Err(RecvTimeoutError::Timeout) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until the first certificate's last failure has this reason, and tells its story.
    #[track_caller]
    pub(crate) fn failure(&self, reason: &str) -> String {
        foregate_testkit::eventually(reason, || {
            let status = self.agent.status();
            let error = status.first()?.last_error.clone()?;
            (error.reason == reason).then_some(error.detail)
        })
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.agent.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the agent panicked");
        }
    }
}
