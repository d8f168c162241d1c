//! Stories about starting, reloading and stopping.

mod configuration_file;
mod exit_codes;
mod logs;
mod reload;
mod service;
mod signals;
mod stop;
mod takeover;
mod upgrade;
