//! A load generator that checks what it gets.
//!
//! `load --to 127.0.0.1:18201 --target /1k --connections 64 --warmup 0.5 --seconds 3 [--pid PID]`
//!
//! - closed loop: every connection sends its next request when the last was answered (`--seconds` or `--count`),
//! - open loop: `--rate N` requests a second, latency counted from the moment a request was due,
//! - `--upload 1m` sends `PUT` requests with a body of that size; `--targets FILE` takes requests in turn from lines
//!   of `host target`,
//! - `--tls CA.pem` over TLS 1.3, `--protocol h2` over HTTP/2 (`--streams N` at a time on each connection),
//! - `--per-connection N` closes a connection after N answers; `--handshakes full` or `resumed` demands that kind,
//! - `--grpc 100` makes unary gRPC calls whose message comes back,
//! - `--idle N` opens N connections, makes one request on each and holds them until stdin ends,
//! - `--to` may be given several times: connections take the addresses in turn,
//! - `--pid` names proxy processes whose CPU time (descendants included) is read at both ends of the measured window.
//!
//! Status, length and every body byte of each answer are compared with what the backend must have sent
//! (`--check-every N` looks at the bytes of every Nth answer only). One line of JSON on stdout is the result.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use foregate_bench::options::Options;
use foregate_bench::poll::raise_open_files;

mod connection;
mod h1;
mod h2;
mod idle;
mod plan;
mod run;
mod transport;
mod verifier;

fn main() -> ExitCode {
    raise_open_files();
    let done = Options::parse(std::env::args().skip(1))
        .and_then(plan::Plan::from_options)
        .and_then(|plan| match plan.idle {
            Some(count) => idle::hold(&plan, count),
            None => run::run(&plan),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
