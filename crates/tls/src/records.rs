//! The record layer once a handshake is done (RFC 8446 §5, RFC 5246 §6.2): pure, bytes in and bytes out.
//!
//! rustls holds the handshakes and the secrets; records are sealed and opened here, because its own record layer copies
//! every byte twice and allocates for every record. Here a record is sealed from the caller's bytes straight into the
//! buffer that goes to the socket, and opened from the buffer that came from it straight into the caller's.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::ConnectionTrafficSecrets;
use std::io::IoSlice;

/// A record's header: its type, a version that means nothing, its length.
pub(crate) const HEADER_BYTES: usize = 5;

/// What a record may carry.
pub(crate) const PLAIN_BYTES_MAX: usize = 16 * 1024;

/// What the longest record has behind its header (RFC 8446 §5.2).
pub(crate) const BODY_BYTES_MAX: usize = PLAIN_BYTES_MAX + 256;

const TAG_BYTES: usize = 16;
const EXPLICIT_NONCE_BYTES: usize = 8;

/// Sequence numbers must not wrap (RFC 8446 §5.5); long before it a connection is ended.
const RECORDS_MAX: u64 = 1 << 60;

/// What a record carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    Alert,
    Handshake,
    Data,
}

impl Content {
    fn from_byte(byte: u8) -> Result<Content, RecordFault> {
        match byte {
            21 => Ok(Content::Alert),
            22 => Ok(Content::Handshake),
            23 => Ok(Content::Data),
            _ => Err(RecordFault::UnexpectedType),
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Content::Alert => 21,
            Content::Handshake => 22,
            Content::Data => 23,
        }
    }
}

/// What is wrong with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecordFault {
    /// It is longer than records may be, or too short to be one.
    Length,
    /// It is of a type that must not come now.
    UnexpectedType,
    /// Somebody changed it, or it was sealed with another key.
    Forged,
    /// The keys have been used as often as they may.
    Exhausted,
}

impl RecordFault {
    /// The alert that says so (RFC 8446 §6.2).
    pub(crate) const fn alert(self) -> u8 {
        match self {
            RecordFault::Length => 22,
            RecordFault::UnexpectedType => 10,
            RecordFault::Forged => 20,
            RecordFault::Exhausted => 80,
        }
    }

    pub(crate) const fn describe(self) -> &'static str {
        match self {
            RecordFault::Length => "a TLS record has a length that none may have",
            RecordFault::UnexpectedType => "a TLS record of an unexpected type",
            RecordFault::Forged => "a TLS record that can't be opened",
            RecordFault::Exhausted => "the TLS keys have been used as often as they may",
        }
    }
}

/// How a protocol version and a cipher write records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// The content's type is inside, behind the content.
    Tls13,
    /// A part of the nonce goes in front of the content (RFC 5288).
    Tls12Gcm,
    /// RFC 7905.
    Tls12ChaCha,
}

/// The key of one direction, and how many records it has seen.
pub(crate) struct RecordKey {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
    format: Format,
}

