//! Secrets in a text that cannot be read: found by its lines alone, so that what is no secret can still be shown.
//!
//! Nobody knows what a broken text means. A line is shown as far as its keys are known and no word of it speaks of secrets;
//! what follows a doubtful key is hidden, and lines without a key of their own go with the one before.

use super::CREDENTIAL_WORDS;
use crate::keys::{Key, Kind, Section};
use crate::sections::ROOT;
use std::collections::HashSet;
use std::ops::Range;

/// Runs of letters and digits, mixed, that are at least as long are taken for secrets wherever they stand.
const TOKEN_BYTES_MIN: usize = 16;

/// What is hidden, in its order.
pub(super) fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut scan = Scan::new(text);
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let written = line.trim_end();
        let shown = scan.shown(written);
        if shown < written.len() {
            found.push(start + shown..start + written.len());
        }
        start += line.len();
    }
    found
}

/// Where a reader of lines is.
struct Scan {
    /// Keys that take no secret.
    known: HashSet<&'static str>,
    /// Keys that take one.
    secret: HashSet<&'static str>,
    /// The text speaks of secrets somewhere, so that lines without a key are not trusted.
    has_secrets: bool,
    /// The table is unknown.
    in_odd_table: bool,
    /// The table that the last header names, if its keys are known.
    table: Option<&'static Section>,
    /// The last key is doubtful, and with it the lines that have none.
    after_odd_key: bool,
    /// What ends the hidden text of several lines that the reader is in.
    text_end: Option<&'static str>,
}

impl Scan {
    fn new(text: &str) -> Self {
        let mut scan = Self {
            known: HashSet::new(),
            secret: HashSet::new(),
            has_secrets: false,
            in_odd_table: false,
            table: None,
            after_odd_key: false,
            text_end: None,
        };
        scan.collect(&ROOT);
        scan.has_secrets = scan.speaks_of_secrets(text);
        scan
    }

    fn collect(&mut self, section: &'static Section) {
        for Key { name, kind, .. } in section.keys {
            if self.is_secret(*kind) {
                self.secret.insert(name);
            } else {
                self.known.insert(name);
            }
        }
    }

    /// Whether a kind takes a secret itself; the keys of its tables are collected.
    fn is_secret(&mut self, kind: Kind) -> bool {
        match kind {
            Kind::Text(syntax) => syntax.is_secret,
            Kind::List(item) => self.is_secret(*item),
            Kind::Map(_, value) => self.is_secret(*value),
            Kind::Table(section) => {
                self.collect(section);
                false
            }
            // Every one of them is looked at, for the tables among them.
            Kind::Either(kinds) => kinds.iter().filter(|kind| self.is_secret(**kind)).count() > 0,
            _ => false,
        }
    }

    fn speaks_of_secrets(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let mut words = CREDENTIAL_WORDS.iter().chain(&self.secret);
        words.any(|word| text.contains(word))
    }

    /// How many bytes of a line are shown.
    fn shown(&mut self, line: &str) -> usize {
        if let Some(end) = self.text_end {
            if line.contains(end) {
                self.text_end = None;
            }
            return 0;
        }
        let shown = match self.header(line) {
            Some(end) => end,
            None => self.shown_of_values(line),
        };
        let shown = token(line).map_or(shown, |found| shown.min(found.start));
        let is_odd = |quotes: &&str| line[shown..].matches(*quotes).count() % 2 == 1;
        self.text_end = ["\"\"\"", "'''"].into_iter().find(is_odd);
        shown
    }

