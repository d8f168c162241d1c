//! `/connections`: those of clients, shown and ended.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

use crate::lists::{self, LIMIT_DEFAULT};
use crate::routes::{Desk, blocking, problem};
use crate::{endpoints, query};

type Outcome = Result<Response, Response>;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$one:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
        pub enum $name { $($(#[$one])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// What a connection speaks.
    ConnectionProtocol {
        /// HTTP/1.1 or 1.0.
        Http1 "http/1.1",
        /// HTTP/2.
        Http2 "h2",
        /// WebSocket, which HTTP/1.1 was switched to.
        WebSocket "websocket",
        /// Another protocol that HTTP/1.1 was switched to.
        Tunnel "tunnel",
        /// Bytes that are passed on as they are.
        Tcp "tcp",
    }
}

named! {
    /// What a connection does.
    ConnectionState {
        /// It waits for its PROXY protocol header.
        ProxyHeader "proxy-header",
        /// It holds its TLS handshake.
        Handshake "handshake",
        /// It waits for the name that its TLS asks for, to be passed on by it.
        TlsHello "tls-hello",
        /// It waits for a request.
        Waiting "waiting",
        /// A request's head is here in part.
        ReadingHead "reading-head",
        /// It is being served.
        InExchange "in-exchange",
        /// Its bytes are passed on.
        Tunnel "tunnel",
        /// It ends after what runs on it.
        Draining "draining",
        /// Its last answer is written, and the client has a moment to take it.
        Lingering "lingering",
    }
}

named! {
    /// Why a connection is to end.
    ConnectionClosing {
        /// Its listener takes no more connections.
        Listener "listener",
        /// An operator said so; what runs on it is finished.
        Operator "operator",
        /// An operator said so, whatever runs on it.
        OperatorNow "operator-now",
    }
}

/// A connection of a client.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ConnectionView {
    /// What it is called in `DELETE /connections/{id}`; never another's for as long as the process lives.
    pub id: String,
    /// The listener's name.
    pub listener: String,
    /// The client's address and port, as a trusted PROXY protocol header has them if there is one.
    pub client: String,
    /// What it speaks; null while nobody has said a word.
    pub protocol: Option<ConnectionProtocol>,
    /// What it does.
    pub state: ConnectionState,
    /// Why it is to end; null when it is not.
    pub closing: Option<ConnectionClosing>,
    /// Its encryption; null for none, or none yet.
    pub tls: Option<ConnectionTlsView>,
    /// Since when it has been open.
    pub age_ms: u64,
    /// Requests that were served on it.
    pub requests: u64,
    /// Exchanges that run on it: with HTTP/2 several, with a tunnel the tunnel.
    pub running: u64,
    /// The first 8 of these.
    pub exchanges: Vec<ExchangeView>,
}

/// What a connection's handshake came to.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ConnectionTlsView {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
    /// The cipher suite's registered name.
    pub cipher: String,
    /// The name that the client asked for.
    pub server_name: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// An exchange that runs.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ExchangeView {
    /// How long it has taken so far.
    pub for_ms: u64,
    /// The site of its route, empty for a listener that passes bytes on; null until an endpoint is asked.
    pub site: Option<String>,
    /// Its route, or the listener that passes bytes on.
    pub route: Option<String>,
    /// The upstream of the endpoint that was asked last.
    pub upstream: Option<String>,
    /// The endpoint that was asked last.
    pub endpoint: Option<String>,
}

/// A part of all connections.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ConnectionsPage {
    /// How many there are that are meant, on all pages.
    pub total: u64,
    /// How many of them stand before this page.
    pub offset: u64,
    /// Those of this page.
    pub items: Vec<ConnectionView>,
    /// Workers that did not answer in time: theirs are missing.
    pub silent_workers: u64,
}

/// Which connections are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionsAsked {
    /// Those of this listener.
    pub listener: Option<String>,
    /// Those in this state.
    pub state: Option<ConnectionState>,
    /// How many of them to pass over.
    pub offset: usize,
    /// How many of them to show.
    pub limit: usize,
}

