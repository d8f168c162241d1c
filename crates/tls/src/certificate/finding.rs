//! What can be wrong with a certificate.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Some clients, or some day, will complain.
    Warning,
    /// It can't be served, or clients will refuse it.
    Error,
}

/// One thing that is wrong with a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The text holds no certificate.
    NoCertificate,
    /// A certificate can't be read.
    MalformedCertificate(String),
    /// The text holds no private key.
    NoKey,
    /// The key can't be read.
    MalformedKey(String),
    /// The key is of a kind that is not supported.
    UnsupportedKey(String),
    /// The key belongs to another certificate.
    KeyMismatch,
    /// Its time is over.
    Expired {
        /// Since when, in seconds since 1970.
        not_after: i64,
    },
    /// Its time has not come.
    NotYetValid {
        /// When it will, in seconds since 1970.
        not_before: i64,
    },
    /// A certificate of the chain did not issue the one before it.
    ChainBroken {
        /// Which, counted from 1.
        position: usize,
        /// Whether the one before it is the site's own.
        leaf: bool,
    },
    /// The time of a certificate of the chain is over.
    IntermediateExpired {
        /// Which, counted from 1.
        position: usize,
    },
    /// The chain ends before a root.
    MissingIntermediate {
        /// Whose certificate is missing.
        issuer: String,
    },
    /// It is not valid for the site.
    WrongName {
        /// The site.
        wanted: String,
        /// What it is valid for.
        names: Vec<String>,
    },
    /// Its key or signature is too weak.
    WeakKey(&'static str),
    /// It names no host; clients ignore the common name.
    NoName,
    /// One of its names is a wildcard that is no whole label.
    PartialWildcard {
        /// The name.
        name: String,
    },
    /// What it says it is for is not to be shown by a server.
    WrongPurpose,
    /// A revocation list can't be read.
    MalformedList(String),
    /// Keys of session tickets can't be read.
    MalformedTicketKeys(String),
    /// The time of a revocation list is over.
    RevocationsOver {
        /// When the next one should have come, in seconds since 1970.
        next_update: i64,
    },
    /// There are revocation lists, and none is of this authority.
    AuthorityWithoutList {
        /// The authority.
        authority: String,
    },
    /// A revocation list is of nobody who is trusted.
    ListOfStranger {
        /// Whose it is.
        authority: String,
    },
    /// What its issuer says about revocation (an OCSP response) is never shown.
    StatementUnusable(&'static str),
    /// It is not shown now.
    StatementOutOfTime {
        /// From when on it counts, in seconds since 1970.
        this_update: i64,
        /// Until when.
        next_update: i64,
    },
    /// A file can't be read.
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        error: String,
    },
}

