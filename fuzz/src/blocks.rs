//! Likely field blocks of HTTP/2: mostly well-formed, built from choices, so that mutations start near the rules.

use crate::Dice;

const PSEUDO: &[&str] = &[
    ":method",
    ":scheme",
    ":path",
    ":authority",
    ":protocol",
    ":status",
];
const NAMES: &[&str] = &[
    "accept",
    "x-a",
    "cookie",
    "cookie",
    "te",
    "host",
    "content-length",
    "connection",
    "expect",
    "via",
    "Accept",
];
const VALUES: &[&str] = &[
    "",
    "a",
    "trailers",
    "100-continue",
    "0",
    "5",
    "a=b",
    "GET",
    "CONNECT",
    "http",
    "https",
    "/",
    "/a?b",
    "*",
    "a.example",
    "a.example:443",
    "websocket",
    "\u{e9}",
    " a",
    "a\r\nb: c",
];

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// A line that is spelt out, for the table or not.
fn literal(dice: &mut Dice, name: &str, value: &str, out: &mut Vec<u8>) {
    out.push([0x00, 0x40, 0x40, 0x10][dice.below(4)]);
    string(name, out);
    string(value, out);
}

/// Any block.
pub(crate) fn block(dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    if dice.one_in(8) {
        out.push(0x20 | dice.below(31) as u8);
    }
    for _ in 0..dice.below(12) {
        match dice.below(4) {
            // Numbers of the static table and of the first lines of the other one.
            0 => out.push(0x80 | (1 + dice.below(70)) as u8),
            1 => {
                out.push(0x40 | (1 + dice.below(62)) as u8);
                string(dice.pick(VALUES), &mut out);
            }
            2 => {
                let (name, value) = (dice.pick(PSEUDO), dice.pick(VALUES));
                literal(dice, name, value, &mut out);
            }
            _ => {
                let (name, value) = (dice.pick(NAMES), dice.pick(VALUES));
                literal(dice, name, value, &mut out);
            }
        }
    }
    out
}

/// A block that begins as a request does.
pub(crate) fn request(dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    let method = dice.pick(&["GET", "POST", "HEAD", "OPTIONS", "PURGE", "CONNECT"]);
    literal(dice, ":method", method, &mut out);
    literal(dice, ":scheme", "https", &mut out);
    if !dice.one_in(8) {
        literal(dice, ":authority", "a.example", &mut out);
    }
    let path = dice.pick(&["/", "/a?b", "*", "/%2e/", "http://b/"]);
    literal(dice, ":path", path, &mut out);
    if dice.one_in(4) {
        literal(dice, ":protocol", "websocket", &mut out);
    }
    out.extend(block(dice));
    out
}
