//! `foregate connections`: the connections of a running gateway's clients, shown and ended over its admin listener.

use std::process::ExitCode;

use serde_json::Value;

use crate::admin::{Listener, Whom};
use crate::failure::Failure;
use crate::table;
use crate::terminal;

/// Show the connections of a running gateway's clients, and end some
///
/// Without a subcommand it shows them, each worker's oldest first, with what they do, since when, and
/// where the requests go that run on them.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Connections {
    #[command(flatten)]
    whom: Whom,

    #[command(flatten)]
    which: Which,

    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only those of this listener
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,

    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Option<String>,

    /// How many to show
    #[arg(long, value_name = "1-10000", default_value_t = 1000)]
    limit: u32,

    /// As the admin listener tells it
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Have one end: after the answers that are under way, or at once
    Close {
        /// As the table has it, such as 0-17
        id: String,
        /// Whatever runs on it; tunnels end no other way
        #[arg(long)]
        now: bool,
    },
}

/// What a connection can be about.
const STATES: [&str; 9] = [
    "proxy-header",
    "handshake",
    "tls-hello",
    "waiting",
    "reading-head",
    "in-exchange",
    "tunnel",
    "draining",
    "lingering",
];

impl Connections {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let listener = self.whom.listener()?;
        match &self.action {
            Some(Action::Close { id, now }) => close(&listener, id, *now)?,
            None => list(&listener, &self.which)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn close(listener: &Listener, id: &str, now: bool) -> Result<(), Failure> {
    let is_id = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || !id.bytes().all(is_id) {
        return Err(Failure::Usage(format!("`{id}` is no connection's id")));
    }
    let (status, told) = listener.send(&format!("DELETE /connections/{id}?now={now}"), "")?;
    match status {
        200 => Ok(()),
        _ => Err(refusal(&told)),
    }
}

fn refusal(told: &Value) -> Failure {
    let detail = told["detail"].as_str();
    let detail = detail.unwrap_or("the gateway's answer makes no sense");
    Failure::Failed(detail.to_owned())
}

/// What is asked for.
fn target(which: &Which) -> String {
    let mut target = format!("/connections?limit={}", which.limit);
    for (name, value) in [("listener", &which.listener), ("state", &which.state)] {
        let Some(value) = value else { continue };
        target.push_str(&format!("&{name}="));
        for byte in value.bytes() {
            match byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                true => target.push(char::from(byte)),
                false => target.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    target
}

fn list(listener: &Listener, which: &Which) -> Result<(), Failure> {
    let (status, told) = listener.send(&format!("GET {}", target(which)), "")?;
    if status != 200 {
        return Err(refusal(&told));
    }
    terminal::print(&match which.json {
        true => format!("{told:#}\n"),
        false => table(&told),
    })
}

/// A line for each connection, and one for those that are not shown.
fn table(told: &Value) -> String {
    let head = [
        "ID", "LISTENER", "CLIENT", "PROTOCOL", "TLS", "STATE", "AGE", "REQUESTS", "RUNNING",
        "ROUTE", "ENDPOINT",
    ];
    let mut rows: Vec<[String; 11]> = vec![head.map(str::to_owned)];
    let items = told["items"].as_array().map_or(&[][..], Vec::as_slice);
    rows.extend(items.iter().map(row));
    let mut text = table::aligned(&rows);
    let total = told["total"].as_u64().unwrap_or(0);
    let missing = total.saturating_sub(items.len() as u64);
    if missing > 0 {
        text.push_str(&format!("! {missing} more are not shown\n"));
    }
    if let Some(silent @ 1..) = told["silent_workers"].as_u64() {
        text.push_str(&format!("! {silent} workers did not answer in time\n"));
    }
    text
}

fn row(connection: &Value) -> [String; 11] {
    let text = |value: &Value| match value.as_str() {
        None | Some("") => "-".to_owned(),
        Some(text) => text.to_owned(),
    };
    let number = |key: &str| connection[key].as_u64().unwrap_or(0);
    let first = &connection["exchanges"][0];
    let route = match (first["site"].as_str(), first["route"].as_str()) {
        (Some(site), Some(route)) if !site.is_empty() => format!("{site} {route}"),
        (_, Some(route)) => route.to_owned(),
        _ => "-".to_owned(),
    };
    let endpoint = match (first["upstream"].as_str(), first["endpoint"].as_str()) {
        (Some(upstream), Some(endpoint)) => format!("{upstream} {endpoint}"),
        _ => "-".to_owned(),
    };
    [
        text(&connection["id"]),
        text(&connection["listener"]),
        text(&connection["client"]),
        text(&connection["protocol"]),
        text(&connection["tls"]["version"]),
        text(&connection["state"]),
        age(number("age_ms")),
        number("requests").to_string(),
        number("running").to_string(),
        route,
        endpoint,
    ]
}

/// In the largest unit that tells something.
fn age(millis: u64) -> String {
    match millis / 1000 {
        0 => format!("{millis} ms"),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_has_a_line_each_and_says_what_is_missing() {
        let told = json!({
            "total": 5, "offset": 0, "silent_workers": 1,
            "items": [
                { "id": "0-1", "listener": "web", "client": "192.0.2.1:40000", "protocol": "http/1.1", "state": "waiting", "closing": null, "tls": null, "age_ms": 12_345, "requests": 7, "running": 0, "exchanges": [] },
                { "id": "0-2", "listener": "web", "client": "[2001:db8::1]:1", "protocol": "h2", "state": "in-exchange", "closing": null, "tls": { "version": "TLSv1.3" }, "age_ms": 900, "requests": 1, "running": 2, "exchanges": [
                    { "for_ms": 3, "site": "a.example", "route": "api", "upstream": "app", "endpoint": "10.0.0.1:80" },
                    { "for_ms": 3, "site": null, "route": null, "upstream": null, "endpoint": null } ] },
                { "id": "1-1", "listener": "db", "client": "192.0.2.1:40001", "protocol": "tcp", "state": "tunnel", "closing": null, "tls": null, "age_ms": 7_200_000, "requests": 0, "running": 1, "exchanges": [
                    { "for_ms": 3, "site": "", "route": "db", "upstream": "db", "endpoint": "10.0.0.2:5432" } ] },
                { "id": "1-2", "listener": "web", "client": "192.0.2.1:40002", "protocol": null, "state": "handshake", "closing": null, "tls": null, "age_ms": 130_000, "requests": 0, "running": 0, "exchanges": [] },
            ],
        });
        let expected = "\
ID   LISTENER  CLIENT           PROTOCOL  TLS      STATE        AGE     REQUESTS  RUNNING  ROUTE          ENDPOINT
0-1  web       192.0.2.1:40000  http/1.1  -        waiting      12 s    7         0        -              -
0-2  web       [2001:db8::1]:1  h2        TLSv1.3  in-exchange  900 ms  1         2        a.example api  app 10.0.0.1:80
1-1  db        192.0.2.1:40001  tcp       -        tunnel       2 h     0         1        db             db 10.0.0.2:5432
1-2  web       192.0.2.1:40002  -         -        handshake    2 min   0         0        -              -
! 1 more are not shown
! 1 workers did not answer in time
";
        assert_eq!(table(&told), expected);
    }

    #[test]
    fn what_is_asked_for_holds_nothing_that_could_change_the_request() {
        let which = Which {
            listener: Some("a b&state=x".into()),
            state: Some("waiting".into()),
            limit: 5,
            json: false,
        };
        let expected = "/connections?limit=5&listener=a%20b%26state%3Dx&state=waiting";
        assert_eq!(target(&which), expected);
    }
}
