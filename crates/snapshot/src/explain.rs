//! What becomes of a request, and why: asked of the very code that serves.

mod balancing;
mod request;
mod tls;

pub use balancing::{CandidateNote, MirrorNote, ProxyNote, SplitNote};
pub use tls::CertificateStanding;

use crate::plan::{Action, ListenerPlan, ProxyPlan, RoutePlan, SiteTlsPlan, Snapshot};
use foregate_balance::{Endpoint, Need, Picker, Roster, Spill, Tried};
use foregate_message::path::{Normal, normalize};
use foregate_message::{BodyLength, Fault, FieldId, Method, Reason, Scheme};
use foregate_policy::body_limit::BodyLimit;
use foregate_policy::client_address::Origin;
use foregate_policy::request_id::RequestId;
use foregate_policy::request_key::RequestKey;
use foregate_policy::rewrite::Rewritten;
use foregate_policy::{Facts, Verdict, method};
use foregate_route::{Match, Miss, Question, Trace};
use request::Request;
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A request to explain, as an operator writes it.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The method.
    pub method: String,
    /// `http://host[:port]/path?query`
    pub url: String,
    /// Its fields. Host is what the URL names unless it is written here.
    pub headers: Vec<(String, String)>,
    /// The address that the connection comes from.
    pub client: IpAddr,
    /// The listener's name; `None` for the one that listens on the URL's port.
    pub listener: Option<String>,
    /// The time in the unit and from the start that endpoints count by, for ejections.
    pub now_ms: u64,
    /// A random number, for algorithms that draw.
    pub random: u64,
}

/// Why there is nothing to explain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InquiryError {
    /// The URL is not an http or https URL.
    Url(String),
    /// The method is not a token.
    Method(String),
    /// A field that would be more than one line, or whose name has a colon.
    Header(String),
    /// There is no listener of this name.
    Listener(String),
}

impl fmt::Display for InquiryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InquiryError::Url(text) => write!(f, "`{text}` is not an http or https URL"),
            InquiryError::Method(text) => write!(f, "`{text}` is not a method"),
            InquiryError::Header(text) => write!(f, "`{text}` is not a header that can be sent"),
            InquiryError::Listener(text) => write!(f, "there is no listener `{text}`"),
        }
    }
}

impl std::error::Error for InquiryError {}

/// What becomes of a request, and why.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explanation {
    /// The request's method and URL.
    pub request: String,
    /// The name of the listener.
    pub listener: String,
    /// No listener listens on the URL's port: the first one was taken.
    pub listener_assumed: bool,
    /// The client's address.
    pub client: IpAddr,
    /// The address is not the peer's: a trusted proxy named it.
    pub client_claimed: bool,
    /// How the path was read; `None` when the request was refused before.
    pub path: Option<PathNote>,
    /// The name of the site.
    pub site: Option<String>,
    /// The name of the route.
    pub route: Option<String>,
    /// What the route asks of a request.
    pub conditions: Option<String>,
    /// What ranks better and did not match.
    pub skipped: Vec<SkippedNote>,
    /// What routes asked for and the request has several times.
    pub repeated: Vec<RepeatedNote>,
    /// Bytes that the body may have.
    pub body_bytes_max: Option<u64>,
    /// How much the request matters when there is too much to do: `background`, `normal` or `critical`.
    pub importance: Option<&'static str>,
    /// Rules for the fields of the answer.
    pub response_rules: Vec<String>,
    /// How the site is served over TLS.
    pub tls: Option<TlsNote>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// How a site is served over TLS, for one host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TlsNote {
    /// Where the host's certificate comes from.
    pub certificate: String,
    /// Whether it is there.
    pub standing: CertificateStanding,
    /// The certificate that is shown while there is none for the host.
    pub default_certificate: Option<String>,
    /// Whether the URL asks for TLS.
    pub encrypted: bool,
    /// The listener does not speak TLS though the URL asks for it.
    pub listener_in_cleartext: bool,
    /// What is asked of clients' certificates: `required` or `optional`.
    pub client_certificate: Option<&'static str>,
    /// Where clients in cleartext are sent, once there is a certificate; `None` where there is no way to one, too.
    pub https_redirect: Option<String>,
    /// Strict-Transport-Security on the answer.
    pub hsts: Option<String>,
}

/// How a path was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PathNote {
    /// As it was sent.
    pub received: String,
    /// As routes are matched with it.
    pub matched: String,
    /// Whether a backend is sent the matched form, since it could read the received one otherwise.
    pub changed: bool,
}

