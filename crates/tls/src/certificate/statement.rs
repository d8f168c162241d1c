//! What an issuer says about revocation, as a file holds it (an OCSP response, RFC 6960). It is read to know whether
//! showing it does any good; clients verify who signed it.

use aws_lc_rs::digest;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const TIME: u8 = 0x18;
/// Parts that are told apart by their place: `[0]` and the like, constructed or not.
const PART_0: u8 = 0xa0;
const PART_1: u8 = 0xa1;
const PART_2: u8 = 0xa2;
const GOOD: u8 = 0x80;

/// `id-pkix-ocsp-basic` (RFC 6960 §4.2.1), the only form there is.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// When a certificate is said not to be revoked, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statement {
    /// From when on that is known to be right.
    pub this_update: i64,
    /// When there is newer information.
    pub next_update: i64,
}

/// `id-sha1` and `id-sha256`: what issuers' names are hashed with.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

/// Which certificate a statement is to be about: serial numbers are an issuer's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'c> {
    /// Its serial number, as it stands in the certificate.
    pub serial: &'c [u8],
    /// Its issuer's name, as it stands in the certificate (DER).
    pub issuer: &'c [u8],
}

impl About<'_> {
    /// Whether a `CertID` (RFC 6960 §4.1.1) is of this certificate. By other hashes the serial number has to do.
    fn is(&self, of: &CertId<'_>) -> bool {
        let algorithm = match of.algorithm {
            SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            SHA256 => &digest::SHA256,
            _ => return of.serial == self.serial,
        };
        of.serial == self.serial
            && digest::digest(algorithm, self.issuer).as_ref() == of.issuer_name_hash
    }
}

/// Which certificate a single response is about.
struct CertId<'r> {
    algorithm: &'r [u8],
    issuer_name_hash: &'r [u8],
    serial: &'r [u8],
}

/// What a response says about a certificate.
///
/// # Errors
/// Why it is of no use for that certificate.
pub fn read_statement(response: &[u8], about: About<'_>) -> Result<Statement, &'static str> {
    const MALFORMED: &str = "it is no OCSP response (DER)";
    let mut response = Der(response);
    let mut outer = response.inside(SEQUENCE).ok_or(MALFORMED)?;
    if !response.is_empty() {
        return Err(MALFORMED);
    }
    if outer.take(ENUMERATED).ok_or(MALFORMED)? != [0] {
        return Err("whoever was asked did not answer: its status is not `successful`");
    }
    let mut bytes = outer
        .inside(PART_0)
        .and_then(|mut part| part.inside(SEQUENCE));
    let bytes = bytes.as_mut().ok_or(MALFORMED)?;
    if bytes.take(OBJECT).ok_or(MALFORMED)? != BASIC {
        return Err(MALFORMED);
    }
    let basic = bytes.take(OCTETS).ok_or(MALFORMED)?;
    let data = Der(basic).inside(SEQUENCE).and_then(|mut basic| {
        let data = basic.inside(SEQUENCE)?;
        // The signature and how it was made.
        basic.take(SEQUENCE).map(|_| data)
    });
    let mut single = responses(data.ok_or(MALFORMED)?).ok_or(MALFORMED)?;
    while !single.is_empty() {
        let (of, statement) = one(&mut single).ok_or(MALFORMED)?;
        if about.is(&of) {
            return statement;
        }
    }
    Err("it is about another certificate")
}

/// The list of single responses in the signed part (RFC 6960 §4.2.1, `ResponseData`).
fn responses(mut data: Der<'_>) -> Option<Der<'_>> {
    data.skip_if(PART_0);
    // By name, or by the hash of its key.
    if !data.skip_if(PART_1) {
        data.take(PART_2)?;
    }
    data.take(TIME)?;
    data.inside(SEQUENCE)
}

/// What a single response is about, and what it says.
fn one<'r>(list: &mut Der<'r>) -> Option<(CertId<'r>, Result<Statement, &'static str>)> {
    let mut single = list.inside(SEQUENCE)?;
    let mut of = single.inside(SEQUENCE)?;
    let algorithm = of.inside(SEQUENCE)?.take(OBJECT)?;
    let issuer_name_hash = of.take(OCTETS)?;
    // Of the issuer's key.
    of.take(OCTETS)?;
    let of = CertId {
        algorithm,
        issuer_name_hash,
        serial: of.take(INTEGER)?,
    };
    let (status, _) = single.next()?;
    let this_update = seconds(single.take(TIME)?)?;
    let next_update = match single.inside(PART_0) {
        Some(mut part) => Some(seconds(part.take(TIME)?)?),
        None => None,
    };
    let statement = match (status, next_update) {
        (GOOD, Some(next_update)) => Ok(Statement {
            this_update,
            next_update,
        }),
        (GOOD, None) => Err("it does not say until when it counts (nextUpdate)"),
        _ => Err("it does not say that the certificate is good"),
    };
    Some((of, statement))
}

/// What of a DER text has not been read yet.
#[derive(Clone, Copy)]
struct Der<'t>(&'t [u8]);

impl<'t> Der<'t> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag and the content of the next element. Tags of several bytes and lengths beyond 16 MiB stand nowhere in a
    /// response.
    fn next(&mut self) -> Option<(u8, &'t [u8])> {
        let [tag, first, rest @ ..] = self.0 else {
            return None;
        };
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                let add = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
                (bytes.iter().fold(0, add), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// The content of the next element, if it is one of these.
    fn take(&mut self, tag: u8) -> Option<&'t [u8]> {
        let mut after = *self;
        let (found, content) = after.next()?;
        (found == tag).then(|| {
            *self = after;
            content
        })
    }

    fn inside(&mut self, tag: u8) -> Option<Der<'t>> {
        self.take(tag).map(Der)
    }

    fn skip_if(&mut self, tag: u8) -> bool {
        self.take(tag).is_some()
    }
}

