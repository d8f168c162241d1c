//! **Purpose:** what the end-to-end stories share: the names of metrics, the end every story has in common, the soak run.
//! **Never knows:** the crates of the gateway; stories meet it as a process only.
//! **Next on the road:** the stories, one folder a feature.

pub mod changes;
pub mod foreign;
pub mod large;
pub mod metric;
pub mod secure;
pub mod soak;

use foregate_testkit::Gateway;

/// The end that most stories have: exactly one request was logged, with this status and reason; it was counted under that
/// reason; and nothing of it remains.
///
/// # Panics
/// When one of these is not so.
pub fn assert_outcome(gateway: &Gateway, status: u16, reason: &str) {
    let line = gateway.only_log_line();
    assert_eq!(
        (line.status(), line.reason().as_str()),
        (status, reason),
        "{}",
        line.value()
    );
    gateway.wait_metric(metric::OUTCOMES, &[("reason", reason)], 1.0);
    gateway.assert_no_leaks();
}
