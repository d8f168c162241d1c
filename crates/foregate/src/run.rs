//! `foregate run`: a configuration, served.

use std::path::PathBuf;
use std::process::ExitCode;

use foregate_server::{Server, Source};

use crate::failure::Failure;
use crate::source::{self, FileSource};
use crate::terminal;

/// Serve a configuration
///
/// Prints a line `listening NAME ADDRESS` for every listener, then `ready`.
///
/// Signals: HUP reloads the configuration, USR1 reopens the access log, USR2 has a new
/// process of the program take over without a connection refused. TERM, QUIT and INT stop
/// taking connections and let running requests finish; a second one ends at once.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Run {
    /// The configuration; without it ./foregate.toml, then /etc/foregate/foregate.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Run {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let path = source::find(self.config)?;
        serve(Box::new(FileSource::new(path)))
    }
}

/// Starts a server, announces it, and runs it to its end.
pub(crate) fn serve(source: Box<dyn Source>) -> Result<ExitCode, Failure> {
    let server = start(source)?;
    let mut announcement = String::new();
    for (name, address) in server.listeners() {
        announcement.push_str(&format!("listening {name} {address}\n"));
    }
    if let Some(address) = server.admin() {
        announcement.push_str(&format!("listening admin {address}\n"));
    }
    announcement.push_str("ready\n");
    terminal::print(&announcement)?;
    Ok(ExitCode::from(server.run().code()))
}

/// Starts a server.
///
/// # Errors
/// The configuration is wrong, or what it asks for can't be had.
pub(crate) fn start(source: Box<dyn Source>) -> Result<Server, Failure> {
    Server::start(source).map_err(|error| {
        if error.is_config() {
            Failure::Config(error.to_string())
        } else {
            Failure::Failed(error.to_string())
        }
    })
}
