//! `foregate endpoints`: the endpoints of a running gateway, shown and changed over its admin listener.

use std::process::ExitCode;

use foregate_config::settings::ServerAddress;
use serde_json::{Value, json};

use crate::admin::{Listener, Whom};
use crate::failure::Failure;
use crate::table;
use crate::terminal;

/// Show and change the endpoints of a running gateway
///
/// A change is in force on every worker when the command ends; endpoints that stay keep their
/// connections. With `state_file` in the configuration changes survive a restart.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Endpoints {
    #[command(flatten)]
    whom: Whom,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Every endpoint and how it is
    List {
        /// Only those of this upstream
        upstream: Option<String>,
        /// As the admin listener tells it
        #[arg(long)]
        json: bool,
    },
    /// One more endpoint, or one that was removed
    Add {
        upstream: String,
        /// Such as 10.0.0.1:8080
        #[arg(value_name = "HOST:PORT")]
        endpoint: ServerAddress,
        /// Its share of requests relative to its siblings
        #[arg(long, value_name = "1-65535")]
        weight: Option<u32>,
    },
    /// One endpoint less; it finishes what it has
    Remove(Which),
    /// It finishes what it has and takes nothing new
    Drain(Which),
    /// It takes nothing
    Disable(Which),
    /// It takes requests again
    Enable(Which),
    /// Its share of requests relative to its siblings
    Weight {
        #[command(flatten)]
        which: Which,
        #[arg(value_name = "1-65535")]
        weight: u32,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    upstream: String,
    /// Such as 10.0.0.1:8080
    #[arg(value_name = "HOST:PORT")]
    endpoint: ServerAddress,
}

