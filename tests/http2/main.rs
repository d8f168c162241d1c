//! Stories about HTTP/2 towards clients (RFC 9113).

mod bodies;
mod endings;
mod floods;
mod forwarding;
mod malformed;
mod real_clients;
mod websocket;
