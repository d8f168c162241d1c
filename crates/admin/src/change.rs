//! What can be changed, and why it was not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether an endpoint takes requests, as far as operators are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointState {
    /// It takes requests.
    Enabled,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It takes nothing.
    Disabled,
}

impl EndpointState {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            EndpointState::Enabled => "enabled",
            EndpointState::Draining => "draining",
            EndpointState::Disabled => "disabled",
        }
    }
}

/// A change of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointChange {
    /// It is there from now on. One that was removed comes back.
    Add {
        /// Its share relative to its siblings'; `None` for what else is said of it, or 1.
        weight: Option<u32>,
    },
    /// It is there no more, whoever else says that it is. What it works on it finishes.
    Remove,
    /// Parts of it are different.
    Set {
        /// Its share relative to its siblings'.
        weight: Option<u32>,
        /// Whether it takes requests.
        state: Option<EndpointState>,
    },
}

impl fmt::Display for EndpointChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, weight, state) = match self {
            EndpointChange::Add { weight } => ("added", *weight, None),
            EndpointChange::Remove => ("removed", None, None),
            EndpointChange::Set { weight, state } => ("", *weight, *state),
        };
        f.write_str(word)?;
        let mut space = if word.is_empty() { "" } else { " " };
        if let Some(state) = state {
            write!(f, "{space}{}", state.name())?;
            space = " ";
        }
        match weight {
            Some(weight) => write!(f, "{space}weight {weight}"),
            None => Ok(()),
        }
    }
}

/// An endpoint that is to be there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEndpoint {
    /// `ip:port`, `[ipv6]:port` or `name:port`.
    pub address: String,
    /// Its share of requests relative to its siblings, 1 to 65535; without it 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// What is to be different about an endpoint; what is not said stays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEndpoint {
    /// Its share of requests relative to its siblings, 1 to 65535.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Whether it takes requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<EndpointState>,
}

/// Why something was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalKind {
    /// What it is about is not there.
    NotFound,
    /// It does not go with what is there.
    Conflict,
    /// A successor is being started, which would not know of it.
    Upgrading,
    /// It makes no sense.
    Invalid,
    /// It is noted, and not in force everywhere yet.
    Pending,
    /// It was tried and came to nothing.
    Failed,
}

impl RefusalKind {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            RefusalKind::NotFound => "not-found",
            RefusalKind::Conflict => "conflict",
            RefusalKind::Upgrading => "upgrading",
            RefusalKind::Invalid => "invalid",
            RefusalKind::Pending => "pending",
            RefusalKind::Failed => "failed",
        }
    }
}

/// Nothing was changed, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What kind of reason it is.
    pub kind: RefusalKind,
    /// The reason, for people.
    pub detail: String,
}

impl Refusal {
    /// Nothing was changed.
    pub fn new(kind: RefusalKind, detail: String) -> Refusal {
        Refusal { kind, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_a_few_words() {
        let set = |weight, state| EndpointChange::Set { weight, state }.to_string();
        assert_eq!(
            set(Some(3), Some(EndpointState::Draining)),
            "draining weight 3"
        );
        assert_eq!(set(None, Some(EndpointState::Disabled)), "disabled");
        assert_eq!(set(Some(3), None), "weight 3");
        assert_eq!(EndpointChange::Remove.to_string(), "removed");
        let added = EndpointChange::Add { weight: Some(2) };
        assert_eq!(added.to_string(), "added weight 2");
    }
}
