//! `foregate openapi`: the document of the admin API.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::terminal;

/// Print the OpenAPI document of the admin API, for programs
#[derive(Debug, clap::Args)]
pub(crate) struct OpenApi {}

impl OpenApi {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        terminal::print(&format!("{:#}\n", foregate_server::openapi()))?;
        Ok(ExitCode::SUCCESS)
    }
}
