//! The targets.

pub(crate) mod blocks;
pub(crate) mod body;
pub(crate) mod claims;
pub(crate) mod config;
pub(crate) mod discovery;
pub(crate) mod dns;
pub(crate) mod forwarding;
pub(crate) mod frames;
pub(crate) mod heads;
pub(crate) mod proxy;
pub(crate) mod session;
pub(crate) mod target;
pub(crate) mod tls;
pub(crate) mod web;

use foregate_message::Fields;
use foregate_wire::h1::{BodyLimits, HeadLimits};

/// Large enough that no input reaches them: limits are tested where they belong.
const HEAD_LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 1 << 20,
    fields_max: 1 << 16,
    target_bytes_max: 1 << 20,
};

const BODY_LIMITS: BodyLimits = BodyLimits {
    body_bytes_max: None,
    chunk_extension_bytes_max: 1 << 20,
    trailer_bytes_max: 1 << 20,
    trailer_fields_max: 1 << 16,
};

/// Fields as the reference parser has them.
fn pairs(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields
        .iter()
        .map(|line| (line.name.to_vec(), line.value.to_vec()))
        .collect()
}
