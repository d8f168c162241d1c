//! A flat, ordered list of fields over one buffer.

use crate::field::{FieldId, FieldName, is_token_byte};
use std::cell::RefCell;
use std::ops::Range;

/// `name: value\r\n` stands in the buffer exactly so, which lets a run of lines be forwarded as one copy.
const VERBATIM: u8 = 1;
/// The line must not enter a compression table.
const GUARDED: u8 = 2;
/// Buffers that a thread keeps for the next heads, and how large they may be.
const STOCK_MAX: usize = 256;
const HEAD_BYTES: usize = 1024;
const HEAD_LINES: usize = 32;
const KEPT_BYTES_MAX: usize = 16 * 1024;
const KEPT_LINES_MAX: usize = 256;

thread_local! {
    static STOCK: RefCell<Vec<(Vec<u8>, Vec<Entry>)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: u32,
    name_len: u16,
    id: FieldId,
    flags: u8,
    value: u32,
    value_len: u32,
}

/// Field lines of one section (a head or trailers), in order, with their spelling.
///
/// The buffer may also hold the start line that came before the fields; heads keep ranges into it. Names and values
/// are validated by whoever adds them: the codec for received ones, configuration for configured ones.
#[derive(Clone, Default, Debug)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// A bit for each known name that occurs, and one for all others; a clear bit answers most lookups.
    present: u64,
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The known number, or [`FieldId::Other`].
    pub id: FieldId,
    /// The name as it is spelt.
    pub name: &'a [u8],
    /// The value without surrounding white space.
    pub value: &'a [u8],
    /// Whether its sender keeps it out of compression tables, as everyone behind must (RFC 7541 §6.2.3).
    pub guarded: bool,
}

impl Fields {
    /// An empty list with room for a usual head, in buffers that an earlier one of this thread has left.
    pub fn new() -> Fields {
        let kept = STOCK
            .try_with(|stock| stock.borrow_mut().pop())
            .ok()
            .flatten();
        let (bytes, entries) = kept.unwrap_or_else(|| {
            (
                Vec::with_capacity(HEAD_BYTES),
                Vec::with_capacity(HEAD_LINES),
            )
        });
        Fields {
            bytes,
            entries,
            present: 0,
        }
    }

