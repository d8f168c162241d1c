//! Stories about choosing a site and a route.

mod conditions;
mod hosts;
mod paths;
