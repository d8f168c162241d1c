//! Consul: the health endpoint with blocking queries.

use super::answer::{Described, FoundEndpoint};
use super::http::{self, Peer, encoded};
use super::{ANSWER_TIMEOUT, ConsulQuestion};
use foregate_tls::Connector;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the agent may keep a question before it answers with what it answered before.
const WAIT: Duration = Duration::from_secs(60);

/// Between two questions at least, whatever the agent says.
const APART: Duration = Duration::from_millis(100);

/// Between two questions to an agent that keeps none, as it tells no version of its answers.
const POLL: Duration = Duration::from_secs(3);

/// A service as it is being watched.
pub(super) struct ConsulWatch {
    question: ConsulQuestion,
    /// Or why nobody can be asked.
    peer: Result<Peer, String>,
    /// The version of the last answer; 0 for none.
    index: u64,
    /// How long is waited before the next question.
    pause: Duration,
}

impl ConsulWatch {
    pub(super) fn new(question: ConsulQuestion) -> ConsulWatch {
        let (host, port) = (question.host.clone(), question.port);
        let peer = match question.tls.as_deref().map(Connector::new) {
            None => Ok(Peer::Tcp(host, port)),
            Some(Ok(connector)) => Ok(Peer::Tls(host, port, connector)),
            Some(Err(fault)) => Err(fault.to_string()),
        };
        ConsulWatch {
            peer,
            question,
            index: 0,
            pause: Duration::ZERO,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Vec<FoundEndpoint>, String> {
        tokio::time::sleep(self.pause).await;
        let answer = self.ask().await;
        if answer.is_err() {
            // Whoever comes back may have begun to count anew. How long is waited after trouble is up to who asks for it.
            (self.index, self.pause) = (0, Duration::ZERO);
        }
        answer.map_err(|trouble| format!("the Consul agent: {trouble}"))
    }

    async fn ask(&mut self) -> Result<Vec<FoundEndpoint>, String> {
        let target = target(&self.question, self.index);
        // The agent adds up to a sixteenth to what it was asked to wait.
        let patience = match self.index {
            0 => ANSWER_TIMEOUT,
            _ => WAIT + WAIT / 16 + ANSWER_TIMEOUT,
        };
        let token = self.question.token.as_deref();
        let answer = http::get(self.peer.as_ref()?, &target, token, patience).await?;
        let index = answer.headers().get("X-Consul-Index");
        let index = index.and_then(|index| index.to_str().ok()?.parse().ok());
        let found = read(&http::body(answer).await?)?;
        (self.index, self.pause) = follow(index, self.index);
        Ok(found)
    }
}

/// What is asked for after an answer of version `told`, where `known` was the one before, and when.
fn follow(told: Option<u64>, known: u64) -> (u64, Duration) {
    match told {
        Some(told @ 1..) if told >= known => (told, APART),
        // One that goes back belongs to another history.
        Some(1..) => (0, APART),
        _ => (0, POLL),
    }
}

fn target(question: &ConsulQuestion, index: u64) -> String {
    let mut target = format!(
        "/v1/health/service/{}?passing=1",
        encoded(&question.service)
    );
    if let Some(tag) = &question.tag {
        target.push_str(&format!("&tag={}", encoded(tag)));
    }
    if let Some(datacenter) = &question.datacenter {
        target.push_str(&format!("&dc={}", encoded(datacenter)));
    }
    if index > 0 {
        target.push_str(&format!("&index={index}&wait={}s", WAIT.as_secs()));
    }
    target
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "Node")]
    node: Option<Node>,
    #[serde(rename = "Service")]
    service: Service,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "Address", default)]
    address: String,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "Address", default)]
    address: String,
    #[serde(rename = "Port", default)]
    port: u16,
    #[serde(rename = "Weights")]
    weights: Option<Weights>,
    #[serde(rename = "Tags", default)]
    tags: Option<Vec<String>>,
    #[serde(rename = "Meta", default)]
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Weights {
    #[serde(rename = "Passing", default)]
    passing: u32,
}

/// The endpoints of an answer. A service without an address of its own has its node's; one without a port is none. What
/// its metadata and its tags of the form `name=value` say is its zone, whether it is a backup, and its labels; what has
/// no form that a configuration would take is left out.
pub(super) fn read(answer: &[u8]) -> Result<Vec<FoundEndpoint>, String> {
    let entries: Vec<Entry> =
        serde_json::from_slice(answer).map_err(|error| format!("its answer is odd: {error}"))?;
    let mut found: Vec<FoundEndpoint> = entries.into_iter().filter_map(endpoint).collect();
    found.sort();
    found.dedup_by(|one, other| one.authority == other.authority);
    Ok(found)
}

