//! How long a backend is waited for.

use crate::upload::Upload;
use foregate_message::Reason;
use foregate_telemetry::clock::{Deadline, Moment, now};
use foregate_upstream::Call;
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Connection,
    Free,
    Line,
    Sending,
    FirstByte,
    NextByte,
    Tunnel,
}

/// The time limits of one route, as they apply to the exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimits {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) between_bytes: Option<Duration>,
    pub(crate) request: Option<Duration>,
    pub(crate) per_try: Option<Duration>,
    pub(crate) tunnel_idle: Option<Duration>,
}

/// What tells an exchange that its time has passed.
#[derive(Debug)]
pub(crate) enum Timer<'t> {
    Own(Deadline),
    /// Whoever hands in one request after the other has it for all of them: the thread's wheel knows it, and whom to wake.
    Lent(&'t mut Deadline),
}

impl Timer<'_> {
    /// One for an exchange that nobody lends one to.
    pub(crate) fn own() -> Timer<'static> {
        Timer::Own(Deadline::new())
    }

    #[inline]
    fn deadline(&mut self) -> &mut Deadline {
        match self {
            Timer::Own(deadline) => deadline,
            Timer::Lent(deadline) => deadline,
        }
    }
}

impl Drop for Timer<'_> {
    #[inline]
    fn drop(&mut self) {
        // Who lent it must not be woken for what is over.
        if let Timer::Lent(deadline) = self {
            deadline.clear();
        }
    }
}

/// One deadline for the whole exchange, moved from phase to phase.
#[derive(Debug)]
pub(crate) struct Patience<'t> {
    limits: TimeLimits,
    timer: Timer<'t>,
    /// By when the present wait must be over; the deadline is only set once something is really waited for.
    until: Moment,
    set: bool,
    wait: Wait,
    /// Since when.
    since: Moment,
    /// The road's: nothing is waited for any more.
    cut: Rc<Cell<bool>>,
    /// By when the whole exchange must be over.
    end: Moment,
    /// By when the present try must have come to an answer.
    try_end: Moment,
}

