//! The house rules, all at once.

use std::collections::BTreeSet;

use crate::arrows::{self, Kind};
use crate::exceptions::{EXCEPTIONS, Ledger};
use crate::finding::Finding;
use crate::source::Source;
use crate::{bans, docs, metrics, opening, reasons, size, tree};

pub(crate) fn run() -> Result<String, String> {
    let root = tree::root();
    let packages = arrows::packages(&root)?;
    let sources = tree::files(&root, "rs");
    let mut ledger = Ledger::new(EXCEPTIONS);
    let mut findings: Vec<Finding> = Vec::new();
    let mut metric_names = BTreeSet::new();

    arrows::check(&packages, &mut findings);
    for path in &sources {
        let text = tree::read(&root, path)?;
        let source = Source::parse(&text);
        // The innermost crate: `crates/foregate` lies in no other, but a prefix could.
        let package = packages
            .iter()
            .filter(|package| path.starts_with(&package.directory))
            .max_by_key(|package| package.directory.components().count());
        let Some(package) = package else {
            findings.push(Finding::new(
                path,
                0,
                "belongs to no crate of the workspace",
            ));
            continue;
        };
        let library = package.directory.join("src/lib.rs");
        let program = package.directory.join("src/main.rs");
        if *path == library || (*path == program && !root.join(&library).exists()) {
            opening::check(path, &text, &mut findings);
        }
        metrics::collect(path, &text, &source, &mut metric_names);
        size::check(path, &source, &mut ledger, &mut findings);
        bans::check(path, &source, &mut findings);
        let in_product = path.starts_with(package.directory.join("src"));
        if package.kind() == Some(Kind::Core) && in_product {
            bans::check_core(path, &source, &mut ledger, &mut findings);
        }
    }
    docs::check_links(&root, &mut findings)?;
    metrics::check(&root, &metric_names, &mut findings)?;
    reasons::check(&root, &mut findings)?;
    ledger.settle(&mut findings);

    findings.sort();
    if findings.is_empty() {
        let (crates, files) = (packages.len(), sources.len());
        return Ok(format!(
            "tidy: {crates} crates, {files} files, nothing to complain about"
        ));
    }
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    Err(format!(
        "{}\ntidy: {} complaints",
        list.join("\n"),
        findings.len()
    ))
}