impl RecordKey {
    /// From what the handshake came to. `None` for a cipher that is not offered by any profile.
    pub(crate) fn new(
        secrets: &ConnectionTrafficSecrets,
        sequence: u64,
        tls13: bool,
    ) -> Option<RecordKey> {
        let (algorithm, key, iv, format) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
                (&AES_128_GCM, key, iv, Format::Tls12Gcm)
            }
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
                (&AES_256_GCM, key, iv, Format::Tls12Gcm)
            }
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&CHACHA20_POLY1305, key, iv, Format::Tls12ChaCha)
            }
            _ => return None,
        };
        Some(RecordKey {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?),
            iv: iv.as_ref().try_into().ok()?,
            sequence,
            format: if tls13 { Format::Tls13 } else { format },
        })
    }

    /// How many records it has seen.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How much longer than its content a record is.
    pub(crate) fn overhead(&self) -> usize {
        HEADER_BYTES
            + TAG_BYTES
            + match self.format {
                Format::Tls13 => 1,
                Format::Tls12Gcm => EXPLICIT_NONCE_BYTES,
                Format::Tls12ChaCha => 0,
            }
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        let sequence = self.sequence.to_be_bytes();
        for (byte, sequence) in nonce[4..].iter_mut().zip(sequence) {
            *byte ^= sequence;
        }
        nonce
    }

    /// What is authenticated but not encrypted in TLS 1.2 (RFC 5246 §6.2.3.3).
    fn additional_data(&self, content: u8, length: usize) -> [u8; 13] {
        let mut data = [0; 13];
        data[..8].copy_from_slice(&self.sequence.to_be_bytes());
        data[8..11].copy_from_slice(&[content, 3, 3]);
        data[11..].copy_from_slice(&(length as u16).to_be_bytes());
        data
    }

    /// Seals the next `length` bytes of `plain` as one record at the front of `out`, which has room for it. Returns the
    /// record's length.
    pub(crate) fn seal(
        &mut self,
        content: Content,
        plain: &mut Gather<'_, '_>,
        length: usize,
        out: &mut [u8],
    ) -> Result<usize, RecordFault> {
        if self.sequence >= RECORDS_MAX {
            return Err(RecordFault::Exhausted);
        }
        let record = length + self.overhead();
        let (outer, inner): (u8, &[u8]) = match self.format {
            Format::Tls13 => (Content::Data.byte(), &[content.byte()]),
            _ => (content.byte(), &[]),
        };
        let body = (record - HEADER_BYTES) as u16;
        let [high, low] = body.to_be_bytes();
        let header = [outer, 3, 3, high, low];
        let nonce = self.nonce();
        let mut prefix = HEADER_BYTES;
        out[..HEADER_BYTES].copy_from_slice(&header);
        if self.format == Format::Tls12Gcm {
            prefix += EXPLICIT_NONCE_BYTES;
            out[HEADER_BYTES..prefix].copy_from_slice(&nonce[4..]);
        }
        let data13;
        let data12;
        let aad: &[u8] = if self.format == Format::Tls13 {
            data13 = header;
            &data13
        } else {
            data12 = self.additional_data(outer, length);
            &data12
        };
        let (text, end) = out[prefix..record].split_at_mut(length);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(aad);
        let sealed = match plain.run(length) {
            Some(run) => self
                .key
                .seal_out_of_place_scatter(nonce, aad, run, text, inner, end),
            None => {
                plain.copy(text);
                self.key.seal_in_place_scatter(nonce, aad, text, inner, end)
            }
        };
        sealed.map_err(|_| RecordFault::Exhausted)?;
        plain.advance(length);
        self.sequence += 1;
        Ok(record)
    }

    /// How much room [`RecordKey::open`] needs for the content of a record with so many bytes behind its header.
    pub(crate) fn room_for(&self, body: usize) -> usize {
        let sealed = match self.format {
            Format::Tls12Gcm => body.saturating_sub(EXPLICIT_NONCE_BYTES),
            _ => body,
        };
        sealed.saturating_sub(TAG_BYTES)
    }

    /// Opens a whole record into `out`, of which [`RecordKey::room_for`] bytes are overwritten. Returns what it carries
    /// and how many bytes of it.
    pub(crate) fn open(
        &mut self,
        record: &[u8],
        out: &mut [u8],
    ) -> Result<(Content, usize), RecordFault> {
        let parts = self.parts(record)?;
        let sealed = &record[parts.sealed..];
        let (text, tag) = sealed.split_at(sealed.len() - TAG_BYTES);
        let out = &mut out[..text.len()];
        let aad = Aad::from(&parts.aad[..parts.aad_bytes]);
        self.key
            .open_separate_gather(parts.nonce, aad, text, tag, out)
            .map_err(|_| RecordFault::Forged)?;
        self.sequence += 1;
        self.content(record[0], out)
    }

    /// Opens a whole record in its own place. Returns what it carries and where that begins and ends in the record.
    pub(crate) fn open_in_place(
        &mut self,
        record: &mut [u8],
    ) -> Result<(Content, usize, usize), RecordFault> {
        let parts = self.parts(record)?;
        let outer = record[0];
        let start = parts.sealed;
        let aad = Aad::from(&parts.aad[..parts.aad_bytes]);
        let text = self
            .key
            .open_in_place(parts.nonce, aad, &mut record[start..])
            .map_err(|_| RecordFault::Forged)?;
        self.sequence += 1;
        let (content, length) = self.content(outer, text)?;
        Ok((content, start, start + length))
    }

    fn parts(&self, record: &[u8]) -> Result<Parts, RecordFault> {
        if self.sequence >= RECORDS_MAX {
            return Err(RecordFault::Exhausted);
        }
        let mut nonce = self.nonce();
        let mut sealed = HEADER_BYTES;
        if self.format == Format::Tls12Gcm {
            sealed += EXPLICIT_NONCE_BYTES;
            let explicit = record.get(HEADER_BYTES..sealed);
            nonce[..4].copy_from_slice(&self.iv[..4]);
            nonce[4..].copy_from_slice(explicit.ok_or(RecordFault::Length)?);
        }
        let length = record.len().checked_sub(sealed + TAG_BYTES);
        let length = length.ok_or(RecordFault::Length)?;
        let mut aad = [0; 13];
        let aad_bytes = if self.format == Format::Tls13 {
            // Whatever a record carries looks like data from outside (RFC 8446 §5.2).
            if record[0] != Content::Data.byte() {
                return Err(RecordFault::UnexpectedType);
            }
            aad[..HEADER_BYTES].copy_from_slice(&record[..HEADER_BYTES]);
            HEADER_BYTES
        } else {
            aad = self.additional_data(record[0], length);
            aad.len()
        };
        Ok(Parts {
            sealed,
            nonce: Nonce::assume_unique_for_key(nonce),
            aad,
            aad_bytes,
        })
    }

    /// What was in a record.
    fn content(&self, outer: u8, text: &[u8]) -> Result<(Content, usize), RecordFault> {
        let (content, length) = match self.format {
            // Zeros behind the type are padding (RFC 8446 §5.4).
            Format::Tls13 => {
                // With its padding it must not be longer either (RFC 8446 §5.2).
                if text.len() > PLAIN_BYTES_MAX + 1 {
                    return Err(RecordFault::Length);
                }
                let last = text.iter().rposition(|byte| *byte != 0);
                let last = last.ok_or(RecordFault::UnexpectedType)?;
                (Content::from_byte(text[last])?, last)
            }
            _ => (Content::from_byte(outer)?, text.len()),
        };
        if length > PLAIN_BYTES_MAX {
            return Err(RecordFault::Length);
        }
        Ok((content, length))
    }
}

