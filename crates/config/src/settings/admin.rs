//! `[admin]`: metrics and health for operators.

use super::{NamedCertificate, NamedFile, Secret};
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
    /// The certificate that its TCP address is served with; without one it is in cleartext.
    pub certificate: Option<NamedCertificate>,
    /// The file that keeps what was changed through the API.
    pub state_file: Option<NamedFile>,
    /// A socket in the file system that is listened on as well.
    pub socket: Option<AdminSocket>,
    /// What is remembered of configurations.
    pub history: History,
}

/// A socket in the file system.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminSocket {
    /// Where it is.
    pub file: NamedFile,
    /// Whether the file's group may open it, too.
    pub is_for_group: bool,
}

/// What is remembered of the configurations that were in force.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// How many.
    pub versions_max: usize,
    /// Bytes of text that they may have together.
    pub bytes_max: usize,
    /// The file that keeps them.
    pub file: Option<NamedFile>,
    /// Whether one that came through the API is in force again after a restart.
    pub keeps_applied: bool,
}

impl Default for History {
    /// What a configuration says that says nothing of it.
    fn default() -> History {
        History {
            versions_max: 20,
            bytes_max: 8 << 20,
            file: None,
            keeps_applied: false,
        }
    }
}
