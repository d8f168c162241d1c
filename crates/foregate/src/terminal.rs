//! What is printed, and whether in colour.

use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

/// Prints to standard output and flushes, so that whoever waits for a line in a pipe gets it.
///
/// # Errors
/// Standard output can't be written to. That nobody reads on (`foregate schema | head`) is none.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Failed(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Says something on standard error, if it can be written to: the exit code tells the rest.
pub(crate) fn complain(text: &str) {
    let text = text.trim_end();
    if !text.is_empty() {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Whether standard error is a terminal.
pub(crate) fn takes_errors() -> bool {
    io::stderr().is_terminal()
}

/// Whether standard error takes colours: it is a terminal that has some, and <https://no-color.org> is not asked for.
#[expect(
    clippy::disallowed_methods,
    reason = "the user's terminal, not the configuration, is asked here"
)]
pub(crate) fn errors_in_colour() -> bool {
    let is_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !is_off && !is_dumb && takes_errors()
}
