//! JSON (RFC 8259) into the tree. Strict: no comments, no trailing commas, no duplicate keys.

use super::{DEPTH_MAX, Entry, Node, Text, Value};
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use std::collections::HashMap;

/// Reads a JSON text. The first syntax error ends the reading, since JSON has no lines to recover at; duplicate keys
/// are all reported.
pub(super) fn parse(text: &str, file: u32, report: &mut Report) -> Node {
    let mut reader = JsonReader {
        text,
        at: 0,
        file,
        report,
    };
    match reader.document() {
        Ok(node) => node,
        Err(diagnostic) => {
            reader.report.push(*diagnostic);
            Node::empty_table(Origin::new(file, 0, 0))
        }
    }
}

type Parsed<T> = Result<T, Box<Diagnostic>>;

struct JsonReader<'t, 'r> {
    text: &'t str,
    at: usize,
    file: u32,
    report: &'r mut Report,
}

impl JsonReader<'_, '_> {
    fn document(&mut self) -> Parsed<Node> {
        // RFC 8259 section 8.1: a reader may ignore a byte order mark.
        if self.text.starts_with('\u{FEFF}') {
            self.at = '\u{FEFF}'.len_utf8();
        }
        self.skip_space();
        let node = self.value(0)?;
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.unexpected("the end of the text"));
        }
        Ok(node)
    }

    fn value(&mut self, depth: usize) -> Parsed<Node> {
        let start = self.at;
        if depth > DEPTH_MAX {
            let origin = Origin::new(self.file, start, start + 1);
            return Err(Box::new(
                Diagnostic::new(Code::TooLarge, origin, "the text is nested too deeply").cause(
                    format!("at most {DEPTH_MAX} levels of objects and arrays are read"),
                ),
            ));
        }
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::Text(Text {
                text: self.string()?,
                substituted: false,
                is_missing: false,
            }),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ if self.eat("true") => Value::Boolean(true),
            _ if self.eat("false") => Value::Boolean(false),
            _ if self.eat("null") => Value::Other("null"),
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node::new(Origin::new(self.file, start, self.at), value))
    }

    fn object(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Origin> = HashMap::new();
        self.skip_space();
        if self.eat("}") {
            return Ok(Value::Table(entries));
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            let key_origin = Origin::new(self.file, start, self.at);
            self.skip_space();
            if !self.eat(":") {
                return Err(self.unexpected("`:`"));
            }
            self.skip_space();
            let node = self.value(depth + 1)?;
            if let Some(first) = seen.get(&key) {
                self.report.push(
                    Diagnostic::new(
                        Code::DuplicateKey,
                        key_origin,
                        format!("{} is written twice", quoted(&key)),
                    )
                    .label("written again")
                    .related(*first, "first written here")
                    .help("keep one of them, or merge the two"),
                );
            } else {
                seen.insert(key.clone(), key_origin);
                entries.push(Entry {
                    key,
                    key_origin,
                    node,
                });
            }
            self.skip_space();
            if self.eat("}") {
                return Ok(Value::Table(entries));
            }
            if !self.eat(",") {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.eat("]") {
            return Ok(Value::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.eat("]") {
                return Ok(Value::List(items));
            }
            if !self.eat(",") {
                return Err(self.unexpected("`,` or `]`"));
            }
        }
    }

    fn string(&mut self) -> Parsed<String> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let plain = self
                .rest()
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .unwrap_or(self.rest().len());
            text.push_str(&self.rest()[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    return Err(self.error("a control character in a text", "must be escaped"));
                }
                None => {
                    self.at = start;
                    return Err(self.error("a text without its closing quote", "opened here"));
                }
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let character = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.error("an unknown escape", "not an escape of JSON")),
        };
        self.at += 2;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Parsed<char> {
        let Some(first) = self.hex4(self.at) else {
            return Err(self.error("an unknown escape", "four hexadecimal digits belong here"));
        };
        // RFC 8259 section 7: characters beyond U+FFFF are a pair of surrogates.
        let (code, length) = match first {
            0xD800..=0xDBFF => match self.hex4(self.at + 6) {
                Some(second @ 0xDC00..=0xDFFF) => {
                    (0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00), 12)
                }
                _ => (first, 6),
            },
            _ => (first, 6),
        };
        let Some(character) = char::from_u32(code) else {
            return Err(self.error("half of a surrogate pair", "its other half is missing"));
        };
        self.at += length;
        Ok(character)
    }

    /// The four digits of an escape `\u` that begins at `at`.
    fn hex4(&self, at: usize) -> Option<u32> {
        let escape = self.text.as_bytes().get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |code, digit| {
            Some(code * 16 + char::from(*digit).to_digit(16)?)
        })
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.at;
        self.eat("-");
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits()?;
        if leading_zero && digits > 1 {
            self.at = start;
            return Err(self.error("a number with a leading zero", "remove the zero"));
        }
        let mut is_integer = true;
        if self.eat(".") {
            is_integer = false;
            self.digits()?;
        }
        if self.eat("e") || self.eat("E") {
            is_integer = false;
            let _ = self.eat("+") || self.eat("-");
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        match number.parse::<i64>() {
            Ok(integer) if is_integer => Ok(Value::Integer(integer)),
            _ => Ok(Value::Float),
        }
    }

    fn digits(&mut self) -> Parsed<usize> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(self.unexpected("a digit"));
        }
        self.at += digits;
        Ok(digits)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn skip_space(&mut self) {
        self.at += self
            .rest()
            .bytes()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
    }

    fn error(&self, summary: &str, label: &str) -> Box<Diagnostic> {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        let origin = Origin::new(self.file, self.at, self.at + length);
        Box::new(
            Diagnostic::new(Code::Syntax, origin, format!("not valid JSON: {summary}"))
                .label(label),
        )
    }

    fn unexpected(&self, expected: &str) -> Box<Diagnostic> {
        let label = format!("expected {expected}");
        let found = self.rest().chars().next();
        let diagnostic = match found {
            Some(c) => self.error(&format!("unexpected {}", quoted(&c.to_string())), &label),
            None => self.error("the text ends too early", &label),
        };
        let help = match found {
            Some('}' | ']') => "JSON allows no comma after the last item",
            Some('/' | '#') => "JSON has no comments",
            Some('\'') => "JSON quotes texts with `\"`",
            _ => return diagnostic,
        };
        Box::new(diagnostic.help(help))
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Report, Value, parse};
    use proptest::prelude::*;

    fn to_serde(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Text(text) => text.text.clone().into(),
            Value::Integer(integer) => (*integer).into(),
            Value::Boolean(boolean) => (*boolean).into(),
            Value::Float | Value::Other(_) => serde_json::Value::Null,
            Value::List(items) => items.iter().map(to_serde).collect(),
            Value::Table(entries) => entries
                .iter()
                .map(|e| (e.key.clone(), to_serde(&e.node)))
                .collect(),
        }
    }

    /// Numbers that are no integers have no value here.
    fn without_floats(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Number(number) if number.as_i64().is_none() => {
                serde_json::Value::Null
            }
            serde_json::Value::Array(items) => items.into_iter().map(without_floats).collect(),
            serde_json::Value::Object(members) => members
                .into_iter()
                .map(|(key, value)| (key, without_floats(value)))
                .collect(),
            other => other,
        }
    }

    /// Reads with both readers; they must agree on whether it is JSON, and on what it says.
    fn check(text: &str) {
        let mut report = Report::default();
        let node = parse(text, 0, &mut report);
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(expected) => {
                assert!(!report.has_errors(), "{text}: {:?}", report.diagnostics);
                assert_eq!(to_serde(&node), without_floats(expected), "{text}");
            }
            Err(error) => assert!(report.has_errors(), "{text}: {error}"),
        }
    }

    #[test]
    fn agrees_with_serde_json() {
        for text in [
            "{}",
            "[]",
            " { \"a\" : [ 1 , -2.5e3 , true , null ] } ",
            "\"\\u00e9\\ud83d\\ude00\\n\"",
            "0",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "1e+5",
            "tru",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"",
            "",
            " ",
            "[1] 2",
            "// c\n1",
            "[",
            "{",
            "{\"a\":",
            "\"\\",
            "12345678901234",
        ] {
            check(text);
        }
    }

    #[test]
    fn spans_and_duplicates() {
        let mut report = Report::default();
        let node = parse("{\"a\": 1, \"a\": 2}", 0, &mut report);
        assert_eq!(report.diagnostics.len(), 1);
        assert_eq!(
            (
                report.diagnostics[0].origin.start,
                report.diagnostics[0].origin.end
            ),
            (9, 12)
        );
        let Value::Table(entries) = &node.value else {
            panic!("{node:?}")
        };
        assert_eq!(entries.len(), 1);
        assert_eq!(
            (entries[0].node.origin.start, entries[0].node.origin.end),
            (6, 7)
        );
    }

    #[test]
    fn nesting_is_limited() {
        let mut report = Report::default();
        parse(&"[".repeat(1_000_000), 0, &mut report);
        assert_eq!(report.diagnostics[0].code.name(), "too-large");
    }

    proptest! {
        #[test]
        fn any_text_reads_as_serde_json_does(text in "[\\[\\]{}:,\"\\\\a0-9eE.+ utrnfals-]{0,24}") {
            // A duplicate key is an error here only.
            prop_assume!(text.matches(':').count() < 2);
            // serde_json reads -0 as a float, and refuses floats that overflow.
            prop_assume!(!text.contains("-0"));
            prop_assume!(!text.contains(['e', 'E']) || text.len() < 6);
            check(&text);
        }
    }
}
