//! The configuration as written: values that know where they stand. TOML and JSON both become this.

mod json;
mod toml;

use crate::Origin;
use crate::diagnostic::Report;

/// Levels of nesting that are read; deeper texts are refused. The TOML reader has the same limit.
pub(crate) const DEPTH_MAX: usize = 80;

/// The syntax of a configuration text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// JSON (RFC 8259), of the same shape.
    Json,
}

impl Format {
    /// JSON for names that end in `.json`, else TOML.
    pub fn of_name(name: &str) -> Self {
        let is_json =
            name.len() >= 5 && name.as_bytes()[name.len() - 5..].eq_ignore_ascii_case(b".json");
        if is_json { Self::Json } else { Self::Toml }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// A value as written.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(Text),
    Integer(i64),
    /// A number with a fraction or an exponent, or too large for an integer: nothing here takes one.
    Float,
    Boolean(bool),
    /// A TOML date or time, or a JSON `null`: nothing here takes one.
    Other(&'static str),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A text as written.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// True once `${...}` in it was replaced: such a text may also stand for a number or a boolean.
    pub(crate) substituted: bool,
    /// True if a `${...}` in it could not be replaced, which is reported: nothing more is said of the value.
    pub(crate) is_missing: bool,
}

/// A key and its value, in the order of the text. Keys of a table are distinct.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_origin: Origin,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn new(origin: Origin, value: Value) -> Self {
        Self { origin, value }
    }

    #[cfg(test)]
    pub(crate) fn text(origin: Origin, text: &str) -> Self {
        let text = Text {
            text: text.to_owned(),
            substituted: false,
            is_missing: false,
        };
        Self::new(origin, Value::Text(text))
    }

    pub(crate) fn empty_table(origin: Origin) -> Self {
        Self::new(origin, Value::Table(Vec::new()))
    }

    /// Whether nobody knows the value, since what it refers to is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(&self.value, Value::Text(text) if text.is_missing)
    }

    /// What a message calls this kind of value.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "an integer",
            Value::Float => "a decimal number",
            Value::Boolean(_) => "a boolean",
            Value::Other(name) => name,
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Reads a text into a tree; syntax errors are reported and stepped over where the syntax allows.
pub(crate) fn parse(text: &str, file: u32, format: Format, report: &mut Report) -> Node {
    match format {
        Format::Toml => toml::parse(text, file, report),
        Format::Json => json::parse(text, file, report),
    }
}
