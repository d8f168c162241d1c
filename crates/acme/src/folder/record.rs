//! What is written beside a certificate, in JSON that says its version.

use std::time::Duration;

use foregate_telemetry::clock::UnixTime;
use serde::{Deserialize, Serialize};

use crate::certificate::{Issued, Source};
use crate::reason::{Failure, Reason};
use crate::schedule::{Hold, Schedule, Span};

/// The version this code writes. A newer one is not touched; older ones are read.
pub(crate) const VERSION: u32 = 1;

/// Bytes of a failure's story that are kept.
const DETAIL_BYTES_MAX: usize = 2_000;

/// A certificate's record: what an operator (and the next process) wants to know beside the PEM file.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Record {
    /// The format's version.
    pub version: u32,
    /// Every name of the certificate.
    pub names: Vec<String>,
    /// Who issues it.
    pub source: Source,
    /// The ACME directory; absent for the internal CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Whether a client's handshake asked for it.
    #[serde(default)]
    pub on_demand: bool,
    /// What is in the PEM file; absent before the first success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Facts>,
    /// When the next renewal (or attempt) is due, Unix seconds.
    pub next_renewal: u64,
    /// The window that the CA suggests (RFC 9773), Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_window: Option<(u64, u64)>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Until when no attempt is made, Unix seconds.
    #[serde(default)]
    pub held_until: u64,
    /// Until when the authority itself wants no attempt, Unix seconds.
    #[serde(default)]
    pub asked_until: u64,
    /// What tells the settings of the last attempt, which failed, from others; absent after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// The last failure; absent after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// What is in a certificate.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Facts {
    /// The issuer's name.
    pub issuer: String,
    /// Unix seconds.
    pub not_before: u64,
    /// Unix seconds.
    pub not_after: u64,
    /// The key's type.
    pub key_type: String,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: String,
}

impl Facts {
    /// The life of the certificate.
    #[must_use]
    pub fn life(&self) -> Span {
        Span {
            start: UnixTime::from_seconds(self.not_before),
            end: UnixTime::from_seconds(self.not_after),
        }
    }

    /// A number that is random and the certificate's own.
    #[must_use]
    pub fn seed(&self) -> u64 {
        let head = self.fingerprint.get(..15).unwrap_or_default();
        u64::from_str_radix(head, 16).unwrap_or_default()
    }
}

/// A failure that is over or goes on.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct LastError {
    /// The reason's name.
    pub reason: String,
    /// The story.
    pub detail: String,
    /// When, Unix seconds.
    pub at: u64,
}

impl LastError {
    pub(crate) fn new(failure: &Failure, at: UnixTime) -> LastError {
        let mut detail = failure.detail.clone();
        if detail.len() > DETAIL_BYTES_MAX {
            let end = (0..=DETAIL_BYTES_MAX)
                .rev()
                .find(|end| detail.is_char_boundary(*end));
            detail.truncate(end.unwrap_or(0));
        }
        LastError {
            reason: failure.reason.name().to_owned(),
            detail,
            at: at.seconds(),
        }
    }
}

impl Record {
    /// Of a certificate that is wanted and not there.
    pub(crate) fn new(
        names: Vec<String>,
        source: Source,
        directory: Option<String>,
        on_demand: bool,
    ) -> Record {
        Record {
            version: VERSION,
            names,
            source,
            directory,
            on_demand,
            certificate: None,
            next_renewal: 0,
            renewal_window: None,
            failures: 0,
            held_until: 0,
            asked_until: 0,
            settings: None,
            last_error: None,
        }
    }

    pub(crate) fn window(&self) -> Option<Span> {
        self.renewal_window.map(|(start, end)| Span {
            start: UnixTime::from_seconds(start),
            end: UnixTime::from_seconds(end),
        })
    }

    /// Takes over what the schedule says.
    pub(crate) fn follow(
        &mut self,
        schedule: &Schedule,
        now: foregate_telemetry::clock::Moment,
        unix: UnixTime,
    ) {
        self.next_renewal = schedule.next(now, unix).seconds();
        self.failures = schedule.failures();
        (self.held_until, self.asked_until) = match schedule.failures() {
            0 => (0, 0),
            _ => (
                unix.seconds() + schedule.held(now, unix).as_secs(),
                unix.seconds() + schedule.asked(now).as_secs(),
            ),
        };
        self.renewal_window = schedule
            .window()
            .map(|window| (window.start.seconds(), window.end.seconds()));
    }

    /// How long the record still holds.
    pub(crate) fn hold(&self, unix: UnixTime) -> Hold {
        let left = |until: u64| Duration::from_secs(until.saturating_sub(unix.seconds()));
        Hold {
            failures: self.failures,
            held: left(self.held_until),
            asked: left(self.asked_until),
        }
    }

    pub(crate) fn parse(bytes: &[u8], shown: &str) -> Result<Record, Failure> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let unreadable =
            |why: String| Failure::new(Reason::StateUnreadable, format!("{shown} {why}"));
        let versioned: Versioned = serde_json::from_slice(bytes)
            .map_err(|error| unreadable(format!("is damaged: {error}")))?;
        if versioned.version > VERSION {
            return Err(Failure::new(
                Reason::StateNewer,
                format!(
                    "{shown} was written by a newer Foregate (version {}, this one knows {VERSION}); run that one, or remove the file",
                    versioned.version
                ),
            ));
        }
        serde_json::from_slice(bytes).map_err(|error| unreadable(format!("is damaged: {error}")))
    }
}

/// A certificate in the folder: the record, and the PEM texts if there are any.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// The certificate and its key.
    pub issued: Option<Issued>,
}