    /// How much is shown of a line that begins a table: all but a comment.
    fn header(&mut self, line: &str) -> Option<usize> {
        let inner = line.trim_start().strip_prefix('[')?;
        let inner = inner.strip_prefix('[').unwrap_or(inner);
        let end = inner.find([']', '#']).unwrap_or(inner.len());
        let (path, after) = inner.split_at(end);
        let after_brackets = after.trim_start_matches(']').trim_start();
        let is_whole = after.starts_with(']')
            && (after_brackets.is_empty() || after_brackets.starts_with('#'));
        let table = table_at(path.trim());
        let is_known = table.is_some();
        let begins_with_name = path.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_odd = !(is_whole && begins_with_name) || self.after_odd_key;
        let has_more = !is_whole && !after.is_empty();
        if path.contains('=') || has_more || !is_known && is_odd {
            return None;
        }
        self.in_odd_table = !is_known;
        self.table = match table {
            Some(Kind::Table(section)) => Some(section),
            _ => None,
        };
        self.after_odd_key = false;
        Some(line.len() - after_brackets.len())
    }

    fn shown_of_values(&mut self, line: &str) -> usize {
        // Lines without separators are of other programs, or go on with what was before.
        let has_keys = self.has_secrets && separators(line).next().is_some();
        let lost = lost_key(line).filter(|_| has_keys);
        let shown = self.shown_up_to_doubts(line);
        match lost {
            Some(at) => self.hide_from(at, line).min(shown),
            None => shown,
        }
    }

    fn shown_up_to_doubts(&mut self, line: &str) -> usize {
        let mut first = None;
        for (at, after) in separators(line) {
            if first.is_none() && has_value(&line[..at]) {
                break;
            }
            let key = last_word(&line[..at]);
            let is_first = first.replace(first.unwrap_or(after)).is_none();
            let is_known = self.known.contains(key) && !(is_first && self.is_elsewhere(key));
            if !is_known && is_first && self.after_odd_key && line[..at].contains(is_quote) {
                // A secret of the list before that has got a separator.
                return 0;
            }
            if self.in_odd_table || !is_known || self.speaks_of_secrets(key) {
                return self.hide_from(after, line);
            }
        }
        match first {
            Some(after) if self.speaks_of_secrets(line) => return self.hide_from(after, line),
            Some(_) => self.after_odd_key = false,
            None if is_structure(line) => {}
            None if self.in_odd_table || self.after_odd_key => return 0,
            None if self.has_secrets => return first_word(line),
            None => return line.find(['"', '\'', '`']).unwrap_or(line.len()),
        }
        line.len()
    }

    /// Whether a known key does not belong to the table that it stands in, in a text with secrets: it may have been another
    /// one.
    fn is_elsewhere(&self, key: &str) -> bool {
        let is = |section: &Section| section.keys.iter().any(|one| one.name == key);
        self.has_secrets && self.table.is_some_and(|table| !is(table))
    }

    fn hide_from(&mut self, after: usize, line: &str) -> usize {
        self.after_odd_key = true;
        let rest = &line[after..];
        match is_structure(rest) {
            true => line.len(),
            false => line.len() - rest.trim_start().len(),
        }
    }
}

/// The table or map that a path of keys leads to.
fn table_at(path: &str) -> Option<Kind> {
    let mut kind = Kind::Table(&ROOT);
    for key in keys(path) {
        let next = match table_of(kind) {
            Some(Kind::Table(section)) => {
                let found = section.keys.iter().find(|one| one.name == key);
                found.map(|one| one.kind)
            }
            Some(Kind::Map(_, value)) => Some(*value),
            _ => None,
        };
        match next {
            Some(next) => kind = next,
            None => return None,
        }
    }
    table_of(kind)
}

/// The table or map that a value may be, or a list of.
fn table_of(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::Table(_) | Kind::Map(..) => Some(kind),
        Kind::List(item) => table_of(*item),
        Kind::Either(kinds) => kinds.iter().find_map(|kind| table_of(*kind)),
        _ => None,
    }
}

