//! Reading a section: every key is asked for once, by its name in the table of keys.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::keys::{Default, Key, Kind, Section};
use crate::scalar;
use crate::tree::{Entry, Node, Text, Value};
use std::cell::Cell;
use std::time::Duration;

/// A longer text is not shown as a list.
const LISTED_BYTES_MAX: usize = 80;

/// A written table, to be read by the keys of its section.
pub(crate) struct Fields<'t> {
    section: &'static Section,
    /// Where the table stands.
    pub(crate) origin: Origin,
    /// What is written, by index of the key.
    written: Vec<Option<&'t Entry>>,
    /// Bit set of the keys that were asked for.
    asked: Cell<u64>,
    /// True if there are keys that do not exist, perhaps misspelt ones, or no table at all: then none is reported as missing.
    pub(crate) has_unknown: bool,
}

impl<'t> Fields<'t> {
    /// Opens a table: reports unknown keys, and what is not a table (which then reads as an empty one).
    pub(crate) fn open(
        section: &'static Section,
        node: &'t Node,
        origin: Origin,
        report: &mut Report,
    ) -> Self {
        Self::open_with(section, node, origin, &|_| None, report)
    }

    /// The same; `hint` knows where keys belong that do not exist here.
    pub(crate) fn open_with(
        section: &'static Section,
        node: &'t Node,
        origin: Origin,
        hint: &dyn Fn(&Entry) -> Option<String>,
        report: &mut Report,
    ) -> Self {
        debug_assert!(
            section.keys.len() <= 64,
            "the bit set of asked keys has 64 bits"
        );
        let mut fields = Self::absent(section, origin);
        match &node.value {
            Value::Table(entries) => {
                let place = |entry| fields.place(entry, hint, report);
                entries.iter().for_each(place);
            }
            _ if node.is_missing() => fields.has_unknown = true,
            _ => {
                fields.has_unknown = true;
                report.push(of_wrong_type(node, "a table").maybe_help(as_table(section, node)));
            }
        }
        fields
    }

    /// The table that nobody wrote: every key has its default.
    pub(crate) fn absent(section: &'static Section, origin: Origin) -> Self {
        Self {
            section,
            origin,
            written: vec![None; section.keys.len()],
            asked: Cell::new(0),
            has_unknown: false,
        }
    }

    fn place(
        &mut self,
        entry: &'t Entry,
        hint: &dyn Fn(&Entry) -> Option<String>,
        report: &mut Report,
    ) {
        match self
            .section
            .keys
            .iter()
            .position(|key| key.name == entry.key)
        {
            Some(index) => self.written[index] = Some(entry),
            None => {
                self.has_unknown = true;
                if report.is_full() {
                    report.omit_error();
                } else {
                    self.unknown(entry, hint(entry), report);
                }
            }
        }
    }

    fn unknown(&self, entry: &Entry, hint: Option<String>, report: &mut Report) {
        let heading = self.section.heading;
        let place = if heading.is_empty() {
            "at the top".to_owned()
        } else {
            format!("in `{heading}`")
        };
        let names = self.section.keys.iter().map(|key| key.name);
        let mut help = hint.or_else(|| report.suggest(&entry.key, names.clone()));
        // `[sites.example.com]` without quotes is a table `com` in a table `example`.
        if help.is_none()
            && heading.starts_with("[sites.")
            && matches!(entry.node.value, Value::Table(_))
        {
            help = Some("names with dots need quotes: [sites.\"example.com\"]".to_owned());
        }
        let help =
            help.unwrap_or_else(|| format!("known keys: {}", names.collect::<Vec<_>>().join(", ")));
        report.push(
            Diagnostic::new(
                Code::UnknownKey,
                entry.key_origin,
                format!("there is no key {} {place}", quoted(&entry.key)),
            )
            .label("unknown key")
            .help(help),
        );
    }

    fn find(&self, name: &str) -> (&'static Key, Option<&'t Entry>) {
        let index = self
            .section
            .keys
            .iter()
            .position(|key| key.name == name)
            .expect("readers ask for keys of the section only");
        self.asked.set(self.asked.get() | 1 << index);
        (&self.section.keys[index], self.written[index])
    }

