//! Trailers (RFC 9113 §8.1).

use super::HeadFault;
use super::section::{self, Pseudos};
use crate::h1::{self, HeadLimits, TrailersOf};
use crate::h2::hpack::Decoder;
use foregate_message::{Fault, Fields};

/// Reads trailers from their whole block: no pseudo-header fields, and none of the fields that may not be trailers, which
/// a request is refused for and an answer loses.
///
/// # Errors
/// The first rule or limit that they break.
pub fn read_trailers(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &HeadLimits,
    of: TrailersOf,
    fields: &mut Fields,
) -> Result<(), HeadFault> {
    fields.clear();
    let mut pseudos = Pseudos::default();
    let read = section::read(decoder, block, limits, fields, &mut pseudos);
    read.map_err(|fault| match fault {
        HeadFault::Answerable(Fault::HeadTooLarge | Fault::TooManyFields) => {
            HeadFault::Answerable(Fault::TrailersTooLarge)
        }
        fault => fault,
    })?;
    let Pseudos {
        method: None,
        scheme: None,
        path: None,
        authority: None,
        status: None,
        protocol: None,
    } = pseudos
    else {
        return Err(HeadFault::Malformed(Fault::PseudoHeader));
    };
    h1::check_trailers(fields, of).map_err(HeadFault::Malformed)
}