fn endpoint(entry: Entry) -> Option<FoundEndpoint> {
    let Service {
        address,
        port,
        weights,
        tags,
        meta,
    } = entry.service;
    let host = match address.is_empty() {
        true => entry.node?.address,
        false => address,
    };
    let weight = weights.map_or(1, |weights| weights.passing);
    let said = described(&tags.unwrap_or_default(), &meta.unwrap_or_default());
    let is_one = port > 0 && !host.is_empty();
    is_one.then(|| FoundEndpoint::new(&host, port, weight).described(said))
}

fn described(tags: &[String], meta: &BTreeMap<String, String>) -> Described {
    let mut said = Described::default();
    let tags = (tags.iter()).filter_map(|tag| match tag.as_str() {
        "backup" => Some(("backup", "true")),
        tag => tag.split_once('='),
    });
    let meta = (meta.iter()).map(|(name, value)| (name.as_str(), value.as_str()));
    // Metadata comes last, and so counts where both say something.
    for (name, value) in tags.chain(meta) {
        // What is odd is as good as not said.
        let _ = match name {
            "zone" => said.zone(value),
            "backup" => {
                said.backup(value == "true");
                Ok(())
            }
            _ => said.label(name, value),
        };
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_become_endpoints() {
        let answer = br#"[
            {"Node":{"Node":"b","Address":"10.0.0.2"},"Service":{"Service":"app","Address":"","Port":80,"Weights":{"Passing":3,"Warning":1}},"Checks":[]},
            {"Node":{"Address":"10.0.0.9"},"Service":{"Address":"fd00::1","Port":81}},
            {"Node":{"Address":"10.0.0.3"},"Service":{"Address":"10.0.0.4","Port":0}},
            {"Service":{"Address":"fd00::1","Port":81,"Weights":{"Passing":0}}},
            {"Service":{"Port":81}}
        ]"#;
        let found = read(answer).unwrap();
        let expected = [
            FoundEndpoint::new("10.0.0.2", 80, 3),
            FoundEndpoint::new("fd00::1", 81, 1),
        ];
        assert_eq!(found, expected);
        assert_eq!(read(b"[]").unwrap(), []);
        for odd in [&b""[..], b"{}", b"[1]", b"[{\"Service\":{\"Port\":70000}}]"] {
            assert!(read(odd).is_err());
        }
    }

    #[test]
    fn tags_and_metadata_describe_an_instance() {
        let answer = br#"[
            {"Service":{"Address":"10.0.0.1","Port":80,"Tags":["zone=east","backup","version=v1","plain","a b=c"],
                "Meta":{"version":"v2","zone":"west","odd name":"x"}}},
            {"Service":{"Address":"10.0.0.2","Port":80,"Tags":null,"Meta":{"backup":"true","zone":"no zone"}}}
        ]"#;
        let found = read(answer).unwrap();
        let first = &found[0].attributes;
        assert_eq!((first.zone.as_deref(), first.backup), (Some("west"), true));
        assert_eq!(*first.labels, [("version".into(), "v2".into())]);
        let second = &found[1].attributes;
        assert_eq!((second.zone.as_deref(), second.backup), (None, true));
        assert!(second.labels.is_empty());
    }

    #[test]
    fn no_answer_is_followed_by_a_question_at_once() {
        assert_eq!(follow(Some(7), 0), (7, APART));
        assert_eq!(follow(Some(7), 7), (7, APART));
        assert_eq!(follow(Some(6), 7), (0, APART));
        assert_eq!(follow(Some(0), 7), (0, POLL));
        assert_eq!(follow(None, 7), (0, POLL));
    }

    #[test]
    fn questions_are_escaped() {
        let question = ConsulQuestion {
            host: "127.0.0.1".into(),
            port: 8500,
            service: "a/b".into(),
            tag: Some("x y".into()),
            datacenter: Some("eu".into()),
            token: None,
            tls: None,
        };
        assert_eq!(
            target(&question, 7),
            "/v1/health/service/a%2Fb?passing=1&tag=x%20y&dc=eu&index=7&wait=60s"
        );
    }
}
