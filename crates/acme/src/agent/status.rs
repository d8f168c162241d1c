//! What operators are told about certificates.

use foregate_telemetry::clock::{Moment, UnixTime};
use serde::Serialize;

use super::entry::Entry;
use crate::certificate::Source;
use crate::folder::LastError;

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// It is not there and is waited for.
    Waiting,
    /// It is being ordered, the first time.
    Ordering,
    /// It is served.
    Active,
    /// It is served, and its successor is being ordered.
    Renewing,
    /// It is served; its renewal failed and is tried again.
    RenewalFailed,
    /// It was renewed, and the gateway did not take up the new one.
    RenewedNotActive,
    /// It is not there, since orders failed.
    Failed,
    /// It is served and has ended.
    Expired,
}

impl CertificateState {
    /// Every state.
    pub const ALL: [CertificateState; 8] = [
        CertificateState::Waiting,
        CertificateState::Ordering,
        CertificateState::Active,
        CertificateState::Renewing,
        CertificateState::RenewalFailed,
        CertificateState::RenewedNotActive,
        CertificateState::Failed,
        CertificateState::Expired,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CertificateState::Waiting => "waiting",
            CertificateState::Ordering => "ordering",
            CertificateState::Active => "active",
            CertificateState::Renewing => "renewing",
            CertificateState::RenewalFailed => "renewal-failed",
            CertificateState::RenewedNotActive => "renewed-not-active",
            CertificateState::Failed => "failed",
            CertificateState::Expired => "expired",
        }
    }
}

/// A certificate, as operators are told. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateStatus {
    /// Its names, as wanted.
    pub names: Vec<String>,
    /// Who issues it.
    pub source: Source,
    /// How it stands.
    pub state: CertificateState,
    /// Whether a client asked for it.
    pub on_demand: bool,
    /// The ACME directory; absent for the internal CA.
    pub directory: Option<String>,
    /// The issuer's name, once it is there.
    pub issuer: Option<String>,
    /// When its life begins.
    pub not_before: Option<u64>,
    /// When its life ends.
    pub not_after: Option<u64>,
    /// Its key's type.
    pub key_type: Option<String>,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: Option<String>,
    /// When it is renewed, or tried again.
    pub next_renewal: u64,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure, if no success has followed.
    pub last_error: Option<LastError>,
}

pub(super) fn status_of(entry: &Entry, now: Moment, unix: UnixTime) -> CertificateStatus {
    let facts = entry.issued.as_ref().map(|issued| issued.facts.clone());
    let has_ended = facts
        .as_ref()
        .is_some_and(|facts| facts.not_after <= unix.seconds());
    let state = match (&facts, entry.ordering) {
        (Some(_), _) if !entry.active => CertificateState::RenewedNotActive,
        (Some(_), _) if has_ended => CertificateState::Expired,
        (Some(_), true) => CertificateState::Renewing,
        (Some(_), false) if entry.record.last_error.is_some() => CertificateState::RenewalFailed,
        (Some(_), false) => CertificateState::Active,
        (None, true) => CertificateState::Ordering,
        (None, false) if entry.record.last_error.is_some() => CertificateState::Failed,
        (None, false) => CertificateState::Waiting,
    };
    CertificateStatus {
        names: entry.names.clone(),
        source: entry.source,
        state,
        on_demand: entry.on_demand,
        directory: entry.record.directory.clone(),
        issuer: facts.as_ref().map(|facts| facts.issuer.clone()),
        not_before: facts.as_ref().map(|facts| facts.not_before),
        not_after: facts.as_ref().map(|facts| facts.not_after),
        key_type: facts.as_ref().map(|facts| facts.key_type.clone()),
        fingerprint: facts.map(|facts| facts.fingerprint),
        next_renewal: entry.schedule.next(now, unix).seconds(),
        failures: entry.schedule.failures(),
        last_error: entry.record.last_error.clone(),
    }
}
