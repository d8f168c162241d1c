//! Stories about limits: each is reached, answered by its name, and leaves nothing behind.

mod bodies;
mod client_timeouts;
mod connections;
mod handshakes;
mod heads;
mod overload;
mod upstream_timeouts;
