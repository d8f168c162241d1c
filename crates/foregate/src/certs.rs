//! `foregate certs`: the certificates, who issued them, how long they live, and what stands in the way of the next ones.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use foregate_telemetry::clock::{UnixTime, unix_now};
use serde_json::Value;

use crate::admin::{self, Listener, Place};
use crate::failure::Failure;
use crate::files::SystemFiles;
use crate::source;
use crate::terminal;

const DAY_SECONDS: i64 = 86_400;

/// Show certificates, renew one, or print the internal authority's root
///
/// Asks a running gateway over its admin listener. When none runs, or it has no admin listener,
/// the state folder tells what is stored there. Ends with 0, with 2 if the command line or the
/// configuration is wrong, with 1 if nobody could be asked or a renewal failed.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Certs {
    #[command(subcommand)]
    action: Option<Action>,

    /// The configuration that names the admin listener and the state folder; without it ./foregate.toml, then /etc/foregate/foregate.toml
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// The admin listener's address, if no configuration is to be asked for it
    #[arg(
        long,
        value_name = "IP:PORT|https://HOST:PORT|unix:PATH",
        global = true
    )]
    admin: Option<Place>,

    /// Print JSON, with everything that is known
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the internal authority's root certificate, for those who are to trust it
    Root,
    /// Have the certificate of a name issued anew now
    Renew {
        /// One of the certificate's names
        name: String,
    },
}

/// Whom to ask.
struct Sources {
    admin: Option<Listener>,
    state_dir: Option<PathBuf>,
}

impl Certs {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let sources = Sources::find(self.admin, self.config)?;
        match self.action {
            None => {
                let told = sources.certificates()?;
                let text = match self.json {
                    true => format!("{told:#}\n"),
                    false => table(&told, unix_now()),
                };
                terminal::print(&text)?;
            }
            Some(Action::Root) => match sources.certificates()?["internal_root"].as_str() {
                Some(root) => terminal::print(root)?,
                None => {
                    return Err(Failure::Failed(
                        "there is no internal authority yet: it is made when a gateway first serves a local name over TLS"
                            .into(),
                    ));
                }
            },
            Some(Action::Renew { name }) => terminal::print(&sources.renew(&name)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Sources {
    fn find(admin: Option<Place>, config: Option<PathBuf>) -> Result<Sources, Failure> {
        if let (Some(admin), None) = (admin.clone(), &config) {
            return Ok(Sources {
                admin: Some(Listener::at(admin)),
                state_dir: None,
            });
        }
        let path = source::find_or_admin(config)?;
        let configured = admin::configured(&path)?
            .filter(|one| !matches!(one.place, Place::Tcp(at) if at.port() == 0));
        Ok(Sources {
            admin: admin.map(Listener::at).or(configured),
            state_dir: Some(state_dir(&path)?),
        })
    }

    /// What the gateway tells, or else the folder.
    fn certificates(&self) -> Result<Value, Failure> {
        let Some(listener) = &self.admin else {
            return self.stored();
        };
        match listener.ask("GET /certificates") {
            Ok(answer) => {
                let (status, told) = admin::parse(&answer)?;
                match (status, told["certificates"].is_array()) {
                    (200, true) => Ok(told),
                    _ => Err(Failure::Failed(refusal(&told))),
                }
            }
            // Nobody listens: nothing runs.
            Err(error)
                if error.kind() == ErrorKind::ConnectionRefused && self.state_dir.is_some() =>
            {
                self.stored()
            }
            Err(error) => Err(unreachable(&listener.place, &error)),
        }
    }

    fn stored(&self) -> Result<Value, Failure> {
        let folder = self.state_dir.as_deref().ok_or_else(|| {
            Failure::Usage("name a configuration with -c FILE, or an admin listener".into())
        })?;
        foregate_server::stored_certificates(folder).map_err(Failure::Failed)
    }

    fn renew(&self, name: &str) -> Result<String, Failure> {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._*:".contains(&b);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(Failure::Usage(format!(
                "`{name}` is no name of a certificate"
            )));
        }
        let listener = self.admin.as_ref().ok_or_else(|| {
            Failure::Usage(
                "a renewal is asked of a running gateway over its admin listener; the configuration has none".into(),
            )
        })?;
        let answer = listener
            .ask(&format!("POST /certificates/{name}/renew"))
            .map_err(|error| unreachable(&listener.place, &error))?;
        let (status, told) = admin::parse(&answer)?;
        match (status, told["detail"].as_str()) {
            (200, Some(detail)) => Ok(format!("{detail}\n")),
            _ => Err(Failure::Failed(refusal(&told))),
        }
    }
}

fn unreachable(address: &Place, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot ask the gateway at {address}: {error}"))
}

fn refusal(told: &Value) -> String {
    let detail = told["detail"].as_str();
    detail
        .unwrap_or("the gateway's answer makes no sense")
        .to_owned()
}

fn state_dir(path: &Path) -> Result<PathBuf, Failure> {
    let outcome = foregate_config::load(path, &SystemFiles);
    match &outcome.settings {
        Some(settings) => Ok(settings.state_dir.clone()),
        None => Err(Failure::Config(foregate_config::render(
            &outcome,
            terminal::errors_in_colour(),
        ))),
    }
}