/// A site or a route that ranks better and did not match.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SkippedNote {
    /// The site's name.
    pub site: String,
    /// The route's name; `None` for the whole site.
    pub route: Option<String>,
    /// The condition that did not hold, by its stable name: `header(X-Beta)`.
    pub cause: String,
    /// What the site or route asks of a request.
    pub conditions: String,
}

/// A field or query parameter that comes several times: the first one counts for routes' conditions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RepeatedNote {
    /// The condition that it was asked for by, by its stable name: `query(v)`.
    pub condition: String,
    /// How many times it comes.
    pub times: usize,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is refused.
    Refused {
        /// The stable name of the reason.
        reason: &'static str,
        /// The answer's status.
        status: u16,
        /// What exactly is wrong, or which limit it is over, where more is known.
        detail: Option<String>,
    },
    /// The client is sent elsewhere.
    Redirected {
        /// The answer's status.
        status: u16,
        /// Where to.
        location: String,
        /// The host's certificate is still to be issued: until it is there, the request is not sent elsewhere.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        awaits_certificate: bool,
    },
    /// The TLS handshake comes to nothing, so that there is no request.
    HandshakeFailed {
        /// The stable name of the fault.
        fault: &'static str,
        /// What is wrong, in words.
        detail: String,
    },
    /// It is answered with a fixed answer.
    Responded {
        /// The answer's status.
        status: u16,
        /// Bytes of its body.
        body_bytes: usize,
    },
    /// It goes to a backend.
    Proxied(Box<ProxyNote>),
}

/// Endpoints by the name of their upstream and their `host:port`.
type Endpoints<'a> = &'a dyn Fn(&str, &str) -> Option<Arc<Endpoint>>;

/// What an explanation depends on and a snapshot does not know.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The states of endpoints by the name of their upstream and their `host:port`; those that are not known are taken for
    /// healthy.
    pub endpoints: Endpoints<'a>,
    /// Whether a certificate from files is valid for a host in lower case: one that the site may show, or any.
    pub certificates: &'a dyn Fn(Option<&SiteTlsPlan>, &str) -> bool,
}

impl Known<'static> {
    /// Endpoints are healthy, and no certificate comes from files.
    pub const NOTHING: Known<'static> = Known {
        endpoints: &|_, _| None,
        certificates: &|_, _| false,
    };
}

impl fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

/// Explains a request.
///
/// # Errors
/// There is nothing that would be one request. One that is malformed or over a limit is explained.
pub fn explain(
    snapshot: &Snapshot,
    inquiry: &Inquiry,
    known: Known<'_>,
) -> Result<Explanation, InquiryError> {
    let request = Request::read(inquiry, &snapshot.client)?;
    let (listener, listener_assumed) = request.listener(snapshot, inquiry)?;
    let is_trusted = snapshot.trusted.contains(inquiry.client);
    let peer = inquiry.client.to_canonical();
    let fields = &request.head.fields;
    let origin = Origin::of(peer, request.scheme, is_trusted, fields, &snapshot.trusted);
    let Origin { client, scheme } = origin;
    let mut explanation = Explanation {
        request: format!("{} {}", inquiry.method, inquiry.url),
        listener: listener.name.to_string(),
        listener_assumed,
        client,
        client_claimed: client != peer,
        path: None,
        site: None,
        route: None,
        conditions: None,
        skipped: Vec::new(),
        repeated: Vec::new(),
        body_bytes_max: snapshot.client.body_bytes_max,
        importance: None,
        response_rules: Vec::new(),
        tls: None,
        outcome: Outcome::Refused {
            reason: "",
            status: 0,
            detail: None,
        },
    };
    let road = Road {
        snapshot,
        request: &request,
        listener,
        client,
        scheme,
        is_trusted,
        inquiry,
        known,
    };
    explanation.outcome = road.travel(&mut explanation);
    Ok(explanation)
}

