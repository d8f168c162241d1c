//! How a command fails: what it says and the code it ends with.

use crate::terminal::complain;
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The configuration is wrong: its diagnostics as they are to be shown.
    Config(String),
    /// What was asked for makes no sense: one sentence.
    Usage(String),
    /// It could not be done: one sentence.
    Failed(String),
}

impl Failure {
    /// Tells standard error, and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match &self {
            Self::Config(diagnostics) => complain(diagnostics),
            Self::Usage(text) | Self::Failed(text) => complain(&format!("error: {text}")),
        }
        self.code()
    }

    fn code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
        }
    }
}
