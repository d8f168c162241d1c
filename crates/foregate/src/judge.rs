//! What is wrong with the files that a configuration names for TLS, told like everything else: with its line.

use std::collections::HashMap;
use std::path::Path;

use foregate_config::settings::{Certificate, CertificateSource, DiscoverySource, NamedFile, Site};
use foregate_config::{Code, Diagnostic, Origin, Outcome, Settings};
use foregate_server::{About, CredentialFinding, Credentials, Role};

/// Adds what was found to the outcome; with an error among it there are no settings any more.
pub(crate) fn judge(outcome: &mut Outcome, credentials: &Credentials) {
    let findings = credentials.findings();
    let Some(settings) = outcome.settings.take_if(|_| !findings.is_empty()) else {
        return;
    };
    let places = Places::of(&settings);
    // Errors go first: what is too much is only counted.
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.iter().partition(|one| one.is_error);
    let findings = errors.into_iter().chain(warnings);
    outcome.add(findings.map(|finding| places.diagnostic(finding)));
    if !credentials.has_errors() {
        outcome.settings = Some(settings);
    }
}

/// Where everything stands that a finding can be about: there may be thousands of both.
struct Places<'s> {
    files: HashMap<&'s Path, Vec<(Role, Origin)>>,
    folders: HashMap<&'s Path, Origin>,
    certificates: HashMap<&'s str, &'s Certificate>,
    sites: HashMap<&'s str, &'s Site>,
    hosts: HashMap<(&'s str, String), Origin>,
}

impl<'s> Places<'s> {
    fn of(settings: &'s Settings) -> Places<'s> {
        let mut files: HashMap<&Path, Vec<(Role, Origin)>> = HashMap::new();
        let mut folders = HashMap::new();
        for (role, file) in named_files(settings) {
            files
                .entry(&file.path)
                .or_default()
                .push((role, file.origin));
            if role == Role::Folder {
                folders.entry(file.path.as_path()).or_insert(file.origin);
            }
        }
        let certificates = settings.certificates.iter();
        let hosts = settings.sites.iter().flat_map(|site| {
            let hosts = site.hosts.iter();
            hosts.map(|host| ((site.name.as_str(), host.pattern.to_string()), host.origin))
        });
        Places {
            files,
            folders,
            certificates: certificates.map(|one| (one.name.as_str(), one)).collect(),
            sites: settings
                .sites
                .iter()
                .map(|site| (site.name.as_str(), site))
                .collect(),
            hosts: hosts.collect(),
        }
    }

    fn diagnostic(&self, finding: &CredentialFinding) -> Diagnostic {
        match &finding.about {
            About::File(role, path) => {
                let code = match finding.is_error {
                    true => Code::BadCertificate,
                    false => Code::DoubtfulCertificate,
                };
                let (origin, is_whole) = self.of_file(*role, path);
                let told = Diagnostic::new(code, origin, &finding.problem);
                if is_whole {
                    told
                } else {
                    told.label(format!("in {}", path.display()))
                }
            }
            About::Unused(name) => {
                let certificate = self.certificates.get(name.as_str());
                let origin = certificate.map_or(Origin::NOWHERE, |certificate| certificate.origin);
                Diagnostic::new(Code::UnusedCertificate, origin, &finding.problem)
                    .label("never shown")
                    .help("is it the right file? `foregate certs` tells the names in it")
            }
            About::Host { site, host } => {
                let origin = self.hosts.get(&(site.as_str(), host.clone()));
                let origin = origin.copied().unwrap_or(Origin::NOWHERE);
                Diagnostic::new(Code::NoCertificate, origin, &finding.problem)
                    .cause("no file covers it, and a wildcard is proved by dns-01 only")
                    .label("handshakes would be refused")
                    .help("[acme] dns = { hook = [\"…\"] }, or certificates from files")
            }
            About::Site(name) => {
                let site = self.sites.get(name.as_str());
                let origin = site.map_or(Origin::NOWHERE, |site| site.tls.origin);
                Diagnostic::new(Code::CannotCertify, origin, &finding.problem)
                    .label("handshakes would be refused")
                    .help("tls = \"auto\" has certificates issued for hosts that no file covers")
            }
        }
    }

    /// Where a file was named, and whether it was itself, not the folder that it is in.
    fn of_file(&self, role: Role, path: &Path) -> (Origin, bool) {
        let named = self.files.get(path).map_or(&[][..], Vec::as_slice);
        // One file may be named for several things, and be wrong for one of them.
        let of_role = named.iter().find(|(of, _)| *of == role);
        match of_role.or(named.first()) {
            Some((_, origin)) => (*origin, true),
            None => {
                let mut above = path.ancestors().skip(1);
                let folder = above.find_map(|folder| self.folders.get(folder));
                (folder.copied().unwrap_or(Origin::NOWHERE), false)
            }
        }
    }
}

/// Every file that is named for TLS, with what for.
fn named_files<'s>(settings: &'s Settings) -> Vec<(Role, &'s NamedFile)> {
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
