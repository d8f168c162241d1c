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

/// What is passed on of a client's certificate.
pub(crate) fn describe(certificate: &CertificateDer<'_>) -> Option<Box<ClientCertificate>> {
    let mut subject = distinguished_name(parse(certificate).ok()?.subject());
    subject.truncate(SUBJECT_BYTES_MAX);
    Some(Box::new(ClientCertificate {
        subject: subject.into(),
        fingerprint: fingerprint(certificate),
    }))
}
