//! Stories about peers that misbehave: the status, the reason in log and metric, and that nothing remains.

#[macro_use]
mod road;

mod backends;
mod broken;
mod clients;
mod clients_http2;
mod crumbs;
mod silence;
mod truncation;
