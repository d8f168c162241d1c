//! How large a request's body may be.

use crate::Verdict;
use foregate_message::{BodyLength, Fault, Reason};

/// The limit for one request's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyLimit {
    bytes_max: Option<u64>,
}

impl BodyLimit {
    /// A limit in bytes; `None` is no limit.
    pub const fn new(bytes_max: Option<u64>) -> BodyLimit {
        BodyLimit { bytes_max }
    }

    /// Refuses a body that says of itself that it is too large, before a byte of it is read and before any backend
    /// hears of it. A body that does not say is counted as it comes, by whoever reads it.
    #[inline]
    pub fn admit(self, length: BodyLength) -> Verdict {
        match (length, self.bytes_max) {
            (BodyLength::Known(bytes), Some(max)) if bytes > max => {
                Verdict::Refuse(Reason::Request(Fault::BodyTooLarge))
            }
            _ => Verdict::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(length: BodyLength, bytes_max: Option<u64>, expected: Option<&str>) {
        let reason = match BodyLimit::new(bytes_max).admit(length) {
            Verdict::Refuse(reason) => Some(reason.name()),
            _ => None,
        };
        assert_eq!(reason, expected);
    }

    #[test]
    fn declared_lengths() {
        check(
            BodyLength::Known(6),
            Some(5),
            Some("request-body-too-large"),
        );
        check(BodyLength::Known(5), Some(5), None);
        check(BodyLength::Empty, Some(0), None);
        check(BodyLength::Unknown, Some(0), None);
        check(BodyLength::Known(u64::MAX), None, None);
    }
}
