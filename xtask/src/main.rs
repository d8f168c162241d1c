//! **Purpose:** the project's own checks and generators: `cargo xtask <tidy|reasons|docs|reference>`.
//! **Never knows:** how the product works; it reads sources, `cargo metadata` and the binary's output.
//! **Next on the road:** none; `./test.sh` calls it.

mod arrows;
mod bans;
mod docs;
mod exceptions;
mod finding;
mod metrics;
mod opening;
mod product;
mod reasons;
mod reference;
mod size;
mod source;
mod tidy;
mod tree;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  tidy                 sizes, opening lines, arrows between crates, bans,
                       links, reasons and metrics in documents
  reasons --write      regenerate docs/reasons.md from the reason table (tidy checks it)
  docs                 every ```toml block in the documents passes `foregate check`
  reference --write    regenerate docs/reference.md and docs/openapi.json
  reference --check    fail when one of them is stale

`docs` and `reference` run $FOREGATE_BIN when it is set, else `cargo run --package foregate`.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(),
        ["docs"] => docs::check_examples(),
        ["reasons", "--write"] => reasons::write(),
        ["reference", "--write"] => reference::write(),
        ["reference", "--check"] => reference::check(),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}
