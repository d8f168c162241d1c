//! Why a request is not tried again.

/// Why a request that could have been tried again was not. Names are stable: logs and metrics carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetryRefusal {
    /// As many endpoints were tried as may be.
    TriesMax,
    /// No other endpoint takes it.
    NoOtherEndpoint,
    /// As many tries again as may be are under way.
    RetriesMax,
    /// The retry budget is spent.
    Budget,
}

impl RetryRefusal {
    /// Every refusal, in the order of its number: the order in which they are looked for.
    pub const ALL: [RetryRefusal; 4] = [
        RetryRefusal::TriesMax,
        RetryRefusal::NoOtherEndpoint,
        RetryRefusal::RetriesMax,
        RetryRefusal::Budget,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RetryRefusal::TriesMax => "tries-max",
            RetryRefusal::NoOtherEndpoint => "no-other-endpoint",
            RetryRefusal::RetriesMax => "retries-max",
            RetryRefusal::Budget => "budget",
        }
    }
}
