//! Runs of bytes of one class, looked at eight at a time.
//!
//! A hit is the high bit of a byte in a word. Sums and differences spill into the next higher byte only from a byte
//! that is a hit itself, so the lowest hit of a word is a true one.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The index of the lowest byte that is a hit.
#[inline]
pub(crate) fn first(hits: u64) -> usize {
    (hits.trailing_zeros() / 8) as usize
}

/// A hit for each byte below `least`, and for each above `~`.
#[inline]
fn outside(word: u64, least: u8) -> u64 {
    (word.wrapping_sub(ONES * least as u64) | word.wrapping_add(ONES) | word) & HIGHS
}

/// A hit for each byte that is `byte`, which is ASCII.
#[inline]
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    (word ^ (ONES * byte as u64)).wrapping_sub(ONES) & !word & HIGHS
}

/// The last `count` bytes, fewer than eight, and zeros behind them.
#[inline(never)]
fn last_word(bytes: &[u8], count: usize) -> u64 {
    match bytes.last_chunk::<8>() {
        Some(_) if count == 0 => 0,
        Some(eight) => u64::from_le_bytes(*eight) >> (64 - 8 * count),
        None => {
            let last = bytes[bytes.len() - count..].iter().rev();
            last.fold(0, |word, &byte| word << 8 | u64::from(byte))
        }
    }
}

/// Where the run ends that begins at `at`, of bytes that are not below `least` and not above `~`.
#[inline]
fn run_end(bytes: &[u8], at: usize, least: u8) -> usize {
    let mut rest = &bytes[at..];
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let hits = outside(u64::from_le_bytes(*word), least);
        if hits != 0 {
            return bytes.len() - rest.len() + first(hits);
        }
        rest = behind;
    }
    // The zeros are hits.
    let word = last_word(bytes, rest.len());
    bytes.len() - rest.len() + first(outside(word, least))
}

/// Where the run of printable ASCII ends that begins at `at`, which is not beyond the end of `bytes`.
#[inline]
pub fn printable_end(bytes: &[u8], at: usize) -> usize {
    run_end(bytes, at, b' ')
}

/// Where the run of visible ASCII ends that begins at `at`, which is not beyond the end of `bytes`.
#[inline]
pub fn visible_end(bytes: &[u8], at: usize) -> usize {
    run_end(bytes, at, b'!')
}

/// Where the run of bytes ends that begins at `at` and may be a field value or a reason phrase: printable ASCII,
/// obs-text and HTAB (RFC 9110 §5.5). For what [`printable_end`] does not know to be the end.
pub fn text_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = match bytes.get(at) {
            Some(b'\t' | 0x80..) => at + 1,
            Some(b' '..=b'~') => printable_end(bytes, at),
            _ => return at,
        }
    }
}

/// How many bytes stand before the first `end`, an ASCII character; `None` when there is none.
#[inline]
pub fn until(bytes: &[u8], end: u8) -> Option<usize> {
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let hits = equal(u64::from_le_bytes(*word), end);
        if hits != 0 {
            return Some(bytes.len() - rest.len() + first(hits));
        }
        rest = behind;
    }
    let short = rest.iter().position(|&byte| byte == end)?;
    Some(bytes.len() - rest.len() + short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8]) {
        let shown = bytes.escape_ascii();
        for at in 0..=bytes.len() {
            let plain = |belongs: fn(u8) -> bool| {
                let len = bytes[at..].iter().position(|&byte| !belongs(byte));
                len.map_or(bytes.len(), |len| at + len)
            };
            let is_text = |byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
            assert_eq!(text_end(bytes, at), plain(is_text), "{shown}");
            let is_printable = |byte| matches!(byte, b' '..=b'~');
            assert_eq!(printable_end(bytes, at), plain(is_printable), "{shown}");
            let is_visible = |byte: u8| byte.is_ascii_graphic();
            assert_eq!(visible_end(bytes, at), plain(is_visible), "{shown}");
        }
        for end in [b':', b'\0', b'?'] {
            let plain = bytes.iter().position(|&byte| byte == end);
            assert_eq!(until(bytes, end), plain, "{shown}");
        }
    }

    #[test]
    fn every_pair_of_bytes_at_every_place_of_a_word() {
        for one in 0..=u8::MAX {
            for other in [0, 8, 9, 0x1f, b' ', b'!', b':', b'~', 0x7f, 0x80, 0xff, one] {
                for at in 0..10 {
                    let mut bytes = [b'a'; 12];
                    bytes[at] = one;
                    bytes[at + 1] = other;
                    check(&bytes);
                    check(&bytes[..at + 2]);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn like_a_plain_search(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            check(&bytes);
        }
    }
}
