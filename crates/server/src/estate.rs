//! What a process leaves to its successor beside its sockets: what it has learnt, and secrets that no file keeps.

use crate::fleet::{self, Fleet};
use foregate_balance::{EjectionCause, Health, Memory};
use foregate_telemetry::clock::now;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use zeroize::Zeroizing;

/// Everything that is passed on but the sockets.
#[derive(Default)]
pub(crate) struct Estate {
    /// What was changed through the admin API.
    pub(crate) wishes: Value,
    /// The configurations of before.
    pub(crate) history: Value,
    /// What is known of endpoints: see [`learnt`].
    pub(crate) learnt: Value,
    /// Secrets: see [`Secrets`]. Wiped when dropped, as every copy of them is.
    pub(crate) secrets: Zeroizing<Vec<u8>>,
}

/// What is known of every endpoint that anything is known of, by upstream.
pub(crate) fn learnt(fleet: &Fleet) -> Value {
    let now_ms = now().millis();
    let groups = fleet.groups();
    let upstreams = groups.iter().map(|(name, group)| {
        let known: Vec<Value> = group
            .endpoints()
            .map(|(member, endpoint)| (member, endpoint.memory(now_ms)))
            .filter(|(_, memory)| *memory != Memory::default())
            .map(|(member, memory)| {
                let address = member.address.map(|at| at.to_string());
                json!([&*member.endpoint.authority, address, written(&memory)])
            })
            .collect();
        (name.to_string(), Value::Array(known))
    });
    Value::Object(upstreams.collect())
}

/// Tells endpoints what a predecessor knew of them. What it knew of others, or says in another way, is nothing.
pub(crate) fn recall(fleet: &Fleet, learnt: &Value) {
    let now_ms = now().millis();
    for (name, group) in fleet.groups() {
        let Some(known) = learnt[&*name].as_array() else {
            continue;
        };
        let known: HashMap<(Option<&str>, Option<&str>), &Value> = known
            .iter()
            .map(|one| ((one[0].as_str(), one[1].as_str()), &one[2]))
            .collect();
        let is_probed = group.plan().probe.is_some();
        for (member, endpoint) in group.endpoints() {
            let address = member.address.map(|at| at.to_string());
            let key = (Some(&*member.endpoint.authority), address.as_deref());
            let Some(mut memory) = known.get(&key).and_then(|value| read(value)) else {
                continue;
            };
            if !is_probed {
                // Nobody would ever find it well again.
                memory.health = Health::Unknown;
            }
            endpoint.recall(&memory, now_ms);
        }
    }
}

const CAUSES: [EjectionCause; 4] = [
    EjectionCause::ConsecutiveFailures,
    EjectionCause::ConsecutiveGatewayErrors,
    EjectionCause::FailureRate,
    EjectionCause::Latency,
];

fn written(memory: &Memory) -> Value {
    json!({
        "health": memory.health.name(),
        "failures": memory.consecutive_failures,
        "gateway_errors": memory.consecutive_gateway_errors,
        "ejected_for_ms": memory.ejected.map(|(for_ms, _)| for_ms),
        "ejection_cause": memory.ejected.map(|(_, cause)| cause.name()),
        "ejections": memory.ejections,
        "latency_us": memory.latency_micros,
    })
}

fn read(value: &Value) -> Option<Memory> {
    let number = |name: &str| {
        let number = value[name].as_u64().unwrap_or(0);
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let healths = [Health::Unknown, Health::Healthy, Health::Unhealthy];
    let health = value["health"].as_str()?;
    let cause = value["ejection_cause"].as_str();
    let cause = CAUSES.into_iter().find(|one| Some(one.name()) == cause);
    Some(Memory {
        health: healths.into_iter().find(|one| one.name() == health)?,
        consecutive_failures: number("failures"),
        consecutive_gateway_errors: number("gateway_errors"),
        ejected: value["ejected_for_ms"].as_u64().zip(cause),
        ejections: number("ejections"),
        latency_micros: value["latency_us"].as_u64(),
    })
}

/// The form of secrets that are passed on.
const SECRETS_FORM: u8 = 1;

/// Secrets that only processes know, each as its length in one byte pair and its bytes.
#[derive(Default)]
pub(crate) struct Secrets {
    /// What cookies of sessions are sealed with where the configuration names no secret; may be empty.
    pub(crate) sessions: Zeroizing<Vec<u8>>,
    /// The keys of session tickets where the configuration names no file; may be empty.
    pub(crate) tickets: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Those of this process.
    pub(crate) fn own(tickets: Option<Zeroizing<Vec<u8>>>) -> Secrets {
        let sessions = fleet::own_secret().map(|secret| Zeroizing::new(secret.to_vec()));
        Secrets {
            sessions: sessions.unwrap_or_default(),
            tickets: tickets.unwrap_or_default(),
        }
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let parts = [&self.sessions, &self.tickets];
        let room = 1 + parts.iter().map(|part| 2 + part.len()).sum::<usize>();
        // As large as it will be: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        bytes.push(SECRETS_FORM);
        for part in parts {
            let length = u16::try_from(part.len()).unwrap_or(0);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&part[..usize::from(length)]);
        }
        bytes
    }

    /// Reads what came; nothing when that is of another form.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Secrets> {
        let (&SECRETS_FORM, rest) = bytes.split_first()? else {
            return None;
        };
        let (sessions, rest) = part(rest)?;
        let (tickets, rest) = part(rest)?;
        rest.is_empty().then_some(Secrets { sessions, tickets })
    }
}

fn part(bytes: &[u8]) -> Option<(Zeroizing<Vec<u8>>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((Zeroizing::new(part.to_vec()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_is_read_as_it_was_written() {
        for ejected in [None, Some((17, EjectionCause::FailureRate))] {
            let memory = Memory {
                health: Health::Unhealthy,
                consecutive_failures: 4,
                consecutive_gateway_errors: 1,
                ejected,
                ejections: 2,
                latency_micros: Some(1_234),
            };
            assert_eq!(read(&written(&memory)), Some(memory));
        }
        assert_eq!(read(&json!({ "health": "splendid" })), None);
        assert_eq!(read(&Value::Null), None);
    }

    #[test]
    fn secrets_are_read_as_they_were_written_and_nothing_else_is() {
        let secrets = Secrets {
            sessions: Zeroizing::new(vec![1; 32]),
            tickets: Zeroizing::new(vec![2; 73]),
        };
        let bytes = secrets.to_bytes();
        let read = Secrets::from_bytes(&bytes).unwrap();
        assert_eq!((read.sessions.len(), &read.tickets[..]), (32, &[2; 73][..]));
        for end in 0..bytes.len() {
            assert!(Secrets::from_bytes(&bytes[..end]).is_none(), "{end} bytes");
        }
        assert!(Secrets::from_bytes(&[&bytes[..], &[0]].concat()).is_none());
        assert!(Secrets::from_bytes(&[9, 0, 0, 0, 0]).is_none());
    }
}
