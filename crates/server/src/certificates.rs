//! Certificates as operators see them: those in service, those that are waited for, and those that a folder holds when
//! nothing runs.

use crate::credentials::entry_of;
use foregate_acme::{
    Agent, Authority, CertificateState, CertificateStatus, Record, Source, StateFolder,
};
use foregate_admin::{CertificateErrorView, CertificateView, CertificatesView};
use foregate_snapshot::{HostPattern, Snapshot};
use foregate_telemetry::clock::unix_now;
use foregate_tls::certificate::{CertificateName, Finding};
use foregate_tls::watch::{CertificateState as FileState, CertificateStatus as FileStatus};
use foregate_tls::{CertificateStore, Served, unix_s};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Every certificate: what the agent keeps, as it stands in the store, and what came from files.
pub(crate) fn view(
    snapshot: &Snapshot,
    store: &CertificateStore,
    agent: Option<&Agent>,
) -> CertificatesView {
    let served = store.list();
    let by_fingerprint: HashMap<String, &Arc<Served>> = served
        .iter()
        .map(|served| (hex(&served.certificate.fingerprint), served))
        .collect();
    let managed = agent.map(Agent::status).unwrap_or_default();
    let mut shown = Vec::new();
    let mut told = HashSet::new();
    for status in managed.iter() {
        let in_service = status
            .fingerprint
            .as_ref()
            .and_then(|fingerprint| by_fingerprint.get(fingerprint));
        if let Some(served) = in_service {
            told.insert(Arc::clone(&served.id));
        }
        shown.push(managed_view(snapshot, status, in_service.is_some()));
    }
    let is_managed = |served: &&Arc<Served>| {
        let is_issued = |source: Source| served.id.starts_with(&format!("{}:", source.name()));
        told.contains(&served.id) || is_issued(Source::Acme) || is_issued(Source::Internal)
    };
    let mut files: HashMap<String, FileState> = (store.files().into_iter())
        .map(|state| (state.id.clone(), state))
        .collect();
    let default = default_of(snapshot, &served);
    for served in served.iter().filter(|served| !is_managed(served)) {
        let file = files.remove(&*served.id);
        let is_default = default.is_some_and(|default| Arc::ptr_eq(default, served));
        shown.push(file_view(snapshot, served, file.as_ref(), is_default));
    }
    let mut missing: Vec<FileState> = files.into_values().collect();
    missing.sort_by(|a, b| a.id.cmp(&b.id));
    shown.extend(missing.iter().map(missing_view));
    CertificatesView {
        certificates: shown,
        internal_root: agent.and_then(|_| internal_root(&snapshot.state_dir).ok().flatten()),
    }
}

/// What a state folder holds.
///
/// # Errors
/// Why it can't be read, for people.
pub fn stored_certificates(state_dir: &Path) -> Result<Value, String> {
    let mut shown: Vec<Value> = Vec::new();
    let mut root = None;
    if state_dir.exists() {
        let folder = StateFolder::open(state_dir).map_err(|failure| failure.detail)?;
        for key in folder.keys().map_err(|failure| failure.detail)? {
            match folder.certificate(&key) {
                Ok(Some(stored)) => shown.push(stored_value(&stored.record)),
                Ok(None) => {}
                Err(failure) => shown.push(json!({
                    "names": [key.as_str()],
                    "state": "unreadable",
                    "last_error": { "reason": failure.reason.name(), "detail": failure.detail },
                })),
            }
        }
        root = Authority::root_of(&folder).map_err(|failure| failure.detail)?;
    }
    Ok(json!({ "certificates": shown, "internal_root": root }))
}

fn internal_root(state_dir: &Path) -> Result<Option<String>, String> {
    let folder = StateFolder::open(state_dir).map_err(|failure| failure.detail)?;
    Authority::root_of(&folder).map_err(|failure| failure.detail)
}

fn managed_view(
    snapshot: &Snapshot,
    status: &CertificateStatus,
    in_service: bool,
) -> CertificateView {
    // The agent knows what it handed over; the store knows what handshakes are shown.
    let state = match status.fingerprint.is_some() && !in_service {
        true => CertificateState::RenewedNotActive,
        false => status.state,
    };
    let seconds = |unix: u64| i64::try_from(unix).unwrap_or(i64::MAX);
    CertificateView {
        names: status.names.clone(),
        source: status.source.name().to_owned(),
        certificate: None,
        state: state.name().to_owned(),
        on_demand: Some(status.on_demand),
        directory: status.directory.clone(),
        issuer: status.issuer.clone(),
        not_before: status.not_before.map(seconds),
        not_after: status.not_after.map(seconds),
        key_type: status.key_type.clone(),
        fingerprint: status.fingerprint.clone(),
        next_renewal: Some(status.next_renewal),
        failures: Some(status.failures),
        last_error: status
            .last_error
            .as_ref()
            .map(|error| CertificateErrorView {
                reason: error.reason.clone(),
                detail: error.detail.clone(),
                at: error.at,
            }),
        listeners: listeners(snapshot, &status.names),
    }
}