fn target(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    match query {
        Some(query) => [path, b"?", query].concat(),
        None => path.to_vec(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn refused(reason: Reason) -> Outcome {
    refused_for(reason, None)
}

fn refused_for(reason: Reason, detail: Option<String>) -> Outcome {
    Outcome::Refused {
        reason: reason.name(),
        status: reason.status().code(),
        detail,
    }
}

/// One request on its way.
struct Road<'a> {
    snapshot: &'a Snapshot,
    request: &'a Request,
    listener: &'a ListenerPlan,
    client: IpAddr,
    /// How the client came, as far as trusted proxies say.
    scheme: Scheme,
    is_trusted: bool,
    inquiry: &'a Inquiry,
    known: Known<'a>,
}

impl Road<'_> {
    fn travel(&self, explanation: &mut Explanation) -> Outcome {
        if let Some(outcome) = self.spoken_in_cleartext() {
            return outcome;
        }
        let length = match self.request.framing {
            Ok(framing) => framing.length,
            Err(fault) => return self.refused_by_limits(fault),
        };
        if let Verdict::Refuse(reason) = method::admit(&self.request.head.method) {
            return refused(reason);
        }
        let mut scratch = Vec::new();
        let (path, changed) =
            match normalize(&self.request.path, &self.snapshot.paths, &mut scratch) {
                Ok(Normal::Verbatim) => (self.request.path.as_slice(), false),
                Ok(normal) => (scratch.as_slice(), normal == Normal::Changed),
                Err(fault) => {
                    return refused_for(Reason::PathRefused, Some(fault.name().to_owned()));
                }
            };
        explanation.path = Some(PathNote {
            received: text(&self.request.path),
            matched: text(path),
            changed,
        });
        match self.find(path, explanation) {
            Ok(route) => {
                explanation.tls = Some(self.tls_note(route, path));
                match self.before_policies(route, path) {
                    Some(outcome) => outcome,
                    None => self.act(path, changed, length, route, explanation),
                }
            }
            Err(miss) => {
                let site = match miss {
                    Miss::NoRoute { site } => Some(&*self.snapshot.sites[site as usize].tls),
                    Miss::NoSite => None,
                };
                let handshake = self.handshake(site);
                handshake.unwrap_or_else(|| refused(miss.reason()))
            }
        }
    }

    /// The refusal of a head that breaks a rule, with the limit if it is one.
    fn refused_by_limits(&self, fault: Fault) -> Outcome {
        let client = &self.snapshot.client;
        let limit = match fault {
            Fault::TargetTooLong => Some(("target_bytes_max", client.target_bytes_max)),
            Fault::HeadTooLarge => Some(("head_bytes_max", client.head_bytes_max)),
            Fault::TooManyFields => Some(("fields_max", client.fields_max)),
            _ => None,
        };
        let detail = limit.map(|(name, most)| format!("{name} is {most}"));
        refused_for(Reason::Request(fault), detail)
    }

    fn find(&self, path: &[u8], explanation: &mut Explanation) -> Result<&RoutePlan, Miss> {
        let question = Question {
            listener: self.listener.number,
            host: &self.request.host,
            path,
            query: self.request.query.as_deref(),
            head: &self.request.head,
            client: self.client,
        };
        let mut trace = Trace::default();
        let found = self.snapshot.router.find(&question, Some(&mut trace));
        let site_name = |site: u32| self.snapshot.sites[site as usize].name.to_string();
        explanation.skipped = trace
            .skipped
            .iter()
            .map(|skipped| SkippedNote {
                site: site_name(skipped.site),
                route: skipped.route.map(|route| {
                    let number = self.snapshot.number(Match {
                        site: skipped.site,
                        route,
                    });
                    self.snapshot.routes[number as usize].name.to_string()
                }),
                cause: skipped.cause.to_string(),
                conditions: crate::render::conditions(
                    &self.snapshot.specs[skipped.site as usize],
                    skipped.route,
                ),
            })
            .collect();
        let repeated = trace.repeated.iter().map(|repeated| RepeatedNote {
            condition: repeated.condition.to_string(),
            times: repeated.times,
        });
        explanation.repeated = repeated.collect();
        explanation.site = match found {
            Ok(Match { site, .. }) | Err(Miss::NoRoute { site }) => Some(site_name(site)),
            Err(Miss::NoSite) => None,
        };
        let found = found?;
        let plan = &self.snapshot.routes[self.snapshot.number(found) as usize];
        explanation.route = Some(plan.name.to_string());
        let spec = &self.snapshot.specs[found.site as usize];
        explanation.conditions = Some(crate::render::conditions(spec, Some(found.route)));
        Ok(plan)
    }

    fn act(
        &self,
        path: &[u8],
        changed: bool,
        length: BodyLength,
        route: &RoutePlan,
        explanation: &mut Explanation,
    ) -> Outcome {
        let client = self.client.to_string();
        let named = self
            .snapshot
            .request_id
            .as_ref()
            .and_then(|name| self.request.head.fields.all_named(name).next());
        let request_id = RequestId::choose(named, self.is_trusted, u128::from(self.inquiry.random));
        let facts = Facts {
            client: client.as_bytes(),
            host: &self.request.host,
            request_id: request_id.as_bytes(),
            scheme: self.scheme,
            path,
            query: self.request.query.as_deref(),
        };
        explanation.body_bytes_max = route.body_bytes_max;
        explanation.importance = Some(route.importance.name());
        if let Some(rules) = &route.response_rules {
            explanation.response_rules = rules.describe(&facts);
        }
        if let Verdict::Refuse(reason) = BodyLimit::new(route.body_bytes_max).admit(length) {
            let limit = route.body_bytes_max;
            return refused_for(
                reason,
                limit.map(|most| format!("body_bytes_max is {most}")),
            );
        }
        match &route.action {
            Action::Redirect(redirect) => match redirect.apply(&facts) {
                Verdict::Refuse(reason) => refused(reason),
                _ => Outcome::Redirected {
                    status: redirect.status().code(),
                    location: text(&redirect.location(&facts)),
                    awaits_certificate: false,
                },
            },
            Action::Respond(respond) => Outcome::Responded {
                status: respond.status().code(),
                body_bytes: respond.body_bytes(),
            },
            Action::Proxy(proxy) => self
                .answer_to_options()
                .unwrap_or_else(|| self.proxy(path, changed, proxy, &facts)),
        }
    }

    /// The answer to OPTIONS that goes no further than here.
    fn answer_to_options(&self) -> Option<Outcome> {
        let head = &self.request.head;
        match method::options(&head.fields) {
            Verdict::Respond(answer) if head.method == Method::Options => {
                Some(Outcome::Responded {
                    status: answer.head.status.code(),
                    body_bytes: 0,
                })
            }
            _ => None,
        }
    }

    fn proxy(&self, path: &[u8], changed: bool, proxy: &ProxyPlan, facts: &Facts<'_>) -> Outcome {
        let mut rewritten = Vec::new();
        let (sent, is_rewritten) = match proxy.rewrite.apply(path, &mut rewritten) {
            // It asks about the server, which no path is a part of.
            _ if self.request.head.target() == b"*" => (&b"*"[..], false),
            Ok(Rewritten::Changed) => (rewritten.as_slice(), true),
            Ok(Rewritten::Unchanged) => (if changed { path } else { &self.request.path }, false),
            Err(reason) => return refused(reason),
        };
        let (destination, split) = self.target(path, proxy);
        let upstream = &self.snapshot.upstreams[destination.upstream as usize];
        let by = upstream.hash_by.as_ref();
        let mut notes = Vec::new();
        let roster = Roster::new(upstream.balancing.clone(), &self.members(upstream));
        let need = Need {
            subset: destination.subset,
            key: by.and_then(|by| self.key(path, by)),
            ..Need::any(self.inquiry.now_ms, self.inquiry.random, &Tried::NONE)
        };
        let mut picker = Picker::new(Arc::new(roster), 0);
        let picked = picker.pick_noting(&need, &mut notes);
        let second = picked.ok().zip(upstream.hedge).and_then(|(pick, policy)| {
            let mut tried = Tried::NONE;
            tried.insert(pick.index);
            let need = Need {
                tried: &tried,
                ..need
            };
            policy.second(&mut picker, &need)
        });
        let second = second.map(|pick| pick.index);
        let mut fields = self.request.head.fields.clone();
        let authority = picked
            .ok()
            .map_or("", |pick| &upstream.endpoints[pick.index].authority);
        let has_host = fields.has(FieldId::Host);
        destination.host.apply(&mut fields, authority, has_host);
        let ms = |timeout: Duration| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Outcome::Proxied(Box::new(ProxyNote {
            target: text(&target(sent, self.request.query.as_deref())),
            rewritten: is_rewritten,
            host: text(fields.get(FieldId::Host).unwrap_or_default()),
            request_rules: proxy.request_rules.describe(facts),
            upstream: upstream.name.to_string(),
            algorithm: upstream.balancing.algorithm.name(),
            candidates: self.candidates(upstream, &notes),
            retry: balancing::retry(upstream, destination),
            hedge: balancing::hedge(upstream, destination, &self.request.head.method, second),
            queue: balancing::queue(upstream),
            split,
            hash_by: by.map(RequestKey::describe),
            mirror: balancing::mirror(self.snapshot, proxy),
            sticky: upstream
                .sticky
                .as_ref()
                .map(|sticky| sticky.cookie.to_string()),
            subset: balancing::labels(upstream, destination),
            picked_because: picked.ok().map(|pick| pick.reason.name()),
            spill: picked
                .ok()
                .map(|pick| pick.spill)
                .filter(|spill| *spill != Spill::None)
                .map(Spill::name),
            no_endpoint: picked.err().map(|none| none.name()),
            connect_timeout_ms: ms(destination.timeouts.connect),
            first_byte_timeout_ms: destination.timeouts.first_byte.map(ms),
            between_bytes_timeout_ms: destination.timeouts.between_bytes.map(ms),
            request_timeout_ms: destination.timeouts.request.map(ms),
        }))
    }
}
