//! Sites and routes: what the router matches, and what is done with what it found.

use crate::overload;
use crate::plan::{
    Action, ListenerPlan, ProxyPlan, RoutePlan, SitePlan, SiteTlsPlan, TargetPlan, UpstreamPlan,
};
use crate::targets::{self, Upstreams};
use crate::tls;
use foregate_config::settings::{
    self, FieldRules, FieldValue, HostPattern, Route, Site, SiteCertificate, Template,
};
use foregate_config::{Code, Diagnostic, Origin, Settings};
use foregate_message::FieldName;
use foregate_policy::header_rules::{self, HeaderRules, RulesSpec};
use foregate_policy::redirect::{self, Redirect};
use foregate_policy::respond::Respond;
use foregate_policy::rewrite::{Rewrite, RewriteSpec};
use foregate_policy::{Piece, Problem};
use foregate_route::{HostMatch, PathMatch, RouteSpec, Router, SiteSpec, ValueMatch};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// All that sites compile to.
pub(crate) struct Routes {
    pub(crate) sites: Box<[SitePlan]>,
    pub(crate) plans: Box<[RoutePlan]>,
    pub(crate) router: Router,
    pub(crate) specs: Box<[SiteSpec]>,
}

/// Compiles all sites; `None` after diagnostics.
pub(crate) fn compile(
    settings: &Settings,
    listeners: &[ListenerPlan],
    upstreams: &[UpstreamPlan],
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Routes> {
    let upstreams = Upstreams::new(upstreams);
    let mut ways = Ways::default();
    let mut sites = Vec::with_capacity(settings.sites.len());
    let mut plans = Vec::new();
    let mut specs = Vec::with_capacity(settings.sites.len());
    for (site_number, site) in (0..).zip(&settings.sites) {
        let name: Arc<str> = site.name.as_str().into();
        let tls = Arc::new(tls::site(site, settings, listeners, diagnostics));
        let first_route = u32::try_from(plans.len()).unwrap_or(u32::MAX);
        for route in &site.routes {
            match plan((site_number, &name, &tls), route, &upstreams, &mut ways) {
                Ok(plan) => plans.push(plan),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        sites.push(SitePlan {
            name,
            first_route,
            tls,
        });
        match spec(site, listeners) {
            Ok(spec) => specs.push(spec),
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
    if !diagnostics.is_empty() {
        return None;
    }
    match Router::compile(&specs) {
        Ok(router) => Some(Routes {
            sites: sites.into(),
            plans: plans.into(),
            router,
            specs: specs.into(),
        }),
        Err(errors) => {
            diagnostics.extend(errors.into_iter().map(|error| {
                let route = settings
                    .sites
                    .get(error.site as usize)
                    .and_then(|site| site.routes.get(error.route as usize));
                router_problem(&error.problem, route)
            }));
            None
        }
    }
}

fn router_problem(problem: &foregate_route::Problem, route: Option<&Route>) -> Diagnostic {
    use foregate_route::Problem;
    let origin = route.map_or(Origin::NOWHERE, |route| match problem {
        Problem::PathNotAbsolute | Problem::PathPattern(_) => route.path_origin,
        Problem::HeaderPattern(name, _) => origin_of(&route.headers, name, route.origin),
        Problem::QueryPattern(name, _) => origin_of(&route.query, name, route.origin),
    });
    let code = match problem {
        Problem::PathNotAbsolute => Code::BadPath,
        _ => Code::BadRegex,
    };
    Diagnostic::new(code, origin, problem.to_string())
}

fn origin_of(conditions: &[settings::FieldMatch], name: &str, otherwise: Origin) -> Origin {
    let found = conditions.iter().find(|condition| condition.name == name);
    found.map_or(otherwise, |condition| condition.origin)
}

fn spec(site: &Site, listeners: &[ListenerPlan]) -> Result<SiteSpec, Box<Diagnostic>> {
    Ok(SiteSpec {
        hosts: site
            .hosts
            .iter()
            .map(|host| match &host.pattern {
                HostPattern::Exact(host) => HostMatch::Exact(host.clone()),
                HostPattern::Wildcard(suffix) => HostMatch::Wildcard(suffix.clone()),
                HostPattern::Default => HostMatch::Any,
            })
            .collect(),
        listeners: listeners_of(site, listeners)?,
        routes: site
            .routes
            .iter()
            .map(route_spec)
            .collect::<Result<_, _>>()?,
    })
}

/// The numbers of the listeners that a site is served on; empty for all.
fn listeners_of(site: &Site, listeners: &[ListenerPlan]) -> Result<Vec<u32>, Box<Diagnostic>> {
    /// No listener ever gets this number.
    const NONE: u32 = u32::MAX;
    if let Some(name) = site
        .listeners
        .iter()
        .find(|name| listeners.iter().all(|listener| *listener.name != ***name))
    {
        let message = format!("there is no listener `{name}`");
        let diagnostic = Diagnostic::new(Code::UnknownListener, site.origin, message);
        return Err(Box::new(diagnostic));
    }
    let in_cleartext = site.tls.source == SiteCertificate::Off
        && listeners.iter().any(|listener| listener.is_tls());
    if site.listeners.is_empty() && !in_cleartext {
        return Ok(Vec::new());
    }
    let served = listeners
        .iter()
        .filter(|listener| site.is_on(&listener.name) && !(in_cleartext && listener.is_tls()));
    let mut numbers: Vec<u32> = served.map(|listener| listener.number).collect();
    if numbers.is_empty() {
        numbers.push(NONE);
    }
    Ok(numbers)
}

fn route_spec(route: &Route) -> Result<RouteSpec, Box<Diagnostic>> {
    Ok(RouteSpec {
        name: route.name.clone(),
        priority: route.priority,
        path: match &route.path {
            settings::PathMatch::Exact(path) => PathMatch::Exact(path.clone()),
            settings::PathMatch::Prefix(path) => PathMatch::Prefix(path.clone()),
            settings::PathMatch::Glob(path) => PathMatch::Glob(path.clone()),
            settings::PathMatch::Regex(path) => PathMatch::Regex(path.clone()),
        },
        methods: route.methods.clone(),
        headers: route
            .headers
            .iter()
            .map(|condition| {
                let name = FieldName::new(&condition.name).ok_or_else(|| {
                    let message = format!("`{}` is not a field name", condition.name);
                    Box::new(Diagnostic::new(Code::BadHeader, condition.origin, message))
                })?;
                Ok((name, value(&condition.value)))
            })
            .collect::<Result<_, Box<Diagnostic>>>()?,
        query: route
            .query
            .iter()
            .map(|condition| (condition.name.clone(), value(&condition.value)))
            .collect(),
        clients: route.clients.clone(),
    })
}

fn value(value: &settings::ValueMatch) -> ValueMatch {
    match value {
        settings::ValueMatch::Exact(text) => ValueMatch::Exact(text.clone()),
        settings::ValueMatch::Present => ValueMatch::Present,
        settings::ValueMatch::Absent => ValueMatch::Absent,
        settings::ValueMatch::Regex(pattern) => ValueMatch::Regex(pattern.clone()),
    }
}

fn plan(
    (site_number, site, tls): (u32, &Arc<str>, &Arc<SiteTlsPlan>),
    route: &Route,
    upstreams: &Upstreams<'_>,
    ways: &mut Ways,
) -> Result<RoutePlan, Box<Diagnostic>> {
    let at = |origin| move |problem: Problem| Box::new(policy_problem(&problem, origin));
    let action =
        match &route.action {
            settings::Action::Proxy(proxy) => Action::Proxy(
                ways.shared(ProxyPlan {
                    targets: upstreams.targets(proxy)?,
                    split: targets::split(proxy),
                    mirror: match &proxy.mirror {
                        Some(mirror) => Some(upstreams.mirror(mirror)?),
                        None => None,
                    },
                    rewrite: Rewrite::compile(&rewrite(&proxy.rewrite))
                        .map_err(at(proxy.rewrite_origin))?,
                    request_rules: header_rules(&route.request_headers)
                        .map_err(at(route.request_headers.origin))?,
                }),
            ),
            settings::Action::Redirect(redirect) => {
                let to = template(&redirect.to, url_placeholder);
                let compiled = Redirect::compile(to, redirect.status);
                Action::Redirect(Box::new(compiled.map_err(at(redirect.origin))?))
            }
            settings::Action::Respond(respond) => {
                let compiled = Respond::compile(respond.status, &respond.body, &respond.headers);
                Action::Respond(Box::new(compiled.map_err(at(respond.origin))?))
            }
        };
    let response_rules =
        header_rules(&route.response_headers).map_err(at(route.response_headers.origin))?;
    Ok(RoutePlan {
        action,
        body_bytes_max: route.body_bytes_max,
        response_rules: (!response_rules.is_empty()).then(|| Box::new(response_rules)),
        client: tls.client.clone(),
        hsts: tls.hsts.clone(),
        site_number,
        importance: overload::importance(route.importance),
        tls: Arc::clone(tls),
        site: Arc::clone(site),
        name: route.name.as_str().into(),
        key: format!("{site}/{}", route.name).into(),
    })
}

/// Ways to backends that several routes take. Most routes of a large configuration change nothing of a request and
/// differ in their upstream at most: then requests find the one plan that all share in the processor's caches.
#[derive(Default)]
struct Ways(HashMap<TargetPlan, Arc<ProxyPlan>>);

impl Ways {
    /// The plan, or the same one of a route before.
    fn shared(&mut self, plan: ProxyPlan) -> Arc<ProxyPlan> {
        let [target] = &*plan.targets else {
            return Arc::new(plan);
        };
        let changes = !plan.rewrite.is_keep() || !plan.request_rules.is_empty();
        if changes || plan.split.is_some() || plan.mirror.is_some() {
            return Arc::new(plan);
        }
        match self.0.entry(target.clone()) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(free) => Arc::clone(free.insert(Arc::new(plan))),
        }
    }
}

fn policy_problem(problem: &Problem, origin: Origin) -> Diagnostic {
    let code = match problem {
        Problem::ReservedField(_) | Problem::FieldName(_) | Problem::FieldValue(_) => {
            Code::BadHeader
        }
        Problem::PathNotAbsolute | Problem::PathCharacter => Code::BadPath,
        Problem::Pattern(_) => Code::BadRegex,
        Problem::UnknownGroup(_) | Problem::RedirectTarget | Problem::Status(_) => Code::BadValue,
    };
    Diagnostic::new(code, origin, problem.to_string())
}

fn rewrite(rewrite: &settings::Rewrite) -> RewriteSpec {
    match rewrite {
        settings::Rewrite::Keep => RewriteSpec::Keep,
        settings::Rewrite::StripPrefix(prefix) => RewriteSpec::StripPrefix(prefix.clone()),
        settings::Rewrite::Replace(path) => RewriteSpec::Replace(path.clone()),
        settings::Rewrite::ReplaceRegex { regex, with } => RewriteSpec::ReplaceRegex {
            regex: regex.clone(),
            with: with.clone(),
        },
    }
}

fn header_rules(rules: &FieldRules) -> Result<HeaderRules, Problem> {
    if rules.is_empty() {
        return Ok(HeaderRules::default());
    }
    let values = |values: &[FieldValue]| {
        values
            .iter()
            .map(|field| {
                (
                    field.name.clone(),
                    template(&field.value, value_placeholder),
                )
            })
            .collect()
    };
    HeaderRules::compile(RulesSpec {
        remove: rules.remove.clone(),
        set: values(&rules.set),
        add: values(&rules.add),
    })
}

fn template<P: Copy, Q: Copy>(
    template: &Template<P>,
    placeholder: impl Fn(P) -> Q,
) -> foregate_policy::Template<Q> {
    let pieces = template.pieces.iter().map(|piece| match piece {
        settings::Piece::Literal(text) => Piece::Text(text.clone()),
        settings::Piece::Placeholder(what) => Piece::Of(placeholder(*what)),
    });
    foregate_policy::Template::new(pieces.collect())
}

fn value_placeholder(placeholder: settings::ValuePlaceholder) -> header_rules::Placeholder {
    match placeholder {
        settings::ValuePlaceholder::Client => header_rules::Placeholder::Client,
        settings::ValuePlaceholder::Host => header_rules::Placeholder::Host,
        settings::ValuePlaceholder::RequestId => header_rules::Placeholder::RequestId,
        settings::ValuePlaceholder::Scheme => header_rules::Placeholder::Scheme,
        settings::ValuePlaceholder::Path => header_rules::Placeholder::Path,
    }
}

fn url_placeholder(placeholder: settings::UrlPlaceholder) -> redirect::Placeholder {
    match placeholder {
        settings::UrlPlaceholder::Scheme => redirect::Placeholder::Scheme,
        settings::UrlPlaceholder::Host => redirect::Placeholder::Host,
        settings::UrlPlaceholder::Path => redirect::Placeholder::Path,
        settings::UrlPlaceholder::Query => redirect::Placeholder::Query,
    }
}