fn file_view(
    snapshot: &Snapshot,
    served: &Served,
    file: Option<&FileState>,
    is_default: bool,
) -> CertificateView {
    let certificate = &served.certificate;
    let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
    let now = unix_s();
    let fault = file.and_then(fault_of);
    let state = match &fault {
        _ if served.has_ended(now) => CertificateState::Expired,
        _ if !served.is_in_time(now) => CertificateState::NotYetValid,
        Some(_) => CertificateState::RenewedNotActive,
        None => CertificateState::Active,
    };
    CertificateView {
        listeners: match is_default {
            true => tls_listeners(snapshot),
            false => listeners(snapshot, &names),
        },
        names,
        source: "files".to_owned(),
        certificate: Some(served.id.to_string()),
        state: state.name().to_owned(),
        issuer: Some(certificate.issuer.clone()),
        not_before: Some(certificate.not_before),
        not_after: Some(certificate.not_after),
        key_type: Some(certificate.key_kind.describe()),
        fingerprint: Some(hex(&certificate.fingerprint)),
        last_error: fault,
        ..CertificateView::default()
    }
}

/// Files that nothing is served from, and folders that can't be looked through.
fn missing_view(file: &FileState) -> CertificateView {
    let state = match &file.status {
        FileStatus::RenewedButNotActive(_) => CertificateState::RenewedNotActive,
        FileStatus::Active | FileStatus::Broken(_) => CertificateState::Failed,
    };
    CertificateView {
        source: "files".to_owned(),
        certificate: Some(file.id.clone()),
        state: state.name().to_owned(),
        last_error: fault_of(file),
        ..CertificateView::default()
    }
}

/// Why what stands in files is not served.
fn fault_of(file: &FileState) -> Option<CertificateErrorView> {
    let finding = match &file.status {
        FileStatus::Active => return None,
        FileStatus::Broken(finding) | FileStatus::RenewedButNotActive(finding) => finding,
    };
    let detail = match finding {
        // It names the very file.
        Finding::Unreadable { .. } => finding.to_string(),
        finding => format!("{}: {finding}", file.source.display()),
    };
    Some(CertificateErrorView {
        reason: finding.name().to_owned(),
        detail,
        at: u64::try_from(file.since).unwrap_or(0),
    })
}

/// The certificate that is shown to whoever asks for an unknown name.
fn default_of<'s>(snapshot: &Snapshot, served: &'s [Arc<Served>]) -> Option<&'s Arc<Served>> {
    let entry = snapshot.tls.default_certificate.as_deref()?;
    served.iter().find(|served| entry_of(&served.id) == entry)
}

fn stored_value(record: &Record) -> Value {
    let facts = record.certificate.as_ref();
    let has_ended = facts.is_some_and(|facts| facts.not_after <= unix_now().seconds());
    let state = match (facts, has_ended) {
        (None, _) => "failed",
        (Some(_), true) => "expired",
        (Some(_), false) => "stored",
    };
    json!({
        "names": record.names,
        "source": record.source.name(),
        "state": state,
        "on_demand": record.on_demand,
        "directory": record.directory,
        "issuer": facts.map(|facts| &facts.issuer),
        "not_before": facts.map(|facts| facts.not_before),
        "not_after": facts.map(|facts| facts.not_after),
        "key_type": facts.map(|facts| &facts.key_type),
        "fingerprint": facts.map(|facts| &facts.fingerprint),
        "next_renewal": record.next_renewal,
        "failures": record.failures,
        "last_error": record.last_error,
        "listeners": [],
    })
}

/// All listeners that shake hands.
fn tls_listeners(snapshot: &Snapshot) -> Vec<String> {
    let listeners = snapshot.listeners.iter().filter(|one| one.is_tls());
    listeners.map(|one| one.name.to_string()).collect()
}

/// The TLS listeners on which a client could be shown a certificate for these names.
fn listeners(snapshot: &Snapshot, names: &[String]) -> Vec<String> {
    let names: Vec<_> = names
        .iter()
        .filter_map(|name| CertificateName::parse(name))
        .collect();
    let is_for = |host: &HostPattern| match host {
        HostPattern::Exact(host) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            names.iter().any(|name| name.matches(bare))
        }
        HostPattern::Wildcard(_) => CertificateName::parse(&host.to_string()).is_some_and(|wild| {
            names.iter().any(|name| match name {
                CertificateName::Host(host) => wild.matches(host),
                name => *name == wild,
            })
        }),
        HostPattern::Default => true,
    };
    let sites = snapshot
        .sites
        .iter()
        .filter(|site| site.tls.hosts.iter().any(|(host, _)| is_for(host)));
    let numbers: HashSet<u32> = sites
        .flat_map(|site| site.tls.listeners.iter().copied())
        .collect();
    snapshot
        .listeners
        .iter()
        .filter(|listener| numbers.contains(&listener.number))
        .map(|listener| listener.name.to_string())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
