//! Discovery: upstreams whose endpoints others know, and what these said last.

use crate::control::{Command, Controller};
use crate::credentials::Credentials;
use foregate_snapshot::{DnsLookup, EndpointPlan, ServerHost, Snapshot, SourcePlan};
use foregate_telemetry::clock::now;
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::{Exposition, Gauges, Kind};
use foregate_tls::ConnectorPlan;
use foregate_upstream::{
    ConsulQuestion, Discoverer, DiscoveryRequest, DiscoveryStatus, DnsQuestion, DockerQuestion,
    FoundEndpoint, Seeking, Source,
};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a start or reload waits for first answers; later ones are taken up when they come.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether somebody has failed instead of answering.
const FAILED_POLL: Duration = Duration::from_millis(20);

/// Endpoints that were found, each with its address if whoever found it knows it.
pub(crate) type Found = Vec<(EndpointPlan, Option<SocketAddr>)>;

/// A number for each question: what is found belongs to one, and is nothing to whoever asks another one. They grow.
pub(crate) type Question = u64;

/// What was found since the last time.
pub(crate) struct Finds {
    /// What is asked for each upstream that is sought for.
    pub(crate) asked: HashMap<Arc<str>, Question>,
    /// Answers to that.
    pub(crate) found: Vec<(Arc<str>, Found)>,
}

/// An upstream that is sought for.
struct Watched {
    seeking: Seeking,
    question: Question,
}

/// Who seeks endpoints. The control thread's own.
pub(crate) struct Seekers {
    /// The thread, from the first upstream on that needs it.
    discoverer: Option<Discoverer>,
    watched: HashMap<Arc<str>, Watched>,
    last_question: Question,
    inbox: Arc<Inbox>,
    statuses: Arc<Statuses>,
}

/// What was found and not yet taken up: the latest for each upstream.
struct Inbox {
    found: Mutex<ByName>,
    filled: Condvar,
    /// Whether control was told of what is in it.
    is_told: AtomicBool,
    controller: Controller,
}

type ByName = HashMap<Arc<str>, (Question, Found)>;

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, ByName> {
        // Entries are put in whole.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, upstream: &str, question: Question, endpoints: Vec<FoundEndpoint>) {
        let found = endpoints.into_iter().filter_map(plan).collect();
        {
            let mut all = self.lock();
            // One who was just about to answer when another question was asked is late.
            if all.get(upstream).is_none_or(|(last, _)| *last <= question) {
                all.insert(upstream.into(), (question, found));
            }
        }
        self.filled.notify_all();
        if !self.is_told.swap(true, Ordering::AcqRel) {
            self.controller.tell(Command::Discovered);
        }
    }

    fn take(&self) -> ByName {
        self.is_told.store(false, Ordering::Release);
        std::mem::take(&mut *self.lock())
    }
}

/// One that has no form that a configuration would take is none.
fn plan(found: FoundEndpoint) -> Option<(EndpointPlan, Option<SocketAddr>)> {
    let plan = EndpointPlan::described(&found.authority, found.weight, found.attributes)?;
    Some((plan, found.address))
}

impl Seekers {
    pub(crate) fn new(controller: Controller) -> Seekers {
        Seekers {
            discoverer: None,
            watched: HashMap::new(),
            last_question: 0,
            inbox: Arc::new(Inbox {
                found: Mutex::default(),
                filled: Condvar::new(),
                is_told: AtomicBool::new(false),
                controller,
            }),
            statuses: Arc::default(),
        }
    }

    /// How the seeking goes, for whoever shows it.
    pub(crate) fn statuses(&self) -> Arc<Statuses> {
        Arc::clone(&self.statuses)
    }

    /// Seeks what a configuration asks for from now on, and waits a little for those that nobody has sought before.
    pub(crate) fn seek(&mut self, snapshot: &Snapshot, credentials: &Credentials) {
        let requests = requests(snapshot, credentials);
        let wanted: HashMap<&str, &DiscoveryRequest> =
            requests.iter().map(|one| (&*one.upstream, one)).collect();
        let stays = |name: &Arc<str>, watched: &mut Watched| {
            wanted.get(&**name) == Some(&&watched.seeking.request)
        };
        let gone = (self.watched).extract_if(|name, watched| !stays(name, watched));
        let gone: HashMap<Arc<str>, Watched> = gone.collect();
        let mut new = Vec::new();
        for request in &requests {
            if !self.watched.contains_key(&request.upstream) {
                let before = gone.get(&request.upstream).filter(|before| {
                    let source = &before.seeking.request.source;
                    source.asks_the_same(&request.source)
                });
                let question = before.map(|before| before.question);
                new.extend(self.start(request, question));
            }
        }
        let status = |watched: &Watched| {
            let Seeking {
                request, status, ..
            } = &watched.seeking;
            (kind(request), Arc::clone(status))
        };
        let statuses = (self.watched.iter()).map(|(name, one)| (Arc::clone(name), status(one)));
        *self.statuses.lock() = statuses.collect();
        self.wait(&new);
    }

    /// Begins to seek; `question` is the number of one that was asked before.
    fn start(
        &mut self,
        request: &DiscoveryRequest,
        question: Option<Question>,
    ) -> Option<Arc<DiscoveryStatus>> {
        if self.discoverer.is_none() {
            match Discoverer::start() {
                Ok(discoverer) => self.discoverer = Some(discoverer),
                Err(error) => process::error("nobody can find endpoints", &[("error", &error)]),
            }
        }
        let question = question.unwrap_or_else(|| {
            self.last_question += 1;
            self.last_question
        });
        let inbox = Arc::clone(&self.inbox);
        let report = Arc::new(move |upstream: &str, found| inbox.put(upstream, question, found));
        let seeking = self.discoverer.as_ref()?.watch(request.clone(), report);
        let status = Arc::clone(&seeking.status);
        let watched = Watched { seeking, question };
        self.watched.insert(Arc::clone(&request.upstream), watched);
        Some(status)
    }

