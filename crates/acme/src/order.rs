//! Orders: from a list of names to a certificate in the state folder.
//!
//! ```text
//! lock ─► another process has it? ─► take its result
//!   │ no
//!   ▼
//! account ─► an order left by a crash? ─► go on with it
//!   │ no            ▲
//!   ▼               │ kept before the certificate is asked for
//! new order ─► prove every name ─► certificate ─► state folder ─► unlock
//!   ▲                 │ failed, and another kind of challenge is left
//!   └─────────────────┘
//! ```

use std::collections::HashMap;
use std::time::Duration;

use foregate_telemetry::clock::{UnixTime, unix_now};
use foregate_telemetry::log::process;
use instant_acme::{Account, Identifier, NewOrder, Order, OrderStatus, RenewalInfo, RetryPolicy};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::time::{sleep, timeout};

use crate::certificate::{Issued, Key, Source, key_pair};
use crate::challenges::Challenges;
use crate::choice::Kind;
use crate::dns::Leftovers;
use crate::folder::{Pending, Record, StateFolder, Stored};
use crate::options::AcmeOptions;
use crate::reason::{Failure, Reason};
use crate::schedule::Span;
use crate::web::{self, Web};

mod account;
mod errors;
mod prove;
#[cfg(test)]
mod tests;

use errors::{Step, failure};

/// How long one order may take, without the wait for DNS.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);
/// How long another process may hold the lock before this one looks again later.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);
const LOCK_POLL: Duration = Duration::from_millis(200);
/// How often a server may refuse our nonces before it is left alone; the client has tried three times before each.
const NONCE_ATTEMPTS: usize = 5;
/// Bytes of the URL of a page that explains a window; a longer one is not told.
const EXPLANATION_BYTES_MAX: usize = 2_000;
/// How validation and issuance are asked for.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(200))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// What came of an order.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was issued to us.
    Ordered(Issued),
    /// Another process that shares the folder had it issued.
    Found(Box<Stored>),
}

/// What orders need.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) folder: StateFolder,
    pub(crate) options: AcmeOptions,
    pub(crate) challenges: Challenges,
    /// DNS records of orders that were cut off.
    pub(crate) leftovers: Leftovers,
}

/// What is to be ordered.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) key: Key,
    pub(crate) names: Vec<String>,
    pub(crate) on_demand: bool,
    /// What is served now, whose successor is wanted.
    pub(crate) current: Option<Issued>,
}

/// Names that failed, and how.
type Failed = HashMap<String, Vec<Kind>>;

impl Desk {
    fn web(&self) -> Result<Web, Failure> {
        web::trust(self.options.ca_pem.as_deref()).map(Web::acme)
    }

