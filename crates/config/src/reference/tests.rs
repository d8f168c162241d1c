//! What is generated and checked in, and the examples.
#![allow(clippy::disallowed_methods, reason = "examples are on the disk")]

use crate::schema::tests::misfits;
use crate::{Files, Format, Outcome, Settings, load, parse_str, reference, render, schema};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The real files, for tests.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, _: usize) -> Result<String, String> {
        fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>, String> {
        let entries = fs::read_dir(directory).map_err(|error| error.to_string())?;
        Ok(entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect())
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn lacks_folder(&self, _: &Path) -> Option<String> {
        None
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("examples")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    paths.sort();
    assert!(paths.len() >= 5);
    paths
}

fn assert_faultless(outcome: &Outcome) {
    assert!(outcome.diagnostics.is_empty(), "{}", render(outcome, false));
    assert!(outcome.settings.is_some());
}

#[test]
fn examples_load_without_a_word() {
    for path in examples() {
        assert_faultless(&load(&path, &Disk));
    }
}

#[test]
fn the_full_example_shows_every_key() {
    let text = fs::read_to_string(root().join("examples/full.toml")).unwrap();
    let missing: Vec<String> = crate::keys::tests::all_keys()
        .into_iter()
        // `addresses` stands for `address`, and each way to match a path is in some route.
        .filter(|(_, key)| {
            !text.contains(&format!("{key} =")) && !text.contains(&format!(".{key}]"))
        })
        .filter(|(_, key)| !matches!(*key, "routes" | "sites" | "listeners" | "upstreams"))
        .filter(|(_, key)| {
            !matches!(
                *key,
                "acme"
                    | "admin"
                    | "access_log"
                    | "log"
                    | "client"
                    | "overload"
                    | "paths"
                    | "forwarding"
            )
        })
        .map(|(heading, key)| format!("{heading} {key}"))
        .collect();
    assert!(missing.is_empty(), "examples/full.toml lacks {missing:?}");
}

#[test]
fn json_of_the_same_shape_means_the_same() {
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let tree: Value = from_toml(&text);
        let directory = path.parent().unwrap();
        let from_json = parse_str(
            directory.join("x.json").to_str().unwrap(),
            &tree.to_string(),
            Format::Json,
            &Disk,
        );
        let from_toml = load(&path, &Disk);
        assert_faultless(&from_json);
        assert!(sorted(from_json) == sorted(from_toml), "{}", path.display());
    }
}

/// The settings with everything in order of names, since a JSON value here has its keys in that order.
fn sorted(outcome: Outcome) -> Settings {
    let mut settings = outcome.settings.unwrap();
    settings.listeners.sort_by(|a, b| a.name.cmp(&b.name));
    settings.certificates.sort_by(|a, b| a.name.cmp(&b.name));
    for listener in &mut settings.listeners {
        if let crate::settings::Mode::TlsPassthrough(routes) = &mut listener.mode {
            routes.sort_by_key(|(host, _)| host.to_string());
        }
    }
    settings.sites.sort_by(|a, b| a.name.cmp(&b.name));
    settings.upstreams.sort_by(|a, b| a.name.cmp(&b.name));
    settings
}

/// The TOML text as a JSON value.
fn from_toml(text: &str) -> Value {
    fn convert(value: &toml::de::DeValue<'_>) -> Value {
        use toml::de::DeValue;
        match value {
            DeValue::String(text) => text.to_string().into(),
            DeValue::Integer(integer) => integer
                .as_str()
                .replace('_', "")
                .parse::<i64>()
                .unwrap()
                .into(),
            DeValue::Boolean(boolean) => (*boolean).into(),
            DeValue::Array(items) => items.iter().map(|item| convert(item.get_ref())).collect(),
            DeValue::Table(table) => table_of(table),
            other => panic!("{other:?}"),
        }
    }
    fn table_of(table: &toml::de::DeTable<'_>) -> Value {
        let members = table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), convert(value.get_ref())));
        Value::Object(members.collect())
    }
    table_of(toml::de::DeTable::parse(text).unwrap().get_ref())
}

#[test]
fn the_reference_is_fresh() {
    assert_fresh(
        "docs/reference.md",
        &reference(),
        "cargo xtask reference --write",
    );
}

#[test]
fn the_schema_is_fresh() {
    assert_fresh(
        "docs/schema.json",
        &schema(),
        "cargo run -- schema > docs/schema.json",
    );
}

fn assert_fresh(path: &str, expected: &str, command: &str) {
    let found = fs::read_to_string(root().join(path)).unwrap();
    // The texts are long: the first line that differs tells enough.
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(
            found,
            expected,
            "{path}:{} is stale; run `{command}`",
            number + 1
        );
    }
    assert_eq!(
        found.len(),
        expected.len(),
        "{path} is stale; run `{command}`"
    );
}

#[test]
fn examples_fit_the_schema() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    for path in examples() {
        let tree = from_toml(&fs::read_to_string(&path).unwrap());
        let misfits = misfits(&schema, &tree, "");
        assert!(misfits.is_empty(), "{}: {misfits:?}", path.display());
    }
}
