//! Endpoints that change while a configuration stays in force.

use super::{Command, Control, Controller, Inner, LAGGING, RESOLVE_INTERVAL, UPGRADING, spawn};
use crate::fleet::{self, Addresses, Changed, Handover};
use crate::worker::Order;
use foregate_admin::{EndpointChange, Refusal, RefusalKind};
use foregate_snapshot::{EndpointPlan, Snapshot};
use foregate_telemetry::clock::now;
use foregate_telemetry::log::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How long workers may take until a change of an endpoint is in force everywhere.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// What came of a wish.
pub(crate) type Answer = Result<(), Refusal>;

impl Controller {
    /// Changes an endpoint of an upstream, and waits until every worker goes by it.
    pub(crate) fn change_endpoint(
        &self,
        upstream: &str,
        endpoint: &str,
        change: EndpointChange,
    ) -> Answer {
        let gone = || Refusal::new(RefusalKind::Failed, "the server is ending".to_owned());
        let (answer, outcome) = sync_channel(1);
        let command = Command::Endpoint {
            upstream: upstream.into(),
            endpoint: endpoint.into(),
            change,
            answer,
        };
        self.commands.send(command).map_err(|_| gone())?;
        wait(&outcome, CHANGE_TIMEOUT).unwrap_or_else(|| Err(gone()))
    }
}

