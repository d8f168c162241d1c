//! Where routes send their requests: targets, subsets, splits, mirrors.

use crate::compile::size;
use crate::plan::{MirrorPlan, SplitPlan, TargetPlan, UpstreamPlan};
use crate::upstreams;
use foregate_balance::Subset;
use foregate_config::settings::{Action, HostHeader, Mirror, Proxy, Target};
use foregate_config::{Code, Diagnostic, Settings};
use foregate_policy::host_header::HostRule;
use std::collections::HashMap;
use std::time::Duration;

/// How long a copy of a request may take where its upstream does not say: nobody waits for it, so nobody would end it.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(60);

/// The upstreams that targets name.
pub(crate) struct Upstreams<'u> {
    numbers: HashMap<&'u str, u32>,
    plans: &'u [UpstreamPlan],
}

impl<'u> Upstreams<'u> {
    pub(crate) fn new(plans: &'u [UpstreamPlan]) -> Upstreams<'u> {
        let numbered = (0..).zip(plans);
        Upstreams {
            numbers: numbered
                .map(|(number, plan)| (&*plan.name, number))
                .collect(),
            plans,
        }
    }

    fn target(&self, target: &Target) -> Result<TargetPlan, Box<Diagnostic>> {
        let number = self.numbers.get(target.upstream.as_str()).copied();
        let number = number.ok_or_else(|| {
            let message = format!("there is no upstream `{}`", target.upstream);
            Box::new(Diagnostic::new(
                Code::UnknownUpstream,
                target.origin,
                message,
            ))
        })?;
        let wanted = subset(target);
        let subsets = &self.plans[number as usize].balancing.subsets;
        let place = subsets.iter().position(|subset| *subset == wanted);
        Ok(TargetPlan {
            upstream: number,
            subset: match place {
                // Number 0 is everybody.
                Some(place) => u32::try_from(place + 1).unwrap_or(u32::MAX),
                None => 0,
            },
            host: match &target.host {
                HostHeader::Pass => HostRule::Pass,
                HostHeader::Upstream => HostRule::Upstream,
                HostHeader::Fixed(host) => HostRule::Fixed(host.as_str().into()),
            },
            timeouts: upstreams::timeouts(target.timeouts),
            idempotent: target.idempotent,
        })
    }

    /// The targets of a route.
    pub(crate) fn targets(&self, proxy: &Proxy) -> Result<Box<[TargetPlan]>, Box<Diagnostic>> {
        proxy
            .targets
            .iter()
            .map(|target| self.target(target))
            .collect()
    }

    /// Who gets copies of a route's requests.
    pub(crate) fn mirror(&self, mirror: &Mirror) -> Result<MirrorPlan, Box<Diagnostic>> {
        let mut target = self.target(&mirror.target)?;
        target.timeouts.request.get_or_insert(MIRROR_TIMEOUT);
        Ok(MirrorPlan {
            target,
            share_percent: u32::from(mirror.share_percent),
            body_bytes_max: size(mirror.body_bytes_max),
            requests_max: mirror.requests_max,
        })
    }
}

/// How a route's targets share its requests, if there are several.
pub(crate) fn split(proxy: &Proxy) -> Option<SplitPlan> {
    let is_split = proxy.targets.len() > 1;
    is_split.then(|| SplitPlan {
        weights: proxy.targets.iter().map(|target| target.weight).collect(),
        by: proxy.split_by.as_ref().map(upstreams::request_key),
    })
}

fn subset(target: &Target) -> Subset {
    let labels = target.subset.iter();
    labels
        .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
        .collect()
}

/// The subsets that routes want, by the name of their upstream, each once.
pub(crate) fn subsets(settings: &Settings) -> HashMap<&str, Vec<Subset>> {
    let mut subsets: HashMap<&str, Vec<Subset>> = HashMap::new();
    let routes = settings.sites.iter().flat_map(|site| &site.routes);
    for route in routes {
        let Action::Proxy(proxy) = &route.action else {
            continue;
        };
        for target in proxy
            .targets
            .iter()
            .filter(|target| !target.subset.is_empty())
        {
            let known = subsets.entry(&target.upstream).or_default();
            let subset = subset(target);
            if !known.contains(&subset) {
                known.push(subset);
            }
        }
    }
    subsets
}
