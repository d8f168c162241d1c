//! `foregate upgrade`: has a new process of the program take over from a running gateway.

use std::process::ExitCode;

use serde_json::Value;

use crate::admin::Whom;
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
    #[command(flatten)]
    whom: Whom,
}

impl Upgrade {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let (status, told) = self.whom.listener()?.send("POST /upgrade", "")?;
        terminal::print(&judge(status, &told)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What an answer of the admin listener says.
fn judge(status: u16, told: &Value) -> Result<String, Failure> {
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

    fn judged(answer: &str) -> Result<String, Failure> {
        crate::admin::parse(answer).and_then(|(status, told)| judge(status, &told))
    }

    #[test]
    fn answers_become_exit_codes() {
        assert_eq!(
            judged("HTTP/1.1 200 OK\r\n\r\n{\"upgraded\":true,\"pid\":7}"),
            Ok("process 7 serves\n".into())
        );
        assert_eq!(
            judged("HTTP/1.1 503 No\r\n\r\n{\"error\":\"upgrade-failed\",\"detail\":\"it ended\"}"),
            Err(Failure::Failed("it ended\nthe old process goes on".into()))
        );
        assert!(judged("HTTP/1.1 200 OK\r\n\r\n{}").is_err());
    }
}
