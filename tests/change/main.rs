//! Stories about what changes while requests run: endpoints, configurations, and what stays.

mod commands;
mod configurations;
mod encrypted;
mod endpoints;
mod load;
mod openapi;
mod socket;
mod top;
