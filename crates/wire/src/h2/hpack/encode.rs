//! Encoding (RFC 7541 §6).
//!
//! What repeats goes into the table: fields that say the same for a whole site at first sight, others when they come a
//! second time with the same value, and credentials never, as a table that several requests share would let one of them
//! guess at another's (RFC 7541 §7.1). Only what goes into the table is worth the Huffman code, which is then written
//! once.

use super::names::{Kind, Pseudo};
use super::statics::{COUNT, NUMBER_OF_FIELD, STATICS, number_of_other};
use super::table::Table;
use super::{LINE_BYTES_EXTRA, TABLE_BYTES_DEFAULT, huffman, integer};
use foregate_message::{FieldId, FieldSet, Status};

/// How many lines can be found again, and how many are remembered as seen once.
const SLOTS: usize = 128;
const SEEN: usize = 64;

/// A larger value is not worth its place in the table.
const VALUE_BYTES_MAX: usize = 1024;

/// The sending side's state of one connection.
#[derive(Debug)]
pub struct Encoder {
    /// Made with the first block.
    memory: Option<Box<Memory>>,
    /// The table's size as the other side knows it.
    bytes: usize,
    /// The smallest size since the last block and the one to be from the next block on, when they are not known there.
    change: Option<(usize, usize)>,
    table_bytes_max: usize,
}

#[derive(Debug)]
struct Memory {
    table: Table,
    /// How many lines were added.
    added: u32,
    /// By hash: which added line it was, counted from 1.
    slots: [u32; SLOTS],
    /// By hash: hashes of lines that were sent and not added.
    seen: [u32; SEEN],
}

/// How a line is sent that stands in no table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Added at once.
    Keep,
    /// Added when it comes again.
    KeepSecond,
    /// Never added, here or behind the next hop.
    Guard,
}

/// What a site says with each answer, and a client with each request.
const STEADY: FieldSet = FieldSet::of(&[
    FieldId::Server,
    FieldId::Via,
    FieldId::ContentType,
    FieldId::ContentEncoding,
    FieldId::CacheControl,
    FieldId::Vary,
    FieldId::AcceptRanges,
    FieldId::StrictTransportSecurity,
    FieldId::AltSvc,
    FieldId::XPoweredBy,
    FieldId::Accept,
    FieldId::AcceptEncoding,
    FieldId::AcceptLanguage,
    FieldId::UserAgent,
    FieldId::Te,
    FieldId::Trailer,
]);

const CREDENTIALS: FieldSet = FieldSet::of(&[
    FieldId::Authorization,
    FieldId::ProxyAuthorization,
    FieldId::Cookie,
    FieldId::SetCookie,
]);

impl Encoder {
    /// The state of a new connection on which we use a table of `table_bytes_max` at most.
    pub fn new(table_bytes_max: usize) -> Encoder {
        let bytes = table_bytes_max.min(TABLE_BYTES_DEFAULT);
        Encoder {
            memory: None,
            bytes: TABLE_BYTES_DEFAULT,
            change: (bytes != TABLE_BYTES_DEFAULT).then_some((bytes, bytes)),
            table_bytes_max,
        }
    }

    /// What the other side allows (SETTINGS_HEADER_TABLE_SIZE); it is told with the next block what is used of it.
    pub fn set_peer_table_bytes(&mut self, bytes_max: u32) {
        let bytes = self.table_bytes_max.min(bytes_max as usize);
        let (smallest, last) = self.change.unwrap_or((self.bytes, self.bytes));
        if bytes != last {
            self.change = Some((smallest.min(bytes), bytes));
        }
    }

    /// Forgets which lines the other side knows, while nothing is sent. They grow old there and are never named again;
    /// what is added from now on has the same numbers on both sides, which count from the newest.
    pub(crate) fn rest(&mut self) {
        self.memory = None;
    }

