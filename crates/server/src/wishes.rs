//! Wishes: what operators want of endpoints, beyond what the configuration says of them. They outlive reloads.

use foregate_admin::{EndpointChange, Refusal, RefusalKind};
use foregate_balance::AdminState;
use foregate_snapshot::EndpointPlan;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Endpoints of one upstream about which operators may have said something.
pub(crate) const WISHES_MAX: usize = 10_000;

/// Upstreams that no configuration in force names, and that wishes are kept for.
pub(crate) const ABSENT_MAX: usize = 1_000;

/// The largest weight of an endpoint, as configured ones have it.
pub(crate) const WEIGHT_MAX: u32 = 65_535;

/// What operators want of one endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wish {
    /// It was added.
    pub(crate) added: Option<EndpointPlan>,
    /// It is not to be there, whoever else says so.
    pub(crate) removed: bool,
    /// Its weight instead of what was said elsewhere.
    pub(crate) weight: Option<u32>,
    /// Whether it takes requests.
    pub(crate) state: AdminState,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish {
            added: None,
            removed: false,
            weight: None,
            state: AdminState::Enabled,
        }
    }
}

/// The wishes for an upstream's endpoints, by `host:port`.
pub(crate) type OfUpstream = BTreeMap<Box<str>, Wish>;

/// All wishes, by upstream.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Wishes(BTreeMap<Box<str>, OfUpstream>);

impl Wishes {
    /// The wishes for an upstream, if there are any.
    pub(crate) fn of(&self, upstream: &str) -> Option<&OfUpstream> {
        self.0.get(upstream)
    }

    /// Whether there are any at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The upstreams that wishes are for.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(AsRef::as_ref)
    }

    /// Forgets wishes for upstreams that are not there, where these are too many; names those that are forgotten.
    pub(crate) fn forget_surplus(&mut self, is_there: impl Fn(&str) -> bool) -> Vec<Box<str>> {
        let gone = self.0.keys().filter(|name| !is_there(name));
        let surplus: Vec<Box<str>> = gone.skip(ABSENT_MAX).cloned().collect();
        for name in &surplus {
            self.0.remove(name);
        }
        surplus
    }

    /// Takes a wish up. `is_there` says whether the endpoint is there at present.
    ///
    /// # Errors
    /// It makes no sense; nothing has changed then.
    pub(crate) fn change(
        &mut self,
        upstream: &str,
        authority: &str,
        change: &EndpointChange,
        is_there: bool,
    ) -> Result<(), Refusal> {
        let refuse = |kind, detail: String| Err(Refusal::new(kind, detail));
        if let EndpointChange::Add { weight: Some(w) }
        | EndpointChange::Set {
            weight: Some(w), ..
        } = change
            && !(1..=WEIGHT_MAX).contains(w)
        {
            let detail = format!("the weight {w} is not between 1 and {WEIGHT_MAX}");
            return refuse(RefusalKind::Invalid, detail);
        }
        let is_add = matches!(change, EndpointChange::Add { .. });
        if is_add && is_there {
            let detail = format!("`{upstream}` has the endpoint {authority} already");
            return refuse(RefusalKind::Conflict, detail);
        }
        if !is_add && !is_there {
            let detail = format!("`{upstream}` has no endpoint {authority}");
            return refuse(RefusalKind::NotFound, detail);
        }
        let wishes = self.0.entry(upstream.into()).or_default();
        if wishes.len() >= WISHES_MAX && !wishes.contains_key(authority) {
            let detail = format!("more than {WISHES_MAX} endpoints of `{upstream}` were changed");
            return refuse(RefusalKind::Conflict, detail);
        }
        let wish = wishes.entry(authority.into()).or_default();
        match change {
            EndpointChange::Add { weight } => {
                // What was removed and comes back is what it was, unless it is told apart.
                if !std::mem::take(&mut wish.removed) {
                    wish.added = EndpointPlan::parse(authority, 1);
                }
                wish.weight = *weight;
                wish.state = AdminState::Enabled;
            }
            EndpointChange::Remove => {
                let added = wish.added.take().is_some();
                *wish = Wish {
                    removed: !added,
                    ..Wish::default()
                };
            }
            EndpointChange::Set { weight, state } => {
                wish.weight = weight.or(wish.weight);
                wish.state = state.map_or(wish.state, admin_state);
            }
        }
        if *wish == Wish::default() {
            wishes.remove(authority);
        }
        if wishes.is_empty() {
            self.0.remove(upstream);
        }
        Ok(())
    }

    /// As they are written to a file.
    pub(crate) fn to_json(&self) -> Value {
        let one = |wish: &Wish| {
            json!({
                "added": wish.added.is_some(),
                "removed": wish.removed,
                "weight": wish.weight,
                "state": wish.state.name(),
            })
        };
        let of_upstream = |wishes: &OfUpstream| {
            let all = wishes
                .iter()
                .map(|(key, wish)| (key.to_string(), one(wish)));
            Value::Object(all.collect())
        };
        let all = (self.0.iter()).map(|(name, wishes)| (name.to_string(), of_upstream(wishes)));
        Value::Object(all.collect())
    }

    /// As they were written to a file.
    ///
    /// # Errors
    /// The first thing that is not as it is written.
    pub(crate) fn from_json(value: &Value) -> Result<Wishes, String> {
        let mut wishes = Wishes::default();
        for (upstream, entries) in object(value)? {
            let mut of_upstream = OfUpstream::new();
            for (authority, wish) in object(entries)?.iter().take(WISHES_MAX) {
                let read = read(authority, wish);
                let read = read.ok_or_else(|| format!("no wish for {authority}: {wish}"))?;
                of_upstream.insert(authority.as_str().into(), read);
            }
            wishes.0.insert(upstream.as_str().into(), of_upstream);
        }
        Ok(wishes)
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| "an object is expected".to_owned())
}

