//! `foregate config`: what is in force in a running gateway, what was, and how the file on disk compares.

use std::process::ExitCode;

use serde_json::Value;

use crate::admin::{Listener, Whom};
use crate::apply::encode;
use crate::failure::Failure;
use crate::terminal;

/// Show the configuration of a running gateway, and its history
///
/// Without a subcommand: what is in force, since when, where it came from, whether it waits
/// for confirmation, and how the configuration file differs from it. Secrets are left out.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Config {
    #[command(flatten)]
    whom: Whom,

    /// As the admin listener tells it
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The configurations that were in force
    History,
    /// The text of a configuration
    Show(Which),
    /// Every value in force and where it comes from
    Values {
        /// Only those below these keys, such as upstreams.app
        under: Option<String>,
    },
    /// What a configuration changed against the one before it
    Diff(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Its number in the history; without it the one in force
    #[arg(value_name = "N")]
    id: Option<u64>,
}

impl Config {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let listener = self.whom.listener()?;
        let (target, tell): (String, fn(&Value) -> String) = match &self.action {
            None => ("/config".to_owned(), in_force),
            Some(Action::History) => ("/config/history".to_owned(), history),
            Some(Action::Show(which)) => (target(which), texts),
            Some(Action::Values { under }) => (values_of(under.as_deref()), values),
            Some(Action::Diff(which)) => (target(which), difference),
        };
        let told = ask(&listener, &target)?;
        terminal::print(&match self.json {
            true => format!("{told:#}\n"),
            false => tell(&told),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn target(which: &Which) -> String {
    let id = which.id;
    id.map_or_else(
        || "/config".to_owned(),
        |id| format!("/config/history/{id}"),
    )
}

fn values_of(under: Option<&str>) -> String {
    let under = under.map_or_else(String::new, |keys| format!("&under={}", encode(keys)));
    format!("/config/values?limit=10000{under}")
}

/// A line for each value, with its place.
fn values(told: &Value) -> String {
    let items = told["items"].as_array().map_or(&[][..], Vec::as_slice);
    let line = |item: &Value| {
        let place = match item["file"].as_str() {
            Some(file) => format!("{file}:{}", number(item, "line")),
            None => text(item, "from").to_owned(),
        };
        format!("{} = {}  # {place}\n", text(item, "path"), item["value"])
    };
    let mut out: String = items.iter().map(line).collect();
    let total = number(told, "total");
    if total > items.len() as u64 {
        out.push_str(&format!(
            "# the first {} of {total}: name keys to see fewer\n",
            items.len()
        ));
    }
    out
}

fn ask(listener: &Listener, target: &str) -> Result<Value, Failure> {
    let (status, told) = listener.send(&format!("GET {target}"), "")?;
    match (status, told["detail"].as_str()) {
        (200, _) => Ok(told),
        (_, detail) => Err(Failure::Failed(
            detail
                .unwrap_or("the gateway's answer makes no sense")
                .to_owned(),
        )),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("-")
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn in_force(told: &Value) -> String {
    let mut out = format!(
        "configuration {} from {}, by {} at {}\nsha256 {}\n",
        number(told, "id"),
        text(told, "from"),
        text(told, "cause"),
        time(number(told, "unix")),
        text(told, "sha256"),
    );
    if let Some(note) = told["note"].as_str() {
        out.push_str(&format!("note: {note}\n"));
    }
    let unconfirmed = &told["unconfirmed_apply"];
    if unconfirmed.is_object() {
        let seconds = number(unconfirmed, "returns_in_ms").div_ceil(1000);
        let before = number(unconfirmed, "returns_to");
        out.push_str(&format!(
            "unconfirmed: configuration {before} comes back in {seconds} s\n"
        ));
    }
    let drift = &told["drift"];
    out.push_str(&format!("{}\n", text(drift, "detail")));
    if let Some(difference) = drift["diff"].as_str() {
        out.push_str(difference);
    }
    out
}

fn history(told: &Value) -> String {
    let mut out = String::new();
    let versions = told["versions"].as_array();
    for version in versions.map_or(&[][..], Vec::as_slice).iter().rev() {
        let is = |what: &str| version[what] == true;
        let sign = match (is("unconfirmed"), is("in_force"), is("taken_back")) {
            (true, ..) => '?',
            (false, true, _) => '*',
            (false, false, true) => '-',
            (false, false, false) => ' ',
        };
        let digest = text(version, "sha256").get(..12).unwrap_or("-");
        let line = format!(
            "{sign} {:>4}  {}  {:8}  {digest:12}  {}  {}",
            number(version, "id"),
            time(number(version, "unix")),
            text(version, "cause"),
            text(version, "summary"),
            version["note"].as_str().unwrap_or_default(),
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn texts(told: &Value) -> String {
    let files = told["files"].as_array().map_or(&[][..], Vec::as_slice);
    let mut out = String::new();
    for file in files {
        if files.len() > 1 {
            out.push_str(&format!("# {}\n", text(file, "name")));
        }
        out.push_str(text(file, "text"));
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

fn difference(told: &Value) -> String {
    let lines = told["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut out: String = (lines.iter().filter_map(Value::as_str))
        .map(|line| format!("# {line}\n"))
        .collect();
    out.push_str(told["diff"].as_str().unwrap_or_default());
    out
}

/// A moment in UTC, from seconds since 1970 (proleptic Gregorian calendar).
fn time(unix: u64) -> String {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    // Days since 0000-03-01, so that a leap day ends its year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year_of_era + carry;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01 00:00:00Z");
        assert_eq!(time(951_782_399), "2000-02-28 23:59:59Z");
        assert_eq!(time(951_782_400), "2000-02-29 00:00:00Z");
        assert_eq!(time(1_764_201_600), "2025-11-27 00:00:00Z");
    }

    #[test]
    fn what_is_in_force_is_told_with_what_the_file_says() {
        let told = json!({
            "id": 3, "from": "a.toml", "cause": "apply", "unix": 0, "sha256": "ab", "note": "why",
            "unconfirmed_apply": { "returns_in_ms": 1500, "returns_to": 2 },
            "drift": { "state": "differs", "detail": "the file says otherwise", "diff": "-a\n+b\n" },
        });
        let expected = "configuration 3 from a.toml, by apply at 1970-01-01 00:00:00Z\nsha256 ab\nnote: why\nunconfirmed: configuration 2 comes back in 2 s\nthe file says otherwise\n-a\n+b\n";
        assert_eq!(in_force(&told), expected);
    }

    #[test]
    fn a_history_begins_with_the_newest() {
        let version = |id: u64, is_last: bool| {
            json!({ "id": id, "unix": 0, "cause": "start", "sha256": "0123456789abcdef",
                "summary": "1 route added", "note": null, "in_force": is_last, "unconfirmed": false,
                "taken_back": id == 2 })
        };
        let told = json!({ "versions": [version(1, false), version(2, false), version(3, true)] });
        let expected = "\
*    3  1970-01-01 00:00:00Z  start     0123456789ab  1 route added
-    2  1970-01-01 00:00:00Z  start     0123456789ab  1 route added
     1  1970-01-01 00:00:00Z  start     0123456789ab  1 route added
";
        assert_eq!(history(&told), expected);
    }
}
