//! The files that a configuration names for TLS: read once a load, judged, and kept as plain values.

mod coverage;

use crate::secure::is_of;
use crate::start::Before;
use coverage::Coverage;
use foregate_snapshot::{
    CertificateFiles, CertificatePlan, ClientCertificatePlan, HostPattern, Issuer, SiteCertificate,
    SiteTlsPlan, Snapshot, UpstreamTlsPlan,
};
use foregate_tls::certificate::{self, CertificateName, Finding, PlatformRoots, Roots, Severity};
use foregate_tls::files::{in_few_words, read};
use foregate_tls::watch::{FilesPlan, FolderPlan, KnownCertificates, PassedOver, Seen};
use foregate_tls::{
    ClientAuthPlan, ConnectorPlan, RevocationList, RootsPlan, Served, Tickets, unix_s,
};
use std::collections::HashSet;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

/// Backends whose TLS sessions an upstream remembers.
const BACKEND_SESSIONS_MAX: usize = 256;

/// Fewer pairs are not worth a thread.
const PAIRS_OF_THREAD_MIN: usize = 64;

/// Threads for each core that read pairs: while some wait for the disk, as all do after the machine's start, others judge.
const THREADS_A_CORE: usize = 4;

/// Threads that read pairs.
const THREADS_MAX: usize = 64;

/// What was read.
#[derive(Debug, Default)]
pub struct Credentials {
    /// Certificates from files; their names begin with that of their entry.
    pub(crate) served: Vec<Arc<Served>>,
    /// The same for whoever watches their files.
    pub(crate) known: KnownCertificates,
    /// What is asked of clients, by the site's number.
    pub(crate) clients: Vec<Option<ClientAuthPlan>>,
    /// How backends are spoken to, by the upstream's number.
    pub(crate) connectors: Vec<Option<ConnectorPlan>>,
    /// How those who know an upstream's endpoints are spoken to, by the upstream's number.
    pub(crate) knowers: Vec<Option<ConnectorPlan>>,
    /// Keys for tickets.
    pub(crate) ticket_keys: Option<Vec<u8>>,
    /// What the ACME server is trusted by.
    pub(crate) acme_ca: Option<String>,
    findings: Vec<CredentialFinding>,
}

/// Something that is wrong with a file, or with what stands in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialFinding {
    /// What it is about.
    pub about: About,
    /// What is wrong, in one sentence without a full stop.
    pub problem: String,
    /// Whether it keeps the configuration from being used.
    pub is_error: bool,
}

/// What a configuration names a file for: one file may be named for several things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A certificate with its chain.
    Certificate,
    /// Its key.
    Key,
    /// What its issuer says about revocation.
    Statement,
    /// A folder of certificates.
    Folder,
    /// The authorities of clients.
    ClientAuthorities,
    /// A revocation list for clients.
    RevocationList,
    /// The authorities of backends.
    BackendAuthorities,
    /// The certificate that backends are shown.
    BackendCertificate,
    /// Its key.
    BackendKey,
    /// The keys of session tickets.
    TicketKeys,
    /// The authorities of the ACME server.
    AcmeAuthorities,
}

/// What a finding is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// A file that the configuration names, or one in a folder that it names.
    File(Role, PathBuf),
    /// A certificate that no site can be served with, by the name of its entry.
    Unused(String),
    /// A site that has no certificate for one of its hosts, by its name.
    Site(String),
    /// A host of a site that nobody issues a certificate for, by their names.
    Host {
        /// The site.
        site: String,
        /// The host.
        host: String,
    },
}