/// The keys of a path, which may be in quotes and have dots there.
fn keys(path: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let mut quote = None;
    let mut start = 0;
    for (at, c) in path.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '.') => {
                keys.push(&path[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    keys.push(&path[start..]);
    keys.into_iter().map(str::trim).collect()
}

/// Where keys end in a line and values begin: `=`, and `:` as JSON and YAML have it.
fn separators(line: &str) -> impl Iterator<Item = (usize, usize)> {
    line.match_indices(['=', ':'])
        .filter_map(move |(at, found)| {
            let after = at + 1;
            let next = line[after..].chars().next();
            let follows_quote = line[..at].trim_end().ends_with(is_quote);
            let begins_value =
                next.is_none_or(|c| c.is_whitespace() || is_quote(c) || matches!(c, '[' | '{'));
            (found == "=" || follows_quote || begins_value).then_some((at, after))
        })
}

/// Whether something in quotes stands before the key that a text ends with.
fn has_value(text: &str) -> bool {
    let text = text.trim_end();
    let is_quote = |c: char| matches!(c, '"' | '\'' | '`');
    let before = match text.strip_suffix(is_quote) {
        Some(inner) => match inner.rfind(is_quote) {
            Some(open) => &inner[..open],
            None => return true,
        },
        None => text,
    };
    before.contains(is_quote)
}

/// Where a line has a value that nothing leads to, or goes on behind a text in quotes as if that had not ended: something
/// is gone there, and with it perhaps what told that it is a secret.
fn lost_key(line: &str) -> Option<usize> {
    let mut open = None;
    let mut before = None;
    for (at, c) in line.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        match (open, c) {
            (Some(quote), c) if c == quote => open = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '[' | '{') if before.is_some_and(|c| !leads_to_value(c)) => {
                return Some(at);
            }
            (None, '"' | '\'') => open = Some(c),
            (None, c) if before.is_some_and(is_quote) && !ends_value(c) => return Some(at),
            _ => {}
        }
        before = Some(c);
    }
    None
}

fn leads_to_value(c: char) -> bool {
    matches!(c, '=' | ':' | ',' | '[' | '{' | '.')
}

fn ends_value(c: char) -> bool {
    matches!(c, '=' | ':' | ',' | ']' | '}' | '.' | '#')
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

/// The last name in a text that ends with a key.
fn last_word(text: &str) -> &str {
    let text = text.trim_end().trim_end_matches(['"', '\'']);
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let start = text.rfind(|c| !is_of_names(c));
    start.map_or(text, |at| {
        let length = text[at..].chars().next().map_or(1, char::len_utf8);
        &text[at + length..]
    })
}

/// Where the first word of a line ends that begins with one, as directives of other servers do.
fn first_word(line: &str) -> usize {
    let indented = line.trim_start();
    let is_of_words = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = indented.trim_start_matches(is_of_words);
    match rest.starts_with(' ') && rest.len() < indented.len() {
        true => line.len() - rest.trim_start().len(),
        false => 0,
    }
}

/// Brackets and the like, which say nothing.
fn is_structure(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || matches!(c, '[' | ']' | '{' | '}' | '(' | ')' | ',' | ';'))
}

/// A message about a broken text without what looks like a secret: what stood in a value may be a key now.
pub(crate) fn without_tokens(message: &mut String) {
    while let Some(found) = token(message) {
        message.replace_range(found, "…");
    }
}

