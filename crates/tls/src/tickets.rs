//! Session tickets (RFC 5077, RFC 8446 §4.6.1): sealed with keys that change, and that several machines can share.

use crate::certificate::Finding;
use crate::random;
use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::fill;
use foregate_telemetry::clock::{Moment, UnixTime, now, unix_now};
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How many keys a file may hold.
pub const TICKET_KEYS_MAX: usize = 16;

/// How long a ticket may be whose key is not known: longer ones are not even looked at.
const TICKET_BYTES_MAX: usize = 64 * 1024;

/// How long a ticket may be good at most: RFC 8446 §4.6.1 allows no more, and there are clients that break off when
/// they are told more.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);

const NAME_BYTES: usize = 8;
const SALT_BYTES: usize = 24;
const TIME_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
/// Keys that open tickets at a time: the one that seals, and the one before it.
const OWN_KEYS_MAX: usize = 2;

/// The keys that tickets are sealed with, one set for all workers and listeners.
pub struct Tickets {
    keys: ArcSwap<Keys>,
    /// How long a key seals; `None` for keys that come from a file and change with it.
    rotation: Option<Duration>,
    /// How long tickets are worth keeping.
    lifetime: Duration,
}

struct Keys {
    /// The first seals, all open.
    keys: Vec<TicketKey>,
    since: Moment,
    /// How old they were at that moment, if another process drew them.
    aged: Duration,
}

#[derive(Clone)]
struct TicketKey {
    name: [u8; NAME_BYTES],
    hmac: hmac::Key,
    /// What it was made from, if this program drew it: its successor can go on with it.
    secret: Option<Arc<Zeroizing<[u8; SECRET_BYTES]>>>,
}

impl Keys {
    fn new(keys: Vec<TicketKey>) -> Keys {
        Keys {
            keys,
            since: now(),
            aged: Duration::ZERO,
        }
    }

    fn age(&self, at: Moment) -> Duration {
        self.aged.saturating_add(at.since(self.since))
    }
}

impl TicketKey {
    /// From any secret of at least 32 bytes.
    fn new(secret: &[u8]) -> TicketKey {
        let labelled = |label: &[u8]| digest(&SHA256, &[label, secret].concat());
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&labelled(b"ticket key name").as_ref()[..NAME_BYTES]);
        let key = labelled(b"ticket key");
        TicketKey {
            name,
            hmac: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
            secret: None,
        }
    }

    /// From a secret of a process of this program.
    fn own(secret: Zeroizing<[u8; SECRET_BYTES]>) -> TicketKey {
        TicketKey {
            secret: Some(Arc::new(secret.clone())),
            ..TicketKey::new(&secret[..])
        }
    }

    fn random() -> Option<TicketKey> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        fill(&mut secret[..]).ok()?;
        Some(TicketKey::own(secret))
    }

    /// Every ticket has a key of its own, so that no number of them wears a key out.
    fn cipher(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let key = hmac::sign(&self.hmac, salt);
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?;
        Some(LessSafeKey::new(key))
    }

    /// The ticket tells when it was sealed, which nobody can change.
    fn seal(&self, plain: &[u8], binding: &[u8], at: UnixTime) -> Option<Vec<u8>> {
        const HEAD_BYTES: usize = NAME_BYTES + SALT_BYTES + TIME_BYTES;
        let mut salt = [0; SALT_BYTES];
        random::fill(&mut salt)?;
        let time = at.seconds().to_be_bytes();
        let mut ticket = Vec::with_capacity(HEAD_BYTES + plain.len() + TAG_BYTES);
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&salt);
        ticket.extend_from_slice(&time);
        ticket.extend_from_slice(plain);
        let text = &mut ticket[HEAD_BYTES..];
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let cipher = self.cipher(&salt)?;
        let bound = [binding, &time].concat();
        let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(bound), text);
        ticket.extend_from_slice(tag.ok()?.as_ref());
        Some(ticket)
    }

    fn open(
        &self,
        salt: &[u8],
        time: &[u8; TIME_BYTES],
        sealed: &[u8],
        binding: &[u8],
    ) -> Option<Vec<u8>> {
        let mut text = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let cipher = self.cipher(salt)?;
        let bound = [binding, time].concat();
        let opened = cipher.open_in_place(nonce, Aad::from(bound), &mut text);
        let bytes = opened.ok()?.len();
        text.truncate(bytes);
        Some(text)
    }
}

