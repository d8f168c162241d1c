//! One line of the JSON access log.

use serde_json::Value;

/// A parsed access-log line.
#[derive(Clone, Debug)]
pub struct LogLine {
    value: Value,
}

impl LogLine {
    /// Parses a line.
    ///
    /// # Panics
    /// When it is not a JSON object.
    pub fn parse(line: &str) -> Self {
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("log line {line:?}: {error}"));
        assert!(value.is_object(), "log line is not an object: {line:?}");
        Self { value }
    }

    /// The member `name` as text, whatever its JSON type; empty when absent or null.
    pub fn text(&self, name: &str) -> String {
        match self.value.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// The member `name` as a number.
    ///
    /// # Panics
    /// When it is absent or not a number.
    pub fn number(&self, name: &str) -> f64 {
        self.value[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} is not a number in {}", self.value))
    }

    /// Whether the line has the member `name`.
    pub fn has(&self, name: &str) -> bool {
        self.value.get(name).is_some()
    }

    /// The outcome's stable name.
    pub fn reason(&self) -> String {
        self.text("reason")
    }

    /// The status sent to the client.
    pub fn status(&self) -> u16 {
        self.number("status") as u16
    }

    /// The whole line.
    pub fn value(&self) -> &Value {
        &self.value
    }
}
