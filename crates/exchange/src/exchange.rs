//! What is known of one exchange, from its first step to its log line.

use crate::elsewhere::Elsewhere;
use crate::guard::Guarded;
use crate::mirror::Pending;
use crate::plan::Plan;
use crate::session::Session;
use crate::{Road, describe};
use foregate_balance::{HedgeNote, Pick, RetryRefusal};
use foregate_message::path::Normal;
use foregate_message::{BodyLength, FieldId, Fields, Peer, Reason, RequestHead, Scheme};
use foregate_policy::client_address::Origin;
use foregate_policy::request_id::RequestId;
use foregate_telemetry::clock::{Deadline, Moment};
use foregate_upstream::Pool;
use std::cell::Cell;
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;

/// A request as its protocol handed it over.
#[derive(Debug)]
pub struct Request<'a> {
    /// The head; may be empty or half read when `outcome` is an error.
    pub head: &'a mut RequestHead,
    /// How much body follows, or why the request was refused before it came here.
    pub outcome: Result<BodyLength, Reason>,
    /// Whether the client asks for another protocol in a way that may be passed on.
    pub upgrade: bool,
    /// Whether the client waits for consent before it sends the body.
    pub expects_continue: bool,
    /// When the head was complete.
    pub at: Moment,
    /// What tells it that its time has passed: unset, and left so.
    pub timer: &'a mut Deadline,
}

/// What is chosen by the copy of a request: not a target, but the mirror.
pub(crate) const MIRRORED: u32 = u32::MAX;

/// One exchange.
pub(crate) struct Exchange {
    /// The configuration that it began with and ends with.
    pub(crate) plan: Rc<Plan>,
    pub(crate) at: Moment,
    pub(crate) outcome: Result<BodyLength, Reason>,
    /// The protocol asked for, by its place in the head.
    pub(crate) upgrade: Option<Range<u32>>,
    pub(crate) expects_continue: bool,
    pub(crate) request_id: RequestId,
    /// The client, as far as trusted proxies say.
    pub(crate) client: IpAddr,
    /// How the client came, as far as trusted proxies say.
    pub(crate) scheme: Scheme,
    /// Host as the client sent it, by its place in the head.
    pub(crate) host: Range<u32>,
    /// Whether what backends get has a Host, whichever it goes to.
    pub(crate) has_host: bool,
    pub(crate) referer: Range<u32>,
    pub(crate) user_agent: Range<u32>,
    /// How the path's normal form relates to what was received; the form itself is `path` unless it is verbatim.
    pub(crate) normal: Normal,
    pub(crate) path: Vec<u8>,
    /// Whether the client speaks gRPC-Web, which is gRPC to everybody behind the bridge.
    pub(crate) translated: bool,
    /// By when a client of gRPC wants its answer, once an endpoint is asked; [`Moment::NEVER`] for all others.
    pub(crate) client_deadline: Moment,
    /// Whether the answer that the client is sent speaks gRPC, so that a failure can be told behind its body.
    pub(crate) is_answered_in_grpc: bool,
    /// What goes into the backend's request line, when it isn't what came.
    pub(crate) target: Option<Vec<u8>>,
    /// The route's number in the plan.
    pub(crate) route: Option<u32>,
    /// The site that has no route for the request.
    pub(crate) missed_site: Option<u32>,
    /// Which of the route's targets takes it; [`MIRRORED`] for a copy.
    pub(crate) chosen: u32,
    /// The hash of what its upstream places it by.
    pub(crate) key: Option<u64>,
    /// Its session, when its upstream keeps sessions.
    pub(crate) session: Option<Session>,
    /// How the last endpoint was picked.
    pub(crate) pick: Option<Pick>,
    /// A copy of it for another upstream, that waits for the body.
    pub(crate) copy: Cell<Option<Box<Pending>>>,
    /// Where it goes instead of where it waited for a connection.
    pub(crate) elsewhere: Cell<Option<Box<Elsewhere>>>,
    /// The endpoint that answered or failed last.
    pub(crate) endpoint: Option<Rc<Pool>>,
    pub(crate) tries: u32,
    /// Why it was not tried again, when it could have been.
    pub(crate) retry_refused: Option<RetryRefusal>,
    /// What became of its hedge, or why it has none, once it was time for one.
    pub(crate) hedge: Option<HedgeNote>,
    /// What it holds of an upstream with limits or circuits.
    pub(crate) guarded: Option<Box<Guarded>>,
    /// The tries that failed and were followed by another, or that another one has outrun.
    pub(crate) failures: Vec<(Rc<Pool>, TryFailure)>,
    pub(crate) upstream_micros: Option<u64>,
    /// The status that the client was sent; 0 until then.
    pub(crate) status: u16,
}

/// Why a try was followed by another, or is not the one whose answer was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TryFailure {
    /// There was no answer.
    Reason(Reason),
    /// The answer had this status.
    Status(u16),
    /// Another try of the request was answered sooner.
    Outrun,
}

impl Exchange {
    /// What failed before the last try or was outrun, for the log; empty when nothing did.
    pub(crate) fn retries(&self) -> String {
        let mut text = String::new();
        for (pool, failure) in &self.failures {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(pool.endpoint.label());
            text.push(' ');
            match failure {
                TryFailure::Reason(reason) => text.push_str(reason.name()),
                TryFailure::Status(status) => text.push_str(&status.to_string()),
                TryFailure::Outrun => text.push_str("outrun"),
            }
        }
        text
    }

    pub(crate) fn open(
        road: &Road,
        plan: Rc<Plan>,
        peer: &Peer,
        request: &Request<'_>,
    ) -> Exchange {
        let fields = &request.head.fields;
        let Origin { client, scheme } = describe::origin(&plan, peer, fields);
        Exchange {
            at: request.at,
            outcome: request.outcome,
            upgrade: request.upgrade.then(|| fields.place(FieldId::Upgrade)),
            expects_continue: request.expects_continue,
            request_id: describe::request_id(&plan, road, peer, fields),
            client,
            scheme,
            host: fields.place(FieldId::Host),
            has_host: false,
            referer: fields.place(FieldId::Referer),
            user_agent: fields.place(FieldId::UserAgent),
            normal: Normal::Verbatim,
            path: Vec::new(),
            translated: false,
            client_deadline: Moment::NEVER,
            is_answered_in_grpc: false,
            target: None,
            route: None,
            missed_site: None,
            chosen: 0,
            key: None,
            session: None,
            pick: None,
            copy: Cell::new(None),
            elsewhere: Cell::new(None),
            endpoint: None,
            tries: 0,
            retry_refused: None,
            hedge: None,
            guarded: None,
            failures: Vec::new(),
            upstream_micros: None,
            status: 0,
            plan,
        }
    }

    /// How long it stood in the line before an upstream.
    pub(crate) fn queued_micros(&self) -> u64 {
        let guarded = self.guarded.as_ref();
        guarded.map_or(0, |guarded| guarded.queued_micros)
    }

    /// The path that the route was found by, of a target whose path came as `received`.
    #[inline]
    pub(crate) fn matched<'a>(&'a self, received: &'a [u8]) -> &'a [u8] {
        match self.normal {
            Normal::Verbatim => received,
            Normal::Equivalent | Normal::Changed => &self.path,
        }
    }

    /// Host as the client sent it; empty when it sent none.
    pub(crate) fn host<'a>(&self, fields: &'a Fields) -> &'a [u8] {
        fields.at(&self.host)
    }
}