impl Tickets {
    /// Keys that are drawn at random and change by themselves: a key seals for `rotation` and opens for as long again.
    /// `None` when the system gives no random bytes.
    pub fn rotating(rotation: Duration) -> Option<Arc<Tickets>> {
        let keys = vec![TicketKey::random()?];
        Some(Arc::new(Tickets {
            keys: ArcSwap::from_pointee(Keys::new(keys)),
            rotation: Some(rotation),
            lifetime: rotation,
        }))
    }

    /// The keys that this process has drawn, for its successor: their age in milliseconds (8 bytes), then each secret (32
    /// bytes). `None` for those of a file. Wiped when dropped.
    #[must_use]
    pub fn to_successor(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.rotation?;
        let keys = self.keys.load();
        let mut bytes = Zeroizing::new(Vec::with_capacity(8 + OWN_KEYS_MAX * SECRET_BYTES));
        let age_ms = u64::try_from(keys.age(now()).as_millis()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&age_ms.to_be_bytes());
        for key in keys.keys.iter().take(OWN_KEYS_MAX) {
            bytes.extend_from_slice(&key.secret.as_ref()?[..]);
        }
        Some(bytes)
    }

    /// Goes on with the keys of a predecessor, as [`Tickets::to_successor`] gave them: what it sealed is opened for as long
    /// as it would have been. `None` when these are none.
    #[must_use]
    pub fn from_predecessor(rotation: Duration, bytes: &[u8]) -> Option<Arc<Tickets>> {
        let (age_ms, secrets) = bytes.split_first_chunk()?;
        let (secrets, []) = secrets.as_chunks::<SECRET_BYTES>() else {
            return None;
        };
        if secrets.is_empty() || secrets.len() > OWN_KEYS_MAX {
            return None;
        }
        let own = |secret: &[u8; SECRET_BYTES]| TicketKey::own(Zeroizing::new(*secret));
        let keys = Keys {
            aged: Duration::from_millis(u64::from_be_bytes(*age_ms)),
            ..Keys::new(secrets.iter().map(own).collect())
        };
        Some(Arc::new(Tickets {
            keys: ArcSwap::from_pointee(keys),
            rotation: Some(rotation),
            lifetime: rotation,
        }))
    }

    /// Keys of a file: see [`Tickets::replace_keys`]. Clients are told to keep tickets for `lifetime`.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn from_keys(text: &[u8], lifetime: Duration) -> Result<Arc<Tickets>, Finding> {
        let keys = read_keys(text)?;
        Ok(Arc::new(Tickets {
            keys: ArcSwap::from_pointee(Keys::new(keys)),
            rotation: None,
            lifetime,
        }))
    }

    /// Takes the keys of a file that has changed: one a line, as 64 or more hexadecimal digits, or lines that begin with
    /// `#`; or a single key of 48 or 80 bytes as other servers keep them. The first seals, all of them open.
    ///
    /// # Errors
    /// What is wrong with the file; the old keys stay.
    pub fn replace_keys(&self, text: &[u8]) -> Result<(), Finding> {
        let keys = read_keys(text)?;
        self.keys.store(Arc::new(Keys::new(keys)));
        Ok(())
    }

    /// The same keys for handshakes that are held under one set of rules: a ticket that was given under others is none.
    pub(crate) fn bound(self: &Arc<Self>, binding: [u8; 32]) -> Arc<BoundTickets> {
        Arc::new(BoundTickets {
            tickets: Arc::clone(self),
            binding,
        })
    }

    /// How old a ticket may be.
    fn age_max(&self) -> Duration {
        self.lifetime.saturating_mul(2).min(LIFETIME_MAX)
    }

    fn rotate_if_due(&self, at: Moment) {
        let Some(rotation) = self.rotation else {
            return;
        };
        if self.keys.load().age(at) < rotation {
            return;
        }
        if let Some(fresh) = TicketKey::random() {
            self.rotate(at, rotation, fresh);
        }
    }

    fn rotate(&self, at: Moment, rotation: Duration, fresh: TicketKey) {
        self.keys.rcu(|old| {
            let age = old.age(at);
            // Another worker may have been faster.
            if age < rotation {
                return Arc::clone(old);
            }
            let mut keys = vec![fresh.clone()];
            // What is older than two periods opens nothing any more.
            if age < rotation * 2
                && let Some(last) = old.keys.first()
            {
                keys.push(last.clone());
            }
            Arc::new(Keys {
                since: at,
                ..Keys::new(keys)
            })
        });
    }
}

