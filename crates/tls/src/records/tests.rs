use super::*;
use proptest::prelude::*;
use rustls::crypto::cipher::{AeadKey, Iv};

fn secrets(kind: u8) -> ConnectionTrafficSecrets {
    let key = AeadKey::from([7; 32]);
    let iv = Iv::copy(&[9; 12]);
    match kind {
        0 => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        _ => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
    }
}

fn pair(kind: u8, tls13: bool) -> (RecordKey, RecordKey) {
    let key = || RecordKey::new(&secrets(kind), 0, tls13).unwrap();
    (key(), key())
}

fn seal(key: &mut RecordKey, content: Content, runs: &[&[u8]]) -> Vec<u8> {
    let runs: Vec<IoSlice<'_>> = runs.iter().map(|run| IoSlice::new(run)).collect();
    let mut plain = Gather::new(&runs);
    let length = plain.remaining();
    let mut out = vec![0; length + key.overhead()];
    let sealed = key.seal(content, &mut plain, length, &mut out).unwrap();
    assert_eq!((sealed, plain.remaining()), (out.len(), 0));
    out
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(
        kind in 0..2_u8,
        tls13: bool,
        messages in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4), 1..5),
    ) {
        let (mut sealer, mut opener) = pair(kind, tls13);
        for message in &messages {
            let runs: Vec<&[u8]> = message.iter().map(Vec::as_slice).collect();
            let mut record = seal(&mut sealer, Content::Data, &runs);
            let whole = message.concat();
            let mut out = vec![0; opener.room_for(record.len() - HEADER_BYTES)];
            if whole.len().is_multiple_of(2) {
                let (content, length) = opener.open(&record, &mut out).unwrap();
                prop_assert_eq!(content, Content::Data);
                prop_assert_eq!(&out[..length], &whole[..]);
            } else {
                let (content, start, end) = opener.open_in_place(&mut record).unwrap();
                prop_assert_eq!(content, Content::Data);
                prop_assert_eq!(&record[start..end], &whole[..]);
            }
        }
    }

    #[test]
    fn any_changed_bit_is_noticed(kind in 0..2_u8, tls13: bool, at in 0..40_usize, bit in 0..8_u8) {
        let (mut sealer, mut opener) = pair(kind, tls13);
        let mut record = seal(&mut sealer, Content::Data, &[b"some bytes of a body"]);
        // The version bytes of TLS 1.2 are not looked at, and the length says where the record ends.
        prop_assume!(tls13 || !(1..5).contains(&at));
        record[at] ^= 1 << bit;
        let mut out = vec![0; 100];
        prop_assert!(opener.open(&record, &mut out).is_err());
    }

    #[test]
    fn no_bytes_panic(kind in 0..2_u8, tls13: bool, bytes in prop::collection::vec(any::<u8>(), 5..80)) {
        let (_, mut opener) = pair(kind, tls13);
        let mut out = vec![0; 100];
        prop_assert!(opener.open(&bytes, &mut out).is_err());
        let mut bytes = bytes;
        prop_assert!(opener.open_in_place(&mut bytes).is_err());
    }
}

#[test]
fn a_record_opens_once() {
    let (mut sealer, mut opener) = pair(0, true);
    let record = seal(&mut sealer, Content::Data, &[b"once"]);
    let mut out = [0; 32];
    assert_eq!(opener.open(&record, &mut out), Ok((Content::Data, 4)));
    assert_eq!(opener.open(&record, &mut out), Err(RecordFault::Forged));
}

#[test]
fn padding_is_dropped_and_nothing_but_padding_refused() {
    let (mut sealer, mut opener) = pair(0, true);
    // What a peer that pads seals: the content, its type, zeros; here our own type byte is the last of the zeros.
    let mut padded = b"body".to_vec();
    padded.extend([23, 0, 0, 0]);
    let record = seal_inner(&mut sealer, &padded);
    let mut out = [0; 64];
    assert_eq!(opener.open(&record, &mut out), Ok((Content::Data, 4)));
    let record = seal_inner(&mut sealer, &[0; 10]);
    assert_eq!(
        opener.open(&record, &mut out),
        Err(RecordFault::UnexpectedType)
    );
}

#[test]
fn padding_makes_no_record_longer_than_content_may_be() {
    let (mut sealer, mut opener) = pair(0, true);
    let padded = |bytes: usize| {
        let mut inner = b"body".to_vec();
        inner.push(23);
        inner.resize(bytes, 0);
        inner
    };
    let mut out = vec![0; BODY_BYTES_MAX];
    let record = seal_inner(&mut sealer, &padded(PLAIN_BYTES_MAX + 1));
    assert_eq!(opener.open(&record, &mut out), Ok((Content::Data, 4)));
    let record = seal_inner(&mut sealer, &padded(PLAIN_BYTES_MAX + 2));
    assert_eq!(opener.open(&record, &mut out), Err(RecordFault::Length));
}

/// A TLS 1.3 record with an inner text of the test's own.
fn seal_inner(key: &mut RecordKey, inner: &[u8]) -> Vec<u8> {
    let length = inner.len() + TAG_BYTES;
    let [high, low] = (length as u16).to_be_bytes();
    let header = [23, 3, 3, high, low];
    let mut text = inner.to_vec();
    let nonce = Nonce::assume_unique_for_key(key.nonce());
    let sealed = key
        .key
        .seal_in_place_append_tag(nonce, Aad::from(header), &mut text);
    sealed.unwrap();
    key.sequence += 1;
    [&header[..], &text].concat()
}

#[test]
fn lengths_are_bounded() {
    assert_eq!(record_length(&[23, 3, 3, 0]), Ok(None));
    assert_eq!(record_length(&[23, 3, 3, 0, 1]), Ok(Some(6)));
    assert_eq!(
        record_length(&[23, 3, 3, 0x41, 0]),
        Ok(Some(HEADER_BYTES + BODY_BYTES_MAX))
    );
    assert_eq!(
        record_length(&[23, 3, 3, 0x41, 1]),
        Err(RecordFault::Length)
    );
}
