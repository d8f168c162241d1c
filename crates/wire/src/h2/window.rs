//! Flow-control windows (RFC 9113 §5.2, §6.9).

use super::frame::MAX_31;

/// How much may be sent to the peer: of a stream or of the connection. May be negative after the peer has made its
/// initial window smaller (RFC 9113 §6.9.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SendWindow(i32);

/// A window would grow beyond 2^31-1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Overflow;

impl SendWindow {
    /// `bytes` is at most 2^31-1, which whoever reads SETTINGS has checked.
    pub(crate) fn new(bytes: u32) -> SendWindow {
        SendWindow(bytes.min(MAX_31) as i32)
    }

    /// Bytes that may leave now.
    #[inline]
    pub(crate) fn free(self) -> u32 {
        self.0.max(0) as u32
    }

    /// `bytes` leave, which were free.
    #[inline]
    pub(crate) fn take(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.free());
        self.0 -= bytes as i32;
    }

    /// WINDOW_UPDATE.
    #[inline]
    pub(crate) fn grow(&mut self, bytes: u32) -> Result<(), Overflow> {
        self.shift(i64::from(bytes))
    }

    /// The peer's initial window has changed by `bytes`.
    pub(crate) fn shift(&mut self, bytes: i64) -> Result<(), Overflow> {
        let grown = i64::from(self.0) + bytes;
        self.0 = i32::try_from(grown).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// How much the peer may send, and how much of what it sent has been taken since it was last told so.
///
/// A stream's window is told by halves ([`ReceiveWindow::give_back`]): whoever reads the stream takes all that has come
/// before it waits for more, so that half of the window is free by then.
///
/// A connection's window has many readers, and what those that stand still have not taken must cost the others nothing
/// of the rest ([`ReceiveWindow::share_back`], [`ReceiveWindow::due`]): at any time at least half of what is not filled
/// by bodies that wait to be taken is free to the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReceiveWindow {
    /// What the peer may still send.
    free: u32,
    /// Bytes taken of which the peer does not know.
    taken: u32,
    /// Full size: an update is due once half of it has been taken.
    size: u32,
}

impl ReceiveWindow {
    /// `more` is what the peer may send once beyond `size`: it may not know yet that we want less than the default.
    pub(crate) fn new(size: u32, more: u32) -> ReceiveWindow {
        ReceiveWindow {
            free: size.min(MAX_31) + more,
            taken: 0,
            size: size.min(MAX_31),
        }
    }

    /// `bytes` have come.
    ///
    /// # Errors
    /// The peer has sent more than it might.
    #[inline]
    pub(crate) fn receive(&mut self, bytes: u32) -> Result<(), Overflow> {
        self.free = self.free.checked_sub(bytes).ok_or(Overflow)?;
        Ok(())
    }

    /// Whether the peer may send nothing.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.free == 0
    }

    /// `bytes` of what came have been taken, so that the peer may send as much again. The increment to announce once
    /// it is worth a frame.
    #[inline]
    pub(crate) fn give_back(&mut self, bytes: u32) -> Option<u32> {
        self.taken += bytes;
        self.announce(self.size / 2)
    }

    /// [`ReceiveWindow::give_back`] for the window of a connection.
    #[inline]
    pub(crate) fn share_back(&mut self, bytes: u32) -> Option<u32> {
        self.taken += bytes;
        self.due()
    }

    /// What a connection has to announce now: a half of the window, or as much as what the peer still has. It is asked
    /// after everything that came too, since that may leave the peer with nothing while nobody takes anything.
    #[inline]
    pub(crate) fn due(&mut self) -> Option<u32> {
        self.announce((self.size / 2).min(self.free))
    }

    /// What has been taken, if that is as much as is worth telling of.
    #[inline]
    fn announce(&mut self, worth: u32) -> Option<u32> {
        if self.taken == 0 || self.taken < worth {
            return None;
        }
        let increment = self.taken;
        self.taken = 0;
        self.free += increment;
        Some(increment)
    }

    /// What the peer may still send.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        self.free
    }

    /// Makes the window larger: the increment to announce.
    pub(crate) fn enlarge(&mut self, size: u32) -> Option<u32> {
        let increment = size.min(MAX_31).checked_sub(self.size)?;
        self.size += increment;
        self.free += increment;
        (increment > 0).then_some(increment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_send_window_may_become_negative_and_recover() {
        let mut window = SendWindow::new(100);
        window.take(60);
        window.shift(-90).unwrap();
        assert_eq!(window.free(), 0);
        window.grow(50).unwrap();
        assert_eq!(window.free(), 0);
        window.grow(1).unwrap();
        assert_eq!(window.free(), 1);
    }

    #[test]
    fn a_send_window_does_not_overflow() {
        let mut window = SendWindow::new(MAX_31);
        assert_eq!(window.grow(1), Err(Overflow));
        window.take(1);
        assert_eq!(window.grow(1), Ok(()));
        assert_eq!(SendWindow::new(1).grow(MAX_31), Err(Overflow));
    }

    #[test]
    fn credit_comes_back_by_halves() {
        let mut window = ReceiveWindow::new(100, 0);
        window.receive(100).unwrap();
        assert_eq!(window.receive(1), Err(Overflow));
        assert_eq!(window.give_back(49), None);
        assert_eq!(window.give_back(1), Some(50));
        assert_eq!(window.receive(51), Err(Overflow));
        assert_eq!(window.receive(50), Ok(()));
        assert_eq!(window.enlarge(130), Some(30));
        assert_eq!(window.receive(30), Ok(()));
    }

    proptest! {
        /// Whatever is received and taken, the peer never holds more credit than the window's size, and never ends
        /// up without any while everything has been taken.
        #[test]
        fn credit_is_neither_lost_nor_made(size in 1u32..1000, steps in proptest::collection::vec((0u32..1000, 0u32..1000), 0..50)) {
            let mut window = ReceiveWindow::new(size, 0);
            let mut credit = size;
            let mut held = 0;
            for (receive, take) in steps {
                let receive = receive.min(credit);
                prop_assert!(window.receive(receive).is_ok());
                credit -= receive;
                held += receive;
                let take = take.min(held);
                held -= take;
                credit += window.give_back(take).unwrap_or(0);
                prop_assert!(credit + held <= size);
                prop_assert!(held > 0 || credit > 0);
            }
        }

        /// Whatever others have left in the window of a connection, half of the rest is free.
        #[test]
        fn a_shared_window_is_open_for_half_of_what_is_not_held(size in 1u32..1000, steps in proptest::collection::vec((0u32..1000, 0u32..1000), 0..50)) {
            let mut window = ReceiveWindow::new(size, 0);
            let mut credit = size;
            let mut held = 0;
            for (receive, take) in steps {
                let receive = receive.min(credit);
                prop_assert!(window.receive(receive).is_ok());
                credit -= receive;
                held += receive;
                credit += window.due().unwrap_or(0);
                prop_assert!(credit + held <= size);
                prop_assert!(2 * credit >= size - held, "{credit} {held}");
                let take = take.min(held);
                held -= take;
                credit += window.share_back(take).unwrap_or(0);
                prop_assert!(credit + held <= size);
                prop_assert!(2 * credit >= size - held, "{credit} {held}");
            }
        }
    }
}