impl Finding {
    /// The stable name, for logs, metrics and tests.
    pub const fn name(&self) -> &'static str {
        match self {
            Finding::NoCertificate => "no-certificate",
            Finding::MalformedCertificate(_) => "malformed-certificate",
            Finding::NoKey => "no-key",
            Finding::MalformedKey(_) => "malformed-key",
            Finding::UnsupportedKey(_) => "unsupported-key",
            Finding::KeyMismatch => "key-mismatch",
            Finding::Expired { .. } => "expired",
            Finding::NotYetValid { .. } => "not-yet-valid",
            Finding::ChainBroken { .. } => "chain-broken",
            Finding::IntermediateExpired { .. } => "intermediate-expired",
            Finding::MissingIntermediate { .. } => "missing-intermediate",
            Finding::WrongName { .. } => "wrong-name",
            Finding::WeakKey(_) => "weak-key",
            Finding::NoName => "no-name",
            Finding::PartialWildcard { .. } => "partial-wildcard",
            Finding::WrongPurpose => "wrong-purpose",
            Finding::MalformedList(_) => "malformed-list",
            Finding::MalformedTicketKeys(_) => "malformed-ticket-keys",
            Finding::RevocationsOver { .. } => "revocations-over",
            Finding::AuthorityWithoutList { .. } => "authority-without-list",
            Finding::ListOfStranger { .. } => "list-of-stranger",
            Finding::StatementUnusable(_) => "statement-unusable",
            Finding::StatementOutOfTime { .. } => "statement-out-of-time",
            Finding::Unreadable { .. } => "unreadable",
        }
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Finding::MissingIntermediate { .. }
            | Finding::WeakKey(_)
            | Finding::PartialWildcard { .. }
            | Finding::RevocationsOver { .. }
            | Finding::AuthorityWithoutList { .. }
            | Finding::ListOfStranger { .. }
            | Finding::StatementUnusable(_)
            | Finding::StatementOutOfTime { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Whether it is about what the issuer says about revocation, which has a file of its own.
    pub const fn is_about_statement(&self) -> bool {
        matches!(
            self,
            Finding::StatementUnusable(_) | Finding::StatementOutOfTime { .. }
        )
    }

    /// What is wrong with what somebody says about revocation.
    fn fmt_about_revocation(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::MalformedList(why) => write!(f, "the revocation list can't be read: {why}"),
            Finding::RevocationsOver { next_update } => write!(
                f,
                "the revocation list is over since {}: clients of its authority are refused until there is a newer one",
                Day(*next_update)
            ),
            Finding::AuthorityWithoutList { authority } => write!(
                f,
                "no revocation list is of the authority `{authority}`: as there are lists of others, its clients are refused; \
                 add its list to `crl_files`, an empty one if it has revoked nobody"
            ),
            Finding::ListOfStranger { authority } => write!(
                f,
                "the revocation list is of `{authority}`, which is not in `ca_file`: it counts only for clients of an \
                 authority of that name below one that is"
            ),
            Finding::StatementUnusable(why) => write!(
                f,
                "the OCSP response is not shown to clients, who would refuse it: {why}"
            ),
            Finding::StatementOutOfTime {
                this_update,
                next_update,
            } => write!(
                f,
                "the OCSP response counts from {} until {}: it is not shown to clients at other times",
                Day(*this_update),
                Day(*next_update)
            ),
            // Has words of its own.
            finding => f.write_str(finding.name()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NoCertificate => f.write_str(
                "no certificate in the file: a PEM block `-----BEGIN CERTIFICATE-----` is wanted",
            ),
            Finding::MalformedCertificate(error) => {
                write!(f, "the certificate can't be read: {error}")
            }
            Finding::NoKey => f.write_str(
                "no private key in the file: a PEM block `-----BEGIN PRIVATE KEY-----` is wanted",
            ),
            Finding::MalformedKey(error) => write!(f, "the private key can't be read: {error}"),
            Finding::UnsupportedKey(why) => write!(f, "the private key can't be used: {why}"),
            Finding::KeyMismatch => {
                f.write_str("the private key belongs to another certificate than the first one")
            }
            Finding::Expired { not_after } => write!(f, "it has expired on {}", Day(*not_after)),
            Finding::NotYetValid { not_before } => {
                write!(f, "it is not valid before {}", Day(*not_before))
            }
            Finding::ChainBroken { position, leaf } => {
                let whose = if *leaf { "the site's own certificate" } else { "the one before it" };
                write!(
                    f,
                    "certificate {position} of the chain did not issue {whose}: an intermediate is \
                     missing or the order is wrong (own certificate first)"
                )
            }
            Finding::IntermediateExpired { position } => {
                write!(f, "certificate {position} of the chain has expired")
            }
            Finding::MissingIntermediate { issuer } => write!(
                f,
                "its issuer `{issuer}` is none of the roots that this system knows: append the \
                 certificate of that issuer, or clients that do not have it refuse the site"
            ),
            Finding::WrongName { wanted, names } => write!(
                f,
                "it is not valid for `{wanted}`, only for {}",
                if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
            ),
            Finding::WeakKey(why) => f.write_str(why),
            Finding::NoName => f.write_str(
                "it names no host: clients look at subject alternative names and ignore the common name",
            ),
            Finding::PartialWildcard { name } => write!(
                f,
                "its name `{name}` is valid for no host: the `*` of a wildcard is the whole first label"
            ),
            Finding::WrongPurpose => f.write_str(
                "its extended key usage does not have `serverAuth`, as with certificates of clients: \
                 clients refuse it from a site",
            ),
            Finding::MalformedTicketKeys(why) => write!(f, "the ticket keys can't be read: {why}"),
            Finding::Unreadable { file, error } => write!(f, "`{file}` can't be read: {error}"),
            finding => finding.fmt_about_revocation(f),
        }
    }
}

/// A day of the Gregorian calendar, from seconds since 1970.
struct Day(i64);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match x509_parser::time::ASN1Time::from_timestamp(self.0) {
            Ok(time) => {
                let time = time.to_datetime();
                write!(
                    f,
                    "{:04}-{:02}-{:02}",
                    time.year(),
                    u8::from(time.month()),
                    time.day()
                )
            }
            Err(_) => f.write_str("a day far away"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_people_do() {
        assert_eq!(Day(0).to_string(), "1970-01-01");
        assert_eq!(Day(1_709_164_800).to_string(), "2024-02-29");
    }
}
