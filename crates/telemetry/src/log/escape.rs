//! Escaping, so that no value can end its line, its quotes or its terminal's good behaviour.

/// How many bytes of a value a line carries; the rest is cut and three dots say so.
pub(super) const VALUE_BYTES_MAX: usize = 8 * 1_024;

/// Writes a value for combined and template lines: printable ASCII as it is, and `\xHH` for everything else, for the
/// double quote and for the backslash, as nginx and Apache do. Bytes beyond ASCII are escaped even where they are
/// valid UTF-8, which has control and direction-changing characters of its own.
pub(super) fn plain(out: &mut Vec<u8>, value: &[u8]) {
    let (mut rest, cut) = cut(value);
    while !is_clean(rest) {
        let clean = clean_length(rest);
        let byte = rest[clean];
        out.extend_from_slice(&rest[..clean]);
        out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte & 15)]);
        rest = &rest[clean + 1..];
    }
    out.extend_from_slice(rest);
    if cut {
        out.extend_from_slice(b"...");
    }
}

/// Writes a value as the inside of a JSON string (RFC 8259, section 7). Valid UTF-8 stays, but for controls and
/// characters that change a text's direction; bytes that are none become U+FFFD.
pub(super) fn json(out: &mut Vec<u8>, value: &[u8]) {
    let (value, cut) = cut(value);
    if is_clean(value) {
        out.extend_from_slice(value);
    } else {
        for chunk in value.utf8_chunks() {
            chunk
                .valid()
                .chars()
                .for_each(|character| json_character(out, character));
            if !chunk.invalid().is_empty() {
                out.extend_from_slice(b"\\ufffd");
            }
        }
    }
    if cut {
        out.extend_from_slice(b"...");
    }
}

fn json_character(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ if is_unseen(character) => {
            // All of them are within 16 bits.
            let code = character as u32;
            out.extend_from_slice(b"\\u");
            out.extend([12, 8, 4, 0].map(|shift| hex((code >> shift) as u8 & 15)));
        }
        _ => {
            let mut buffer = [0; 4];
            out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

/// Controls, line separators, and characters that change a text's direction.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn cut(value: &[u8]) -> (&[u8], bool) {
    match value.get(..VALUE_BYTES_MAX) {
        Some(begin) => (begin, value.len() > VALUE_BYTES_MAX),
        None => (value, false),
    }
}

#[inline]
const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte >= 0x7f || byte == b'"' || byte == b'\\'
}

/// Whether all of it can be written as it is: the common case, decided in blocks, the last of which may overlap the
/// one before.
#[inline]
fn is_clean(value: &[u8]) -> bool {
    if let (blocks, Some(last)) = (value.as_chunks::<16>().0, value.last_chunk::<16>()) {
        return blocks.iter().all(is_clean_block) && is_clean_block(last);
    }
    if let (Some(first), Some(last)) = (value.first_chunk::<8>(), value.last_chunk::<8>()) {
        return is_clean_block(first) && is_clean_block(last);
    }
    if let (Some(first), Some(last)) = (value.first_chunk::<4>(), value.last_chunk::<4>()) {
        return is_clean_block(first) && is_clean_block(last);
    }
    !value.iter().any(|byte| needs_escape(*byte))
}

/// Without an early exit, so that it becomes a few vector instructions.
#[inline]
fn is_clean_block<const LENGTH: usize>(block: &[u8; LENGTH]) -> bool {
    !block
        .iter()
        .fold(false, |dirty, byte| dirty | needs_escape(*byte))
}

/// How many bytes at the beginning can be written as they are.
fn clean_length(value: &[u8]) -> usize {
    value
        .iter()
        .position(|byte| needs_escape(*byte))
        .unwrap_or(value.len())
}

const fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[nibble as usize & 15]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &[u8], expected_plain: &str, expected_json: &str) {
        let mut out = Vec::new();
        plain(&mut out, input);
        assert_eq!(String::from_utf8(out).unwrap(), expected_plain);
        let mut out = Vec::new();
        json(&mut out, input);
        assert_eq!(String::from_utf8(out).unwrap(), expected_json);
    }

    #[test]
    fn known_values() {
        check(b"", "", "");
        check(b"/a path?b=c", "/a path?b=c", "/a path?b=c");
        check(
            b"a\r\nb\t\0\"\\",
            r"a\x0d\x0ab\x09\x00\x22\x5c",
            r#"a\r\nb\t\u0000\"\\"#,
        );
        check(b"\x1b[31m\x7f", r"\x1b[31m\x7f", r"\u001b[31m\u007f");
        check("grün".as_bytes(), r"gr\xc3\xbcn", "grün");
        check(b"a\xffb\xc3", r"a\xffb\xc3", r"a\ufffdb\ufffd");
        check(
            "\u{202e}\u{9b}\u{2028}".as_bytes(),
            r"\xe2\x80\xae\xc2\x9b\xe2\x80\xa8",
            r"\u202e\u009b\u2028",
        );
        check(
            b"0123456789abcdef0123456789abcde\"f0123456789abcdef",
            r"0123456789abcdef0123456789abcde\x22f0123456789abcdef",
            r#"0123456789abcdef0123456789abcde\"f0123456789abcdef"#,
        );
    }

    #[test]
    fn long_values_are_cut() {
        let mut out = Vec::new();
        plain(&mut out, &vec![b'a'; VALUE_BYTES_MAX]);
        assert_eq!(out.len(), VALUE_BYTES_MAX);
        out.clear();
        plain(&mut out, &vec![b'a'; VALUE_BYTES_MAX + 1]);
        assert_eq!(out.len(), VALUE_BYTES_MAX + 3);
        out.clear();
        json(&mut out, &vec![0; 1_000_000]);
        assert_eq!(out.len(), 6 * VALUE_BYTES_MAX + 3);
    }

    proptest! {
        #[test]
        fn nothing_gets_out_of_its_quotes(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            plain(&mut out, &value);
            prop_assert!(out.iter().all(|byte| (0x20..0x7f).contains(byte) && *byte != b'"'));
            // A backslash begins an escape and nothing else, so the value can be had back.
            let text = String::from_utf8(out).unwrap();
            let mut back = Vec::new();
            let mut parts = text.split("\\x");
            back.extend_from_slice(parts.next().unwrap().as_bytes());
            for part in parts {
                back.push(u8::from_str_radix(&part[..2], 16).unwrap());
                back.extend_from_slice(&part.as_bytes()[2..]);
            }
            prop_assert_eq!(back, value);
        }
    }
}
