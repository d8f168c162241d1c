//! References by name: which listeners and upstreams exist, and which are used.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::settings::{Listener, NamedCertificate, Site, Upstream};
use crate::tree::Entry;
use std::collections::{HashMap, HashSet};

/// The names that others may refer to.
pub(crate) struct Names {
    upstreams: HashMap<String, usize>,
    /// Whether each carries requests.
    listeners: HashMap<String, bool>,
    certificates: HashSet<String>,
    upstreams_used: Vec<bool>,
}

impl Names {
    pub(crate) fn new(upstreams: &[Upstream], certificates: &[Entry]) -> Self {
        Self {
            upstreams: upstreams
                .iter()
                .enumerate()
                .map(|(index, upstream)| (upstream.name.clone(), index))
                .collect(),
            listeners: HashMap::new(),
            certificates: certificates.iter().map(|entry| entry.key.clone()).collect(),
            upstreams_used: vec![false; upstreams.len()],
        }
    }

    /// Makes the listeners known, which themselves refer to upstreams.
    pub(crate) fn add_listeners(&mut self, listeners: &[Listener]) {
        self.listeners = listeners
            .iter()
            .map(|listener| (listener.name.clone(), listener.is_http()))
            .collect();
    }

    /// The index of the upstream of this name; reports one that does not exist.
    pub(crate) fn upstream(
        &mut self,
        name: &str,
        origin: Origin,
        report: &mut Report,
    ) -> Option<usize> {
        let Some(index) = self.upstreams.get(name) else {
            let known = sorted(self.upstreams.keys(), report);
            let help = report.suggest(name, known.iter().copied());
            let message = format!("there is no upstream {}", quoted(name));
            report.push(
                Diagnostic::new(Code::UnknownUpstream, origin, message)
                    .label("not defined")
                    .help(help.unwrap_or_else(|| define(name, &known))),
            );
            return None;
        };
        self.upstreams_used[*index] = true;
        Some(*index)
    }

    /// Whether there is a listener of this name; reports one that does not exist.
    pub(crate) fn listener(&self, name: &str, origin: Origin, report: &mut Report) -> bool {
        let listener = self.listeners.get(name);
        if listener == Some(&false) {
            report.push(
                Diagnostic::new(
                    Code::ConflictingKeys,
                    origin,
                    format!("the listener {} carries no requests", quoted(name)),
                )
                .label("its `mode` is not \"http\"")
                .help("remove it here"),
            );
            return false;
        }
        if listener.is_none() {
            let known = sorted(self.listeners.keys(), report);
            let help = report.suggest(name, known.iter().copied());
            report.push(
                Diagnostic::new(
                    Code::UnknownListener,
                    origin,
                    format!("there is no listener {}", quoted(name)),
                )
                .label("not defined")
                .help(help.unwrap_or_else(|| format!("known listeners: {}", known.join(", ")))),
            );
        }
        listener.is_some()
    }

    /// The certificate that a key names; reports one that does not exist.
    pub(crate) fn named_certificate(
        &self,
        entry: &Entry,
        report: &mut Report,
    ) -> Option<NamedCertificate> {
        let name = crate::scalar::text(&entry.node, report)?.to_owned();
        let origin = entry.node.origin;
        (self.certificate(&name, origin, report)).then_some(NamedCertificate { name, origin })
    }

    /// Whether there is a certificate of this name; reports one that does not exist.
    pub(crate) fn certificate(&self, name: &str, origin: Origin, report: &mut Report) -> bool {
        let exists = self.certificates.contains(name);
        if !exists {
            let known = sorted(self.certificates.iter(), report);
            let help = report.suggest(name, known.iter().copied());
            let define = format!("define it: [certificates.{name}]");
            report.push(
                Diagnostic::new(
                    Code::UnknownCertificate,
                    origin,
                    format!("there is no certificate {}", quoted(name)),
                )
                .label("not defined")
                .help(help.unwrap_or(define)),
            );
        }
        exists
    }

    /// Reports upstreams that no route uses and listeners that no site is on.
    pub(crate) fn report_unused(
        &self,
        listeners: &[Listener],
        upstreams: &[Upstream],
        sites: &[Site],
        report: &mut Report,
    ) {
        for (upstream, _) in upstreams
            .iter()
            .zip(&self.upstreams_used)
            .filter(|(_, used)| !**used)
        {
            report.push(
                Diagnostic::new(
                    Code::UnusedUpstream,
                    upstream.origin,
                    format!("no route uses the upstream `{}`", upstream.name),
                )
                .label("never used")
                .help("remove it, or send a route to it"),
            );
        }
        let on_all = sites.iter().any(|site| site.listeners.is_empty());
        let used: HashSet<&str> = sites
            .iter()
            .flat_map(|site| &site.listeners)
            .map(String::as_str)
            .collect();
        for listener in listeners.iter().filter(|listener| {
            !listener.implied && listener.is_http() && !on_all && !sites.is_empty()
        }) {
            if !used.contains(listener.name.as_str()) {
                let message = format!("no site is served on the listener `{}`", listener.name);
                report.push(
                    Diagnostic::new(Code::UnusedListener, listener.origin, message)
                        .label("every request would be answered with 404"),
                );
            }
        }
    }
}

fn define(name: &str, known: &[&str]) -> String {
    match known {
        [] => format!("define it: [upstreams.{name}]"),
        known if known.len() <= 8 => format!("known upstreams: {}", known.join(", ")),
        _ => format!("define it: [upstreams.{name}]"),
    }
}

/// The names in order; none once suggestions are used up, so that many errors do not sort many names.
fn sorted<'n>(names: impl Iterator<Item = &'n String>, report: &Report) -> Vec<&'n str> {
    let mut names: Vec<&str> = if report.can_suggest() {
        names.map(String::as_str).collect()
    } else {
        Vec::new()
    };
    names.sort_unstable();
    names
}
