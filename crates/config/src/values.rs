//! Every value of a configuration, and where it comes from.

use crate::diagnostic::Report;
use crate::files::{Files, MemoryFiles};
use crate::keys::{self, Default, Kind, Section};
use crate::secrets::{is_credential, only_refers};
use crate::sections::ROOT;
use crate::source::Sources;
use crate::tree::{Node, Value};
use serde_json::{Value as Json, json};

/// What stands for a secret.
const MASK: &str = "…";

/// A value that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueInForce {
    /// Its keys, as TOML writes them: `sites."example.com".upstream`.
    pub path: String,
    /// The value as it is written; references such as `${ENV:NAME}` stay, secrets are left out.
    pub value: Json,
    /// Where it is written; `None` for a default.
    pub place: Option<WrittenPlace>,
}

/// Where a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPlace {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in Unicode scalar values.
    pub column: usize,
}

/// Every value of the configuration, defaults included, in the order of the table of keys.
pub(crate) fn values(written: &crate::Written) -> Vec<ValueInForce> {
    let nothing = MemoryFiles::default();
    let (tree, sources) = written.tree(&nothing as &dyn Files, &mut Report::default());
    let mut walk = Walk {
        sources: &sources,
        found: Vec::new(),
    };
    walk.section(&ROOT, Some(&tree), "");
    walk.found
}

struct Walk<'s> {
    sources: &'s Sources,
    found: Vec<ValueInForce>,
}

impl Walk<'_> {
    /// A table, or the one that nobody wrote.
    fn section(&mut self, section: &Section, node: Option<&Node>, path: &str) {
        let entries = match node.map(|node| &node.value) {
            Some(Value::Table(entries)) => entries.as_slice(),
            _ => &[],
        };
        for key in section.keys {
            let path = join(path, key.name);
            let written = entries.iter().find(|entry| entry.key == key.name);
            match (written, key.default, key.kind) {
                (Some(entry), _, kind) => self.value(kind, &entry.node, &path),
                (None, Default::Text(text), _) => self.default(path, json!(text)),
                (None, Default::Integer(number), _) => self.default(path, json!(number)),
                (None, Default::Boolean(boolean), _) => self.default(path, json!(boolean)),
                (None, Default::Empty, Kind::Table(section)) => self.section(section, None, &path),
                (None, Default::Empty | Default::Absent(_) | Default::Required, _) => {}
            }
        }
    }

    fn value(&mut self, kind: Kind, node: &Node, path: &str) {
        match (meant(kind, node), &node.value) {
            (Kind::Table(section), Value::Table(_)) => self.section(section, Some(node), path),
            (Kind::Map(_, value), Value::Table(entries)) if holds_tables(*value) => {
                for entry in entries {
                    self.value(*value, &entry.node, &join(path, &entry.key));
                }
            }
            (Kind::List(item), Value::List(items)) if items.iter().any(is_table) => {
                for (at, one) in items.iter().enumerate() {
                    self.value(*item, one, &format!("{path}[{at}]"));
                }
            }
            (kind, _) => {
                let place = self.sources.place(node.origin);
                let source = self.sources.get(node.origin.file);
                let value = shown(kind, node);
                self.found.push(ValueInForce {
                    path: path.to_owned(),
                    value,
                    place: Some(WrittenPlace {
                        file: source.map_or("", |source| source.name()).to_owned(),
                        line: place.line,
                        column: place.column,
                    }),
                });
            }
        }
    }

    fn default(&mut self, path: String, value: Json) {
        self.found.push(ValueInForce {
            path,
            value,
            place: None,
        });
    }
}

/// Which of several kinds a value is of.
fn meant(kind: Kind, node: &Node) -> Kind {
    let Kind::Either(kinds) = kind else {
        return kind;
    };
    let fits = |kind: &&Kind| match (&node.value, kind) {
        (Value::Table(_), Kind::Table(_) | Kind::Map(..)) => true,
        (Value::List(_), Kind::List(_)) => true,
        (Value::Table(_) | Value::List(_), _) => false,
        (_, Kind::Table(_) | Kind::Map(..) | Kind::List(_)) => false,
        // A secret among the alternatives is not to be shown by another one's name.
        (Value::Text(_), Kind::Text(syntax)) => syntax.is_secret,
        _ => false,
    };
    let found = kinds.iter().find(fits);
    found.map_or(kind, |kind| meant(*kind, node))
}

