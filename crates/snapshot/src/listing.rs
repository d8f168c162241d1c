//! Every route as it is looked at: site by site, the first to be asked first.

use crate::plan::{Action, ProxyPlan, Snapshot};
use crate::render;
use foregate_route::order;

/// A route, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteNote {
    /// The site's name.
    pub site: String,
    /// The hosts that it serves.
    pub hosts: String,
    /// The route's name.
    pub route: String,
    /// Its place among the routes of its site, from 1: the first whose conditions hold takes a request.
    pub position: usize,
    /// What it asks of requests.
    pub conditions: String,
    /// `proxy`, `redirect` or `respond`.
    pub action: &'static str,
    /// Where it sends requests.
    pub targets: Vec<TargetNote>,
    /// Who gets copies.
    pub mirror: Option<String>,
}

/// Where a route sends requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetNote {
    /// The upstream's name.
    pub upstream: String,
    /// Whether only some of its endpoints are meant.
    pub is_subset: bool,
    /// Its part, beside its siblings; `None` for the only one.
    pub weight: Option<u32>,
}

impl Snapshot {
    /// Every route.
    pub fn listing(&self) -> Vec<RouteNote> {
        let mut notes = Vec::with_capacity(self.routes.len());
        for (site, spec) in self.sites.iter().zip(&self.specs) {
            let hosts = render::conditions(spec, None);
            for (position, index) in (1..).zip(order(&spec.routes)) {
                let plan = self.routes.get((site.first_route + index) as usize);
                let Some(plan) = plan else { continue };
                let (action, proxy) = match &plan.action {
                    Action::Proxy(proxy) => ("proxy", Some(proxy)),
                    Action::Redirect(_) => ("redirect", None),
                    Action::Respond(_) => ("respond", None),
                };
                notes.push(RouteNote {
                    site: site.name.to_string(),
                    hosts: hosts.clone(),
                    route: plan.name.to_string(),
                    position,
                    conditions: render::conditions(spec, Some(index)),
                    action,
                    targets: proxy.map_or_else(Vec::new, |proxy| self.targets(proxy)),
                    mirror: proxy
                        .and_then(|proxy| proxy.mirror.as_ref())
                        .map(|mirror| self.upstream_name(mirror.target.upstream)),
                });
            }
        }
        notes
    }

    fn targets(&self, proxy: &ProxyPlan) -> Vec<TargetNote> {
        let weight = |at: usize| {
            let split = proxy.split.as_ref()?;
            split.weights.get(at).copied()
        };
        let targets = proxy.targets.iter().enumerate();
        targets
            .map(|(at, target)| TargetNote {
                upstream: self.upstream_name(target.upstream),
                is_subset: target.subset != 0,
                weight: weight(at),
            })
            .collect()
    }

    fn upstream_name(&self, number: u32) -> String {
        let upstream = self.upstreams.get(number as usize);
        upstream.map_or_else(String::new, |upstream| upstream.name.to_string())
    }
}
