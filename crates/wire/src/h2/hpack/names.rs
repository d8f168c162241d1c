//! What the name of a line says.

use foregate_message::{Fault, FieldId, runs};

/// A pseudo-header field (RFC 9113 §8.3, RFC 8441 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pseudo {
    Authority,
    Method,
    Path,
    Scheme,
    Status,
    Protocol,
}

/// The name of a line, found out once for as long as the line stands in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Pseudo(Pseudo),
    Field(FieldId),
    /// Not a name that a message may have.
    Broken(Fault),
}

impl Kind {
    pub(crate) const AUTHORITY: Kind = Kind::Pseudo(Pseudo::Authority);

    /// What `name` is (RFC 9113 §8.2.1: in lower case).
    pub(super) fn of(name: &[u8]) -> Kind {
        if let [b':', pseudo @ ..] = name {
            return Kind::pseudo(pseudo);
        }
        let is_name = name.iter().fold(!name.is_empty(), |so_far, &byte| {
            so_far & NAME[usize::from(byte)]
        });
        if !is_name {
            return Kind::Broken(Fault::FieldName);
        }
        // An entry of a field list holds no longer one.
        if name.len() > usize::from(u16::MAX) {
            return Kind::Broken(Fault::HeadTooLarge);
        }
        Kind::Field(FieldId::of(name))
    }

    fn pseudo(name: &[u8]) -> Kind {
        Kind::Pseudo(match name {
            b"authority" => Pseudo::Authority,
            b"method" => Pseudo::Method,
            b"path" => Pseudo::Path,
            b"scheme" => Pseudo::Scheme,
            b"status" => Pseudo::Status,
            b"protocol" => Pseudo::Protocol,
            _ => return Kind::Broken(Fault::PseudoHeader),
        })
    }

    /// The name under which the line stands in the tables: the authority is what other versions call the host.
    pub(super) fn stored(self, name: &[u8]) -> &[u8] {
        if self == Kind::AUTHORITY {
            STORED_AUTHORITY
        } else {
            name
        }
    }

    /// How much longer the name is on the wire than in the tables.
    #[inline]
    pub(super) fn shortened_by(self) -> usize {
        if self == Kind::AUTHORITY {
            b":authority".len() - STORED_AUTHORITY.len()
        } else {
            0
        }
    }
}

const STORED_AUTHORITY: &[u8] = b"host";

/// Which bytes may stand in a name: those of a token, in lower case.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = byte as u8;
        table[byte] = crate::h1::is_token_byte(code) && !code.is_ascii_uppercase();
        byte += 1;
    }
    table
};

/// What is wrong with a value (RFC 9113 §8.2.1): a character that it may not have, or white space around it.
#[inline]
pub(super) fn value_fault(value: &[u8]) -> Option<Fault> {
    let (Some(first), Some(last)) = (value.first(), value.last()) else {
        return None;
    };
    let blank = |byte: u8| matches!(byte, b' ' | b'\t');
    let mut end = runs::printable_end(value, 0);
    if end < value.len() {
        end = runs::text_end(value, end);
    }
    (end < value.len() || blank(*first) || blank(*last)).then_some(Fault::FieldValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(Kind::of(b"host"), Kind::Field(FieldId::Host));
        assert_eq!(Kind::of(b"x-own"), Kind::Field(FieldId::Other));
        assert_eq!(Kind::of(b":path"), Kind::Pseudo(Pseudo::Path));
        for name in [
            &b""[..],
            b"Host",
            b"x-Own",
            b"a b",
            b"a:",
            b"\xc3\xa4",
            b"a\0",
            b"a\r\n",
        ] {
            assert_eq!(Kind::of(name), Kind::Broken(Fault::FieldName), "{name:?}");
        }
        for name in [&b":"[..], b":Path", b":paths", b"::path", b":foo"] {
            assert_eq!(
                Kind::of(name),
                Kind::Broken(Fault::PseudoHeader),
                "{name:?}"
            );
        }
    }

    #[test]
    fn values() {
        for value in [
            "",
            "a",
            "a b",
            "a\tb",
            "ä",
            "\u{80}ä\tx",
            "0123456789 0123456789",
        ] {
            assert_eq!(value_fault(value.as_bytes()), None, "{value:?}");
        }
        for value in [
            "a\r",
            "a\nb",
            "\0",
            "a\u{7f}",
            " a",
            "a ",
            "\ta",
            "a\t",
            " ",
            "01234567\u{1}9",
        ] {
            assert_eq!(
                value_fault(value.as_bytes()),
                Some(Fault::FieldValue),
                "{value:?}"
            );
        }
    }
}
