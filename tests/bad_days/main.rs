//! Stories about peers that misbehave: the status, the reason in log and metric, and that nothing remains.

mod backends;
mod clients;