impl Credentials {
    /// Reads every file that a configuration names for TLS, but for certificates that are served as their files say it.
    pub fn read(snapshot: &Snapshot, before: Option<Before<'_>>) -> Credentials {
        let nothing = KnownCertificates::default();
        let known = before.map_or(&nothing, |before| before.known);
        let mut credentials = Credentials::default();
        let mut pairs = Vec::new();
        for plan in &snapshot.certificates {
            credentials.list_certificates(plan, &mut pairs);
        }
        credentials.read_pairs(&pairs, known, &PlatformRoots::default());
        for site in &snapshot.sites {
            let plan = site.tls.client.as_ref();
            let client = plan.and_then(|plan| credentials.read_client(plan));
            credentials.clients.push(client);
        }
        for upstream in &snapshot.upstreams {
            let plan = upstream.tls.as_ref();
            let connector = plan.and_then(|plan| credentials.read_connector(plan));
            credentials.connectors.push(connector);
            let plan = (upstream.discovery.as_ref()).and_then(|plan| plan.source.tls());
            let knower = plan.and_then(|plan| credentials.read_connector(plan));
            credentials.knowers.push(knower);
        }
        if let Some(path) = &snapshot.tls.ticket_keys_file {
            credentials.ticket_keys = credentials.read_file(Role::TicketKeys, path);
            if let Some(text) = &credentials.ticket_keys
                && let Err(finding) = Tickets::from_keys(text, snapshot.tls.ticket_rotation)
            {
                credentials.find(Role::TicketKeys, path, &finding);
            }
        }
        if let Some(path) = &snapshot.acme.ca_file {
            let pem = credentials.read_roots(Role::AcmeAuthorities, path);
            credentials.acme_ca = pem.and_then(|pem| String::from_utf8(pem).ok());
        }
        credentials.judge_names(snapshot);
        credentials
    }

    /// Everything that is wrong.
    pub fn findings(&self) -> &[CredentialFinding] {
        &self.findings
    }

    /// Whether one of the certificates is valid for a host in lower case, and a site may show it: any, without a site.
    pub fn has(&self, site: Option<&SiteTlsPlan>, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let may_be_shown = |served: &Served| match site {
            Some(site) => is_of(site, served),
            None => true,
        };
        let mut served = self.served.iter();
        served.any(|served| {
            served.has_begun(unix_s()) && may_be_shown(served) && served.certificate.serves(bare)
        })
    }