    /// What is written for a key, if anything.
    pub(crate) fn entry(&self, name: &str) -> Option<&'t Entry> {
        self.find(name).1
    }

    /// What is written for a key without default; reports that it is missing.
    pub(crate) fn require(
        &self,
        name: &str,
        example: &str,
        report: &mut Report,
    ) -> Option<&'t Entry> {
        let (key, entry) = self.find(name);
        debug_assert!(
            matches!(key.default, Default::Required),
            "only required keys are required"
        );
        if entry.is_none() && !self.has_unknown {
            report.push(
                Diagnostic::new(
                    Code::MissingKey,
                    self.origin,
                    format!("`{name}` is missing"),
                )
                .help(format!("for example: {name} = {example}")),
            );
        }
        entry
    }

    /// Reads a value, or the key's default where nothing (or nothing valid) is written.
    fn read<T>(
        &self,
        name: &str,
        report: &mut Report,
        read: impl Fn(&Node, Kind, &mut Report) -> Option<T>,
    ) -> T {
        let (key, entry) = self.find(name);
        if let Some(value) = entry.and_then(|entry| read(&entry.node, key.kind, report)) {
            return value;
        }
        let default = match key.default {
            Default::Text(text) => Value::Text(Text {
                text: text.to_owned(),
                substituted: false,
                is_missing: false,
            }),
            Default::Integer(number) => Value::Integer(number),
            Default::Boolean(boolean) => Value::Boolean(boolean),
            Default::Empty | Default::Absent(_) | Default::Required => Value::List(Vec::new()),
        };
        read(
            &Node::new(Origin::NOWHERE, default),
            key.kind,
            &mut Report::default(),
        )
        .expect("a default is valid, which a test proves")
    }

    pub(crate) fn boolean(&self, name: &str, report: &mut Report) -> bool {
        self.read(name, report, |node, _, report| {
            scalar::boolean(node, report)
        })
    }

    /// An integer of the range that the key declares.
    pub(crate) fn integer(&self, name: &str, report: &mut Report) -> i64 {
        self.read(name, report, |node, kind, report| match kind {
            Kind::Integer { min, max } => scalar::integer(node, min, max, false, report),
            _ => None,
        })
    }

    pub(crate) fn count(&self, name: &str, report: &mut Report) -> u32 {
        self.count_or_off(name, report).unwrap_or(u32::MAX)
    }

    pub(crate) fn count_or_off(&self, name: &str, report: &mut Report) -> Option<u32> {
        self.read(name, report, |node, kind, report| match kind {
            Kind::Count { min, max, off } => scalar::count(node, min, max, off, report),
            _ => None,
        })
    }

    pub(crate) fn duration(&self, name: &str, report: &mut Report) -> Duration {
        // Keys that are read by this method do not take "off".
        self.duration_or_off(name, report).unwrap_or(Duration::ZERO)
    }

    pub(crate) fn duration_or_off(&self, name: &str, report: &mut Report) -> Option<Duration> {
        self.read(name, report, |node, kind, report| match kind {
            Kind::Duration { min_ms, off } => scalar::duration(node, min_ms, off, report),
            _ => None,
        })
    }

    pub(crate) fn size_or_off(&self, name: &str, report: &mut Report) -> Option<u64> {
        self.read(name, report, |node, kind, report| match kind {
            Kind::Size { max, off } => scalar::size(node, max, off, report),
            _ => None,
        })
    }

    /// A size that fits into 32 bits, which its key's maximum must ensure.
    pub(crate) fn size(&self, name: &str, report: &mut Report) -> u32 {
        u32::try_from(self.size_or_off(name, report).unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// One of the words that the key declares.
    pub(crate) fn choice(&self, name: &str, report: &mut Report) -> &'static str {
        self.read(name, report, |node, kind, report| match kind {
            Kind::Choice(words) => scalar::choice(node, words, report),
            _ => None,
        })
    }

    /// A text, by a reader of its syntax; the key's default where nothing valid is written.
    pub(crate) fn text<T>(
        &self,
        name: &str,
        report: &mut Report,
        read: impl Fn(&str, Origin, &mut Report) -> Option<T>,
    ) -> T {
        self.read(name, report, |node, _, report| {
            read(scalar::text(node, report)?, node.origin, report)
        })
    }

    /// A list, each item by a reader; empty where nothing is written. Invalid items are reported and left out.
    pub(crate) fn list<T>(
        &self,
        name: &str,
        report: &mut Report,
        read: impl Fn(&str, Origin, &mut Report) -> Option<T>,
    ) -> Vec<T> {
        let Some(entry) = self.entry(name) else {
            return Vec::new();
        };
        self.items(&entry.node, report)
            .iter()
            .filter_map(|item| read(scalar::text(item, report)?, item.origin, report))
            .collect()
    }

    /// The items of a list; reports what is not one.
    pub(crate) fn items(&self, node: &'t Node, report: &mut Report) -> &'t [Node] {
        match &node.value {
            Value::List(items) => items,
            _ if node.is_missing() => &[],
            _ => {
                // Lists of secrets are lists, too: what stands there is shown for servers alone.
                let help = as_list(node).filter(|_| self.section.heading == "[upstreams.<name>]");
                report.push(of_wrong_type(node, "a list").maybe_help(help));
                &[]
            }
        }
    }

    /// The entries of a table with keys of one's own; reports what is not a table.
    pub(crate) fn entries(&self, name: &str, report: &mut Report) -> &'t [Entry] {
        match self.entry(name) {
            Some(entry) => entries_of(&entry.node, report),
            None => &[],
        }
    }

    /// The table of a key.
    pub(crate) fn table(&self, name: &str, report: &mut Report) -> Fields<'t> {
        let (key, entry) = self.find(name);
        let Kind::Table(section) = key.kind else {
            unreachable!("only tables are read as tables");
        };
        match entry {
            Some(entry) => Self::open(section, &entry.node, entry.key_origin, report),
            None => Self::absent(section, self.origin),
        }
    }

    /// Ends the reading; every key of the section must have been asked for, or it would do nothing.
    pub(crate) fn finish(self) {
        if cfg!(debug_assertions) {
            for (index, key) in self.section.keys.iter().enumerate() {
                assert!(
                    self.asked.get() & 1 << index != 0,
                    "`{}` of {} is never read",
                    key.name,
                    self.section.heading
                );
            }
        }
    }
}

