//! Random bytes that peers get to see, of which a handshake takes a few at a time: drawn by the hundred. Secrets are drawn by
//! the library itself, each when it is needed.

use aws_lc_rs::rand;
use rustls::crypto::{GetRandomFailed, SecureRandom};
use std::cell::RefCell;
use zeroize::Zeroize;

/// What is drawn at once by a thread.
const DRAWN_BYTES: usize = 512;

struct Drawn {
    bytes: [u8; DRAWN_BYTES],
    /// How many of them, from the front, nobody has had yet.
    left: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const {
        RefCell::new(Drawn {
            bytes: [0; DRAWN_BYTES],
            left: 0,
        })
    };
}

/// Fills a buffer with bytes that nobody else gets. `None` when the system gives none.
pub(crate) fn fill(buffer: &mut [u8]) -> Option<()> {
    if buffer.len() > DRAWN_BYTES {
        return rand::fill(buffer).ok();
    }
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.left < buffer.len() {
            drawn.left = 0;
            rand::fill(&mut drawn.bytes).ok()?;
            drawn.left = DRAWN_BYTES;
        }
        let rest = drawn.left - buffer.len();
        let taken = &mut drawn.bytes[rest..drawn.left];
        buffer.copy_from_slice(taken);
        taken.zeroize();
        drawn.left = rest;
        Some(())
    })
}

/// rustls' source of what goes over the wire: the randoms of hellos, the nonces and ages of tickets.
#[derive(Debug)]
pub(crate) struct Visible;

impl SecureRandom for Visible {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(buffer).ok_or(GetRandomFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::{DRAWN_BYTES, fill};
    use std::collections::BTreeSet;
    use std::thread;

    fn drawn(bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        fill(&mut buffer).unwrap();
        buffer
    }

    #[test]
    fn no_bytes_are_given_twice() {
        let one_thread = || (0..500).map(|turn| drawn(16 + turn % 50)).collect();
        let threads: Vec<thread::JoinHandle<Vec<Vec<u8>>>> =
            (0..4).map(|_| thread::spawn(one_thread)).collect();
        let all: Vec<Vec<u8>> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        let pieces: BTreeSet<&[u8]> = all.iter().flat_map(|drawn| drawn.windows(8)).collect();
        let windows: usize = all.iter().map(|drawn| drawn.len() - 7).sum();
        assert_eq!(pieces.len(), windows);
    }

    #[test]
    fn more_than_a_drawing_holds_is_filled_as_well() {
        for bytes in [0, 1, DRAWN_BYTES - 1, DRAWN_BYTES, DRAWN_BYTES + 1, 10_000] {
            let buffer = drawn(bytes);
            assert_eq!(buffer.len(), bytes);
            if bytes > 100 {
                assert!(buffer[bytes - 50..].iter().any(|byte| *byte != 0));
            }
        }
    }
}
