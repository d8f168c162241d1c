//! Connections: what the admin API asks workers about those of clients. Each worker answers between two of its tasks, so
//! that nothing is shared and nothing is counted for the sake of it.

use foregate_admin::{
    ConnectionClosing, ConnectionProtocol, ConnectionState, ConnectionTlsView, ConnectionView,
    ConnectionsAsked, ConnectionsPage, ExchangeView, Refusal, RefusalKind,
};
use foregate_downstream::{
    Closing, ConnectionNote, ExchangeNote, Protocol, Survey, TlsNote, Which, Worker,
};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::Registry;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// How long one worker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// What a worker is asked.
#[derive(Debug)]
pub(crate) enum Inquiry {
    /// Which connections there are.
    Survey(Which, SyncSender<Survey>),
    /// To have one end, at once or in order.
    Close(u64, bool, SyncSender<Option<ConnectionNote>>),
}

impl Inquiry {
    /// Answers it; who asked may have stopped to wait.
    pub(crate) fn answer(self, worker: &Worker) {
        match self {
            Inquiry::Survey(which, answer) => drop(answer.try_send(worker.survey(&which))),
            Inquiry::Close(sequence, at_once, answer) => {
                drop(answer.try_send(worker.close(sequence, at_once)));
            }
        }
    }
}

/// A worker that did not answer in time.
struct Silent;

/// Every worker's ear, and who knows the names of what they tell.
pub(crate) struct Connections {
    workers: Vec<Sender<Inquiry>>,
    registry: Arc<Registry>,
}

impl Connections {
    pub(crate) fn new(workers: Vec<Sender<Inquiry>>, registry: Arc<Registry>) -> Connections {
        Connections { workers, registry }
    }

    /// A worker's answer; `None` when the worker has ended.
    fn ask<T>(
        worker: &Sender<Inquiry>,
        inquiry: impl FnOnce(SyncSender<T>) -> Inquiry,
    ) -> Result<Option<T>, Silent> {
        let (answer, outcome) = sync_channel(1);
        match worker.try_send(inquiry(answer)) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return Ok(None),
            Err(TrySendError::Full(_)) => return Err(Silent),
        }
        outcome
            .recv_timeout(ANSWER_TIMEOUT)
            .map(Some)
            .or(Err(Silent))
    }

    /// Those that are asked for, worker by worker, each worker's oldest first.
    pub(crate) fn list(&self, asked: &ConnectionsAsked) -> ConnectionsPage {
        let mut page = ConnectionsPage {
            total: 0,
            offset: asked.offset as u64,
            items: Vec::new(),
            silent_workers: 0,
        };
        let listener = match &asked.listener {
            None => None,
            Some(name) => match self.registry.known_listener(name) {
                None => return page,
                known => known,
            },
        };
        let mut before = 0;
        for (number, worker) in self.workers.iter().enumerate() {
            let which = Which {
                listener,
                state: asked.state.map(state_asked),
                skip: asked.offset.saturating_sub(before),
                take: asked.limit - page.items.len(),
            };
            match Connections::ask(worker, |answer| Inquiry::Survey(which, answer)) {
                Ok(Some(survey)) => {
                    before += survey.total;
                    let views = survey.items.iter().map(|note| self.view(number, note));
                    page.items.extend(views);
                }
                Ok(None) => {}
                Err(Silent) => page.silent_workers += 1,
            }
        }
        page.total = before as u64;
        page
    }

    /// Has a connection end.
    pub(crate) fn close(&self, id: &str, at_once: bool) -> Result<ConnectionView, Refusal> {
        let missing = || {
            let detail = format!("there is no connection `{id}`; it may have ended");
            Refusal::new(RefusalKind::NotFound, detail)
        };
        let (number, sequence) = parse(id).ok_or_else(missing)?;
        let worker = self.workers.get(number).ok_or_else(missing)?;
        let closed = Connections::ask(worker, |answer| Inquiry::Close(sequence, at_once, answer));
        let note = closed.map_err(|Silent| {
            let detail = "the connection's worker did not answer in time";
            Refusal::new(RefusalKind::Failed, detail.to_owned())
        })?;
        let mut view = self.view(number, &note.flatten().ok_or_else(missing)?);
        let values: &[process::Value<'_>] = &[
            ("reason", &"closed-by-operator"),
            ("connection", &id),
            ("client", &view.client),
            ("listener", &view.listener),
            ("protocol", &protocol_name(view.protocol)),
            ("how", &if at_once { "at once" } else { "in order" }),
        ];
        process::info("a connection is closed by an operator", values);
        view.closing = match (view.closing, at_once) {
            (_, true) | (Some(ConnectionClosing::OperatorNow), _) => {
                Some(ConnectionClosing::OperatorNow)
            }
            _ => Some(ConnectionClosing::Operator),
        };
        Ok(view)
    }

    fn view(&self, worker: usize, note: &ConnectionNote) -> ConnectionView {
        let listener = self.registry.listener_name(note.listener);
        ConnectionView {
            id: format!("{worker}-{}", note.sequence),
            listener: listener.map_or_else(String::new, |name| name.to_string()),
            client: note.client.to_string(),
            protocol: protocol(note.protocol),
            state: state_told(note.state),
            closing: closing(note.closing),
            tls: note.tls.as_ref().map(tls_view),
            age_ms: note.age.as_millis() as u64,
            requests: u64::from(note.requests),
            running: note.running as u64,
            exchanges: (note.exchanges.iter())
                .map(|one| self.exchange_view(one))
                .collect(),
        }
    }

    fn exchange_view(&self, note: &ExchangeNote) -> ExchangeView {
        let names = |pair: Option<[Arc<str>; 2]>| {
            pair.map(|[first, second]| (first.to_string(), second.to_string()))
                .unzip()
        };
        let route = note
            .place
            .and_then(|(route, _)| self.registry.route_names(route));
        let endpoint = (note.place).and_then(|(_, number)| self.registry.endpoint_names(number));
        let ((site, route), (upstream, endpoint)) = (names(route), names(endpoint));
        ExchangeView {
            for_ms: note.age.as_millis() as u64,
            site,
            route,
            upstream,
            endpoint,
        }
    }
}

