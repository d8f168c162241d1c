//! `import = [...]`: which files are meant.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::files::Files;
use crate::tree::{Node, Value};
use std::path::{Component, Path, PathBuf};

/// The patterns that the value of `import` lists: a list of texts, or one text.
pub(crate) fn patterns<'n>(node: &'n Node, report: &mut Report) -> Vec<(&'n str, Origin)> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut patterns = Vec::new();
    for item in items {
        match &item.value {
            Value::Text(text) if text.is_missing => {}
            Value::Text(text) if !text.text.is_empty() => {
                patterns.push((text.text.as_str(), item.origin))
            }
            _ => report.push(
                Diagnostic::new(Code::WrongType, item.origin, "`import` lists files")
                    .label(format!("this is {}", item.type_name()))
                    .help("for example: import = [\"sites/*.toml\"]"),
            ),
        }
    }
    patterns
}

/// The files that a pattern names, in order of their names. `*` and `?` stand for characters of one file or directory
/// name; names that begin with a dot match only patterns that do. A pattern without them is the file itself.
pub(crate) fn expand(pattern: &Path, files: &dyn Files) -> Result<Vec<PathBuf>, String> {
    let components: Vec<Component<'_>> = pattern.components().collect();
    let mut found = vec![PathBuf::new()];
    let mut has_wildcard = false;
    for (index, component) in components.iter().enumerate() {
        let name = component.as_os_str().to_str().unwrap_or("");
        // Below a wildcard only what exists is meant, so even plain names are looked for.
        if !has_wildcard && !name.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let is_last = index + 1 == components.len();
        let mut next = Vec::new();
        for directory in &found {
            // Below a wildcard not every match is a directory.
            let names = match files.list(directory) {
                Ok(names) => names,
                Err(_) if has_wildcard => continue,
                Err(reason) => return Err(format!("{}: {reason}", directory.display())),
            };
            let is_wanted = |entry: &String| {
                matches(name, entry)
                    && (name.starts_with('.') || !entry.starts_with('.'))
                    && (!is_last || is_config(entry))
            };
            next.extend(
                names
                    .iter()
                    .filter(|entry| is_wanted(entry))
                    .map(|entry| directory.join(entry)),
            );
            if next.len() > crate::load::FILES_MAX {
                break;
            }
        }
        has_wildcard = true;
        found = next;
    }
    found.sort();
    Ok(found)
}

/// Wildcards match configuration files only: an editor's backup beside them is none.
fn is_config(name: &str) -> bool {
    !name.ends_with('~') && !name.ends_with(".bak") && !name.ends_with(".swp")
}

/// True if a file name matches a pattern of `*` (any run of characters) and `?` (one character).
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // The last star seen, and where in the name its run began: grown on every mismatch, so no recursion is needed.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, run)) => {
                    star = Some((at, run + 1));
                    (p, n) = (at + 1, run + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::{expand, matches};
    use crate::files::MemoryFiles;
    use std::path::Path;

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.tom", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxa", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_in_order() {
        let files = [
            "c/b.toml",
            "c/a.toml",
            "c/.h.toml",
            "c/x.json",
            "c/a.toml~",
            "c/d/e.toml",
            "c/f/e.toml",
        ];
        let files = files
            .into_iter()
            .fold(MemoryFiles::default(), |files, path| files.file(path, ""));
        let check = |pattern: &str, expected: &[&str]| {
            let found = expand(Path::new(pattern), &files).unwrap();
            let found: Vec<_> = found.iter().map(|path| path.to_str().unwrap()).collect();
            assert_eq!(found, expected, "{pattern}");
        };
        check("c/*.toml", &["c/a.toml", "c/b.toml"]);
        check("c/.*.toml", &["c/.h.toml"]);
        check("c/*/e.toml", &["c/d/e.toml", "c/f/e.toml"]);
        check("c/*/*.toml", &["c/d/e.toml", "c/f/e.toml"]);
        check("c/a.toml", &["c/a.toml"]);
        check("c/*.yaml", &[]);
        assert!(expand(Path::new("nowhere/*.toml"), &files).is_err());
    }
}
