//! Stories about leniency that Foregate does not have: malformed messages are named, refused and never forwarded.

mod requests;
mod responses;
