//! Decoding (RFC 7541 §3, §6).

use super::names::{self, Kind};
use super::statics::{COUNT, STATICS};
use super::table::Table;
use super::{LINE_BYTES_EXTRA, TABLE_BYTES_DEFAULT, Undecodable, huffman, integer};
use foregate_message::Fault;

/// The receiving side's state of one connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    table_bytes_max: usize,
}

/// A line of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// What its name is.
    pub(crate) kind: Kind,
    /// Where it begins in the buffer: `name: value\r\n`.
    pub(crate) start: usize,
    pub(crate) name_len: usize,
    pub(crate) value_len: usize,
    /// What is wrong with the value.
    pub(crate) value_fault: Option<Fault>,
    /// Whether it must never enter a table, here or behind the next hop (RFC 7541 §6.2.3).
    pub(crate) guarded: bool,
}

impl Found {
    /// What the line counts against the limit of a head (RFC 9113 §10.5.1).
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.name_len + self.value_len + self.kind.shortened_by() + LINE_BYTES_EXTRA
    }
}

impl Decoder {
    /// The state of a new connection on which we allow the other side a table of `table_bytes_max`. A smaller one than
    /// every connection begins with ([`TABLE_BYTES_DEFAULT`]) can't be asked for.
    pub fn new(table_bytes_max: usize) -> Decoder {
        Decoder {
            table: Table::new(TABLE_BYTES_DEFAULT),
            table_bytes_max: table_bytes_max.max(TABLE_BYTES_DEFAULT),
        }
    }

    /// Gives back what the table does not need while nothing comes.
    pub(crate) fn rest(&mut self) {
        self.table.rest();
    }

    /// Begins a block, which must be whole.
    pub(crate) fn block<'a>(&'a mut self, input: &'a [u8]) -> Block<'a> {
        Block {
            table: &mut self.table,
            table_bytes_max: self.table_bytes_max,
            input,
            at: 0,
            sizes: 0,
        }
    }
}

/// How often a block may set the table's size at its beginning: down, and up again (RFC 7541 §4.2).
const SIZES_MAX: u8 = 2;

/// A block of lines on its way through the decoder.
pub(crate) struct Block<'a> {
    table: &'a mut Table,
    table_bytes_max: usize,
    input: &'a [u8],
    at: usize,
    /// How many sizes have been set, or more than may be once there was a line.
    sizes: u8,
}

impl Block<'_> {
    /// The next line, whose text is appended to `out`. A line that is not `wanted` may be left out there, and then says
    /// nothing: that way, what comes behind a limit costs no more than it took to send.
    ///
    /// # Errors
    /// The block breaks a rule of the compression, and the tables of the two sides are not the same any more.
    #[inline]
    pub(crate) fn next(
        &mut self,
        wanted: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>, Undecodable> {
        loop {
            let Some(&first) = self.input.get(self.at) else {
                return Ok(None);
            };
            self.at += 1;
            if first & 0x80 != 0 {
                let number = integer::read(first, 7, self.input, &mut self.at)?;
                self.sizes = SIZES_MAX;
                return self.named(number, wanted, out).map(Some);
            }
            if first & 0xe0 != 0x20 {
                self.sizes = SIZES_MAX;
                return self.literal(first, out).map(Some);
            }
            self.set_size(first)?;
        }
    }

    /// A size update (RFC 7541 §6.3), only at the beginning of a block.
    #[cold]
    fn set_size(&mut self, first: u8) -> Result<(), Undecodable> {
        let bytes_max = integer::read(first, 5, self.input, &mut self.at)?;
        if self.sizes >= SIZES_MAX || bytes_max > self.table_bytes_max {
            return Err(Undecodable);
        }
        self.sizes += 1;
        self.table.resize(bytes_max);
        Ok(())
    }

    /// A line that stands in a table (RFC 7541 §6.1).
    #[inline]
    fn named(
        &mut self,
        number: usize,
        wanted: bool,
        out: &mut Vec<u8>,
    ) -> Result<Found, Undecodable> {
        let start = out.len();
        let number = number.checked_sub(1).ok_or(Undecodable)?;
        if let Some(line) = STATICS.get(number) {
            if wanted {
                out.extend_from_slice(line.text);
            }
            return Ok(Found {
                kind: line.kind,
                start,
                name_len: usize::from(line.name_len),
                value_len: line.text.len() - usize::from(line.name_len) - 4,
                value_fault: None,
                guarded: false,
            });
        }
        let (entry, text) = self.table.get(number - COUNT).ok_or(Undecodable)?;
        if wanted {
            out.extend_from_slice(text);
        }
        Ok(Found {
            kind: entry.kind,
            start,
            name_len: entry.name_len as usize,
            value_len: entry.value_len as usize,
            value_fault: entry.value_fault,
            guarded: false,
        })
    }

    /// A line that is spelt out (RFC 7541 §6.2).
    fn literal(&mut self, first: u8, out: &mut Vec<u8>) -> Result<Found, Undecodable> {
        let kept = first & 0x40 != 0;
        let start = out.len();
        let name = integer::read(first, if kept { 6 } else { 4 }, self.input, &mut self.at)?;
        let kind = match name {
            0 => self.spelt_name(start, out)?,
            number => self.named_name(number, out)?,
        };
        let name_len = out.len() - start;
        out.extend_from_slice(b": ");
        let value = out.len();
        self.string(out)?;
        let value_len = out.len() - value;
        let value_fault = names::value_fault(&out[value..]);
        out.extend_from_slice(b"\r\n");
        if kept {
            self.table
                .insert(kind, name_len, &out[start..], value_fault);
        }
        Ok(Found {
            kind,
            start,
            name_len,
            value_len,
            value_fault,
            guarded: first & 0xf0 == 0x10,
        })
    }

    fn spelt_name(&mut self, start: usize, out: &mut Vec<u8>) -> Result<Kind, Undecodable> {
        self.string(out)?;
        let kind = Kind::of(&out[start..]);
        if kind == Kind::AUTHORITY {
            out.truncate(start);
            out.extend_from_slice(kind.stored(b""));
        }
        Ok(kind)
    }

    fn named_name(&mut self, number: usize, out: &mut Vec<u8>) -> Result<Kind, Undecodable> {
        let number = number.checked_sub(1).ok_or(Undecodable)?;
        if let Some(line) = STATICS.get(number) {
            out.extend_from_slice(line.name());
            return Ok(line.kind);
        }
        let (entry, text) = self.table.get(number - COUNT).ok_or(Undecodable)?;
        out.extend_from_slice(&text[..entry.name_len as usize]);
        Ok(entry.kind)
    }

    /// A string, plain or in the Huffman code (RFC 7541 §5.2).
    #[inline]
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Undecodable> {
        let first = *self.input.get(self.at).ok_or(Undecodable)?;
        self.at += 1;
        let len = integer::read(first, 7, self.input, &mut self.at)?;
        let text = self.input.get(self.at..self.at + len).ok_or(Undecodable)?;
        self.at += len;
        if first & 0x80 != 0 {
            return huffman::decode(text, out);
        }
        out.extend_from_slice(text);
        Ok(())
    }
}
