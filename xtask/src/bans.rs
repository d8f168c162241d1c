//! What no source may contain: vague names, unfinished work, silenced lints without a reason; and
//! what the core may not touch.

use std::path::Path;

use crate::exceptions::{Ledger, Rule};
use crate::finding::Finding;
use crate::source::{Source, words};

/// Words that say nothing about what a module or a type is for.
const VAGUE: [&str; 8] = [
    "manager", "managers", "helper", "helpers", "util", "utils", "common", "misc",
];

/// Macros that mark unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Marks of unfinished work in comments.
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// What a core crate takes as an argument or leaves to a shell.
const BANNED_IN_CORE: [&str; 12] = [
    "Instant::now",
    "SystemTime::now",
    "Mutex",
    "RwLock",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "env::var",
    "fs",
    "thread::sleep",
    "thread::spawn",
];

pub(crate) fn check(path: &Path, source: &Source, findings: &mut Vec<Finding>) {
    check_file_name(path, findings);
    let mut report = |at: usize, complaint: String| {
        findings.push(Finding::new(path, source.line(at), complaint));
    };
    for item in ["mod", "struct", "enum", "trait", "type", "union"] {
        for at in source.words(item) {
            let name = source.code[at + item.len()..].trim_start();
            let length = name
                .bytes()
                .take_while(|it| it.is_ascii_alphanumeric() || *it == b'_')
                .count();
            if let Some(word) = vague_word(&name[..length]) {
                report(
                    at,
                    format!(
                        "`{}`: \"{word}\" says nothing; name what it does",
                        &name[..length]
                    ),
                );
            }
        }
    }
    for name in UNFINISHED {
        for at in source
            .words(name)
            .filter(|at| source.code[at + name.len()..].starts_with('!'))
        {
            report(at, format!("`{name}!` has no place here"));
        }
    }
    for mark in MARKS {
        for at in words(&source.comments, mark) {
            report(at, format!("{mark}: finish it, or describe what is"));
        }
    }
    for (at, attribute) in source.attributes() {
        let conditional = attribute.starts_with("#[cfg_attr(");
        let ignores = conditional && words(attribute, "ignore").next().is_some();
        if attribute.starts_with("#[ignore") || ignores {
            report(at, "a test that is ignored tests nothing".to_owned());
        }
        let silences = ["allow", "expect"]
            .iter()
            .any(|it| words(attribute, it).any(|at| attribute[at + it.len()..].starts_with('(')));
        if silences && words(attribute, "reason").next().is_none() {
            report(
                at,
                "a lint is silenced with a `reason = \"…\"` or not at all".to_owned(),
            );
        }
    }
}

/// The rules of core crates: their root forbids unsafe code, their product code is pure.
pub(crate) fn check_core(
    path: &Path,
    source: &Source,
    ledger: &mut Ledger,
    findings: &mut Vec<Finding>,
) {
    let is_root = path.ends_with("src/lib.rs");
    if is_root
        && !source
            .attributes()
            .any(|(_, it)| it == "#![forbid(unsafe_code)]")
    {
        findings.push(Finding::new(
            path,
            0,
            "a core crate has `#![forbid(unsafe_code)]`",
        ));
    }
    if path.file_name().is_some_and(|name| name == "tests.rs") {
        return;
    }
    for banned in BANNED_IN_CORE {
        for at in source.words(banned).filter(|at| !source.in_tests(*at)) {
            if !ledger.excuses(Rule::CoreBan, path, banned) {
                let complaint = format!("`{banned}` in a core crate: take it as an argument");
                findings.push(Finding::new(path, source.line(at), complaint));
            }
        }
    }
}

fn check_file_name(path: &Path, findings: &mut Vec<Finding>) {
    let parts = path.iter().filter_map(|part| part.to_str());
    for part in parts.map(|part| part.trim_end_matches(".rs")) {
        if let Some(word) = vague_word(part) {
            findings.push(Finding::new(
                path,
                0,
                format!("`{part}`: \"{word}\" says nothing; name what it does"),
            ));
        }
    }
}

/// The first vague word of a `snake_case`, `kebab-case` or `CamelCase` name.
fn vague_word(name: &str) -> Option<&'static str> {
    let mut spaced = String::new();
    for character in name.chars() {
        if character.is_uppercase() || !character.is_alphanumeric() {
            spaced.push(' ');
        }
        spaced.extend(character.to_lowercase());
    }
    let mut parts = spaced.split(|it: char| !it.is_alphanumeric());
    parts.find_map(|part| VAGUE.into_iter().find(|vague| *vague == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let mut findings = Vec::new();
        check(Path::new(path), &Source::parse(text), &mut findings);
        let complaints: Vec<_> = findings.iter().map(|it| it.complaint.as_str()).collect();
        assert_eq!(complaints.len(), expected.len(), "{complaints:?}");
        for (complaint, expected) in complaints.iter().zip(expected) {
            assert!(complaint.contains(expected), "{complaint} lacks {expected}");
        }
    }

    #[test]
    fn names_say_what_they_are() {
        check_text("src/pool.rs", "struct Pool; mod pool {}", &[]);
        check_text("src/utils/a.rs", "", &["utils"]);
        check_text("src/conn_manager.rs", "", &["manager"]);
        check_text("src/a.rs", "struct PoolManager;", &["manager"]);
        check_text("src/a.rs", "mod test_helpers;", &["helpers"]);
        check_text("src/a.rs", "struct Commons; fn common_prefix() {}", &[]);
    }

    #[test]
    fn unfinished_work_is_a_complaint() {
        check_text("a.rs", "fn f() { todo!() }", &["todo!"]);
        check_text("a.rs", "fn f() { dbg!(1); }", &["dbg!"]);
        check_text("a.rs", "fn todo() { g(\"todo!\") }", &[]);
        check_text("a.rs", "// TODO later\n", &["TODO"]);
        check_text(
            "a.rs",
            "#[test]\n#[ignore = \"slow\"]\nfn f() {}",
            &["ignored"],
        );
    }

    #[test]
    fn silenced_lints_have_a_reason() {
        check_text("a.rs", "#[allow(dead_code)]\nfn f() {}", &["reason"]);
        check_text(
            "a.rs",
            "#[expect(dead_code, reason = \"why\")]\nfn f() {}",
            &[],
        );
        check_text("a.rs", "#![cfg_attr(test, allow(x))]", &["reason"]);
        check_text("a.rs", "#[derive(Debug)]\nstruct Allow;", &[]);
    }

    #[track_caller]
    fn check_core_text(text: &str, expected: usize) {
        let mut findings = Vec::new();
        let path = Path::new("crates/wire/src/lib.rs");
        check_core(
            path,
            &Source::parse(text),
            &mut Ledger::new(&[]),
            &mut findings,
        );
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn the_core_is_pure() {
        check_core_text("#![forbid(unsafe_code)]\nfn f(now: Instant) {}", 0);
        check_core_text("fn f() {}", 1);
        check_core_text("#![forbid(unsafe_code)]\nfn f() { Instant::now(); }", 1);
        check_core_text("#![forbid(unsafe_code)]\nuse std::{fs, sync::Mutex};", 2);
        check_core_text(
            "#![forbid(unsafe_code)]\n#[cfg(test)]\nmod tests { use std::fs; }",
            0,
        );
    }
}