/// Seconds since 1970 of `YYYYMMDDHHMMSSZ`, the form that RFC 5280 §4.1.2.5.2 allows.
fn seconds(text: &[u8]) -> Option<i64> {
    let digits = text
        .strip_suffix(b"Z")
        .filter(|digits| digits.len() == 14)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let add = |sum: i64, digit: &u8| sum * 10 + i64::from(digit - b'0');
        digits[from..to].iter().fold(0, add)
    };
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years begin in March, so that the day that some of them have more is their last one.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// What was given for a certificate, to be shown with it (RFC 6066 §8).
#[derive(Clone, Debug)]
pub(super) enum Staple {
    /// Never shown.
    Useless(&'static str),
    /// Shown while it counts.
    Timed(Statement, Arc<CertifiedKey>),
}

impl PartialEq for Staple {
    fn eq(&self, other: &Staple) -> bool {
        match (self, other) {
            (Staple::Useless(why), Staple::Useless(other)) => why == other,
            (Staple::Timed(_, with), Staple::Timed(_, other)) => with.ocsp == other.ocsp,
            _ => false,
        }
    }
}

impl Staple {
    pub(super) fn new(response: Vec<u8>, about: About<'_>, certified: &CertifiedKey) -> Staple {
        match read_statement(&response, about) {
            Ok(statement) => {
                let mut with = certified.clone();
                with.ocsp = Some(response);
                Staple::Timed(statement, Arc::new(with))
            }
            Err(why) => Staple::Useless(why),
        }
    }

    /// The certificate with what counts at this time.
    pub(super) fn at(&self, now_unix: i64) -> Option<&Arc<CertifiedKey>> {
        match self {
            Staple::Timed(statement, with) if statement.counts(now_unix) => Some(with),
            _ => None,
        }
    }
}

impl Statement {
    /// Whether it counts at a time.
    pub fn counts(&self, now_unix: i64) -> bool {
        (self.this_update..self.next_update).contains(&now_unix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_testkit::Authority;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const Y2026: i64 = 1_767_225_600;
    const DAY: i64 = 86_400;

    /// Serial number and issuer.
    fn names(issued: &foregate_testkit::Issued) -> [Vec<u8>; 2] {
        let loaded = super::super::load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
        let loaded = loaded.unwrap();
        let leaf = super::super::parse(&loaded.chain()[0]).unwrap();
        [leaf.raw_serial(), leaf.issuer().as_raw()].map(<[u8]>::to_vec)
    }

    fn about([serial, issuer]: &[Vec<u8>; 2]) -> About<'_> {
        About { serial, issuer }
    }

    #[test]
    fn the_same_number_of_another_issuer_is_another_certificate() {
        let one = Authority::new("Root").issue(&["a.test"]);
        let [serial, _] = names(&one);
        let [_, issuer] = names(&Authority::new("Other").issue(&["a.test"]));
        let said = one.statement(Y2026, Y2026 + DAY);
        let why = read_statement(&said, about(&[serial, issuer])).unwrap_err();
        assert!(why.contains("another certificate"), "{why}");
    }

    #[test]
    fn what_is_said_about_the_very_certificate_is_found() {
        let root = Authority::new("Root");
        let (one, other) = (root.issue(&["a.test"]), root.issue(&["b.test"]));
        let said = one.statement(Y2026, Y2026 + 7 * DAY);
        let [one_is, other_is] = [&one, &other].map(names);
        let statement = read_statement(&said, about(&one_is)).unwrap();
        assert_eq!(statement.this_update, Y2026);
        assert_eq!(statement.next_update, Y2026 + 7 * DAY);
        assert!(!statement.counts(Y2026 - 1) && statement.counts(Y2026));
        assert!(!statement.counts(Y2026 + 7 * DAY));
        let why = read_statement(&said, about(&other_is)).unwrap_err();
        assert!(why.contains("another certificate"), "{why}");
        for cut in 0..said.len() {
            assert!(
                read_statement(&said[..cut], about(&one_is)).is_err(),
                "{cut}"
            );
        }
        let try_later = [SEQUENCE, 3, ENUMERATED, 1, 3];
        let why = read_statement(&try_later, about(&one_is)).unwrap_err();
        assert!(why.contains("successful"), "{why}");
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        };
        check("19700101000000Z", Some(0));
        check("20240229120000Z", Some(1_709_208_000));
        check("20260101000000Z", Some(Y2026));
        check("19691231235959Z", Some(-1));
        check("20260101000000", None);
        check("20261301000000Z", None);
        check("20260101000000.5Z", None);
        check("2026010100000\u{e9}", None);
    }

    static SAID: LazyLock<Vec<u8>> =
        LazyLock::new(|| Authority::new("Root").issue(&["a.test"]).statement(0, DAY));

    proptest! {
        #[test]
        fn bytes_of_whatever_kind_are_read_without_harm(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            byte: u8,
        ) {
            prop_assert!(read_statement(&bytes, About::default()).is_err());
            let mut said = SAID.clone();
            let at = at.index(said.len());
            said[at] = byte;
            let _ = read_statement(&said, About::default());
        }
    }
}