    /// Whether anything keeps the configuration from being used.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.is_error)
    }

    fn find(&mut self, role: Role, path: &Path, finding: &Finding) {
        // A certificate that clients refuse today is served all the same: others may not care, and it may be renewed.
        let is_doubt = matches!(
            finding,
            Finding::Expired { .. }
                | Finding::NotYetValid { .. }
                | Finding::IntermediateExpired { .. }
                | Finding::ChainBroken { .. }
                | Finding::NoName
                | Finding::WrongPurpose
        );
        self.findings.push(CredentialFinding {
            about: About::File(role, path.to_owned()),
            problem: finding.to_string(),
            is_error: finding.severity() == Severity::Error && !is_doubt,
        });
    }

    fn read_file(&mut self, role: Role, path: &Path) -> Option<Vec<u8>> {
        match read(path) {
            Ok(bytes) => Some(bytes),
            Err(problem) => {
                self.findings.push(CredentialFinding {
                    about: About::File(role, path.to_owned()),
                    problem: format!("`{}` cannot be read: {problem}", path.display()),
                    is_error: true,
                });
                None
            }
        }
    }

    /// What an issuer says about revocation: a certificate is of more use without it than not at all.
    fn read_statement(&mut self, path: &Path) -> Option<Vec<u8>> {
        let read = read(path).map_err(|problem| {
            self.findings.push(CredentialFinding {
                about: About::File(Role::Statement, path.to_owned()),
                problem: format!(
                    "`{}` cannot be read, so nothing is shown about revocation: {problem}",
                    path.display()
                ),
                is_error: false,
            });
        });
        read.ok()
    }

    fn read_roots(&mut self, role: Role, path: &Path) -> Option<Vec<u8>> {
        let pem = self.read_file(role, path)?;
        if let Err(finding) = Roots::from_pem(&pem) {
            self.find(role, path, &finding);
        }
        Some(pem)
    }

    fn list_certificates(&mut self, plan: &CertificatePlan, pairs: &mut Vec<FilesPlan>) {
        match &plan.source {
            CertificateFiles::Pair {
                certificate,
                key,
                ocsp,
            } => pairs.push(FilesPlan {
                id: plan.name.to_string(),
                certificate: certificate.clone(),
                key: key.clone(),
                ocsp: ocsp.clone(),
            }),
            CertificateFiles::Folder(folder) => {
                let plan = FolderPlan {
                    id: plan.name.to_string(),
                    folder: folder.clone(),
                };
                match plan.pairs() {
                    Ok(found) => {
                        pairs.extend(found.pairs);
                        self.findings
                            .extend(found.passed_over.iter().map(passed_over));
                    }
                    Err(error) => {
                        let problem = in_few_words(&error);
                        self.findings.push(CredentialFinding {
                            about: About::File(Role::Folder, folder.clone()),
                            problem: format!("`{}` cannot be read: {problem}", folder.display()),
                            is_error: true,
                        });
                    }
                }
            }
        }
    }

    /// Reads pairs, many of them at once: to judge one takes about a tenth of a millisecond, to wait for its files as long.
    fn read_pairs(
        &mut self,
        pairs: &[FilesPlan],
        known: &KnownCertificates,
        platform: &PlatformRoots,
    ) {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (cores * THREADS_A_CORE).min(THREADS_MAX);
        let share = pairs.len().div_ceil(threads).max(PAIRS_OF_THREAD_MIN);
        thread::scope(|scope| {
            let mut shares = pairs.chunks(share);
            let mine = shares.next().unwrap_or(&[]);
            let others: Vec<_> = shares
                .map(|pairs| {
                    let name = "certificates".to_owned();
                    let begun = thread::Builder::new()
                        .name(name)
                        .spawn_scoped(scope, move || Credentials::of_pairs(pairs, known, platform));
                    (begun, pairs)
                })
                .collect();
            self.take_in(Credentials::of_pairs(mine, known, platform));
            for (begun, pairs) in others {
                self.take_in(match begun.map(ScopedJoinHandle::join) {
                    Ok(Ok(read)) => read,
                    Ok(Err(panic)) => std::panic::resume_unwind(panic),
                    // The system has no thread to spare.
                    Err(_) => Credentials::of_pairs(pairs, known, platform),
                });
            }
        });
    }

    fn of_pairs(
        pairs: &[FilesPlan],
        known: &KnownCertificates,
        platform: &PlatformRoots,
    ) -> Credentials {
        let mut read = Credentials::default();
        for pair in pairs {
            let seen = Seen::now(pair);
            match known.get(pair, &seen) {
                Some(served) => read.take_certificate(pair, seen, Arc::clone(served), platform),
                None => read.read_pair(pair, seen, platform),
            }
        }
        read
    }

    /// Takes in the certificates that others have read.
    fn take_in(&mut self, read: Credentials) {
        self.served.extend(read.served);
        self.known.extend(read.known);
        self.findings.extend(read.findings);
    }

    fn read_pair(&mut self, pair: &FilesPlan, seen: Seen, platform: &PlatformRoots) {
        let (certificate, key) = (&*pair.certificate, &*pair.key);
        let chain = self.read_file(Role::Certificate, certificate);
        let secret = match key == certificate {
            true => chain.clone(),
            false => self.read_file(Role::Key, key),
        };
        let response = pair
            .ocsp
            .as_ref()
            .and_then(|path| self.read_statement(path));
        let (Some(chain), Some(secret)) = (chain, secret) else {
            return;
        };
        let mut loaded = match certificate::load(&chain, &secret) {
            Ok(loaded) => loaded,
            Err(finding) => {
                return match is_of_key(&finding) {
                    true => self.find(Role::Key, key, &finding),
                    false => self.find(Role::Certificate, certificate, &finding),
                };
            }
        };
        if let Some(response) = response {
            loaded = loaded.with_ocsp(response);
        }
        let served = Arc::new(Served::new(&pair.id, loaded));
        self.take_certificate(pair, seen, served, platform);
    }

    /// Judges what files hold that were seen before.
    fn take_certificate(
        &mut self,
        pair: &FilesPlan,
        seen: Seen,
        served: Arc<Served>,
        platform: &PlatformRoots,
    ) {
        let loaded = &served.certificate;
        for finding in loaded.judge(unix_s(), platform.for_judging(loaded)) {
            match &pair.ocsp {
                Some(path) if finding.is_about_statement() => {
                    self.find(Role::Statement, path, &finding);
                }
                _ => self.find(Role::Certificate, &pair.certificate, &finding),
            }
        }
        self.known.note(pair, seen, &served);
        self.served.push(served);
    }

    fn read_client(&mut self, plan: &ClientCertificatePlan) -> Option<ClientAuthPlan> {
        let ca_pem = self.read_roots(Role::ClientAuthorities, &plan.ca_file);
        let lists = plan.crl_files.iter().map(|path| {
            let bytes = self.read_file(Role::RevocationList, path)?;
            Some(revocation_list(path, bytes))
        });
        let lists: Vec<Option<RevocationList>> = lists.collect();
        let ca_pem = ca_pem?;
        let mut client = ClientAuthPlan {
            required: plan.required,
            ca_pem,
            crls: Vec::new(),
        };
        let is_good = client.check().is_ok();
        for (path, list) in plan.crl_files.iter().zip(lists) {
            let list = list?;
            let alone = ClientAuthPlan {
                crls: vec![list.clone()],
                ..client.clone()
            };
            if let (true, Err(finding)) = (is_good, alone.check()) {
                self.find(Role::RevocationList, path, &finding);
            }
            if let Some(finding) = list.judge(unix_s()) {
                self.find(Role::RevocationList, path, &finding);
            }
            client.crls.push(list);
        }
        for (place, finding) in client.judge_lists() {
            let list = place.and_then(|place| plan.crl_files.get(place));
            match list {
                Some(path) => self.find(Role::RevocationList, path, &finding),
                None => self.find(Role::ClientAuthorities, &plan.ca_file, &finding),
            }
        }
        Some(client)
    }

    fn read_connector(&mut self, plan: &UpstreamTlsPlan) -> Option<ConnectorPlan> {
        let roots = match &plan.ca_file {
            None => Some(RootsPlan::Platform),
            Some(path) => {
                let pem = self.read_roots(Role::BackendAuthorities, path);
                pem.map(RootsPlan::Pem)
            }
        };
        // Whatever is missing is told, not only the first of it.
        let client = match &plan.client_certificate {
            None => None,
            Some((certificate, key)) => {
                let chain = self.read_file(Role::BackendCertificate, certificate);
                let secret = self.read_file(Role::BackendKey, key);
                let (chain, secret) = chain.zip(secret)?;
                match certificate::load(&chain, &secret) {
                    Err(finding) if is_of_key(&finding) => {
                        self.find(Role::BackendKey, key, &finding);
                    }
                    Err(finding) => self.find(Role::BackendCertificate, certificate, &finding),
                    Ok(_) => {}
                }
                Some((chain, secret))
            }
        };
        Some(backend_plan(plan, roots?, client))
    }

    /// Looks whether what was read fits the sites.
    fn judge_names(&mut self, snapshot: &Snapshot) {
        let mut used: HashSet<&str> = HashSet::new();
        let default = snapshot.tls.default_certificate.as_deref();
        used.extend(default);
        used.extend((snapshot.admin.as_ref()).and_then(|admin| admin.certificate.as_deref()));
        let mut findings = Vec::new();
        let coverage = Coverage::of(&self.served);
        for site in snapshot
            .sites
            .iter()
            .filter(|site| !site.tls.listeners.is_empty())
        {
            let takes_files = !matches!(
                site.tls.source,
                SiteCertificate::Internal | SiteCertificate::Acme
            );
            if !takes_files {
                continue;
            }
            let allowed = |entry: &str| {
                let names = &site.tls.certificates;
                names.is_empty() || names.iter().any(|name| **name == *entry)
            };
            for (host, issuer) in &site.tls.hosts {
                let mut covered = *host == HostPattern::Default;
                for served in coverage.covering(host) {
                    let entry = entry_of(&served.id);
                    if allowed(entry) {
                        covered = true;
                        used.insert(entry);
                    }
                }
                if !covered && site.tls.source == SiteCertificate::Files {
                    findings.push(CredentialFinding {
                        about: About::Site(site.name.to_string()),
                        problem: format!("no certificate from files is valid for `{host}`"),
                        is_error: true,
                    });
                }
                // Without any entry of certificates this is found without a look at files.
                let has_entries = !snapshot.certificates.is_empty();
                let is_auto = site.tls.source == SiteCertificate::Auto;
                if !covered && is_auto && has_entries && *issuer == Issuer::Nobody {
                    findings.push(CredentialFinding {
                        about: About::Host {
                            site: site.name.to_string(),
                            host: host.to_string(),
                        },
                        problem: format!("there is no way to a certificate for `{host}`"),
                        is_error: false,
                    });
                }
            }
        }
        let read: HashSet<&str> = self
            .served
            .iter()
            .map(|served| entry_of(&served.id))
            .collect();
        for plan in &snapshot.certificates {
            if read.contains(&*plan.name) && !used.contains(&*plan.name) {
                findings.push(CredentialFinding {
                    about: About::Unused(plan.name.to_string()),
                    problem: format!("no site is served with the certificate `{}`", plan.name),
                    is_error: false,
                });
            }
        }
        self.findings.append(&mut findings);
    }
}

