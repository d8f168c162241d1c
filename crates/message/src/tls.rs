//! What a TLS handshake tells about a connection.

/// A protocol version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl TlsVersion {
    /// As logs and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        }
    }
}

/// A client's certificate that was verified against the trust settings of the name it asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// Its subject, as RFC 4514 writes distinguished names. Visible ASCII and spaces only: anything else is escaped, so
    /// that it can stand in a field.
    pub subject: Box<str>,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
}

impl ClientCertificate {
    /// The fingerprint in lower-case hexadecimal digits.
    pub fn fingerprint_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.fingerprint
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from(DIGITS[usize::from(digit)]))
            .collect()
    }
}

/// What the handshake of a connection settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFacts {
    /// The name that the client asked for (RFC 6066 §3), in lower case; `None` when it named nobody.
    pub server_name: Option<Box<str>>,
    /// The protocol version.
    pub version: TlsVersion,
    /// The cipher suite's registered name.
    pub cipher: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// Whether what is being read came as early data, which anyone can replay (RFC 8470).
    pub early: bool,
    /// The number of the trust settings that the handshake was held under: the same for all names that ask the same of
    /// client certificates. A request for a host with another number is misdirected (RFC 9110 §15.5.20).
    pub trust: u32,
    /// The client's certificate, if it showed one.
    pub client: Option<Box<ClientCertificate>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_written_in_hexadecimal() {
        let mut fingerprint = [0; 32];
        fingerprint[0] = 0x0f;
        fingerprint[31] = 0xa0;
        let certificate = ClientCertificate {
            subject: "CN=somebody".into(),
            fingerprint,
        };
        let hex = certificate.fingerprint_hex();
        assert_eq!(hex.len(), 64);
        assert!(hex.starts_with("0f00") && hex.ends_with("00a0"));
    }
}
