//! Just enough HTTP/1.1 to find where a message of a well-behaved peer ends.
//!
//! Both peers of a benchmark are known, so this reads what they send and reports anything else as `None`; it is no
//! parser for the open network.

/// Where a head ends: the index after its empty line.
#[must_use]
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|&b| b == b'\n') {
        let after = from + at + 1;
        if bytes[after..].starts_with(b"\r\n") {
            return Some(after + 2);
        }
        from = after;
    }
    None
}

/// What framing needs to know of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Framing {
    /// `Content-Length`, when present.
    pub length: Option<usize>,
    /// `Transfer-Encoding: chunked` is present.
    pub chunked: bool,
    /// `Connection: close` is present.
    pub close: bool,
    /// `Expect: 100-continue` is present.
    pub expect_continue: bool,
}

/// Reads the framing fields of a complete head (everything up to and including its empty line).
#[must_use]
pub fn framing(head: &[u8]) -> Framing {
    let mut found = Framing::default();
    for line in head.split(|&b| b == b'\n').skip(1) {
        // Only four field names matter; their lengths reject almost every other line at once.
        match line.iter().position(|&b| b == b':') {
            Some(14) if line[..14].eq_ignore_ascii_case(b"content-length") => {
                found.length = decimal(line[15..].trim_ascii());
            }
            Some(17) if line[..17].eq_ignore_ascii_case(b"transfer-encoding") => {
                found.chunked = line[18..].trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            Some(10) if line[..10].eq_ignore_ascii_case(b"connection") => {
                found.close = line[11..].trim_ascii().eq_ignore_ascii_case(b"close");
            }
            Some(6) if line[..6].eq_ignore_ascii_case(b"expect") => found.expect_continue = true,
            _ => {}
        }
    }
    found
}

/// The status code of a response head.
#[must_use]
pub fn status(head: &[u8]) -> Option<u16> {
    let digits = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    u16::try_from(decimal(digits)?).ok()
}

/// A plain decimal number, nothing around it.
#[must_use]
pub fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + usize::from(digit - b'0'))
    })
}

/// A chunked body on its way in: feed it bytes, it hands out the data between the chunk headers.
#[derive(Debug, Default)]
pub struct Chunks {
    state: ChunkState,
    left: usize,
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Data,
    DataEnd,
    Trailers,
    Done,
}

impl Chunks {
    /// Takes a step: returns how many bytes were used up and which of them were body data. `None` is broken framing.
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Option<(usize, &'a [u8])> {
        match self.state {
            ChunkState::Done => Some((0, &[])),
            ChunkState::Data => {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                if self.left == 0 {
                    self.state = ChunkState::DataEnd;
                }
                Some((taken, &bytes[..taken]))
            }
            ChunkState::Size | ChunkState::DataEnd | ChunkState::Trailers => {
                let Some(at) = bytes.iter().position(|&b| b == b'\n') else {
                    self.line.extend_from_slice(bytes);
                    return Some((bytes.len(), &[]));
                };
                self.line.extend_from_slice(&bytes[..at]);
                let line = std::mem::take(&mut self.line);
                self.line_complete(line.trim_ascii())?;
                Some((at + 1, &[]))
            }
        }
    }

    fn line_complete(&mut self, line: &[u8]) -> Option<()> {
        self.state = match self.state {
            ChunkState::Size => {
                let digits = std::str::from_utf8(line).ok()?.split(';').next()?;
                self.left = usize::from_str_radix(digits.trim(), 16).ok()?;
                if self.left == 0 {
                    ChunkState::Trailers
                } else {
                    ChunkState::Data
                }
            }
            ChunkState::DataEnd if line.is_empty() => ChunkState::Size,
            ChunkState::Trailers if line.is_empty() => ChunkState::Done,
            ChunkState::Trailers => ChunkState::Trailers,
            _ => return None,
        };
        Some(())
    }

    /// The last chunk and the trailers were read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_at_the_empty_line() {
        assert_eq!(head_end(b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest"), Some(24));
        assert_eq!(head_end(b"GET / HTTP/1.1\r\nA: b\r\n\r"), None);
        assert_eq!(head_end(b""), None);
    }

    #[test]
    fn framing_fields() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-LENGTH:  12 \r\nConnection: Close\r\nX: content-length\r\n\r\n";
        let expected = Framing {
            length: Some(12),
            close: true,
            ..Framing::default()
        };
        assert_eq!(framing(head), expected);
        assert_eq!(status(head), Some(200));
        assert_eq!(
            framing(b"PUT / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n").length,
            None
        );
    }

    #[test]
    fn chunks_split_anywhere() {
        let wire = b"5;a=b\r\nhello\r\n3\r\nyou\r\n0\r\nT: x\r\n\r\nNEXT";
        for piece in 1..wire.len() {
            let (mut chunks, mut data, mut used) = (Chunks::default(), Vec::new(), 0);
            while !chunks.is_done() {
                let end = (used + piece).min(wire.len());
                let (taken, body) = chunks.step(&wire[used..end]).unwrap();
                data.extend_from_slice(body);
                used += taken;
            }
            assert_eq!(data, b"helloyou");
            assert_eq!(&wire[used..], b"NEXT");
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        let mut chunks = Chunks::default();
        assert!(chunks.step(b"zz\r\n").is_none());
    }
}
