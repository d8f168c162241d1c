//! Issuing: which certificates are asked of whom, and what becomes of those that come.

use super::serving::{self, ACME, INTERNAL, plain};
use crate::credentials::{Credentials, covers};
use foregate_acme::allowance::admits;
use foregate_acme::{
    AcmeOptions, Agent, Authority, CertificateStatus, ChallengeChoice, DnsMeans, DnsOptions,
    ExternalAccount, Issued, OnDemand, SharedKey, Source, StateFolder, Wanted, WantedCertificate,
};
use foregate_snapshot::{
    AcmePlan, Challenge, DnsPlan, DnsProviderPlan, HostPattern, Issuer, SiteCertificate, Snapshot,
};
use foregate_telemetry::clock::unix_now;
use foregate_telemetry::log::process;
use foregate_tls::certificate::LoadedCertificate;
use foregate_tls::{CertificateStore, Change, MissingNames, NameIssuer, Served, certificate};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What an authority is asked for: a certificate for every host that has none from files.
///
/// # Errors
/// What an authority could not be asked with.
pub(super) fn wanted(snapshot: &Snapshot, credentials: &Credentials) -> Result<Wanted, String> {
    let mut seen = HashSet::new();
    let mut certificates = Vec::new();
    for site in &snapshot.sites {
        for (host, issuer) in site.tls.issued() {
            let source = match issuer {
                Issuer::Internal => Source::Internal,
                Issuer::Acme => Source::Acme,
                Issuer::Nobody => continue,
            };
            let is_shown = |served: &&Arc<Served>| serving::may_show(&site.tls, served);
            let by_file = site.tls.source == SiteCertificate::Auto
                && (credentials.served.iter())
                    .filter(is_shown)
                    .any(|served| covers_whole(served, host));
            if !by_file && seen.insert((plain(host), issuer == Issuer::Acme)) {
                certificates.push(WantedCertificate {
                    names: vec![plain(host)],
                    source,
                });
            }
        }
    }
    Ok(Wanted {
        certificates,
        acme: Some(options(&snapshot.acme, credentials)?),
    })
}

/// Whether a certificate is valid for a host, and for all hosts of a wildcard.
fn covers_whole(served: &Served, host: &HostPattern) -> bool {
    match host {
        HostPattern::Wildcard(suffix) => {
            let wildcard = certificate::CertificateName::Wildcard(suffix.as_str().into());
            served.certificate.names.contains(&wildcard)
        }
        host => covers(served, host),
    }
}

fn options(plan: &AcmePlan, credentials: &Credentials) -> Result<AcmeOptions, String> {
    Ok(AcmeOptions {
        directory: plan.directory.to_string(),
        email: plan.email.as_deref().map(str::to_owned),
        ca_pem: credentials.acme_ca.clone(),
        challenge: match plan.challenge {
            Challenge::Auto => ChallengeChoice::Auto,
            Challenge::Http01 => ChallengeChoice::Http01,
            Challenge::TlsAlpn01 => ChallengeChoice::TlsAlpn01,
            Challenge::Dns01 => ChallengeChoice::Dns01,
        },
        dns: plan.dns.as_ref().map(dns).transpose()?,
        eab: plan.eab.as_ref().map(|(key_id, key)| ExternalAccount {
            key_id: key_id.to_string(),
            hmac_key: key.reveal().to_owned(),
        }),
        on_demand: plan.on_demand.as_ref().map(|demand| OnDemand {
            allow: demand.allow.clone(),
            ask: demand.ask.clone(),
            issues_per_hour_max: demand.issues_per_hour_max,
        }),
    })
}

fn dns(plan: &DnsPlan) -> Result<DnsOptions, String> {
    let means = match &plan.provider {
        DnsProviderPlan::Hook(command) => DnsMeans::Hook(command.clone()),
        DnsProviderPlan::Rfc2136 {
            server,
            key_name,
            key_secret,
            key_algorithm,
        } => DnsMeans::Update {
            server: server.to_string(),
            key: Some(SharedKey::parse(
                key_name,
                key_algorithm,
                key_secret.reveal(),
            )?),
        },
    };
    Ok(DnsOptions {
        means,
        propagation_timeout: plan.propagation_timeout.unwrap_or(Duration::ZERO),
        resolvers: Vec::new(),
    })
}

/// Why a configuration can't be prepared, ready to be shown to people.
#[derive(Debug)]
pub(crate) enum Unprepared {
    /// Something in it can't be used.
    Config(String),
    /// The state folder can't be used: nothing is wrong with what is written.
    Folder(String),
}

impl Unprepared {
    /// What is said of it.
    pub(crate) fn into_text(self) -> String {
        match self {
            Unprepared::Config(problem) | Unprepared::Folder(problem) => problem,
        }
    }
}

impl From<String> for Unprepared {
    fn from(problem: String) -> Unprepared {
        Unprepared::Config(problem)
    }
}