impl Endpoints {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let listener = self.whom.listener()?;
        let set = |which: &Which, change: Value| {
            let target = target(&which.upstream, Some(&which.endpoint))?;
            change_one(&listener, &format!("PATCH {target}"), &change.to_string())
        };
        match &self.action {
            Action::List { upstream, json } => list(&listener, upstream.as_deref(), *json)?,
            Action::Add {
                upstream,
                endpoint,
                weight,
            } => {
                let body = json!({ "address": endpoint.to_string(), "weight": weight });
                let request = format!("POST {}", target(upstream, None)?);
                change_one(&listener, &request, &body.to_string())?;
            }
            Action::Remove(which) => {
                let target = target(&which.upstream, Some(&which.endpoint))?;
                change_one(&listener, &format!("DELETE {target}"), "")?;
            }
            Action::Drain(which) => set(which, json!({ "state": "draining" }))?,
            Action::Disable(which) => set(which, json!({ "state": "disabled" }))?,
            Action::Enable(which) => set(which, json!({ "state": "enabled" }))?,
            Action::Weight { which, weight } => set(which, json!({ "weight": weight }))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where an upstream's endpoints, or one of them, are changed.
fn target(upstream: &str, endpoint: Option<&ServerAddress>) -> Result<String, Failure> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if upstream.is_empty() || !upstream.bytes().all(is_name) {
        return Err(Failure::Usage(format!(
            "`{upstream}` is no name of an upstream"
        )));
    }
    let endpoint = endpoint.map_or_else(String::new, |endpoint| {
        let escaped = endpoint.to_string().replace('[', "%5B").replace(']', "%5D");
        format!("/{escaped}")
    });
    Ok(format!("/upstreams/{upstream}/endpoints{endpoint}"))
}

fn change_one(listener: &Listener, request: &str, body: &str) -> Result<(), Failure> {
    let (status, told) = listener.send(request, body)?;
    match status {
        200 | 201 | 204 => Ok(()),
        _ => Err(refusal(&told)),
    }
}

fn refusal(told: &Value) -> Failure {
    let detail = told["detail"].as_str();
    Failure::Failed(
        detail
            .unwrap_or("the gateway's answer makes no sense")
            .to_owned(),
    )
}

fn list(listener: &Listener, upstream: Option<&str>, json: bool) -> Result<(), Failure> {
    let (status, told) = listener.send("GET /upstreams", "")?;
    let Some(all) = told["upstreams"].as_array().filter(|_| status == 200) else {
        return Err(refusal(&told));
    };
    let is_meant = |one: &&Value| upstream.is_none_or(|name| one["name"] == name);
    let meant: Vec<&Value> = all.iter().filter(is_meant).collect();
    if let (Some(name), true) = (upstream, meant.is_empty()) {
        return Err(Failure::Failed(format!("there is no upstream `{name}`")));
    }
    terminal::print(&match json {
        true => format!("{:#}\n", json!({ "upstreams": meant })),
        false => table(&meant),
    })
}

/// A line for each endpoint, and one for what is in the way of those who seek more.
fn table(upstreams: &[&Value]) -> String {
    let head = [
        "UPSTREAM", "ENDPOINT", "ADDRESS", "ORIGIN", "STATE", "WEIGHT", "RUNNING",
    ];
    let mut rows: Vec<[String; 7]> = vec![head.map(str::to_owned)];
    let mut troubles = String::new();
    let mut limits = String::new();
    for upstream in upstreams {
        let name = upstream["name"].as_str().unwrap_or("-");
        let endpoints = upstream["endpoints"].as_array();
        for endpoint in endpoints.map_or(&[][..], Vec::as_slice) {
            rows.push(row(name, endpoint));
        }
        limits.push_str(&limited(name, upstream));
        if let Some(trouble) = upstream["discovery"]["trouble"].as_str() {
            troubles.push_str(&format!("! {name}: {}\n", trouble.replace('\n', " ")));
        }
    }
    let text = table::aligned(&rows);
    text + &limits + &troubles
}

/// A line for an upstream that is limited as a whole: how much of each limit is used.
fn limited(name: &str, upstream: &Value) -> String {
    let used = |what: &str, count: &str, most: &str| {
        let (count, most) = (upstream[count].as_u64()?, upstream[most].as_u64()?);
        Some(format!("{count} of {most} {what}"))
    };
    let parts: Vec<String> = [
        used("requests", "requests", "requests_max"),
        used("tries again", "retries", "retries_max"),
        used("waiting", "queued", "queue_length_max"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("{name}: {}\n", parts.join(", ")),
    }
}

fn row(upstream: &str, endpoint: &Value) -> [String; 7] {
    let text = |key: &str| endpoint[key].as_str().unwrap_or("-").to_owned();
    let number = |key: &str| {
        endpoint[key]
            .as_u64()
            .map_or("-".to_owned(), |n| n.to_string())
    };
    let state = match (
        endpoint["state"].as_str(),
        endpoint["ejected_for_ms"].as_u64(),
    ) {
        (Some("enabled"), Some(ms)) => format!("ejected for {} s", ms.div_ceil(1000)),
        (Some("enabled"), None) if endpoint["available"] == false => "unavailable".to_owned(),
        (state, _) => state.unwrap_or("-").to_owned(),
    };
    [
        upstream.to_owned(),
        text("endpoint"),
        text("address"),
        text("origin"),
        state,
        number("weight"),
        number("in_flight"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_each_and_tells_trouble() {
        let upstream = json!({
            "name": "app",
            "endpoints": [
                { "endpoint": "a.internal:80", "address": "10.0.0.1:80", "origin": "dns", "state": "enabled", "available": true, "weight": 1, "in_flight": 12, "ejected_for_ms": null },
                { "endpoint": "b:80", "address": null, "origin": "api", "state": "enabled", "available": false, "weight": 3, "in_flight": 0, "ejected_for_ms": null },
                { "endpoint": "c:80", "address": "10.0.0.3:80", "origin": "config", "state": "enabled", "available": false, "weight": 1, "in_flight": 0, "ejected_for_ms": 1500 },
                { "endpoint": "d:80", "address": "10.0.0.4:80", "origin": "config", "state": "draining", "available": false, "weight": 1, "in_flight": 1, "ejected_for_ms": 9 },
            ],
            "requests": 13, "requests_max": null, "retries": 2, "retries_max": 20, "queued": 4, "queue_length_max": 500,
            "discovery": { "trouble": "a.internal: no name server\nanswers" },
        });
        let expected = "\
UPSTREAM  ENDPOINT       ADDRESS      ORIGIN  STATE            WEIGHT  RUNNING
app       a.internal:80  10.0.0.1:80  dns     enabled          1       12
app       b:80           -            api     unavailable      3       0
app       c:80           10.0.0.3:80  config  ejected for 2 s  1       0
app       d:80           10.0.0.4:80  config  draining         1       1
app: 2 of 20 tries again, 4 of 500 waiting
! app: a.internal: no name server answers
";
        assert_eq!(table(&[&upstream]), expected);
    }

    #[test]
    fn targets_hold_nothing_that_could_change_the_request() {
        let address: ServerAddress = "[::1]:80".parse().unwrap();
        let target = |name: &str| target(name, Some(&address));
        assert_eq!(
            target("app").unwrap(),
            "/upstreams/app/endpoints/%5B::1%5D:80"
        );
        for name in ["", "a b", "a/b", "a\r\nb", "a?b", "%41"] {
            assert!(matches!(target(name), Err(Failure::Usage(_))), "{name}");
        }
    }
}
