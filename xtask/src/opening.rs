//! Every crate opens with three lines: purpose, what it never knows, the next room on the road.

use std::path::Path;

use crate::finding::Finding;

const OPENING: [&str; 3] = [
    "//! **Purpose:** ",
    "//! **Never knows:** ",
    "//! **Next on the road:** ",
];

/// `text` is that of a crate's root, `lib.rs` or, without one, `main.rs`.
pub(crate) fn check(path: &Path, text: &str, findings: &mut Vec<Finding>) {
    let mut lines = text.lines();
    for (index, prefix) in OPENING.iter().enumerate() {
        let said = lines.next().and_then(|line| line.strip_prefix(prefix));
        if said.is_none_or(|said| said.trim().is_empty()) {
            findings.push(Finding::new(
                path,
                index + 1,
                format!("the line must begin `{prefix}`"),
            ));
        }
    }
    let goes_on = lines.next().unwrap_or("");
    if goes_on.starts_with("//!") && goes_on.trim() != "//!" {
        findings.push(Finding::new(
            path,
            4,
            "an empty `//!` line divides the opening from what follows",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lines(text: &str, expected: &[usize]) {
        let mut findings = Vec::new();
        check(Path::new("lib.rs"), text, &mut findings);
        let lines: Vec<_> = findings.iter().map(|it| it.line).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn three_lines_open_a_crate() {
        let opening = "//! **Purpose:** a\n//! **Never knows:** b\n//! **Next on the road:** c\n";
        check_lines(opening, &[]);
        check_lines(&format!("{opening}//!\n//! More.\n"), &[]);
        check_lines(&format!("{opening}//! run on\n"), &[4]);
    }

    #[test]
    fn missing_and_empty_lines_are_complaints() {
        check_lines("", &[1, 2, 3]);
        check_lines(
            "//! **Purpose:** a\n//! **Never knows:** \n//! **Next on the road:** c\n",
            &[2],
        );
    }
}
