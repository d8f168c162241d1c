//! Whether values fit the generated schema.

use serde_json::Value;

#[test]
fn what_does_not_fit() {
    let schema: Value = serde_json::from_str(&super::schema()).unwrap();
    let wrong =
        serde_json::json!({ "workers": 0, "sites": { "a b": {} }, "x": 1, "drain_timeout": "3 s" });
    let found = misfits(&schema, &wrong, "");
    assert_eq!(found.len(), 4, "{found:?}");
}

/// The places of a value that do not fit a schema; knows the words that the generated schema has.
pub(crate) fn misfits(schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let rules = schema.as_object().unwrap();
    let broken = rules
        .iter()
        .filter(|(word, rule)| !holds(word, rule, schema, value, place));
    let mut found: Vec<String> = broken
        .map(|(word, _)| format!("{place}: {word} of {value}"))
        .collect();
    let below = |rule: Option<&Value>, value: &Value, key: &str| match rule {
        Some(rule) if rule.is_object() => misfits(rule, value, &format!("{place}/{key}")),
        _ => Vec::new(),
    };
    if let (Value::Object(members), Some(rules)) = (value, schema.get("properties")) {
        found.extend(
            members
                .iter()
                .flat_map(|(key, value)| below(rules.get(key), value, key)),
        );
    } else if let (Value::Object(members), Some(rule)) = (value, schema.get("additionalProperties"))
    {
        found.extend(
            members
                .iter()
                .flat_map(|(key, value)| below(Some(rule), value, key)),
        );
    } else if let (Value::Array(items), Some(rule)) = (value, schema.get("items")) {
        found.extend(
            items
                .iter()
                .flat_map(|item| below(Some(rule), item, "items")),
        );
    }
    found
}

/// Whether one word of a schema holds for a value, what is below it left aside.
fn holds(word: &str, rule: &Value, schema: &Value, value: &Value, place: &str) -> bool {
    match (word, value) {
        ("type", _) => match rule.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64(),
            other => panic!("{other}"),
        },
        ("enum", _) => rule.as_array().unwrap().contains(value),
        ("const", _) => rule == value,
        ("anyOf", _) => rule
            .as_array()
            .unwrap()
            .iter()
            .any(|one| misfits(one, value, place).is_empty()),
        ("pattern", Value::String(text)) => matches(rule, text),
        ("minLength", Value::String(text)) => text.len() as u64 >= rule.as_u64().unwrap(),
        ("minimum", Value::Number(number)) => number.as_i64() >= rule.as_i64(),
        ("maximum", Value::Number(number)) => number.as_i64() <= rule.as_i64(),
        ("required", Value::Object(members)) => rule
            .as_array()
            .unwrap()
            .iter()
            .all(|key| members.contains_key(key.as_str().unwrap())),
        ("propertyNames", Value::Object(members)) => {
            members.keys().all(|key| matches(&rule["pattern"], key))
        }
        ("additionalProperties", Value::Object(members)) if rule == false => members
            .keys()
            .all(|key| schema["properties"].get(key).is_some()),
        _ => {
            let known = [
                "pattern",
                "minLength",
                "minimum",
                "maximum",
                "required",
                "propertyNames",
                "additionalProperties",
                "items",
                "properties",
                "description",
                "default",
                "examples",
                "title",
                "$schema",
            ];
            assert!(known.contains(&word), "{word}");
            true
        }
    }
}

fn matches(pattern: &Value, text: &str) -> bool {
    regex::Regex::new(pattern.as_str().unwrap())
        .unwrap()
        .is_match(text)
}
