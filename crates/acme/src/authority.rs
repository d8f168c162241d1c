//! The internal CA: certificates for names that no public CA issues for.

use foregate_telemetry::clock::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::certificate::{self, Issued, Source};
use crate::folder::StateFolder;
use crate::reason::{Failure, Reason};

/// Lives: the root's, after which everyone who trusts it has to trust a new one, and the leaves'.
const ROOT_DAYS: u64 = 3_650;
const LEAF_DAYS: u64 = 7;
/// A root with less than this left issues no more.
const ROOT_LEFT_DAYS_MIN: u64 = 30;
/// Certificates begin a little early, for clients whose clock is late.
const EARLY_SECONDS: u64 = 3_600;
const DAY_SECONDS: u64 = 86_400;
/// A calendar before 2026 was never set: machines without a battery begin in 1970, and get the time from the network a
/// while after their start.
const CALENDAR_SECONDS_MIN: u64 = 1_767_225_600;

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        Reason::InternalCaFailed,
        format!("the internal CA cannot issue: {error}"),
    )
}

/// The internal CA's root and its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// The root in the state folder; made if there is none, its end is near or its time has not come, as after a calendar
    /// that ran ahead was set right.
    ///
    /// # Errors
    /// When the folder can't be read or written.
    pub fn open(folder: &StateFolder, now: UnixTime) -> Result<Authority, Failure> {
        // Two processes that start together must not make two roots.
        let _lock = folder.lock_briefly("internal-root")?;
        if let Some(pem) = folder.root()? {
            let root = Issued::from_pem(pem.as_bytes(), Source::Internal).map_err(|why| {
                Failure::new(
                    Reason::StateUnreadable,
                    format!(
                        "internal/root.pem in {} is damaged: {why}; remove it to have a new root, which everyone has to trust anew",
                        folder.path().display()
                    ),
                )
            })?;
            let is_early = now.seconds() < root.facts.not_before;
            // Everyone would have to trust another root after each start of a machine without a battery.
            let is_early = is_early && now.seconds() >= CALENDAR_SECONDS_MIN;
            if !is_early && root.facts.not_after > now.seconds() + ROOT_LEFT_DAYS_MIN * DAY_SECONDS
            {
                return Authority::from_root(&root);
            }
        }
        let root = make_root(now)?;
        folder.store_root(&format!("{}{}", root.key_pem, root.chain_pem))?;
        Authority::from_root(&root)
    }

    fn from_root(root: &Issued) -> Result<Authority, Failure> {
        let key = certificate::key_pair(&root.key_pem).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(&root.chain_pem, key).map_err(failed)?;
        Ok(Authority {
            issuer,
            root_pem: root.chain_pem.clone(),
        })
    }

    /// The root's certificate, PEM: what clients have to trust.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root's certificate in a folder, if there is one: made by the process that first needs it.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn root_of(folder: &StateFolder) -> Result<Option<String>, Failure> {
        let Some(pem) = folder.root()? else {
            return Ok(None);
        };
        Issued::from_pem(pem.as_bytes(), Source::Internal)
            .map(|root| Some(root.chain_pem))
            .map_err(|why| Failure::new(Reason::StateUnreadable, why))
    }

    /// Issues a certificate for names (host names, wildcards, IP addresses).
    ///
    /// # Errors
    /// When a name is none.
    pub fn issue(&self, names: &[String], now: UnixTime) -> Result<Issued, Failure> {
        let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        let first = names.first().map(String::as_str).unwrap_or_default();
        // X.520 allows 64 characters; the names that count are in the extension.
        if (1..=64).contains(&first.len()) {
            params.distinguished_name.push(DnType::CommonName, first);
        }
        live(&mut params, now, LEAF_DAYS)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Issued::new(leaf.pem(), key.serialize_pem(), Source::Internal).map_err(failed)
    }

    /// Whether a certificate is one of this root's.
    pub(crate) fn has_issued(&self, issued: &Issued) -> bool {
        let Ok(roots) = certificate::chain(self.root_pem.as_bytes()) else {
            return false;
        };
        let Ok(leaves) = certificate::chain(issued.chain_pem.as_bytes()) else {
            return false;
        };
        let (Ok(root), Ok(leaf)) = (
            certificate::parse(&roots[0]),
            certificate::parse(&leaves[0]),
        ) else {
            return false;
        };
        let authority = rustls_pki_types::CertificateDer::from(roots[0].as_ref());
        let anchors = rustls_anchor(&authority);
        leaf.issuer() == root.subject() && anchors.is_some_and(|roots| is_signed(&leaves[0], roots))
    }
}

fn rustls_anchor(
    root: &rustls_pki_types::CertificateDer<'_>,
) -> Option<std::sync::Arc<rustls::RootCertStore>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone().into_owned()).ok()?;
    Some(std::sync::Arc::new(roots))
}

/// Whether the root's key signed the leaf; the calendar is not asked.
fn is_signed(
    leaf: &rustls_pki_types::CertificateDer<'_>,
    roots: std::sync::Arc<rustls::RootCertStore>,
) -> bool {
    let Ok(parsed) = certificate::parse(leaf) else {
        return false;
    };
    let begins = certificate::life(&parsed).start.seconds() + 1;
    let moment =
        rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(begins));
    let Ok(end_entity) = rustls::server::ParsedCertificate::try_from(leaf) else {
        return false;
    };
    let supported = rustls::crypto::aws_lc_rs::default_provider()
        .signature_verification_algorithms
        .all;
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &end_entity,
        &roots,
        &[],
        moment,
        supported,
    )
    .is_ok()
}

fn live(params: &mut CertificateParams, now: UnixTime, days: u64) -> Result<(), Failure> {
    let time = |seconds: u64| {
        OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX))
            .map_err(failed)
    };
    params.not_before = time(now.seconds().saturating_sub(EARLY_SECONDS))?;
    params.not_after = time(now.seconds() + days * DAY_SECONDS)?;
    Ok(())
}

fn make_root(now: UnixTime) -> Result<Issued, Failure> {
    let mut params = CertificateParams::default();
    let key = KeyPair::generate().map_err(failed)?;
    let mark = certificate::digest_hex(&key.public_key_pem());
    params.distinguished_name = DistinguishedName::new();
    // Two machines have two roots; people tell them apart in their lists by this.
    params.distinguished_name.push(
        DnType::CommonName,
        format!("Foregate internal CA {}", &mark[..8]),
    );
    live(&mut params, now, ROOT_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = params.self_signed(&key).map_err(failed)?;
    Issued::new(root.pem(), key.serialize_pem(), Source::Internal).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_testkit::Scratch;

    #[test]
    fn a_root_whose_time_has_not_come_is_replaced_and_one_is_kept_while_the_calendar_is_not_set() {
        let scratch = Scratch::new();
        let folder = StateFolder::open(&scratch.join("state")).unwrap();
        let root = |seconds| {
            let authority = Authority::open(&folder, UnixTime::from_seconds(seconds)).unwrap();
            authority.root_pem().to_owned()
        };
        let year = 365 * DAY_SECONDS;
        let today = CALENDAR_SECONDS_MIN + year;
        let ahead = root(today + year);
        assert_eq!(root(today + year - EARLY_SECONDS), ahead);
        let present = root(today);
        assert_ne!(present, ahead);
        assert_eq!(root(0), present, "the calendar is not set yet");
        assert_eq!(root(today), present);
        assert_ne!(root(today + 10 * year), present, "its end is near");
    }
}
