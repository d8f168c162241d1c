//! Certificates that look after themselves: the gateway, a real ACME server, real clients.

mod accounts;
mod ask;
mod authority;
mod automatic;
mod commands;
mod dns;
mod house;
mod local;
mod on_demand;
mod shared;
