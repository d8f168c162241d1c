//! Bodies: from data and trailers to bytes (RFC 9112 §6, §7).

use foregate_message::Fields;

/// A body that does not have the length that its head announced. What was sent must not be taken as whole, so the
/// connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyMismatch {
    /// There is more data than announced, or data where there may be none.
    TooLong,
    /// The body ended early.
    TooShort,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// The body is over, or there never was one.
    Done,
    Known {
        remaining: u64,
    },
    /// `open`: a piece was begun whose CRLF is still to come.
    Chunked {
        open: bool,
    },
    UntilClose,
    /// What lasts until close is over; closing the connection is still to say so.
    Closing,
    Tunnel,
    /// It was given up, which nothing that is sent may hide.
    Broken,
}

/// The sending side of one body. Data itself does not pass through it: the caller writes
/// [`prefix`](BodyEncoder::prefix), the piece, [`suffix`](BodyEncoder::suffix), and at the end
/// [`finish`](BodyEncoder::finish).
#[derive(Debug)]
pub struct BodyEncoder {
    form: Form,
}

impl BodyEncoder {
    /// No body.
    pub const fn empty() -> BodyEncoder {
        BodyEncoder { form: Form::Done }
    }

    /// Exactly so many bytes.
    pub const fn known(length: u64) -> BodyEncoder {
        BodyEncoder {
            form: match length {
                0 => Form::Done,
                remaining => Form::Known { remaining },
            },
        }
    }

    /// The chunked coding.
    pub const fn chunked() -> BodyEncoder {
        BodyEncoder {
            form: Form::Chunked { open: false },
        }
    }

    /// As many bytes as come until the connection is closed.
    pub const fn until_close() -> BodyEncoder {
        BodyEncoder {
            form: Form::UntilClose,
        }
    }

    /// Not a body: another protocol.
    pub const fn tunnel() -> BodyEncoder {
        BodyEncoder { form: Form::Tunnel }
    }

    /// Writes what goes before a piece of `len` bytes.
    ///
    /// # Errors
    /// [`BodyMismatch::TooLong`] when the body has no room for the piece, which must not be sent then.
    #[inline]
    pub fn prefix(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), BodyMismatch> {
        if let Form::Chunked { open } = &mut self.form {
            // An empty chunk would end the body.
            if len > 0 {
                *open = true;
                write_size(len, out);
            }
            return Ok(());
        }
        self.count(len)
    }

