//! The router: sites by host, routes by rank.

use crate::hosts::Hosts;
use crate::paths::Shelf;
use crate::site::Site;
use crate::spec::{CompileError, SiteSpec};
use crate::trace::{Skipped, Trace};
use foregate_message::{Reason, RequestHead};
use std::net::IpAddr;

/// What is asked of a request to route it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The listener's number.
    pub listener: u32,
    /// The requested host without port, in any case, with or without a trailing dot.
    pub host: &'a [u8],
    /// The normalised path; `*` or nothing for `OPTIONS *`, which only the prefix `/` and open patterns take.
    pub path: &'a [u8],
    /// The query without its `?`.
    pub query: Option<&'a [u8]>,
    /// The head, for its method and fields.
    pub head: &'a RequestHead,
    /// The client's address.
    pub client: IpAddr,
}

/// The route that takes a request, by its place in the specifications.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// Index of the site.
    pub site: u32,
    /// Index of the route in its site.
    pub route: u32,
}

/// Why no route takes a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Miss {
    /// No site serves the host on the listener.
    NoSite,
    /// The site has no route for the request.
    NoRoute {
        /// Index of the site.
        site: u32,
    },
}

impl Miss {
    /// The outcome that logs and answers name.
    pub const fn reason(self) -> Reason {
        match self {
            Miss::NoSite => Reason::NoSite,
            Miss::NoRoute { .. } => Reason::NoRoute,
        }
    }
}

/// All sites and routes, compiled; immutable.
#[derive(Debug)]
pub struct Router {
    hosts: Hosts,
    sites: Box<[Site]>,
    shelf: Shelf,
}

impl Router {
    /// Compiles the sites. Where two sites claim the same host on the same listener, the one written first has it.
    ///
    /// # Errors
    /// Everything that is wrong with any route, by site and route.
    pub fn compile(specs: &[SiteSpec]) -> Result<Router, Vec<CompileError>> {
        let mut errors = Vec::new();
        let mut sites = Vec::with_capacity(specs.len());
        let mut shelf = Shelf::default();
        for (at, spec) in (0..).zip(specs) {
            match Site::compile(&spec.routes, &mut shelf) {
                Ok(site) => sites.push(site),
                Err(problems) => errors.extend(problems.into_iter().map(|(route, problem)| {
                    let site = at;
                    CompileError {
                        site,
                        route,
                        problem,
                    }
                })),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        shelf.shrink();
        Ok(Router {
            hosts: Hosts::compile(specs),
            sites: sites.into(),
            shelf,
        })
    }

    /// The route that takes the request. A `trace` is told what was passed over; without one nothing is allocated.
    ///
    /// # Errors
    /// No site, or no route of the site, takes it.
    #[inline]
    pub fn find(&self, question: &Question<'_>, trace: Option<&mut Trace>) -> Result<Match, Miss> {
        let found = self.lookup(question);
        if let Some(trace) = trace {
            self.explain(question, found, trace);
        }
        found
    }

    #[inline]
    fn lookup(&self, question: &Question<'_>) -> Result<Match, Miss> {
        let Some(site) = self.hosts.find(question.host, question.listener) else {
            return Err(Miss::NoSite);
        };
        match self.sites[site as usize].find(&self.shelf, site, question) {
            Some(route) => Ok(Match { site, route }),
            None => Err(Miss::NoRoute { site }),
        }
    }

    #[cold]
    fn explain(&self, question: &Question<'_>, found: Result<Match, Miss>, trace: &mut Trace) {
        let skipped = &mut trace.skipped;
        self.hosts
            .explain(question.host, question.listener, |site, cause| {
                let route = None;
                skipped.push(Skipped { site, route, cause });
            });
        let (site, route) = match found {
            Ok(found) => (found.site, Some(found.route)),
            Err(Miss::NoRoute { site }) => (site, None),
            Err(Miss::NoSite) => return,
        };
        let routes = &self.sites[site as usize];
        routes.explain(question, route, |route, cause| {
            let route = Some(route);
            skipped.push(Skipped { site, route, cause });
        });
        trace.repeated = routes.repeated(question, route);
    }
}
