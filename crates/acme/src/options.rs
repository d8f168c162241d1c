//! What the configuration says, as plain values.

use std::fmt;

use crate::certificate::{Source, digest_hex};
use crate::choice::ChallengeChoice;
use crate::dns::{DnsMeans, DnsOptions};

/// The directories of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The directory to try things out with; nobody trusts its certificates.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Everything that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The certificates.
    pub certificates: Vec<WantedCertificate>,
    /// How ACME is spoken; without it, certificates from there are told as failures.
    pub acme: Option<AcmeOptions>,
}

/// A certificate that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCertificate {
    /// Its names: host names, wildcards; for the internal CA also IP addresses.
    pub names: Vec<String>,
    /// Who issues it.
    pub source: Source,
}

/// How ACME is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeOptions {
    /// The directory's URL, https.
    pub directory: String,
    /// Whom the CA may write to.
    pub email: Option<String>,
    /// What the server's certificate is trusted by, PEM; without it the system's bundle.
    pub ca_pem: Option<String>,
    /// How names are proved.
    pub challenge: ChallengeChoice,
    /// DNS-01, if it is possible.
    pub dns: Option<DnsOptions>,
    /// External account binding (RFC 8555 §7.3.4).
    pub eab: Option<ExternalAccount>,
    /// Certificates that clients ask for.
    pub on_demand: Option<OnDemand>,
}

impl AcmeOptions {
    /// A directory, and nothing else.
    #[must_use]
    pub fn new(directory: impl Into<String>) -> AcmeOptions {
        AcmeOptions {
            directory: directory.into(),
            email: None,
            ca_pem: None,
            challenge: ChallengeChoice::Auto,
            dns: None,
            eab: None,
            on_demand: None,
        }
    }

    /// What tells settings by which an order may fail from others: a digest, which gives no secret away. For which names
    /// clients may ask is no part of it.
    pub(crate) fn fingerprint(&self) -> String {
        let eab = self
            .eab
            .as_ref()
            .map(|eab| (&eab.key_id, digest_hex(&eab.hmac_key)));
        let dns = self.dns.as_ref().map(|dns| {
            let secret = match &dns.means {
                DnsMeans::Update { key: Some(key), .. } => key.secret.as_slice(),
                _ => &[],
            };
            (dns, digest_hex(&format!("{secret:?}")))
        });
        // Debug escapes texts, so that no two settings are told alike.
        digest_hex(&format!(
            "{:?}",
            (
                &self.directory,
                &self.email,
                &self.ca_pem,
                self.challenge,
                dns,
                eab
            )
        ))
    }
}

/// An account that the CA knows already.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's name.
    pub key_id: String,
    /// The key, in base64url, with or without padding, as CAs hand it out.
    pub hmac_key: String,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl ExternalAccount {
    /// The key's bytes.
    ///
    /// # Errors
    /// When the text is not base64url.
    pub fn key_bytes(&self) -> Result<Vec<u8>, String> {
        use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
        let text: String = self
            .hmac_key
            .trim()
            .trim_end_matches('=')
            .chars()
            .map(|c| match c {
                '+' => '-',
                '/' => '_',
                c => c,
            })
            .collect();
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| format!("the hmac_key of {} is not base64url: {error}", self.key_id))
    }
}

/// Which certificates clients may ask for by shaking hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDemand {
    /// Names, or `*.` and a parent for any one label before it.
    pub allow: Vec<String>,
    /// Asked with `?domain=NAME` for names that the list admits, or for all when there is none; 200 says yes.
    pub ask: Option<String>,
    /// Orders in any hour.
    pub issues_per_hour_max: u32,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::SharedKey;

    #[test]
    fn keys_are_taken_in_both_alphabets() {
        let bytes = |key: &str| {
            ExternalAccount {
                key_id: "kid".into(),
                hmac_key: key.into(),
            }
            .key_bytes()
        };
        assert_eq!(bytes("-_8").unwrap(), bytes("+/8=").unwrap());
        assert!(bytes("not a key").unwrap_err().contains("kid"));
    }

    #[test]
    fn every_setting_of_orders_tells_one_fingerprint_from_another() {
        let full = || AcmeOptions {
            email: Some("ops@example.com".into()),
            eab: Some(ExternalAccount {
                key_id: "kid".into(),
                hmac_key: "c2VjcmV0".into(),
            }),
            dns: Some(DnsOptions {
                means: DnsMeans::Update {
                    server: "ns.example:53".into(),
                    key: Some(SharedKey::parse("update", "hmac-sha256", "c2VjcmV0").unwrap()),
                },
                propagation_timeout: Duration::from_secs(60),
                resolvers: Vec::new(),
            }),
            ..AcmeOptions::new("https://ca.example/")
        };
        let changed = |change: fn(&mut AcmeOptions)| {
            let mut options = full();
            change(&mut options);
            options.fingerprint() != full().fingerprint()
        };
        assert!(!changed(|_| {}));
        assert!(changed(|o| o.directory.push('x')));
        assert!(changed(|o| o.email = None));
        assert!(changed(|o| o.ca_pem = Some("PEM".into())));
        assert!(changed(|o| o.challenge = ChallengeChoice::Dns01));
        assert!(changed(|o| o.eab = None));
        assert!(changed(|o| o.eab.as_mut().unwrap().hmac_key.push('A')));
        assert!(changed(|o| o.eab.as_mut().unwrap().key_id.push('A')));
        assert!(changed(|o| o.dns = None));
        assert!(changed(|o| {
            let means = &mut o.dns.as_mut().unwrap().means;
            let DnsMeans::Update { key: Some(key), .. } = means else {
                panic!("it has a key");
            };
            key.secret.push(1);
        }));
        assert!(!changed(|o| {
            o.on_demand = Some(OnDemand {
                allow: Vec::new(),
                ask: None,
                issues_per_hour_max: 1,
            });
        }));
    }
}
