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
    /// It is served and its time has not come.
    NotYetValid,
    /// It is served and has ended.
    Expired,
}

impl CertificateState {
    /// Every state.
    pub const ALL: [CertificateState; 9] = [
        CertificateState::Waiting,
        CertificateState::Ordering,
        CertificateState::Active,
        CertificateState::Renewing,
        CertificateState::RenewalFailed,
        CertificateState::RenewedNotActive,
        CertificateState::Failed,
        CertificateState::NotYetValid,
        CertificateState::Expired,
    ];

    /// The state of one that is served before or after its life, all of it in seconds since 1970.
    fn out_of_time(not_before: u64, not_after: u64, now: u64) -> Option<CertificateState> {
        if not_after <= now {
            return Some(CertificateState::Expired);
        }
        (now < not_before).then_some(CertificateState::NotYetValid)
    }

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
            CertificateState::NotYetValid => "not-yet-valid",
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
    let out_of_time = facts.as_ref().and_then(|facts| {
        CertificateState::out_of_time(facts.not_before, facts.not_after, unix.seconds())
    });
    let has_failed = entry.record.last_error.is_some();
    let state = match (&facts, out_of_time, entry.ordering) {
        (Some(_), _, _) if !entry.active => CertificateState::RenewedNotActive,
        (Some(_), Some(out_of_time), _) => out_of_time,
        (Some(_), None, true) => CertificateState::Renewing,
        (Some(_), None, false) if has_failed => CertificateState::RenewalFailed,
        (Some(_), None, false) => CertificateState::Active,
        (None, _, true) => CertificateState::Ordering,
        (None, _, false) if has_failed => CertificateState::Failed,
        (None, _, false) => CertificateState::Waiting,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_has_a_time_before_it_and_one_after() {
        let state = |now| CertificateState::out_of_time(100, 200, now).map(CertificateState::name);
        assert_eq!(state(99), Some("not-yet-valid"));
        assert_eq!((state(100), state(199)), (None, None));
        assert_eq!(state(200), Some("expired"));
    }
}
