//! The second look: which rule a head breaks first that was not found.
//!
//! This is a plain strict parser that walks the bytes in order. It runs only when the first look did not find a whole
//! head, so it is written to be read, and it names the same fault however much of the input came at once.

use super::head::HeadLimits;
use foregate_message::Fault;

/// Why a step can't go on.
enum Halt {
    /// A rule is broken.
    Broken(Fault),
    /// The input ends here.
    Short,
}

use Halt::{Broken, Short};

/// The rule that the beginning of a request head breaks, if it does.
#[cold]
pub(super) fn of_request(input: &[u8], limits: &HeadLimits) -> Option<Fault> {
    let mut walk = Walk { input, at: 0 };
    let outcome = walk
        .request_line(limits)
        .and_then(|()| walk.fields(limits.fields_max));
    fault(outcome)
}

/// The rule that the beginning of a response head breaks, if it does.
#[cold]
pub(super) fn of_response(input: &[u8], limits: &HeadLimits) -> Option<Fault> {
    let mut walk = Walk { input, at: 0 };
    let outcome = walk
        .status_line()
        .and_then(|()| walk.fields(limits.fields_max));
    fault(outcome)
}

/// The rule that a trailer section breaks, if it does.
#[cold]
pub(super) fn of_trailers(input: &[u8], fields_max: usize) -> Option<Fault> {
    fault(Walk { input, at: 0 }.fields(fields_max))
}

fn fault(outcome: Result<(), Halt>) -> Option<Fault> {
    match outcome {
        Err(Broken(fault)) => Some(fault),
        Ok(()) | Err(Short) => None,
    }
}

struct Walk<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> Result<u8, Halt> {
        self.input.get(self.at).copied().ok_or(Short)
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.input[self.at..];
        let length = rest.iter().take_while(|&&byte| belongs(byte)).count();
        self.at += length;
        &rest[..length]
    }

    /// A byte that ends a line, or does not belong into one.
    fn out_of_place(byte: u8, otherwise: Fault) -> Fault {
        match byte {
            b'\r' | b'\n' | b'\t' => otherwise,
            0..=0x1f | 0x7f => Fault::Control,
            _ => otherwise,
        }
    }

    fn request_line(&mut self, limits: &HeadLimits) -> Result<(), Halt> {
        let method = self.run(is_token_byte);
        match self.peek()? {
            b' ' if !method.is_empty() => self.at += 1,
            b'\r' | b'\n' => return Err(Broken(Fault::StartLine)),
            byte => return Err(Broken(Self::out_of_place(byte, Fault::Method))),
        }
        let target = self.run(|byte| byte > b' ' && byte != 0x7f);
        if target.len() > limits.target_bytes_max {
            return Err(Broken(Fault::TargetTooLong));
        }
        match self.peek()? {
            b' ' if !target.is_empty() && std::str::from_utf8(target).is_ok() => self.at += 1,
            // HTTP/0.9 has no version; nobody speaks it who means well.
            b'\r' | b'\n' if !target.is_empty() => return Err(Broken(Fault::StartLine)),
            byte => return Err(Broken(Self::out_of_place(byte, Fault::Target))),
        }
        self.version()?;
        match self.peek()? {
            b'\r' | b'\n' => self.line_end(),
            byte if byte.is_ascii_digit() => Err(Broken(Fault::Version)),
            byte => Err(Broken(Self::out_of_place(byte, Fault::StartLine))),
        }
    }

    fn status_line(&mut self) -> Result<(), Halt> {
        self.version()?;
        match self.peek()? {
            b' ' => self.at += 1,
            byte if byte.is_ascii_digit() => return Err(Broken(Fault::Version)),
            byte => return Err(Broken(Self::out_of_place(byte, Fault::StartLine))),
        }
        for place in 0..3 {
            let byte = self.peek()?;
            if !byte.is_ascii_digit() {
                return Err(Broken(Self::out_of_place(byte, Fault::StatusCode)));
            }
            if place == 0 && byte == b'0' {
                return Err(Broken(Fault::StatusCode));
            }
            self.at += 1;
        }
        match self.peek()? {
            b' ' | b'\r' | b'\n' => self.text_and_line_end(),
            byte => Err(Broken(Self::out_of_place(byte, Fault::StatusCode))),
        }
    }

    /// `HTTP/1.0` or `HTTP/1.1` (RFC 9112 §2.3).
    fn version(&mut self) -> Result<(), Halt> {
        for &expected in b"HTTP/" {
            let byte = self.peek()?;
            if byte != expected {
                let fault = if expected == b'H' {
                    Fault::StartLine
                } else {
                    Fault::Version
                };
                return Err(Broken(Self::out_of_place(byte, fault)));
            }
            self.at += 1;
        }
        match self.peek()? {
            b'1' => self.at += 1,
            byte if byte.is_ascii_digit() => return Err(Broken(Fault::VersionUnsupported)),
            byte => return Err(Broken(Self::out_of_place(byte, Fault::Version))),
        }
        match self.peek()? {
            b'.' => self.at += 1,
            byte => return Err(Broken(Self::out_of_place(byte, Fault::Version))),
        }
        match self.peek()? {
            b'0' | b'1' => self.at += 1,
            byte if byte.is_ascii_digit() => return Err(Broken(Fault::VersionUnsupported)),
            byte => return Err(Broken(Self::out_of_place(byte, Fault::Version))),
        }
        Ok(())
    }

    fn line_end(&mut self) -> Result<(), Halt> {
        match self.peek()? {
            b'\n' => return Err(Broken(Fault::BareLf)),
            b'\r' => self.at += 1,
            _ => return Err(Broken(Fault::StartLine)),
        }
        match self.peek()? {
            b'\n' => {
                self.at += 1;
                Ok(())
            }
            _ => Err(Broken(Fault::BareCr)),
        }
    }

    fn text_and_line_end(&mut self) -> Result<(), Halt> {
        self.run(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        match self.peek()? {
            b'\r' | b'\n' => self.line_end(),
            _ => Err(Broken(Fault::Control)),
        }
    }

    fn fields(&mut self, fields_max: usize) -> Result<(), Halt> {
        let mut count = 0;
        loop {
            match self.peek()? {
                b'\r' | b'\n' => return self.line_end(),
                b' ' | b'\t' => return Err(Broken(Fault::ObsFold)),
                _ => {}
            }
            let name = self.run(is_token_byte);
            if name.len() > usize::from(u16::MAX) {
                return Err(Broken(Fault::HeadTooLarge));
            }
            match self.peek()? {
                b':' if !name.is_empty() => self.at += 1,
                b' ' | b'\t' => return Err(Broken(Fault::SpaceBeforeColon)),
                byte => return Err(Broken(Self::out_of_place(byte, Fault::FieldName))),
            }
            self.text_and_line_end()?;
            count += 1;
            if count > fields_max {
                return Err(Broken(Fault::TooManyFields));
            }
        }
    }
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}
