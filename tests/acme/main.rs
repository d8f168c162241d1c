//! Certificates that look after themselves: the gateway, a real ACME server, real clients.

mod automatic;
mod commands;
mod house;
mod local;
mod on_demand;