    /// Has a certificate issued, and stores it; or finds that another process did.
    pub(crate) async fn obtain(&self, task: &Task) -> Result<Outcome, Failure> {
        let _lock = self.lock(&task.key).await?;
        // The certificate that is served is in memory; a bad disk must not keep its successor away.
        for path in self.folder.put_damaged_aside(&task.key)? {
            process::warn(
                "a damaged file of the state folder is put aside, the certificate is issued anew",
                &[("path", &path.display())],
            );
        }
        if let Some(found) = self.found(task)? {
            return Ok(Outcome::Found(Box::new(found)));
        }
        let span = ORDER_TIMEOUT
            + self
                .options
                .dns
                .as_ref()
                .map_or(Duration::ZERO, |dns| dns.propagation_timeout);
        let issued = match timeout(span, self.order(task)).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                self.leftovers.clean().await;
                return Err(Failure::new(
                    Reason::OrderTimedOut,
                    format!("no certificate after {} s", span.as_secs()),
                ));
            }
        };
        let mut record = Record::new(
            task.names.clone(),
            Source::Acme,
            Some(self.options.directory.clone()),
            task.on_demand,
        );
        record.certificate = Some(issued.facts.clone());
        self.folder.store_certificate(&task.key, &record, &issued)?;
        Ok(Outcome::Ordered(issued))
    }

    async fn lock(&self, key: &Key) -> Result<crate::folder::Lock, Failure> {
        let waiting = async {
            loop {
                match self.folder.try_lock(key)? {
                    Some(lock) => return Ok(lock),
                    None => sleep(LOCK_POLL).await,
                }
            }
        };
        match timeout(LOCK_TIMEOUT, waiting).await {
            Ok(lock) => lock,
            Err(_) => Err(Failure::new(
                Reason::OrderedElsewhere,
                format!(
                    "another process that shares {} has been ordering it for {} s",
                    self.folder.path().display(),
                    LOCK_TIMEOUT.as_secs()
                ),
            )),
        }
    }

    /// What another process has stored since this one looked: it ends later than what is served here.
    fn found(&self, task: &Task) -> Result<Option<Stored>, Failure> {
        let Some(stored) = self.folder.certificate(&task.key)? else {
            return Ok(None);
        };
        let Some(issued) = &stored.issued else {
            return Ok(None);
        };
        let is_new = is_successor(issued, task.current.as_ref(), &task.names, unix_now());
        Ok(is_new.then_some(stored))
    }

    async fn order(&self, task: &Task) -> Result<Issued, Failure> {
        let web = self.web()?;
        let mut failed = Failed::new();
        let mut accounts_renewed = 0;
        let mut nonces_refused = 0;
        loop {
            web.forget();
            let account = self.account(&web).await;
            let outcome = match &account {
                Ok(account) => self.order_once(task, &web, account, &mut failed).await,
                Err(failure) => Err(failure.clone()),
            };
            match outcome {
                Ok(Some(issued)) => return Ok(issued),
                // A challenge failed and another kind is left.
                Ok(None) => {}
                Err(failure) if failure.reason == Reason::AccountGone && accounts_renewed == 0 => {
                    accounts_renewed += 1;
                    if let Ok(account) = &account {
                        self.retire_account(account.id(), &failure).await?;
                    }
                    self.folder.drop_pending(&task.key)?;
                }
                Err(failure) if failure.reason == Reason::BadNonce => {
                    nonces_refused += 1;
                    if nonces_refused == NONCE_ATTEMPTS {
                        return Err(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// One order; `None` when it failed by challenges of which another kind is left.
    async fn order_once(
        &self,
        task: &Task,
        web: &Web,
        account: &Account,
        failed: &mut Failed,
    ) -> Result<Option<Issued>, Failure> {
        if let Some(issued) = self.go_on(task, web, account).await? {
            return Ok(Some(issued));
        }
        let mut order = self.new_order(task, web, account).await?;
        if !self.prove(&mut order, web, failed).await? {
            return Ok(None);
        }
        let key = KeyPair::generate().map_err(unusable)?;
        let pending = Pending::new(
            self.options.directory.clone(),
            order.url().to_owned(),
            key.serialize_pem(),
        );
        self.folder.store_pending(&task.key, &pending)?;
        self.finish(task, web, &mut order, &key).await.map(Some)
    }

    async fn new_order(&self, task: &Task, web: &Web, account: &Account) -> Result<Order, Failure> {
        let identifiers: Vec<_> = task
            .names
            .iter()
            .map(|name| Identifier::Dns(name.to_ascii_lowercase()))
            .collect();
        // RFC 9773 §5: the CA learns which certificate this one follows, and may waive its limits. Servers without
        // renewal information, and those that have seen a successor already, get a plain order.
        let identifier = task.current.as_ref().and_then(Issued::identifier);
        if let Some(identifier) = identifier {
            let order = NewOrder::new(&identifiers).replaces(identifier);
            match account.new_order(&order).await {
                Ok(order) => return Ok(order),
                Err(error) if errors::is_about_replaces(&error) => {}
                Err(error) => return Err(failure(&error, Step::Order, web)),
            }
        }
        account
            .new_order(&NewOrder::new(&identifiers))
            .await
            .map_err(|error| failure(&error, Step::Order, web))
    }

    /// Goes on with an order that an earlier process left behind, if its server still knows it.
    async fn go_on(
        &self,
        task: &Task,
        web: &Web,
        account: &Account,
    ) -> Result<Option<Issued>, Failure> {
        let Some(pending) = self.folder.pending(&task.key)? else {
            return Ok(None);
        };
        let outcome = match pending.directory == self.options.directory {
            true => self.go_on_with(&pending, task, web, account).await,
            false => Ok(None),
        };
        match outcome {
            Ok(Some(issued)) => {
                process::info(
                    "an order that was interrupted has been finished",
                    &[("certificate", &task.key)],
                );
                Ok(Some(issued))
            }
            // The account's end is dealt with by whoever asked.
            Err(failure) if failure.reason == Reason::AccountGone => Err(failure),
            // Reasons to come back later, with the order still there: another one would only be in the same queue, and
            // count against the limits.
            Err(failure) if is_passing(failure.reason) && pending.is_young(unix_now()) => {
                Err(failure)
            }
            // The server wants to be left alone; what comes then is another order.
            Err(failure) if failure.reason == Reason::RateLimited => {
                self.folder.drop_pending(&task.key)?;
                Err(failure)
            }
            Ok(None) | Err(_) => {
                self.folder.drop_pending(&task.key)?;
                Ok(None)
            }
        }
    }

    async fn go_on_with(
        &self,
        pending: &Pending,
        task: &Task,
        web: &Web,
        account: &Account,
    ) -> Result<Option<Issued>, Failure> {
        let mut order = account
            .order(pending.order.clone())
            .await
            .map_err(|error| failure(&error, Step::Resume, web))?;
        let key = key_pair(&pending.key_pem).map_err(unusable)?;
        let status = order.state().status;
        match status {
            OrderStatus::Ready => self.finish(task, web, &mut order, &key).await.map(Some),
            OrderStatus::Processing | OrderStatus::Valid => {
                self.collect(task, web, &mut order, &key).await.map(Some)
            }
            OrderStatus::Pending | OrderStatus::Invalid => Ok(None),
        }
    }

    async fn finish(
        &self,
        task: &Task,
        web: &Web,
        order: &mut Order,
        key: &KeyPair,
    ) -> Result<Issued, Failure> {
        let mut params = CertificateParams::new(task.names.clone()).map_err(unusable)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(key).map_err(unusable)?;
        order
            .finalize_csr(request.der())
            .await
            .map_err(|error| failure(&error, Step::Finalize, web))?;
        self.collect(task, web, order, key).await
    }

    async fn collect(
        &self,
        task: &Task,
        web: &Web,
        order: &mut Order,
        key: &KeyPair,
    ) -> Result<Issued, Failure> {
        let chain = order
            .poll_certificate(&POLL)
            .await
            .map_err(|error| failure(&error, Step::Finalize, web))?;
        let issued = Issued::new(chain, key.serialize_pem(), Source::Acme).map_err(unusable)?;
        if !issued.is_for(&task.names) {
            return Err(unusable(format!(
                "it is for {} and was ordered for {}",
                issued.names.join(", "),
                task.names.join(", ")
            )));
        }
        Ok(issued)
    }

    /// When the CA wants a certificate to be renewed; `None` when it has no say.
    pub(crate) async fn window(&self, issued: &Issued) -> Result<Option<Suggestion>, Failure> {
        let Some(identifier) = issued.identifier() else {
            return Ok(None);
        };
        let web = self.web()?;
        let account = self.account(&web).await?;
        match account.renewal_info(&identifier).await {
            Ok((info, after)) => Ok(Some(Suggestion::of(info, after))),
            Err(instant_acme::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(failure(&error, Step::Window, &web)),
        }
    }
}

/// Whether an order that failed so may still come to a good end.
fn is_passing(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DirectoryUnreachable
            | Reason::DirectoryFailed
            | Reason::RateLimited
            | Reason::BadNonce
            | Reason::OrderTimedOut
    )
}

/// Whether a certificate is to take the place of another: it is for the names, valid still, and does not end before it.
pub(crate) fn is_successor(
    issued: &Issued,
    current: Option<&Issued>,
    names: &[String],
    unix: UnixTime,
) -> bool {
    let is_new = current.is_none_or(|current| {
        current.facts.fingerprint != issued.facts.fingerprint
            && current.facts.not_after <= issued.facts.not_after
    });
    is_new && issued.facts.not_after > unix.seconds() && issued.is_for(names)
}

/// What a CA says about the renewal of a certificate (RFC 9773 §4.2).
#[derive(Debug)]
pub(crate) struct Suggestion {
    pub(crate) window: Span,
    /// When it wants to be asked again.
    pub(crate) after: Duration,
    /// A page that explains the window, as after a mass revocation.
    pub(crate) explanation: Option<String>,
}

impl Suggestion {
    fn of(info: RenewalInfo, after: Duration) -> Suggestion {
        let time = |seconds: i64| UnixTime::from_seconds(u64::try_from(seconds).unwrap_or(0));
        let window = info.suggested_window;
        let is_short = |url: &String| url.len() <= EXPLANATION_BYTES_MAX;
        Suggestion {
            window: Span {
                start: time(window.start.unix_timestamp()),
                end: time(window.end.unix_timestamp()),
            },
            after,
            explanation: info.explanation_url.filter(is_short),
        }
    }
}

fn unusable(why: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::CertificateUnusable, why.to_string())
}
