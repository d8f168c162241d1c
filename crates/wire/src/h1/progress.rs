//! Heads that arrive in pieces, without starting over at each.

use super::head::{HeadLimits, parse_request, parse_response};
use foregate_message::{Fault, RequestHead, ResponseHead};

/// How far the head at the start of a buffer has been looked at.
///
/// A head sent byte by byte must not cost work that grows with the square of its size. After the first attempt a new
/// one is worth it only once the empty line has come, or the input has doubled (so that a head which is hopeless or
/// too large is refused early), which keeps all attempts together linear. One value serves all heads of a connection
/// in turn; the input must begin with the same byte until a head is found or refused.
#[derive(Clone, Copy, Default, Debug)]
pub struct HeadProgress {
    scanned: usize,
    parse_at: usize,
}

impl HeadProgress {
    /// [`parse_request`], for an input that has grown since it last needed more.
    ///
    /// # Errors
    /// As [`parse_request`].
    pub fn parse_request(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Option<usize>, Fault> {
        if !self.is_worth_it(input) {
            return Ok(None);
        }
        let found = parse_request(input, limits, head);
        self.note(&found, input, limits);
        found
    }

    /// [`parse_response`], for an input that has grown since it last needed more.
    ///
    /// # Errors
    /// As [`parse_response`].
    pub fn parse_response(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Result<Option<usize>, Fault> {
        if !self.is_worth_it(input) {
            return Ok(None);
        }
        let found = parse_response(input, limits, head);
        self.note(&found, input, limits);
        found
    }

    #[inline]
    fn is_worth_it(&mut self, input: &[u8]) -> bool {
        input.len() >= self.parse_at || self.empty_line_came(input)
    }

    /// Whether an empty line ends in the part that was not scanned before. A bare LF counts, so that it is refused.
    fn empty_line_came(&mut self, input: &[u8]) -> bool {
        let from = self.scanned.saturating_sub(2).min(input.len());
        self.scanned = input.len();
        let new = &input[from..];
        new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")
    }

    #[inline]
    fn note(&mut self, found: &Result<Option<usize>, Fault>, input: &[u8], limits: &HeadLimits) {
        if let Ok(None) = found {
            self.scanned = input.len();
            self.parse_at = (input.len() * 2).min(limits.head_bytes_max.max(input.len() + 1));
        } else {
            *self = HeadProgress::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        head_bytes_max: 16 * 1024,
        fields_max: 100,
        target_bytes_max: 100,
    };

    /// Sends `text` byte by byte; where the verdict came, and what it was.
    fn trickle(text: &[u8], limits: &HeadLimits) -> (usize, Result<Option<usize>, Fault>) {
        let mut progress = HeadProgress::default();
        let mut head = RequestHead::new();
        for end in 1..=text.len() {
            let found = progress.parse_request(&text[..end], limits, &mut head);
            if found != Ok(None) {
                return (end, found);
            }
        }
        (text.len(), Ok(None))
    }

    #[test]
    fn a_trickled_head_is_found_with_its_last_byte() {
        let text =
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
        assert_eq!(trickle(text, &LIMITS), (text.len(), Ok(Some(text.len()))));
    }

    #[test]
    fn a_hopeless_head_is_refused_by_the_time_it_has_doubled() {
        let text = [b"GET / HTTP/1.1\r\nHost: a\r\nA\0: x\r\n", &[b'x'; 100][..]].concat();
        let (at, found) = trickle(&text, &LIMITS);
        assert_eq!(found, Err(Fault::Control));
        assert!(at <= 64, "{at}");
        assert_eq!(
            trickle(b"GET / HTTP/1.1\nHost: a\n\n", &LIMITS).1,
            Err(Fault::BareLf)
        );
    }

    #[test]
    fn a_head_that_never_ends_is_refused_at_its_limit() {
        let text = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &[b'x'; 20_000][..]].concat();
        assert_eq!(
            trickle(&text, &LIMITS),
            (16 * 1024, Err(Fault::HeadTooLarge))
        );
    }

    #[test]
    fn the_next_head_starts_afresh() {
        let mut progress = HeadProgress::default();
        let mut head = RequestHead::new();
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for _ in 0..2 {
            assert_eq!(
                progress.parse_request(&text[..20], &LIMITS, &mut head),
                Ok(None)
            );
            assert_eq!(
                progress.parse_request(&text[..21], &LIMITS, &mut head),
                Ok(None)
            );
            let found = progress.parse_request(text, &LIMITS, &mut head);
            assert_eq!(found, Ok(Some(text.len())));
        }
        let mut answer = ResponseHead::default();
        let text = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(
            progress.parse_response(&text[..9], &LIMITS, &mut answer),
            Ok(None)
        );
        let found = progress.parse_response(text, &LIMITS, &mut answer);
        assert_eq!(found, Ok(Some(text.len())));
    }
}
