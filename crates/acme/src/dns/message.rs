//! DNS messages (RFC 1035 §4), updates (RFC 2136) and their signatures (RFC 8945): bytes in, bytes out.

use std::net::IpAddr;

use aws_lc_rs::hmac;

/// Record types: an IPv4 address.
pub const A: u16 = 1;
/// An IPv6 address.
pub const AAAA: u16 = 28;
/// Another name.
pub const CNAME: u16 = 5;
/// Start of authority.
pub const SOA: u16 = 6;
/// Name server.
pub const NS: u16 = 2;
/// Text.
pub const TXT: u16 = 16;
const TSIG: u16 = 250;

const CLASS_IN: u16 = 1;
const CLASS_NONE: u16 = 254;
const CLASS_ANY: u16 = 255;

/// Records of an answer that are looked at.
const RECORDS_MAX: usize = 512;
/// Seconds that two clocks may be apart (RFC 8945 §5.2.3 recommends 300).
const FUDGE_SECONDS: u16 = 300;

/// Why bytes are no DNS message, or a name is no DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A name in wire form, lower case, uncompressed.
pub fn name_bytes(name: &str) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    let name = name.strip_suffix('.').unwrap_or(name);
    for label in name.split('.').filter(|_| !name.is_empty()) {
        if label.is_empty() || label.len() > 63 || !label.is_ascii() {
            return Err(Malformed);
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
    }
    bytes.push(0);
    match bytes.len() <= 255 {
        true => Ok(bytes),
        false => Err(Malformed),
    }
}

/// TXT data: one character string after the other, 255 bytes each.
fn txt_data(value: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(value.len() + 1);
    for chunk in value.as_bytes().chunks(255) {
        data.push(chunk.len() as u8);
        data.extend_from_slice(chunk);
    }
    data
}

fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    for word in [id, flags].into_iter().chain(counts) {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// A question.
pub fn query(id: u16, name: &str, kind: u16, recursion: bool) -> Result<Vec<u8>, Malformed> {
    let mut bytes = header(id, u16::from(recursion) << 8, [1, 0, 0, 0]);
    bytes.extend(name_bytes(name)?);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
    Ok(bytes)
}

/// A change of one TXT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Adds it beside those that are there (RFC 2136 §2.5.1).
    Add {
        /// Its value.
        value: &'a str,
        /// How long it may be cached.
        ttl_seconds: u32,
    },
    /// Removes this one alone (RFC 2136 §2.5.4).
    Remove {
        /// Its value.
        value: &'a str,
    },
}

/// An update of a zone, unsigned.
pub fn update(id: u16, zone: &str, name: &str, change: Change<'_>) -> Result<Vec<u8>, Malformed> {
    const OPCODE_UPDATE: u16 = 5 << 11;
    let mut bytes = header(id, OPCODE_UPDATE, [1, 0, 1, 0]);
    bytes.extend(name_bytes(zone)?);
    bytes.extend_from_slice(&SOA.to_be_bytes());
    bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
    let (class, ttl, value) = match change {
        Change::Add { value, ttl_seconds } => (CLASS_IN, ttl_seconds, value),
        Change::Remove { value } => (CLASS_NONE, 0, value),
    };
    let data = txt_data(value);
    bytes.extend(name_bytes(name)?);
    bytes.extend_from_slice(&TXT.to_be_bytes());
    bytes.extend_from_slice(&class.to_be_bytes());
    bytes.extend_from_slice(&ttl.to_be_bytes());
    bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&data);
    Ok(bytes)
}

/// How updates are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `hmac-sha256`.
    HmacSha256,
    /// `hmac-sha384`.
    HmacSha384,
    /// `hmac-sha512`.
    HmacSha512,
}

