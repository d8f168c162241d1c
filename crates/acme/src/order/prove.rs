//! Proving that the names are ours: challenges are opened, the server told, its verdict awaited.

use foregate_telemetry::log::process;
use instant_acme::{
    AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, Order, OrderStatus,
};

use super::errors::{self, Step, failure};
use super::{Desk, Failed, POLL};
use crate::challenges::OpenChallenge;
use crate::challenges::shared::{Answer, Publication, SEEN_AFTER};
use crate::choice::{self, Kind};
use crate::dns::{DnsRecord, SetRecords};
use crate::reason::{Failure, Reason};
use crate::web::Web;

/// What is open while the server looks.
struct Proofs {
    open: Vec<OpenChallenge>,
    /// What the other processes answer, if there are any.
    published: Vec<Publication>,
    records: SetRecords,
    /// Names, as ordered, and what they are proved by.
    kinds: Vec<(String, Kind)>,
}

impl Desk {
    /// Proves every name of an order. False: some could not be proved and another kind of challenge is left for each.
    pub(super) async fn prove(
        &self,
        order: &mut Order,
        web: &Web,
        failed: &mut Failed,
    ) -> Result<bool, Failure> {
        if order.state().status == OrderStatus::Ready {
            return Ok(true);
        }
        let mut proofs = Proofs {
            open: Vec::new(),
            published: Vec::new(),
            records: SetRecords::new(self.options.dns.as_ref(), &self.leftovers),
            kinds: Vec::new(),
        };
        let outcome = self.prove_all(order, web, failed, &mut proofs).await;
        // Whatever came of it, no record stays behind; what is cut off is removed by who cuts it off.
        proofs.records.clean().await;
        outcome
    }

    async fn prove_all(
        &self,
        order: &mut Order,
        web: &Web,
        failed: &mut Failed,
        proofs: &mut Proofs,
    ) -> Result<bool, Failure> {
        self.open(order, web, failed, proofs).await?;
        proofs.records.wait().await?;
        if !proofs.published.is_empty() {
            tokio::time::sleep(SEEN_AFTER).await;
        }
        let told = match tell(order, web, proofs).await? {
            // A challenge that fails at once has failed in the answer to that already.
            Some(error) => failure(&error, Step::Prove, web),
            None => match order.poll_ready(&POLL).await {
                Ok(OrderStatus::Ready) => return Ok(true),
                Ok(_) => Failure::new(
                    Reason::ChallengeFailed,
                    "the server holds the order invalid and does not say why",
                ),
                // The order's own error says less than its challenges'.
                Err(error @ instant_acme::Error::Api(_)) => failure(&error, Step::Prove, web),
                Err(error) => return Err(failure(&error, Step::Prove, web)),
            },
        };
        // Whoever wants to be left alone is not asked more, whatever became of the names.
        if matches!(told.reason, Reason::RateLimited | Reason::DirectoryFailed) {
            return Err(told);
        }
        self.judge(order, web, failed, proofs, told).await
    }

    /// Opens a challenge for every name that is not proved yet.
    async fn open(
        &self,
        order: &mut Order,
        web: &Web,
        failed: &Failed,
        proofs: &mut Proofs,
    ) -> Result<(), Failure> {
        let is_shared = self.folder.is_shared()?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| failure(&error, Step::Prove, web))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let identifier = host(authorization.identifier().identifier)?;
            let offered: Vec<_> = authorization
                .challenges
                .iter()
                .filter_map(|challenge| kind(&challenge.r#type))
                .collect();
            let kind = self.choose(&name, &offered, failed)?;
            let challenge = authorization
                .challenge(kind.acme())
                .ok_or_else(|| none_left(&name, &offered, false))?;
            let proof = challenge.key_authorization();
            let mut shared = None;
            match kind {
                Kind::Http01 => {
                    let open = self
                        .challenges
                        .open_http(&challenge.token, proof.as_str())?;
                    proofs.open.push(open);
                    shared = Some(Answer::Http {
                        token: challenge.token.clone(),
                        answer: proof.as_str().to_owned(),
                    });
                }
                Kind::TlsAlpn01 => {
                    let digest = proof.digest();
                    let open = self.challenges.open_alpn(&identifier, digest.as_ref())?;
                    proofs.open.push(open);
                    let digest = digest.as_ref().try_into();
                    shared = digest.ok().map(|digest| Answer::Alpn {
                        name: identifier.to_ascii_lowercase(),
                        digest,
                    });
                }
                Kind::Dns01 => {
                    let record = DnsRecord::proving(&identifier, proof.dns_value());
                    proofs.records.present(record).await?;
                }
            }
            if let (true, Some(answer)) = (is_shared, shared) {
                proofs
                    .published
                    .push(Publication::new(&self.folder, answer)?);
            }
            proofs.kinds.push((name, kind));
        }
        Ok(())
    }