/// Where something stands that looks like a token or a hash.
fn token(line: &str) -> Option<Range<usize>> {
    let is_of_tokens = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '=');
    let mut start = 0;
    for run in line.split_inclusive(|c| !is_of_tokens(c)) {
        let word = run.trim_end_matches(|c| !is_of_tokens(c));
        let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
        if word.len() >= TOKEN_BYTES_MIN && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
        {
            return Some(start..start + word.len());
        }
        start += run.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::hidden;

    /// Compares what is shown; what is hidden is `…`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut shown = String::new();
        let mut at = 0;
        for range in hidden(text) {
            shown.push_str(&text[at..range.start]);
            shown.push('…');
            at = range.end;
        }
        shown.push_str(&text[at..]);
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_has_nothing_to_do_with_secrets_is_shown() {
        for text in [
            "[sites.\"a.example\"\nupstream = \"app\n[upstreams.app]\nservers = [\"127.0.0.1:1\"\n",
            "[[sites.\"*\".routes]]\npath = { exact = \"/\" }\nredirect = { to = \"/x\" \n",
            "server {\n    listen 80;\n    location /api/ {\n        proxy_pass http://10.0.0.1:8080;\n    }\n}\n",
            "sites:\n  example.com:\n    upstream: app\nupstreams:\n  app:\n    servers:\n      - 10.0.0.1:80\n",
            "example.com {\n    reverse_proxy localhost:8080\n}\n",
            "{\n  \"sites\": {\n    \"*\": {\n      \"upstream\": \"app\",\n    }\n  }\n}\n",
            "",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn what_a_key_of_secrets_has_is_hidden() {
        check(
            "[admin]\ntoken = \"abc\" # mine\naddress = \"127.0.0.1:1\"\n",
            "[admin]\ntoken = …\naddress = \"127.0.0.1:1\"\n",
        );
        check("[admin]\ntoken = abc\n", "[admin]\ntoken = …\n");
        check("[admin]\ntokn = \"abc\"\n", "[admin]\ntokn = …\n");
        check("[admn]\naddress = \"abc\"\n", "[admn]\naddress = …\n");
        check("admin = { token = \"abc\" }\n", "admin = { token = …\n");
        check("format = \"{client} {session}\"\n", "format = …\n");
        check(
            "{\"admin\":{\"token\":\"abc\",}\n",
            "{\"admin\":{\"token\":…\n",
        );
        check(
            "# token = \"abc\"\nworkers = 2\n",
            "# token = …\nworkers = 2\n",
        );
    }

    #[test]
    fn what_goes_on_in_further_lines_is_hidden_with_its_key() {
        check(
            "[upstreams.app.sticky]\nsecrets = [\n  \"abc\",\n  'def'\n]\nwhere = 1\n",
            "[upstreams.app.sticky]\nsecrets = [\n…\n…\n]\nwhere = …\n",
        );
        check(
            "token = \"\"\"\nworkers = 2\n\"\"\"\nworkers = 2\n",
            "token = …\n…\n…\nworkers = 2\n",
        );
        check("token:\n  abc\nworkers: 2\n", "token:\n…\nworkers: 2\n");
        check(
            "basic_auth {\n    bob abc\n}\nreverse_proxy a\n",
            "basic_auth …\n    bob …\n}\nreverse_proxy …\n",
        );
    }

    #[test]
    fn what_lost_its_key_within_a_line_is_hidden() {
        let check = |text: &str, expected: &str| {
            let between = |text: &str, token| format!("[admin]\n{text}token = {token}\n");
            check(&between(text, "abc"), &between(expected, "…"));
        };
        check(
            "address = { a \"hunter two\", x = 1 }\n",
            "address = { a …\n",
        );
        check("address = \"a\"hunter two=\n", "address = \"a\"…\n");
        check("address = \"a\" \"hunter two\"\n", "address = \"a\" …\n");
        check("address = [\"a\", \"b\"]\n", "address = [\"a\", \"b\"]\n");
        // A key of a redirect, and what is left of `token`.
        check("to = \"hunter two\"\n", "to = …\n");
        check("tokens = [\n\"hunter two\":,\n]\n", "tokens = [\n…\n]\n");
    }

    #[test]
    fn what_lost_its_key_is_hidden_by_its_looks() {
        check("toen \"abc\"\n", "toen …\n");
        check("# token\nabc\n\"a\" b\n", "…\n…\n…\n");
        check("\"abc\" }, path = \"/\"\n", "…\n");
        check("workers = 2 0123456789abcdef\n", "workers = 2 …\n");
        let mut message = "no key `0123456789abcdef` in `[admin]`, `0123456789abcdef`".to_owned();
        super::without_tokens(&mut message);
        assert_eq!(message, "no key `…` in `[admin]`, `…`");
        check("\"é\": abc\nworkers = \"é\n", "\"é\": …\nworkers = \"é\n");
    }
}
