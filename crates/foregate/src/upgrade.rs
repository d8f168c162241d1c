//! `foregate upgrade`: has a new process of the program take over from a running gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::admin;
use crate::failure::Failure;
use crate::terminal;

/// Have a new process of the program take over from a running gateway
///
/// The gateway starts the program that stands where its own stood, with the same arguments,
/// and passes its listening sockets on. Once the new process serves, the old one finishes
/// what it has begun and ends; no connection is refused in between. If the new one does not
/// come up, the old one goes on as if nothing had been. The signal USR2 does the same; its
/// result is in the gateway's log.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Upgrade {
    /// The configuration that names the admin listener; without it ./foregate.toml, then /etc/foregate/foregate.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The admin listener's address, if no configuration is to be asked for it
    #[arg(long, value_name = "IP:PORT", conflicts_with = "config")]
    admin: Option<SocketAddr>,
}

impl Upgrade {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let listener = admin::Listener::find(self.admin, self.config)?;
        let answer = listener.ask("POST /upgrade").map_err(|error| {
            let address = listener.address;
            Failure::Failed(format!("cannot ask the gateway at {address}: {error}"))
        })?;
        terminal::print(&judge(&answer)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What an answer of the admin listener says.
fn judge(answer: &str) -> Result<String, Failure> {
    let (status, told) = admin::parse(answer)?;
    match (status, told["pid"].as_u64(), told["detail"].as_str()) {
        (200, Some(pid), _) => Ok(format!("process {pid} serves\n")),
        (503 | 409, _, Some(detail)) => Err(Failure::Failed(format!(
            "{detail}\nthe old process goes on"
        ))),
        _ => Err(Failure::Failed(
            "this is not the admin listener of a gateway".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_exit_codes() {
        assert_eq!(
            judge("HTTP/1.1 200 OK\r\n\r\n{\"upgraded\":true,\"pid\":7}"),
            Ok("process 7 serves\n".into())
        );
        assert_eq!(
            judge("HTTP/1.1 503 No\r\n\r\n{\"error\":\"upgrade-failed\",\"detail\":\"it ended\"}"),
            Err(Failure::Failed("it ended\nthe old process goes on".into()))
        );
        assert!(judge("HTTP/1.1 200 OK\r\n\r\n{}").is_err());
    }
}