    fn choose(&self, name: &str, offered: &[Kind], failed: &Failed) -> Result<Kind, Failure> {
        let has_dns = self.options.dns.is_some();
        let wildcard = name.starts_with("*.");
        let candidates = choice::candidates(self.options.challenge, wildcard, has_dns);
        let failed = failed.get(name).map(Vec::as_slice).unwrap_or_default();
        choice::next(&candidates, offered, failed)
            .ok_or_else(|| none_left(name, offered, wildcard && !has_dns))
    }

    /// Which names failed, and whether each has another kind of challenge left. The authorizations say so, of which the order
    /// may not have heard yet; where all of them are good, it is what the server told before.
    async fn judge(
        &self,
        order: &mut Order,
        web: &Web,
        failed: &mut Failed,
        proofs: &Proofs,
        told: Failure,
    ) -> Result<bool, Failure> {
        let mut stories = Vec::new();
        let mut another = true;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| failure(&error, Step::Prove, web))?;
            let state = authorization
                .refresh()
                .await
                .map_err(|error| failure(&error, Step::Prove, web))?;
            if state.status != AuthorizationStatus::Invalid {
                continue;
            }
            let name = state.identifier().to_string();
            let Some((_, kind)) = proofs.kinds.iter().find(|(proved, _)| *proved == name) else {
                continue;
            };
            let cause = state
                .challenges
                .iter()
                .filter(|challenge| challenge.status == ChallengeStatus::Invalid)
                .find_map(|challenge| challenge.error.as_ref())
                .map_or_else(|| "no reason given".to_owned(), errors::told);
            stories.push(format!("{name} by {}: {cause}", kind.name()));
            let offered: Vec<_> = state
                .challenges
                .iter()
                .filter_map(|challenge| crate::order::prove::kind(&challenge.r#type))
                .collect();
            failed.entry(name.clone()).or_default().push(*kind);
            another &= self.choose(&name, &all_if_few(&offered), failed).is_ok();
        }
        if stories.is_empty() {
            return Err(told);
        }
        let story = stories.join("; ");
        if another {
            process::info(
                "a challenge failed; another kind is tried",
                &[
                    ("reason", &Reason::ChallengeFailed.name()),
                    ("detail", &story),
                ],
            );
            return Ok(false);
        }
        Err(Failure::new(Reason::ChallengeFailed, story))
    }
}

/// A server may drop the other challenges of an authorization that failed; a new order will offer them again.
fn all_if_few(offered: &[Kind]) -> Vec<Kind> {
    match offered.len() {
        0 | 1 => vec![Kind::Http01, Kind::TlsAlpn01, Kind::Dns01],
        _ => offered.to_vec(),
    }
}

/// Tells the server that the challenges are open, up to the first one that it says something against.
async fn tell(
    order: &mut Order,
    web: &Web,
    proofs: &Proofs,
) -> Result<Option<instant_acme::Error>, Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| failure(&error, Step::Prove, web))?;
        let name = authorization.identifier().to_string();
        let Some((_, kind)) = proofs.kinds.iter().find(|(proved, _)| *proved == name) else {
            continue;
        };
        if let Some(mut challenge) = authorization.challenge(kind.acme()) {
            match challenge.set_ready().await {
                Ok(()) => {}
                Err(error @ instant_acme::Error::Api(_)) => return Ok(Some(error)),
                Err(error) => return Err(failure(&error, Step::Prove, web)),
            }
        }
    }
    Ok(None)
}

fn host(identifier: &Identifier) -> Result<String, Failure> {
    match identifier {
        Identifier::Dns(host) => Ok(host.clone()),
        other => Err(Failure::new(
            Reason::NoUsableChallenge,
            format!("the server wants a proof for {other:?}"),
        )),
    }
}

fn kind(challenge: &ChallengeType) -> Option<Kind> {
    [Kind::Http01, Kind::TlsAlpn01, Kind::Dns01]
        .into_iter()
        .find(|kind| kind.acme() == *challenge)
}

fn none_left(name: &str, offered: &[Kind], needs_dns: bool) -> Failure {
    let detail = match needs_dns {
        true => format!("{name} is a wildcard, which DNS-01 alone can prove; configure `acme.dns`"),
        false => {
            let offered: Vec<_> = offered.iter().map(|kind| kind.name()).collect();
            format!(
                "the server offers {} for {name}, and none of them is left to try here",
                offered.join(", ")
            )
        }
    };
    Failure::new(Reason::NoUsableChallenge, detail)
}