    /// Begins a block.
    #[inline]
    pub(crate) fn begin<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Lines<'a> {
        let change = self.change.take();
        let bytes = self.bytes;
        let memory = self.memory.get_or_insert_with(|| Memory::new(bytes));
        if let Some((smallest, last)) = change {
            if smallest < last && smallest < bytes {
                integer::write(0x20, 5, smallest, out);
                memory.table.resize(smallest);
            }
            integer::write(0x20, 5, last, out);
            memory.table.resize(last);
            self.bytes = last;
        }
        Lines { memory, out }
    }
}

/// A block of lines in the making.
pub(crate) struct Lines<'a> {
    memory: &'a mut Memory,
    out: &'a mut Vec<u8>,
}

impl Lines<'_> {
    /// The status of a response.
    #[inline]
    pub(crate) fn status(&mut self, status: Status) {
        let number = match status.code() {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            code => {
                let digits =
                    [code / 100, code / 10 % 10, code % 10].map(|digit| b'0' + digit as u8);
                return self.pseudo(Pseudo::Status, &digits);
            }
        };
        self.out.push(0x80 | number);
    }

    /// A pseudo-header field.
    #[inline]
    pub(crate) fn pseudo(&mut self, pseudo: Pseudo, value: &[u8]) {
        let (number, care) = match (pseudo, value) {
            (Pseudo::Method, b"GET") => return self.out.push(0x80 | 2),
            (Pseudo::Method, b"POST") => return self.out.push(0x80 | 3),
            (Pseudo::Path, b"/") => return self.out.push(0x80 | 4),
            (Pseudo::Scheme, b"http") => return self.out.push(0x80 | 6),
            (Pseudo::Scheme, b"https") => return self.out.push(0x80 | 7),
            (Pseudo::Authority, _) => (1, Care::Keep),
            (Pseudo::Method, _) => (2, Care::Keep),
            (Pseudo::Path, _) => (4, Care::KeepSecond),
            (Pseudo::Scheme, _) => (6, Care::Keep),
            (Pseudo::Status, _) => (8, Care::Keep),
            (Pseudo::Protocol, _) => (0, Care::Keep),
        };
        let name = match pseudo {
            Pseudo::Protocol => b":protocol",
            _ => STATICS[number - 1].name(),
        };
        self.line(Kind::Pseudo(pseudo), name, value, number, care);
    }

    /// A field. `guarded` keeps it out of every table whatever its name is.
    #[inline]
    pub(crate) fn field(&mut self, id: FieldId, name: &[u8], value: &[u8], guarded: bool) {
        let number = match id {
            FieldId::Other => number_of_other(name),
            known => usize::from(NUMBER_OF_FIELD[known as usize]),
        };
        let care = if guarded || CREDENTIALS.holds(id) {
            Care::Guard
        } else if STEADY.holds(id) {
            Care::Keep
        } else {
            Care::KeepSecond
        };
        self.line(Kind::Field(id), name, value, number, care);
    }

    fn line(&mut self, kind: Kind, name: &[u8], value: &[u8], number: usize, care: Care) {
        if care == Care::Guard {
            return self.plain(0x10, number, name, value);
        }
        if number != 0 && STATICS[number - 1].value() == value && STATICS[number - 1].kind == kind {
            return integer::write(0x80, 7, number, self.out);
        }
        let hash = hash(kind, name, value);
        if let Some(number) = self.memory.find(hash, kind, name, value) {
            return integer::write(0x80, 7, number, self.out);
        }
        let fits = value.len() <= VALUE_BYTES_MAX
            && name.len() + value.len() + LINE_BYTES_EXTRA <= self.memory.table.bytes_max();
        if fits && (care == Care::Keep || self.memory.seen_before(hash)) {
            return self.keep(hash, kind, name, value, number);
        }
        self.plain(0, number, name, value);
    }

    /// Without a place in the table, as `first` says, and as it is.
    #[inline]
    fn plain(&mut self, first: u8, number: usize, name: &[u8], value: &[u8]) {
        integer::write(first, 4, number, self.out);
        if number == 0 {
            integer::write(0, 7, name.len(), self.out);
            let at = self.out.len();
            self.out.extend_from_slice(name);
            self.out[at..].make_ascii_lowercase();
        }
        integer::write(0, 7, value.len(), self.out);
        self.out.extend_from_slice(value);
    }

    /// With a place in the table.
    fn keep(&mut self, hash: u32, kind: Kind, name: &[u8], value: &[u8], number: usize) {
        integer::write(0x40, 6, number, self.out);
        let mut text = Vec::with_capacity(name.len() + value.len() + 4);
        text.extend_from_slice(name);
        text.make_ascii_lowercase();
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
        if number == 0 {
            self.string(&text[..name.len()]);
        }
        self.string(value);
        self.memory.add(hash, kind, name.len(), &text);
    }

    /// A string in the Huffman code, if that is shorter.
    fn string(&mut self, text: &[u8]) {
        let len = huffman::encoded_len(text);
        if len < text.len() {
            integer::write(0x80, 7, len, self.out);
            huffman::encode(text, self.out);
        } else {
            integer::write(0, 7, text.len(), self.out);
            self.out.extend_from_slice(text);
        }
    }
}

