//! What an authority says about revocation (OCSP), as far as a server that shows it looks: nobody has signed it.

use super::Issued;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rcgen::date_time_ymd;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;
use x509_parser::parse_x509_certificate;

/// An element of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut element = vec![tag];
    match length {
        0..=0x7f => element.push(length as u8),
        0x80..=0xff => element.extend([0x81, length as u8]),
        _ => element.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    element.extend(content);
    element
}

fn time(seconds: i64) -> Vec<u8> {
    let since_1970 = Duration::from_secs(u64::try_from(seconds).expect("after 1970"));
    let at = date_time_ymd(1970, 1, 1) + since_1970;
    let (month, [hour, minute, second]) =
        (u8::from(at.month()), [at.hour(), at.minute(), at.second()]);
    let (year, day) = (at.year(), at.day());
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    der(0x18, text.as_bytes())
}

impl Issued {
    fn issuer_name_hash(&self) -> Vec<u8> {
        let der = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .expect("a certificate of its own making");
        let (_, certificate) =
            parse_x509_certificate(&der).expect("a certificate of its own making");
        let name = certificate.issuer().as_raw();
        digest(&SHA1_FOR_LEGACY_USE_ONLY, name).as_ref().to_vec()
    }

    /// A response (DER) that says that it is not revoked; it counts from one time to another, in seconds since 1970.
    pub fn statement(&self, this_update: i64, next_update: i64) -> Vec<u8> {
        let bytes = self.serial.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let mut serial = bytes[zeros.min(7)..].to_vec();
        if serial[0] >= 0x80 {
            serial.insert(0, 0);
        }
        let sha1 = der(0x30, &der(0x06, &[0x2b, 0x0e, 0x03, 0x02, 0x1a]));
        let hash = der(0x04, &[7; 20]);
        let issuer = der(0x04, &self.issuer_name_hash());
        let of = der(
            0x30,
            &[sha1, issuer, hash.clone(), der(0x02, &serial)].concat(),
        );
        let until = der(0xa0, &time(next_update));
        let single = der(
            0x30,
            &[of, der(0x80, &[]), time(this_update), until].concat(),
        );
        let by = der(0xa2, &hash);
        let data = der(0x30, &[by, time(this_update), der(0x30, &single)].concat());
        let ecdsa = der(
            0x30,
            &der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]),
        );
        let signature = der(0x03, &[0; 65]);
        let basic = der(0x30, &[data, ecdsa, signature].concat());
        let kind = der(0x06, &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]);
        let bytes = der(0x30, &[kind, der(0x04, &basic)].concat());
        der(0x30, &[der(0x0a, &[0]), der(0xa0, &bytes)].concat())
    }
}
