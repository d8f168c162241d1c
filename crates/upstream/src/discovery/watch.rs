//! Watching: a task for each upstream that has its endpoints found, all on one thread of their own.

use super::answer::FoundEndpoint;
use super::consul::ConsulWatch;
use super::dns::{DnsWatch, SrvWatch};
use super::docker::DockerWatch;
use super::file::FileWatch;
use super::pause::Pauses;
use super::{DiscoveryStatus, Source};
use foregate_telemetry::clock;
use foregate_telemetry::log::process;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// How long is waited after trouble with a file.
const FILE_PAUSE: Duration = Duration::from_millis(500);

/// Who is told of what was found: the upstream's name, and its endpoints.
pub(super) type Report = Arc<dyn Fn(&str, Vec<FoundEndpoint>) + Send + Sync>;

/// The thread on which endpoints are found. Ends when it is dropped.
#[derive(Debug)]
pub struct Discoverer {
    runtime: Handle,
    _end: oneshot::Sender<()>,
}

/// What is to be found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoveryRequest {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// Who is asked.
    pub source: Source,
    /// Endpoints that are taken; what comes beyond is left out.
    pub endpoints_max: usize,
}

/// Endpoints that are being found, until this is dropped.
#[derive(Debug)]
pub struct Seeking {
    /// What for.
    pub request: DiscoveryRequest,
    /// How it goes.
    pub status: Arc<DiscoveryStatus>,
    task: AbortHandle,
}

impl Drop for Seeking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Discoverer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refused it.
    pub fn start() -> io::Result<Discoverer> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("discovery".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let _ = ended.await;
                });
                // Looks at files that hang are not waited for.
                runtime.shutdown_background();
            })?;
        Ok(Discoverer {
            runtime: handle,
            _end: end,
        })
    }

    /// Has endpoints found from now on. `report` is called with every answer that differs from the one before, and with
    /// the first one.
    pub fn watch(&self, request: DiscoveryRequest, report: Report) -> Seeking {
        let status = Arc::new(DiscoveryStatus::default());
        let task = watch(request.clone(), Arc::clone(&status), report);
        let task = self.runtime.spawn(task).abort_handle();
        Seeking {
            request,
            status,
            task,
        }
    }
}

/// Each source as it is being watched.
enum Watch {
    Dns(DnsWatch),
    Srv(SrvWatch),
    File(FileWatch),
    Consul(ConsulWatch),
    Docker(DockerWatch),
}

impl Watch {
    fn of(source: &Source) -> Watch {
        match source {
            Source::Dns {
                host,
                port,
                question,
            } => Watch::Dns(DnsWatch::new(host, *port, question.clone())),
            Source::Srv { name, question } => Watch::Srv(SrvWatch::new(name, question.clone())),
            Source::File(path) => Watch::File(FileWatch::new(path.clone())),
            Source::Consul(question) => Watch::Consul(ConsulWatch::new(question.clone())),
            Source::Docker(question) => Watch::Docker(DockerWatch::new(question.clone())),
        }
    }

    /// The next answer: the first at once, later ones when there may be something new.
    async fn next(&mut self) -> Result<Vec<FoundEndpoint>, String> {
        match self {
            Watch::Dns(watch) => watch.next().await,
            Watch::Srv(watch) => watch.next().await,
            Watch::File(watch) => watch.next().await,
            Watch::Consul(watch) => watch.next().await,
            Watch::Docker(watch) => watch.next().await,
        }
    }
}

async fn watch(request: DiscoveryRequest, status: Arc<DiscoveryStatus>, report: Report) {
    let upstream = &*request.upstream;
    let mut watch = Watch::of(&request.source);
    let mut pauses = Pauses::default();
    let mut last: Option<Vec<FoundEndpoint>> = None;
    loop {
        match watch.next().await {
            Ok(mut found) => {
                pauses.reset();
                let (count, most) = (found.len(), request.endpoints_max);
                if count > most {
                    found.truncate(most);
                    let values: &[process::Value<'_>] =
                        &[("upstream", &upstream), ("found", &count), ("taken", &most)];
                    process::warn("more endpoints were found than may be", values);
                }
                if status.trouble().is_some() {
                    let values: &[process::Value<'_>] = &[("upstream", &upstream)];
                    process::info("endpoints are found again", values);
                }
                status.answered(found.len(), clock::unix_now());
                if last.as_ref() != Some(&found) {
                    report(upstream, found.clone());
                    last = Some(found);
                }
            }
            Err(trouble) => {
                if status.failed(&trouble) {
                    let kept = last.as_ref().map_or(0, Vec::len);
                    let values: &[process::Value<'_>] = &[
                        ("upstream", &upstream),
                        ("error", &trouble),
                        ("kept", &kept),
                    ];
                    process::error("endpoints can't be found, the last ones stay", values);
                }
                // As good as chance: nobody gains from guessing it.
                let chance = clock::unix_now().micros() as u32;
                let pause = match &watch {
                    // A look at a file burdens nobody, and whoever repairs it waits for it.
                    Watch::File(_) => FILE_PAUSE,
                    _ => pauses.next(chance),
                };
                tokio::time::sleep(pause).await;
            }
        }
    }
}