impl Algorithm {
    /// The algorithm of a name, with or without a dot at its end.
    #[must_use]
    pub fn parse(name: &str) -> Option<Algorithm> {
        match name.trim_end_matches('.').to_ascii_lowercase().as_str() {
            "hmac-sha256" => Some(Algorithm::HmacSha256),
            "hmac-sha384" => Some(Algorithm::HmacSha384),
            "hmac-sha512" => Some(Algorithm::HmacSha512),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Algorithm::HmacSha256 => "hmac-sha256",
            Algorithm::HmacSha384 => "hmac-sha384",
            Algorithm::HmacSha512 => "hmac-sha512",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Algorithm::HmacSha256 => hmac::HMAC_SHA256,
            Algorithm::HmacSha384 => hmac::HMAC_SHA384,
            Algorithm::HmacSha512 => hmac::HMAC_SHA512,
        }
    }
}

/// A key that server and we share.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey {
    /// Its name.
    pub name: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its bytes.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedKey")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl SharedKey {
    /// A key as name servers' configurations write it: the secret in base64.
    ///
    /// # Errors
    /// When the algorithm is not known, the secret is not base64, or the name is no DNS name.
    pub fn parse(name: &str, algorithm: &str, secret: &str) -> Result<SharedKey, String> {
        use base64::prelude::{BASE64_STANDARD, Engine};
        name_bytes(name).map_err(|_| format!("`{name}` is no name of a key"))?;
        let algorithm = Algorithm::parse(algorithm).ok_or_else(|| {
            format!("`{algorithm}` is not known; there are hmac-sha256, hmac-sha384, hmac-sha512")
        })?;
        let secret = BASE64_STANDARD
            .decode(secret.trim())
            .map_err(|error| format!("the secret of {name} is not base64: {error}"))?;
        Ok(SharedKey {
            name: name.to_owned(),
            algorithm,
            secret,
        })
    }

    /// What the signature covers beside the message (RFC 8945 §4.3.3).
    fn variables(&self, signed_at: &[u8], error: u16, other: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut bytes = name_bytes(&self.name)?;
        bytes.extend_from_slice(&CLASS_ANY.to_be_bytes());
        bytes.extend_from_slice(&0u32.to_be_bytes());
        bytes.extend(name_bytes(self.algorithm.name())?);
        bytes.extend_from_slice(signed_at);
        bytes.extend_from_slice(&error.to_be_bytes());
        bytes.extend_from_slice(&(other.len() as u16).to_be_bytes());
        bytes.extend_from_slice(other);
        Ok(bytes)
    }

    /// Signs a message; returns it with the TSIG record at its end, and the signature.
    pub fn sign(&self, message: &[u8], unix_seconds: u64) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
        let mut signed_at = unix_seconds.to_be_bytes()[2..].to_vec();
        signed_at.extend_from_slice(&FUDGE_SECONDS.to_be_bytes());
        let key = hmac::Key::new(self.algorithm.hmac(), &self.secret);
        let variables = self.variables(&signed_at, 0, &[])?;
        let mac = hmac::sign(&key, &[message, &variables].concat());

        let mut data = name_bytes(self.algorithm.name())?;
        data.extend_from_slice(&signed_at);
        data.extend_from_slice(&(mac.as_ref().len() as u16).to_be_bytes());
        data.extend_from_slice(mac.as_ref());
        data.extend_from_slice(message.get(..2).ok_or(Malformed)?);
        data.extend_from_slice(&[0; 4]);

        let mut signed = message.to_vec();
        let additional = u16::from_be_bytes([signed[10], signed[11]]) + 1;
        signed[10..12].copy_from_slice(&additional.to_be_bytes());
        signed.extend(name_bytes(&self.name)?);
        signed.extend_from_slice(&TSIG.to_be_bytes());
        signed.extend_from_slice(&CLASS_ANY.to_be_bytes());
        signed.extend_from_slice(&[0; 4]);
        signed.extend_from_slice(&(data.len() as u16).to_be_bytes());
        signed.extend_from_slice(&data);
        Ok((signed, mac.as_ref().to_vec()))
    }

    /// Whether an answer carries the signature of who knows the key, over the request's (RFC 8945 §5.3).
    #[must_use]
    pub fn verifies(&self, answer: &[u8], request_mac: &[u8], unix_seconds: u64) -> bool {
        self.check(answer, request_mac, unix_seconds).is_ok()
    }

    fn check(&self, answer: &[u8], request_mac: &[u8], unix_seconds: u64) -> Result<(), Malformed> {
        let parsed = Answer::parse(answer)?;
        let record = parsed.records.last().ok_or(Malformed)?;
        if record.kind != TSIG || record.name != name_bytes(&self.name)? {
            return Err(Malformed);
        }
        let mut at = record.data.start;
        let (algorithm, after) = read_name(answer, at)?;
        if algorithm != name_bytes(self.algorithm.name())? {
            return Err(Malformed);
        }
        at = after;
        let field = |at: usize, length: usize| answer.get(at..at + length).ok_or(Malformed);
        let signed_at = field(at, 8)?.to_vec();
        let mac_length = usize::from(word(answer, at + 8)?);
        let mac = field(at + 10, mac_length)?;
        at += 10 + mac_length;
        let (original_id, error) = (field(at, 2)?.to_vec(), word(answer, at + 2)?);
        let other_length = usize::from(word(answer, at + 4)?);
        let other = field(at + 6, other_length)?.to_vec();
        // Nothing may stand behind what the signature covers (RFC 8945 §5.1: TSIG is the last record).
        if record.data.end != at + 6 + other_length || record.data.end != answer.len() {
            return Err(Malformed);
        }

        let seconds = signed_at[..6]
            .iter()
            .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let fudge = u64::from(u16::from_be_bytes([signed_at[6], signed_at[7]]));
        if seconds.abs_diff(unix_seconds) > fudge {
            return Err(Malformed);
        }
        let mut message = answer.get(..record.start).ok_or(Malformed)?.to_vec();
        message[..2].copy_from_slice(&original_id);
        let additional = u16::from_be_bytes([message[10], message[11]]);
        let additional = additional.checked_sub(1).ok_or(Malformed)?;
        message[10..12].copy_from_slice(&additional.to_be_bytes());
        let mut covered = (request_mac.len() as u16).to_be_bytes().to_vec();
        covered.extend_from_slice(request_mac);
        covered.extend(message);
        covered.extend(self.variables(&signed_at, error, &other)?);
        let key = hmac::Key::new(self.algorithm.hmac(), &self.secret);
        hmac::verify(&key, &covered, mac).map_err(|_| Malformed)
    }
}

