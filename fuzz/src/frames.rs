//! Likely frames of HTTP/2, most of them in an order that makes sense, so that mutations start near the rules.

use crate::{Dice, blocks};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const PRIORITY_UPDATE: u8 = 16;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// What a client sends.
pub(crate) fn from_client(dice: &mut Dice) -> Vec<u8> {
    let mut next = 1;
    frames(dice, |dice, out| {
        let stream = next;
        next += 2;
        let block = blocks::request(dice);
        headers(dice, stream, &block, out);
    })
}

/// What a server sends.
pub(crate) fn from_server(dice: &mut Dice) -> Vec<u8> {
    frames(dice, |dice, out| {
        let stream = [1, 3, 5][dice.below(3)];
        let status = dice.pick(&["200", "204", "103", "304", "101"]);
        let mut block = vec![0, 7];
        block.extend_from_slice(b":status\x03");
        block.extend_from_slice(status.as_bytes());
        if dice.one_in(3) {
            block.extend_from_slice(b"\0\x0econtent-length\x013");
        }
        headers(dice, stream, &block, out);
    })
}

fn headers(dice: &mut Dice, stream: u32, block: &[u8], out: &mut Vec<u8>) {
    let end = u8::from(dice.one_in(3));
    if dice.one_in(6) {
        let (front, back) = block.split_at(dice.below(block.len()));
        frame(HEADERS, end, stream, front, out);
        frame(CONTINUATION, 4, stream, back, out);
    } else {
        frame(HEADERS, end | 4, stream, block, out);
    }
}

fn frames(dice: &mut Dice, mut head: impl FnMut(&mut Dice, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..dice.below(12) + 1 {
        let stream = [0, 1, 1, 3, 3, 5, 7, 2][dice.below(8)];
        let number = (dice.roll() as u32 >> dice.below(32)).to_be_bytes();
        match dice.below(12) {
            0..=3 => head(dice, &mut out),
            4 | 5 => {
                let length = dice.below(40);
                frame(
                    DATA,
                    u8::from(dice.one_in(3)),
                    stream,
                    &vec![b'x'; length],
                    &mut out,
                );
            }
            6 => frame(DATA, 8, stream, &[2, b'x', 0, 0], &mut out),
            7 => frame(WINDOW_UPDATE, 0, stream, &number, &mut out),
            8 => frame(RST_STREAM, 0, stream, &number, &mut out),
            9 => {
                let mut line = vec![0, dice.below(10) as u8];
                line.extend_from_slice(&number);
                frame(SETTINGS, 0, 0, &line, &mut out);
            }
            10 => frame(PING, dice.below(2) as u8, 0, &[7; 8], &mut out),
            _ => {
                let mut payload = number.to_vec();
                payload.extend_from_slice(b"u=1,i...");
                let kind = [GOAWAY, PRIORITY_UPDATE, dice.below(20) as u8][dice.below(3)];
                frame(kind, 0, stream, &payload, &mut out);
            }
        }
    }
    out
}
