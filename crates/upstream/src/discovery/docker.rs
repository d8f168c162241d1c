//! Docker: the engine's HTTP interface on its socket. Events say when to look, the list says what there is.

use super::answer::{Described, FoundEndpoint};
use super::http::{self, Peer, Streaming, encoded};
use super::{ANSWER_TIMEOUT, DockerQuestion};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// The version of the interface that is spoken; engines since 2020 know it.
const VERSION: &str = "v1.41";

/// The label by which a container says its port.
const PORT_LABEL: &str = "foregate.port";

/// The label by which a container says its weight.
const WEIGHT_LABEL: &str = "foregate.weight";

/// The label by which a container says where it stands.
const ZONE_LABEL: &str = "foregate.zone";

/// The label, with the value `true`, by which a container says that it takes requests only when others don't.
const BACKUP_LABEL: &str = "foregate.backup";

/// What the names of labels begin with that are the endpoint's.
const LABEL_PREFIX: &str = "foregate.label.";

/// Bytes of one event; one that is longer ends the conversation.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// How long is waited after an event for further ones, so that many containers that start together are one change.
const SETTLE: Duration = Duration::from_millis(100);

/// How often the list is looked at without an event: it would tell that the engine is gone.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Containers as they are being watched.
pub(super) struct DockerWatch {
    question: DockerQuestion,
    peer: Peer,
    events: Option<Streaming>,
    /// What has come of an event so far.
    begun: Vec<u8>,
}

impl DockerWatch {
    pub(super) fn new(question: DockerQuestion) -> DockerWatch {
        DockerWatch {
            peer: Peer::Unix(question.socket.clone()),
            question,
            events: None,
            begun: Vec::new(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Vec<FoundEndpoint>, String> {
        let found = self.look().await;
        if found.is_err() {
            self.events = None;
        }
        found.map_err(|trouble| format!("the Docker engine: {trouble}"))
    }

    async fn look(&mut self) -> Result<Vec<FoundEndpoint>, String> {
        match &self.events {
            Some(_) => self.wait().await?,
            None => {
                // Listened to before the list is asked for, so that no change falls in between.
                let target = events_target();
                self.begun.clear();
                let events = http::get(&self.peer, &target, None, ANSWER_TIMEOUT).await?;
                self.events = Some(events);
            }
        }
        let target = list_target(&self.question);
        let list = http::get(&self.peer, &target, None, ANSWER_TIMEOUT).await?;
        read(&http::body(list).await?, &self.question)
    }

    /// Waits for events, or for long enough.
    async fn wait(&mut self) -> Result<(), String> {
        let Ok(first) = timeout(LOOK_INTERVAL, self.event()).await else {
            return Ok(());
        };
        first?;
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    /// The next event; what it says does not matter.
    async fn event(&mut self) -> Result<(), String> {
        let events = self.events.as_mut().ok_or("nobody listens")?;
        while events_in(&mut self.begun) == 0 {
            let frame = events.body_mut().frame().await;
            let frame = frame.ok_or("it tells no more events")?;
            let frame = frame.map_err(|error| format!("the conversation broke off: {error}"))?;
            if let Some(data) = frame.data_ref() {
                self.begun.extend_from_slice(data);
            }
            if self.begun.len() > EVENT_BYTES_MAX {
                return Err("an event of it has no end".to_owned());
            }
        }
        Ok(())
    }
}

/// How many whole events there are in what has come; they are taken out.
pub(super) fn events(begun: &mut Vec<u8>) -> usize {
    events_in(begun)
}

fn events_in(begun: &mut Vec<u8>) -> usize {
    let Some(last) = begun.iter().rposition(|byte| *byte == b'\n') else {
        return 0;
    };
    let whole = begun.drain(..=last);
    whole.filter(|byte| *byte == b'\n').count()
}

fn events_target() -> String {
    let filters = json!({
        "type": ["container"],
        "event": ["start", "die", "pause", "unpause", "health_status", "destroy", "update"],
    });
    format!(
        "/{VERSION}/events?filters={}",
        encoded(&filters.to_string())
    )
}

fn list_target(question: &DockerQuestion) -> String {
    let filters = json!({ "label": [question.label], "status": ["running"] });
    let filters = encoded(&filters.to_string());
    format!("/{VERSION}/containers/json?filters={filters}")
}

#[derive(Deserialize)]
struct Container {
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "Status", default)]
    status: String,
    #[serde(rename = "Ports", default)]
    ports: Option<Vec<Port>>,
    #[serde(rename = "NetworkSettings", default)]
    settings: Option<Settings>,
}

#[derive(Deserialize)]
struct Port {
    #[serde(rename = "PrivatePort", default)]
    private: u16,
    #[serde(rename = "Type", default)]
    kind: String,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "Networks", default)]
    networks: Option<BTreeMap<String, Network>>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress", default)]
    ipv4: String,
    #[serde(rename = "GlobalIPv6Address", default)]
    ipv6: String,
}

/// The endpoints of a list. A container whose port or address can't be told is none, nor is one that is unhealthy.
pub(super) fn read(list: &[u8], question: &DockerQuestion) -> Result<Vec<FoundEndpoint>, String> {
    let containers: Vec<Container> =
        serde_json::from_slice(list).map_err(|error| format!("its answer is odd: {error}"))?;
    let mut found: Vec<FoundEndpoint> = containers
        .iter()
        .filter(|container| !container.status.contains("(unhealthy)"))
        .filter_map(|container| endpoint(container, question))
        .collect();
    found.sort();
    found.dedup_by(|one, other| one.authority == other.authority);
    Ok(found)
}