    /// Forgets everything and keeps the buffers, unless they grew beyond what a usual head needs.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.present = 0;
        if !self.is_usual() {
            self.bytes = Vec::with_capacity(HEAD_BYTES);
            self.entries = Vec::with_capacity(HEAD_LINES);
        }
    }

    fn is_usual(&self) -> bool {
        self.bytes.capacity() <= KEPT_BYTES_MAX && self.entries.capacity() <= KEPT_LINES_MAX
    }

    /// Starts over with a copy of a received section, to which [`Fields::push_received`] then refers.
    pub fn start(&mut self, section: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(section);
    }

    /// Adds a line that stands in the section given to [`Fields::start`]. `verbatim` promises that the section has
    /// `name: value\r\n` there, with one space and no other white space.
    #[inline]
    pub fn push_received(&mut self, name: Range<usize>, value: Range<usize>, verbatim: bool) {
        let id = FieldId::of(&self.bytes[name.clone()]);
        self.push_found(id, name, value, verbatim);
    }

    /// [`Fields::push_received`] for a line whose name has the number `id`, in a section that is given when all its
    /// lines have been found, to [`Fields::finish`]. Until then the line must not be read.
    #[inline]
    pub fn push_found(
        &mut self,
        id: FieldId,
        name: Range<usize>,
        value: Range<usize>,
        verbatim: bool,
    ) {
        self.present |= id.mark();
        self.entries.push(Entry {
            name: name.start as u32,
            name_len: (name.end - name.start) as u16,
            id,
            flags: if verbatim { VERBATIM } else { 0 },
            value: value.start as u32,
            value_len: (value.end - value.start) as u32,
        });
    }

    /// Takes a copy of the section in which the lines of [`Fields::push_found`] stand.
    #[inline]
    pub fn finish(&mut self, section: &[u8]) {
        debug_assert!(self.bytes.is_empty());
        self.bytes.extend_from_slice(section);
    }

    /// The buffer, for a codec that puts lines together itself: it appends `name: value\r\n`, and then says so with
    /// [`Fields::push_written`]. What stood there before must stay.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes a line of what was appended to [`Fields::buffer`] at `start`: `name: value\r\n`, with a name and a value
    /// of these lengths. `guarded` as in [`Line::guarded`].
    #[inline]
    pub fn push_written(
        &mut self,
        id: FieldId,
        start: usize,
        name_len: usize,
        value_len: usize,
        guarded: bool,
    ) {
        debug_assert_eq!(&self.bytes[start + name_len..][..2], b": ");
        self.present |= id.mark();
        self.entries.push(Entry {
            name: start as u32,
            name_len: name_len as u16,
            id,
            flags: VERBATIM | if guarded { GUARDED } else { 0 },
            value: (start + name_len + 2) as u32,
            value_len: value_len as u32,
        });
    }

    /// Makes one line of all lines of a known field, in the first one's place, with `separator` between their values.
    /// Empty ones leave nothing: a separator at the end could be white space there.
    pub fn join(&mut self, id: FieldId, separator: &[u8]) {
        if self.all(id).nth(1).is_none() {
            return;
        }
        let count = self.entries.len();
        self.append(id, b"");
        let mut joined = self.entries[count];
        self.bytes.truncate(joined.value as usize);
        for at in 0..count {
            let line = self.entries[at];
            if line.id != id || line.value_len == 0 {
                continue;
            }
            if self.bytes.len() > joined.value as usize {
                self.bytes.extend_from_slice(separator);
            }
            let value = line.value as usize..(line.value + line.value_len) as usize;
            self.bytes.extend_from_within(value);
            joined.flags |= line.flags & GUARDED;
        }
        joined.value_len = self.bytes.len() as u32 - joined.value;
        self.bytes.extend_from_slice(b"\r\n");
        self.entries[count] = joined;
        self.keep_last_in_first_place(|entry| entry.id == id);
    }

    /// The bytes of `range` in the buffer: how heads read their start line.
    #[inline]
    pub(crate) fn slice(&self, range: &Range<u32>) -> &[u8] {
        self.bytes
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default()
    }

    /// Puts `text` into the buffer without making a line of it.
    pub(crate) fn keep(&mut self, text: &[u8]) -> Range<u32> {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        start..self.bytes.len() as u32
    }

    /// Where the first value of a known field stands in the buffer; it stays readable through [`Fields::at`] until the
    /// list is cleared, whatever becomes of the line. An empty range when there is none.
    pub fn place(&self, id: FieldId) -> Range<u32> {
        if !self.has(id) {
            return 0..0;
        }
        let found = self.entries.iter().find(|entry| entry.id == id);
        found.map_or(0..0, |entry| entry.value..entry.value + entry.value_len)
    }

    /// The bytes at a place that [`Fields::place`] gave.
    pub fn at(&self, place: &Range<u32>) -> &[u8] {
        self.slice(place)
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All lines in order.
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Line<'_>> + ExactSizeIterator {
        self.entries.iter().map(|entry| self.line(entry))
    }

    #[inline]
    fn line(&self, entry: &Entry) -> Line<'_> {
        Line {
            id: entry.id,
            name: self.name(entry),
            value: self.value(entry),
            guarded: entry.flags & GUARDED != 0,
        }
    }

    #[inline]
    fn name(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.name as usize..entry.name as usize + entry.name_len as usize]
    }

    #[inline]
    fn value(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.value as usize..(entry.value + entry.value_len) as usize]
    }

    /// Whether a known field occurs.
    #[inline]
    pub fn has(&self, id: FieldId) -> bool {
        self.present & id.bit() != 0
    }

    /// Whether any of these known fields occurs: one test for the whole set.
    #[inline]
    pub fn has_any(&self, ids: FieldSet) -> bool {
        self.present & ids.0 != 0
    }

    /// The value of the first line of a known field.
    #[inline]
    pub fn get(&self, id: FieldId) -> Option<&[u8]> {
        if !self.has(id) {
            return None;
        }
        self.entries
            .iter()
            .find(|entry| entry.id == id)
            .map(|entry| self.value(entry))
    }

    /// The values of all lines of a known field, in order.
    #[inline]
    pub fn all(&self, id: FieldId) -> impl DoubleEndedIterator<Item = &[u8]> {
        let entries = if self.has(id) {
            self.entries.as_slice()
        } else {
            &[]
        };
        entries
            .iter()
            .filter(move |entry| entry.id == id)
            .map(|entry| self.value(entry))
    }

    /// The values of all lines of any field, in order.
    pub fn all_named<'a>(&'a self, name: &'a FieldName) -> impl Iterator<Item = &'a [u8]> {
        let possible = name.id() == FieldId::Other || self.has(name.id());
        let entries = if possible {
            self.entries.as_slice()
        } else {
            &[]
        };
        entries
            .iter()
            .filter(move |entry| self.is(entry, name))
            .map(|entry| self.value(entry))
    }

    #[inline]
    fn is(&self, entry: &Entry, name: &FieldName) -> bool {
        entry.id == name.id()
            && (entry.id != FieldId::Other
                || self
                    .name(entry)
                    .eq_ignore_ascii_case(name.as_str().as_bytes()))
    }

    /// The elements of a comma-separated known field over all its lines, trimmed, empty ones left out
    /// (RFC 9110 §5.6.1). Quoted strings are not understood: for lists of tokens only.
    pub fn tokens(&self, id: FieldId) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.all(id)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(|token| token.trim_ascii())
            .filter(|token| !token.is_empty())
    }

    /// Whether a list-valued known field holds `token`, whatever its case.
    pub fn has_token(&self, id: FieldId, token: &[u8]) -> bool {
        self.has(id) && self.tokens(id).any(|each| each.eq_ignore_ascii_case(token))
    }

    /// Adds a line of a known field at the end.
    #[inline]
    pub fn append(&mut self, id: FieldId, value: &[u8]) {
        self.append_parts(id, &[value]);
    }

    /// Adds a line whose value is the concatenation of `parts`.
    #[inline]
    pub fn append_parts(&mut self, id: FieldId, parts: &[&[u8]]) {
        debug_assert!(id != FieldId::Other);
        self.push_line(id, id.as_str().as_bytes(), parts);
    }

    /// Writes a line into the buffer as it is sent, so that neighbours leave in one copy.
    #[inline]
    fn push_line(&mut self, id: FieldId, name: &[u8], parts: &[&[u8]]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        let value = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let value_len = self.bytes.len() - value;
        self.bytes.extend_from_slice(b"\r\n");
        self.present |= id.mark();
        self.entries.push(Entry {
            name: start as u32,
            name_len: name.len() as u16,
            id,
            flags: VERBATIM,
            value: value as u32,
            value_len: value_len as u32,
        });
    }

    /// Adds a line of any field at the end, spelt as `name` is.
    pub fn append_named(&mut self, name: &FieldName, value: &[u8]) {
        self.push_line(name.id(), name.as_str().as_bytes(), &[value]);
    }

    /// Adds a line with a name that the caller knows to be a token.
    pub fn append_line(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(!name.is_empty() && name.iter().all(|&byte| is_token_byte(byte)));
        self.push_line(FieldId::of(name), name, &[value]);
    }

    /// Adds all lines of another list at the end: two copies, however many they are. The other list must have been
    /// put together with `append` and its siblings only.
    #[inline]
    pub fn append_all(&mut self, other: &Fields) {
        let moved = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&other.bytes);
        self.entries.extend(other.entries.iter().map(|entry| Entry {
            name: entry.name + moved,
            value: entry.value + moved,
            ..*entry
        }));
        self.present |= other.present;
    }

    /// Replaces all lines of a known field by one, which takes the first one's place.
    pub fn set(&mut self, id: FieldId, value: &[u8]) {
        self.set_parts(id, &[value]);
    }

    /// [`Fields::set`] with a value that is the concatenation of `parts`.
    pub fn set_parts(&mut self, id: FieldId, parts: &[&[u8]]) {
        if !self.has(id) {
            return self.append_parts(id, parts);
        }
        self.append_parts(id, parts);
        self.keep_last_in_first_place(|entry| entry.id == id);
    }

    /// Replaces all lines of any field by one, which takes the first one's place.
    pub fn set_named(&mut self, name: &FieldName, value: &[u8]) {
        let id = name.id();
        let absent = id != FieldId::Other && !self.has(id);
        self.push_line(id, name.as_str().as_bytes(), &[value]);
        if absent {
            return;
        }
        if id != FieldId::Other {
            return self.keep_last_in_first_place(|entry| entry.id == id);
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.keep_last_in_first_place(|entry| {
            entry.id == FieldId::Other
                && bytes[entry.name as usize..entry.name as usize + entry.name_len as usize]
                    .eq_ignore_ascii_case(name.as_str().as_bytes())
        });
        self.bytes = bytes;
    }

    fn keep_last_in_first_place(&mut self, matches: impl Fn(&Entry) -> bool) {
        let Some(last) = self.entries.pop() else {
            return;
        };
        let mut placed = false;
        self.entries.retain_mut(|entry| {
            if !matches(entry) {
                return true;
            }
            if placed {
                return false;
            }
            *entry = last;
            placed = true;
            true
        });
        if !placed {
            self.entries.push(last);
        }
    }

    /// Removes all lines of a known field.
    pub fn remove(&mut self, id: FieldId) {
        if self.has(id) {
            self.entries.retain(|entry| entry.id != id);
            self.present &= !id.bit();
        }
    }

    /// Removes all lines of these known fields.
    #[inline]
    pub fn remove_any(&mut self, ids: FieldSet) {
        if self.has_any(ids) {
            self.entries.retain(|entry| entry.id.bit() & ids.0 == 0);
            self.present &= !ids.0;
        }
    }

    /// Removes all lines of any field.
    pub fn remove_named(&mut self, name: &[u8]) {
        let id = FieldId::of(name);
        if id != FieldId::Other {
            return self.remove(id);
        }
        let bytes = &self.bytes;
        self.entries.retain(|entry| {
            entry.id != FieldId::Other
                || !bytes[entry.name as usize..entry.name as usize + entry.name_len as usize]
                    .eq_ignore_ascii_case(name)
        });
    }

    /// Removes the lines of unknown fields whose name, as it came, `goes` takes.
    #[inline]
    pub fn remove_unknown(&mut self, goes: impl Fn(&[u8]) -> bool) {
        if self.present & FieldId::Other.mark() != 0 {
            self.retain_unknown(|name| !goes(name));
        }
    }

    #[inline(never)]
    fn retain_unknown(&mut self, stays: impl Fn(&[u8]) -> bool) {
        let bytes = &self.bytes;
        self.entries.retain(|entry| {
            let name = entry.name as usize..entry.name as usize + entry.name_len as usize;
            entry.id != FieldId::Other || stays(&bytes[name])
        });
    }

    /// Writes the lines as HTTP/1 sends them (RFC 9112 §5), without the empty line behind them.
    #[inline]
    pub fn write_http1(&self, out: &mut Vec<u8>) {
        out.reserve(self.bytes.len() + self.entries.len() * 8);
        let mut run = 0..0;
        for entry in &self.entries {
            if entry.flags & VERBATIM != 0 {
                let start = entry.name as usize;
                // The name, ": ", the value, CRLF.
                let end = start + entry.name_len as usize + entry.value_len as usize + 4;
                if start == run.end {
                    run.end = end;
                } else {
                    out.extend_from_slice(&self.bytes[run]);
                    run = start..end;
                }
                continue;
            }
            out.extend_from_slice(&self.bytes[run]);
            run = 0..0;
            out.extend_from_slice(self.name(entry));
            out.extend_from_slice(b": ");
            out.extend_from_slice(self.value(entry));
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.bytes[run]);
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        // Small ones were not lent from the stock and would have to grow for a head.
        if self.bytes.capacity() < HEAD_BYTES || !self.is_usual() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut entries = std::mem::take(&mut self.entries);
        bytes.clear();
        entries.clear();
        // At the thread's end the stock may be gone, and then the buffers are simply freed.
        let _ = STOCK.try_with(|stock| {
            let mut stock = stock.borrow_mut();
            if stock.len() < STOCK_MAX {
                stock.push((bytes, entries));
            }
        });
    }
}

