//! The states of a stream.

/// Where a stream stands (RFC 9113 §5.1). Idle streams and those closed long ago have no place in the table: the
/// connection tells them by their number. Reserved states don't exist, as nobody may push.
///
/// ```text
///                         idle (a number above the last one)
///                           │ HEADERS sent or received
///                           ▼
///          END_STREAM ┌──── open ────┐ END_STREAM
///          received   │      │       │ sent
///                     ▼      │       ▼
///      half closed (remote)  │  half closed (local)
///                     │      │       │
///          END_STREAM │      │       │ END_STREAM
///                sent │      │ RST   │ received
///                     ▼      ▼       ▼
///                         closed
/// ```
/// RST_STREAM, sent or received, leads to closed from everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum State {
    /// Both sides may send.
    Open,
    /// We have sent END_STREAM: the peer may still send.
    HalfClosedLocal,
    /// The peer has sent END_STREAM: we may still send.
    HalfClosedRemote,
    /// Both have ended, or one has reset.
    #[default]
    Closed,
}

impl State {
    /// The state of a stream whose first HEADERS passed: `ours` if we sent them, `ended` if they had END_STREAM.
    pub(crate) fn opened(ours: bool, ended: bool) -> State {
        match (ended, ours) {
            (false, _) => State::Open,
            (true, true) => State::HalfClosedLocal,
            (true, false) => State::HalfClosedRemote,
        }
    }

    /// Whether the peer may send DATA and HEADERS. Other than that, a frame of these types is a stream error
    /// STREAM_CLOSED (RFC 9113 §5.1, half closed (remote)).
    #[inline]
    pub(crate) fn may_receive(self) -> bool {
        matches!(self, State::Open | State::HalfClosedLocal)
    }

    /// Whether we may send DATA and HEADERS.
    #[inline]
    pub(crate) fn may_send(self) -> bool {
        matches!(self, State::Open | State::HalfClosedRemote)
    }

    /// END_STREAM has come.
    #[inline]
    pub(crate) fn received_end(self) -> State {
        match self {
            State::Open => State::HalfClosedRemote,
            State::HalfClosedRemote => State::HalfClosedRemote,
            State::HalfClosedLocal | State::Closed => State::Closed,
        }
    }

    /// END_STREAM has left.
    #[inline]
    pub(crate) fn sent_end(self) -> State {
        match self {
            State::Open => State::HalfClosedLocal,
            State::HalfClosedLocal => State::HalfClosedLocal,
            State::HalfClosedRemote | State::Closed => State::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State::*;
    use super::*;

    /// RFC 9113 §5.1, row by row: state, after END_STREAM received, after END_STREAM sent, may receive, may send.
    #[test]
    fn every_transition() {
        for (state, received, sent, may_receive, may_send) in [
            (Open, HalfClosedRemote, HalfClosedLocal, true, true),
            (HalfClosedLocal, Closed, HalfClosedLocal, true, false),
            (HalfClosedRemote, HalfClosedRemote, Closed, false, true),
            (Closed, Closed, Closed, false, false),
        ] {
            assert_eq!(state.received_end(), received, "{state:?}");
            assert_eq!(state.sent_end(), sent, "{state:?}");
            assert_eq!(state.may_receive(), may_receive, "{state:?}");
            assert_eq!(state.may_send(), may_send, "{state:?}");
        }
    }

    #[test]
    fn the_first_headers_may_be_the_last() {
        assert_eq!(State::opened(true, false), Open);
        assert_eq!(State::opened(false, false), Open);
        assert_eq!(State::opened(true, true), HalfClosedLocal);
        assert_eq!(State::opened(false, true), HalfClosedRemote);
    }
}