/// A certificate of a folder that another one of the same name keeps from being served.
fn passed_over(one: &PassedOver) -> CredentialFinding {
    CredentialFinding {
        about: About::File(Role::Certificate, one.certificate.clone()),
        problem: format!(
            "`{}` is not served: `{}` has the same name in this folder, and goes before it",
            one.certificate.display(),
            one.served.display()
        ),
        is_error: false,
    }
}

/// Whether something is wrong with the key, not with the certificate.
fn is_of_key(finding: &Finding) -> bool {
    matches!(
        finding,
        Finding::NoKey
            | Finding::MalformedKey(_)
            | Finding::UnsupportedKey(_)
            | Finding::KeyMismatch
    )
}

/// A revocation list from a file.
pub(crate) fn revocation_list(path: &Path, bytes: Vec<u8>) -> RevocationList {
    RevocationList {
        name: path.display().to_string(),
        bytes,
    }
}

/// How backends are spoken to, with what the files hold.
pub(crate) fn backend_plan(
    plan: &UpstreamTlsPlan,
    roots: RootsPlan,
    client: Option<(Vec<u8>, Vec<u8>)>,
) -> ConnectorPlan {
    ConnectorPlan {
        roots,
        verify: plan.verify,
        server_name: plan.server_name.as_deref().map(str::to_owned),
        send_sni: plan.send_sni,
        client,
        http1: plan.http1,
        http2: plan.http2,
        sessions_max: BACKEND_SESSIONS_MAX,
    }
}

