//! `[sites."<host>"]`: what is served for which hosts.

use super::{Action, FieldRules, HostPattern, Importance, PathMatch, Rank, SiteTls, ValueMatch};
use crate::Origin;
use ipnet::IpNet;

/// A set of hosts and the routes that serve them.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// The site's name: its first host, in lower case.
    pub name: String,
    /// Where its name was written.
    pub origin: Origin,
    /// The hosts it serves, at least one, the site's name first.
    pub hosts: Vec<SiteHost>,
    /// Names of the listeners it is served on, all known; empty for all listeners that carry requests.
    pub listeners: Vec<String>,
    /// How it is served over TLS.
    pub tls: SiteTls,
    /// Its routes in the order they were written (which means nothing), at least one. The short form
    /// `upstream = "..."` stands here as a route named `default`.
    pub routes: Vec<Route>,
}

impl Site {
    /// True if the site is served on the listener of this name.
    pub fn is_on(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| name == listener)
    }
}

/// A host that a site serves.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteHost {
    /// The hosts meant.
    pub pattern: HostPattern,
    /// Where it was written.
    pub origin: Origin,
}

/// Conditions on a request and what is done if they hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The route's name, unique in its site.
    pub name: String,
    /// Where the route was written: its name, else its table.
    pub origin: Origin,
    /// The paths it takes.
    pub path: PathMatch,
    /// Where its path was written (the route's own place for the default path).
    pub path_origin: Origin,
    /// The methods it takes; empty for any. Case matters (RFC 9110 section 9.1).
    pub methods: Vec<String>,
    /// Conditions on headers; names in lower case. All must hold.
    pub headers: Vec<FieldMatch>,
    /// Conditions on query parameters; names as written, compared after percent-decoding. All must hold.
    pub query: Vec<FieldMatch>,
    /// Ranges that the client's address must be in; empty for any.
    pub clients: Vec<IpNet>,
    /// Overrides the documented order: higher goes first.
    pub priority: i32,
    /// What is done.
    pub action: Action,
    /// Rules for the request's fields on their way to the backend.
    pub request_headers: FieldRules,
    /// Rules for the response's fields on their way to the client.
    pub response_headers: FieldRules,
    /// How much its requests matter when there is too much to do.
    pub importance: Importance,
    /// Bytes of a request body: the route's own limit, else the one of [`Client`](super::Client).
    pub body_bytes_max: Option<u64>,
}

impl Route {
    /// The route's place in the documented order; of two routes that both match a request, the greater one takes it.
    pub fn rank(&self) -> Rank {
        Rank::of(self)
    }
}

/// A condition on a header or a query parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldMatch {
    /// The header's name in lower case, or the parameter's name as written.
    pub name: String,
    /// What its value must be.
    pub value: ValueMatch,
    /// Where the condition was written.
    pub origin: Origin,
}
