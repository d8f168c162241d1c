//! Stories about what an operator can see.

mod access_log;
mod connections;
mod error_pages;
mod metrics;
mod request_ids;
