//! `foregate reload`: asks a running gateway to read its configuration again.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;
use crate::files::SystemFiles;
use crate::source;
use crate::terminal;

/// How long a connection to the admin listener may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a reload may take: names of backends are resolved in it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of an answer; diagnostics are bounded, too.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Have a running gateway read its configuration again
///
/// Asks over the gateway's admin listener and tells the result: with a bad configuration
/// nothing changes, and every error is told. The signal HUP does the same; its result is
/// in the gateway's log. Ends with 0 if the configuration was taken over, with 2 if it is
/// wrong, with 1 if the gateway could not be asked.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Reload {
    /// The configuration that names the admin listener; without it ./foregate.toml, then /etc/foregate/foregate.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The admin listener's address, if no configuration is to be asked for it
    #[arg(long, value_name = "IP:PORT", conflicts_with = "config")]
    admin: Option<SocketAddr>,
}

impl Reload {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let address = match self.admin {
            Some(address) => address,
            None => configured(&source::find(self.config)?)?,
        };
        let address = reachable(address);
        let answer = ask(address).map_err(|error| {
            Failure::Failed(format!("cannot ask the gateway at {address}: {error}"))
        })?;
        terminal::print(&judge(&answer)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The admin address that a configuration names.
fn configured(path: &Path) -> Result<SocketAddr, Failure> {
    let outcome = foregate_config::load(path, &SystemFiles);
    let Some(settings) = &outcome.settings else {
        return Err(Failure::Config(foregate_config::render(
            &outcome,
            terminal::errors_in_colour(),
        )));
    };
    let shown = path.display();
    match &settings.admin {
        None => Err(Failure::Usage(format!(
            "{shown} has no admin listener; send the gateway the signal HUP"
        ))),
        Some(admin) if admin.address.port() == 0 => Err(Failure::Usage(format!(
            "{shown} leaves the admin port to the system; name the address with --admin"
        ))),
        Some(admin) => Ok(admin.address),
    }
}

/// Who listens on all addresses is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
    let request = format!(
        "POST /reload HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    String::from_utf8(answer)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the answer is not text"))
}

/// What an answer of the admin listener says.
fn judge(answer: &str) -> Result<String, Failure> {
    let stranger = || Failure::Failed("this is not the admin listener of a gateway".into());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(stranger)?;
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .ok_or_else(stranger)?;
    let told: Value = serde_json::from_str(body).map_err(|_| stranger())?;
    let detail = told["detail"].as_str().ok_or_else(stranger)?;
    match status {
        "200" if told["reloaded"] == true => Ok(format!("reloaded {detail}\n")),
        "422" => Err(Failure::Config(format!(
            "{detail}\nthe gateway keeps the configuration it has"
        ))),
        _ => Err(Failure::Failed(detail.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: Result<&str, Failure>) {
        assert_eq!(judge(answer), expected.map(str::to_owned));
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

    #[test]
    fn listeners_on_all_addresses_are_asked_on_loopback() {
        let check = |address: &str, expected: &str| {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:1", "127.0.0.1:1");
        check("[::]:1", "[::1]:1");
        check("10.0.0.1:1", "10.0.0.1:1");
    }
}