/// Longer texts are not repeated to show how they are written.
const REPEATED_BYTES_MAX: usize = 80;

/// How a text is written where a table belongs, if the table needs nothing else. What a `${...}` stands for is not told.
fn as_table(section: &Section, node: &Node) -> Option<String> {
    let text = match &node.value {
        Value::Text(text) if !text.substituted && text.text.len() <= REPEATED_BYTES_MAX => text,
        _ => return None,
    };
    let is_required = |key: &&Key| matches!(key.default, Default::Required);
    let mut required = section.keys.iter().filter(is_required);
    let (key, None) = (required.next()?, required.next()) else {
        return None;
    };
    match key.kind {
        Kind::Text(syntax) if !syntax.is_secret => {
            Some(format!("write {{ {} = {:?} }}", key.name, text.text))
        }
        _ => None,
    }
}

/// The entries of a table; reports what is not a table.
pub(crate) fn entries_of<'t>(node: &'t Node, report: &mut Report) -> &'t [Entry] {
    match &node.value {
        Value::Table(entries) => entries,
        _ => {
            wrong_type(node, "a table", report);
            &[]
        }
    }
}

/// Reports a value of the wrong type. Of one that could not be had it is reported already.
pub(crate) fn wrong_type(node: &Node, wanted: &str, report: &mut Report) {
    if !node.is_missing() {
        report.push(of_wrong_type(node, wanted));
    }
}

/// A text as a list of one, as far as it can be shown.
fn as_list(node: &Node) -> Option<String> {
    let Value::Text(text) = &node.value else {
        return None;
    };
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    let is_shown =
        !text.substituted && text.text.len() <= LISTED_BYTES_MAX && text.text.chars().all(is_plain);
    is_shown.then(|| format!("a list of one: [\"{}\"]", text.text))
}

fn of_wrong_type(node: &Node, wanted: &str) -> Diagnostic {
    Diagnostic::new(
        Code::WrongType,
        node.origin,
        format!("{wanted} belongs here"),
    )
    .label(format!("this is {}", node.type_name()))
}
