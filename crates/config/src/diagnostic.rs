//! What is wrong with a configuration, where, why, and what to do about it.

use crate::Origin;
use std::fmt;

/// A problem in a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// What kind of problem it is; its severity follows from it.
    pub code: Code,
    /// The problem in one sentence, without a full stop.
    pub message: String,
    /// The offending text.
    pub origin: Origin,
    /// A few words that stand under the offending text; may be empty.
    pub label: String,
    /// Other places that belong to the problem, each with a few words.
    pub related: Vec<(Origin, String)>,
    /// Why this is a problem.
    pub cause: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem at `origin`.
    pub fn new(code: Code, origin: Origin, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            origin,
            label: String::new(),
            related: Vec::new(),
            cause: None,
            help: None,
        }
    }

    /// With a few words under the offending text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place that belongs to it.
    #[must_use]
    pub fn related(mut self, origin: Origin, label: impl Into<String>) -> Self {
        self.related.push((origin, label.into()));
        self
    }

    /// With the reason why this is a problem.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With what to do, if anything is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// The severity of its code.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// Whether a problem keeps a configuration from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, but something in it is surely not meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Declares the codes, their names, severities and meanings in one table.
macro_rules! codes {
    ($($variant:ident $name:literal $severity:ident $meaning:literal;)*) => {
        /// What kind of problem a diagnostic tells of. The names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name, in kebab-case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether it keeps a configuration from being used.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    Syntax "syntax" Error "The text is not valid TOML or JSON.";
    UnreadableFile "unreadable-file" Error "A file cannot be read.";
    TooLarge "too-large" Error "The configuration exceeds a limit: 16 MiB of text in all, 10,000 files, 80 levels of nesting.";
    UnsetVariable "unset-variable" Error "An environment variable that is referred to is not set.";
    BadSubstitution "bad-substitution" Error "A `${...}` is neither `${ENV:NAME}` nor `${FILE:path}`, or is not closed.";
    DuplicateKey "duplicate-key" Error "The same key is written twice, in one file or in two.";
    UnknownKey "unknown-key" Error "A key that does not exist.";
    MissingKey "missing-key" Error "A key without default is not written.";
    WrongType "wrong-type" Error "A value of the wrong type, such as a number where a text belongs.";
    BadValue "bad-value" Error "A value that is not one of those allowed, or a number outside its range.";
    BadDuration "bad-duration" Error "A text that is not a duration such as `250ms`, `10s`, `5m`, `1h`.";
    BadSize "bad-size" Error "A text that is not a size such as `512B`, `8KiB`, `10MB`.";
    BadAddress "bad-address" Error "A text that is not an address with a port.";
    BadRange "bad-range" Error "A text that is not an address range such as `10.0.0.0/8`.";
    BadHost "bad-host" Error "A text that is not a host or a host pattern.";
    BadPath "bad-path" Error "A path that no request can have.";
    BadGlob "bad-glob" Error "A glob that is not valid.";
    BadRegex "bad-regex" Error "A regular expression that is not valid.";
    BadMethod "bad-method" Error "A text that is not a request method.";
    BadHeader "bad-header" Error "A header name or value that is not valid, or a field that a rule may not touch.";
    BadTemplate "bad-template" Error "A template with an unknown placeholder, or with a brace that belongs to none.";
    BadName "bad-name" Error "A name with characters that names may not have.";
    ConflictingKeys "conflicting-keys" Error "Keys that cannot stand together.";
    NoAction "no-action" Error "A route without `upstream`, `redirect` or `respond`.";
    SeveralActions "several-actions" Error "A route with more than one of `upstream`, `redirect`, `respond`.";
    UnknownUpstream "unknown-upstream" Error "A reference to an upstream that does not exist.";
    UnknownListener "unknown-listener" Error "A reference to a listener that does not exist.";
    UnknownCertificate "unknown-certificate" Error "A reference to a certificate that does not exist.";
    MissingFolder "missing-folder" Error "The folder of a file that is to be written does not exist, or is none.";
    BadCertificate "bad-certificate" Error "A file of a certificate, key or authority that cannot be used.";
    CannotCertify "cannot-certify" Error "A certificate that is asked for and cannot be had, such as a wildcard from ACME without dns-01.";
    DuplicateHost "duplicate-host" Error "Two sites serve the same host on the same listener, or one lists it twice.";
    DuplicateAddress "duplicate-address" Error "The same address is listened on twice.";
    DuplicateRoute "duplicate-route" Error "Two routes of a site have the same name.";
    DuplicateServer "duplicate-server" Error "An upstream lists the same server twice.";
    AmbiguousRoute "ambiguous-route" Error "Two routes have the same rank and can match the same request.";
    EmptyUpstream "empty-upstream" Error "An upstream without servers.";
    EmptySubset "empty-subset" Error "Labels that no server of an upstream has.";
    EmptySite "empty-site" Error "A site with neither `upstream` nor routes.";
    NoSites "no-sites" Error "A configuration without sites.";
    UnreachableRoute "unreachable-route" Warning "A route that can never be chosen, since another always goes first.";
    UnmatchableRegex "unmatchable-regex" Warning "A regular expression that the path of no request matches.";
    UselessMethod "useless-method" Warning "A method that never comes to a route, such as `TRACE`.";
    UnlikelyHost "unlikely-host" Warning "A host that is a catch-all elsewhere, such as nginx's `_`, and one name like another here.";
    UncheckedRoutes "unchecked-routes" Warning "Too many routes of one rank to compare every pair; some ambiguities may go unseen.";
    UnusedUpstream "unused-upstream" Warning "An upstream that no route uses.";
    UnusedListener "unused-listener" Warning "A listener that no site is served on.";
    NoCertificate "no-certificate" Warning "A site on a TLS listener that has no certificate and cannot get one.";
    DoubtfulCertificate "doubtful-certificate" Warning "A certificate that clients will not take, or not for long: expired, not yet valid, an incomplete chain.";
    UnusedCertificate "unused-certificate" Warning "A certificate that covers no site's hosts.";
    UnreachableChallenge "unreachable-challenge" Warning "A challenge that the authority cannot reach: http-01 without a cleartext listener on port 80, tls-alpn-01 without a TLS listener on port 443.";
    HstsWithoutRedirect "hsts-without-redirect" Warning "`hsts` for a site whose clients in cleartext are not sent to HTTPS.";
    StepsOutOfOrder "steps-out-of-order" Warning "Percentages of `[overload]` by which what matters less is not given up first.";
    LongTicketRotation "long-ticket-rotation" Warning "A `ticket_rotation` that outlives every ticket.";
    InsecureUpstream "insecure-upstream" Warning "Backends whose certificates are not verified.";
    EmptyImport "empty-import" Warning "An import pattern that matches no file.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Collects diagnostics, up to a limit that keeps hostile texts from filling the memory.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// How many more there were than are kept.
    pub(crate) omitted: usize,
    errors: usize,
    suggestions: usize,
}

/// Diagnostics that are kept.
pub(crate) const DIAGNOSTICS_MAX: usize = 1000;

/// Searches for a similar word: each compares with every candidate, so they are rationed.
const SUGGESTIONS_MAX: usize = 100;

/// Longer words are not compared.
const SUGGESTION_WORD_BYTES_MAX: usize = 64;

impl Report {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity() == Severity::Error);
        if self.is_full() {
            self.omitted += 1;
        } else {
            self.diagnostics.push(diagnostic);
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// True if no more diagnostics are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.diagnostics.len() >= DIAGNOSTICS_MAX
    }

    /// Counts an error without telling it, once no more are kept.
    pub(crate) fn omit_error(&mut self) {
        self.errors += 1;
        self.omitted += 1;
    }

    /// How many errors there are, those that are not kept included.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// False once so many words were compared that no more are.
    pub(crate) fn can_suggest(&self) -> bool {
        self.suggestions < SUGGESTIONS_MAX
    }

    /// "did you mean `x`?", if a candidate is similar to the word.
    pub(crate) fn suggest<'c>(
        &mut self,
        word: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<String> {
        self.similar(word, candidates)
            .map(|best| format!("did you mean `{best}`?"))
    }

    /// The candidate that is most similar to the word, if any is similar enough.
    pub(crate) fn similar<'c>(
        &mut self,
        word: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        if word.len() > SUGGESTION_WORD_BYTES_MAX || !self.can_suggest() {
            return None;
        }
        self.suggestions += 1;
        let distance_max = (word.chars().count() / 3).max(1);
        let lower = word.to_lowercase();
        candidates
            .into_iter()
            .filter(|candidate| candidate.len() <= SUGGESTION_WORD_BYTES_MAX)
            .map(|candidate| {
                (
                    strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                    candidate,
                )
            })
            .filter(|(distance, _)| *distance <= distance_max)
            .min()
            .map(|(_, candidate)| candidate)
    }
}

/// A text in backquotes for a message, shortened if it is long, control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let mut shown: String = text
        .chars()
        .take(SHOWN_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    format!("`{}`", shown.replace("\\\"", "\"").replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use super::{Code, Report, quoted};

    #[test]
    fn names_are_distinct_kebab_case() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(
            names
                .iter()
                .all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        );
    }

    #[test]
    fn suggestions() {
        let check = |word: &str, expected: Option<&str>| {
            assert_eq!(
                Report::default().similar(word, ["upstream", "redirect", "respond"]),
                expected,
                "{word}"
            );
        };
        check("upstraem", Some("upstream"));
        check("Upstream", Some("upstream"));
        check("redirct", Some("redirect"));
        check("x", None);
        check("certificates", None);
        check(&"u".repeat(5000), None);
    }

    #[test]
    fn quoting_shortens_and_escapes() {
        assert_eq!(quoted("a\n\"b\""), "`a\\n\"b\"`");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 83);
    }
}
