//! `balance` and its companions of an upstream: how a backend is chosen.

/// How a backend is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    RoundRobin,
    /// The fewest running requests relative to the weight.
    LeastRequests,
    /// The less loaded of two drawn at random.
    PowerOfTwo,
    /// The one of two drawn at random that is expected to answer sooner.
    PeakEwma,
    /// Drawn at random by weight.
    Random,
    /// By a key of the request, on a ring.
    HashRing,
    /// By a key of the request, by Maglev's table.
    HashMaglev,
}

/// What of a request decides where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashBy {
    /// The client's address.
    Client,
    /// The path, as routes are matched with it.
    Path,
    /// Path and query.
    Url,
    /// A header; its name in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A query parameter.
    Query(String),
}

/// How much of the preferred backends must be fit for them to take all requests, in percent of their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitMin {
    /// Of the primaries, before backups.
    pub primary_percent: u8,
    /// Of the own zone, before others.
    pub zone_percent: u8,
}