fn endpoint(container: &Container, question: &DockerQuestion) -> Option<FoundEndpoint> {
    let label = |name: &str| container.labels.as_ref()?.get(name);
    let port = match label(PORT_LABEL) {
        Some(port) => port.parse().ok()?,
        None => question.port.or_else(|| exposed(container))?,
    };
    let weight = label(WEIGHT_LABEL).and_then(|weight| weight.parse().ok());
    let networks = container.settings.as_ref()?.networks.as_ref()?;
    let address = match &question.network {
        Some(name) => networks.get(&**name).and_then(address)?,
        None => networks.values().find_map(address)?,
    };
    let said = container.labels.as_ref().map(described).unwrap_or_default();
    (port > 0).then(|| FoundEndpoint::new(address, port, weight.unwrap_or(1)).described(said))
}

/// What a container's labels say of it. What has no form that a configuration would take is left out.
fn described(labels: &BTreeMap<String, String>) -> Described {
    let is_true = |value: &String| value == "true";
    let mut said = Described::new(labels.get(BACKUP_LABEL).is_some_and(is_true));
    if let Some(zone) = labels.get(ZONE_LABEL) {
        let _ = said.zone(zone);
    }
    for (name, value) in labels {
        if let Some(name) = name.strip_prefix(LABEL_PREFIX) {
            let _ = said.label(name, value);
        }
    }
    said
}

fn address(network: &Network) -> Option<&str> {
    let both = [&network.ipv4, &network.ipv6].into_iter();
    let mut there = both.filter(|text| text.parse::<std::net::IpAddr>().is_ok());
    there.next().map(String::as_str)
}

/// The one TCP port that a container exposes.
fn exposed(container: &Container) -> Option<u16> {
    let ports = container.ports.as_ref()?.iter();
    let mut ports: Vec<u16> = ports
        .filter(|port| port.kind == "tcp")
        .map(|port| port.private)
        .collect();
    // A port that is published is listed once for each address.
    ports.sort_unstable();
    ports.dedup();
    match ports[..] {
        [port] => Some(port),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> DockerQuestion {
        DockerQuestion {
            socket: "/var/run/docker.sock".into(),
            label: "foregate.upstream=app".into(),
            port: None,
            network: None,
        }
    }

    #[test]
    fn containers_become_endpoints() {
        let list = br#"[
          {"Id":"1","Labels":{"foregate.weight":"3"},"State":"running","Status":"Up 2 hours (healthy)",
           "Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"IP":"::","PrivatePort":80,"Type":"tcp"}],
           "NetworkSettings":{"Networks":{"front":{"IPAddress":"172.18.0.2"},"back":{"IPAddress":"172.19.0.2"}}}},
          {"Id":"2","Labels":{"foregate.port":"9000"},"Status":"Up","NetworkSettings":{"Networks":{"front":{"IPAddress":"","GlobalIPv6Address":"fd00::2"}}}},
          {"Id":"3","Labels":{},"Status":"Up (unhealthy)","Ports":[{"PrivatePort":80,"Type":"tcp"}],"NetworkSettings":{"Networks":{"front":{"IPAddress":"172.18.0.4"}}}},
          {"Id":"4","Labels":null,"Status":"Up","Ports":[{"PrivatePort":80,"Type":"tcp"},{"PrivatePort":81,"Type":"tcp"}],"NetworkSettings":{"Networks":{"front":{"IPAddress":"172.18.0.5"}}}},
          {"Id":"5","Status":"Up","Ports":null}
        ]"#;
        let told = |question: &DockerQuestion| -> Vec<String> {
            let found = read(list, question).unwrap().into_iter();
            found
                .map(|one| format!("{} {}", one.authority, one.weight))
                .collect()
        };
        assert_eq!(told(&question()), ["172.19.0.2:80 3", "[fd00::2]:9000 1"]);
        let front = DockerQuestion {
            network: Some("front".into()),
            port: Some(81),
            ..question()
        };
        assert_eq!(
            told(&front),
            ["172.18.0.2:81 3", "172.18.0.5:81 1", "[fd00::2]:9000 1"]
        );
        assert!(read(b"{}", &question()).is_err());
    }

    #[test]
    fn labels_describe_a_container() {
        let list = br#"[{"Labels":{"foregate.upstream":"app","foregate.zone":"east","foregate.backup":"true",
            "foregate.label.version":"v2","foregate.label.":"x","foregate.port":"80","com.example":"y"},
            "NetworkSettings":{"Networks":{"front":{"IPAddress":"172.18.0.2"}}}}]"#;
        let found = read(list, &question()).unwrap();
        let attributes = &found[0].attributes;
        assert_eq!(attributes.zone.as_deref(), Some("east"));
        assert!(attributes.backup);
        assert_eq!(*attributes.labels, [("version".into(), "v2".into())]);
    }

    #[test]
    fn events_are_counted_line_by_line() {
        let mut begun = b"{\"Type\":".to_vec();
        assert_eq!(events(&mut begun), 0);
        begun.extend_from_slice(b"1}\n{}\n{\"");
        assert_eq!(events(&mut begun), 2);
        assert_eq!(begun, b"{\"");
    }
}
