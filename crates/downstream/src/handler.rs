//! The one door from here to the road.

use foregate_message::{BodyLength, Client, Reason, RequestHead};
use foregate_telemetry::clock::{Deadline, Moment};

/// A request as it came in.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Its head; when `outcome` is an error it may be empty or half read.
    pub head: &'a mut RequestHead,
    /// How much body follows, or why the request is refused before anybody looked at what it asks for.
    pub outcome: Result<BodyLength, Reason>,
    /// Whether the client asks for another protocol, in a way that may be passed on.
    pub upgrade: bool,
    /// Whether the client waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
    /// When its head was complete.
    pub at: Moment,
    /// What may tell the task that serves it that a time has passed: unset, and to be left so.
    pub timer: &'a mut Deadline,
}

/// A connection whose bytes are to be passed on.
#[derive(Debug)]
pub struct Passage {
    /// The name that the client's TLS asks for, in lower case, if it speaks TLS and names one.
    pub server_name: Option<String>,
    /// Why it is refused before anybody looked where it goes.
    pub outcome: Result<(), Reason>,
    /// When it was ready to be passed on.
    pub at: Moment,
}

/// Serves requests: entered once for each, well-formed or not.
pub trait Handler: 'static {
    /// Answers `arrival` through `client`. The exchange is over when the future is; dropping the future abandons it.
    fn serve<C: Client>(&self, client: &mut C, arrival: Arrival<'_>) -> impl Future<Output = ()>;

    /// Passes the bytes of a connection that carries no requests on, in both directions: `client` is a tunnel from its
    /// beginning. It is over when the future is.
    fn pass<C: Client>(&self, client: &mut C, passage: Passage) -> impl Future<Output = ()>;
}
