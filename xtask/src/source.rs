//! Rust text split into code and comments, so that checks can count braces and look for words
//! without being fooled by strings, comments, characters or lifetimes.

use std::ops::Range;

/// A source file seen twice, byte for byte aligned with the original: blanked bytes are spaces,
/// newlines stay.
#[derive(Debug)]
pub(crate) struct Source {
    /// The code; comments and the inside of literals are blank.
    pub(crate) code: String,
    /// The comments; everything else is blank.
    pub(crate) comments: String,
    /// Byte ranges of the items that exist in tests only.
    tests: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let kinds = kinds(text.as_bytes());
        let view = |wanted: Kind| {
            let bytes = text.bytes().zip(&kinds).map(|(byte, kind)| match byte {
                b'\n' => b'\n',
                // A multi-byte character inside code can only be an identifier; one space a byte
                // keeps the views aligned and is still text.
                byte if *kind == wanted && byte.is_ascii() => byte,
                _ => b' ',
            });
            String::from_utf8(bytes.collect()).expect("only ASCII bytes were kept")
        };
        let code = view(Kind::Code);
        let tests = test_items(&code);
        Self {
            comments: view(Kind::Comment),
            code,
            tests,
        }
    }

    /// The line of a byte, counted from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        1 + self.code[..at]
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count()
    }

    /// Whether a byte belongs to an item under `#[cfg(test)]`.
    pub(crate) fn in_tests(&self, at: usize) -> bool {
        self.tests.iter().any(|item| item.contains(&at))
    }

    /// Lines of the file without those that belong to items under `#[cfg(test)]`.
    pub(crate) fn product_lines(&self) -> usize {
        let all = self.code.lines().count();
        let tests: usize = self
            .tests
            .iter()
            .map(|item| self.line(item.end - 1) - self.line(item.start) + 1)
            .sum();
        all - tests.min(all)
    }

    /// Byte offsets at which `word` stands in the code as a word of its own.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        words(&self.code, word)
    }

    /// The attributes (`#[…]` and `#![…]`), as offset and text; literals inside are blank.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (usize, &str)> {
        let starts = self.code.match_indices('#').map(|(at, _)| at);
        starts.filter_map(|at| Some((at, &self.code[at..attribute_end(&self.code, at)?])))
    }
}

/// Byte offsets at which `word` stands in `text` with no identifier character around it.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let before = at.checked_sub(1).map(|it| bytes[it]);
            let after = bytes.get(at + word.len()).copied();
            !before.is_some_and(in_identifier) && !after.is_some_and(in_identifier)
        })
}

/// The offset just behind the bracket that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Where an item that begins at `start` ends: behind its `;` or its closing brace.
pub(crate) fn item_end(code: &str, start: usize) -> Option<usize> {
    body(code, start).map(|body| body.end)
}

/// The body `{…}` of the item that begins at `start`; empty when it ends with `;`.
pub(crate) fn body(code: &str, start: usize) -> Option<Range<usize>> {
    let mut at = start;
    loop {
        match code.as_bytes().get(at)? {
            b';' => return Some(at + 1..at + 1),
            b'{' => return Some(at..closing(code, at)?),
            b'(' | b'[' => at = closing(code, at)?,
            _ => at += 1,
        }
    }
}

fn attribute_end(code: &str, hash: usize) -> Option<usize> {
    let rest = code[hash + 1..]
        .strip_prefix('!')
        .unwrap_or(&code[hash + 1..]);
    let open = code.len() - rest.len();
    rest.starts_with('[').then(|| closing(code, open))?
}

fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices("#[cfg(") {
        let condition = &code[start + "#[cfg(".len()..];
        let for_tests = condition.starts_with("test)") || condition.starts_with("all(test,");
        let inside = items.last().is_some_and(|item| item.contains(&start));
        if !for_tests || inside {
            continue;
        }
        let mut at = start;
        while code[at..].starts_with('#') {
            let Some(end) = attribute_end(code, at) else {
                return items;
            };
            at = end + (code[end..].len() - code[end..].trim_start().len());
        }
        if let Some(end) = item_end(code, at) {
            items.push(start..end);
        }
    }
    items
}

