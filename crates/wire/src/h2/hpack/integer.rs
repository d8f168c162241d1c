//! Integers with a prefix (RFC 7541 §5.1).

use super::Undecodable;

/// No length, index or size that means anything is larger: a block never is.
const NUMBER_MAX: usize = (1 << 28) - 1;

/// Reads an integer whose first byte, already taken, ends in `prefix` bits of it.
#[inline]
pub(super) fn read(
    first: u8,
    prefix: u32,
    input: &[u8],
    at: &mut usize,
) -> Result<usize, Undecodable> {
    let mask = (1_usize << prefix) - 1;
    let number = usize::from(first) & mask;
    if number < mask {
        return Ok(number);
    }
    read_more(number, input, at)
}

/// Numbers with needless zeros at their end are taken as long as they fit four more bytes.
#[inline(never)]
fn read_more(mut number: usize, input: &[u8], at: &mut usize) -> Result<usize, Undecodable> {
    for shift in [0, 7, 14, 21] {
        let byte = *input.get(*at).ok_or(Undecodable)?;
        *at += 1;
        number += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if number <= NUMBER_MAX {
                Ok(number)
            } else {
                Err(Undecodable)
            };
        }
    }
    Err(Undecodable)
}

/// Writes an integer whose first byte begins with the bits of `first`.
#[inline]
pub(super) fn write(first: u8, prefix: u32, number: usize, out: &mut Vec<u8>) {
    let mask = (1_usize << prefix) - 1;
    if number < mask {
        return out.push(first | number as u8);
    }
    out.push(first | mask as u8);
    let mut rest = number - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], prefix: u32, expected: Result<usize, Undecodable>) {
        let mut at = 1;
        let found = read(bytes[0], prefix, bytes, &mut at);
        assert_eq!(found, expected, "{bytes:x?}");
        if let Ok(number) = found {
            assert_eq!(at, bytes.len());
            let mut written = Vec::new();
            write(
                bytes[0] & !((1 << prefix) - 1) as u8,
                prefix,
                number,
                &mut written,
            );
            assert_eq!(written, bytes);
        }
    }

    #[test]
    fn the_examples_of_the_standard() {
        // RFC 7541 Appendix C.1
        check(&[0b1110_1010], 5, Ok(10));
        check(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5, Ok(1337));
        check(&[42], 8, Ok(42));
    }

    #[test]
    fn numbers_have_a_limit() {
        check(&[0xff, 0xff, 0xff, 0xff, 0x7e], 8, Ok(255 + 0x0fdf_ffff));
        check(&[0xff, 0xff, 0xff, 0xff, 0x7f], 8, Err(Undecodable));
        check(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x00], 7, Err(Undecodable));
        check(
            &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            7,
            Err(Undecodable),
        );
        check(&[0x7f, 0x80], 7, Err(Undecodable));
        check(&[0x7f], 7, Err(Undecodable));
    }
}
