//! The calendar as certificates write it.

use foregate_telemetry::clock::unix_now;

/// The present in seconds since 1970, with the sign that times of certificates have.
pub fn unix_s() -> i64 {
    i64::try_from(unix_now().seconds()).unwrap_or(i64::MAX)
}