fn read(authority: &str, wish: &Value) -> Option<Wish> {
    let weight = match &wish["weight"] {
        Value::Null => None,
        weight => Some(u32::try_from(weight.as_u64()?).ok()?),
    };
    if weight.is_some_and(|weight| !(1..=WEIGHT_MAX).contains(&weight)) {
        return None;
    }
    let state = wish["state"].as_str()?;
    Some(Wish {
        added: match wish["added"].as_bool()? {
            true => Some(EndpointPlan::parse(authority, 1)?),
            false => None,
        },
        removed: wish["removed"].as_bool()?,
        weight,
        state: [
            AdminState::Enabled,
            AdminState::Draining,
            AdminState::Disabled,
        ]
        .into_iter()
        .find(|one| one.name() == state)?,
    })
}

fn admin_state(state: foregate_admin::EndpointState) -> AdminState {
    match state {
        foregate_admin::EndpointState::Enabled => AdminState::Enabled,
        foregate_admin::EndpointState::Draining => AdminState::Draining,
        foregate_admin::EndpointState::Disabled => AdminState::Disabled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_admin::EndpointState;

    const ADD: EndpointChange = EndpointChange::Add { weight: None };

    fn set(weight: Option<u32>, state: Option<EndpointState>) -> EndpointChange {
        EndpointChange::Set { weight, state }
    }

    #[track_caller]
    fn refused(outcome: Result<(), Refusal>, kind: RefusalKind) {
        assert_eq!(outcome.unwrap_err().kind, kind);
    }

    #[test]
    fn what_was_added_and_removed_leaves_nothing() {
        let mut wishes = Wishes::default();
        wishes.change("app", "10.0.0.1:80", &ADD, false).unwrap();
        assert!(wishes.of("app").unwrap()["10.0.0.1:80"].added.is_some());
        let remove = EndpointChange::Remove;
        wishes.change("app", "10.0.0.1:80", &remove, true).unwrap();
        assert!(wishes.is_empty());
    }

    #[test]
    fn a_configured_endpoint_that_was_removed_comes_back_as_it_was() {
        let mut wishes = Wishes::default();
        let remove = EndpointChange::Remove;
        wishes
            .change("app", "a:80", &set(Some(7), None), true)
            .unwrap();
        wishes.change("app", "a:80", &remove, true).unwrap();
        assert!(wishes.of("app").unwrap()["a:80"].removed);
        wishes.change("app", "a:80", &ADD, false).unwrap();
        assert!(wishes.is_empty(), "{wishes:?}");
    }

    #[test]
    fn senseless_wishes_change_nothing() {
        let mut wishes = Wishes::default();
        refused(
            wishes.change("app", "a:80", &ADD, true),
            RefusalKind::Conflict,
        );
        let remove = EndpointChange::Remove;
        refused(
            wishes.change("app", "a:80", &remove, false),
            RefusalKind::NotFound,
        );
        for weight in [0, 65_536] {
            let outcome = wishes.change("app", "a:80", &set(Some(weight), None), true);
            refused(outcome, RefusalKind::Invalid);
        }
        assert!(wishes.is_empty());
    }

    #[test]
    fn wishes_survive_their_file() {
        let mut wishes = Wishes::default();
        wishes.change("app", "a:80", &ADD, false).unwrap();
        let draining = set(Some(3), Some(EndpointState::Draining));
        wishes.change("app", "b:80", &draining, true).unwrap();
        wishes
            .change("spare", "c:80", &EndpointChange::Remove, true)
            .unwrap();
        let text = wishes.to_json().to_string();
        let read = Wishes::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(read, wishes);
    }

    #[test]
    fn wishes_wait_for_their_upstream_up_to_a_bound() {
        let mut wishes = Wishes::default();
        for number in 0..=ABSENT_MAX {
            let name = format!("u{number:05}");
            wishes.change(&name, "a:80", &ADD, false).unwrap();
        }
        wishes.change("zebra", "a:80", &ADD, false).unwrap();
        let forgotten = wishes.forget_surplus(|name| name == "zebra");
        assert_eq!(forgotten, [format!("u{ABSENT_MAX:05}").into()]);
        assert!(wishes.of("zebra").is_some() && wishes.of("u00000").is_some());
        assert!(wishes.forget_surplus(|_| false).len() == 1);
    }

    #[test]
    fn broken_files_are_refused() {
        for text in [
            "[]",
            r#"{"app":1}"#,
            r#"{"app":{"a:80":{}}}"#,
            r#"{"app":{"a:80":{"added":true,"removed":false,"weight":0,"state":"enabled"}}}"#,
            r#"{"app":{"a":{"added":true,"removed":false,"weight":1,"state":"enabled"}}}"#,
            r#"{"app":{"a:80":{"added":true,"removed":false,"weight":1,"state":"asleep"}}}"#,
        ] {
            let value = serde_json::from_str(text).unwrap();
            assert!(Wishes::from_json(&value).is_err(), "{text}");
        }
    }
}