impl Memory {
    #[cold]
    fn new(bytes: usize) -> Box<Memory> {
        Box::new(Memory {
            table: Table::new(bytes),
            added: 0,
            slots: [0; SLOTS],
            seen: [0; SEEN],
        })
    }

    /// The number of a line that stands in the table.
    #[inline]
    fn find(&self, hash: u32, kind: Kind, name: &[u8], value: &[u8]) -> Option<usize> {
        let added = self.slots[hash as usize % SLOTS];
        let number = self.added.wrapping_sub(added) as usize;
        if added == 0 || number >= self.table.len() {
            return None;
        }
        let (entry, text) = self.table.get(number)?;
        let name_len = entry.name_len as usize;
        let same_name = entry.kind == kind
            && (kind != Kind::Field(FieldId::Other) || text[..name_len].eq_ignore_ascii_case(name));
        let same = same_name && &text[name_len + 2..text.len() - 2] == value;
        same.then_some(COUNT + 1 + number)
    }

    /// Whether the line was the last with its slot; remembers that it is now.
    #[inline]
    fn seen_before(&mut self, hash: u32) -> bool {
        let seen = &mut self.seen[(hash >> 8) as usize % SEEN];
        std::mem::replace(seen, hash) == hash
    }

    fn add(&mut self, hash: u32, kind: Kind, name_len: usize, text: &[u8]) {
        if self.table.insert(kind, name_len, text, None) {
            self.added = self.added.wrapping_add(1);
            self.slots[hash as usize % SLOTS] = self.added;
        }
    }
}

/// Mixes a line into 32 bits. That lines can be made that share a hash only costs whoever makes them the compression.
#[inline]
fn hash(kind: Kind, name: &[u8], value: &[u8]) -> u32 {
    let seed = match kind {
        Kind::Field(FieldId::Other) => mix(0, name, 0x2020_2020_2020_2020),
        Kind::Field(id) => id as u64 + 1,
        Kind::Pseudo(pseudo) => pseudo as u64 + 0x100,
        Kind::Broken(_) => 0,
    };
    (mix(seed, value, 0) >> 32) as u32
}

#[inline]
fn mix(seed: u64, text: &[u8], fold: u64) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |hash: u64, word: u64| (hash.rotate_left(23) ^ (word | fold)).wrapping_mul(FACTOR);
    let mut hash = step(seed, text.len() as u64);
    let mut rest = text;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        hash = step(hash, u64::from_le_bytes(*word));
        rest = behind;
    }
    if !rest.is_empty() {
        let last = match text.last_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest
                .iter()
                .fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        hash = step(hash, last);
    }
    hash ^ (hash >> 29)
}
