//! What a router is built from: plain values that any caller can write down.

use foregate_message::FieldName;
use ipnet::IpNet;
use std::fmt;

/// The hosts of a site. Names in any case, with or without a trailing dot, never with a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostMatch {
    /// This host: a name, an IPv4 address, or an IPv6 address in brackets.
    Exact(String),
    /// Every host below this suffix, at any depth, but not the suffix itself: `example.com` for `*.example.com`.
    Wildcard(String),
    /// Every host that no other site takes.
    Any,
}

/// The paths of a route, in normalised form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMatch {
    /// Exactly this path.
    Exact(String),
    /// This path and what is below it: `/api` takes `/api` and `/api/x`, not `/apix`; `/api/` takes only what begins
    /// with `/api/`; `/` takes everything, the `*` of `OPTIONS *` included.
    Prefix(String),
    /// The whole path: `*` is any run of characters but `/`, `**` any run of characters, `?` one character but `/`;
    /// a percent-encoded character is one character.
    Glob(String),
    /// A regular expression that is searched for in the path.
    Regex(String),
}

/// The value of a field or a query parameter. Of several values the first one counts: the field's first line, the first
/// parameter of the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueMatch {
    /// Exactly this value, in this case.
    Exact(String),
    /// There, whatever the value.
    Present,
    /// Not there.
    Absent,
    /// A regular expression that is searched for in the value.
    Regex(String),
}

/// One route: its place in the order and its conditions, which must all hold. Empty lists allow everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteSpec {
    /// The name; the last tie-break of the order.
    pub name: String,
    /// Overrides the order: higher goes first.
    pub priority: i32,
    /// The paths it takes.
    pub path: PathMatch,
    /// The methods it takes, in their exact case (RFC 9110 §9.1); empty for any.
    pub methods: Vec<String>,
    /// Conditions on fields.
    pub headers: Vec<(FieldName, ValueMatch)>,
    /// Conditions on query parameters; names and values are compared with the request's after percent-decoding.
    pub query: Vec<(String, ValueMatch)>,
    /// Ranges that the client's address must be in; empty for any.
    pub clients: Vec<IpNet>,
}

/// One site: its hosts, the listeners it is served on, and its routes in any order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteSpec {
    /// The hosts it serves.
    pub hosts: Vec<HostMatch>,
    /// Numbers of the listeners it is served on; empty for all.
    pub listeners: Vec<u32>,
    /// Its routes.
    pub routes: Vec<RouteSpec>,
}

/// Why a specification can't be compiled, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompileError {
    /// Index of the site.
    pub site: u32,
    /// Index of the route in its site.
    pub route: u32,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a route's specification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// An exact path or prefix that does not begin with a slash, so that no path could match it.
    PathNotAbsolute,
    /// The path's regular expression or glob is invalid or too large; the text says how.
    PathPattern(String),
    /// The regular expression for this field is invalid or too large.
    HeaderPattern(String, String),
    /// The regular expression for this query parameter is invalid or too large.
    QueryPattern(String, String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::PathNotAbsolute => f.write_str("the path does not begin with `/`"),
            Problem::PathPattern(why) => write!(f, "the path pattern can't be compiled: {why}"),
            Problem::HeaderPattern(name, why) => {
                write!(
                    f,
                    "the pattern for header `{name}` can't be compiled: {why}"
                )
            }
            Problem::QueryPattern(name, why) => write!(
                f,
                "the pattern for query parameter `{name}` can't be compiled: {why}"
            ),
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for CompileError {}
