//! Discovery: who knows the endpoints of an upstream is asked, again and again, on the control plane's runtime.
//!
//! ```text
//!           ┌─────── a new answer: told, if it differs ◄───────┐
//!  asking ──┤                                                  ├── waits for a change (time to live, long poll, event)
//!           └─► trouble: the last answer stays; asked again after a pause that grows ──► asking
//! ```
//!
//! Each source is a file: how it is asked, and a pure function from what it said to endpoints. Everything foreign is
//! bounded in bytes, count and time.

mod answer;
mod consul;
mod dns;
mod docker;
mod file;
mod http;
mod pause;
mod status;
mod watch;

pub use answer::FoundEndpoint;
pub use dns::DnsQuestion;
pub use status::DiscoveryStatus;
pub use watch::{Discoverer, DiscoveryRequest, Seeking};

use foregate_tls::ConnectorPlan;
use std::path::PathBuf;
use std::time::Duration;

/// Who is asked for what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The addresses of a name, all with this port.
    Dns {
        /// The name.
        host: Box<str>,
        /// The port.
        port: u16,
        /// How name servers are asked.
        question: DnsQuestion,
    },
    /// The SRV records of a name.
    Srv {
        /// The name.
        name: Box<str>,
        /// How name servers are asked.
        question: DnsQuestion,
    },
    /// A file, or the files of a folder.
    File(PathBuf),
    /// A Consul agent.
    Consul(ConsulQuestion),
    /// A Docker engine.
    Docker(DockerQuestion),
}

impl Source {
    /// Whether who is asked, and for what, is the same: then what was found stays good until there is a better answer,
    /// also when the way of asking has changed (a token, certificates, times to live).
    pub fn asks_the_same(&self, other: &Source) -> bool {
        match (self, other) {
            (
                Source::Dns {
                    host,
                    port,
                    question,
                },
                Source::Dns {
                    host: other_host,
                    port: other_port,
                    question: other,
                },
            ) => {
                (host, port, &question.name_servers)
                    == (other_host, other_port, &other.name_servers)
            }
            (
                Source::Srv { name, question },
                Source::Srv {
                    name: other_name,
                    question: other,
                },
            ) => (name, &question.name_servers) == (other_name, &other.name_servers),
            (Source::Consul(one), Source::Consul(other)) => one.subject() == other.subject(),
            (one, other) => one == other,
        }
    }
}

/// What a Consul agent is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsulQuestion {
    /// The agent's host.
    pub host: Box<str>,
    /// The agent's port.
    pub port: u16,
    /// The service's name.
    pub service: Box<str>,
    /// The tag that instances must have.
    pub tag: Option<Box<str>>,
    /// The datacenter.
    pub datacenter: Option<Box<str>>,
    /// What the agent is shown.
    pub token: Option<Box<str>>,
    /// How it is spoken to by TLS, if it is.
    pub tls: Option<Box<ConnectorPlan>>,
}

impl ConsulQuestion {
    /// Who is asked, and for what.
    fn subject(&self) -> (&str, u16, &str, Option<&str>, Option<&str>) {
        (
            &self.host,
            self.port,
            &self.service,
            self.tag.as_deref(),
            self.datacenter.as_deref(),
        )
    }
}

impl std::fmt::Debug for ConsulQuestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is nobody's business.
        f.debug_struct("ConsulQuestion")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// What a Docker engine is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DockerQuestion {
    /// Its socket.
    pub socket: PathBuf,
    /// The label that containers must have, `name` or `name=value`.
    pub label: Box<str>,
    /// The port inside containers.
    pub port: Option<u16>,
    /// The network in which they are reached.
    pub network: Option<Box<str>>,
}

/// How long anything may take that is not waiting for a change.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// For fuzzing and property tests: all endpoints that the readers of what others have written see in these bytes, as a
/// file, as an answer of Consul, and as one of Docker; and whether they see Docker events.
pub fn read_anything(bytes: &[u8]) -> (Vec<FoundEndpoint>, bool) {
    let question = DockerQuestion {
        socket: PathBuf::new(),
        label: "app".into(),
        port: Some(80),
        network: None,
    };
    let text = String::from_utf8_lossy(bytes);
    let read = [
        file::read(&text),
        consul::read(bytes),
        docker::read(bytes, &question),
    ];
    let found = read.into_iter().flatten().flatten().collect();
    (found, docker::events(&mut bytes.to_vec()) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_question_is_one_for_something_else() {
        let dns = |host: &str, server: &str, seconds| Source::Dns {
            host: host.into(),
            port: 80,
            question: DnsQuestion {
                name_servers: vec![server.parse().unwrap()],
                ttl_min: Duration::from_secs(seconds),
                ttl_max: Duration::from_secs(60),
            },
        };
        let consul = |service: &str, token: &str| {
            Source::Consul(ConsulQuestion {
                host: "127.0.0.1".into(),
                port: 8500,
                service: service.into(),
                tag: None,
                datacenter: None,
                token: Some(token.into()),
                tls: None,
            })
        };
        let first = dns("app", "192.0.2.1:53", 1);
        assert!(first.asks_the_same(&dns("app", "192.0.2.1:53", 2)));
        assert!(!first.asks_the_same(&dns("api", "192.0.2.1:53", 1)));
        assert!(!first.asks_the_same(&dns("app", "192.0.2.2:53", 1)));
        assert!(consul("shop", "one").asks_the_same(&consul("shop", "two")));
        assert!(!consul("shop", "one").asks_the_same(&consul("billing", "one")));
        assert!(!consul("shop", "one").asks_the_same(&first));
        let file = |path: &str| Source::File(path.into());
        assert!(file("/a").asks_the_same(&file("/a")));
        assert!(!file("/a").asks_the_same(&file("/b")));
    }
}
