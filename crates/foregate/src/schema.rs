//! `foregate schema`: the JSON Schema of configurations.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::terminal;

/// Print the JSON Schema of the configuration, for editors
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        terminal::print(&foregate_config::schema())?;
        Ok(ExitCode::SUCCESS)
    }
}