impl<'t> Patience<'t> {
    pub(crate) fn new(
        limits: TimeLimits,
        timer: Timer<'t>,
        began: Moment,
        cut: &Rc<Cell<bool>>,
    ) -> Patience<'t> {
        Patience {
            limits,
            timer,
            until: Moment::NEVER,
            set: false,
            wait: Wait::Connection,
            since: began,
            cut: Rc::clone(cut),
            try_end: Moment::NEVER,
            end: limits
                .request
                .map_or(Moment::NEVER, |span| began.plus(span)),
        }
    }

    /// A try begins.
    pub(crate) fn begin_try(&mut self) {
        if let Some(span) = self.limits.per_try {
            self.try_end = now().plus(span);
        }
    }

    /// By when the backend must have come to an answer; [`Moment::NEVER`] if there is no such time.
    #[inline]
    pub(crate) fn deadline(&self) -> Moment {
        self.end.min(self.try_end)
    }

    /// Since when there has been nothing but the present wait: for an answer, since the last of the request that came from
    /// the client.
    pub(crate) fn since(&self) -> Moment {
        self.since
    }

    /// A connection is being opened.
    pub(crate) fn connect(&mut self) {
        self.wait = Wait::Connection;
        self.set(Some(self.limits.connect), now());
    }

    /// A free connection is waited for: also when that is another endpoint's now, since the same time.
    pub(crate) fn queue(&mut self) {
        if self.wait != Wait::Free {
            self.wait = Wait::Free;
            self.set(Some(self.limits.connect), now());
        }
    }

    /// A place at an endpoint is waited for.
    pub(crate) fn stand_in_line(&mut self, span: Duration) {
        self.wait = Wait::Line;
        self.set(Some(span), now());
    }

    /// The request is being sent, at `at`, and its answer waited for.
    pub(crate) fn answer(&mut self, at: Moment) {
        self.wait = Wait::FirstByte;
        self.set(self.limits.first_byte, at);
    }

    /// The answer has begun.
    pub(crate) fn body(&mut self, at: Moment) {
        self.try_end = Moment::NEVER;
        self.wait = Wait::NextByte;
        self.set(self.limits.between_bytes, at);
    }

    /// The connection has become a tunnel.
    pub(crate) fn tunnel(&mut self) {
        self.wait = Wait::Tunnel;
        self.end = Moment::NEVER;
        self.renew();
    }

    /// Something moved: the present wait begins anew.
    pub(crate) fn renew(&mut self) {
        let span = self.span();
        self.set(span, now());
    }

    fn span(&self) -> Option<Duration> {
        match self.wait {
            Wait::Connection | Wait::Free | Wait::Line => Some(self.limits.connect),
            Wait::FirstByte => self.limits.first_byte,
            Wait::Sending | Wait::NextByte => self.limits.between_bytes,
            Wait::Tunnel => self.limits.tunnel_idle,
        }
    }

    /// Until the answer begins: whether the backend is to take more of the request, or to answer.
    fn follow(&mut self, call: &Call) {
        if !matches!(self.wait, Wait::FirstByte | Wait::Sending) {
            return;
        }
        let wait = match call.is_sending() {
            true => Wait::Sending,
            false => Wait::FirstByte,
        };
        if self.wait != wait {
            self.wait = wait;
            self.renew();
        }
    }

    #[inline]
    fn set(&mut self, span: Option<Duration>, at: Moment) {
        let until = span.map_or(Moment::NEVER, |span| at.plus(span));
        self.until = until.min(self.end).min(self.try_end);
        self.since = at;
        self.set = false;
    }

    #[inline]
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.set {
            self.timer.deadline().set(self.until);
            self.set = true;
        }
        if self.cut.get() {
            return Poll::Ready(());
        }
        self.timer.deadline().poll_expired(cx)
    }

    /// Ready with the reason once the wait for a connection is over.
    pub(crate) fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.poll_expired(cx).map(|()| match self.wait {
            _ if self.cut.get() => Reason::Draining,
            _ if now() >= self.end => Reason::RequestTimeout,
            Wait::Line => Reason::QueueTimeout,
            Wait::Free => Reason::PendingTimeout,
            _ => Reason::ConnectTimeout,
        })
    }

    /// Whether a connection that did not come about in time had a fair share of what there is for one: half of it, or of what
    /// the request or its try may take at most. Otherwise others have used it up.
    pub(crate) fn was_fair(&self, at: Moment) -> bool {
        let TimeLimits {
            connect,
            request,
            per_try,
            ..
        } = self.limits;
        let shorter = [request, per_try].into_iter().flatten();
        let whole = shorter.fold(connect, Duration::min);
        at.since(self.since) >= whole / 2
    }

    /// Ready with the reason once the wait is over. While the client is the one who keeps everybody waiting, with a
    /// body that comes slowly, the backend's time does not run out.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        upload: &Upload,
    ) -> Poll<Reason> {
        // A head alone leaves at once.
        if upload.moved > 0 {
            self.follow(call);
        }
        loop {
            if self.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            if self.cut.get() {
                return Poll::Ready(Reason::Draining);
            }
            // Otherwise it is the client that keeps everybody waiting.
            let is_backends_turn = call.is_sending() || upload.is_ended();
            if is_backends_turn && self.wait != Wait::Tunnel {
                call.timed_out();
            }
            if now() >= self.end {
                return Poll::Ready(Reason::RequestTimeout);
            }
            if now() >= self.try_end {
                if is_backends_turn {
                    return Poll::Ready(Reason::TryTimeout);
                }
                // The client keeps everybody waiting: the try is measured from when it does not.
                self.begin_try();
                self.renew();
                continue;
            }
            return Poll::Ready(match self.wait {
                Wait::Tunnel => Reason::TunnelIdle,
                _ if call.is_sending() => Reason::UpstreamWriteTimeout,
                _ if !upload.is_ended() => {
                    self.renew();
                    continue;
                }
                Wait::NextByte => Reason::BetweenBytesTimeout,
                _ => Reason::FirstByteTimeout,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_telemetry::clock::deadlines::{armed, expire};
    use std::task::Waker;

    const LIMITS: TimeLimits = TimeLimits {
        connect: Duration::from_millis(100),
        first_byte: None,
        between_bytes: None,
        request: None,
        per_try: None,
        tunnel_idle: None,
    };

    #[test]
    fn a_timer_that_was_lent_is_given_back_unset() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut lent = Deadline::new();
        let cut = Rc::default();
        for began_ms in [1_000, 2_000] {
            let began = Moment::from_millis(began_ms);
            let mut patience = Patience::new(LIMITS, Timer::Lent(&mut lent), began, &cut);
            patience.wait = Wait::Free;
            patience.set(Some(LIMITS.connect), began);
            assert_eq!(armed(), 0, "it is set once something is waited for");
            assert!(patience.poll_connection(&mut cx).is_pending());
            assert_eq!(armed(), 1);
            expire(began.plus_millis(150));
            let over = patience.poll_connection(&mut cx);
            assert_eq!(over, Poll::Ready(Reason::PendingTimeout));
            drop(patience);
            assert!(!lent.is_expired(), "nothing of it is left");
            assert_eq!(armed(), 0);
        }
    }
}
