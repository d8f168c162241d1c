//! Small changes to inputs, of the kinds that have broken parsers before.

use crate::Dice;

/// Bytes that mean something to one of the parsers.
const BYTES: &[u8] = b"\0\x01\t\n\x0b\r \"#%&'()*+,-./09:;<=>?@AZ[\\]^_az{|}~\x7f\x80\xff";

/// Pieces that mean something to one of the parsers.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\r\n ",
    b"0\r\n\r\n",
    b"0\r\n",
    b"Host: a\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\tchunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Connection: close, Content-Length\r\n",
    b"Connection: Transfer-Encoding\r\n",
    b"TE: trailers\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
    b";a=\"",
    b";",
    b"ffffffffffffffff\r\n",
    b"0x",
    b"%2e%2e",
    b"%2f",
    b"%00",
    b"/../",
    b"//",
    b"..;",
    b"\xc3\xa9",
];

/// `input` with one to four changes; `other` is what parts may be taken from.
pub(crate) fn mutate(dice: &mut Dice, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(4) {
        change(dice, &mut bytes, other);
    }
    bytes.truncate(1 << 16);
    bytes
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = dice.below(bytes.len() + 1);
    let end = at + dice.below((bytes.len() - at).min(24) + 1);
    match dice.below(8) {
        0 if at < bytes.len() => bytes[at] = BYTES[dice.below(BYTES.len())],
        1 => bytes.insert(at, BYTES[dice.below(BYTES.len())]),
        2 => drop(bytes.drain(at..end)),
        3 => insert(bytes, at, dice.pick(PIECES)),
        4 => bytes.extend_from_within(at..end),
        5 => {
            let from = dice.below(other.len() + 1);
            let to = from + dice.below((other.len() - from).min(64) + 1);
            insert(bytes, at, &other[from..to]);
        }
        6 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        7 if dice.one_in(4) => bytes.truncate(at),
        _ => insert(bytes, at, b"\r\n"),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}
