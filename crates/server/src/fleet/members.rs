//! Which endpoints an upstream has: what its configuration says, and what operators have said since.

use super::lookup::{Addresses, Name};
use crate::wishes::Wishes;
use foregate_balance::AdminState;
use foregate_snapshot::{EndpointPlan, UpstreamPlan};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Who says that there is an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// The configuration.
    Config,
    /// The admin API.
    Api,
}

impl Origin {
    /// The stable name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Origin::Config => "config",
            Origin::Api => "api",
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

impl Member {
    pub(crate) fn key(&self) -> Key {
        (Arc::clone(&self.endpoint.authority), self.address)
    }
}

/// What is known about endpoints beside the configuration. The control thread's own.
#[derive(Default)]
pub(crate) struct Roster {
    pub(crate) addresses: Addresses,
    pub(crate) wishes: Wishes,
}

impl Roster {
    /// The endpoints of an upstream by name, before names are resolved: those of its configuration, then those that
    /// were added.
    fn named(&self, plan: &UpstreamPlan) -> Vec<(EndpointPlan, Origin)> {
        let mut named: Vec<(EndpointPlan, Origin)> = (plan.endpoints.iter())
            .map(|endpoint| (endpoint.clone(), Origin::Config))
            .collect();
        let Some(wishes) = self.wishes.of(&plan.name) else {
            return named;
        };
        let added = wishes.values().filter_map(|wish| wish.added.clone());
        named.extend(added.map(|endpoint| (endpoint, Origin::Api)));
        named
    }

    /// The names that must be resolved for an upstream.
    pub(crate) fn names(&self, plan: &UpstreamPlan) -> Vec<Name> {
        let is_name = |endpoint: &EndpointPlan| literal(endpoint).is_none();
        let named = self.named(plan).into_iter();
        named
            .filter(|(endpoint, _)| is_name(endpoint))
            .map(|(endpoint, _)| (endpoint.host, endpoint.port))
            .collect()
    }

    /// The endpoints of an upstream as they should be now. A name with several addresses is as many endpoints; one
    /// without any is one that can't be reached.
    pub(crate) fn members(&self, plan: &UpstreamPlan) -> Vec<Member> {
        let wishes = self.wishes.of(&plan.name);
        let mut seen = HashSet::new();
        let mut members = Vec::new();
        for (mut endpoint, origin) in self.named(plan) {
            let wish = wishes.and_then(|wishes| wishes.get(&*endpoint.authority));
            if wish.is_some_and(|wish| wish.removed) || !seen.insert(endpoint.authority.clone()) {
                continue;
            }
            if let Some(weight) = wish.and_then(|wish| wish.weight) {
                endpoint.weight = weight;
            }
            let admin = wish.map_or(AdminState::Enabled, |wish| wish.state);
            for address in self.places(&endpoint) {
                members.push(Member {
                    endpoint: endpoint.clone(),
                    address,
                    origin,
                    admin,
                });
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