fn asked(text: &str) -> Result<ConnectionsAsked, String> {
    let mut asked = ConnectionsAsked {
        listener: None,
        state: None,
        offset: 0,
        limit: LIMIT_DEFAULT,
    };
    for (name, value) in query::pairs(text)? {
        match &*name {
            "offset" => asked.offset = lists::number(&name, &value)?,
            "limit" => asked.limit = lists::limit(&name, &value)?,
            "listener" => asked.listener = Some(value),
            "state" => asked.state = Some(state(&value)?),
            _ => {
                return Err(format!(
                    "there is no parameter `{name}`: listener, state, offset, limit"
                ));
            }
        }
    }
    Ok(asked)
}

fn state(name: &str) -> Result<ConnectionState, String> {
    let all = ConnectionState::ALL;
    let found = all.iter().find(|state| state.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|state| state.name()).collect();
        format!("`{name}` is no state: {}", names.join(", "))
    })
}

/// Whether the end is asked for that waits for nothing.
fn at_once(text: &str) -> Result<bool, String> {
    let mut at_once = false;
    for (name, value) in query::pairs(text)? {
        at_once = match (&*name, &*value) {
            ("now", "true" | "") => true,
            ("now", "false") => false,
            ("now", _) => return Err(format!("`now={value}` is neither true nor false")),
            _ => return Err(format!("there is no parameter `{name}`: now")),
        };
    }
    Ok(at_once)
}

fn invalid(detail: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "invalid-query", detail)
}

pub(crate) async fn list(State(desk): State<Desk>, request: Request) -> Outcome {
    let asked = asked(request.uri().query().unwrap_or_default());
    let asked = asked.map_err(|detail| invalid(&detail))?;
    let turn = turn(&desk).ok_or_else(busy)?;
    let page = blocking(move || {
        let _turn = turn;
        desk.view.connections(&asked)
    })
    .await?;
    Ok(Json(page).into_response())
}

pub(crate) async fn close(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Outcome {
    let at_once = at_once(request.uri().query().unwrap_or_default());
    let at_once = at_once.map_err(|detail| invalid(&detail))?;
    let turn = turn(&desk).ok_or_else(busy)?;
    let closed = blocking(move || {
        let _turn = turn;
        desk.control.close_connection(&id, at_once)
    })
    .await?;
    match closed {
        Ok(connection) => Ok(Json(connection).into_response()),
        Err(refusal) => Err(endpoints::refused(&refusal)),
    }
}

/// Each asks every worker: not too many at once.
fn turn(desk: &Desk) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&desk.looking).try_acquire_owned().ok()
}

fn busy() -> Response {
    let detail = "others look at connections just now";
    problem(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_asked_for_by_listener_and_state() {
        let all = asked("listener=web&state=in-exchange&limit=2&offset=3").unwrap();
        assert_eq!(all.listener.as_deref(), Some("web"));
        assert_eq!(all.state, Some(ConnectionState::InExchange));
        assert_eq!((all.offset, all.limit), (3, 2));
        assert_eq!(asked("").unwrap().limit, LIMIT_DEFAULT);
        assert!(asked("state=idle").unwrap_err().contains("waiting"));
        assert!(asked("upstream=a").unwrap_err().contains("listener, state"));
        assert!(asked("limit=-1").is_err());
    }

    #[test]
    fn an_end_at_once_is_asked_for_in_words() {
        assert_eq!(at_once(""), Ok(false));
        assert_eq!(at_once("now=true"), Ok(true));
        assert_eq!(at_once("now=false"), Ok(false));
        assert!(at_once("now=yes").is_err());
        assert!(at_once("force=true").is_err());
    }

    #[test]
    fn names_in_answers_are_the_names_that_are_asked_by() {
        for state in ConnectionState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        let protocol = ConnectionProtocol::Http1;
        assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.name());
    }
}