/// A record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is, in wire form, lower case.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: u16,
    /// Where its data stand in the message.
    pub data: std::ops::Range<usize>,
    /// Where it begins in the message.
    start: usize,
    /// 0 = answer, 1 = authority, 2 = additional.
    pub section: usize,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question's number.
    pub id: u16,
    /// Whether the sender answers for the zone itself.
    pub is_authoritative: bool,
    /// Whether it was cut.
    pub is_truncated: bool,
    /// RCODE (RFC 1035 §4.1.1, RFC 2136 §2.2).
    pub code: u8,
    /// All records, in order.
    pub records: Vec<Record>,
}

impl Answer {
    /// Parses an answer.
    pub fn parse(bytes: &[u8]) -> Result<Answer, Malformed> {
        let flags = word(bytes, 2)?;
        if flags & 0x8000 == 0 {
            return Err(Malformed);
        }
        let mut at = 12;
        for _ in 0..word(bytes, 4)? {
            at = read_name(bytes, at)?.1 + 4;
        }
        let mut records = Vec::new();
        for section in 0..3 {
            for _ in 0..word(bytes, 6 + 2 * section)? {
                if records.len() == RECORDS_MAX {
                    return Err(Malformed);
                }
                let start = at;
                let (name, after) = read_name(bytes, at)?;
                let kind = word(bytes, after)?;
                let length = usize::from(word(bytes, after + 8)?);
                let data = after + 10..after + 10 + length;
                bytes.get(data.clone()).ok_or(Malformed)?;
                at = data.end;
                records.push(Record {
                    name,
                    kind,
                    data,
                    start,
                    section,
                });
            }
        }
        Ok(Answer {
            id: word(bytes, 0)?,
            is_authoritative: flags & 0x0400 != 0,
            is_truncated: flags & 0x0200 != 0,
            code: (flags & 15) as u8,
            records,
        })
    }

