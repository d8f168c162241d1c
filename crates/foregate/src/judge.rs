//! What is wrong with the files that a configuration names for TLS, told like everything else: with its line.

use std::path::Path;

use foregate_config::settings::{CertificateSource, DiscoverySource, NamedFile};
use foregate_config::{Code, Diagnostic, Origin, Outcome, Settings};
use foregate_server::{About, CredentialFinding, Credentials};

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
        About::File(path) => {
            let code = match finding.is_error {
                true => Code::BadCertificate,
                false => Code::DoubtfulCertificate,
            };
            let (origin, is_whole) = origin_of(settings, path);
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
fn origin_of(settings: &Settings, path: &Path) -> (Origin, bool) {
    let exact = files(settings).find(|file| file.path == path);
    let folder = || files(settings).find(|file| path.starts_with(&file.path));
    match (exact, folder()) {
        (Some(file), _) => (file.origin, true),
        (None, Some(folder)) => (folder.origin, false),
        (None, None) => (Origin::NOWHERE, false),
    }
}

/// Every file that is named for TLS.
fn files(settings: &Settings) -> impl Iterator<Item = &NamedFile> {
    let certificates = settings
        .certificates
        .iter()
        .flat_map(|one| match &one.source {
            CertificateSource::Files {
                certificate,
                key,
                ocsp,
            } => vec![Some(certificate), Some(key), ocsp.as_ref()],
            CertificateSource::Folder(folder) => vec![Some(folder)],
        });
    let clients = settings
        .sites
        .iter()
        .filter_map(|site| site.tls.client_certificate.as_ref())
        .flat_map(|asked| std::iter::once(&asked.ca_file).chain(&asked.crl_files))
        .map(Some);
    let upstreams = settings
        .upstreams
        .iter()
        .flat_map(|upstream| {
            let knower = match upstream.discovery.as_ref().map(|one| &one.source) {
                Some(DiscoverySource::Consul(consul)) => consul.tls.as_ref(),
                _ => None,
            };
            upstream.tls.iter().chain(knower)
        })
        .flat_map(|tls| {
            let own = tls.client_certificate.as_ref();
            [
                tls.ca_file.as_ref(),
                own.map(|(certificate, _)| certificate),
                own.map(|(_, key)| key),
            ]
        });
    let others = [
        settings.tls.ticket_keys_file.as_ref(),
        settings.acme.ca_file.as_ref(),
    ];
    certificates
        .chain(clients)
        .chain(upstreams)
        .chain(others)
        .flatten()
}
