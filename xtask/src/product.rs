//! Running the product's binary.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `foregate` with these arguments: `$FOREGATE_BIN` when it is set, else through `cargo run`.
pub(crate) fn run(root: &Path, arguments: &[&OsStr]) -> Result<Output, String> {
    let mut command = match std::env::var_os("FOREGATE_BIN") {
        Some(binary) => Command::new(binary),
        None => {
            let mut command =
                Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            command.args(["run", "--quiet", "--package", "foregate", "--"]);
            command
        }
    };
    command.args(arguments).current_dir(root);
    command
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))
}
