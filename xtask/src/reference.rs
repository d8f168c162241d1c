//! The generated documents: `docs/reference.md` is what `foregate reference` prints, `docs/openapi.json` what
//! `foregate openapi` does.

use std::fs;
use std::path::Path;

use crate::{product, tree};

/// Each document and the subcommand that prints it.
const DOCUMENTS: [(&str, &str); 2] = [
    ("docs/reference.md", "reference"),
    ("docs/openapi.json", "openapi"),
];

pub(crate) fn write() -> Result<String, String> {
    let root = tree::root();
    for (document, command) in DOCUMENTS {
        let text = generate(&root, command)?;
        fs::write(root.join(document), text).map_err(|error| format!("{document}: {error}"))?;
    }
    Ok(format!("{} are written", names()))
}

pub(crate) fn check() -> Result<String, String> {
    let root = tree::root();
    for (document, command) in DOCUMENTS {
        if generate(&root, command)? != tree::read(&root, Path::new(document))? {
            return Err(format!(
                "{document} is stale: run `cargo xtask reference --write`"
            ));
        }
    }
    Ok(format!("{} are current", names()))
}

fn names() -> String {
    DOCUMENTS.map(|(document, _)| document).join(" and ")
}

fn generate(root: &Path, command: &str) -> Result<String, String> {
    let output = product::run(root, &[command.as_ref()])?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    String::from_utf8(output.stdout).map_err(|error| format!("foregate {command}: {error}"))
}
