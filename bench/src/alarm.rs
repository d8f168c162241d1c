//! What wakes an open loop for its next request.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A timer of the kernel's that is readable each time a distance has passed, to the microsecond.
///
/// A wait for sockets counts whole milliseconds, which is the distance of many requests: a loop woken by that alone sends
/// all of them late, and their latency is its own.
pub struct Alarm {
    timer: OwnedFd,
}

impl Alarm {
    /// A timer that is readable after the distance for the first time.
    ///
    /// # Errors
    /// The kernel's.
    pub fn every(distance: Duration) -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let distance = Timespec::try_from(distance)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let times = Itimerspec {
            it_interval: distance,
            it_value: distance,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        Ok(Self { timer })
    }

    /// Makes it unreadable until the distance has passed again.
    ///
    /// # Errors
    /// The kernel's.
    pub fn hush(&self) -> io::Result<()> {
        let mut passed = [0; 8];
        match rustix::io::read(&self.timer, &mut passed) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{Interest, Poll};
    use std::time::Instant;

    #[test]
    fn an_alarm_wakes_before_a_millisecond_has_passed() {
        let woken_after = || {
            let mut poll = Poll::new(4).unwrap();
            let began = Instant::now();
            let alarm = Alarm::every(Duration::from_micros(50)).unwrap();
            poll.add(&alarm, 7, Interest::Read).unwrap();
            assert_eq!(poll.wait(Some(Duration::from_secs(5))).unwrap(), 1);
            assert_eq!(poll.ready(0).token, 7);
            began.elapsed()
        };
        // A busy machine wakes late, but not always.
        let soonest = (0..100).map(|_| woken_after()).min().unwrap();
        assert!(soonest >= Duration::from_micros(50), "{soonest:?}");
        assert!(soonest < Duration::from_millis(1), "{soonest:?}");
    }

    #[test]
    fn a_hushed_alarm_is_silent_for_its_distance() {
        let mut poll = Poll::new(4).unwrap();
        let alarm = Alarm::every(Duration::from_secs(60)).unwrap();
        poll.add(&alarm, 7, Interest::Read).unwrap();
        alarm.hush().unwrap();
        assert_eq!(poll.wait(Some(Duration::ZERO)).unwrap(), 0);
    }
}
