//! The chunked coding (RFC 9112 §7.1), byte by byte where it frames and as large as possible where it carries.

use super::decode::{BodyLimits, Decoded, exceeds};
use super::refusal::is_token_byte;
use super::trailers::{TrailerSection, TrailersOf};
use crate::abuse::PIECE_BYTES_MIN;
use foregate_message::Fault;

/// Where in the coding the next byte stands.
///
/// ```text
/// Size ──► Extension… ──┐
///   └────────CR─────────┴─► SizeLf ──► Data ──► DataCr ──► DataLf ──► Size
///                              └ size 0 ─► Trailers ──► (end)
/// ```
#[derive(Debug)]
enum Place {
    Size { digits: u8 },
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers(TrailerSection),
}

/// Where in a chunk extension: `;name`, `;name=token` or `;name="quoted"`.
#[derive(Clone, Copy, Debug)]
enum Extension {
    NameStart,
    Name,
    ValueStart,
    Token,
    Quoted,
    Escaped,
    Closed,
}

/// Digits of a size, leading zeros included (RFC 9112 §7.1 allows any number of them): with sixteen others behind them
/// they say nothing that shorter ones could not.
const SIZE_DIGITS_MAX: u8 = 64;

#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    of: TrailersOf,
    place: Place,
    /// The size being read, then what is left of the chunk.
    remaining: u64,
    extension_bytes: usize,
}

impl ChunkedDecoder {
    pub(super) const fn new(of: TrailersOf) -> ChunkedDecoder {
        ChunkedDecoder {
            of,
            place: Place::Size { digits: 0 },
            remaining: 0,
            extension_bytes: 0,
        }
    }

    /// One step of [`super::BodyDecoder::decode`]; `received` is the data before this, and `tiny` counts chunks with hardly
    /// anything in them.
    #[inline]
    pub(super) fn decode(
        &mut self,
        input: &[u8],
        limits: &BodyLimits,
        received: u64,
        tiny: &mut u32,
    ) -> Result<Decoded, Fault> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match &mut self.place {
                Place::Data => {
                    let rest = input.len() - at;
                    let len = usize::try_from(self.remaining).map_or(rest, |left| left.min(rest));
                    self.remaining -= len as u64;
                    if self.remaining == 0 {
                        self.place = Place::DataCr;
                    }
                    return Ok(Decoded::Data { skip: at, len });
                }
                Place::Size { .. } => self.size_byte(byte)?,
                Place::Extension(_) => self.extension_byte(byte, limits)?,
                Place::SizeLf => {
                    expect_end(byte, b'\n')?;
                    self.size_complete(limits, received)?;
                    // The last one has nothing in it.
                    if (1..u64::from(PIECE_BYTES_MIN)).contains(&self.remaining) {
                        *tiny = tiny.wrapping_add(1);
                    }
                }
                Place::DataCr => {
                    expect_end(byte, b'\r')?;
                    self.place = Place::DataLf;
                }
                Place::DataLf => {
                    expect_end(byte, b'\n')?;
                    self.place = Place::Size { digits: 0 };
                }
                Place::Trailers(section) => {
                    return section
                        .take(&input[at..], limits)
                        .map(|decoded| shifted(decoded, at));
                }
            }
            at += 1;
        }
        Ok(Decoded::More { consumed: at })
    }

    /// `chunk-size = 1*HEXDIG`, with nothing before, and nothing but `;` or CRLF behind.
    #[inline]
    fn size_byte(&mut self, byte: u8) -> Result<(), Fault> {
        let Place::Size { digits } = &mut self.place else {
            return Err(Fault::ChunkSize);
        };
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if *digits > 0 => {
                self.place = Place::SizeLf;
                return Ok(());
            }
            b';' if *digits > 0 => {
                self.extension_bytes += 1;
                self.place = Place::Extension(Extension::NameStart);
                return Ok(());
            }
            b'\n' if *digits > 0 => return Err(Fault::ChunkEnd),
            _ => return Err(Fault::ChunkSize),
        };
        if *digits == SIZE_DIGITS_MAX || self.remaining >> 60 != 0 {
            return Err(Fault::ChunkSize);
        }
        *digits += 1;
        self.remaining = self.remaining << 4 | u64::from(digit);
        Ok(())
    }

    fn size_complete(&mut self, limits: &BodyLimits, received: u64) -> Result<(), Fault> {
        // Nobody could say how long the whole body is any more.
        let total = received
            .checked_add(self.remaining)
            .filter(|&total| total <= i64::MAX as u64)
            .ok_or(Fault::ChunkSize)?;
        if exceeds(total, limits) {
            return Err(Fault::BodyTooLarge);
        }
        self.place = match self.remaining {
            0 => Place::Trailers(TrailerSection::new(self.of)),
            _ => Place::Data,
        };
        Ok(())
    }

    fn extension_byte(&mut self, byte: u8, limits: &BodyLimits) -> Result<(), Fault> {
        let Place::Extension(extension) = &mut self.place else {
            return Err(Fault::ChunkExtension);
        };
        if byte == b'\n' {
            return Err(Fault::ChunkEnd);
        }
        let next = match (*extension, byte) {
            (Extension::Name | Extension::Token | Extension::Closed, b'\r') => None,
            (Extension::Name | Extension::Token | Extension::Closed, b';') => {
                Some(Extension::NameStart)
            }
            (Extension::Name, b'=') => Some(Extension::ValueStart),
            (Extension::NameStart | Extension::Name, _) if is_token_byte(byte) => {
                Some(Extension::Name)
            }
            (Extension::ValueStart, b'"') => Some(Extension::Quoted),
            (Extension::ValueStart | Extension::Token, _) if is_token_byte(byte) => {
                Some(Extension::Token)
            }
            (Extension::Quoted, b'"') => Some(Extension::Closed),
            (Extension::Quoted, b'\\') => Some(Extension::Escaped),
            (Extension::Quoted | Extension::Escaped, b' '..=0x7e | 0x80..) => {
                Some(Extension::Quoted)
            }
            _ => return Err(Fault::ChunkExtension),
        };
        let Some(next) = next else {
            self.place = Place::SizeLf;
            return Ok(());
        };
        *extension = next;
        self.extension_bytes += 1;
        if self.extension_bytes > limits.chunk_extension_bytes_max {
            return Err(Fault::ChunkExtensionsTooLarge);
        }
        Ok(())
    }
}

#[inline]
fn expect_end(byte: u8, expected: u8) -> Result<(), Fault> {
    if byte == expected {
        Ok(())
    } else {
        Err(Fault::ChunkEnd)
    }
}

/// A step that began `at` bytes into the input.
fn shifted(decoded: Decoded, at: usize) -> Decoded {
    match decoded {
        Decoded::More { consumed } => Decoded::More {
            consumed: consumed + at,
        },
        Decoded::Data { skip, len } => Decoded::Data {
            skip: skip + at,
            len,
        },
        Decoded::Trailers { consumed, fields } => Decoded::Trailers {
            consumed: consumed + at,
            fields,
        },
        Decoded::End { consumed } => Decoded::End {
            consumed: consumed + at,
        },
    }
}
