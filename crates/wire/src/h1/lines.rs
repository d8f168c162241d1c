//! Field lines: one pass from the first name to the empty line (RFC 9112 §5).

use super::refusal::is_token_byte;
use foregate_message::{FieldId, Fields, runs};
use std::ops::Range;

/// Which bytes may stand in a token.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    table
};

/// How many bytes of a token `text` begins with.
#[inline]
pub(super) fn token_len(text: &[u8]) -> usize {
    let end = text.iter().position(|&byte| !TOKEN[usize::from(byte)]);
    end.unwrap_or(text.len())
}

/// Adds the lines of the section that begins at `at` of `input` to `fields`, which is then finished with `input`.
///
/// The length of `input` up to the end of the section's empty line; `None` when there is no such end, or something
/// before it that the grammar does not have, or more lines than `fields_max`. What `fields` holds then is unspecified.
#[inline]
pub(super) fn find(
    input: &[u8],
    mut at: usize,
    fields_max: usize,
    fields: &mut Fields,
) -> Option<usize> {
    if input.get(at..)?.starts_with(b"\r\n") {
        return Some(at + 2);
    }
    loop {
        let line = input.get(at..)?;
        let (id, name_len) = FieldId::before_colon(line)?;
        if id == FieldId::Other && !is_name(&line[..name_len]) {
            return None;
        }
        if fields.len() >= fields_max {
            return None;
        }
        let colon = at + name_len;
        let value_at = colon + 2;
        let first = *input.get(value_at)?;
        let mut end = runs::printable_end(input, value_at);
        let mut behind = four(input, end).unwrap_or(0);
        let is_usual = input[colon + 1] == b' ' && first > b' ' && input[end - 1] != b' ';
        if is_usual && behind as u16 == CRLF {
            fields.push_found(id, at..colon, value_at..end, true);
        } else {
            let value = unusual_value(input, colon);
            end = value.line_end;
            behind = four(input, end)?;
            if behind as u16 != CRLF {
                return None;
            }
            fields.push_found(id, at..colon, value.range, value.verbatim);
        }
        if behind >> 16 == u32::from(CRLF) {
            return Some(end + 4);
        }
        at = end + 2;
    }
}

const CRLF: u16 = u16::from_le_bytes(*b"\r\n");

/// The bytes at `at`. No section ends earlier behind a value than with its line and an empty one.
#[inline]
fn four(input: &[u8], at: usize) -> Option<u32> {
    let four = input.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*four))
}

/// Whether `name` is a token whose length an entry of a field list can hold.
#[inline(never)]
fn is_name(name: &[u8]) -> bool {
    let is_token = name
        .iter()
        .fold(true, |so_far, &byte| so_far & TOKEN[usize::from(byte)]);
    is_token && !name.is_empty() && name.len() <= usize::from(u16::MAX)
}

/// A value with other white space around it than one space, with HTAB or obs-text in it, or an empty one.
struct Value {
    range: Range<usize>,
    /// Whether there is one space before it and nothing else, and nothing behind it.
    verbatim: bool,
    /// Where its line ends, if CRLF stands there.
    line_end: usize,
}

#[cold]
#[inline(never)]
fn unusual_value(input: &[u8], colon: usize) -> Value {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let before = input[colon + 1..].iter().take_while(blank).count();
    let start = colon + 1 + before;
    let line_end = runs::text_end(input, start);
    let behind = input[start..line_end]
        .iter()
        .rev()
        .take_while(blank)
        .count();
    Value {
        range: start..line_end - behind,
        verbatim: before == 1 && input[colon + 1] == b' ' && behind == 0,
        line_end,
    }
}
