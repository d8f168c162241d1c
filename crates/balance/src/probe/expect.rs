//! What the answer to an HTTP probe must be.

use regex::bytes::Regex;

/// How many ranges of statuses may be named.
pub const STATUS_RANGES_MAX: usize = 32;

/// A set of statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Box<[(u16, u16)]>);

impl Statuses {
    /// From inclusive ranges.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = (u16, u16)>) -> Statuses {
        Statuses(ranges.into_iter().collect())
    }

    /// Whether a status is in the set.
    #[must_use]
    #[inline]
    pub fn contains(&self, status: u16) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&status))
    }

    /// Whether no status is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a body must hold.
#[derive(Clone, Debug)]
pub enum BodyMatch {
    /// These bytes, anywhere.
    Contains(Box<[u8]>),
    /// What this expression finds.
    Matches(Regex),
}

impl PartialEq for BodyMatch {
    fn eq(&self, other: &BodyMatch) -> bool {
        match (self, other) {
            (BodyMatch::Contains(one), BodyMatch::Contains(other)) => one == other,
            (BodyMatch::Matches(one), BodyMatch::Matches(other)) => one.as_str() == other.as_str(),
            _ => false,
        }
    }
}

impl Eq for BodyMatch {}

impl BodyMatch {
    /// Whether a body holds it.
    #[must_use]
    pub fn is_in(&self, body: &[u8]) -> bool {
        match self {
            BodyMatch::Contains(part) if part.is_empty() => true,
            BodyMatch::Contains(part) => body.windows(part.len()).any(|window| *window == **part),
            BodyMatch::Matches(regex) => regex.is_match(body),
        }
    }
}

/// What an answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Its status is one of these.
    pub statuses: Statuses,
    /// Its body holds this, if anything is asked of it.
    pub body: Option<BodyMatch>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_ranges() {
        let statuses = Statuses::new([(200, 299), (304, 304)]);
        for (status, expected) in [
            (199, false),
            (200, true),
            (299, true),
            (300, false),
            (304, true),
        ] {
            assert_eq!(statuses.contains(status), expected, "{status}");
        }
        assert!(Statuses::new([]).is_empty());
    }

    #[test]
    fn bodies_hold_bytes_or_match() {
        let contains = BodyMatch::Contains(b"ready"[..].into());
        assert!(contains.is_in(b"{\"state\":\"ready\"}"));
        assert!(!contains.is_in(b"read"));
        assert!(BodyMatch::Contains(Box::default()).is_in(b""));
        let matches = BodyMatch::Matches(Regex::new("^ok [0-9]+").unwrap());
        assert!(matches.is_in(b"ok 17"));
        assert!(!matches.is_in(b"not ok 17"));
        assert_eq!(
            matches,
            BodyMatch::Matches(Regex::new("^ok [0-9]+").unwrap())
        );
        assert_ne!(matches, contains);
    }
}
