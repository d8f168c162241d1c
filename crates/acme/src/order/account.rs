//! The account: one for each directory and e-mail, made once and kept.

use foregate_telemetry::log::process;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use tokio::time::sleep;

use super::errors::{Step, failure};
use super::{Desk, LOCK_POLL};
use crate::folder::Lock;
use crate::reason::{Failure, Reason};
use crate::web::Web;

impl Desk {
    /// The stored account, or a new one.
    pub(super) async fn account(&self, web: &Web) -> Result<Account, Failure> {
        let (directory, email) = (&self.options.directory, self.options.email.as_deref());
        match self.stored_account(web).await {
            Ok(Some(account)) => return Ok(account),
            Err(failure) if failure.reason != Reason::StateUnreadable => return Err(failure),
            Ok(None) | Err(_) => {}
        }
        // Orders run side by side, also in other processes: the first one makes the account.
        let _lock = self.lock_accounts().await?;
        match self.stored_account(web).await {
            Ok(Some(account)) => return Ok(account),
            Ok(None) => {}
            Err(failure) if failure.reason == Reason::StateUnreadable => {
                let path = self.folder.put_account_aside(directory, email)?;
                process::warn(
                    "a damaged ACME account is put aside; a new one is made",
                    &[("path", &path.display()), ("detail", &failure.detail)],
                );
            }
            Err(failure) => return Err(failure),
        }
        let contact = email.map(|email| format!("mailto:{email}"));
        let contacts: Vec<_> = contact.as_deref().into_iter().collect();
        let eab = match &self.options.eab {
            None => None,
            Some(eab) => Some(ExternalAccountKey::new(
                eab.key_id.clone(),
                &eab.key_bytes()
                    .map_err(|why| Failure::new(Reason::AccountRefused, why))?,
            )),
        };
        let new = NewAccount {
            contact: &contacts,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = Account::builder_with_http(Box::new(web.clone()))
            .create(&new, directory.clone(), eab.as_ref())
            .await
            .map_err(|error| failure(&error, Step::Account, web))?;
        let credentials = serde_json::to_value(&credentials)
            .map_err(|error| Failure::new(Reason::StateUnusable, error.to_string()))?;
        self.folder.store_account(directory, email, credentials)?;
        process::info(
            "an ACME account was made",
            &[("directory", directory), ("account", &account.id())],
        );
        Ok(account)
    }

    /// Puts the account aside that the server has refused, unless another order has done so already: the one that is
    /// stored may be its successor.
    pub(super) async fn retire_account(&self, id: &str, why: &Failure) -> Result<(), Failure> {
        let (directory, email) = (&self.options.directory, self.options.email.as_deref());
        let _lock = self.lock_accounts().await?;
        match self.folder.account(directory, email) {
            Ok(Some(stored)) if stored.credentials["id"] == id => {}
            // What is damaged is put aside by whoever makes the next one.
            Ok(_) => return Ok(()),
            Err(failure) if failure.reason == Reason::StateUnreadable => return Ok(()),
            Err(failure) => return Err(failure),
        }
        process::warn(
            "the ACME account is gone; a new one is made",
            &[
                ("directory", directory),
                ("account", &id),
                ("detail", &why.detail),
            ],
        );
        self.folder.retire_account(directory, email)
    }

    async fn lock_accounts(&self) -> Result<Lock, Failure> {
        loop {
            match self.folder.try_lock_accounts()? {
                Some(lock) => return Ok(lock),
                None => sleep(LOCK_POLL).await,
            }
        }
    }

    async fn stored_account(&self, web: &Web) -> Result<Option<Account>, Failure> {
        let email = self.options.email.as_deref();
        let Some(stored) = self.folder.account(&self.options.directory, email)? else {
            return Ok(None);
        };
        let credentials: AccountCredentials =
            serde_json::from_value(stored.credentials).map_err(|error| {
                Failure::new(
                    Reason::StateUnreadable,
                    format!("the account of {} is damaged: {error}", stored.directory),
                )
            })?;
        Account::builder_with_http(Box::new(web.clone()))
            .from_credentials(credentials)
            .await
            .map(Some)
            .map_err(|error| failure(&error, Step::Directory, web))
    }
}
