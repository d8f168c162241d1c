//! Stories about HTTP/1.1 as a gateway speaks it (RFC 9110, RFC 9112).

mod bodies;
mod early_answers;
mod expectations;
mod forwarding;
mod half_close;
mod hop_by_hop;
mod http10;
mod keep_alive;
mod paths;
mod proxy_protocol;
mod targets;
mod trailers;
mod upgrades;
