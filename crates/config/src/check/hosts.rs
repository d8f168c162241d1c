//! Hosts that several sites serve.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::settings::{HostPattern, Settings, Site};
use std::collections::HashMap;

/// Reports hosts that are served twice on the same listener.
pub(super) fn check(settings: &Settings, report: &mut Report) {
    // By host: the sites that serve it so far. Nearly always one.
    let mut served: HashMap<&HostPattern, Vec<(Origin, &Site)>> = HashMap::new();
    for site in &settings.sites {
        for host in &site.hosts {
            let others = served.entry(&host.pattern).or_default();
            let clash = others
                .iter()
                .find(|(_, other)| share_a_listener(site, other));
            if let Some((first, other)) = clash {
                let message = if std::ptr::eq(site, *other) {
                    format!(
                        "the site `{}` lists the host `{}` twice",
                        site.name, host.pattern
                    )
                } else {
                    format!(
                        "the host `{}` is served by the sites `{}` and `{}`",
                        host.pattern, other.name, site.name
                    )
                };
                report.push(
                    Diagnostic::new(Code::DuplicateHost, host.origin, message)
                        .label("served again")
                        .related(*first, "first served here")
                        .help("keep one of them, or serve them on different `listeners`"),
                );
            } else {
                others.push((host.origin, site));
            }
        }
    }
}

fn share_a_listener(one: &Site, other: &Site) -> bool {
    one.listeners.is_empty()
        || other.listeners.is_empty()
        || one.listeners.iter().any(|listener| other.is_on(listener))
}