impl std::fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordKey")
            .field("sequence", &self.sequence)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

struct Parts {
    /// Where what is sealed begins.
    sealed: usize,
    nonce: Nonce,
    aad: [u8; 13],
    aad_bytes: usize,
}

/// The length of the record at the front of `bytes`, header included; `None` until the header is here.
pub(crate) fn record_length(bytes: &[u8]) -> Result<Option<usize>, RecordFault> {
    let Some(header) = bytes.get(..HEADER_BYTES) else {
        return Ok(None);
    };
    let body = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if body > BODY_BYTES_MAX {
        return Err(RecordFault::Length);
    }
    Ok(Some(HEADER_BYTES + body))
}

/// A place in several runs of bytes that are to be read as one.
#[derive(Debug)]
pub(crate) struct Gather<'a, 'b> {
    runs: &'b [IoSlice<'a>],
    /// How many bytes of the first run are done.
    offset: usize,
}

impl<'a, 'b> Gather<'a, 'b> {
    pub(crate) fn new(runs: &'b [IoSlice<'a>]) -> Gather<'a, 'b> {
        let mut gather = Gather { runs, offset: 0 };
        gather.skip_empty();
        gather
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.runs.iter().map(|run| run.len()).sum::<usize>() - self.offset
    }

    /// The next `length` bytes, if they lie in one run.
    fn run(&self, length: usize) -> Option<&'b [u8]> {
        let run = self.runs.first()?;
        run.get(self.offset..self.offset + length)
    }

    /// Copies what is next, as much as `out` takes.
    fn copy(&self, out: &mut [u8]) {
        let mut filled = 0;
        let mut offset = self.offset;
        for run in self.runs {
            let part = &run[offset..];
            let bytes = part.len().min(out.len() - filled);
            out[filled..filled + bytes].copy_from_slice(&part[..bytes]);
            filled += bytes;
            offset = 0;
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += bytes;
        self.skip_empty();
    }

    fn skip_empty(&mut self) {
        while let Some(run) = self.runs.first()
            && self.offset >= run.len()
        {
            self.offset -= run.len();
            self.runs = &self.runs[1..];
        }
    }
}

#[cfg(test)]
mod tests;
