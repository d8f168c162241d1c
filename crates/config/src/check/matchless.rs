//! Regular expressions that no path matches, since paths are matched in their normal form.

use super::routes::Budget;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::settings::{PathMatch, Site};

/// Reports regular expressions of a site that match nothing; `sound` are the indices of routes without errors.
pub(super) fn check<'s>(
    site: &'s Site,
    sound: &[usize],
    budget: &mut Budget<'s>,
    report: &mut Report,
) {
    for route in sound.iter().map(|index| &site.routes[*index]) {
        let PathMatch::Regex(regex) = &route.path else {
            continue;
        };
        if is_usual(regex) || budget.takes_any(&route.path) {
            continue;
        }
        let message = format!("no path matches {}", quoted(regex));
        let (cause, help) = advice(regex);
        report.push(
            Diagnostic::new(Code::UnmatchableRegex, route.path_origin, message)
                .label("matches nothing")
                .cause(cause)
                .help(help),
        );
    }
}

/// Whether an expression is made of what usual ones are made of, so that it need not be compiled to tell. One that is and
/// matches nothing all the same is not found.
fn is_usual(regex: &str) -> bool {
    let rest = regex.strip_prefix("^/").unwrap_or(regex);
    let rest = rest.strip_suffix('$').unwrap_or(rest);
    let mut characters = rest.chars();
    while let Some(c) = characters.next() {
        let is_usual = match c {
            '\\' => characters
                .next()
                .is_some_and(|c| matches!(c, '.' | '-' | 'd' | 'w')),
            c => c.is_ascii_alphanumeric() || "/-_.*+?|()[]{},:".contains(c),
        };
        if !is_usual {
            return false;
        }
    }
    true
}

/// Why paths are not as an expression has them, and what to write.
fn advice(regex: &str) -> (&'static str, String) {
    let is_raw = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '#');
    let encoded = |text: &str| -> String {
        let bytes = text.bytes();
        bytes.map(|byte| format!("%{byte:02X}")).collect()
    };
    if let Some(raw) = regex.chars().find(|c| is_raw(*c)) {
        let raw = raw.to_string();
        return (
            "paths are matched percent-encoded, and consist of visible ASCII",
            format!("write `{}` for {}", encoded(&raw), quoted(&raw)),
        );
    }
    let lower = regex.match_indices('%').find_map(|(at, _)| {
        let code = regex.get(at..at + 3)?;
        let is_code = code[1..].bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_code && code != code.to_ascii_uppercase()).then_some(code)
    });
    if let Some(code) = lower {
        return (
            "paths are matched in their normal form, with percent-encodings in upper case",
            format!("write `{}` for `{code}`", code.to_ascii_uppercase()),
        );
    }
    if regex.contains("\\?") {
        return (
            "the path is matched without the query",
            "conditions on the query go into `query`".to_owned(),
        );
    }
    if regex.starts_with('^') && !regex.starts_with("^/") {
        return (
            "every path begins with `/`",
            "begin the expression with `^/`".to_owned(),
        );
    }
    (
        "paths begin with `/` and are matched in their normal form, with what is unreserved decoded",
        "compare with the path that `foregate explain` tells".to_owned(),
    )
}

#[cfg(test)]
mod tests;