    /// Counts a piece of `len` bytes: all that [`prefix`](BodyEncoder::prefix) does for a body that
    /// [is plain](BodyEncoder::is_plain).
    ///
    /// # Errors
    /// [`BodyMismatch::TooLong`] when the body has no room for the piece, which must not be sent then.
    #[inline]
    pub fn count(&mut self, len: usize) -> Result<(), BodyMismatch> {
        match &mut self.form {
            Form::Known { remaining } => {
                *remaining = remaining
                    .checked_sub(len as u64)
                    .ok_or(BodyMismatch::TooLong)?;
                if *remaining == 0 {
                    self.form = Form::Done;
                }
            }
            Form::Done | Form::Closing | Form::Broken if len > 0 => {
                return Err(BodyMismatch::TooLong);
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes what goes behind a piece.
    #[inline]
    pub fn suffix(&mut self, out: &mut Vec<u8>) {
        if let Form::Chunked { open } = &mut self.form
            && *open
        {
            *open = false;
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Ends the body. Trailers are written where the coding has a place for them, and dropped elsewhere
    /// (RFC 9110 §6.5.1).
    ///
    /// # Errors
    /// [`BodyMismatch::TooShort`] when less was sent than announced.
    pub fn finish(
        &mut self,
        trailers: Option<&Fields>,
        out: &mut Vec<u8>,
    ) -> Result<(), BodyMismatch> {
        if !self.is_plain() {
            self.suffix(out);
            out.extend_from_slice(b"0\r\n");
            if let Some(trailers) = trailers {
                trailers.write_http1(out);
            }
            out.extend_from_slice(b"\r\n");
        }
        self.end()
    }

    /// Ends the body: all that [`finish`](BodyEncoder::finish) does for one that [is plain](BodyEncoder::is_plain).
    ///
    /// # Errors
    /// [`BodyMismatch::TooShort`] when less was sent than announced.
    #[inline]
    pub fn end(&mut self) -> Result<(), BodyMismatch> {
        self.form = match self.form {
            Form::Known { .. } | Form::Broken => return Err(BodyMismatch::TooShort),
            Form::UntilClose | Form::Closing => Form::Closing,
            Form::Done | Form::Chunked { .. } | Form::Tunnel => Form::Done,
        };
        Ok(())
    }

    /// Whether everything that was announced is written.
    #[inline]
    pub fn is_complete(&self) -> bool {
        matches!(self.form, Form::Done | Form::Closing)
    }

    /// Whether the body takes data unchanged, with nothing before or behind a piece.
    #[inline]
    pub fn is_plain(&self) -> bool {
        !matches!(self.form, Form::Chunked { .. })
    }

    /// Whether only closing the connection ends the body, also once all of it is written.
    pub fn ends_by_closing(&self) -> bool {
        matches!(self.form, Form::UntilClose | Form::Closing | Form::Tunnel)
    }

    /// Something of what was written is thrown away: the body is not complete, and never will be.
    pub fn break_off(&mut self) {
        self.form = match self.form {
            Form::Closing => Form::UntilClose,
            Form::UntilClose | Form::Tunnel => self.form,
            Form::Done | Form::Known { .. } | Form::Chunked { .. } | Form::Broken => Form::Broken,
        };
    }
}

/// `chunk-size CRLF`, without leading zeros.
#[inline]
fn write_size(len: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = [0; 18];
    let mut at = 16;
    line[16..].copy_from_slice(b"\r\n");
    let mut rest = len;
    while rest > 0 {
        at -= 1;
        line[at] = DIGITS[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&line[at..]);
}

/// A number in decimal.
#[inline]
pub(crate) fn write_decimal(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(decimal_digits(number, &mut [0; 20]));
}

/// The digits of a number in decimal, at the end of `digits`.
#[inline]
pub(crate) fn decimal_digits(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    &digits[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(
        mut body: BodyEncoder,
        pieces: &[&str],
        trailers: Option<&Fields>,
    ) -> Result<String, BodyMismatch> {
        let mut out = Vec::new();
        for piece in pieces {
            body.prefix(piece.len(), &mut out)?;
            out.extend_from_slice(piece.as_bytes());
            body.suffix(&mut out);
        }
        body.finish(trailers, &mut out)?;
        assert!(body.is_complete());
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn chunks() {
        let chunked = BodyEncoder::chunked;
        assert_eq!(encode(chunked(), &[], None).unwrap(), "0\r\n\r\n");
        assert_eq!(
            encode(chunked(), &["a", "", "0123456789abcdef"], None).unwrap(),
            "1\r\na\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
        );
        let mut trailers = Fields::new();
        trailers.append_line(b"A", b"b");
        assert_eq!(
            encode(chunked(), &["a"], Some(&trailers)).unwrap(),
            "1\r\na\r\n0\r\nA: b\r\n\r\n"
        );
        assert_eq!(
            encode(BodyEncoder::known(1), &["a"], Some(&trailers)).unwrap(),
            "a"
        );
    }

    #[test]
    fn a_body_keeps_to_what_was_announced() {
        let known = BodyEncoder::known;
        assert_eq!(encode(known(3), &["ab", "c"], None).unwrap(), "abc");
        assert_eq!(encode(known(3), &["ab"], None), Err(BodyMismatch::TooShort));
        assert_eq!(
            encode(known(3), &["ab", "cd"], None),
            Err(BodyMismatch::TooLong)
        );
        assert_eq!(
            encode(known(2), &["ab", "c"], None),
            Err(BodyMismatch::TooLong)
        );
        assert_eq!(
            encode(BodyEncoder::empty(), &["a"], None),
            Err(BodyMismatch::TooLong)
        );
        assert_eq!(
            encode(BodyEncoder::until_close(), &["ab", "c"], None).unwrap(),
            "abc"
        );
    }

    #[test]
    fn what_is_thrown_away_leaves_no_body_complete() {
        for (mut body, by_closing) in [
            (BodyEncoder::empty(), false),
            (BodyEncoder::chunked(), false),
            (BodyEncoder::until_close(), true),
        ] {
            assert_eq!(body.finish(None, &mut Vec::new()), Ok(()));
            assert_eq!(
                (body.is_complete(), body.ends_by_closing()),
                (true, by_closing)
            );
            body.break_off();
            assert_eq!(
                (body.is_complete(), body.ends_by_closing()),
                (false, by_closing)
            );
        }
    }

    #[test]
    fn sizes_have_no_leading_zeros() {
        for len in [1, 15, 16, 255, 256, 65_535, 65_536, usize::MAX] {
            let mut out = Vec::new();
            write_size(len, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{len:x}\r\n"));
        }
        for number in [0, 9, 10, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
