//! Why a certificate did not come: one stable name each, shared by the log, `foregate certs`, metrics and tests.

use std::fmt;
use std::time::Duration;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)*) => {
        /// What stood in the way.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// The reason of a name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Reason> {
                Reason::ALL.iter().copied().find(|reason| reason.name() == name)
            }
        }
    };
}

reasons! {
    /// The state folder can't be made, read or written.
    StateUnusable "state-unusable",
    /// The state folder, or a file in it, belongs to another user.
    StateForeign "state-foreign",
    /// A file in the state folder is damaged.
    StateUnreadable "state-unreadable",
    /// A file in the state folder was written by a newer version; it is neither read nor replaced.
    StateNewer "state-newer",
    /// Another process that shares the state folder is ordering the same certificate.
    OrderedElsewhere "ordered-elsewhere",
    /// There is no `[acme]` section for a certificate that asks for one.
    NotConfigured "not-configured",
    /// The ACME server can't be reached or is not trusted.
    DirectoryUnreachable "directory-unreachable",
    /// The ACME server failed (5xx) or answered what is not ACME.
    DirectoryFailed "directory-failed",
    /// The ACME server refuses to make an account.
    AccountRefused "account-refused",
    /// The account is unknown to the ACME server, deactivated or revoked.
    AccountGone "account-gone",
    /// Too many requests; the server says when to come back.
    RateLimited "rate-limited",
    /// The server kept refusing our nonces (RFC 8555 §6.5).
    BadNonce "bad-nonce",
    /// The server refuses to issue for one of the names.
    OrderRefused "order-refused",
    /// None of the challenge types that are possible here is offered.
    NoUsableChallenge "no-usable-challenge",
    /// The server could not validate a challenge.
    ChallengeFailed "challenge-failed",
    /// The hook command failed, or took too long.
    DnsHookFailed "dns-hook-failed",
    /// The name server refused the update.
    DnsUpdateFailed "dns-update-failed",
    /// The record did not appear on the zone's name servers in time.
    DnsNotPropagated "dns-not-propagated",
    /// The order did not end in time.
    OrderTimedOut "order-timed-out",
    /// The issued certificate does not fit the key or the names, or can't be read.
    CertificateUnusable "certificate-unusable",
    /// The internal CA can't issue.
    InternalCaFailed "internal-ca-failed",
    /// The certificate is there, but the gateway did not take it up.
    NotActivated "not-activated",
}

/// A failure: its reason, its story, and when to come back if the other side said so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What stood in the way.
    pub reason: Reason,
    /// The story, for operators.
    pub detail: String,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without a time to come back.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Failure {
        Failure {
            reason,
            detail: detail.into(),
            retry_after: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.detail)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_and_lead_back() {
        for reason in Reason::ALL {
            let name = reason.name();
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{name}"
            );
            assert_eq!(Reason::parse(name), Some(*reason));
        }
        assert_eq!(Reason::parse("no-such"), None);
    }
}