/// What came of a wish, or that this is not known yet; nothing when nobody is left who would tell.
fn wait(outcome: &Receiver<Answer>, timeout: Duration) -> Option<Answer> {
    match outcome.recv_timeout(timeout) {
        Ok(answer) => Some(answer),
        Err(RecvTimeoutError::Timeout) => {
            let detail = "the change is noted, and comes into force once every worker has taken it up, which takes \
                          longer than usual: it needs not be asked for again";
            Some(Err(Refusal::new(RefusalKind::Pending, detail.to_owned())))
        }
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

impl Inner {
    /// Goes on with what operators said of upstreams under another configuration. Of one that is gone it is kept: an
    /// older configuration may come back that names it, by itself even, and a drained backend must not take requests then.
    pub(super) fn keep_wishes(&mut self, snapshot: &Snapshot) {
        let names = |snapshot: &Snapshot, name: &str| {
            let mut upstreams = snapshot.upstreams.iter();
            upstreams.any(|upstream| &*upstream.name == name)
        };
        let wishes = &mut self.roster.wishes;
        for name in wishes.upstreams() {
            let values: &[process::Value<'_>] = &[("upstream", &name)];
            match (names(&self.snapshot, name), names(snapshot, name)) {
                (true, false) => {
                    let text =
                        "an upstream whose endpoints were changed is gone: the changes wait for it";
                    process::warn(text, values);
                }
                (false, true) => {
                    let text =
                        "an upstream is back: the changes of its endpoints are in force again";
                    process::info(text, values);
                }
                _ => {}
            }
        }
        let forgotten = wishes.forget_surplus(|name| names(snapshot, name));
        for name in &forgotten {
            let values: &[process::Value<'_>] = &[("upstream", name)];
            let text = "too many upstreams are gone whose endpoints were changed: the changes of one are forgotten";
            process::warn(text, values);
        }
        if let Some(file) = &self.state_file
            && !forgotten.is_empty()
            && let Err(problem) = file.write(wishes)
        {
            process::warn(&problem, &[]);
        }
    }
}

impl Control {
    /// Takes an operator's wish up.
    pub(super) fn change_endpoint(
        &mut self,
        upstream: &str,
        endpoint: &str,
        change: &EndpointChange,
        answer: SyncSender<Answer>,
    ) {
        match self.wish(upstream, endpoint, change) {
            Ok(name) => {
                self.look_up_new(&name);
                // Told only once the last worker goes by it.
                let done = move || drop(answer.send(Ok(())));
                self.renew_endpoints(&[name], done);
            }
            // Who asked may have gone.
            Err(refusal) => drop(answer.send(Err(refusal))),
        }
    }

    fn wish(
        &mut self,
        upstream: &str,
        endpoint: &str,
        change: &EndpointChange,
    ) -> Result<Arc<str>, Refusal> {
        if self.draining_until.is_some() {
            let detail = "the server is draining";
            return Err(Refusal::new(RefusalKind::Conflict, detail.to_owned()));
        }
        if self.upgrading {
            return Err(Refusal::new(RefusalKind::Upgrading, UPGRADING.to_owned()));
        }
        if self.is_lagging {
            return Err(Refusal::new(RefusalKind::Conflict, LAGGING.to_owned()));
        }
        let inner = &mut self.inner;
        let group = inner.fleet.group(upstream).ok_or_else(|| {
            let detail = format!("there is no upstream `{upstream}`");
            Refusal::new(RefusalKind::NotFound, detail)
        })?;
        let parsed = EndpointPlan::parse(endpoint, 1).ok_or_else(|| {
            let detail = format!("`{endpoint}` is not ip:port, [ipv6]:port or name:port");
            Refusal::new(RefusalKind::Invalid, detail)
        })?;
        let authority = &parsed.authority;
        let is_there = (group.members.iter()).any(|one| one.endpoint.authority == *authority);
        let before = inner.roster.wishes.clone();
        let wishes = &mut inner.roster.wishes;
        wishes.change(upstream, authority, change, is_there)?;
        if let Some(file) = &inner.state_file
            && let Err(problem) = file.write(wishes)
        {
            *wishes = before;
            return Err(Refusal::new(RefusalKind::Failed, problem));
        }
        let values: &[process::Value<'_>] = &[
            ("upstream", &upstream),
            ("endpoint", authority),
            ("change", change),
        ];
        process::info("an endpoint was changed by the admin API", values);
        Ok(Arc::clone(&group.plan().name))
    }

    /// Takes up what was found.
    pub(super) fn discovered(&mut self) {
        let inner = &mut self.inner;
        let finds = inner.seekers.take();
        if self.draining_until.is_some() || finds.found.is_empty() {
            return;
        }
        let mut names = Vec::new();
        for (name, endpoints) in &finds.found {
            let count = endpoints.len();
            let values: &[process::Value<'_>] = &[("upstream", name), ("endpoints", &count)];
            process::info("endpoints were found", values);
            names.push(Arc::clone(name));
        }
        inner.roster.take_up(finds);
        for name in &names {
            self.look_up_new(name);
        }
        self.renew_endpoints(&names, || {});
    }

    /// Names that nobody has looked up yet are, on a thread of their own.
    fn look_up_new(&self, upstream: &str) {
        let inner = &self.inner;
        let Some(group) = inner.fleet.group(upstream) else {
            return;
        };
        let mut names = inner.roster.names(group.plan());
        names.retain(|name| !inner.roster.addresses.contains_key(name));
        self.look_up(names);
    }

    /// Gives workers these upstreams with the endpoints that they have now. `done` is called when all go by them.
    pub(super) fn renew_endpoints(
        &mut self,
        upstreams: &[Arc<str>],
        done: impl FnOnce() + Send + Sync + 'static,
    ) {
        if self.is_lagging {
            self.postponed.extend(upstreams.iter().cloned());
            return done();
        }
        let inner = &mut self.inner;
        let (fleet, registry) = (&inner.fleet, &inner.registry);
        let Some(changed) = fleet.renew(upstreams, &inner.parts, &inner.roster, registry) else {
            return done();
        };
        let Changed { parts, removed } = changed;
        inner.prober.set(parts.probe_targets());
        let handover = Arc::new(Handover::new(removed).then(done));
        inner.attic.hand_over(&handover);
        inner.set_parts(&parts);
        self.order(|_| Order::Endpoints(Box::new(parts.clone()), Arc::clone(&handover)));
    }

    /// Looks all names of backends up again.
    pub(super) fn look_up_again(&mut self) {
        self.resolve_at = now().plus(RESOLVE_INTERVAL);
        let names = fleet::names(&self.inner.snapshot, &self.inner.roster);
        self.look_up(names);
    }

    fn look_up(&self, names: Vec<fleet::Name>) {
        if names.is_empty() {
            return;
        }
        let controller = self.inner.controller.clone();
        let work = move || controller.tell(Command::Resolved(fleet::look_up(&names)));
        if let Err(error) = spawn("resolve", work) {
            let text = "names of backends can't be looked up now, and are tried again";
            process::warn(text, &[("error", &error)]);
        }
    }

    /// Takes new addresses up; a name that has just stopped resolving keeps its last ones.
    pub(super) fn resolved(&mut self, found: Addresses) {
        let inner = &mut self.inner;
        let mut changed = false;
        for (name, addresses) in found {
            changed |= inner.roster.addresses.get(&name) != Some(&addresses);
            inner.roster.addresses.insert(name, addresses);
        }
        if !changed || self.draining_until.is_some() {
            return;
        }
        process::info("addresses of backends have changed", &[]);
        let upstreams = inner.snapshot.upstreams.iter();
        let all: Vec<Arc<str>> = upstreams.map(|plan| Arc::clone(&plan.name)).collect();
        self.renew_endpoints(&all, || {});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_noted_and_not_in_force_yet_is_told_as_such() {
        let (answer, outcome) = sync_channel(1);
        let told = wait(&outcome, Duration::ZERO).unwrap();
        assert_eq!(told.unwrap_err().kind, RefusalKind::Pending);
        answer.send(Ok(())).unwrap();
        assert_eq!(wait(&outcome, Duration::ZERO), Some(Ok(())));
        drop(answer);
        assert_eq!(wait(&outcome, Duration::ZERO), None);
    }
}
