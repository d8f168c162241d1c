//! `[sites."<host>"]`

use super::files::Directories;
use super::{routes, site_tls, targets, upstreams};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::hosts;
use crate::keys::{self, Default, Kind, Section, key};
use crate::names::Names;
use crate::settings::{
    Action, Client, FieldRules, HostPattern, Importance, PathMatch, Proxy, Rewrite, Route, Site,
    SiteHost, Upstream,
};
use crate::tree::Entry;
use std::collections::HashSet;

pub(super) static SECTION: Section = Section {
    heading: "[sites.\"<host>\"]",
    doc: "What is served for a host. The name of the table is the first host: a name or an address such as `example.com`; \
          `*.example.com` for every host below `example.com` at any depth; or `*` for every host that no other site serves. \
          Ports do not belong to hosts.",
    keys: &[
        key(
            "hosts",
            Kind::List(&Kind::Text(&keys::HOST_PATTERN)),
            Default::Empty,
            "Further hosts of the site.",
        ),
        key(
            "listeners",
            Kind::List(&Kind::Text(&keys::NAME)),
            Default::Absent("all listeners"),
            "Names of the listeners that the site is served on; an empty list means all that carry requests.",
        ),
        site_tls::TLS,
        site_tls::CERTIFICATES,
        site_tls::HTTPS_REDIRECT,
        site_tls::HSTS,
        site_tls::CLIENT_CERTIFICATE,
        key(
            "upstream",
            Kind::Text(&keys::NAME),
            Default::Absent("no such route"),
            "Short form of a route named `default` that takes every path: `path = \"/\"`.",
        ),
        key(
            "routes",
            Kind::List(&Kind::Table(&routes::SECTION)),
            Default::Empty,
            "The routes; their order means nothing.",
        ),
    ],
};

/// What routes refer to.
pub(super) struct Surroundings<'s> {
    pub(super) upstreams: &'s [Upstream],
    /// Stands in for an upstream that does not exist, which is reported.
    pub(super) no_upstream: Upstream,
    pub(super) client: &'s Client,
    pub(super) directories: Directories<'s>,
    pub(super) names: &'s mut Names,
    pub(super) faulty: Faulty,
}

/// Routes with errors, as indices of site and route: they are not compared with others, which would only repeat that they
/// are wrong.
pub(crate) type Faulty = HashSet<(usize, usize)>;

impl Surroundings<'_> {
    /// Reads a reference to an upstream.
    pub(super) fn upstream(&mut self, entry: &Entry, report: &mut Report) -> &Upstream {
        let name = crate::scalar::text(&entry.node, report);
        match name.and_then(|name| self.names.upstream(name, entry.node.origin, report)) {
            Some(index) => &self.upstreams[index],
            None => &self.no_upstream,
        }
    }
}

pub(super) fn read(
    entries: &[Entry],
    upstreams: &[Upstream],
    client: &Client,
    directories: Directories<'_>,
    names: &mut Names,
    report: &mut Report,
) -> (Vec<Site>, Faulty) {
    let no_upstream = upstreams::read_one("", upstreams::absent(), &[], &mut Report::default());
    let mut surroundings = Surroundings {
        upstreams,
        no_upstream,
        client,
        directories,
        names,
        faulty: Faulty::new(),
    };
    let sites = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| read_one(index, entry, &mut surroundings, report))
        .collect();
    (sites, surroundings.faulty)
}

fn read_one(
    index: usize,
    entry: &Entry,
    surroundings: &mut Surroundings<'_>,
    report: &mut Report,
) -> Site {
    let of_routes = |unknown: &Entry| {
        let mut keys = routes::SECTION.keys.iter();
        let is_of_routes = keys.any(|key| key.name == unknown.key);
        is_of_routes.then(|| format!("it belongs to a route: [[sites.{:?}.routes]]", entry.key))
    };
    let origin = entry.key_origin;
    let fields = Fields::open_with(&SECTION, &entry.node, origin, &of_routes, report);
    let first = hosts::pattern(&entry.key, entry.key_origin, report);
    let further = fields.list("hosts", report, |text, origin, report| {
        hosts::pattern(text, origin, report).map(|pattern| SiteHost { pattern, origin })
    });
    let first = first.map(|pattern| SiteHost {
        pattern,
        origin: entry.key_origin,
    });
    let listeners = fields.list("listeners", report, |name, origin, report| {
        surroundings
            .names
            .listener(name, origin, report)
            .then(|| name.to_owned())
    });
    let lent = site_tls::Surroundings {
        directories: surroundings.directories,
        names: surroundings.names,
    };
    let tls = site_tls::read(&fields, &lent, report);
    let mut site_routes = routes::read(&fields, index, surroundings, report);
    let short = fields.entry("upstream");
    if let Some(short) = short {
        site_routes.push(default_route(short, surroundings, report));
    }
    if short.is_none() && !fields.has_unknown && fields.entry("routes").is_none_or(is_empty_list) {
        report.push(
            Diagnostic::new(
                Code::EmptySite,
                entry.key_origin,
                format!("the site `{}` serves nothing", entry.key),
            )
            .label("neither `upstream` nor routes")
            .help("for example: upstream = \"app\""),
        );
    }
    fields.finish();
    let hosts: Vec<SiteHost> = first.into_iter().chain(further).collect();
    let name = hosts
        .first()
        .map_or_else(|| entry.key.clone(), |host| host.pattern.to_string());
    Site {
        name,
        origin: entry.key_origin,
        hosts,
        listeners,
        tls,
        routes: site_routes,
    }
}

fn is_empty_list(entry: &Entry) -> bool {
    matches!(&entry.node.value, crate::tree::Value::List(items) if items.is_empty())
}

fn default_route(entry: &Entry, surroundings: &mut Surroundings<'_>, report: &mut Report) -> Route {
    let body_bytes_max = surroundings.client.body_bytes_max;
    let action = Action::Proxy(proxy_to(surroundings.upstream(entry, report)));
    plain_route("default", entry.key_origin, action, body_bytes_max)
}

/// How requests go to an upstream if a route says nothing.
pub(crate) fn proxy_to(upstream: &Upstream) -> Proxy {
    let origin = crate::Origin::NOWHERE;
    let target = targets::target(upstream, 1, origin, None, &mut Report::default());
    Proxy {
        targets: vec![target],
        split_by: None,
        mirror: None,
        rewrite: Rewrite::Keep,
        rewrite_origin: origin,
    }
}

/// A route without conditions.
pub(crate) fn plain_route(
    name: &str,
    origin: crate::Origin,
    action: Action,
    body_bytes_max: Option<u64>,
) -> Route {
    Route {
        name: name.to_owned(),
        origin,
        path: PathMatch::Prefix("/".to_owned()),
        path_origin: origin,
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        clients: Vec::new(),
        priority: 0,
        importance: Importance::Normal,
        action,
        request_headers: FieldRules::default(),
        response_headers: FieldRules::default(),
        body_bytes_max,
    }
}

/// A site for every host.
pub(crate) fn plain_site(routes: Vec<Route>) -> Site {
    let host = SiteHost {
        pattern: HostPattern::Default,
        origin: crate::Origin::NOWHERE,
    };
    Site {
        name: "*".to_owned(),
        origin: crate::Origin::NOWHERE,
        hosts: vec![host],
        listeners: Vec::new(),
        tls: site_tls::absent(),
        routes,
    }
}
