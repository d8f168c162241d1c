//! `foregate reload`: asks a running gateway to read its configuration again.

use std::process::ExitCode;

use serde_json::Value;

use crate::admin::Whom;
use crate::failure::Failure;
use crate::terminal;

/// Have a running gateway read its configuration again
///
/// Asks over the gateway's admin listener and tells the result: with a bad configuration
/// nothing changes, and every error is told. The signal HUP does the same; its result is
/// in the gateway's log. Ends with 0 if the configuration was taken over, with 2 if it is
/// wrong, with 1 if the gateway could not be asked.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Reload {
    #[command(flatten)]
    whom: Whom,
}

impl Reload {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let (status, told) = self.whom.listener()?.send("POST /reload", "")?;
        terminal::print(&judge(status, &told)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What an answer of the admin listener says.
fn judge(status: u16, told: &Value) -> Result<String, Failure> {
    let stranger = || Failure::Failed("this is not the admin listener of a gateway".into());
    let detail = told["detail"].as_str().ok_or_else(stranger)?;
    match status {
        200 if told["reloaded"] == true => Ok(format!("reloaded {detail}\n")),
        422 => Err(Failure::Config(format!(
            "{detail}\nthe gateway keeps the configuration it has"
        ))),
        _ => Err(Failure::Failed(detail.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answer: &str) -> Result<String, Failure> {
        crate::admin::parse(answer).and_then(|(status, told)| judge(status, &told))
    }

    #[track_caller]
    fn check(answer: &str, expected: Result<&str, Failure>) {
        assert_eq!(judged(answer), expected.map(str::to_owned));
    }

    #[test]
    fn answers_become_exit_codes() {
        let failed = |text: &str| Err(Failure::Failed(text.into()));
        check(
            "HTTP/1.1 200 OK\r\n\r\n{\"reloaded\":true,\"detail\":\"a.toml\"}",
            Ok("reloaded a.toml\n"),
        );
        check(
            "HTTP/1.1 422 Unprocessable Entity\r\n\r\n{\"error\":\"config-refused\",\"detail\":\"line 1\"}",
            Err(Failure::Config(
                "line 1\nthe gateway keeps the configuration it has".into(),
            )),
        );
        check(
            "HTTP/1.1 409 Conflict\r\n\r\n{\"error\":\"reloading\",\"detail\":\"another\"}",
            failed("another"),
        );
        for stranger in [
            "",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "SSH-2.0-x\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n\r\n{}",
        ] {
            check(
                stranger,
                failed("this is not the admin listener of a gateway"),
            );
        }
    }
}
