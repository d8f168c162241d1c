//! How handshakes end that come to nothing.

use crate::sni::NotHello;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why a client's handshake came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HandshakeFault {
    /// Too many handshakes were unfinished.
    Busy,
    /// It took too long; told by whoever keeps the time.
    Timeout,
    /// The client left in the middle of it.
    ClientClosed,
    /// The client spoke cleartext HTTP, and was told so.
    CleartextHttp,
    /// The client spoke something else than TLS.
    NotTls,
    /// The client broke the protocol.
    Malformed,
    /// The client knows no protocol version that is accepted here.
    ProtocolVersion,
    /// Client and gateway have no cipher suite, key exchange or signature in common.
    NoSharedCipher,
    /// Client and gateway have no application protocol in common.
    NoSharedProtocol,
    /// No certificate is valid for the name that the client asked for, or it asked for none.
    UnknownName,
    /// The client showed no certificate where one is required.
    ClientCertificateMissing,
    /// The client's certificate comes from nobody who is trusted for this name.
    ClientCertificateUnknown,
    /// The client's certificate is over, or not valid yet.
    ClientCertificateExpired,
    /// The client's certificate has been revoked.
    ClientCertificateRevoked,
    /// Whether the client's certificate has been revoked is not known: no list speaks for it, or the list's time is over.
    ClientCertificateUnlisted,
    /// The client's certificate or its signature is wrong otherwise.
    ClientCertificateInvalid,
    /// The client refused, most often because it does not trust the certificate.
    ClientRefused,
    /// Not a fault: the client was a certificate authority's, and saw the answer to its challenge.
    ChallengeAnswered,
    /// The gateway itself failed.
    Internal,
}

impl HandshakeFault {
    /// All of them, in the order of [`HandshakeFault::index`].
    pub const ALL: [HandshakeFault; 19] = [
        HandshakeFault::Busy,
        HandshakeFault::Timeout,
        HandshakeFault::ClientClosed,
        HandshakeFault::CleartextHttp,
        HandshakeFault::NotTls,
        HandshakeFault::Malformed,
        HandshakeFault::ProtocolVersion,
        HandshakeFault::NoSharedCipher,
        HandshakeFault::NoSharedProtocol,
        HandshakeFault::UnknownName,
        HandshakeFault::ClientCertificateMissing,
        HandshakeFault::ClientCertificateUnknown,
        HandshakeFault::ClientCertificateExpired,
        HandshakeFault::ClientCertificateRevoked,
        HandshakeFault::ClientCertificateUnlisted,
        HandshakeFault::ClientCertificateInvalid,
        HandshakeFault::ClientRefused,
        HandshakeFault::ChallengeAnswered,
        HandshakeFault::Internal,
    ];

    /// Whether the client is told of it before the connection ends, most often by an alert.
    pub(crate) const fn is_told(self) -> bool {
        !matches!(
            self,
            HandshakeFault::Busy
                | HandshakeFault::Timeout
                | HandshakeFault::ClientClosed
                | HandshakeFault::NotTls
                | HandshakeFault::ClientRefused
                | HandshakeFault::Internal
        )
    }

    /// Its place in [`HandshakeFault::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The stable name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            HandshakeFault::Busy => "busy",
            HandshakeFault::Timeout => "timeout",
            HandshakeFault::ClientClosed => "client-closed",
            HandshakeFault::CleartextHttp => "cleartext-http",
            HandshakeFault::NotTls => "not-tls",
            HandshakeFault::Malformed => "malformed",
            HandshakeFault::ProtocolVersion => "protocol-version",
            HandshakeFault::NoSharedCipher => "no-shared-cipher",
            HandshakeFault::NoSharedProtocol => "no-shared-protocol",
            HandshakeFault::UnknownName => "unknown-name",
            HandshakeFault::ClientCertificateMissing => "client-certificate-missing",
            HandshakeFault::ClientCertificateUnknown => "client-certificate-unknown",
            HandshakeFault::ClientCertificateExpired => "client-certificate-expired",
            HandshakeFault::ClientCertificateRevoked => "client-certificate-revoked",
            HandshakeFault::ClientCertificateUnlisted => "client-certificate-unlisted",
            HandshakeFault::ClientCertificateInvalid => "client-certificate-invalid",
            HandshakeFault::ClientRefused => "client-refused",
            HandshakeFault::ChallengeAnswered => "challenge-answered",
            HandshakeFault::Internal => "internal",
        }
    }
}

impl From<NotHello> for HandshakeFault {
    fn from(not: NotHello) -> HandshakeFault {
        match not {
            NotHello::Http => HandshakeFault::CleartextHttp,
            NotHello::Foreign => HandshakeFault::NotTls,
            NotHello::Malformed | NotHello::TooLong => HandshakeFault::Malformed,
        }
    }
}

