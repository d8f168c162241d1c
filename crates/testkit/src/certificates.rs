//! Certificate authorities of a story's own, and what they issue.

mod statement;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, RsaKeySize, SerialNumber, date_time_ymd,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An authority that issues certificates. Valid from 2000 to 2100.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The intermediate certificates that stand between it and its root, its own first; empty for a root.
    path_pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate alone.
    pub certificate_pem: String,
    /// The certificate and what leads to the root, without the root.
    pub chain_pem: String,
    /// The key.
    pub key_pem: String,
    serial: u64,
}

/// What a certificate will say.
#[derive(Debug)]
pub struct Request<'a> {
    authority: &'a Authority,
    names: Vec<String>,
    common_name: String,
    years: (i32, i32),
    /// Instead of the years: so many days from yesterday on.
    days: Option<u64>,
    crl_uri: Option<String>,
    rsa: bool,
    client: bool,
}

fn usual_key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

fn rsa_key() -> KeyPair {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)
        .expect("a key can be made")
}

impl Authority {
    /// A root.
    pub fn new(name: &str) -> Authority {
        Self::with(name, usual_key())
    }

    /// A root with an RSA key.
    pub fn rsa(name: &str) -> Authority {
        Self::with(name, rsa_key())
    }

    fn with(name: &str, key: KeyPair) -> Authority {
        let issuer = CertifiedIssuer::self_signed(Self::params(name), key).expect("it signs");
        Authority {
            issuer,
            path_pem: String::new(),
        }
    }

    /// An intermediate authority below this one.
    pub fn below(&self, name: &str) -> Authority {
        let key = usual_key();
        let issuer = CertifiedIssuer::signed_by(Self::params(name), key, &self.issuer);
        let issuer = issuer.expect("it signs");
        let path_pem = format!("{}{}", issuer.pem(), self.path_pem);
        Authority { issuer, path_pem }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(next_serial()));
        params
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Begins a server's certificate for these names or addresses.
    pub fn request(&self, names: &[&str]) -> Request<'_> {
        Request {
            authority: self,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            common_name: names.first().copied().unwrap_or("nobody").to_owned(),
            years: (2000, 2090),
            days: None,
            crl_uri: None,
            rsa: false,
            client: false,
        }
    }

    /// A server's certificate with an ECDSA key for these names or addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.request(names).issue()
    }

    /// A client's certificate.
    pub fn issue_client(&self, common_name: &str) -> Issued {
        let mut request = self.request(&[]);
        request.client = true;
        request.common_name = common_name.to_owned();
        request.issue()
    }

    /// The list of those certificates that it has revoked, as PEM.
    pub fn revocations(&self, revoked: &[&Issued]) -> String {
        self.revocations_until(revoked, 2090)
    }

    /// The same, to be followed by another list on the first day of a year.
    pub fn revocations_until(&self, revoked: &[&Issued], year: i32) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|issued| RevokedCertParams {
                    serial_number: SerialNumber::from(issued.serial),
                    revocation_time: date_time_ymd(2020, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("it signs");
        list.pem().expect("a list can be written as PEM")
    }
}

impl Request<'_> {
    /// With a key that every old client knows.
    #[must_use]
    pub fn rsa(mut self) -> Self {
        self.rsa = true;
        self
    }

    /// Valid from the first day of one year to the first day of another.
    #[must_use]
    pub fn valid(mut self, from: i32, to: i32) -> Self {
        self.years = (from, to);
        self
    }

    /// Valid from yesterday on, as public authorities issue them.
    #[must_use]
    pub fn days(mut self, days: u64) -> Self {
        self.days = Some(days);
        self
    }

    /// Says where the list of those is that were revoked.
    #[must_use]
    pub fn crl(mut self, uri: &str) -> Self {
        self.crl_uri = Some(uri.to_owned());
        self
    }

    /// Signs it.
    pub fn issue(self) -> Issued {
        let key = if self.rsa { rsa_key() } else { usual_key() };
        let serial = next_serial();
        let mut params = CertificateParams::new(self.names).expect("the names are names");
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        if let Some(days) = self.days {
            let day = Duration::from_secs(86_400);
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = date_time_ymd(1970, 1, 1) + since_1970.expect("it is later than 1970");
            params.not_before = now - day;
            params.not_after = now + day * u32::try_from(days).unwrap_or(u32::MAX);
        }
        let lists = self.crl_uri.into_iter();
        params.crl_distribution_points = lists
            .map(|uri| CrlDistributionPoint { uris: vec![uri] })
            .collect();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, self.common_name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![if self.client {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        }];
        let certificate = params.signed_by(&key, &self.authority.issuer);
        let certificate_pem = certificate.expect("it signs").pem();
        Issued {
            chain_pem: format!("{certificate_pem}{}", self.authority.path_pem),
            certificate_pem,
            key_pem: key.serialize_pem(),
            serial,
        }
    }
}

fn next_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
