//! `[admin]`: metrics and health for operators.

use super::{NamedFile, Secret};
use crate::Origin;
use std::net::SocketAddr;

/// The admin listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Where its address was written.
    pub origin: Origin,
    /// The address it listens on.
    pub address: SocketAddr,
    /// What everybody must show who asks for more than health.
    pub token: Option<Secret>,
    /// The file that keeps what was changed through the API.
    pub state_file: Option<NamedFile>,
}
