//! Which endpoints an upstream has: what its configuration says, what was found, and what operators have said since.

use super::lookup::{Addresses, Name};
use crate::discovery::{Finds, Found, Question};
use crate::wishes::Wishes;
use foregate_balance::AdminState;
use foregate_snapshot::{EndpointPlan, UpstreamPlan};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Who says that there is an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// The configuration.
    Config,
    /// The admin API.
    Api,
    /// Somebody who was asked, by the name of the source's kind.
    Found(&'static str),
}

impl Origin {
    /// The stable name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Origin::Config => "config",
            Origin::Api => "api",
            Origin::Found(kind) => kind,
        }
    }
}

/// One endpoint as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) endpoint: EndpointPlan,
    /// Where it listens; `None` while its name does not resolve.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) origin: Origin,
    pub(crate) admin: AdminState,
}

/// What an endpoint's state is kept by, in its upstream.
pub(crate) type Key = (Arc<str>, Option<SocketAddr>);

/// An endpoint, its address if whoever named it knows it, and who that was.
type Named = (EndpointPlan, Option<SocketAddr>, Origin);

impl Member {
    pub(crate) fn key(&self) -> Key {
        (Arc::clone(&self.endpoint.authority), self.address)
    }
}

/// What is known about endpoints beside the configuration. The control thread's own.
#[derive(Default)]
pub(crate) struct Roster {
    pub(crate) addresses: Addresses,
    /// What was found last, by upstream, and what was asked for.
    found: HashMap<Arc<str>, (Question, Found)>,
    pub(crate) wishes: Wishes,
}

impl Roster {
    /// The endpoints of an upstream before names are resolved: those of its configuration, then those that were found,
    /// then those that were added.
    fn named(&self, plan: &UpstreamPlan) -> Vec<Named> {
        let mut named: Vec<Named> = (plan.endpoints.iter())
            .map(|endpoint| (endpoint.clone(), None, Origin::Config))
            .collect();
        if let (Some(discovery), Some((_, found))) = (&plan.discovery, self.found.get(&plan.name)) {
            let origin = Origin::Found(discovery.source.name());
            named.extend(
                found
                    .iter()
                    .map(|(endpoint, at)| (endpoint.clone(), *at, origin)),
            );
        }
        let Some(wishes) = self.wishes.of(&plan.name) else {
            return named;
        };
        let added = wishes.values().filter_map(|wish| wish.added.clone());
        named.extend(added.map(|endpoint| (endpoint, None, Origin::Api)));
        named
    }

    /// Takes up what was found, and forgets what was found in answer to other questions than those that are asked now.
    pub(crate) fn take_up(&mut self, finds: Finds) {
        let Finds { asked, found } = finds;
        for (name, found) in found {
            if let Some(&question) = asked.get(&name) {
                self.found.insert(name, (question, found));
            }
        }
        self.found
            .retain(|name, (question, _)| asked.get(name) == Some(question));
    }

    /// The names that must be resolved for an upstream.
    pub(crate) fn names(&self, plan: &UpstreamPlan) -> Vec<Name> {
        let is_name = |endpoint: &EndpointPlan| literal(endpoint).is_none();
        let named = self.named(plan).into_iter();
        named
            .filter(|(endpoint, at, _)| at.is_none() && is_name(endpoint))
            .map(|(endpoint, ..)| (endpoint.host, endpoint.port))
            .collect()
    }

    /// The endpoints of an upstream as they should be now. A name with several addresses is as many endpoints; one
    /// without any is one that can't be reached.
    pub(crate) fn members(&self, plan: &UpstreamPlan) -> Vec<Member> {
        let wishes = self.wishes.of(&plan.name);
        let mut seen = HashSet::new();
        let mut members = Vec::new();
        for (mut endpoint, at, origin) in self.named(plan) {
            let wish = wishes.and_then(|wishes| wishes.get(&*endpoint.authority));
            if wish.is_some_and(|wish| wish.removed) {
                continue;
            }
            if let Some(weight) = wish.and_then(|wish| wish.weight) {
                endpoint.weight = weight;
            }
            let admin = wish.map_or(AdminState::Enabled, |wish| wish.state);
            let places = match at {
                Some(_) => vec![at],
                None => self.places(&endpoint),
            };
            for address in places {
                let member = Member {
                    endpoint: endpoint.clone(),
                    address,
                    origin,
                    admin,
                };
                // Who was first to name it has named it.
                if seen.insert(member.key()) {
                    members.push(member);
                }
            }
        }
        members
    }

    /// The addresses of an endpoint; a single `None` when its name does not resolve.
    fn places(&self, endpoint: &EndpointPlan) -> Vec<Option<SocketAddr>> {
        if let Some(own) = literal(endpoint) {
            return vec![Some(own)];
        }
        let found = self.addresses.get(&(endpoint.host.clone(), endpoint.port));
        match found.map_or(&[][..], Vec::as_slice) {
            [] => vec![None],
            found => found.iter().copied().map(Some).collect(),
        }
    }
}

fn literal(endpoint: &EndpointPlan) -> Option<SocketAddr> {
    let ip = endpoint.host.parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(ip, endpoint.port))
}
