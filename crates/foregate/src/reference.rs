//! `foregate reference`: the reference of configurations, from which the documentation's page is made.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::terminal;

/// Print the reference of the configuration as Markdown
#[derive(Debug, clap::Args)]
pub(crate) struct Reference {}

impl Reference {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        terminal::print(&foregate_config::reference())?;
        Ok(ExitCode::SUCCESS)
    }
}
