//! `${ENV:NAME}` and `${FILE:path}` in texts.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::files::Files;
use crate::tree::{Node, Text, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Replaces references in texts; remembers the files it read.
#[derive(Debug, Default)]
pub(crate) struct Substitution {
    texts: HashMap<PathBuf, Result<String, String>>,
}

/// Bytes that a substituted file may have.
const FILE_BYTES_MAX: usize = 1 << 20;

impl Substitution {
    /// Replaces every reference in the texts of a tree; keys are left alone, and what is put in is not searched again.
    /// What is put in counts against `bytes_left`.
    pub(crate) fn apply(
        &mut self,
        node: &mut Node,
        directory: &Path,
        files: &dyn Files,
        bytes_left: &mut usize,
        report: &mut Report,
    ) {
        match &mut node.value {
            Value::Text(text) if text.text.contains("${") => {
                let errors = report.errors();
                let replaced = self.replace(&text.text, node.origin, directory, files, report);
                text.is_missing = report.errors() > errors;
                if let Some(replaced) = replaced {
                    match bytes_left.checked_sub(replaced.len()) {
                        Some(left) => *bytes_left = left,
                        None => {
                            report.push(Diagnostic::new(
                                Code::TooLarge,
                                node.origin,
                                "the configuration is too large",
                            ));
                            text.is_missing = true;
                            return;
                        }
                    }
                    *text = Text {
                        text: replaced,
                        substituted: true,
                        is_missing: false,
                    };
                }
            }
            Value::List(items) => {
                for item in items {
                    self.apply(item, directory, files, bytes_left, report);
                }
            }
            Value::Table(entries) => {
                for entry in entries {
                    self.apply(&mut entry.node, directory, files, bytes_left, report);
                }
            }
            _ => {}
        }
    }

    /// The text with its references replaced; nothing if it has none, or if one fails (which is reported).
    fn replace(
        &mut self,
        text: &str,
        origin: Origin,
        directory: &Path,
        files: &dyn Files,
        report: &mut Report,
    ) -> Option<String> {
        let mut replaced = String::new();
        let mut rest = text;
        let mut found = false;
        let mut failed = false;
        while let Some(open) = rest.find("${") {
            replaced.push_str(&rest[..open]);
            let after = &rest[open + 2..];
            if !after.starts_with("ENV:") && !after.starts_with("FILE:") {
                if let Some(diagnostic) = near_miss(after, origin) {
                    report.push(diagnostic);
                    failed = true;
                }
                // `${1}` and `${name}` belong to the replacements of regular expressions.
                replaced.push_str("${");
                rest = after;
                continue;
            }
            let Some(close) = after.find('}') else {
                let message = "`${` is not closed";
                report.push(
                    Diagnostic::new(Code::BadSubstitution, origin, message).label("`}` is missing"),
                );
                return None;
            };
            match self.value(&after[..close], directory, files) {
                Ok(value) => replaced.push_str(&value),
                Err((code, message)) => {
                    report.push(Diagnostic::new(code, origin, message));
                    failed = true;
                }
            }
            found = true;
            rest = &after[close + 1..];
        }
        replaced.push_str(rest);
        (found && !failed).then_some(replaced)
    }

    fn value(
        &mut self,
        reference: &str,
        directory: &Path,
        files: &dyn Files,
    ) -> Result<String, (Code, String)> {
        if let Some(name) = reference.strip_prefix("ENV:") {
            return files.env(name).ok_or_else(|| {
                (
                    Code::UnsetVariable,
                    format!("the environment variable {} is not set", quoted(name)),
                )
            });
        }
        let path = directory.join(reference.strip_prefix("FILE:").unwrap_or(reference));
        let text = self
            .texts
            .entry(path)
            .or_insert_with_key(|path| files.read(path, FILE_BYTES_MAX));
        match text {
            // Files that hold one value end with a line break as a rule, values do not.
            Ok(text) => Ok(text
                .strip_suffix('\n')
                .map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t))
                .to_owned()),
            Err(reason) => Err((
                Code::UnreadableFile,
                format!(
                    "cannot read the file of {}: {reason}",
                    quoted(&format!("${{{reference}}}"))
                ),
            )),
        }
    }
}

/// Longer references are not recognised as misspelt ones.
const NEAR_MISS_BYTES_MAX: usize = 256;

/// Reports `${env:X}`, `${Env:X}`, `${SECRET:X}` ...: surely meant as a reference.
fn near_miss(after: &str, origin: Origin) -> Option<Diagnostic> {
    // Only so far is searched that many of these cost no more than one.
    let after = &after[..after.floor_char_boundary(NEAR_MISS_BYTES_MAX)];
    let (kind, _) = after.split_once('}')?.0.split_once(':')?;
    let is_word = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphabetic());
    is_word.then(|| {
        Diagnostic::new(
            Code::BadSubstitution,
            origin,
            format!(
                "nothing is known about {}",
                quoted(&format!("${{{kind}:...}}"))
            ),
        )
        .help("write ${ENV:NAME} for an environment variable, ${FILE:path} for the text of a file")
    })
}

#[cfg(test)]
mod tests {
    use super::Substitution;
    use crate::Origin;
    use crate::diagnostic::Report;
    use crate::files::MemoryFiles;
    use crate::tree::{Node, Value};
    use std::path::Path;

    fn check(text: &str, expected: Result<&str, &str>) {
        let files = MemoryFiles::default()
            .variable("PORT", "80")
            .variable("LOOP", "${ENV:LOOP}")
            .file("d/key", "secret\r\n");
        let mut node = Node::text(Origin::NOWHERE, text);
        let mut report = Report::default();
        Substitution::default().apply(&mut node, Path::new("d"), &files, &mut 100, &mut report);
        let Value::Text(found) = &node.value else {
            panic!("{node:?}")
        };
        match expected {
            Ok(expected) => {
                assert!(!report.has_errors(), "{:?}", report.diagnostics);
                assert_eq!(found.text, expected);
            }
            Err(code) => {
                let codes: Vec<_> = report.diagnostics.iter().map(|d| d.code.name()).collect();
                assert_eq!(codes, [code], "{text}");
                assert!(found.is_missing, "{text}");
            }
        }
    }

    #[test]
    fn references() {
        check("0.0.0.0:${ENV:PORT}", Ok("0.0.0.0:80"));
        check("${ENV:PORT}${ENV:PORT}", Ok("8080"));
        check("${ENV:LOOP}", Ok("${ENV:LOOP}"));
        check("${FILE:key}!", Ok("secret!"));
        check("/${1}/${name}/$1/$$", Ok("/${1}/${name}/$1/$$"));
        check("${1}${ENV:PORT}", Ok("${1}80"));
        check("${ENV:NONE}", Err("unset-variable"));
        check("${FILE:none}", Err("unreadable-file"));
        check("${ENV:PORT", Err("bad-substitution"));
        check("${env:PORT}", Err("bad-substitution"));
        check(&"${FILE:key}".repeat(20), Err("too-large"));
    }
}