fn read_keys(text: &[u8]) -> Result<Vec<TicketKey>, Finding> {
    if matches!(text.len(), 48 | 80) && !text.is_ascii() {
        return Ok(vec![TicketKey::new(text)]);
    }
    let malformed = |why: String| Err(Finding::MalformedTicketKeys(why));
    let Ok(text) = std::str::from_utf8(text) else {
        return malformed("ticket keys are lines of hexadecimal digits, or 48 or 80 bytes".into());
    };
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(secret) = hex(line).filter(|secret| (32..=256).contains(&secret.len())) else {
            let number = number + 1;
            return malformed(format!(
                "line {number} is no ticket key: 64 or more hexadecimal digits"
            ));
        };
        if keys.len() == TICKET_KEYS_MAX {
            return malformed(format!("there are more than {TICKET_KEYS_MAX} ticket keys"));
        }
        keys.push(TicketKey::new(&secret));
    }
    if keys.is_empty() {
        return malformed(
            "there is none: a line of 64 or more hexadecimal digits is wanted".into(),
        );
    }
    Ok(keys)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    digits
        .chunks(2)
        .map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8))
        .collect()
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("keys", &self.keys.load().keys.len())
            .field("rotation", &self.rotation)
            .finish_non_exhaustive()
    }
}

/// Tickets of one set of rules.
#[derive(Debug)]
pub(crate) struct BoundTickets {
    tickets: Arc<Tickets>,
    binding: [u8; 32],
}

impl ProducesTickets for BoundTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        let told = self.tickets.lifetime.min(LIFETIME_MAX);
        u32::try_from(told.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.encrypt_at(plain, now(), unix_now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.decrypt_at(ticket, now(), unix_now())
    }
}

impl BoundTickets {
    fn encrypt_at(&self, plain: &[u8], at: Moment, unix: UnixTime) -> Option<Vec<u8>> {
        self.tickets.rotate_if_due(at);
        let keys = self.tickets.keys.load();
        keys.keys.first()?.seal(plain, &self.binding, unix)
    }

    fn decrypt_at(&self, ticket: &[u8], at: Moment, unix: UnixTime) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        // Where nobody came for long, nothing was sealed, and the key that is over is still there.
        self.tickets.rotate_if_due(at);
        let (name, rest) = ticket.split_at_checked(NAME_BYTES)?;
        let (salt, rest) = rest.split_at_checked(SALT_BYTES)?;
        let (time, sealed) = rest.split_first_chunk()?;
        let keys = self.tickets.keys.load();
        let key = keys.keys.iter().find(|key| key.name == *name)?;
        let session = key.open(salt, time, sealed, &self.binding)?;
        // Keys of a file may stand there for years. A machine whose clock is ahead has sealed in the future.
        let age_s = unix.seconds().saturating_sub(u64::from_be_bytes(*time));
        (age_s <= self.tickets.age_max().as_secs()).then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const ONE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const TWO: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

    fn file(keys: &str) -> Arc<Tickets> {
        Tickets::from_keys(keys.as_bytes(), HOUR).unwrap()
    }

    #[test]
    fn a_successor_opens_what_was_sealed_for_as_long_as_it_would_have_been() {
        let old = Tickets::rotating(HOUR).unwrap();
        let ticket = old.bound([1; 32]).encrypt(b"a session").unwrap();
        let mut passed = old.to_successor().unwrap();
        let new = Tickets::from_predecessor(HOUR, &passed).unwrap();
        assert_eq!(new.bound([1; 32]).decrypt(&ticket).unwrap(), b"a session");
        assert!(new.bound([2; 32]).decrypt(&ticket).is_none());
        // And its own successor, after the first key has had its time.
        passed[..8].copy_from_slice(&3_600_000_u64.to_be_bytes());
        let newer = Tickets::from_predecessor(HOUR, &passed).unwrap();
        let fresh = newer.bound([1; 32]).encrypt(b"another").unwrap();
        assert!(
            new.bound([1; 32]).decrypt(&fresh).is_none(),
            "a new key seals"
        );
        assert_eq!(newer.bound([1; 32]).decrypt(&ticket).unwrap(), b"a session");
        assert_eq!(newer.to_successor().unwrap().len(), 8 + 64);
        passed[..8].copy_from_slice(&7_200_000_u64.to_be_bytes());
        let late = Tickets::from_predecessor(HOUR, &passed).unwrap();
        late.bound([1; 32]).encrypt(b"x").unwrap();
        assert!(late.bound([1; 32]).decrypt(&ticket).is_none());
        for bytes in [0, 7, 8, 39, 41, 8 + 3 * 32] {
            assert!(Tickets::from_predecessor(HOUR, &vec![0; bytes]).is_none());
        }
        assert!(file(ONE).to_successor().is_none());
    }

