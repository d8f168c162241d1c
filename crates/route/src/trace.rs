//! Why better-ranked sites and routes did not take a request.

use std::fmt;

/// The condition that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The site does not serve the host.
    Host,
    /// The site is not served on the listener.
    Listener,
    /// The route does not take the path.
    Path,
    /// The route does not take the method.
    Method,
    /// The condition on this field.
    Header(String),
    /// The condition on this query parameter.
    Query(String),
    /// The client's address is in none of the route's ranges.
    Client,
}

impl Cause {
    /// The stable kebab-case name of the kind of condition.
    pub const fn name(&self) -> &'static str {
        match self {
            Cause::Host => "host",
            Cause::Listener => "listener",
            Cause::Path => "path",
            Cause::Method => "method",
            Cause::Header(_) => "header",
            Cause::Query(_) => "query",
            Cause::Client => "client",
        }
    }
}

impl fmt::Display for Cause {
    /// The name, with the field or parameter behind it: `header(X-Beta)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Header(of) | Cause::Query(of) => write!(f, "{}({of})", self.name()),
            plain => f.write_str(plain.name()),
        }
    }
}

/// A site, or a route of the site that was chosen, that ranks better than what was found and did not match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Index of the site.
    pub site: u32,
    /// Index of the route in the site; `None` when the whole site was out of question.
    pub route: Option<u32>,
    /// Why.
    pub cause: Cause,
}

/// A field or query parameter whose value a route asked for and that came several times: the first one counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repeated {
    /// The kind of condition, with the name: [`Cause::Header`] or [`Cause::Query`].
    pub condition: Cause,
    /// How many times it came.
    pub times: usize,
}

/// What [`Router::find`](crate::Router::find) passed over: sites first, then routes, each in the order of their rank.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Trace {
    /// What was passed over.
    pub skipped: Vec<Skipped>,
    /// What came several times, of all that routes for the path asked for.
    pub repeated: Vec<Repeated>,
}
