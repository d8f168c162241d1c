//! Who is let in by certificate.

use crate::certificate::{Finding, Roots, distinguished_name, fingerprint, parse, pem_fault};
use crate::plan::{ClientAuthPlan, RevocationList};
use crate::profile::provider;
use aws_lc_rs::digest::{Context, SHA256};
use foregate_message::ClientCertificate;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use std::sync::Arc;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// How long a subject is that is passed on; the rest is left out.
const SUBJECT_BYTES_MAX: usize = 1024;

/// The number of a set of rules: 0 for those that ask nothing. What stands in revocation lists has no part in it: they
/// are replaced every day or hour, and connections that were let in must not be turned away each time.
pub(crate) fn number(plan: Option<&ClientAuthPlan>) -> u32 {
    let Some(plan) = plan else {
        return 0;
    };
    let [a, b, c, d, ..] = digest(plan, plan.crls.iter().map(|list| list.name.as_bytes()));
    u32::from_be_bytes([a, b, c, d]).max(1)
}

fn digest<'p>(plan: &'p ClientAuthPlan, lists: impl Iterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&[u8::from(plan.required)]);
    for part in std::iter::once(&*plan.ca_pem).chain(lists) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Who asks clients for their certificates.
pub(crate) fn verifier(plan: &ClientAuthPlan) -> Result<Arc<dyn ClientCertVerifier>, Finding> {
    let roots = Roots::from_pem(&plan.ca_pem)?;
    let mut lists = Vec::new();
    for list in &plan.crls {
        lists.extend(read_revocations(&list.bytes)?);
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(roots.anchors, provider()).with_crls(lists);
    // RFC 5280 §6.3.3: past its time a list does not tell whether a certificate is revoked.
    builder = builder.enforce_revocation_expiration();
    if !plan.required {
        builder = builder.allow_unauthenticated();
    }
    // The roots are good by now.
    builder
        .build()
        .map_err(|error| Finding::MalformedList(error.to_string()))
}

/// Revocation lists as PEM or DER.
fn read_revocations(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Finding> {
    const SEQUENCE: u8 = 0x30;
    if bytes.first() == Some(&SEQUENCE) {
        return Ok(vec![bytes.to_vec().into()]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Finding::MalformedList(pem_fault(&error)))?;
    if lists.is_empty() {
        let what = "a PEM block `-----BEGIN X509 CRL-----` is wanted, or DER";
        return Err(Finding::MalformedList(what.to_owned()));
    }
    Ok(lists)
}

/// When the first of a file's revocation lists is over, in seconds since 1970.
pub(crate) fn next_update(list: &RevocationList) -> Option<i64> {
    let lists = read_revocations(&list.bytes).ok()?;
    let ends = lists.iter().filter_map(|der| {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        Some(list.next_update()?.timestamp())
    });
    ends.min()
}

/// Authorities without a revocation list, where there are lists of others, and lists of others than the authorities; of
/// each list also its place. What can't be read is left to those who build on it.
pub(crate) fn judge_lists(plan: &ClientAuthPlan) -> Vec<(Option<usize>, Finding)> {
    let mut authorities = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&plan.ca_pem).flatten() {
        if let Ok(parsed) = parse(&certificate) {
            let subject = parsed.subject();
            authorities.push((subject.as_raw().to_vec(), distinguished_name(subject)));
        }
    }
    let mut issuers = Vec::new();
    for (place, list) in plan.crls.iter().enumerate() {
        for der in read_revocations(&list.bytes).unwrap_or_default() {
            if let Ok((_, list)) = CertificateRevocationList::from_der(&der) {
                let issuer = list.issuer();
                issuers.push((place, issuer.as_raw().to_vec(), distinguished_name(issuer)));
            }
        }
    }
    if issuers.is_empty() {
        return Vec::new();
    }
    let has_list = |subject: &Vec<u8>| issuers.iter().any(|(_, issuer, _)| issuer == subject);
    let bare = authorities.iter().filter(|(subject, _)| !has_list(subject));
    let bare = bare.map(|(_, name)| {
        let authority = name.clone();
        (None, Finding::AuthorityWithoutList { authority })
    });
    let is_known = |issuer: &Vec<u8>| authorities.iter().any(|(subject, _)| subject == issuer);
    let strange = issuers.iter().filter(|(_, issuer, _)| !is_known(issuer));
    let strange = strange.map(|(place, _, name)| {
        let authority = name.clone();
        (Some(*place), Finding::ListOfStranger { authority })
    });
    bare.chain(strange).collect()
}

/// What is passed on of a client's certificate.
pub(crate) fn describe(certificate: &CertificateDer<'_>) -> Option<Box<ClientCertificate>> {
    let mut subject = distinguished_name(parse(certificate).ok()?.subject());
    subject.truncate(SUBJECT_BYTES_MAX);
    Some(Box::new(ClientCertificate {
        subject: subject.into(),
        fingerprint: fingerprint(certificate),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_testkit::Authority;

    #[track_caller]
    fn check(authorities: &[&Authority], lists: &[&Authority], expected: &[(Option<usize>, &str)]) {
        let list = |authority: &&Authority| RevocationList {
            name: "list".to_owned(),
            bytes: authority.revocations(&[]).into_bytes(),
        };
        let plan = ClientAuthPlan {
            required: true,
            ca_pem: authorities
                .iter()
                .map(|one| one.pem())
                .collect::<String>()
                .into_bytes(),
            crls: lists.iter().map(list).collect(),
        };
        let told = judge_lists(&plan);
        let told: Vec<_> = told
            .iter()
            .map(|(place, finding)| (*place, finding.name()))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn each_authority_has_a_list_and_each_list_an_authority() {
        let (one, other) = (Authority::new("One"), Authority::new("Other"));
        let (bare, strange) = ("authority-without-list", "list-of-stranger");
        check(&[&one, &other], &[], &[]);
        check(&[&one, &other], &[&other, &one], &[]);
        check(&[&one, &other], &[&one], &[(None, bare)]);
        check(&[&one], &[&one, &other], &[(Some(1), strange)]);
        check(&[&one], &[&other], &[(None, bare), (Some(0), strange)]);
    }
}
