//! How the asking goes, for operators.

use foregate_telemetry::clock::UnixTime;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How one upstream's discovery goes.
#[derive(Debug, Default)]
pub struct DiscoveryStatus {
    answers: AtomicU64,
    errors: AtomicU64,
    /// Seconds since 1970, 0 = never.
    last_success: AtomicU64,
    endpoints: AtomicUsize,
    /// Why the last answer is not of now.
    trouble: Mutex<Option<String>>,
}

impl DiscoveryStatus {
    pub(super) fn answered(&self, endpoints: usize, at: UnixTime) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.last_success.store(at.seconds(), Ordering::Relaxed);
        self.endpoints.store(endpoints, Ordering::Relaxed);
        *self.lock() = None;
    }

    /// Whether this is the first trouble since the last answer.
    pub(super) fn failed(&self, trouble: &str) -> bool {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.lock().replace(trouble.to_owned()).is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // Replaced whole.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Attempts that came to nothing.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// When the last answer came, in seconds since 1970; `None` for never.
    pub fn last_success(&self) -> Option<u64> {
        Some(self.last_success.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    /// Endpoints in the last answer.
    pub fn endpoints(&self) -> usize {
        self.endpoints.load(Ordering::Relaxed)
    }

    /// What is in the way at present, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.lock().clone()
    }
}
