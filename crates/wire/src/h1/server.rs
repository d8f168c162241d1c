//! What may follow on a client's connection.

use super::framing::RequestFraming;

/// What the shell does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Read a head.
    Head,
    /// Go on with the exchange that is open.
    Exchange,
    /// The response is complete and the request's body is not: read and drop the rest, within a bound, and ask again.
    Drain,
    /// Close. `unread`: more of the request may be on its way, so the sending side is closed first and what still
    /// comes is dropped for a moment; otherwise a reset could destroy the response in flight (RFC 9112 §9.6).
    Close {
        /// Whether the request's body was not read to its end.
        unread: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Response {
    Waiting,
    Sending,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Open {
        /// Whether the body was read to its end.
        request_ended: bool,
        response: Response,
        keep_alive: bool,
        /// The client waits for `100 Continue` and did not get it.
        waits: bool,
    },
    Closed {
        unread: bool,
    },
}

/// One client connection: which message may be read or written now, and whether another request may follow.
///
/// ```text
///          head                        both ended, kept
///  Idle ───────────► Open { request ∥ response } ──────────► Idle
///                      │ response ended, kept: drain the request first
///                      │ not kept, failed, switched, or a step out of order
///                      └──────────────────────────────────► Closed
/// ```
///
/// A step that does not fit its state closes the connection: nothing is ever guessed.
#[derive(Clone, Copy, Debug)]
pub struct ServerConnection {
    state: State,
    requests: u32,
    requests_max: u32,
}

impl ServerConnection {
    /// An idle connection that takes at most `requests_max` requests; 0 for no limit.
    pub const fn new(requests_max: u32) -> ServerConnection {
        ServerConnection {
            state: State::Idle,
            requests: 0,
            requests_max,
        }
    }

    /// Takes at most `requests_max` requests, counted from its first; 0 for no limit. Where there were as many already, the
    /// next one is the last.
    pub const fn limit_requests(&mut self, requests_max: u32) {
        self.requests_max = requests_max;
    }

    /// A request's head was read.
    #[inline]
    pub fn head(&mut self, framing: &RequestFraming) {
        if self.state != State::Idle {
            return self.fail();
        }
        self.requests = self.requests.saturating_add(1);
        let more = self.requests_max == 0 || self.requests < self.requests_max;
        self.state = State::Open {
            request_ended: framing.length.is_empty(),
            response: Response::Waiting,
            keep_alive: framing.keep_alive && more,
            waits: framing.expects_continue,
        };
    }

    /// Whether the next response's head may promise to keep the connection. A client that waits for `100 Continue`
    /// may or may not send its body after a final answer, so nothing can be read after it.
    #[inline]
    pub fn may_keep(&self) -> bool {
        matches!(
            self.state,
            State::Open { keep_alive: true, waits, request_ended, .. } if request_ended || !waits
        )
    }

    /// No other request may follow this one, however its response is framed.
    pub fn keep_no_more(&mut self) {
        if let State::Open { keep_alive, .. } = &mut self.state {
            *keep_alive = false;
        }
    }

    /// Whether `100 Continue` is due before the body is read.
    #[inline]
    pub fn owes_continue(&self) -> bool {
        matches!(
            self.state,
            State::Open {
                waits: true,
                response: Response::Waiting,
                ..
            }
        )
    }

    /// `100 Continue` was sent, or the body began to come without it.
    pub fn continued(&mut self) {
        if let State::Open { waits, .. } = &mut self.state {
            *waits = false;
        }
    }

    /// The request's body was read to its end.
    #[inline]
    pub fn request_ended(&mut self) {
        match &mut self.state {
            State::Open { request_ended, .. } => *request_ended = true,
            _ => self.fail(),
        }
    }

    /// A final response's head was written; `kept` is what [`super::write_response`] said.
    #[inline]
    pub fn response_began(&mut self, kept: bool) {
        match &mut self.state {
            State::Open {
                response: response @ Response::Waiting,
                keep_alive,
                ..
            } => {
                *response = Response::Sending;
                *keep_alive &= kept;
            }
            _ => self.fail(),
        }
    }

    /// The response was written to its end.
    #[inline]
    pub fn response_ended(&mut self) {
        match &mut self.state {
            State::Open {
                response: response @ Response::Sending,
                ..
            } => *response = Response::Ended,
            _ => self.fail(),
        }
    }

    /// Something broke, or the connection became a tunnel that has ended: nothing follows.
    #[cold]
    pub fn fail(&mut self) {
        self.state = State::Closed {
            unread: match self.state {
                State::Idle => false,
                State::Open { request_ended, .. } => !request_ended,
                State::Closed { unread } => unread,
            },
        };
    }

    /// What to do now; an exchange of which both sides have ended is put behind.
    #[inline]
    pub fn settle(&mut self) -> Next {
        match self.state {
            State::Idle => Next::Head,
            State::Open {
                response: Response::Ended,
                request_ended,
                keep_alive,
                ..
            } => match (keep_alive, request_ended) {
                (true, true) => {
                    self.state = State::Idle;
                    Next::Head
                }
                (true, false) => Next::Drain,
                (false, _) => {
                    self.fail();
                    Next::Close {
                        unread: !request_ended,
                    }
                }
            },
            State::Open { .. } => Next::Exchange,
            State::Closed { unread } => Next::Close { unread },
        }
    }

    /// Whether no exchange is open, so that the connection can be closed at any time.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// How many requests came.
    pub fn requests(&self) -> u32 {
        self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_message::BodyLength;

    fn framing(length: BodyLength, expects_continue: bool) -> RequestFraming {
        RequestFraming {
            length,
            keep_alive: true,
            expects_continue,
            upgrade: false,
        }
    }

    fn with_body() -> ServerConnection {
        let mut connection = ServerConnection::new(0);
        connection.head(&framing(BodyLength::Known(5), false));
        connection
    }

    #[test]
    fn requests_follow_each_other_up_to_the_limit() {
        let mut connection = ServerConnection::new(2);
        for last in [false, true] {
            assert_eq!(connection.settle(), Next::Head);
            connection.head(&framing(BodyLength::Empty, false));
            assert_eq!(connection.settle(), Next::Exchange);
            assert_eq!(connection.may_keep(), !last);
            connection.response_began(connection.may_keep());
            connection.response_ended();
        }
        assert_eq!(connection.settle(), Next::Close { unread: false });
        assert_eq!(connection.requests(), 2);
    }

    #[test]
    fn nothing_follows_what_is_the_last() {
        let mut connection = ServerConnection::new(0);
        connection.head(&framing(BodyLength::Empty, false));
        connection.keep_no_more();
        assert!(!connection.may_keep());
        connection.response_began(true);
        connection.response_ended();
        assert_eq!(connection.settle(), Next::Close { unread: false });
    }

    #[test]
    fn a_body_is_drained_after_an_early_response() {
        let mut connection = with_body();
        connection.response_began(true);
        connection.response_ended();
        assert_eq!(connection.settle(), Next::Drain);
        connection.request_ended();
        assert_eq!(connection.settle(), Next::Head);
    }

    #[test]
    fn a_body_in_doubt_closes_the_connection() {
        let mut connection = ServerConnection::new(0);
        connection.head(&framing(BodyLength::Known(5), true));
        assert!(connection.owes_continue() && !connection.may_keep());
        let mut continued = connection;
        continued.continued();
        assert!(!continued.owes_continue() && continued.may_keep());
        connection.response_began(false);
        connection.response_ended();
        assert_eq!(connection.settle(), Next::Close { unread: true });
        let mut broken = with_body();
        broken.fail();
        assert_eq!(broken.settle(), Next::Close { unread: true });
    }

    #[test]
    fn steps_out_of_order_close() {
        let closed = |steps: &[fn(&mut ServerConnection)]| {
            let mut connection = with_body();
            connection.request_ended();
            for step in steps {
                step(&mut connection);
            }
            assert_eq!(connection.settle(), Next::Close { unread: false });
        };
        closed(&[|c| c.response_ended()]);
        closed(&[|c| c.head(&framing(BodyLength::Empty, false))]);
        closed(&[|c| c.response_began(true), |c| c.response_began(true)]);
        closed(&[
            |c| c.fail(),
            |c| c.request_ended(),
            |c| c.response_began(true),
        ]);
    }
}
