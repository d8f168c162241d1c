//! What is wrong with the files that a configuration names for TLS, told like everything else: with its line.

use std::path::Path;

use foregate_config::settings::{CertificateSource, DiscoverySource, NamedFile};
use foregate_config::{Code, Diagnostic, Origin, Outcome, Settings};
use foregate_server::{About, CredentialFinding, Credentials, Role};

/// Adds what was found to the outcome; with an error among it there are no settings any more.
pub(crate) fn judge(outcome: &mut Outcome, credentials: &Credentials) {
    let Some(settings) = &outcome.settings else {
        return;
    };
    let told: Vec<Diagnostic> = credentials
        .findings()
        .iter()
        .map(|finding| diagnostic(settings, finding))
        .collect();
    outcome.diagnostics.extend(told);
    outcome
        .diagnostics
        .sort_by_key(|diagnostic| (diagnostic.origin.file, diagnostic.origin.start));
    if credentials.has_errors() {
        outcome.settings = None;
    }
}

fn diagnostic(settings: &Settings, finding: &CredentialFinding) -> Diagnostic {
    match &finding.about {
        About::File(role, path) => {
            let code = match finding.is_error {
                true => Code::BadCertificate,
                false => Code::DoubtfulCertificate,
            };
            let (origin, is_whole) = origin_of(settings, *role, path);
            let told = Diagnostic::new(code, origin, &finding.problem);
            if is_whole {
                told
            } else {
                told.label(format!("in {}", path.display()))
            }
        }
        About::Unused(name) => {
            let certificate = settings.certificates.iter().find(|one| one.name == *name);
            let origin = certificate.map_or(Origin::NOWHERE, |certificate| certificate.origin);
            Diagnostic::new(Code::UnusedCertificate, origin, &finding.problem)
                .label("never shown")
                .help("is it the right file? `foregate certs` tells the names in it")
        }
        About::Host { site, host } => {
            let mut sites = settings.sites.iter().filter(|one| one.name == *site);
            let hosts = sites.next().into_iter().flat_map(|site| &site.hosts);
            let mut hosts = hosts.filter(|one| one.pattern.to_string() == *host);
            let origin = hosts.next().map_or(Origin::NOWHERE, |host| host.origin);
            Diagnostic::new(Code::NoCertificate, origin, &finding.problem)
                .cause("no file covers it, and a wildcard is proved by dns-01 only")
                .label("handshakes would be refused")
                .help("[acme] dns = { hook = [\"…\"] }, or certificates from files")
        }
        About::Site(name) => {
            let site = settings.sites.iter().find(|site| site.name == *name);
            let origin = site.map_or(Origin::NOWHERE, |site| site.tls.origin);
            Diagnostic::new(Code::CannotCertify, origin, &finding.problem)
                .label("handshakes would be refused")
                .help("tls = \"auto\" has certificates issued for hosts that no file covers")
        }
    }
}

/// Where a file was named, and whether it was itself, not the folder that it is in.
fn origin_of(settings: &Settings, role: Role, path: &Path) -> (Origin, bool) {
    let named = files(settings);
    let mut exact = named.iter().filter(|(_, file)| file.path == path);
    // One file may be named for several things, and be wrong for one of them.
    let of_role = exact.clone().find(|(of, _)| *of == role);
    let mut folders = named.iter().filter(|(of, _)| *of == Role::Folder);
    match of_role.or_else(|| exact.next()) {
        Some((_, file)) => (file.origin, true),
        None => match folders.find(|(_, folder)| path.starts_with(&folder.path)) {
            Some((_, folder)) => (folder.origin, false),
            None => (Origin::NOWHERE, false),
        },
    }
}

/// Every file that is named for TLS, with what for.
fn files<'s>(settings: &'s Settings) -> Vec<(Role, &'s NamedFile)> {
    let mut named = Vec::new();
    let mut name =
        |role: Role, file: Option<&'s NamedFile>| named.extend(file.map(|file| (role, file)));
    for certificate in &settings.certificates {
        match &certificate.source {
            CertificateSource::Files {
                certificate,
                key,
                ocsp,
            } => {
                name(Role::Certificate, Some(certificate));
                name(Role::Key, Some(key));
                name(Role::Statement, ocsp.as_ref());
            }
            CertificateSource::Folder(folder) => name(Role::Folder, Some(folder)),
        }
    }
    for asked in (settings.sites.iter()).filter_map(|site| site.tls.client_certificate.as_ref()) {
        name(Role::ClientAuthorities, Some(&asked.ca_file));
        for list in &asked.crl_files {
            name(Role::RevocationList, Some(list));
        }
    }
    for upstream in &settings.upstreams {
        let knower = match upstream.discovery.as_ref().map(|one| &one.source) {
            Some(DiscoverySource::Consul(consul)) => consul.tls.as_ref(),
            _ => None,
        };
        for tls in upstream.tls.iter().chain(knower) {
            let own = tls.client_certificate.as_ref();
            name(Role::BackendAuthorities, tls.ca_file.as_ref());
            name(
                Role::BackendCertificate,
                own.map(|(certificate, _)| certificate),
            );
            name(Role::BackendKey, own.map(|(_, key)| key));
        }
    }
    name(Role::TicketKeys, settings.tls.ticket_keys_file.as_ref());
    name(Role::AcmeAuthorities, settings.acme.ca_file.as_ref());
    named
}
