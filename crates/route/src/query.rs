//! Query strings as forms write them: `name=value&name=value`, percent-encoded, `+` for a space.

/// The name and value pairs, still encoded; a name without `=` has an empty value.
pub(crate) fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.iter().position(|&byte| byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        })
}

/// The values, still encoded, of the parameter `name`, which is not.
pub(crate) fn values<'a>(query: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    pairs(query)
        .filter(move |(each, _)| is(each, name))
        .map(|(_, value)| value)
}

/// The bytes that `text` stands for. A `%` without two hexadecimal digits stands for itself.
pub(crate) fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        Some(match byte {
            b'+' => b' ',
            b'%' => match tail {
                [high, low, after @ ..] => match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => {
                        rest = after;
                        high << 4 | low
                    }
                    _ => b'%',
                },
                _ => b'%',
            },
            plain => *plain,
        })
    })
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Whether `text` stands for exactly `plain`.
#[inline]
pub(crate) fn is(text: &[u8], plain: &[u8]) -> bool {
    text.len() >= plain.len() && decoded(text).eq(plain.iter().copied())
}

/// Calls `look` with the bytes that `text` stands for, from the stack unless they are many.
pub(crate) fn with_decoded<T>(text: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    let mut room = [0; 512];
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        look(text)
    } else if text.len() <= room.len() {
        let mut length = 0;
        for (place, byte) in room.iter_mut().zip(decoded(text)) {
            *place = byte;
            length += 1;
        }
        look(&room[..length])
    } else {
        look(&decoded(text).collect::<Vec<u8>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split() {
        let found: Vec<_> = pairs(b"a=1&&b&=c&d=e=f").collect();
        let expected: Vec<(&[u8], &[u8])> =
            vec![(b"a", b"1"), (b"b", b""), (b"", b"c"), (b"d", b"e=f")];
        assert_eq!(found, expected);
    }

    #[test]
    fn decoding() {
        for (text, plain) in [
            ("a+b", "a b"),
            ("%41%2b", "A+"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz1", "%zz1"),
            ("", ""),
        ] {
            assert!(is(text.as_bytes(), plain.as_bytes()), "{text}");
            with_decoded(text.as_bytes(), |found| assert_eq!(found, plain.as_bytes()));
            let long = text.repeat(600);
            with_decoded(long.as_bytes(), |found| {
                assert!(is(long.as_bytes(), found));
            });
        }
        assert!(!is(b"a", b"ab") && !is(b"ab", b"a"));
    }
}
