//! Stories about what a route does: redirect, respond, proxy with rewriting.

mod field_rules;
mod redirect;
mod respond;
mod rewriting;
