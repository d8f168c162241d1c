//! PUSH_PROMISE (RFC 9113 §6.6): refused. A server never receives one, and our client announces ENABLE_PUSH 0, after
//! which a promise is a connection error (RFC 9113 §8.4).

use crate::h2::error::Breach;

pub(crate) fn read() -> Breach {
    Breach::PROTOCOL
}
