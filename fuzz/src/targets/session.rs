//! Session cookies: whatever a client brings is opened or refused, and only what was sealed here is opened.
//!
//! An input is a token (endpoint and expiry, eight bytes each), a byte that says how many changes are made to its sealed
//! text, the changes (place and mask), and the text that a client might have made up.

use crate::Dice;
use foregate_balance::{SessionNote, SessionToken};
use foregate_exchange::Seal;
use std::sync::OnceLock;

/// Two keys, drawn anew for each process: no input can have been sealed with them.
fn seals() -> &'static [Seal; 2] {
    static SEALS: OnceLock<[Seal; 2]> = OnceLock::new();
    SEALS.get_or_init(|| {
        let secret = Seal::random_secret().expect("the system has random numbers");
        ["app", "other"].map(|upstream| Seal::new(upstream, [&secret[..]]))
    })
}

/// Values of session cookies.
pub fn session_cookie(input: &[u8]) {
    let [app, other] = seals();
    assert_eq!(app.open(input, 0), Err(SessionNote::Forged));
    let Some((token, rest)) = input.split_first_chunk::<16>() else {
        return;
    };
    let number = u128::from_be_bytes(*token);
    let token = SessionToken {
        endpoint: (number >> 64) as u64,
        expires: number as u64,
    };
    let text = app.seal(&token).expect("there is a key");
    let now = token.expires.saturating_sub(1);
    match token.expires {
        0 => assert_eq!(app.open(&text, 0), Err(SessionNote::Expired)),
        _ => assert_eq!(app.open(&text, now), Ok(token)),
    }
    let late = app.open(&text, token.expires);
    assert_eq!(late, Err(SessionNote::Expired));
    assert_eq!(other.open(&text, now), Err(SessionNote::Forged));
    let Some((&count, rest)) = rest.split_first() else {
        return;
    };
    let (changes, foreign) = rest.split_at(rest.len().min(usize::from(count) * 2));
    let mut changed = text;
    for change in changes.chunks_exact(2) {
        changed[usize::from(change[0]) % text.len()] ^= change[1];
    }
    if changed != text {
        assert_eq!(app.open(&changed, now), Err(SessionNote::Forged));
    }
    // A text of its own, alone and over the beginning of a good one.
    assert_eq!(app.open(foreign, now), Err(SessionNote::Forged));
    let mut spliced = text;
    let length = foreign.len().min(text.len());
    spliced[..length].copy_from_slice(&foreign[..length]);
    if spliced != text {
        assert_eq!(app.open(&spliced, now), Err(SessionNote::Forged));
    }
}

/// Characters that cookies of sessions are made of, and some that they are not.
const CHARACTERS: &[u8] = b"ABCXYZabcxyz0189-_-_+/=;, ";

pub(crate) fn generate(dice: &mut Dice) -> Vec<u8> {
    let mut input: Vec<u8> = (0..16).map(|_| dice.below(256) as u8).collect();
    if dice.one_in(8) {
        input[8..].fill(0);
    }
    let count = dice.below(4);
    input.push(count as u8);
    for _ in 0..count {
        // Most changes leave a character that is one of base64.
        input.push(dice.below(60) as u8);
        input.push(1 << dice.below(8));
    }
    let length = if dice.one_in(2) { 60 } else { dice.below(80) };
    input.extend((0..length).map(|_| CHARACTERS[dice.below(CHARACTERS.len())]));
    input
}
