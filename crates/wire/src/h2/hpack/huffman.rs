//! The Huffman code (RFC 7541 §5.2, Appendix B).
//!
//! The code is canonical: the lengths of its words say everything. Eleven bits are looked up at once, which most of the
//! time are two symbols.

use super::Undecodable;

const SYMBOLS: usize = 257;
const END_OF_STRING: u16 = 256;

/// How many bits the word of each symbol has; the last one is the end of the string, which no string may have.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const BITS_MIN: usize = 5;
const BITS_MAX: usize = 30;

/// The code, from its lengths: words count up, and shorter ones come first.
struct Code {
    words: [u32; SYMBOLS],
    /// The symbols in the order of their words.
    sorted: [u16; SYMBOLS],
    /// For each length, the first word of it and where its symbol stands in `sorted`.
    first: [u32; BITS_MAX + 1],
    place: [u16; BITS_MAX + 1],
    /// For each length, what a longer word begins with at least, in the upper bits of 32.
    beyond: [u32; BITS_MAX + 1],
}

const CODE: Code = {
    let mut code = Code {
        words: [0; SYMBOLS],
        sorted: [0; SYMBOLS],
        first: [0; BITS_MAX + 1],
        place: [0; BITS_MAX + 1],
        beyond: [0; BITS_MAX + 1],
    };
    let mut word = 0_u32;
    let mut count = 0;
    let mut bits = BITS_MIN;
    while bits <= BITS_MAX {
        word <<= 1;
        code.first[bits] = word;
        code.place[bits] = count as u16;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == bits {
                code.words[symbol] = word;
                code.sorted[count] = symbol as u16;
                word += 1;
                count += 1;
            }
            symbol += 1;
        }
        code.beyond[bits] = ((word as u64) << (32 - bits)).saturating_sub(1) as u32;
        bits += 1;
    }
    assert!(
        word == 1 << BITS_MAX,
        "every string of bits begins with one word"
    );
    code
};

const WORDS: [u32; SYMBOLS] = CODE.words;
static CANONICAL: Code = CODE;

/// How many bits are looked up at once.
const STEP_BITS: usize = 11;

/// What a step finds: two symbols, how many of them count (none: the word is longer), and how many bits they have.
#[derive(Clone, Copy)]
struct Step {
    symbols: [u8; 2],
    count: u8,
    bits: u8,
}

static STEPS: [Step; 1 << STEP_BITS] = {
    let nothing = Step {
        symbols: [0; 2],
        count: 0,
        bits: 0,
    };
    let mut steps = [nothing; 1 << STEP_BITS];
    let mut at = 0;
    while at < steps.len() {
        let upper = (at as u32) << (32 - STEP_BITS);
        let (first, first_bits) = word_at(upper, STEP_BITS);
        if first_bits > 0 {
            let (second, second_bits) = word_at(upper << first_bits, STEP_BITS - first_bits);
            steps[at] = Step {
                symbols: [first, second],
                count: 1 + (second_bits > 0) as u8,
                bits: (first_bits + second_bits) as u8,
            };
        }
        at += 1;
    }
    steps
};

/// The symbol whose word `upper` begins with, and the word's length; no length when it is beyond `bits_max`.
const fn word_at(upper: u32, bits_max: usize) -> (u8, usize) {
    let mut bits = BITS_MIN;
    while bits <= bits_max {
        if upper <= CODE.beyond[bits] {
            let nth = (upper >> (32 - bits)) - CODE.first[bits];
            return (
                CODE.sorted[CODE.place[bits] as usize + nth as usize] as u8,
                bits,
            );
        }
        bits += 1;
    }
    (0, 0)
}

/// Appends what `input` says to `out`.
///
/// # Errors
/// The end of the string is spelt out, or what fills the last byte is not its beginning (RFC 7541 §5.2).
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
    let start = out.len();
    // No word is shorter than five bits; a step may write one symbol that does not count.
    out.resize(start + input.len() * 8 / BITS_MIN + 2, 0);
    let found = decode_into(input, &mut out[start..]);
    out.truncate(start + found.unwrap_or(0));
    found.map(|_| ())
}

#[inline]
fn decode_into(input: &[u8], room: &mut [u8]) -> Result<usize, Undecodable> {
    let mut rest = input;
    let mut len = 0;
    // The next bits are the upper ones; `count` says how many are of the input.
    let mut bits = 0_u64;
    let mut count = 0;
    loop {
        if count < 32 {
            let Some((four, behind)) = rest.split_first_chunk::<4>() else {
                break;
            };
            bits |= u64::from(u32::from_be_bytes(*four)) << (32 - count);
            count += 32;
            rest = behind;
        }
        let step = STEPS[(bits >> (64 - STEP_BITS)) as usize];
        if step.count == 0 {
            let (symbol, used) = long_word(bits)?;
            *room.get_mut(len).ok_or(Undecodable)? = symbol;
            len += 1;
            bits <<= used;
            count -= used;
            continue;
        }
        room.get_mut(len..len + 2)
            .ok_or(Undecodable)?
            .copy_from_slice(&step.symbols);
        len += usize::from(step.count);
        bits <<= step.bits;
        count -= u32::from(step.bits);
    }
    for &byte in rest {
        bits |= u64::from(byte) << (56 - count);
        count += 8;
    }
    decode_end(bits, count, room, len)
}