/// Whether what a map holds is worth lines of its own.
fn holds_tables(kind: Kind) -> bool {
    match kind {
        Kind::Table(_) | Kind::Map(..) => true,
        Kind::Either(kinds) => kinds.iter().any(|kind| holds_tables(*kind)),
        _ => false,
    }
}

fn is_table(node: &Node) -> bool {
    matches!(node.value, Value::Table(_))
}

/// A value without its secrets.
fn shown(kind: Kind, node: &Node) -> Json {
    let is_secret = matches!(kind, Kind::Text(syntax) if syntax.is_secret);
    match &node.value {
        Value::Text(text) if is_secret && !only_refers(&text.text) => json!(MASK),
        Value::Text(text) => json!(text.text),
        Value::Integer(number) => json!(number),
        Value::Boolean(boolean) => json!(boolean),
        Value::Float | Value::Other(_) => Json::Null,
        Value::List(items) => {
            let item = match kind {
                Kind::List(item) => *item,
                kind => kind,
            };
            items
                .iter()
                .map(|one| shown(meant(item, one), one))
                .collect()
        }
        Value::Table(entries) => {
            let (names, value) = match kind {
                Kind::Map(names, value) => (Some(names), *value),
                kind => (None, kind),
            };
            let are_fields =
                names.is_some_and(|names| std::ptr::eq(names, &raw const keys::FIELD_NAME));
            let entry = |entry: &crate::tree::Entry| {
                let is_hidden = are_fields && is_credential(&entry.key);
                let shown = match is_hidden {
                    true => hidden(&entry.node),
                    false => shown(meant(value, &entry.node), &entry.node),
                };
                (entry.key.clone(), shown)
            };
            Json::Object(entries.iter().map(entry).collect())
        }
    }
}

/// What carries a credential; references are none.
fn hidden(node: &Node) -> Json {
    match &node.value {
        Value::Text(text) if only_refers(&text.text) => json!(text.text),
        _ => json!(MASK),
    }
}

fn join(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty()
        && (key.bytes()).all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let key = match is_bare {
        true => key.to_owned(),
        false => format!("{key:?}"),
    };
    match path {
        "" => key,
        path => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Written, WrittenFile};

    fn of(text: &str) -> Vec<ValueInForce> {
        let written = Written {
            files: vec![WrittenFile {
                name: "a.toml".into(),
                text: text.into(),
            }],
        };
        values(&written)
    }

    fn find<'v>(values: &'v [ValueInForce], path: &str) -> &'v ValueInForce {
        let found = values.iter().find(|value| value.path == path);
        found.unwrap_or_else(|| {
            let paths: Vec<&str> = values.iter().map(|value| &*value.path).collect();
            panic!("no {path} in {paths:?}")
        })
    }

    #[test]
    fn values_are_told_with_their_lines_and_defaults_without() {
        let values = of(
            "workers = 2\n[sites.\"a.example\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"b:1\"]\n",
        );
        let upstream = find(&values, "sites.\"a.example\".upstream");
        assert_eq!(upstream.value, "app");
        let place = upstream.place.as_ref().unwrap();
        assert_eq!((&*place.file, place.line, place.column), ("a.toml", 3, 12));
        assert_eq!(find(&values, "workers").value, 2);
        let default = find(&values, "drain_timeout");
        assert_eq!((&default.value, &default.place), (&json!("30s"), &None));
        assert_eq!(find(&values, "admin.address").place, None);
        assert_eq!(find(&values, "upstreams.app.balance").place, None);
    }

    #[test]
    fn secrets_are_left_out_and_references_stay() {
        let values = of(
            "[admin]\ntoken = \"0123456789abcdef\"\n[upstreams.app]\nservers = [\"b:1\"]\n[upstreams.app.sticky]\nsecrets = [\"one-long-secret\", \"${ENV:OLD}\"]\n[[sites.a.routes]]\nupstream = \"app\"\nheaders = { X-Api-Key = \"k\", X-B = \"c\" }\n",
        );
        assert_eq!(find(&values, "admin.token").value, MASK);
        let secrets = &find(&values, "upstreams.app.sticky.secrets").value;
        assert_eq!(*secrets, json!([MASK, "${ENV:OLD}"]));
        let headers = &find(&values, "sites.a.routes[0].headers").value;
        assert_eq!(*headers, json!({ "X-Api-Key": MASK, "X-B": "c" }));
    }
}
