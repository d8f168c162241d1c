//! HPACK (RFC 7541) as far as two benchmark peers need it: a whole decoder, and an encoder's pieces.

use std::collections::VecDeque;

/// Bytes of the dynamic table that both sides have without a word of SETTINGS.
pub const TABLE_BYTES: usize = 4096;

/// An entry's cost beyond its bytes (section 4.1).
const ENTRY_OVERHEAD_BYTES: usize = 32;

/// The static table (appendix A), index 1 first.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Bits of the Huffman code of every byte (appendix B), and of the end of string.
const CODE_BITS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const CODE_BITS_MAX: usize = 30;

/// The Huffman code, which is canonical: within a length, codes follow the symbols.
struct Huffman {
    symbols: Vec<u16>,
    /// For each length: its first code, its first index into `symbols`, how many there are.
    lengths: [(u32, usize, usize); CODE_BITS_MAX + 1],
}

impl Huffman {
    fn new() -> Self {
        let mut symbols: Vec<u16> = (0..257).collect();
        symbols.sort_by_key(|&symbol| (CODE_BITS[symbol as usize], symbol));
        let mut lengths = [(0, 0, 0); CODE_BITS_MAX + 1];
        let (mut code, mut at) = (0_u32, 0);
        for (bits, length) in lengths.iter_mut().enumerate().skip(1) {
            code <<= 1;
            let count = CODE_BITS.iter().filter(|&&b| b as usize == bits).count();
            *length = (code, at, count);
            code += count as u32;
            at += count;
        }
        Self { symbols, lengths }
    }

    fn decode(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (mut code, mut bits) = (0_u32, 0);
        for byte in bytes {
            for shift in (0..8).rev() {
                code = code << 1 | u32::from(byte >> shift & 1);
                bits += 1;
                let (first, at, count) = *self.lengths.get(bits)?;
                if count > 0 && code >= first && ((code - first) as usize) < count {
                    let symbol = self.symbols[at + (code - first) as usize];
                    out.push(u8::try_from(symbol).ok()?);
                    (code, bits) = (0, 0);
                }
            }
        }
        // What is left must be padding: fewer than eight bits, all ones.
        (bits < 8 && code == (1 << bits) - 1).then_some(())
    }
}

/// One direction's decoder: feed it every field block of a connection in order.
pub struct Decoder {
    huffman: Huffman,
    table: VecDeque<(Vec<u8>, Vec<u8>)>,
    table_bytes: usize,
    table_bytes_max: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            huffman: Huffman::new(),
            table: VecDeque::new(),
            table_bytes: 0,
            table_bytes_max: TABLE_BYTES,
            name: Vec::new(),
            value: Vec::new(),
        }
    }
}

impl Decoder {
    /// Hands out the fields of a block; `None` is a broken block.
    pub fn decode(&mut self, mut block: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Option<()> {
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let (name, value) = self.entry(index)?;
                each(name, value);
            } else if first & 0xE0 == 0x20 {
                self.table_bytes_max = integer(&mut block, 5)?;
                if self.table_bytes_max > TABLE_BYTES {
                    return None;
                }
                self.evict(0);
            } else {
                let indexed = first & 0x40 != 0;
                let index = integer(&mut block, if indexed { 6 } else { 4 })?;
                let (mut name, mut value) = (
                    std::mem::take(&mut self.name),
                    std::mem::take(&mut self.value),
                );
                name.clear();
                value.clear();
                if index == 0 {
                    self.text(&mut block, &mut name)?;
                } else {
                    name.extend_from_slice(self.entry(index)?.0);
                }
                self.text(&mut block, &mut value)?;
                each(&name, &value);
                if indexed {
                    self.insert(name.clone(), value.clone());
                }
                (self.name, self.value) = (name, value);
            }
        }
        Some(())
    }

    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some(entry) = STATIC.get(index.checked_sub(1)?) {
            return Some((entry.0.as_bytes(), entry.1.as_bytes()));
        }
        let (name, value) = self.table.get(index - 1 - STATIC.len())?;
        Some((name, value))
    }

    fn text(&self, block: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
        let huffman = block.first()? & 0x80 != 0;
        let length = integer(block, 7)?;
        let (text, rest) = block.split_at_checked(length)?;
        *block = rest;
        if huffman {
            return self.huffman.decode(text, out);
        }
        out.extend_from_slice(text);
        Some(())
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        let bytes = name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        self.evict(bytes);
        if bytes <= self.table_bytes_max {
            self.table_bytes += bytes;
            self.table.push_front((name, value));
        }
    }

    fn evict(&mut self, room_bytes: usize) {
        while self.table_bytes + room_bytes > self.table_bytes_max {
            let Some((name, value)) = self.table.pop_back() else {
                return;
            };
            self.table_bytes -= name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        }
    }
}