    /// Waits until everybody has answered or failed once, or for long enough.
    fn wait(&self, new: &[Arc<DiscoveryStatus>]) {
        let until = now().plus(FIRST_ANSWER_TIMEOUT);
        let is_open = |status: &Arc<DiscoveryStatus>| status.answers() + status.errors() == 0;
        let mut found = self.inbox.lock();
        while new.iter().any(is_open) && now() < until {
            let waited = self.inbox.filled.wait_timeout(found, FAILED_POLL);
            found = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What was found since the last time, in answer to what is asked now.
    pub(crate) fn take(&self) -> Finds {
        let asked: HashMap<Arc<str>, Question> = (self.watched.iter())
            .map(|(name, watched)| (Arc::clone(name), watched.question))
            .collect();
        let answers = |name: &Arc<str>, question| asked.get(name) == Some(&question);
        let found = (self.inbox.take().into_iter())
            .filter(|(name, (question, _))| answers(name, *question))
            .map(|(name, (_, found))| (name, found))
            .collect();
        Finds { asked, found }
    }
}

/// How the seeking goes, by upstream.
#[derive(Debug, Default)]
pub(crate) struct Statuses(Mutex<ByUpstream>);

/// The kind of each source, and its status.
type ByUpstream = BTreeMap<Arc<str>, (&'static str, Arc<DiscoveryStatus>)>;

impl Statuses {
    fn lock(&self) -> MutexGuard<'_, ByUpstream> {
        // Replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That of one upstream.
    pub(crate) fn of(&self, upstream: &str) -> Option<(&'static str, Arc<DiscoveryStatus>)> {
        self.lock().get(upstream).cloned()
    }
}

impl Gauges for Statuses {
    fn collect(&self, out: &mut Exposition) {
        let answers = out.family(
            "foregate_discovery_answers_total",
            Kind::Counter,
            "Answers of those who know an upstream's endpoints.",
        );
        let errors = out.family(
            "foregate_discovery_errors_total",
            Kind::Counter,
            "Attempts to find an upstream's endpoints that came to nothing.",
        );
        let endpoints = out.family(
            "foregate_discovery_endpoints",
            Kind::Gauge,
            "Endpoints in the last answer.",
        );
        let last = out.family(
            "foregate_discovery_last_success_timestamp_seconds",
            Kind::Gauge,
            "When the last answer came, in seconds since 1970; 0 for never.",
        );
        for (upstream, (source, status)) in self.lock().iter() {
            let labels = [("upstream", &**upstream), ("source", *source)];
            out.count(answers, &labels, status.answers());
            out.count(errors, &labels, status.errors());
            out.count(endpoints, &labels, status.endpoints() as u64);
            out.count(last, &labels, status.last_success().unwrap_or(0));
        }
    }
}

fn requests(snapshot: &Snapshot, credentials: &Credentials) -> Vec<DiscoveryRequest> {
    let upstreams = snapshot.upstreams.iter().zip(&credentials.knowers);
    let requests = upstreams.filter_map(|(upstream, knower)| {
        let discovery = upstream.discovery.as_ref()?;
        Some(DiscoveryRequest {
            upstream: Arc::clone(&upstream.name),
            source: source(&discovery.source, knower.as_ref()),
            endpoints_max: discovery.endpoints_max,
        })
    });
    requests.collect()
}

fn kind(request: &DiscoveryRequest) -> &'static str {
    match request.source {
        Source::Dns { .. } => "dns",
        Source::Srv { .. } => "srv",
        Source::File(_) => "file",
        Source::Consul(_) => "consul",
        Source::Docker(_) => "docker",
    }
}

fn source(plan: &SourcePlan, knower: Option<&ConnectorPlan>) -> Source {
    match plan {
        SourcePlan::Dns(name, lookup) => Source::Dns {
            host: host(&name.host),
            port: name.port,
            question: question(lookup),
        },
        SourcePlan::Srv(name, lookup) => Source::Srv {
            name: name.clone(),
            question: question(lookup),
        },
        SourcePlan::File(path) => Source::File(path.clone()),
        SourcePlan::Consul(consul) => Source::Consul(ConsulQuestion {
            host: host(&consul.address.host),
            port: consul.address.port,
            service: consul.service.clone(),
            tag: consul.tag.clone(),
            datacenter: consul.datacenter.clone(),
            token: consul.token.as_ref().map(|token| token.reveal().into()),
            tls: knower.cloned().map(Box::new),
        }),
        SourcePlan::Docker(docker) => Source::Docker(DockerQuestion {
            socket: docker.socket.clone(),
            label: docker.label.as_str().into(),
            port: docker.port,
            network: docker.network.as_deref().map(Into::into),
        }),
    }
}

fn host(host: &ServerHost) -> Box<str> {
    match host {
        ServerHost::Ip(ip) => ip.to_string().into(),
        ServerHost::Name(name) => name.as_str().into(),
    }
}

fn question(lookup: &DnsLookup) -> DnsQuestion {
    DnsQuestion {
        name_servers: lookup.name_servers.clone(),
        ttl_min: lookup.ttl_min,
        ttl_max: lookup.ttl_max,
    }
}
