//! The texts a configuration was read from.

use crate::Origin;

/// The texts that a configuration was read from; [`Origin::file`] is an index into them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sources {
    files: Vec<Source>,
}

/// One text and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    name: String,
    text: String,
    /// The text cannot be read as what it is to be, so that nobody knows what in it is a secret.
    is_broken: bool,
    line_starts: Vec<u32>,
    /// Characters before every multiple of [`MARK_BYTES`], so that columns in very long lines cost little.
    marks: Vec<u32>,
}

/// Distance of the marks in bytes.
const MARK_BYTES: usize = 4096;

/// Characters that begin in these bytes: UTF-8 continuation bytes are 10xxxxxx, every other byte begins one.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// A place that people understand. Lines and columns count from 1; a column is a Unicode scalar value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column one past the last character.
    pub end_column: usize,
}

impl Sources {
    /// Adds a text and returns its index.
    pub(crate) fn add(&mut self, name: String, text: String) -> u32 {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0)
            .chain(starts.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)))
            .collect();
        let marks = text.as_bytes().chunks(MARK_BYTES).scan(0, |before, chunk| {
            let mark = *before;
            *before += u32::try_from(characters(chunk)).unwrap_or(u32::MAX);
            Some(mark)
        });
        let marks = marks.collect();
        self.files.push(Source {
            name,
            text,
            is_broken: false,
            line_starts,
            marks,
        });
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// Notes that a text cannot be read as what it is to be.
    pub(crate) fn note_broken(&mut self, file: u32) {
        if let Some(source) = usize::try_from(file)
            .ok()
            .and_then(|at| self.files.get_mut(at))
        {
            source.is_broken = true;
        }
    }

    /// Whether a text cannot be read as what it is to be.
    pub(crate) fn is_broken(&self, file: u32) -> bool {
        self.get(file).is_some_and(|source| source.is_broken)
    }

    /// The text number `file`.
    pub fn get(&self, file: u32) -> Option<&Source> {
        self.files.get(usize::try_from(file).ok()?)
    }

    /// Every text: the configuration file first, then what it imports.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// Line and column of an origin; the start of the text if it lies outside.
    pub fn place(&self, origin: Origin) -> Place {
        let Some(source) = self.get(origin.file) else {
            return Place {
                line: 1,
                column: 1,
                end_line: 1,
                end_column: 1,
            };
        };
        let (line, column) = source.line_and_column(origin.start);
        let (end_line, end_column) = source.line_and_column(origin.end.max(origin.start));
        Place {
            line,
            column,
            end_line,
            end_column,
        }
    }
}

impl Source {
    /// The file's path as it was given or imported.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a line, counted from 1, without its end; empty if there is no such line.
    pub(crate) fn line(&self, line: usize) -> &str {
        let (start, end) = self.line_range(line);
        self.text
            .get(start..end)
            .unwrap_or("")
            .trim_end_matches(['\n', '\r'])
    }

    /// The part of a line before a byte of the text, and the part from there on.
    pub(crate) fn line_at(&self, line: usize, offset: u32) -> (&str, &str) {
        let text = self.line(line);
        let at = (offset as usize)
            .saturating_sub(self.line_range(line).0)
            .min(text.len());
        text.split_at(text.floor_char_boundary(at))
    }

    /// Where a line begins, counted from 1.
    pub(crate) fn line_start(&self, line: usize) -> usize {
        self.line_range(line).0
    }

    fn line_range(&self, line: usize) -> (usize, usize) {
        let at = |index: usize| self.line_starts.get(index).map(|start| *start as usize);
        let start = line.checked_sub(1).and_then(at).unwrap_or(self.text.len());
        (start, at(line).unwrap_or(self.text.len()))
    }

    fn line_and_column(&self, offset: u32) -> (usize, usize) {
        let line = self
            .line_starts
            .partition_point(|start| *start <= offset)
            .max(1);
        let (start, end) = self.line_range(line);
        let end = end.min(offset as usize);
        let before = self
            .characters_before(end)
            .saturating_sub(self.characters_before(start));
        (line, before + 1)
    }

    fn characters_before(&self, offset: usize) -> usize {
        let mark = offset / MARK_BYTES;
        let rest = self
            .text
            .as_bytes()
            .get(mark * MARK_BYTES..offset)
            .unwrap_or(&[]);
        self.marks.get(mark).map_or(0, |before| *before as usize) + characters(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Sources};

    #[test]
    fn places_count_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add("a".into(), "ab\r\ncafé = 1\n".into());
        let check = |start, end, expected: (usize, usize, usize, usize)| {
            let place = sources.place(Origin::new(file, start, end));
            assert_eq!(
                (place.line, place.column, place.end_line, place.end_column),
                expected
            );
        };
        check(0, 2, (1, 1, 1, 3));
        check(4, 9, (2, 1, 2, 5));
        check(12, 13, (2, 8, 2, 9));
        check(14, 14, (3, 1, 3, 1));
        check(900, 901, (3, 1, 3, 1));
        assert_eq!(sources.get(file).unwrap().line(1), "ab");
        assert_eq!(sources.get(file).unwrap().line(9), "");
        assert_eq!(sources.place(Origin::new(7, 0, 1)).line, 1);
    }

    #[test]
    fn columns_in_long_lines() {
        let text = format!("\n{}x", "é".repeat(5000));
        let mut sources = Sources::default();
        let file = sources.add("a".into(), text.clone());
        for (start, column) in [
            (1, 1),
            (4095, 2048),
            (4097, 2049),
            (8193, 4097),
            (10_001, 5001),
        ] {
            assert_eq!(
                sources.place(Origin::new(file, start, start)).column,
                column,
                "{start}"
            );
        }
        let (before, after) = sources.get(file).unwrap().line_at(2, 10_001);
        assert_eq!((before.len(), after), (10_000, "x"));
        // An offset inside a character belongs to the character.
        assert_eq!(sources.get(file).unwrap().line_at(2, 2).0, "");
    }
}