/// A set of known fields, for one test or one removal of them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSet(u64);

impl FieldSet {
    /// The set of `ids`.
    pub const fn of(ids: &[FieldId]) -> FieldSet {
        let mut bits = 0;
        let mut at = 0;
        while at < ids.len() {
            bits |= ids[at].bit();
            at += 1;
        }
        FieldSet(bits)
    }

    /// Whether `id` is in the set.
    pub const fn holds(self, id: FieldId) -> bool {
        self.0 & id.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn received(section: &str) -> Fields {
        let mut fields = Fields::new();
        fields.start(section.as_bytes());
        let mut at = 0;
        for line in section.split_inclusive("\r\n") {
            let colon = line.find(':').unwrap();
            let value = line[colon + 1..].trim();
            let value_at = at + line.find(value).unwrap().max(colon + 1);
            let verbatim = line == format!("{}: {}\r\n", &line[..colon], value);
            fields.push_received(at..at + colon, value_at..value_at + value.len(), verbatim);
            at += line.len();
        }
        fields
    }

    fn written(fields: &Fields) -> String {
        let mut out = Vec::new();
        fields.write_http1(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn joined_lines_have_no_separator_at_either_end() {
        for (lines, joined) in [
            (&["a=1", "b=2"][..], "a=1; b=2"),
            (&["", "a=1", "", "b=2", ""], "a=1; b=2"),
            (&["", ""], ""),
        ] {
            let mut fields = Fields::new();
            for line in lines {
                fields.append(FieldId::Cookie, line.as_bytes());
            }
            fields.join(FieldId::Cookie, b"; ");
            assert_eq!(fields.get(FieldId::Cookie), Some(joined.as_bytes()));
            assert_eq!(fields.len(), 1);
        }
    }

    #[test]
    fn forwards_order_and_spelling() {
        let section = "hOsT: a\r\nX-One:  1 \r\nx-two: 2\r\nX-Three: \r\n";
        assert_eq!(
            written(&received(section)),
            "hOsT: a\r\nX-One: 1\r\nx-two: 2\r\nX-Three: \r\n"
        );
    }

    #[test]
    fn set_takes_the_first_place_and_removes_the_rest() {
        let mut fields = received("Accept: a\r\nHost: x\r\nAccept: b\r\nX-A: 1\r\nx-a: 2\r\n");
        fields.set(FieldId::Accept, b"c");
        fields.set_named(&FieldName::new("X-a").unwrap(), b"3");
        fields.set_named(&FieldName::new("X-New").unwrap(), b"4");
        assert_eq!(
            written(&fields),
            "Accept: c\r\nHost: x\r\nX-a: 3\r\nX-New: 4\r\n"
        );
    }

    #[test]
    fn removal_clears_presence() {
        let mut fields = received("Te: trailers\r\nX-A: 1\r\nTE: x\r\n");
        fields.remove(FieldId::Te);
        fields.remove_named(b"x-A");
        assert!(!fields.has(FieldId::Te) && fields.is_empty());
    }

    #[test]
    fn tokens_cross_lines_and_skip_empty_elements() {
        let fields = received("Connection: close, ,x\r\nConnection: Upgrade\r\n");
        let tokens: Vec<_> = fields.tokens(FieldId::Connection).collect();
        assert_eq!(tokens, [&b"close"[..], b"x", b"Upgrade"]);
        assert!(fields.has_token(FieldId::Connection, b"upgrade"));
    }

    #[test]
    fn joined_lines_take_the_first_place() {
        let mut fields = received("Cookie: a=1\r\nHost: x\r\ncookie: b=2\r\nCookie: c=3\r\n");
        fields.join(FieldId::Cookie, b"; ");
        fields.join(FieldId::Host, b"; ");
        assert_eq!(written(&fields), "Cookie: a=1; b=2; c=3\r\nHost: x\r\n");
    }

    #[test]
    fn written_lines_are_lines() {
        let mut fields = Fields::new();
        fields
            .buffer()
            .extend_from_slice(b"x: left out\r\nhost: a\r\n");
        fields.push_written(FieldId::Host, 13, 4, 1, true);
        assert!(fields.has(FieldId::Host) && fields.iter().all(|line| line.guarded));
        assert_eq!(written(&fields), "host: a\r\n");
    }

    proptest! {
        /// Against the plainest model: a list of pairs.
        #[test]
        fn behaves_like_a_list_of_pairs(ops in proptest::collection::vec((0u8..4, 0usize..5, "[a-z]{0,6}"), 0..40)) {
            let names = ["Host", "Via", "X-A", "X-B", "Cookie"];
            let mut fields = Fields::new();
            let mut model: Vec<(String, String)> = Vec::new();
            for (op, name, value) in ops {
                let text = names[name];
                let name = FieldName::new(text).unwrap();
                match op {
                    0 => { fields.append_named(&name, value.as_bytes()); model.push((text.into(), value)); }
                    1 => {
                        fields.set_named(&name, value.as_bytes());
                        match model.iter().position(|(n, _)| n == text) {
                            Some(at) => {
                                model[at].1 = value;
                                let mut seen = false;
                                model.retain(|(n, _)| n != text || !std::mem::replace(&mut seen, true));
                            }
                            None => model.push((text.into(), value)),
                        }
                    }
                    2 => { fields.remove_named(text.as_bytes()); model.retain(|(n, _)| n != text); }
                    _ => if name.id() != FieldId::Other { fields.append(name.id(), value.as_bytes()); model.push((text.into(), value)); },
                }
            }
            let expected: String = model.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
            prop_assert_eq!(written(&fields), expected);
            for text in names {
                let id = FieldId::of(text.as_bytes());
                let has = model.iter().any(|(n, _)| n == text);
                if id != FieldId::Other { prop_assert_eq!(fields.has(id), has); }
                prop_assert_eq!(fields.all_named(&FieldName::new(text).unwrap()).count(), model.iter().filter(|(n, _)| n == text).count());
            }
        }
    }
}
