//! The generated reference: `docs/reference.md` is what `foregate reference` prints.

use std::fs;
use std::path::Path;

use crate::{product, tree};

const REFERENCE: &str = "docs/reference.md";

pub(crate) fn write() -> Result<String, String> {
    let root = tree::root();
    let text = generate(&root)?;
    fs::write(root.join(REFERENCE), text).map_err(|error| format!("{REFERENCE}: {error}"))?;
    Ok(format!("{REFERENCE} is written"))
}

pub(crate) fn check() -> Result<String, String> {
    let root = tree::root();
    let written = tree::read(&root, Path::new(REFERENCE))?;
    match generate(&root)? == written {
        true => Ok(format!("{REFERENCE} is current")),
        false => Err(format!(
            "{REFERENCE} is stale: run `cargo xtask reference --write`"
        )),
    }
}

fn generate(root: &Path) -> Result<String, String> {
    let output = product::run(root, &["reference".as_ref()])?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    String::from_utf8(output.stdout).map_err(|error| format!("foregate reference: {error}"))
}
