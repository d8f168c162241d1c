//! `[upstreams.<name>.sticky]`: sessions that stay with their backend.

use super::Secret;
use std::time::Duration;

/// Sessions that stay with their backend by a cookie, whose value is sealed and tells nothing about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: String,
    /// How long a session stays with its backend; `None` until the client forgets the cookie.
    pub lifetime: Option<Duration>,
    /// The cookie's path.
    pub path: String,
    /// Whether the cookie is sent over TLS only.
    pub secure: CookieSecure,
    /// Whether scripts of the page cannot read it.
    pub http_only: bool,
    /// Whether requests from other sites carry it.
    pub same_site: SameSite,
    /// What cookies are sealed with, the first; the others open older ones. Empty for a key of the process' own.
    pub secrets: Vec<Secret>,
}

/// Whether a cookie is sent over TLS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieSecure {
    /// If the client came by TLS when it got it.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Whether requests from other sites carry a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Only where the user follows a link.
    Lax,
    /// Never.
    Strict,
    /// Always; browsers ask for `Secure` with it.
    None,
}
