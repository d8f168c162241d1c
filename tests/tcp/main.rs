//! Stories about listeners that carry bytes: balanced TCP, and TLS that is passed on by name.

mod bounds;
mod congestion;
mod keep_alive;
mod options;
mod passthrough;
mod relay;
