//! `foregate check`: what is wrong with a configuration, all of it.

use std::path::PathBuf;
use std::process::ExitCode;

use foregate_config::Settings;

use crate::failure::Failure;
use crate::source::{self, Compiled};
use crate::terminal::{self, complain};

/// Check a configuration
///
/// Tells every error and warning at once, each with its place, cause and a suggestion.
/// Ends with 0 if the configuration can be used (warnings may remain), with 2 if it can't.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Check {
    /// The configuration; without it ./foregate.toml, then /etc/foregate/foregate.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print an array of diagnostics as JSON, for editors
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let path = source::find(self.config)?;
        let Compiled { outcome, .. } = source::compile(&path, None);
        if self.json {
            terminal::print(&foregate_config::to_json(&outcome))?;
            return Ok(ExitCode::from(if outcome.has_errors() { 2 } else { 0 }));
        }
        // What goes elsewhere may be read by others, such as the journal of a service manager.
        let diagnostics = match terminal::takes_errors() {
            true => foregate_config::render_in_full(&outcome, terminal::errors_in_colour()),
            false => foregate_config::render(&outcome, false),
        };
        let Some(settings) = &outcome.settings else {
            return Err(Failure::Config(diagnostics));
        };
        complain(&diagnostics);
        terminal::print(&format!(
            "{} is good: {}\n",
            path.display(),
            contents(settings)
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn contents(settings: &Settings) -> String {
    let routes = settings.sites.iter().map(|site| site.routes.len()).sum();
    let servers = settings
        .upstreams
        .iter()
        .map(|upstream| upstream.servers.len())
        .sum();
    [
        count(settings.listeners.len(), "listener"),
        count(settings.sites.len(), "site"),
        count(routes, "route"),
        count(settings.upstreams.len(), "upstream"),
        count(servers, "server"),
    ]
    .join(", ")
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
