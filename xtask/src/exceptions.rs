//! The rules' exceptions: few, named, each with its reason. One that is no longer needed is an error.

use std::path::Path;

use crate::finding::Finding;

/// The rules that admit exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A file's length.
    FileLines,
    /// A function's length; the item is the function's name.
    FunctionLines,
    /// What a core crate must not touch; the item is the banned name.
    CoreBan,
}

/// One exception: this item of this file may break this rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exception {
    pub(crate) rule: Rule,
    pub(crate) path: &'static str,
    /// Empty when the whole file is meant.
    pub(crate) item: &'static str,
    pub(crate) reason: &'static str,
}

/// Every exception of the project.
pub(crate) const EXCEPTIONS: &[Exception] = &[];

/// The exceptions, and which of them were needed.
#[derive(Debug)]
pub(crate) struct Ledger {
    exceptions: &'static [Exception],
    needed: Vec<bool>,
}

impl Ledger {
    pub(crate) fn new(exceptions: &'static [Exception]) -> Self {
        Self {
            exceptions,
            needed: vec![false; exceptions.len()],
        }
    }

    /// Whether an exception covers this item; remembers that it was needed.
    pub(crate) fn excuses(&mut self, rule: Rule, path: &Path, item: &str) -> bool {
        let found = self
            .exceptions
            .iter()
            .position(|it| it.rule == rule && path == Path::new(it.path) && it.item == item);
        if let Some(index) = found {
            self.needed[index] = true;
        }
        found.is_some()
    }

    /// Complaints about exceptions without need or without a reason.
    pub(crate) fn settle(self, findings: &mut Vec<Finding>) {
        for (exception, needed) in self.exceptions.iter().zip(self.needed) {
            let Exception {
                rule,
                path,
                item,
                reason,
            } = exception;
            let complaint = match (needed, reason.is_empty()) {
                (false, _) => "is no longer needed: remove it from xtask/src/exceptions.rs",
                (true, true) => "has no reason",
                (true, false) => continue,
            };
            findings.push(Finding::new(
                Path::new(path),
                0,
                format!("exception {rule:?} `{item}` {complaint}"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Exception = Exception {
        rule: Rule::FunctionLines,
        path: "a.rs",
        item: "long",
        reason: "a table",
    };

    #[test]
    fn a_needed_exception_excuses_and_is_silent() {
        let mut ledger = Ledger::new(&[LONG]);
        assert!(ledger.excuses(Rule::FunctionLines, Path::new("a.rs"), "long"));
        assert!(!ledger.excuses(Rule::FunctionLines, Path::new("a.rs"), "other"));
        assert!(!ledger.excuses(Rule::FunctionLines, Path::new("b.rs"), "long"));
        let mut findings = Vec::new();
        ledger.settle(&mut findings);
        assert_eq!(findings, []);
    }

    #[test]
    fn an_exception_that_nothing_needs_is_a_complaint() {
        let mut findings = Vec::new();
        Ledger::new(&[LONG]).settle(&mut findings);
        assert!(
            findings[0].complaint.contains("no longer needed"),
            "{findings:?}"
        );
    }

    #[test]
    fn an_exception_without_a_reason_is_a_complaint() {
        let mut ledger = Ledger::new(&[Exception { reason: "", ..LONG }]);
        assert!(ledger.excuses(Rule::FunctionLines, Path::new("a.rs"), "long"));
        let mut findings = Vec::new();
        ledger.settle(&mut findings);
        assert!(
            findings[0].complaint.contains("has no reason"),
            "{findings:?}"
        );
    }
}
