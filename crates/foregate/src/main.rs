//! **Purpose:** the command line: what an operator says becomes a configuration source and a running server, or an answer.
//! **Never knows:** how requests are served; it starts `server` and asks `config` and `snapshot`.
//! **Next on the road:** `server`, which boots what was asked for.
//!
//! One file a subcommand. Exit codes: 0 it did what it was asked, 1 it failed, 2 the command line or the configuration is wrong.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod admin;
mod apply;
mod certs;
mod check;
mod config;
mod connections;
mod demo;
mod endpoints;
mod explain;
mod failure;
mod files;
mod judge;
mod openapi;
mod proxy;
mod reference;
mod reload;
mod run;
mod schema;
mod source;
mod state;
mod table;
mod terminal;
mod top;
mod upgrade;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// A reverse proxy and load balancer for HTTP
#[derive(Debug, Parser)]
#[command(name = "foregate", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Proxy(proxy::Proxy),
    Demo(demo::Demo),
    Check(check::Check),
    Explain(explain::Explain),
    Reload(reload::Reload),
    Apply(apply::Apply),
    Confirm(apply::Confirm),
    Rollback(apply::Rollback),
    Config(config::Config),
    Upgrade(upgrade::Upgrade),
    Certs(certs::Certs),
    Endpoints(endpoints::Endpoints),
    Connections(connections::Connections),
    Top(top::Top),
    Schema(schema::Schema),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApi),
    #[command(hide = true)]
    Reference(reference::Reference),
}

fn main() -> ExitCode {
    if let Some(code) = foregate_server::launch() {
        return ExitCode::from(code);
    }
    let done = match Cli::parse().command {
        Command::Run(command) => command.execute(),
        Command::Proxy(command) => command.execute(),
        Command::Demo(command) => command.execute(),
        Command::Check(command) => command.execute(),
        Command::Explain(command) => command.execute(),
        Command::Reload(command) => command.execute(),
        Command::Apply(command) => command.execute(),
        Command::Confirm(command) => command.execute(),
        Command::Rollback(command) => command.execute(),
        Command::Config(command) => command.execute(),
        Command::Upgrade(command) => command.execute(),
        Command::Certs(command) => command.execute(),
        Command::Endpoints(command) => command.execute(),
        Command::Connections(command) => command.execute(),
        Command::Top(command) => command.execute(),
        Command::Schema(command) => command.execute(),
        Command::OpenApi(command) => command.execute(),
        Command::Reference(command) => command.execute(),
    };
    done.unwrap_or_else(Failure::report)
}
