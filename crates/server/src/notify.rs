//! What the service manager is told (`sd_notify(3)`). Without one that asks, nothing.

use foregate_telemetry::log::process;
use sd_notify::NotifyState;

/// The configuration is in force, and connections are taken.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A configuration is being loaded; [`ready`] follows, whatever came of it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(at) => tell(&[NotifyState::Reloading, at]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// No more connections are taken, and the service ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the service from now on.
pub(crate) fn succeeded_by(process: u32) {
    tell(&[NotifyState::MainPid(process), NotifyState::Ready]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        process::warn("the service manager can't be told", &[("error", &error)]);
    }
}