    /// The values of the TXT records in the answer section, each one's strings joined.
    #[must_use]
    pub fn texts(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let is_text = |record: &&Record| record.section == 0 && record.kind == TXT;
        let join = |record: &Record| {
            let mut rest = &bytes[record.data.clone()];
            let mut text = Vec::new();
            while let Some((length, tail)) = rest.split_first() {
                let length = usize::from(*length).min(tail.len());
                text.extend_from_slice(&tail[..length]);
                rest = &tail[length..];
            }
            text
        };
        self.records.iter().filter(is_text).map(join).collect()
    }

    /// The addresses in the answer section.
    #[must_use]
    pub fn addresses(&self, bytes: &[u8]) -> Vec<IpAddr> {
        let address = |record: &Record| {
            let data = bytes.get(record.data.clone())?;
            match record.kind {
                A => <[u8; 4]>::try_from(data).map(IpAddr::from).ok(),
                AAAA => <[u8; 16]>::try_from(data).map(IpAddr::from).ok(),
                _ => None,
            }
        };
        let answers = self.records.iter().filter(|record| record.section == 0);
        answers.filter_map(address).collect()
    }

    /// The names that records of a kind in the answer section point to.
    #[must_use]
    pub fn targets(&self, bytes: &[u8], kind: u16) -> Vec<String> {
        self.records
            .iter()
            .filter(|record| record.section == 0 && record.kind == kind)
            .filter_map(|record| read_name(bytes, record.data.start).ok())
            .filter_map(|(name, _)| name_text(&name))
            .collect()
    }
}

/// A wire-form name as text; `None` when it is not plain ASCII.
#[must_use]
pub fn name_text(mut wire: &[u8]) -> Option<String> {
    let mut text = String::new();
    while let Some((length, rest)) = wire.split_first() {
        let length = usize::from(*length);
        if length == 0 {
            break;
        }
        let label = rest.get(..length)?;
        if !label.iter().all(|b| b.is_ascii_graphic() && *b != b'.') {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|b| char::from(*b)));
        wire = &rest[length..];
    }
    Some(text)
}

fn word(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    let pair = bytes.get(at..at + 2).ok_or(Malformed)?;
    Ok(u16::from_be_bytes([pair[0], pair[1]]))
}

