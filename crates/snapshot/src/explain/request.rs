//! The request that is explained: put into bytes as a client of HTTP/1.1 would, and read by the parser that serves.

use super::{Inquiry, InquiryError};
use crate::plan::{ClientPlan, ListenerPlan, ModePlan, Snapshot};
use foregate_message::{
    Fault, FieldId, FieldName, RequestHead, Scheme, Target, host_without_port, split_authority,
};
use foregate_wire::h1::{self, RequestFraming};

/// A request as the server has read it.
pub(super) struct Request {
    pub(super) head: RequestHead,
    /// What its head says about its body, or the rule or limit that the head breaks.
    pub(super) framing: Result<RequestFraming, Fault>,
    pub(super) scheme: Scheme,
    /// The host that it names, without its port.
    pub(super) host: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) query: Option<Vec<u8>>,
    /// The port that the URL names.
    port: Option<u16>,
}

impl Request {
    pub(super) fn read(inquiry: &Inquiry, limits: &ClientPlan) -> Result<Request, InquiryError> {
        let url = Url::of(&inquiry.url).ok_or_else(|| InquiryError::Url(inquiry.url.clone()))?;
        let bytes = written(inquiry, &url)?;
        let mut head = RequestHead::new();
        let framing = h1::parse_request(&bytes, &limits.head_limits(), &mut head)
            .and_then(|end| end.ok_or(Fault::Truncated))
            .and_then(|_| {
                h1::name_host(&mut head);
                h1::request_framing(&head)
            });
        let target = Target::parse(&head.method, head.target()).ok();
        let target = target.filter(|_| framing.is_ok());
        let host = head.fields.get(FieldId::Host).unwrap_or_default();
        Ok(Request {
            framing,
            scheme: url.scheme,
            host: host_without_port(host).to_vec(),
            path: target.map_or(&b""[..], |target| target.path).to_vec(),
            query: target.and_then(|target| target.query).map(<[u8]>::to_vec),
            port: url.port(),
            head,
        })
    }

    /// The listener, and whether it is a guess.
    pub(super) fn listener<'a>(
        &self,
        snapshot: &'a Snapshot,
        inquiry: &Inquiry,
    ) -> Result<(&'a ListenerPlan, bool), InquiryError> {
        if let Some(name) = &inquiry.listener {
            let found = snapshot
                .listeners
                .iter()
                .find(|listener| *listener.name == **name);
            return found
                .map(|listener| (listener, false))
                .ok_or_else(|| InquiryError::Listener(name.clone()));
        }
        let port = self.port.unwrap_or(default_port(self.scheme));
        let listens = |listener: &&ListenerPlan| {
            listener
                .addresses
                .iter()
                .any(|address| address.port() == port)
        };
        let carries_requests =
            |listener: &&ListenerPlan| matches!(listener.mode, ModePlan::Http { .. });
        // Addresses may share a port; of those that could be meant, one that speaks what the URL asks for.
        let is_spoken =
            |listener: &&ListenerPlan| listener.is_tls() == (self.scheme == Scheme::Https);
        let listeners = || snapshot.listeners.iter().filter(carries_requests);
        let at_port = || listeners().filter(listens);
        let found = at_port().find(is_spoken).or_else(|| at_port().next());
        let first = listeners().find(is_spoken).or_else(|| listeners().next());
        match (found, first) {
            (Some(listener), _) => Ok((listener, false)),
            (None, Some(first)) => Ok((first, true)),
            (None, None) => Err(InquiryError::Listener(format!("port {port}"))),
        }
    }
}

const fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

/// A URL in the parts that a client makes a request of. Whether they are right is for the server to say.
struct Url<'a> {
    scheme: Scheme,
    authority: &'a str,
    /// Path and query, and what else stands behind the authority.
    rest: &'a str,
}

impl<'a> Url<'a> {
    fn of(text: &'a str) -> Option<Url<'a>> {
        let (scheme, behind) = text.split_once("://")?;
        let scheme = [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))?;
        let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
        let (authority, rest) = behind.split_at(end);
        (!authority.is_empty() && is_one_line(behind)).then_some(Url {
            scheme,
            authority,
            rest,
        })
    }

    fn port(&self) -> Option<u16> {
        match split_authority(self.authority.as_bytes()) {
            Some((_, port)) => port,
            None => self.authority.rsplit_once(':')?.1.parse().ok(),
        }
    }

    /// What stands in the request line.
    fn target(&self, method: &str) -> String {
        let Url {
            authority, rest, ..
        } = self;
        match (method, self.port()) {
            ("CONNECT", Some(_)) => (*authority).to_owned(),
            ("CONNECT", None) => format!("{authority}:{}", default_port(self.scheme)),
            // About the whole server (RFC 9112 §3.2.4).
            ("OPTIONS", _) if rest.is_empty() => "*".to_owned(),
            _ if rest.starts_with('/') => (*rest).to_owned(),
            _ => format!("/{rest}"),
        }
    }
}

fn is_one_line(text: &str) -> bool {
    !text.contains(['\r', '\n'])
}

/// The head in bytes. What would not be one request with these parts can't be explained.
fn written(inquiry: &Inquiry, url: &Url<'_>) -> Result<Vec<u8>, InquiryError> {
    let method = &inquiry.method;
    if FieldName::new(method).is_none() {
        return Err(InquiryError::Method(method.clone()));
    }
    let mut text = format!("{method} {} HTTP/1.1\r\n", url.target(method));
    let is_host = |name: &str| name.eq_ignore_ascii_case("host");
    if !inquiry.headers.iter().any(|(name, _)| is_host(name)) {
        text += &format!("Host: {}\r\n", url.authority);
    }
    for (name, value) in &inquiry.headers {
        if name.contains(':') || !is_one_line(name) || !is_one_line(value) {
            return Err(InquiryError::Header(name.clone()));
        }
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    Ok(text.into_bytes())
}
