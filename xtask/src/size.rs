//! Files stay under 600 lines before their tests, functions under 70.

use std::path::Path;

use crate::exceptions::{Ledger, Rule};
use crate::finding::Finding;
use crate::source::{Source, body};

/// Lines of a file that are not under `#[cfg(test)]`.
const FILE_LINES_MAX: usize = 600;
/// Lines from `fn` to the closing brace.
const FUNCTION_LINES_MAX: usize = 70;

pub(crate) fn check(
    path: &Path,
    source: &Source,
    ledger: &mut Ledger,
    findings: &mut Vec<Finding>,
) {
    // `tests.rs` beside its module is the module's `#[cfg(test)]` part in a file of its own.
    let is_test_module = path.file_name().is_some_and(|name| name == "tests.rs");
    if is_test_module {
        return;
    }
    let lines = source.product_lines();
    if lines > FILE_LINES_MAX && !ledger.excuses(Rule::FileLines, path, "") {
        findings.push(Finding::new(
            path,
            0,
            format!(
                "{lines} lines before its tests; at most {FILE_LINES_MAX}: one file per concern"
            ),
        ));
    }
    for function in functions(source) {
        if function.lines > FUNCTION_LINES_MAX
            && !ledger.excuses(Rule::FunctionLines, path, &function.name)
        {
            findings.push(Finding::new(
                path,
                function.line,
                format!(
                    "`{}` has {} lines; at most {FUNCTION_LINES_MAX}: give its steps names",
                    function.name, function.lines
                ),
            ));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Functions with a body, outside tests.
fn functions(source: &Source) -> Vec<Function> {
    let code = &source.code;
    let named = source.words("fn").filter_map(|at| {
        let rest = code[at + 2..].trim_start();
        let length = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        (length > 0).then(|| (at, rest[..length].to_owned()))
    });
    named
        .filter(|(at, _)| !source.in_tests(*at))
        .filter_map(|(at, name)| {
            let body = body(code, at)?;
            let line = source.line(at);
            (!body.is_empty()).then(|| Function {
                name,
                line,
                lines: source.line(body.end - 1) - line + 1,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_functions(text: &str, expected: &[(&str, usize, usize)]) {
        let found = functions(&Source::parse(text));
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.name.as_str(), it.line, it.lines))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_function_counts_from_its_name_to_its_brace() {
        check_functions(
            "\nfn one() {}\nfn three(\n) -> [u8; 2] {\n}\n",
            &[("one", 2, 1), ("three", 3, 3)],
        );
    }

    #[test]
    fn declarations_pointers_and_tests_do_not_count() {
        check_functions("trait T { fn f(&self); }\ntype P = fn(u8) -> u8;\n", &[]);
        check_functions("#[cfg(test)]\nmod tests { fn f() {} }\n", &[]);
    }

    #[test]
    fn braces_in_literals_do_not_end_a_function() {
        check_functions("fn f() {\n  g(\"}\", '}'); // }\n}\n", &[("f", 1, 3)]);
    }

    #[test]
    fn a_long_file_and_a_long_function_are_complaints() {
        let text = format!("fn long() {{\n{}}}\n{}", "\n".repeat(70), "\n".repeat(530));
        let mut findings = Vec::new();
        check(
            Path::new("a.rs"),
            &Source::parse(&text),
            &mut Ledger::new(&[]),
            &mut findings,
        );
        let complaints: Vec<_> = findings.iter().map(|it| it.complaint.as_str()).collect();
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("602 lines"), "{complaints:?}");
        assert!(
            complaints[1].starts_with("`long` has 72 lines"),
            "{complaints:?}"
        );
    }
}