/// A name, compressed or not, in lower case, and where the message goes on. Pointers lead backwards only, so they end.
fn read_name(bytes: &[u8], start: usize) -> Result<(Vec<u8>, usize), Malformed> {
    let (mut at, mut bound, mut after) = (start, start, None);
    let mut name = Vec::new();
    loop {
        let length = *bytes.get(at).ok_or(Malformed)?;
        match length {
            0 => {
                name.push(0);
                return Ok((name, after.unwrap_or(at + 1)));
            }
            1..=63 => {
                let end = at + 1 + usize::from(length);
                let label = bytes.get(at..end).ok_or(Malformed)?;
                name.push(length);
                name.extend(label[1..].iter().map(u8::to_ascii_lowercase));
                if name.len() > 254 {
                    return Err(Malformed);
                }
                at = end;
            }
            0xc0.. => {
                let target = usize::from(word(bytes, at)? & 0x3fff);
                after = after.or(Some(at + 2));
                if target >= bound {
                    return Err(Malformed);
                }
                (at, bound) = (target, target);
            }
            _ => return Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SharedKey {
        SharedKey {
            name: "Update.example.".into(),
            algorithm: Algorithm::HmacSha256,
            secret: vec![1; 32],
        }
    }

    /// An answer as a server would sign it.
    fn signed_answer(request_mac: &[u8], seconds: u64) -> Vec<u8> {
        let message = header(9, 0x8000 | 5 << 11, [0, 0, 0, 0]);
        let key = key();
        let mut signed_at = seconds.to_be_bytes()[2..].to_vec();
        signed_at.extend_from_slice(&300u16.to_be_bytes());
        let mut covered = (request_mac.len() as u16).to_be_bytes().to_vec();
        covered.extend_from_slice(request_mac);
        covered.extend_from_slice(&message);
        covered.extend(key.variables(&signed_at, 0, &[]).unwrap());
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key.secret), &covered);
        let (mut answer, own) = key.sign(&message, seconds).unwrap();
        let at = answer.windows(32).position(|w| w == own).unwrap();
        answer[at..at + 32].copy_from_slice(mac.as_ref());
        answer
    }

    #[test]
    fn names_are_bounded_and_lower_case() {
        assert_eq!(name_bytes("A.b.").unwrap(), b"\x01a\x01b\0");
        assert_eq!(name_bytes("").unwrap(), b"\0");
        assert_eq!(name_bytes("a..b"), Err(Malformed));
        assert_eq!(name_bytes(&"a".repeat(64)), Err(Malformed));
        assert_eq!(name_bytes(&"a.".repeat(128)), Err(Malformed));
    }

    #[test]
    fn long_texts_are_cut_into_strings() {
        let data = txt_data(&"x".repeat(300));
        assert_eq!((data[0], data[256], data.len()), (255, 45, 302));
    }

    #[test]
    fn answers_are_verified() {
        let answer = signed_answer(b"mac", 1_000);
        let key = key();
        assert!(key.verifies(&answer, b"mac", 1_100));
        assert!(!key.verifies(&answer, b"other", 1_100), "another request's");
        assert!(!key.verifies(&answer, b"mac", 2_000), "stale");
        let other = SharedKey {
            secret: vec![2; 32],
            ..key.clone()
        };
        assert!(!other.verifies(&answer, b"mac", 1_100), "another key");
        for at in 0..answer.len() {
            let mut forged = answer.clone();
            forged[at] ^= 1;
            let passes = key.verifies(&forged, b"mac", 1_000);
            assert!(!passes || is_uncovered(&answer, at), "byte {at}");
        }
    }

    /// Bytes that no signature covers: the number on the wire (RFC 8945 §5.3: the original one is), class and TTL of
    /// the TSIG record.
    fn is_uncovered(answer: &[u8], at: usize) -> bool {
        let parsed = Answer::parse(answer).unwrap();
        let record = parsed.records.last().unwrap();
        let fixed = record.data.start - 8..record.data.start - 2;
        at < 2 || fixed.contains(&at)
    }

    #[test]
    fn compressed_answers_are_read() {
        let mut bytes = header(7, 0x8400, [1, 2, 0, 0]);
        bytes.extend(name_bytes("t.example").unwrap());
        bytes.extend_from_slice(&[0, 16, 0, 1]);
        for text in ["one", "two"] {
            bytes.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 9, 0, 4, 3]);
            bytes.extend_from_slice(text.as_bytes());
        }
        let answer = Answer::parse(&bytes).unwrap();
        assert!(answer.is_authoritative);
        assert_eq!(answer.texts(&bytes), [b"one", b"two"]);
        assert_eq!(name_text(&answer.records[0].name).unwrap(), "t.example");
    }

    #[test]
    fn pointers_that_turn_in_circles_end() {
        for target in [12u8, 13] {
            let mut bytes = header(7, 0x8400, [0, 1, 0, 0]);
            bytes.extend_from_slice(&[0xc0, target, 0, 16, 0, 1, 0, 0, 0, 9, 0, 0]);
            assert_eq!(Answer::parse(&bytes), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(flags) = bytes.get_mut(2) {
                *flags |= 0x80;
            }
            if let Ok(answer) = Answer::parse(&bytes) {
                let _ = (answer.texts(&bytes), answer.targets(&bytes, NS));
            }
            prop_assert!(!key().verifies(&bytes, b"mac", 0));
        }
    }
}