/// An integer with a prefix of so many bits (section 5.1).
fn integer(block: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let (&first, mut rest) = block.split_first()?;
    let mask = (1_usize << prefix_bits) - 1;
    let mut value = first as usize & mask;
    if value == mask {
        for shift in (0..28).step_by(7) {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            value += (byte as usize & 0x7F) << shift;
            if byte & 0x80 == 0 {
                *block = rest;
                return Some(value);
            }
        }
        return None;
    }
    *block = rest;
    Some(value)
}

/// Appends an integer below a prefix of so many bits, whose upper bits are `flags`.
fn push_integer(out: &mut Vec<u8>, flags: u8, prefix_bits: u32, mut value: usize) {
    let mask = (1_usize << prefix_bits) - 1;
    if value < mask {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | mask as u8);
    value -= mask;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// Makes the field block that is sent again and again on a connection: the first time with everything put into the peer's
/// dynamic table, afterwards as indices into it.
pub struct Repeated {
    /// The block for the first message.
    pub first: Vec<u8>,
    /// The block for every later message.
    pub again: Vec<u8>,
    /// The block for a peer that keeps no table.
    pub plain: Vec<u8>,
}

impl Repeated {
    /// Prepares the blocks; no other block may touch the connection's table, and all fields must fit into it.
    #[must_use]
    pub fn new(fields: &[(&str, &str)]) -> Self {
        let (mut first, mut again, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        let inserted = fields
            .iter()
            .filter(|&&field| !STATIC.contains(&field))
            .count();
        let mut nth = 0;
        for field in fields {
            if let Some(at) = STATIC.iter().position(|entry| entry == field) {
                for block in [&mut first, &mut again, &mut plain] {
                    push_integer(block, 0x80, 7, at + 1);
                }
                continue;
            }
            let name = STATIC.iter().position(|entry| entry.0 == field.0);
            for (block, flags, bits) in [(&mut first, 0x40, 6), (&mut plain, 0, 4)] {
                push_integer(block, flags, bits, name.map_or(0, |at| at + 1));
                if name.is_none() {
                    push_text(block, field.0.as_bytes());
                }
                push_text(block, field.1.as_bytes());
            }
            // The last inserted field has the lowest index.
            push_integer(&mut again, 0x80, 7, STATIC.len() + inserted - nth);
            nth += 1;
        }
        Self {
            first,
            again,
            plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut found = Vec::new();
        decoder
            .decode(block, |name, value| found.push((text(name), text(value))))
            .unwrap();
        found
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// The requests of RFC 7541, appendix C.4: Huffman code and dynamic table.
    #[test]
    fn requests_of_the_standard() {
        let mut decoder = Decoder::default();
        let first = decoded(&mut decoder, &hex("828684418cf1e3c2e5f23a6ba0ab90f4ff"));
        assert_eq!(
            first.last().unwrap(),
            &(":authority".into(), "www.example.com".into())
        );
        let second = decoded(&mut decoder, &hex("828684be5886a8eb10649cbf"));
        assert_eq!(second[3].1, "www.example.com");
        assert_eq!(second[4], ("cache-control".into(), "no-cache".into()));
        let third = decoded(
            &mut decoder,
            &hex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"),
        );
        assert_eq!(third[1], (":scheme".into(), "https".into()));
        assert_eq!(third[4], ("custom-key".into(), "custom-value".into()));
    }

    #[test]
    fn what_is_repeated_reads_the_same_every_time() {
        let fields = [
            (":method", "GET"),
            (":path", "/1k"),
            ("user-agent", "bench/1.0"),
            ("te", "trailers"),
        ];
        let blocks = Repeated::new(&fields);
        let mut decoder = Decoder::default();
        for block in [&blocks.first, &blocks.again, &blocks.plain, &blocks.again] {
            let found = decoded(&mut decoder, block);
            let found: Vec<_> = found
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            assert_eq!(found, fields);
        }
        assert_eq!(blocks.again.len(), fields.len());
    }

    #[test]
    fn broken_blocks_are_refused() {
        for block in [
            "80",
            "ff",
            "ffffffffffff",
            "7f",
            "0085",
            "3fff7f",
            "000181ff00",
        ] {
            let done = Decoder::default().decode(&hex(block), |_, _| {});
            assert!(done.is_none(), "{block}");
        }
    }
}
