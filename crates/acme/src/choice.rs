//! Which challenge proves a name: pure.

use instant_acme::ChallengeType;

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChallengeChoice {
    /// DNS-01 if it is configured, then TLS-ALPN-01, then HTTP-01; DNS-01 alone for wildcards.
    #[default]
    Auto,
    /// HTTP-01 (RFC 8555 §8.3), DNS-01 for wildcards.
    Http01,
    /// TLS-ALPN-01 (RFC 8737), DNS-01 for wildcards.
    TlsAlpn01,
    /// DNS-01 (RFC 8555 §8.4).
    Dns01,
}

/// The kinds of challenge there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A resource under `/.well-known/acme-challenge/`.
    Http01,
    /// A certificate shown to a handshake that offers `acme-tls/1`.
    TlsAlpn01,
    /// A TXT record.
    Dns01,
}

impl Kind {
    /// Its name in RFC 8555 and RFC 8737.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Http01 => "http-01",
            Kind::TlsAlpn01 => "tls-alpn-01",
            Kind::Dns01 => "dns-01",
        }
    }

    pub(crate) fn acme(self) -> ChallengeType {
        match self {
            Kind::Http01 => ChallengeType::Http01,
            Kind::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Kind::Dns01 => ChallengeType::Dns01,
        }
    }
}

/// The kinds to try for a name, the first one first.
#[must_use]
pub fn candidates(choice: ChallengeChoice, wildcard: bool, dns: bool) -> Vec<Kind> {
    // RFC 8555 §7.4.1 and RFC 8737 §3: only DNS proves all names below one.
    if wildcard {
        return if dns { vec![Kind::Dns01] } else { Vec::new() };
    }
    match choice {
        // Who has written how records are set may have no ports that the authority reaches; and each failed attempt
        // counts against the account.
        ChallengeChoice::Auto if dns => vec![Kind::Dns01, Kind::TlsAlpn01, Kind::Http01],
        ChallengeChoice::Auto => vec![Kind::TlsAlpn01, Kind::Http01],
        ChallengeChoice::Http01 => vec![Kind::Http01],
        ChallengeChoice::TlsAlpn01 => vec![Kind::TlsAlpn01],
        ChallengeChoice::Dns01 if dns => vec![Kind::Dns01],
        ChallengeChoice::Dns01 => Vec::new(),
    }
}

/// The kind to use now: the first candidate that the server offers and that has not failed for this name.
#[must_use]
pub fn next(candidates: &[Kind], offered: &[Kind], failed: &[Kind]) -> Option<Kind> {
    candidates
        .iter()
        .copied()
        .find(|kind| offered.contains(kind) && !failed.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 3] = [Kind::Http01, Kind::TlsAlpn01, Kind::Dns01];

    #[track_caller]
    fn check(choice: ChallengeChoice, wildcard: bool, dns: bool, expected: &[&str]) {
        let candidates = candidates(choice, wildcard, dns);
        let mut failed = Vec::new();
        while let Some(kind) = next(&candidates, &ALL, &failed) {
            failed.push(kind);
        }
        let names: Vec<_> = failed.iter().map(|kind| kind.name()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn auto_tries_one_after_the_other() {
        check(
            ChallengeChoice::Auto,
            false,
            false,
            &["tls-alpn-01", "http-01"],
        );
        check(
            ChallengeChoice::Auto,
            false,
            true,
            &["dns-01", "tls-alpn-01", "http-01"],
        );
    }

    #[test]
    fn wildcards_need_dns() {
        for choice in [ChallengeChoice::Auto, ChallengeChoice::Http01] {
            check(choice, true, true, &["dns-01"]);
            check(choice, true, false, &[]);
        }
    }

    #[test]
    fn a_written_choice_is_the_only_one() {
        check(ChallengeChoice::Http01, false, true, &["http-01"]);
        check(ChallengeChoice::TlsAlpn01, false, true, &["tls-alpn-01"]);
        check(ChallengeChoice::Dns01, false, true, &["dns-01"]);
        check(ChallengeChoice::Dns01, false, false, &[]);
    }

    #[test]
    fn what_is_not_offered_is_skipped() {
        let candidates = candidates(ChallengeChoice::Auto, false, false);
        assert_eq!(next(&candidates, &[Kind::Http01], &[]), Some(Kind::Http01));
        assert_eq!(next(&candidates, &[Kind::Dns01], &[]), None);
    }
}
