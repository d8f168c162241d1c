//! Who is let in by certificate.

use crate::certificate::{
    Finding, Roots, distinguished_name, fingerprint, parse, pem_fault, without_marks,
};
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

mod namesakes;

use namesakes::{Authority, Namesakes};

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
    let authorities = match lists.is_empty() {
        true => Vec::new(),
        false => Authority::read(&plan.ca_pem),
    };
    let build = |anchors, lists| {
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(anchors, provider()).with_crls(lists);
        // RFC 5280 §6.3.3: past its time a list does not tell whether a certificate is revoked.
        builder = builder.enforce_revocation_expiration();
        if !plan.required {
            builder = builder.allow_unauthenticated();
        }
        // The roots are good by now.
        let built = builder.build();
        built.map_err(|error| Finding::MalformedList(error.to_string()))
    };
    let parts = namesakes::part(&authorities);
    if parts.len() < 2 {
        return build(roots.anchors, lists);
    }
    let mut verifiers = Vec::new();
    for part in parts {
        let certificates = part.iter().map(|one| one.certificate.clone()).collect();
        let anchors = Roots::new(certificates).anchors;
        verifiers.push(build(anchors, namesakes::own_first(&part, &lists))?);
    }
    let first = verifiers.remove(0);
    Ok(Arc::new(Namesakes {
        first,
        others: verifiers,
    }))
}

/// Revocation lists as PEM or DER.
fn read_revocations(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Finding> {
    const SEQUENCE: u8 = 0x30;
    if bytes.first() == Some(&SEQUENCE) {
        return Ok(vec![bytes.to_vec().into()]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(&without_marks(bytes))
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
/// each list also its place. Of authorities of one name, each has to have signed a list. What can't be read is left to those
/// who build on it.
pub(crate) fn judge_lists(plan: &ClientAuthPlan) -> Vec<(Option<usize>, Finding)> {
    let authorities = Authority::read(&plan.ca_pem);
    let read = |list: &RevocationList| read_revocations(&list.bytes).unwrap_or_default();
    let lists: Vec<_> = plan.crls.iter().map(read).collect();
    let mut parsed = Vec::new();
    for (place, lists) in lists.iter().enumerate() {
        for der in lists {
            if let Ok((_, list)) = CertificateRevocationList::from_der(der) {
                parsed.push((place, list));
            }
        }
    }
    if parsed.is_empty() {
        return Vec::new();
    }
    let has_list = |authority: &&Authority| {
        let is_shared = namesakes::are_namesakes(&authorities, &authority.subject);
        parsed.iter().any(|(_, list)| match is_shared {
            true => authority.has_signed(list),
            false => list.issuer().as_raw() == authority.subject,
        })
    };
    let bare = authorities.iter().filter(|authority| !has_list(authority));
    let bare = bare.map(|authority| {
        let authority = authority.name.clone();
        (None, Finding::AuthorityWithoutList { authority })
    });
    let is_known = |issuer: &[u8]| authorities.iter().any(|one| one.subject == issuer);
    let strange = parsed
        .iter()
        .filter(|(_, list)| !is_known(list.issuer().as_raw()));
    let strange = strange.map(|(place, list)| {
        let authority = distinguished_name(list.issuer());
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
    use foregate_testkit::{Authority, Issued};

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
    fn of_authorities_of_one_name_each_key_has_lists_of_its_own() {
        check_namesakes(&Authority::new("Clients"), &Authority::new("Clients"));
        // Renewed with a key of another kind.
        check_namesakes(&Authority::rsa("Clients"), &Authority::new("Clients"));
    }

    fn check_namesakes(old: &Authority, new: &Authority) {
        let (other, third) = (Authority::new("Other"), Authority::new("Clients"));
        let gone: Vec<_> = [old, new].map(|one| one.issue_client("gone")).into();
        let lists = [old.revocations(&[&gone[0]]), new.revocations(&[&gone[1]])];
        let verifier = |authorities: &[&Authority], lists: &[String]| {
            let list = |bytes: &String| RevocationList {
                name: "list".to_owned(),
                bytes: bytes.clone().into_bytes(),
            };
            let pem: String = authorities.iter().map(|one| one.pem()).collect();
            let plan = ClientAuthPlan {
                required: true,
                ca_pem: pem.into_bytes(),
                crls: lists.iter().map(list).collect(),
            };
            super::verifier(&plan).unwrap()
        };
        let judge = |verifier: &dyn ClientCertVerifier, client: &Issued| {
            let chain = crate::certificate::read_chain(client.chain_pem.as_bytes()).unwrap();
            let now = rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(
                1_800_000_000,
            ));
            let judged = verifier.verify_client_cert(&chain[0], &chain[1..], now);
            judged
                .map(drop)
                .map_err(|error| crate::HandshakeFault::from(&error).name())
        };
        let orders = [lists.to_vec(), lists.iter().rev().cloned().collect()];
        for lists in orders {
            for authorities in [[old, &other, new], [new, old, &other]] {
                let verifier = verifier(&authorities, &lists);
                assert_eq!(verifier.root_hint_subjects().len(), 2);
                for (good, gone) in [old, new].into_iter().zip(&gone) {
                    let client = good.issue_client("good");
                    assert_eq!(judge(&*verifier, &client), Ok(()));
                    let revoked = Err("client-certificate-revoked");
                    assert_eq!(judge(&*verifier, gone), revoked);
                    let unlisted = Err("client-certificate-unlisted");
                    assert_eq!(judge(&*verifier, &other.issue_client("x")), unlisted);
                }
                assert!(judge(&*verifier, &third.issue_client("x")).is_err());
            }
        }
        // A key without a list of its own lets nobody in, as any authority without one.
        let bare = verifier(&[old, new], &lists[..1]);
        assert_eq!(judge(&*bare, &old.issue_client("good")), Ok(()));
        let unlisted = Err("client-certificate-unlisted");
        assert_eq!(judge(&*bare, &new.issue_client("good")), unlisted);
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
        let renewed = Authority::new("One");
        check(&[&one, &renewed], &[&renewed, &one], &[]);
        check(&[&one, &renewed], &[&one], &[(None, bare)]);
    }
}
