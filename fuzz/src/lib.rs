//! **Purpose:** fuzz targets for everything that reads what strangers send, each with the invariants it asserts.
//! **Never knows:** which driver calls it: the smoke run of this package, its tests, or libFuzzer.
//! **Next on the road:** nothing; `wire`, `message`, `policy`, `tls` and `config` are called from here.
//!
//! A target is a function over bytes that panics when an invariant is broken. [`TARGETS`] lists them with a generator
//! of likely inputs; [`smoke`] runs one on its corpus and on seeded mutations for a bounded time.

mod blocks;
mod dice;
mod frames;
mod grammar;
mod handshakes;
mod mutate;
pub mod reference;
pub mod smoke;
mod targets;

pub use dice::Dice;
pub use targets::blocks::{h2_request_head, hpack_block};
pub use targets::body::chunked_body;
pub use targets::claims::claims;
pub use targets::config::config;
pub use targets::discovery::discovery;
pub use targets::dns::dns_answer;
pub use targets::forwarding::forwarding;
pub use targets::frames::{h2_frames_client, h2_frames_server};
pub use targets::heads::{request_head, response_head};
pub use targets::proxy::proxy_header;
pub use targets::session::session_cookie;
pub use targets::target::target;
pub use targets::tls::{certificate_pem, client_hello, ocsp_response};
pub use targets::web::grpc_web;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also the name of its folder in `corpus/`.
    pub name: &'static str,
    /// Asserts the invariants over one input.
    pub run: fn(&[u8]),
    /// Makes a likely input.
    pub generate: fn(&mut Dice) -> Vec<u8>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "request_head",
        run: request_head,
        generate: grammar::request,
    },
    Target {
        name: "response_head",
        run: response_head,
        generate: grammar::response,
    },
    Target {
        name: "chunked_body",
        run: chunked_body,
        generate: grammar::chunked_input,
    },
    Target {
        name: "forwarding",
        run: forwarding,
        generate: grammar::exchange,
    },
    Target {
        name: "claims",
        run: claims,
        generate: targets::claims::generate,
    },
    Target {
        name: "proxy_header",
        run: proxy_header,
        generate: grammar::proxy_header,
    },
    Target {
        name: "session_cookie",
        run: session_cookie,
        generate: targets::session::generate,
    },
    Target {
        name: "target",
        run: target,
        generate: grammar::target,
    },
    Target {
        name: "client_hello",
        run: client_hello,
        generate: handshakes::client_hello,
    },
    Target {
        name: "certificate_pem",
        run: certificate_pem,
        generate: handshakes::pem,
    },
    Target {
        name: "ocsp_response",
        run: ocsp_response,
        generate: handshakes::ocsp,
    },
    Target {
        name: "config",
        run: config,
        generate: grammar::config,
    },
    Target {
        name: "dns_answer",
        run: dns_answer,
        generate: grammar::dns_answer,
    },
    Target {
        name: "discovery",
        run: discovery,
        generate: targets::discovery::generate,
    },
    Target {
        name: "hpack_block",
        run: hpack_block,
        generate: blocks::block,
    },
    Target {
        name: "h2_request_head",
        run: h2_request_head,
        generate: blocks::request,
    },
    Target {
        name: "grpc_web",
        run: grpc_web,
        generate: targets::web::generate,
    },
    Target {
        name: "h2_frames_server",
        run: h2_frames_server,
        generate: frames::from_client,
    },
    Target {
        name: "h2_frames_client",
        run: h2_frames_client,
        generate: frames::from_server,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A fixed number of inputs from a fixed seed, so that the outcome never depends on the machine.
    #[test]
    fn every_target_holds_on_its_corpus_and_some_mutations() {
        for target in TARGETS {
            let plan = smoke::Plan {
                seed: 1,
                time: Duration::from_secs(60),
                inputs_max: 1500,
            };
            let ran = smoke::run(target, &plan).expect(target.name);
            assert!(ran >= 1500, "{}", target.name);
        }
    }
}
