//! Plain values that servers and connectors are built from.

use crate::certificate::Finding;
use crate::trust;

/// Which protocol versions and cipher suites a server takes, as Mozilla's server side recommendations name them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Profile {
    /// TLS 1.3 only.
    Modern,
    /// TLS 1.3 and 1.2 with forward secrecy and authenticated encryption.
    #[default]
    Intermediate,
}

/// What a listener's handshakes follow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AcceptorPlan {
    /// Versions and cipher suites.
    pub profile: Profile,
    /// Whether HTTP/1.1 is offered.
    pub http1: bool,
    /// Whether HTTP/2 is offered; it is preferred then.
    pub http2: bool,
    /// The name in the store of the certificate for names that have none; `None` refuses them.
    pub default_certificate: Option<String>,
    /// Whether sessions may be resumed. Those of names that ask for client certificates are not.
    pub resumption: bool,
    /// Whether requests may come as early data (RFC 8446 §2.3). Sessions are then kept in the cache alone: a ticket could
    /// be used twice. Names that ask for client certificates take none.
    pub early_data: bool,
    /// Names with settings of their own.
    pub names: Vec<NamePlan>,
}

/// In place of a name: every certificate from files, and none that an issuer has issued.
pub const FROM_FILES: &str = "*";

/// What is special about a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamePlan {
    /// The host in lower case, or `*.` and the name above it for all hosts one level below. `*` is every other name.
    pub name: String,
    /// The names in the store of the certificates that may be shown, one that ends in `/` for all of a folder, one that
    /// ends in `:` for all of an issuer, and [`FROM_FILES`]; `None` for all that are valid for the host.
    pub certificates: Option<Vec<String>>,
    /// What is asked of clients; `None` asks for no certificate.
    pub client: Option<ClientAuthPlan>,
}

/// Who is let in by certificate.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClientAuthPlan {
    /// Whether a client without certificate is refused.
    pub required: bool,
    /// The certificates of the authorities that clients' certificates must come from, as PEM.
    pub ca_pem: Vec<u8>,
    /// Their revocation lists.
    pub crls: Vec<RevocationList>,
}

/// Which certificates an authority has revoked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RevocationList {
    /// Where it comes from: of two with the same name one is newer.
    pub name: String,
    /// The list, as PEM or DER.
    pub bytes: Vec<u8>,
}

impl RevocationList {
    /// When its time is over, in seconds since 1970, if it says so.
    pub fn next_update(&self) -> Option<i64> {
        trust::next_update(self)
    }

    /// Whether its time is over, at a time in seconds since 1970: whoever it speaks for is refused then.
    pub fn judge(&self, now_unix: i64) -> Option<Finding> {
        let next_update = self.next_update()?;
        (now_unix >= next_update).then_some(Finding::RevocationsOver { next_update })
    }
}

impl ClientAuthPlan {
    /// Whether handshakes can follow it.
    ///
    /// # Errors
    /// What can't be read of it.
    pub fn check(&self) -> Result<(), Finding> {
        trust::verifier(self).map(drop)
    }

    /// Whether each authority has a revocation list, if any has, and each list an authority. What is told of a list comes with
    /// its place.
    pub fn judge_lists(&self) -> Vec<(Option<usize>, Finding)> {
        trust::judge_lists(self)
    }
}

/// Whom backends must be certified by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum RootsPlan {
    /// The system's roots.
    #[default]
    Platform,
    /// These certificates, as PEM.
    Pem(Vec<u8>),
}

/// How connections to backends are encrypted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectorPlan {
    /// Whom backends must be certified by.
    pub roots: RootsPlan,
    /// Whether a backend's certificate is verified at all.
    pub verify: bool,
    /// The name that is asked for and that must be in the certificate; `None` takes the endpoint's own.
    pub server_name: Option<String>,
    /// Whether the name is sent.
    pub send_sni: bool,
    /// The chain and key, as PEM, that the gateway shows when a backend asks.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether HTTP/1.1 is offered.
    pub http1: bool,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// How many backends' sessions are kept for resumption; 0 for none.
    pub sessions_max: usize,
}

impl Default for ConnectorPlan {
    /// Verified against the system's roots, HTTP/1.1, without resumption.
    fn default() -> ConnectorPlan {
        ConnectorPlan {
            roots: RootsPlan::Platform,
            verify: true,
            server_name: None,
            send_sni: true,
            client: None,
            http1: true,
            http2: false,
            sessions_max: 0,
        }
    }
}
