//! Addresses that are listened on.

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::settings::Settings;
use crate::{Origin, settings::Listener};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Reports addresses that are listened on twice, and listeners that could accept no connection.
pub(super) fn check(settings: &Settings, report: &mut Report) {
    let mut seen: HashMap<SocketAddr, (Origin, String)> = HashMap::new();
    let mut listen = |address: SocketAddr, origin: Origin, owner: String, report: &mut Report| {
        // The system chooses another port each time.
        if address.port() == 0 {
            return;
        }
        if let Some((first, first_owner)) = seen.get(&address) {
            report.push(
                Diagnostic::new(
                    Code::DuplicateAddress,
                    origin,
                    format!("{owner} listens on {address}, and so does {first_owner}"),
                )
                .label("listened on twice")
                .related(*first, "first listened on here"),
            );
        } else {
            seen.insert(address, (origin, owner));
        }
    };
    for listener in &settings.listeners {
        for address in &listener.addresses {
            listen(
                *address,
                listener.origin,
                format!("the listener `{}`", listener.name),
                report,
            );
        }
        trusts_someone(listener, settings, report);
    }
    if let Some(admin) = &settings.admin {
        listen(
            admin.address,
            admin.origin,
            "the admin listener".to_owned(),
            report,
        );
    }
}

fn trusts_someone(listener: &Listener, settings: &Settings, report: &mut Report) {
    if listener.accept_proxy_protocol && settings.forwarding.trusted_proxies.is_empty() {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                listener.origin,
                format!("the listener `{}` would refuse every connection", listener.name),
            )
            .cause("it accepts the PROXY protocol from `forwarding.trusted_proxies`, and none is written")
            .help("for example: [forwarding] with trusted_proxies = [\"10.0.0.0/8\"]"),
        );
    }
}