/// The worker's number and the connection's among its own.
fn parse(id: &str) -> Option<(usize, u64)> {
    let (worker, sequence) = id.split_once('-')?;
    Some((worker.parse().ok()?, sequence.parse().ok()?))
}

fn tls_view(tls: &TlsNote) -> ConnectionTlsView {
    ConnectionTlsView {
        version: tls.version.as_str().to_owned(),
        cipher: tls.cipher.to_owned(),
        server_name: tls.server_name.as_deref().map(str::to_owned),
        resumed: tls.resumed,
    }
}

fn protocol(protocol: Protocol) -> Option<ConnectionProtocol> {
    Some(match protocol {
        Protocol::Unknown => return None,
        Protocol::Http1 => ConnectionProtocol::Http1,
        Protocol::Http2 => ConnectionProtocol::Http2,
        Protocol::WebSocket => ConnectionProtocol::WebSocket,
        Protocol::Tunnel => ConnectionProtocol::Tunnel,
        Protocol::Tcp => ConnectionProtocol::Tcp,
    })
}

fn protocol_name(protocol: Option<ConnectionProtocol>) -> &'static str {
    protocol.map_or("-", ConnectionProtocol::name)
}

fn closing(closing: Closing) -> Option<ConnectionClosing> {
    Some(match closing {
        Closing::No => return None,
        Closing::Listener | Closing::Drained => ConnectionClosing::Listener,
        Closing::Operator => ConnectionClosing::Operator,
        Closing::Now => ConnectionClosing::OperatorNow,
    })
}

/// The states by both of their types: one room tells them, the other shows them.
const STATES: [(foregate_downstream::ConnectionState, ConnectionState); 9] = {
    use foregate_downstream::ConnectionState as Told;
    [
        (Told::ProxyHeader, ConnectionState::ProxyHeader),
        (Told::Handshake, ConnectionState::Handshake),
        (Told::TlsHello, ConnectionState::TlsHello),
        (Told::Waiting, ConnectionState::Waiting),
        (Told::ReadingHead, ConnectionState::ReadingHead),
        (Told::InExchange, ConnectionState::InExchange),
        (Told::Tunnel, ConnectionState::Tunnel),
        (Told::Draining, ConnectionState::Draining),
        (Told::Lingering, ConnectionState::Lingering),
    ]
};

fn state_told(told: foregate_downstream::ConnectionState) -> ConnectionState {
    let found = STATES.iter().find(|(one, _)| *one == told);
    found.map_or(ConnectionState::Waiting, |(_, shown)| *shown)
}

fn state_asked(asked: ConnectionState) -> foregate_downstream::ConnectionState {
    let found = STATES.iter().find(|(_, one)| *one == asked);
    found.map_or(
        foregate_downstream::ConnectionState::Waiting,
        |(told, _)| *told,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::channel;

    #[test]
    fn ids_are_a_worker_and_a_number() {
        assert_eq!(parse("3-17"), Some((3, 17)));
        for bad in ["", "-", "3", "3-", "-3", "a-1", "1-b", "1--2"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_worker_that_hangs_is_silent_and_one_that_has_ended_is_not() {
        let (ear, mut heard) = channel(1);
        let ask = |ear| Connections::ask(ear, |answer| Inquiry::Survey(Which::default(), answer));
        ear.try_send(Inquiry::Close(1, true, sync_channel(1).0))
            .unwrap();
        assert!(matches!(ask(&ear), Err(Silent)));
        assert!(heard.try_recv().is_ok());
        drop(heard);
        assert!(matches!(ask(&ear), Ok(None)));
    }

    #[test]
    fn states_are_the_same_by_both_names() {
        for told in foregate_downstream::ConnectionState::ALL {
            let shown = state_told(told);
            assert_eq!(told.name(), shown.name());
            assert_eq!(state_asked(shown), told);
        }
    }
}