/// The name of the entry that a certificate came by.
pub(crate) fn entry_of(id: &str) -> &str {
    id.split_once('/').map_or(id, |(entry, _)| entry)
}

/// Whether a certificate is valid for a host of a site; for one of all hosts, when it is for everybody's.
pub(crate) fn covers(served: &Served, host: &HostPattern) -> bool {
    let mut names = served.certificate.names.iter();
    match host {
        HostPattern::Exact(host) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            served.certificate.serves(bare)
        }
        HostPattern::Wildcard(suffix) => names.any(|name| match name {
            CertificateName::Wildcard(parent) => **parent == **suffix,
            // A site of a whole domain may have certificates for some of its hosts.
            CertificateName::Host(name) => name
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
            CertificateName::Address(_) => false,
        }),
        HostPattern::Default => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_testkit::{Authority, Scratch};

    /// A system without roots.
    fn nobody() -> PlatformRoots {
        PlatformRoots::of(Roots::none())
    }

    #[test]
    fn a_certificate_without_that_of_its_issuer_is_told_unless_the_issuer_is_known() {
        let root = Authority::new("Root");
        let roots = || PlatformRoots::of(Roots::from_pem(root.pem().as_bytes()).unwrap());
        let scratch = Scratch::new();
        let below = root.below("Below").issue(&["a.test"]);
        let private = Authority::new("Private");
        let own = private.issue(&["a.test"]);
        let told = |chain: &str, key: &str, platform: &PlatformRoots| {
            let pair = FilesPlan {
                id: "a".to_owned(),
                certificate: scratch.write("a.pem", chain),
                key: scratch.write("a.key", key),
                ocsp: None,
            };
            let mut read = Credentials::default();
            read.read_pairs(&[pair], &KnownCertificates::default(), platform);
            assert!(!read.has_errors() && read.served.len() == 1);
            let problems = read.findings.into_iter().map(|finding| finding.problem);
            problems.collect::<Vec<_>>().join("; ")
        };
        let told_of = |chain: &str| told(chain, &below.key_pem, &roots());
        assert!(told_of(&below.certificate_pem).contains("its issuer `CN=Below` is none"));
        assert_eq!(told_of(&below.chain_pem), "");
        assert_eq!(told(&below.certificate_pem, &below.key_pem, &nobody()), "");
        let known = root.issue(&["a.test"]);
        assert_eq!(told(&known.certificate_pem, &known.key_pem, &roots()), "");
        // A private authority's too, until its certificate stands there.
        let alone = told(&own.certificate_pem, &own.key_pem, &roots());
        assert!(alone.contains("its issuer `CN=Private` is none"), "{alone}");
        let whole = format!("{}{}", own.certificate_pem, private.pem());
        assert_eq!(told(&whole, &own.key_pem, &roots()), "");
    }

    #[test]
    fn a_certificate_that_clients_refuse_keeps_no_configuration_from_being_used() {
        let root = Authority::new("Root");
        let scratch = Scratch::new();
        let over = root.request(&["a.test"]).valid(2001, 2002).issue();
        for (issued, told) in [
            (root.issue_client("alice"), "`serverAuth`"),
            (over, "has expired"),
            (root.issue(&[]), "it names no host"),
        ] {
            let pair = FilesPlan {
                id: "a".to_owned(),
                certificate: scratch.write("a.pem", &issued.chain_pem),
                key: scratch.write("a.key", &issued.key_pem),
                ocsp: None,
            };
            let mut read = Credentials::default();
            read.read_pairs(&[pair], &KnownCertificates::default(), &nobody());
            assert!(!read.has_errors() && read.served.len() == 1, "{told}");
            let problems: Vec<_> = read.findings.iter().map(|one| &*one.problem).collect();
            assert!(
                problems.iter().any(|one| one.contains(told)),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn certificates_that_are_known_are_not_read_again() {
        let root = Authority::new("Root");
        let scratch = Scratch::new();
        let pairs: Vec<FilesPlan> = (0..3)
            .map(|number| {
                let issued = root.issue(&["a.test"]);
                FilesPlan {
                    id: number.to_string(),
                    certificate: scratch.write(&format!("{number}.pem"), &issued.chain_pem),
                    key: scratch.write(&format!("{number}.key"), &issued.key_pem),
                    ocsp: None,
                }
            })
            .collect();
        let mut first = Credentials::default();
        first.read_pairs(&pairs, &KnownCertificates::default(), &nobody());
        assert_eq!((first.served.len(), first.findings()), (3, &[][..]));
        scratch.write("1.key", root.issue(&["a.test"]).key_pem);
        std::fs::remove_file(scratch.join("2.pem")).unwrap();
        let mut second = Credentials::default();
        second.read_pairs(&pairs, &first.known, &nobody());
        // Read again were the one whose key is another's now and the one that is gone.
        assert_eq!(second.served.len(), 1);
        assert!(Arc::ptr_eq(&first.served[0], &second.served[0]));
        let about: Vec<&About> = second.findings().iter().map(|one| &one.about).collect();
        let file = |role: Role, name: &str| About::File(role, scratch.join(name));
        let expected = [file(Role::Key, "1.key"), file(Role::Certificate, "2.pem")];
        assert_eq!(about, expected.iter().collect::<Vec<_>>());
        // What is known is told again, and passed on.
        let mut third = Credentials::default();
        third.read_pairs(&pairs[..1], &second.known, &nobody());
        assert!(Arc::ptr_eq(&first.served[0], &third.served[0]));
    }

    #[test]
    fn many_certificates_are_known_in_the_order_of_their_entries() {
        let scratch = Scratch::new();
        let issued = Authority::new("Root").issue(&["a.test"]);
        let certificate = scratch.write("a.pem", &issued.chain_pem);
        let key = scratch.write("a.key", &issued.key_pem);
        let pairs: Vec<FilesPlan> = (0..PAIRS_OF_THREAD_MIN * 3 + 1)
            .map(|number| FilesPlan {
                id: number.to_string(),
                certificate: certificate.clone(),
                key: key.clone(),
                ocsp: None,
            })
            .collect();
        let mut read = Credentials::default();
        read.read_pairs(&pairs, &KnownCertificates::default(), &nobody());
        let ids = read.served.iter().map(|served| &*served.id);
        assert!(ids.eq(pairs.iter().map(|pair| &*pair.id)));
    }

    #[test]
    fn every_file_that_is_missing_is_told() {
        let scratch = Scratch::new();
        let missing = |name: &str| scratch.join(name);
        let about = |read: &Credentials| {
            let of_file = |finding: &CredentialFinding| match &finding.about {
                About::File(_, path) => path.clone(),
                other => panic!("{other:?}"),
            };
            read.findings.iter().map(of_file).collect::<Vec<_>>()
        };
        let backend = UpstreamTlsPlan {
            server_name: None,
            send_sni: true,
            ca_file: Some(missing("ca.pem")),
            client_certificate: Some((missing("a.pem"), missing("a.key"))),
            verify: true,
            http1: true,
            http2: true,
        };
        let mut read = Credentials::default();
        assert!(read.read_connector(&backend).is_none());
        assert_eq!(about(&read), ["ca.pem", "a.pem", "a.key"].map(missing));
        let client = ClientCertificatePlan {
            required: true,
            subject_field: None,
            fingerprint_field: None,
            ca_file: missing("ca.pem"),
            crl_files: ["one.crl", "two.crl"].map(missing).into(),
        };
        let mut read = Credentials::default();
        assert!(read.read_client(&client).is_none());
        assert_eq!(about(&read), ["ca.pem", "one.crl", "two.crl"].map(missing));
    }
}
