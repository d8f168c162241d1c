//! `foregate apply`, `confirm` and `rollback`: another configuration for a running gateway, and back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use foregate_config::Files;
use serde_json::{Value, json};

use crate::admin::{Listener, Place, Whom};
use crate::failure::Failure;
use crate::files::SystemFiles;
use crate::source;
use crate::terminal;

/// Bytes of a configuration, as many as the gateway takes.
const CONFIG_BYTES_MAX: usize = 16 << 20;

/// Put a configuration in force in a running gateway
///
/// Sends the file over the admin listener: it comes into force whole, or not at all, and
/// then every error is told as `foregate check` tells them. The gateway's own file stays
/// as it is: `foregate config` tells how the two differ. With --confirm the old
/// configuration comes back by itself unless `foregate confirm` is heard in time.
/// Ends with 0 if it is in force, with 2 if it is wrong, with 1 if nothing came of it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Apply {
    /// The configuration; without it ./foregate.toml, then /etc/foregate/foregate.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The admin listener's address, if it is not the configuration that names it; its token is in FOREGATE_ADMIN_TOKEN
    #[arg(long, value_name = "IP:PORT|https://HOST:PORT|unix:PATH")]
    admin: Option<Place>,

    /// After which time the old configuration comes back unless this one is confirmed, such as 60s
    #[arg(long, value_name = "TIME")]
    confirm: Option<String>,

    /// What the history says of it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Have the configuration stay that was applied with --confirm
#[derive(Debug, clap::Args)]
pub(crate) struct Confirm {
    #[command(flatten)]
    whom: Whom,
}

/// Put an older configuration in force in a running gateway
///
/// Imported files are taken as they were then; what ${ENV:...} and ${FILE:...} refer to, as
/// it is now. A configuration that waits for confirmation is taken back.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Rollback {
    /// Its number in `foregate config history`; without it the one before the one in force
    #[arg(value_name = "N")]
    id: Option<u64>,

    /// What the history says of it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,

    #[command(flatten)]
    whom: Whom,
}

impl Apply {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let path = source::find(self.config)?;
        let shown = path.display();
        let text = SystemFiles
            .read(&path, CONFIG_BYTES_MAX)
            .map_err(|problem| Failure::Failed(format!("cannot read {shown}: {problem}")))?;
        let listener = Listener::find(self.admin, Some(path.clone()))?;
        // On this machine it is read as if the file itself were; on others beside their own.
        let name = match listener.place.is_here() {
            true => std::path::absolute(&path).unwrap_or_else(|_| path.clone()),
            false => path.file_name().map_or_else(|| path.clone(), PathBuf::from),
        };
        let mut query = format!("name={}", encode(&name.to_string_lossy()));
        for (key, value) in [("confirm", &self.confirm), ("note", &self.note)] {
            if let Some(value) = value {
                query.push_str(&format!("&{key}={}", encode(value)));
            }
        }
        let kind = content_type(&path);
        let (status, told) = listener.send_as(&format!("PUT /config?{query}"), kind, &text)?;
        finish("applied", status, &told)
    }
}

impl Confirm {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let (status, told) = self.whom.listener()?.send("POST /config/confirm", "")?;
        finish("confirmed", status, &told)
    }
}

impl Rollback {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let mut asked = json!({});
        if let Some(id) = self.id {
            asked["id"] = json!(id);
        }
        if let Some(note) = self.note {
            asked["note"] = json!(note);
        }
        let listener = self.whom.listener()?;
        let (status, told) = listener.send("POST /config/rollback", &asked.to_string())?;
        finish("in force", status, &told)
    }
}

fn content_type(path: &Path) -> &'static str {
    let is_json = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("json"));
    if is_json {
        "application/json"
    } else {
        "application/toml"
    }
}

/// A value as it may stand in a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn finish(done: &str, status: u16, told: &Value) -> Result<ExitCode, Failure> {
    terminal::print(&judge(done, status, told)?)?;
    Ok(ExitCode::SUCCESS)
}

/// What an answer of the admin listener says.
fn judge(done: &str, status: u16, told: &Value) -> Result<String, Failure> {
    let detail = told["detail"].as_str();
    match (status, told["id"].as_u64(), detail) {
        (200, Some(id), _) => {
            let mut text = format!("configuration {id} is {done}\n");
            for (sign, key) in [("  ", "changes"), ("! ", "warnings")] {
                let lines = told[key].as_array().map_or(&[][..], Vec::as_slice);
                for line in lines.iter().filter_map(Value::as_str) {
                    text.push_str(&format!("{sign}{line}\n"));
                }
            }
            if let Some(ms) = told["confirm_within_ms"].as_u64() {
                let seconds = ms.div_ceil(1000);
                text.push_str(&format!(
                    "the old one comes back in {seconds} s unless you `foregate confirm`\n"
                ));
            }
            Ok(text)
        }
        (422, _, Some(detail)) => Err(Failure::Config(format!(
            "{}\nthe gateway keeps the configuration it has",
            detail.trim_end()
        ))),
        (_, _, Some(detail)) => Err(Failure::Failed(detail.to_owned())),
        _ => Err(Failure::Failed(
            "this is not the admin listener of a gateway".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_in_words() {
        let done = json!({ "id": 4, "changes": ["route added: a/b"], "warnings": ["odd"], "confirm_within_ms": 1500 });
        assert_eq!(
            judge("applied", 200, &done),
            Ok("configuration 4 is applied\n  route added: a/b\n! odd\nthe old one comes back in 2 s unless you `foregate confirm`\n".into())
        );
        let wrong = json!({ "error": "config-refused", "detail": "line 1\n" });
        assert_eq!(
            judge("applied", 422, &wrong),
            Err(Failure::Config(
                "line 1\nthe gateway keeps the configuration it has".into()
            ))
        );
        let busy = json!({ "error": "unconfirmed", "detail": "waits" });
        assert_eq!(
            judge("applied", 409, &busy),
            Err(Failure::Failed("waits".into()))
        );
        assert!(judge("applied", 200, &json!({})).is_err());
    }

    #[test]
    fn values_can_not_change_a_query() {
        assert_eq!(encode("a b&c=d\r\n%é"), "a%20b%26c%3Dd%0D%0A%25%C3%A9");
        assert_eq!(encode("/etc/a.toml"), "/etc/a.toml");
    }
}