/// The last bits, fewer than 64.
#[inline]
fn decode_end(
    mut bits: u64,
    mut count: u32,
    room: &mut [u8],
    mut len: usize,
) -> Result<usize, Undecodable> {
    while count > 0 {
        // What fills up the last byte is the beginning of the longest word: ones.
        bits |= u64::MAX >> count;
        if count < 8 && bits == u64::MAX {
            break;
        }
        let step = STEPS[(bits >> (64 - STEP_BITS)) as usize];
        let (symbol, used) = match step.count {
            0 => long_word(bits)?,
            _ => {
                let symbol = step.symbols[0];
                (symbol, u32::from(LENGTHS[usize::from(symbol)]))
            }
        };
        if used > count {
            return Err(Undecodable);
        }
        *room.get_mut(len).ok_or(Undecodable)? = symbol;
        len += 1;
        bits <<= used;
        count -= used;
    }
    Ok(len)
}

/// A word of more than [`STEP_BITS`] bits.
#[cold]
#[inline(never)]
fn long_word(bits: u64) -> Result<(u8, u32), Undecodable> {
    let upper = (bits >> 32) as u32;
    for used in STEP_BITS + 1..=BITS_MAX {
        if upper <= CANONICAL.beyond[used] {
            let nth = (upper >> (32 - used)) - CANONICAL.first[used];
            let symbol = CANONICAL.sorted[usize::from(CANONICAL.place[used]) + nth as usize];
            if symbol == END_OF_STRING {
                break;
            }
            return Ok((symbol as u8, used as u32));
        }
    }
    Err(Undecodable)
}

/// How many bytes [`encode`] writes for `text`.
#[inline]
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .map(|&byte| usize::from(LENGTHS[usize::from(byte)]))
        .sum();
    bits.div_ceil(8)
}

/// Appends the code of `text` to `out`.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    // The written bits are the upper ones.
    let mut bits = 0_u64;
    let mut count = 0;
    for &byte in text {
        let used = u32::from(LENGTHS[usize::from(byte)]);
        count += used;
        bits |= u64::from(WORDS[usize::from(byte)]) << (64 - count);
        if count >= 32 {
            out.extend_from_slice(&((bits >> 32) as u32).to_be_bytes());
            bits <<= 32;
            count -= 32;
        }
    }
    if count > 0 {
        bits |= u64::MAX >> count;
        out.extend_from_slice(&bits.to_be_bytes()[..count.div_ceil(8) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, Undecodable> {
        let mut out = b"before".to_vec();
        let found = decode(input, &mut out);
        assert!(out.starts_with(b"before"));
        found.map(|()| out[6..].to_vec())
    }

    #[test]
    fn words_of_the_standard() {
        assert_eq!(WORDS[usize::from(b'0')], 0x0);
        assert_eq!(WORDS[usize::from(b'&')], 0xf8);
        assert_eq!(WORDS[usize::from(b'\\')], 0x7fff0);
        assert_eq!(WORDS[255], 0x3ff_ffee);
        assert_eq!(WORDS[256], 0x3fff_ffff);
    }

    #[test]
    fn only_the_beginning_of_the_end_fills_up() {
        // "0" is five zeros, "a" 00011.
        assert_eq!(decoded(&[0b0000_0111]).as_deref(), Ok(&b"0"[..]));
        assert_eq!(decoded(&[0b0000_0110]), Err(Undecodable));
        assert_eq!(decoded(&[0b0000_0000]), Err(Undecodable));
        assert_eq!(decoded(&[]).as_deref(), Ok(&b""[..]));
        // A byte that is nothing but filling.
        assert_eq!(decoded(&[0xff]), Err(Undecodable));
        assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(Undecodable));
        // The end of the string itself, alone and behind a symbol.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(Undecodable));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc]), Err(Undecodable));
        assert_eq!(
            decoded(&[0x07, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Err(Undecodable)
        );
    }

    #[test]
    fn each_symbol_alone_and_doubled() {
        for symbol in 0..=255 {
            for text in [
                vec![symbol],
                vec![symbol, symbol],
                [vec![symbol], b"0123456789".to_vec()].concat(),
            ] {
                let mut code = Vec::new();
                encode(&text, &mut code);
                assert_eq!(code.len(), encoded_len(&text));
                assert_eq!(decoded(&code), Ok(text));
            }
        }
    }

    proptest! {
        #[test]
        fn round_trip(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut code = Vec::new();
            encode(&text, &mut code);
            prop_assert_eq!(code.len(), encoded_len(&text));
            prop_assert_eq!(decoded(&code), Ok(text));
        }

        /// Each text has one code, so whatever is decoded is encoded to the same again.
        #[test]
        fn there_is_one_code(code in proptest::collection::vec(any::<u8>(), 0..50)) {
            if let Ok(text) = decoded(&code) {
                let mut again = Vec::new();
                encode(&text, &mut again);
                prop_assert_eq!(again, code);
            }
        }

        #[test]
        fn text_round_trip(text in "[ -~]{0,100}") {
            let mut code = Vec::new();
            encode(text.as_bytes(), &mut code);
            prop_assert_eq!(decoded(&code), Ok(text.into_bytes()));
        }
    }
}
