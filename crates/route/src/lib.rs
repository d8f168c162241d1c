//! **Purpose:** finds the best route for a request by host, path, method, header, query and client, from matchers compiled once.
//! **Never knows:** the configuration's text, what a route does, sockets.
//! **Next on the road:** `policy`, which decides what becomes of the request that was routed.
//!
//! A site is chosen first, by host: an exact name before a wildcard, a longer wildcard before a shorter, the default
//! site last. Within the site the routes stand in one order ([`Rank`]), and the first whose conditions all hold takes
//! the request; a site without such a route does not pass the request on to another site. [`Router::find`] allocates
//! nothing and looks at few routes; with a [`Trace`] it also says why each better-ranked one did not match.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod conditions;
mod hosts;
mod names;
mod paths;
mod pattern;
mod query;
mod rank;
mod router;
mod site;
mod spec;
mod trace;

#[cfg(test)]
mod tests;

pub use rank::{Rank, order};
pub use router::{Match, Miss, Question, Router};
pub use spec::{CompileError, HostMatch, PathMatch, Problem, RouteSpec, SiteSpec, ValueMatch};
pub use trace::{Cause, Repeated, Skipped, Trace};