fn in_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// What each byte of a Rust text belongs to. The quotes of a literal count as code.
fn kinds(text: &[u8]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; text.len()];
    let mut at = 0;
    while at < text.len() {
        let (end, kind) = match (text[at], text.get(at + 1)) {
            (b'/', Some(b'/')) => (line_end(text, at), Kind::Comment),
            (b'/', Some(b'*')) => (block_comment_end(text, at), Kind::Comment),
            (b'"', _) => (string_end(text, at), Kind::Literal),
            (b'\'', _) => (character_end(text, at), Kind::Literal),
            (byte, _) if in_identifier(byte) => {
                let word = at
                    + text[at..]
                        .iter()
                        .take_while(|it| in_identifier(**it))
                        .count();
                match raw_string_end(text, at, word) {
                    Some(end) => (end, Kind::Literal),
                    None => (word, Kind::Code),
                }
            }
            _ => (at + 1, Kind::Code),
        };
        kinds[at..end].fill(kind);
        if kind == Kind::Literal {
            kinds[at] = Kind::Code;
            kinds[end - 1] = Kind::Code;
        }
        at = end;
    }
    kinds
}

fn line_end(text: &[u8], start: usize) -> usize {
    let length = text[start..]
        .iter()
        .take_while(|byte| **byte != b'\n')
        .count();
    start + length
}

fn block_comment_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            (b'/', Some(b'*')) => {
                depth += 1;
                at += 2;
            }
            (b'*', Some(b'/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

fn string_end(text: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The end of a character literal, or of the apostrophe when it begins a lifetime.
fn character_end(text: &[u8], open: usize) -> usize {
    let rest = &text[open + 1..];
    let content = match rest.first() {
        Some(b'\\') => {
            2 + rest
                .iter()
                .skip(2)
                .take_while(|byte| **byte != b'\'')
                .count()
        }
        Some(byte) if byte.is_ascii() => 1,
        Some(_) => rest.iter().take_while(|byte| !byte.is_ascii()).count(),
        None => 0,
    };
    match rest.get(content) {
        Some(b'\'') => open + 1 + content + 1,
        _ => open + 1,
    }
}

/// The end of `r"…"`, `r#"…"#`, `br"…"` and so on, when the identifier `start..word` is such a prefix.
fn raw_string_end(text: &[u8], start: usize, word: usize) -> Option<usize> {
    if !matches!(&text[start..word], b"r" | b"br" | b"cr") {
        return None;
    }
    let hashes = text[word..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    if text.get(word + hashes) != Some(&b'"') {
        return None;
    }
    let closed = |at: usize| {
        let behind = &text[at + 1..];
        text[at] == b'"' && behind.len() >= hashes && behind[..hashes].iter().all(|it| *it == b'#')
    };
    (word + hashes + 1..text.len())
        .find(|at| closed(*at))
        .map(|at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_code(text: &str, expected: &str) {
        assert_eq!(Source::parse(text).code, expected);
    }

    #[test]
    fn comments_are_blank() {
        check_code("a // { b\nc", "a       \nc");
        check_code("a /* { /* } */ */ b", "a                 b");
    }

    #[test]
    fn literals_are_blank_and_their_quotes_stay() {
        check_code(r#"f("{ \" }")"#, r#"f("      ")"#);
        check_code("f('{', '\\'', '\\u{7d}')", "f(' ', '  ', '      ')");
        check_code(r###"r#"{"}"# b"###, r###"r      # b"###);
        check_code(r#"b"{" x"#, r#"b" " x"#);
    }

    #[test]
    fn lifetimes_are_code() {
        check_code("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn raw_identifiers_are_code() {
        check_code("r#type { }", "r#type { }");
    }

    #[test]
    fn comments_have_a_view_of_their_own() {
        assert_eq!(Source::parse("a // b\nc").comments, "  // b\n ");
    }

    #[test]
    fn test_items_are_not_product_lines() {
        let text = "#[cfg(test)]\nmod story;\nfn f() {}\n#[cfg(test)]\n#[rustfmt::skip]\nmod tests {\n\n}\n";
        let source = Source::parse(text);
        assert_eq!(source.product_lines(), 1);
        assert!(source.in_tests(text.find("story").expect("it is there")));
        assert!(!source.in_tests(text.find("fn f").expect("it is there")));
    }

    #[test]
    fn a_file_without_tests_counts_every_line() {
        assert_eq!(Source::parse("a\n\n// b\nc\n").product_lines(), 4);
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(
            words("todo todos _todo todo!", "todo").collect::<Vec<_>>(),
            [0, 17]
        );
    }

    #[test]
    fn attributes_are_found_with_their_arguments() {
        let source = Source::parse("#![allow(x)]\n#[cfg_attr(test, allow(y))] fn f() {}");
        let found: Vec<_> = source.attributes().map(|(_, text)| text).collect();
        assert_eq!(found, ["#![allow(x)]", "#[cfg_attr(test, allow(y))]"]);
    }
}
