//! Stories about the command line.

mod check;
mod demo;
mod explain;
mod proxy;
mod schema;