/// Opens the folder that issued certificates are kept in.
pub(super) fn open_folder(snapshot: &Snapshot) -> Result<StateFolder, String> {
    let path = &snapshot.state_dir;
    StateFolder::open(path).map_err(|failure| {
        format!(
            "the state folder `{}` cannot be used: {}\n  certificates that are issued are kept there: set `state_dir` to a \
             folder that may be written, or `tls = \"off\"` for the sites",
            path.display(),
            failure.detail
        )
    })
}

/// Takes issued certificates into the store.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    store: Arc<CertificateStore>,
    /// Where the internal authority is.
    folder: Option<StateFolder>,
}

impl Intake {
    /// Without the folder nothing is issued for single names.
    pub(super) fn new(store: &Arc<CertificateStore>, folder: Option<StateFolder>) -> Intake {
        Intake {
            store: Arc::clone(store),
            folder,
        }
    }

    pub(super) fn take(&self, issued: Issued) -> Result<(), String> {
        let loaded = certificate::load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes())
            .map_err(|finding| finding.to_string())?;
        let first = issued.names.first().map_or("", String::as_str);
        let id = format!("{}{first}", prefix(issued.source));
        let mut served = Served::new(&id, loaded);
        if issued.source == Source::Internal {
            served = served.with_issuer(|| self.by_name(&id));
        }
        self.store.put(served);
        process::info(
            "certificate in service",
            &[("certificate", &id), ("issuer", &issued.facts.issuer)],
        );
        Ok(())
    }

    /// The internal authority, as it is while the wildcard of this name is served.
    fn by_name(&self, id: &str) -> Option<Arc<dyn NameIssuer>> {
        match Authority::open(self.folder.as_ref()?, unix_now()) {
            Ok(authority) => Some(Arc::new(Local(authority))),
            Err(failure) => {
                process::warn(
                    "clients may refuse a wildcard of a whole domain, and no names under it are certified",
                    &[("certificate", &id), ("error", &failure.detail)],
                );
                None
            }
        }
    }

    /// Takes what nobody wants any more out of service, which nobody would renew; what clients asked for stays where they
    /// still may. `known` is what was kept alive until now.
    pub(super) fn forget_all_but(&self, wanted: &Wanted, known: &[CertificateStatus]) {
        let id = |source, names: &[String]| Some(format!("{}{}", prefix(source), names.first()?));
        let written = (wanted.certificates.iter()).filter_map(|one| id(one.source, &one.names));
        let asked_for = known
            .iter()
            .filter(|status| stays_on_demand(status, wanted))
            .filter_map(|status| id(status.source, &status.names));
        let names: HashSet<String> = written.chain(asked_for).collect();
        let gone = self.store.list().into_iter().filter(|served| {
            let is_issued = served.id.starts_with(ACME) || served.id.starts_with(INTERNAL);
            is_issued && !names.contains(&*served.id)
        });
        let changes: Vec<Change> = gone
            .map(|served| Change::Remove(Arc::clone(&served.id)))
            .collect();
        if !changes.is_empty() {
            self.store.apply(changes);
        }
    }
}

/// Whether a certificate that clients asked for may still be asked for, of the same authority.
fn stays_on_demand(status: &CertificateStatus, wanted: &Wanted) -> bool {
    let Some(acme) = &wanted.acme else {
        return false;
    };
    let is_admitted = |name: &String| {
        acme.on_demand
            .as_ref()
            .is_some_and(|on_demand| admits(&on_demand.allow, on_demand.ask.is_some(), name))
    };
    status.on_demand
        && status.directory.as_ref() == Some(&acme.directory)
        && status.names.iter().all(is_admitted)
}

/// The internal authority, asked in the middle of handshakes.
struct Local(Authority);

impl NameIssuer for Local {
    fn issue(&self, name: &str) -> Option<LoadedCertificate> {
        let issued = self.0.issue(&[name.to_owned()], unix_now()).ok()?;
        certificate::load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).ok()
    }
}

fn prefix(source: Source) -> &'static str {
    match source {
        Source::Acme => ACME,
        Source::Internal => INTERNAL,
    }
}

/// Names that clients ask for and that have no certificate.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    agent: OnceLock<Agent>,
}

impl Missing {
    /// From now on the agent is asked for them.
    pub(super) fn answer_with(&self, agent: Agent) {
        // The agent lives as long as the process, so nobody sets it twice.
        let _ = self.agent.set(agent);
    }
}

impl MissingNames for Missing {
    fn asked(&self, name: &str) {
        let Some(agent) = self.agent.get() else {
            return;
        };
        // The client of this handshake comes again.
        agent.demand(name);
    }
}

#[cfg(test)]
mod tests {
    use foregate_acme::allowance::is_local;
    use foregate_config::settings::is_local_name;

    #[test]
    fn what_is_local_for_sites_is_so_for_names_that_clients_ask_for() {
        for name in [
            "localhost",
            "app.localhost",
            "nas.local",
            "db.internal",
            "a.b.test",
            "nas.home.arpa",
            "local.example",
            "mylocal.example",
            "home.example",
        ] {
            assert_eq!(is_local(name), is_local_name(name), "{name}");
        }
    }
}
