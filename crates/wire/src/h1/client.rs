//! What may follow on a connection to a backend.

use super::framing::ResponseFraming;
use foregate_message::BodyLength;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Response {
    /// Nothing has come.
    Untouched,
    /// Bytes have come, and no final head yet.
    Begun,
    Receiving,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Open {
        request_ended: bool,
        response: Response,
        keep_alive: bool,
    },
    Unusable,
}

/// One connection to a backend: whether a request may be sent on it.
///
/// ```text
///          begin                       both ended cleanly, kept, nothing left over
///  Idle ───────────► Open { request ∥ response } ─────────────────────────► Idle
///   │                  │ not kept, failed, switched, answered too early or too much
///   │ bytes while idle │ or a step out of order
///   └──────────────────┴──────────────────────────────────────────────────► Unusable
/// ```
///
/// A step that does not fit its state makes the connection unusable: a request is never sent where the last body is
/// in doubt.
#[derive(Clone, Copy, Debug)]
pub struct ClientConnection {
    state: State,
}

impl Default for ClientConnection {
    fn default() -> ClientConnection {
        ClientConnection::new()
    }
}

impl ClientConnection {
    /// A connection that was just made.
    pub const fn new() -> ClientConnection {
        ClientConnection { state: State::Idle }
    }

    /// A request's head is about to be written; `keep_alive` is what it says.
    #[inline]
    pub fn begin(&mut self, keep_alive: bool) {
        self.state = match self.state {
            State::Idle => State::Open {
                request_ended: false,
                response: Response::Untouched,
                keep_alive,
            },
            _ => State::Unusable,
        };
    }

    /// The request was written to its end.
    #[inline]
    pub fn request_ended(&mut self) {
        match &mut self.state {
            State::Open { request_ended, .. } => *request_ended = true,
            _ => self.fail(),
        }
    }

    /// Bytes came from the backend. While idle nothing was asked, so whatever it is answers nothing.
    #[inline]
    pub fn bytes_came(&mut self) {
        match &mut self.state {
            State::Open { response, .. } => {
                if *response == Response::Untouched {
                    *response = Response::Begun;
                }
            }
            _ => self.fail(),
        }
    }

    /// An interim response's head was read.
    pub fn interim_came(&mut self, framing: &ResponseFraming) {
        if let State::Open { keep_alive, .. } = &mut self.state {
            *keep_alive &= framing.keep_alive;
        }
    }

    /// Whether the request was written to its end.
    pub fn has_request_ended(&self) -> bool {
        matches!(
            self.state,
            State::Open {
                request_ended: true,
                ..
            }
        )
    }

    /// A final response's head was read.
    #[inline]
    pub fn response_began(&mut self, framing: &ResponseFraming) {
        match &mut self.state {
            State::Open {
                response: response @ (Response::Untouched | Response::Begun),
                keep_alive,
                ..
            } if framing.length != BodyLength::Tunnel => {
                *response = Response::Receiving;
                *keep_alive &= framing.keep_alive;
            }
            _ => self.fail(),
        }
    }

    /// The response was read to its end. A backend that answers before it has the whole request may stop reading it
    /// anywhere, so the connection is not used again.
    #[inline]
    pub fn response_ended(&mut self) {
        match &mut self.state {
            State::Open {
                request_ended: true,
                response: response @ Response::Receiving,
                ..
            } => *response = Response::Ended,
            _ => self.fail(),
        }
    }

    /// Something broke, or the exchange was given up.
    #[cold]
    pub fn fail(&mut self) {
        self.state = State::Unusable;
    }

    /// Puts the exchange behind. `left_over`: how many received bytes nobody asked for. `true`: the connection may be
    /// kept for another request; `false`: it must be closed.
    #[inline]
    pub fn settle(&mut self, left_over: usize) -> bool {
        self.state = match self.state {
            State::Open {
                request_ended: true,
                response: Response::Ended,
                keep_alive: true,
            } if left_over == 0 => State::Idle,
            _ => State::Unusable,
        };
        self.state == State::Idle
    }

    /// Whether a request may be sent.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether the backend has said nothing at all about the open request: if the connection was a kept one and
    /// closes now, the backend most likely closed it before it saw the request.
    #[inline]
    pub fn is_untouched(&self) -> bool {
        matches!(
            self.state,
            State::Open {
                response: Response::Untouched,
                ..
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: ResponseFraming = ResponseFraming {
        length: BodyLength::Known(5),
        keep_alive: true,
    };

    fn asked() -> ClientConnection {
        let mut connection = ClientConnection::new();
        connection.begin(true);
        connection
    }

    fn answered(framing: &ResponseFraming) -> ClientConnection {
        let mut connection = asked();
        connection.request_ended();
        connection.bytes_came();
        connection.response_began(framing);
        connection.response_ended();
        connection
    }

    #[test]
    fn a_clean_exchange_leaves_the_connection_usable() {
        let mut connection = answered(&KEPT);
        assert!(connection.settle(0) && connection.is_idle());
        connection.begin(true);
        assert!(connection.is_untouched());
    }

    #[test]
    fn whatever_is_in_doubt_makes_it_unusable() {
        assert!(!answered(&KEPT).settle(1));
        let mut hinted = asked();
        assert!(!hinted.has_request_ended());
        hinted.request_ended();
        assert!(hinted.has_request_ended());
        hinted.bytes_came();
        hinted.interim_came(&ResponseFraming {
            length: BodyLength::Empty,
            keep_alive: false,
        });
        hinted.response_began(&KEPT);
        hinted.response_ended();
        assert!(!hinted.settle(0));
        let closes = ResponseFraming {
            keep_alive: false,
            ..KEPT
        };
        assert!(!answered(&closes).settle(0));
        let tunnel = ResponseFraming {
            length: BodyLength::Tunnel,
            ..KEPT
        };
        assert!(!answered(&tunnel).settle(0));
        let mut says_close = ClientConnection::new();
        says_close.begin(false);
        says_close.request_ended();
        says_close.response_began(&KEPT);
        says_close.response_ended();
        assert!(!says_close.settle(0));
        let mut half = asked();
        half.request_ended();
        half.response_began(&KEPT);
        assert!(!half.settle(0));
    }

    #[test]
    fn an_answer_before_the_whole_question_ends_it() {
        let mut early = asked();
        early.bytes_came();
        assert!(!early.is_untouched());
        early.response_began(&KEPT);
        early.response_ended();
        early.request_ended();
        assert!(!early.settle(0));
        let mut unasked = ClientConnection::new();
        unasked.bytes_came();
        assert!(!unasked.is_idle());
        unasked.begin(true);
        assert!(!unasked.is_untouched());
    }
}