impl From<&Error> for HandshakeFault {
    fn from(error: &Error) -> HandshakeFault {
        match error {
            Error::PeerIncompatible(incompatible) => match incompatible {
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired => {
                    HandshakeFault::ProtocolVersion
                }
                _ => HandshakeFault::NoSharedCipher,
            },
            Error::NoApplicationProtocol => HandshakeFault::NoSharedProtocol,
            Error::NoCertificatesPresented => HandshakeFault::ClientCertificateMissing,
            Error::InvalidCertificate(error) => certificate_fault(error),
            // A list that its authority did not sign, or that makes no sense, speaks for nobody.
            Error::InvalidCertRevocationList(_) => HandshakeFault::ClientCertificateUnlisted,
            Error::AlertReceived(
                AlertDescription::CloseNotify | AlertDescription::UserCanceled,
            ) => HandshakeFault::ClientClosed,
            Error::AlertReceived(_) => HandshakeFault::ClientRefused,
            Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes | Error::General(_) => {
                HandshakeFault::Internal
            }
            _ => HandshakeFault::Malformed,
        }
    }
}

fn certificate_fault(error: &CertificateError) -> HandshakeFault {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => HandshakeFault::ClientCertificateExpired,
        CertificateError::Revoked => HandshakeFault::ClientCertificateRevoked,
        CertificateError::UnknownIssuer => HandshakeFault::ClientCertificateUnknown,
        // Of a list whose time is over nobody knows what it would say.
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            HandshakeFault::ClientCertificateUnlisted
        }
        _ => HandshakeFault::ClientCertificateInvalid,
    }
}

/// A fatal alert of the peer on a connection whose handshake is done, by its number: what a read fails with. In TLS 1.3 a
/// server that wants another certificate of ours says so only then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerAlert(pub u8);

impl PeerAlert {
    /// The alert that a read failed with, if it was one.
    pub fn of(error: &std::io::Error) -> Option<PeerAlert> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl std::fmt::Display for PeerAlert {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the peer sent the TLS alert {}", self.0)
    }
}

impl std::error::Error for PeerAlert {}

/// Why a backend's handshake came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BackendTlsFault {
    /// The backend left in the middle of it, or what it sent is no TLS.
    NotTls,
    /// The backend's certificate comes from nobody who is trusted.
    UnknownIssuer,
    /// The backend's certificate is for another name.
    WrongName,
    /// The backend's certificate is over, or not valid yet.
    Expired,
    /// The backend's certificate or its signature is wrong otherwise.
    Invalid,
    /// The backend refused: most often it wants a certificate or another name of ours.
    Refused,
    /// No version, cipher or protocol in common.
    Incompatible,
    /// What the endpoint is called can't be asked for, so set a `server_name`.
    NoName,
    /// The connection broke.
    Broken,
}

impl BackendTlsFault {
    /// The stable name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            BackendTlsFault::NotTls => "tls-not-spoken",
            BackendTlsFault::UnknownIssuer => "tls-unknown-issuer",
            BackendTlsFault::WrongName => "tls-wrong-name",
            BackendTlsFault::Expired => "tls-expired",
            BackendTlsFault::Invalid => "tls-invalid-certificate",
            BackendTlsFault::Refused => "tls-refused",
            BackendTlsFault::Incompatible => "tls-incompatible",
            BackendTlsFault::NoName => "tls-no-name",
            BackendTlsFault::Broken => "tls-broken",
        }
    }
}

impl From<&Error> for BackendTlsFault {
    fn from(error: &Error) -> BackendTlsFault {
        match error {
            Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => BackendTlsFault::UnknownIssuer,
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => BackendTlsFault::WrongName,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => BackendTlsFault::Expired,
                _ => BackendTlsFault::Invalid,
            },
            Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | Error::NoApplicationProtocol
            | Error::PeerIncompatible(_)
            | Error::AlertReceived(AlertDescription::ProtocolVersion) => {
                BackendTlsFault::Incompatible
            }
            Error::AlertReceived(_) => BackendTlsFault::Refused,
            _ => BackendTlsFault::NotTls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_telemetry::metrics::{CIPHERS, HANDSHAKES};

    #[test]
    fn a_list_that_cannot_be_believed_is_not_the_clients_fault() {
        use rustls::CertRevocationListError::BadSignature;
        let error = Error::InvalidCertRevocationList(BadSignature);
        assert_eq!(
            HandshakeFault::from(&error),
            HandshakeFault::ClientCertificateUnlisted
        );
    }

    #[test]
    fn metrics_know_every_fault_and_every_cipher() {
        let names: Vec<_> = HandshakeFault::ALL
            .iter()
            .map(|fault| fault.name())
            .collect();
        assert_eq!(HANDSHAKES[1..], names);
        for (number, fault) in HandshakeFault::ALL.iter().enumerate() {
            assert_eq!(fault.index(), number);
        }
        for suite in &crate::profile::provider().cipher_suites {
            let name = crate::profile::suite_name(suite.suite());
            assert!(CIPHERS.iter().any(|(_, other)| *other == name), "{name}");
        }
        assert_eq!(
            CIPHERS.len(),
            crate::profile::provider().cipher_suites.len()
        );
    }
}
