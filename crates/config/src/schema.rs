//! The JSON Schema of the configuration, generated from the table of keys.

use crate::keys::{Default, Key, Kind, Section, Syntax};
use crate::sections::ROOT;
use serde_json::{Map, Value, json};

/// The JSON Schema (draft 2020-12) of the configuration, as a JSON text; for editors, for TOML and JSON alike.
pub fn schema() -> String {
    let mut schema = section(&ROOT);
    if let Value::Object(members) = &mut schema {
        members.insert(
            "$schema".into(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        members.insert("title".into(), json!("Foregate configuration"));
        // Imported files may hold what this one requires.
        members.remove("required");
    }
    let mut text =
        serde_json::to_string_pretty(&schema).expect("texts and numbers are always JSON");
    text.push('\n');
    text
}

fn section(section: &Section) -> Value {
    let properties: Map<String, Value> = section
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = section
        .keys
        .iter()
        .filter(|key| matches!(key.default, Default::Required))
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "description": section.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(key.kind);
    let mut description = key.doc.to_owned();
    if let Kind::Choice(words) = key.kind {
        let meanings = words.iter().filter(|(_, meaning)| !meaning.is_empty());
        description.extend(meanings.map(|(word, meaning)| format!("\n- `{word}`: {meaning}")));
    }
    schema["description"] = json!(description);
    match key.default {
        Default::Text(text) => schema["default"] = json!(text),
        Default::Integer(number) => schema["default"] = json!(number),
        Default::Boolean(boolean) => schema["default"] = json!(boolean),
        Default::Empty | Default::Absent(_) | Default::Required => {}
    }
    schema
}

fn kind(of: Kind) -> Value {
    match of {
        // A text may stand for any scalar, since `${ENV:...}` may.
        Kind::Boolean => json!({ "anyOf": [{ "type": "boolean" }, substituted()] }),
        Kind::Integer { min, max } => json!({ "anyOf": [integer(min, max), substituted()] }),
        Kind::Count { min, max, off } => {
            or_off(vec![integer(min.into(), max.into()), substituted()], off)
        }
        Kind::Duration { off, .. } => {
            let units = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
            or_off(
                vec![
                    json!({ "type": "string", "pattern": units, "minLength": 2 }),
                    substituted(),
                ],
                off,
            )
        }
        Kind::Size { off, .. } => {
            let units = "^[0-9]+([KMGT]i?)?B$";
            or_off(
                vec![json!({ "type": "string", "pattern": units }), substituted()],
                off,
            )
        }
        Kind::Choice(words) => {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            json!({ "anyOf": [{ "enum": words }, substituted()] })
        }
        Kind::Text(syntax) if syntax.pattern.is_empty() => {
            json!({ "type": "string", "examples": [syntax.example] })
        }
        Kind::Text(syntax) => json!({ "anyOf": [text(syntax), substituted()] }),
        Kind::List(item) => json!({ "type": "array", "items": kind(*item) }),
        Kind::Map(names, value) => {
            let mut schema = json!({ "type": "object", "additionalProperties": kind(*value) });
            if !names.pattern.is_empty() {
                schema["propertyNames"] = json!({ "pattern": names.pattern });
            }
            schema
        }
        Kind::Table(table) => section(table),
        Kind::Either(kinds) => {
            json!({ "anyOf": kinds.iter().map(|one| kind(*one)).collect::<Vec<_>>() })
        }
    }
}

fn text(syntax: &Syntax) -> Value {
    json!({ "type": "string", "pattern": syntax.pattern, "examples": [syntax.example] })
}

fn integer(min: i64, max: i64) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

fn substituted() -> Value {
    json!({ "type": "string", "pattern": "\\$\\{(ENV|FILE):" })
}

fn or_off(mut kinds: Vec<Value>, off: bool) -> Value {
    if off {
        kinds.insert(1, json!({ "const": "off" }));
    }
    json!({ "anyOf": kinds })
}

#[cfg(test)]
pub(crate) mod tests;