    #[test]
    fn machines_that_share_a_file_open_each_others_tickets() {
        let (here, there) = (file(ONE), file(ONE));
        let ticket = here.bound([1; 32]).encrypt(b"a session").unwrap();
        assert_eq!(there.bound([1; 32]).decrypt(&ticket).unwrap(), b"a session");
        // The next key is made known everywhere before the first machine seals with it.
        there
            .replace_keys(format!("# next\n{ONE}\n{TWO}\n").as_bytes())
            .unwrap();
        here.replace_keys(format!("{TWO}\n{ONE}").as_bytes())
            .unwrap();
        let ticket = here.bound([1; 32]).encrypt(b"another").unwrap();
        assert_eq!(there.bound([1; 32]).decrypt(&ticket).unwrap(), b"another");
        there.replace_keys(ONE.as_bytes()).unwrap();
        assert_eq!(there.bound([1; 32]).decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_of_other_rules_is_none() {
        let tickets = file(ONE);
        let ticket = tickets.bound([1; 32]).encrypt(b"a session").unwrap();
        assert_eq!(tickets.bound([2; 32]).decrypt(&ticket), None);
    }

    #[test]
    fn what_was_changed_opens_nothing() {
        let tickets = file(ONE).bound([1; 32]);
        let ticket = tickets.encrypt(b"a session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "byte {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn keys_change_and_open_for_one_period_more() {
        let tickets = Tickets::rotating(HOUR).unwrap();
        let bound = tickets.bound([0; 32]);
        let ticket = bound.encrypt(b"a session").unwrap();
        let start = tickets.keys.load().since;
        let rotate = |periods: u32| {
            tickets.rotate(
                start.plus(HOUR * periods),
                HOUR,
                TicketKey::random().unwrap(),
            );
        };
        rotate(1);
        assert!(bound.decrypt(&ticket).is_some());
        rotate(2);
        assert_eq!(bound.decrypt(&ticket), None);
        let ticket = bound.encrypt(b"a session").unwrap();
        // Nobody came for a long time: the last key is too old to be trusted.
        rotate(9);
        assert_eq!(bound.decrypt(&ticket), None);
    }

    #[test]
    fn no_ticket_is_good_for_longer_than_twice_the_rotation_or_a_week() {
        let start = UnixTime::from_seconds(1_780_000_000);
        let later = |span: Duration| UnixTime::from_seconds(start.seconds() + span.as_secs());
        let week = Duration::from_secs(7 * 86_400);
        for (rotation, good) in [(HOUR, HOUR * 2), (HOUR * 24 * 30, week)] {
            // The key of a file stands as long as nobody changes it.
            let tickets = Tickets::from_keys(ONE.as_bytes(), rotation).unwrap();
            let bound = tickets.bound([1; 32]);
            assert!(bound.lifetime() <= 604_800);
            let ticket = bound.encrypt_at(b"a session", now(), start).unwrap();
            let open = |at| bound.decrypt_at(&ticket, now(), at);
            assert!(open(start).is_some() && open(later(good)).is_some());
            assert_eq!(open(later(good + Duration::from_secs(1))), None);
            let ahead = UnixTime::from_seconds(start.seconds() - 60);
            assert!(open(ahead).is_some(), "the other machine's clock is ahead");
        }
    }

    #[test]
    fn a_key_that_is_over_opens_nothing_though_nothing_was_sealed_since() {
        let tickets = Tickets::rotating(HOUR).unwrap();
        let bound = tickets.bound([0; 32]);
        let (start, unix) = (tickets.keys.load().since, unix_now());
        let ticket = bound.encrypt_at(b"a session", start, unix).unwrap();
        // By the calendar no time has passed: it is the key that is over.
        let open = |hours: u32| bound.decrypt_at(&ticket, start.plus(HOUR * hours), unix);
        assert!(open(1).is_some());
        assert_eq!(open(72), None);
    }

    #[test]
    fn files_of_keys_are_judged() {
        let fault = |text: &[u8]| Tickets::from_keys(text, HOUR).unwrap_err();
        assert!(fault(b"# nothing\n").to_string().contains("there is none"));
        let told = fault(b"abc").to_string();
        assert!(told.starts_with("the ticket keys can't be read: line 1"));
        assert!(fault(&[0xff; 30]).to_string().contains("hexadecimal"));
        let many = format!("{ONE}\n").repeat(TICKET_KEYS_MAX + 1);
        assert!(fault(many.as_bytes()).to_string().contains("more than"));
        assert!(Tickets::from_keys(&[0xff; 80], HOUR).is_ok());
    }
}
