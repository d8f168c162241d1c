//! How urgent an answer is (RFC 9218 §4), from the `Priority` field and PRIORITY_UPDATE.

/// The two parameters of RFC 9218.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Priority {
    /// 0 is the most urgent, 7 the least.
    pub urgency: u8,
    /// Whether a part of the answer is of use, so that answers of the same urgency may take turns.
    pub incremental: bool,
}

impl Priority {
    /// What a client wants that says nothing. It takes turns: RFC 9218's default would let one long answer hold up all
    /// others of a client that knows nothing of priorities, and §4.2 leaves the choice to the server.
    pub const UNSAID: Priority = Priority {
        urgency: 3,
        incremental: true,
    };

    /// Reads the value of a `Priority` field: a dictionary (RFC 8941 §3.2) of `u` and `i`. What is unknown or out of
    /// range is ignored (RFC 9218 §4).
    pub fn parse(value: &[u8]) -> Priority {
        let mut priority = Priority {
            urgency: 3,
            incremental: false,
        };
        for member in value.split(|&byte| byte == b',') {
            let item = member.split(|&byte| byte == b';').next();
            match item.unwrap_or_default().trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_members_count_and_the_rest_is_ignored() {
        let check = |value: &str, urgency, incremental| {
            let expected = Priority {
                urgency,
                incremental,
            };
            assert_eq!(Priority::parse(value.as_bytes()), expected, "{value}");
        };
        check("", 3, false);
        check("u=0", 0, false);
        check("u=7,i", 7, true);
        check(" i=?1 , u=5;x=1", 5, true);
        check("i, i=?0", 3, false);
        check("u=8, i=1", 3, false);
        check("u=-1, foo=?1, u", 3, false);
        check("u=1, u=2", 2, false);
    }
}
