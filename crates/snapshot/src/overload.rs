//! What is given up when there is too much to do.

use foregate_config::settings::{self, MemoryMax, Overload};
use foregate_policy::overload::{Importance, Steps};
use std::time::Duration;

/// The limits of the whole process, and what is done close to them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OverloadPlan {
    /// Bytes of memory that the process may take.
    pub memory_max: MemoryLimit,
    /// Requests at once over all workers; `None` for no limit.
    pub requests_max: Option<u32>,
    /// How late a worker may be; `None` for no limit.
    pub delay_max: Option<Duration>,
    /// Requests at once over all workers that are served whatever the pressure.
    pub requests_always: u32,
    /// When what is given up.
    pub steps: Steps,
    /// What clients that are turned away are told in `Retry-After`, in seconds.
    pub retry_after: Box<str>,
}

/// How much memory the process may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryLimit {
    /// Four fifths of what the machine or its control group has, which is for the server to find out.
    Auto,
    /// So many bytes.
    Bytes(u64),
    /// Any amount.
    None,
}

pub(crate) fn compile(overload: &Overload) -> OverloadPlan {
    OverloadPlan {
        memory_max: match overload.memory_max {
            MemoryMax::Auto => MemoryLimit::Auto,
            MemoryMax::Bytes(bytes) => MemoryLimit::Bytes(bytes),
            MemoryMax::Off => MemoryLimit::None,
        },
        requests_max: overload.requests_max,
        delay_max: overload.delay_max,
        requests_always: overload.requests_always,
        steps: Steps {
            trim_percent: overload.trim_percent,
            shed_background_percent: overload.shed_background_percent,
            shed_normal_percent: overload.shed_normal_percent,
            pause_percent: overload.pause_percent,
        },
        retry_after: overload.retry_after.as_secs().to_string().into(),
    }
}

pub(crate) fn importance(importance: settings::Importance) -> Importance {
    match importance {
        settings::Importance::Background => Importance::Background,
        settings::Importance::Normal => Importance::Normal,
        settings::Importance::Critical => Importance::Critical,
    }
}