/// A line for each certificate, and one for what went wrong with it last.
fn table(told: &Value, now: UnixTime) -> String {
    let certificates = told["certificates"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if certificates.is_empty() {
        return "no certificates\n".to_owned();
    }
    let head = [
        "NAMES",
        "STATE",
        "SOURCE",
        "ISSUER",
        "EXPIRES",
        "RENEWAL",
        "LISTENERS",
    ];
    let mut rows = vec![(head.map(str::to_owned), None)];
    for certificate in certificates {
        rows.push((row(certificate, now), trouble(certificate)));
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|(row, _)| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for (row, trouble) in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        if let Some(trouble) = trouble {
            text.push_str(&format!("  ! {trouble}\n"));
        }
    }
    text
}

fn row(certificate: &Value, now: UnixTime) -> [String; 7] {
    let text = |key: &str| certificate[key].as_str().unwrap_or("-").to_owned();
    let list = |key: &str| {
        let all = certificate[key].as_array().map_or(&[][..], Vec::as_slice);
        let all: Vec<_> = all.iter().filter_map(Value::as_str).collect();
        match all.is_empty() {
            true => "-".to_owned(),
            false => all.join(", "),
        }
    };
    let names = match list("names") {
        // Nobody knows what stands in a file that can't be read.
        none if none == "-" => text("certificate"),
        names => names,
    };
    [
        names,
        text("state"),
        text("source"),
        text("issuer"),
        moment(&certificate["not_after"], now),
        moment(&certificate["next_renewal"], now),
        list("listeners"),
    ]
}

fn trouble(certificate: &Value) -> Option<String> {
    let error = certificate["last_error"].as_object()?;
    let reason = error.get("reason")?.as_str()?;
    let detail = error.get("detail")?.as_str()?;
    let at = error
        .get("at")
        .and_then(Value::as_u64)
        .map_or_else(String::new, |at| format!("{} ", date(at)));
    Some(format!("{at}{reason}: {}", detail.replace('\n', " ")))
}

/// A time as a date and what is left until then.
fn moment(seconds: &Value, now: UnixTime) -> String {
    let Some(seconds) = seconds.as_u64().filter(|seconds| *seconds > 0) else {
        return "-".to_owned();
    };
    let left =
        i64::try_from(seconds).unwrap_or(i64::MAX) - i64::try_from(now.seconds()).unwrap_or(0);
    let left = match left {
        left if left < 0 && left > -DAY_SECONDS => "past".to_owned(),
        left if left < 0 => format!("{} d ago", -left / DAY_SECONDS),
        left if left < 3_600 => format!("in {} min", left / 60),
        left if left < 2 * DAY_SECONDS => format!("in {} h", left / 3_600),
        left => format!("in {} d", left / DAY_SECONDS),
    };
    format!("{} ({left})", date(seconds))
}

fn date(seconds: u64) -> String {
    let at = UnixTime::from_seconds(seconds).calendar();
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}",
        at.year, at.month, at.day, at.hour, at.minute
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_has_a_line_each_and_tells_trouble() {
        let told = json!({ "certificates": [
            { "names": ["shop.example", "www.shop.example"], "state": "renewal-failed", "source": "acme", "issuer": "R3",
              "not_after": 1_700_864_000u64, "next_renewal": 1_700_000_600u64, "listeners": ["secure"],
              "last_error": { "reason": "challenge-failed", "detail": "shop.example\nrefused", "at": 1_699_999_000u64 } },
            { "names": ["localhost"], "state": "expired", "source": "files", "issuer": null, "not_after": 1_699_800_000u64, "listeners": [] },
            { "names": [], "certificate": "folder/one", "state": "failed", "source": "files", "listeners": [] },
        ] });
        let text = table(&told, UnixTime::from_seconds(1_700_000_000));
        let expected = "\
NAMES                           STATE           SOURCE  ISSUER  EXPIRES                     RENEWAL                       LISTENERS
shop.example, www.shop.example  renewal-failed  acme    R3      2023-11-24 22:13 (in 10 d)  2023-11-14 22:23 (in 10 min)  secure
  ! 2023-11-14 21:56 challenge-failed: shop.example refused
localhost                       expired         files   -       2023-11-12 14:40 (2 d ago)  -                             -
folder/one                      failed          files   -       -                           -                             -
";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_certificates_are_said_to_be_none() {
        let now = UnixTime::from_seconds(0);
        assert_eq!(
            table(&json!({ "certificates": [] }), now),
            "no certificates\n"
        );
    }

    #[test]
    fn names_that_could_change_the_request_are_refused() {
        let sources = Sources {
            admin: Some(Listener::at(Place::Tcp(([127, 0, 0, 1], 1).into()))),
            state_dir: None,
        };
        for name in ["", "a b", "a/b", "a\r\nb", "a?b"] {
            assert!(
                matches!(sources.renew(name), Err(Failure::Usage(_))),
                "{name}"
            );
        }
    }
}
